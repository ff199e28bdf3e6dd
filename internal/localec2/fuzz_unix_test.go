//go:build unix

package localec2

import (
	"bytes"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
)

// everyMember is a request of each action with every member that EC2 has for it. The fuzzer puts them together anew.
var everyMember = map[string][]string{
	"ImportSnapshot": {
		"ClientData.Comment=c", "ClientData.UploadSize=1.5", "ClientData.UploadStart=2026-01-02T03%3A04%3A05.678Z", "ClientData.UploadEnd=2026-01-02T03%3A04%3A05Z",
		"ClientToken=tok-1", "Description=my+disk", "DiskContainer.Format=RAW", "DiskContainer.Description=d", "DiskContainer.UserBucket.S3Bucket=images",
		"DiskContainer.UserBucket.S3Key=dir%2Fbelow.img", "DryRun=false", "Encrypted=true", "KmsKeyId=alias%2Fa", "RoleName=vmimport",
		"TagSpecification.1.ResourceType=import-snapshot-task", "TagSpecification.1.Tag.1.Key=Name", "TagSpecification.1.Tag.1.Value=x",
		"TagSpecification.1.Tag.2.Key=Empty", "TagSpecification.1.Tag.2.Value=",
	},
	"DescribeImportSnapshotTasks": {
		"Filters.1.Name=task-state", "Filters.1.Value.1=active", "Filters.1.Value.2=completed", "Filters.2.Name=tag%3AName", "Filters.2.Value.1=%2A", "Filters.3.Name=tag-key",
		"Filters.3.Value.1=N%3Fme", "Filter.1.Name=task-state", "Filter.1.Value.1=deleted", "ImportTaskId.1=TASK", "MaxResults=1", "NextToken=" + page{action: "DescribeImportSnapshotTasks"}.encode(1),
	},
	"CancelImportTask": {"ImportTaskId=TASK", "CancelReason=because"},
	"DescribeSnapshots": {
		"SnapshotId.1=SNAP", "Owner.1=self", "Owner.2=123456789012", "RestorableBy.1=all", "Filter.1.Name=description", "Filter.1.Value.1=%2Aimport-snap-%2A",
		"Filter.2.Name=encrypted", "Filter.2.Value.1=false", "Filter.3.Name=owner-id", "Filter.3.Value.1=123456789012", "Filter.4.Name=progress", "Filter.4.Value.1=100%25",
		"Filter.5.Name=snapshot-id", "Filter.5.Value.1=SNAP", "Filter.6.Name=start-time", "Filter.6.Value.1=20%2A", "Filter.7.Name=status", "Filter.7.Value.1=completed",
		"Filter.8.Name=storage-tier", "Filter.8.Value.1=standard", "Filter.9.Name=tag-key", "Filter.9.Value.1=Name", "Filter.10.Name=volume-id", "Filter.10.Value.1=vol-ffffffff",
		"Filter.11.Name=volume-size", "Filter.11.Value.1=1", "Filter.12.Name=owner-alias", "Filter.12.Value.1=amazon", "Filter.13.Name=transfer-type", "Filter.13.Value.1=standard",
		"MaxResults=5", "NextToken=" + page{action: "DescribeSnapshots"}.encode(1),
	},
	"DeleteSnapshot": {"SnapshotId=SNAP"},
	"CreateTags":     {"ResourceId.1=SNAP", "ResourceId.2=TASK", "Tag.1.Key=a", "Tag.1.Value=b", "Tag.2.Key=c", "Tag.2.Value="},
	"DeleteTags":     {"ResourceId.1=SNAP", "ResourceId.2=TASK", "Tag.1.Key=a", "Tag.2.Key=c", "Tag.2.Value="},
	"DescribeTags": {
		"Filter.1.Name=key", "Filter.1.Value.1=Name", "Filter.2.Name=resource-id", "Filter.2.Value.1=SNAP", "Filter.3.Name=resource-type", "Filter.3.Value.1=snapshot",
		"Filter.4.Name=tag%3AName", "Filter.4.Value.1=precious", "Filter.5.Name=value", "Filter.5.Value.1=", "MaxResults=5", "NextToken=" + page{action: "DescribeTags"}.encode(1),
	},
	"ModifySnapshotTier":  {"SnapshotId=SNAP", "StorageTier=archive"},
	"RestoreSnapshotTier": {"SnapshotId=SNAP", "TemporaryRestoreDays=10", "PermanentRestore=true"},
	"DescribeSnapshotTierStatus": {
		"Filter.1.Name=snapshot-id", "Filter.1.Value.1=SNAP", "Filter.2.Name=volume-id", "Filter.2.Value.1=vol-ffffffff", "Filter.3.Name=last-tiering-operation",
		"Filter.3.Value.1=archival-completed", "MaxResults=5", "NextToken=" + page{action: "DescribeSnapshotTierStatus"}.encode(1),
	},
	"GetCallerIdentity": nil,
}

