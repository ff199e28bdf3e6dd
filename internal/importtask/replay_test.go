package importtask

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// P13: what EC2 answers to a token that was used before, and what it may echo of the very same request: never a false alarm.
func TestReplayed(t *testing.T) {
	link := func(s string) *ec2types.SnapshotDiskContainer { return &ec2types.SnapshotDiskContainer{Url: &s} }
	bucket := func(b, k string) *ec2types.SnapshotDiskContainer {
		return &ec2types.SnapshotDiskContainer{UserBucket: &ec2types.UserBucket{S3Bucket: &b, S3Key: &k}}
	}
	format := func(f string) *ec2types.SnapshotDiskContainer {
		c := link("s3://images/disk")
		c.Format, c.Description = &f, aws.String("the container")
		return c
	}
	type echo = ec2types.SnapshotTaskDetail
	in := func(b, k string) *ec2types.UserBucketDetails {
		return &ec2types.UserBucketDetails{S3Bucket: &b, S3Key: &k}
	}
	str := aws.String
	for name, tc := range map[string]struct {
		asked       *ec2types.SnapshotDiskContainer
		description string
		echo        echo
		task        string // its description
		says        []string
	}{
		"nothing is echoed":          {asked: link("s3://images/disk")},
		"the same url":               {asked: link("s3://images/disk"), echo: echo{Url: str("s3://images/disk")}},
		"its bucket besides":         {asked: link("s3://images/disk"), echo: echo{Url: str("s3://images/disk"), UserBucket: in("images", "disk")}},
		"its bucket alone":           {asked: link("s3://images/disk"), echo: echo{UserBucket: in("images", "disk")}},
		"the same bucket":            {asked: bucket("images", "disk"), echo: echo{UserBucket: in("images", "disk")}},
		"a url of it":                {asked: bucket("images", "disk"), echo: echo{Url: str("s3://images/disk")}},
		"an https url of it":         {asked: bucket("images", "disk"), echo: echo{Url: str("https://images.s3.amazonaws.com/disk")}},
		"half a bucket":              {asked: bucket("images", "disk"), echo: echo{UserBucket: &ec2types.UserBucketDetails{S3Bucket: str("images")}}},
		"an escaped key":             {asked: bucket("images", "a b+c"), echo: echo{Url: str("s3://images/a%20b+c")}},
		"a slash before the key":     {asked: bucket("images", "/disk"), echo: echo{UserBucket: in("images", "disk")}},
		"a presigned url, stripped":  {asked: link("https://h/a/disk?X-Amz-Signature=secret"), echo: echo{Url: str("https://h/a/disk")}},
		"a presigned url, anew":      {asked: link("https://h/a/disk?X-Amz-Signature=one"), echo: echo{Url: str("https://H/a/disk?X-Amz-Signature=two")}},
		"an https url as a bucket":   {asked: link("https://images.s3.amazonaws.com/disk"), echo: echo{UserBucket: in("images", "disk")}},
		"a url of another kind":      {asked: link("ftp://h/disk"), echo: echo{Url: str("s3://images/disk")}},
		"format in upper case":       {asked: format("vmdk"), echo: echo{Format: str("VMDK")}},
		"format detected":            {asked: link("s3://images/disk"), echo: echo{Format: str("VHD")}},
		"VHDX declared VHD":          {asked: format("VHD"), echo: echo{Format: str("VHDX")}},
		"description":                {asked: format("RAW"), description: "web", task: "web", echo: echo{Description: str("web ")}},
		"description not told":       {asked: format("RAW"), description: "web", echo: echo{Description: str("")}},
		"description told once":      {asked: format("RAW"), description: "web", task: "web", echo: echo{Description: str("the container")}},
		"description not asked for":  {asked: format("RAW"), task: "Imported"},
		"format as detected":         {asked: format("RAW"), echo: echo{Format: str("VMDK"), Url: str("s3://images/disk")}},
		"description, other lines":   {asked: format("RAW"), description: "web\r\nimage", task: "web\nimage"},
		"description in other words": {asked: format("RAW"), description: "web", task: "Imported by X: web"},
		"already running":            {asked: format("RAW"), echo: echo{Status: str("active"), Progress: str("40")}},
		"already complete":           {asked: format("RAW"), echo: echo{Status: str("completed"), SnapshotId: str("snap-1")}},

		"another key": {
			asked: link("s3://images/disk"), echo: echo{Url: str("s3://images/other"), UserBucket: in("images", "other")},
			says: []string{"import-snap-1", "another import", "source is s3://images/other, and not s3://images/disk"},
		},
		"another bucket": {asked: bucket("images", "disk"), echo: echo{UserBucket: in("others", "disk")}, says: []string{"s3://others/disk", "s3://images/disk"}},
		"another host": {
			asked: link("https://h/disk?X-Amz-Signature=secret"), echo: echo{Url: str("https://g/disk?X-Amz-Signature=secret")},
			says: []string{"source is https://g/disk, and not https://h/disk"},
		},
		"all of it, complete": {
			asked: format("RAW"), description: "web", task: "db", says: []string{"s3://images/other"},
			echo: echo{Status: str("completed"), Url: str("s3://images/other"), Format: str("VHD"), Description: str("db")},
		},
		"dead": {
			asked: format("RAW"), echo: echo{Status: str("deleted"), StatusMessage: str("ClientError: Footers not identical")},
			says: []string{"import-snap-1", "failed earlier", "deleted", "ClientError: Footers not identical"},
		},
		"dying, without a word": {asked: format("RAW"), echo: echo{Status: str("deleting")}, says: []string{"failed earlier", "no reason"}},
	} {
		t.Run(name, func(t *testing.T) {
			request := &ec2.ImportSnapshotInput{ClientToken: str("token-1"), DiskContainer: tc.asked}
			if tc.description != "" {
				request.Description = &tc.description
			}
			api := &fake{answers: &ec2.ImportSnapshotOutput{ImportTaskId: str("import-snap-1"), Description: str(tc.task), SnapshotTaskDetail: &tc.echo}}
			importer := New(api)
			task, err := importer.Start(t.Context(), request)
			var replay *ReplayError
			if len(tc.says) == 0 {
				if err != nil || task.ID != "import-snap-1" {
					t.Errorf("a false alarm: %v", err)
				}
				return
			}
			if !errors.As(err, &replay) || task.ID != "" || replay.Task.ID != "import-snap-1" {
				t.Fatalf("got %q, %v", task.ID, err)
			}
			for _, part := range tc.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("a signature is in %q", err)
			}
			if !importer.Claim("import-snap-1") || len(api.cancels) > 0 || len(api.imports) > 1 {
				t.Error("the task was claimed or touched")
			}

			// A token made here was never used before: its answer is the import, and its end is for the wait to tell.
			request.ClientToken = nil
			if _, err := New(api).Start(t.Context(), request); err != nil {
				t.Errorf("with a token of its own: %v", err)
			}
		})
	}
}
