package localec2

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
)

// TestReaches: who resumes an import reads its image from where it was asked for, however that place is written.
func TestReaches(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"images", "others"} {
		if err := os.Mkdir(path(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(path("images"), path("link")); err != nil {
		t.Skip(err) // Windows asks for a right
	}
	bucket := func(dir string) *imagesource.Opener {
		return &imagesource.Opener{Buckets: map[string]string{"images": dir}}
	}
	storage := &imagesource.Opener{S3: func(context.Context, string) (*s3.Client, error) { return nil, nil }}
	web := &imagesource.Opener{HTTPS: true}
	both := &imagesource.Opener{HTTPS: true, S3: storage.S3}
	const server, object, presigned = "HTTPS://example.com/disk.img", "https://images.s3.us-east-1.amazonaws.com/disk.img", "https://images.s3.us-east-1.amazonaws.com/disk.img?X-Amz-Signature=1"
	for name, tc := range map[string]struct {
		url          string // "": the key disk.img of the bucket images
		asked, found *imagesource.Opener
		want         bool
		message      string
	}{
		"the same directory":              {"", bucket(path("images")), bucket(path("images")), true, ""},
		"the same directory by a link":    {"", bucket(path("images")), bucket(path("link")), true, ""},
		"a link to the same directory":    {"", bucket(path("link")), bucket(path("images")), true, ""},
		"another directory":               {"", bucket(path("images")), bucket(path("others")), false, "waits for a process whose bucket images is " + path("images")},
		"a directory that is not there":   {"", bucket(path("images")), bucket(path("absent")), false, "waits for a process whose bucket images is " + path("images")},
		"a directory that has moved":      {"", bucket(path("absent")), bucket(path("others")), true, ""},
		"no bucket":                       {"", bucket(path("images")), web, false, "waits for a process whose bucket images is " + path("images")},
		"a directory, S3 here":            {"", bucket(path("images")), both, false, "waits for a process whose bucket images is " + path("images")},
		"S3":                              {"", storage, both, true, ""},
		"S3, none here":                   {"", storage, web, false, "waits for a process that reads bucket images from S3 (endpoints { s3 } or --s3-endpoint)"},
		"S3, a directory here":            {"", storage, bucket(path("images")), false, "waits for a process that reads bucket images from S3 (endpoints { s3 } or --s3-endpoint)"},
		"an object's URL, S3":             {object, storage, both, true, ""},
		"an object's URL, https here":     {object, both, web, false, "waits for a process that reads bucket images from S3 (endpoints { s3 } or --s3-endpoint)"},
		"an object's URL, https, S3 here": {object, web, both, false, "waits for a process that reads https sources (serve: --allow-https), and bucket images not from S3"},
		"a presigned URL":                 {presigned, web, both, true, ""},
		"https":                           {server, web, both, true, ""},
		"https, not allowed here":         {server, web, storage, false, "waits for a process that reads https sources (serve: --allow-https)"},
	} {
		asked, found := New(Config{Images: tc.asked}), New(Config{Images: tc.found})
		l := imagesource.Location{Bucket: "images", Key: "disk.img"}
		if tc.url != "" {
			var err error
			if l, err = imagesource.ParseURL(tc.url); err != nil {
				t.Fatal(err)
			}
		}
		stored := task{URL: tc.url, Bucket: l.Bucket, Key: l.Key, Origin: asked.origin(l)}
		if got := found.reaches(stored); got != tc.want {
			t.Errorf("%s: reached %v", name, got)
		}
		if got := stored.waitingMessage(); !tc.want && got != tc.message {
			t.Errorf("%s: %q, want %q", name, got, tc.message)
		}
	}
}

// TestResumeReachesImage: an import is left alone by who does not reach its image, which would fail it or give it other bytes, and everyone is told
// for as long as no one works on it.
func TestResumeReachesImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, func(c *Config) { c.Simulate.TaskDuration = time.Hour })
		data := pattern(4096, 1)
		h.put(t, "disk.img", data)
		id := h.importKey(t, "disk.img")
		another := func(bucket string) *host {
			t.Helper()
			config := h.config
			config.Images = &imagesource.Opener{Buckets: map[string]string{"images": bucket}}
			next := &host{Endpoint: New(config), bucket: bucket}
			next.inProcess()
			t.Cleanup(func() { _ = next.Close() })
			if err := next.Resume(t.Context()); err != nil {
				t.Fatal(err)
			}
			return next
		}
		want := func(message string) {
			t.Helper()
			sleep(5 * time.Second)
			synctest.Wait()
			if d := h.describe(t, id); *d.Status != statusActive || aws.ToString(d.StatusMessage) != message {
				t.Errorf("%s: %s, want %s", *d.Status, aws.ToString(d.StatusMessage), message)
			}
		}
		want(messageConverting)
		elsewhere := another(t.TempDir())
		want(messageConverting) // the one that has the image is at work

		h.workers.stop()
		waiting := "waits for a process whose bucket images is " + h.bucket
		want(waiting)
		third := another(t.TempDir())
		want(waiting)
		if left := h.files(t); len(left) != 0 {
			t.Errorf("made by who does not have the image: %v", left)
		}

		right := another(h.bucket)
		want(messageConverting)
		// Who waits takes no harm from the others' end, and they none from a cancel.
		if err := elsewhere.Close(); err != nil {
			t.Fatal(err)
		}
		if err := right.Close(); err != nil {
			t.Fatal(err)
		}
		want(waiting)
		if _, err := third.ec2.CancelImportTask(t.Context(), &ec2.CancelImportTaskInput{ImportTaskId: &id, CancelReason: aws.String("enough")}); err != nil {
			t.Fatal(err)
		}
		if d := third.wait(t, id, statusDeleted); *d.StatusMessage != "enough" {
			t.Errorf("%s", *d.StatusMessage)
		}
	})
}

// TestWaitingIsOver: the reason to wait is gone as soon as the right process has the task, before it reads anything.
func TestWaitingIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		data := pattern(4096, 1)
		h.put(t, "disk.img", data)
		for range cap(h.workers.slots) {
			h.workers.slots <- struct{}{}
		}
		id := h.importKey(t, "disk.img")
		if _, err := h.store.setMessage(id, "waits for a process whose bucket images is /old"); err != nil {
			t.Fatal(err)
		}
		h.workers.stop()
		next := &host{Endpoint: New(h.config), bucket: h.bucket}
		next.inProcess()
		defer next.Close()
		for range cap(next.workers.slots) {
			next.workers.slots <- struct{}{}
		}
		if err := next.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		sleep(time.Second)
		if d := next.describe(t, id); aws.ToString(d.StatusMessage) != messagePending {
			t.Errorf("%s", aws.ToString(d.StatusMessage))
		}
		<-next.workers.slots
		next.wantVolume(t, *next.wait(t, id, statusCompleted).SnapshotId, data)
	})
}