func TestEveryActionHasSeeds(t *testing.T) {
	t.Parallel()
	for action := range actions {
		if len(everyMember[action]) == 0 {
			t.Errorf("no members of %s are known to the fuzzer", action)
		}
	}
}

// FuzzRequest: whatever arrives, the answer is one of EC2 or STS, what is refused changes nothing, what is imported is a file of the bucket, and no
// file appears but in the data directory.
func FuzzRequest(f *testing.F) {
	const signed = "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0"
	for action, members := range everyMember {
		all := strings.Join(append([]string{"Action=" + action, "Version=2016-11-15"}, members...), "&")
		f.Add("POST", "", signed, []byte(all))
		f.Add("GET", all, "", []byte{})
		f.Add("POST", "Action="+action+"&DryRun=true", signed, []byte(strings.Join(members, "&")))
		for _, m := range members { // each alone, so that each is the one that is missing or wrong
			f.Add("POST", "", signed, []byte("Action="+action+"&"+m))
		}
	}
	for _, l := range []string{
		"s3%3A%2F%2Fimages%2Fdisk.img", "s3%3A%2F%2Fimages%2F..%2Fsecret", "https%3A%2F%2Fimages.s3.amazonaws.com%2Fdisk.img%3Fa%3Db", "https%3A%2F%2F169.254.169.254%2F",
		"s3%3A%2F%2Fimages%2Flink", "s3%3A%2F%2Fimages%2Ffifo", "file%3A%2F%2F%2Fetc%2Fpasswd",
	} {
		f.Add("POST", "", signed, []byte("Action=ImportSnapshot&DiskContainer.Url="+l))
	}
	for _, tc := range hostileForms("SNAP", "TASK") {
		if len(tc.body) < 4096 {
			f.Add(tc.method, "", strings.TrimPrefix(tc.header, "Authorization: "), []byte(tc.body))
		}
	}
	f.Add("POST", "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Credential=111122223333%2F20260101%2Fus-east-1%2Fsts%2Faws4_request", "", []byte{})
	f.Add("POST", "Action=DescribeSnapshots", "AWS4-ECDSA-P256-SHA256 Credential=111122223333/20260101/ec2/aws4_request", []byte{})

	place := newFuzzed(f)
	f.Fuzz(func(t *testing.T, method, query, authorization string, body []byte) {
		query = strings.NewReplacer("SNAP", place.snapshot.ID, "TASK", place.task.ID).Replace(query)
		body = bytes.ReplaceAll(bytes.ReplaceAll(body, []byte("SNAP"), []byte(place.snapshot.ID)), []byte("TASK"), []byte(place.task.ID))
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Method, r.URL = method, &url.URL{Path: "/", RawQuery: query}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		place.ServeHTTP(w, r)
		code, err := wellFormed(w.Code, w.Result().Header, w.Body.Bytes())
		if err != nil {
			t.Fatalf("%v\n%.3000s", err, w.Body)
		}
		if form := merged(query, body); code == "" && form.Get("DryRun") == "true" && form.Get("Version") != stsVersion && actions[form.Get("Action")] != nil {
			t.Fatalf("a dry run was carried out:\n%s", w.Body)
		}
		place.check(t, code)
	})
}

// merged are the parameters of a request; the body wins.
func merged(query string, body []byte) url.Values {
	form, _ := url.ParseQuery(query)
	over, _ := url.ParseQuery(string(body))
	maps.Copy(form, over)
	return form
}

// fuzzed is the endpoint that one process of the fuzzer talks to.
type fuzzed struct {
	*host
	root     string
	tree     []string
	snapshot snapshot
	task     task
	full     string // what the store holds before each request
}

func newFuzzed(f *testing.F) *fuzzed {
	root := f.TempDir()
	p := &fuzzed{root: root, host: &host{bucket: filepath.Join(root, "bucket")}}
	trap(f, p.bucket)
	p.tree = tree(f, root)
	p.Endpoint = New(Config{
		DataDir: filepath.Join(root, "data"), AccountID: testAccount, Strict: true,
		Images: &imagesource.Opener{Buckets: map[string]string{"images": p.bucket}},
		// What is imported is looked for, and then left alone: nothing but requests changes the store.
		Simulate: Simulate{TaskDuration: time.Hour, FailWith: "never"},
	})
	f.Cleanup(func() {
		if err := p.Close(); err != nil {
			f.Errorf("close the endpoint: %v", err)
		}
	})
	p.task = task{
		ID: newID(taskPrefix), Account: testAccount, Region: defaultRegion, Bucket: "images", Key: "disk.img", Origin: p.bucket, FailWith: "never",
		CreatedAt: time.Now(), DueAt: time.Now().Add(time.Hour), Status: statusActive, StatusMessage: messagePending, Tags: []tag{{"Name", "precious"}},
	}
	p.snapshot = snapshot{ID: newID(snapshotPrefix), Account: testAccount, Region: defaultRegion, StartTime: time.Now(), CompletionTime: time.Now(), Size: 4096}
	p.fill(f)
	return p
}

// fill puts into the store what there is to be asked about, and nothing else.
func (p *fuzzed) fill(t testing.TB) {
	t.Helper()
	finished := p.task
	finished.ID = newID(taskPrefix)
	err := p.store.write(func(tx transaction) error {
		_, err := tx.exec("DELETE FROM tasks; DELETE FROM snapshots; DELETE FROM tags; DELETE FROM sqlite_sequence;")
		return err
	})
	for _, stored := range []task{p.task, finished} {
		if err == nil {
			_, err = p.store.createTask(stored)
		}
	}
	if err == nil {
		_, err = p.store.completeTask(finished.ID, p.snapshot, func() error { return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	p.full = p.contents(t)
}

// check looks at what a request has left, and puts right what it was allowed to change.
func (p *fuzzed) check(t *testing.T, code string) {
	t.Helper()
	if now := p.contents(t); now != p.full {
		if code != "" {
			t.Fatalf("refused with %s, and yet the store was\n%s\nand is\n%s", code, p.full, now)
		}
		p.checkSources(t)
		p.fill(t)
	}
	if now := tree(t, p.root); !slices.Equal(now, p.tree) {
		t.Fatalf("the files were\n%v\nand are\n%v", p.tree, now)
	}
	for _, name := range filesBelow(t, p.config.DataDir) {
		if dir, _, _ := strings.Cut(name, "/"); dir != locksDir && dir != volumesDir {
			t.Fatalf("a file %s in the data directory", name)
		}
	}
}

// checkSources: what was taken for an image is one of the bucket, and was found in it.
func (p *fuzzed) checkSources(t *testing.T) {
	t.Helper()
	tasks, err := p.store.unfinishedTasks()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range tasks {
		if one.Bucket != "images" || one.Origin != p.bucket || !slices.Contains([]string{"disk.img", "dir/below.img", "within"}, one.Key) {
			t.Fatalf("an image was found at %q (%q, %q) in %q", one.URL, one.Bucket, one.Key, one.Origin)
		}
	}
}
