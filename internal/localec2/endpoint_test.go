package localec2

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
)

// TestNothingOnDisk: a plan reads; that must not make a directory, nor start anything.
func TestNothingOnDisk(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	ctx := t.Context()
	if err := h.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	tasks, err := h.ec2.DescribeImportSnapshotTasks(ctx, nil)
	if err != nil || len(tasks.ImportSnapshotTasks) != 0 {
		t.Errorf("%v %v", tasks, err)
	}
	if _, err := h.Volume(ctx, "snap-0123456789abcdef0"); err == nil {
		t.Error("a volume of a snapshot that is not there")
	}
	if _, err := os.Stat(h.config.DataDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data directory: %v", err)
	}
}

// TestUnusableDataDir: the error says which directory and what to do, on the wire and on Resume.
func TestUnusableDataDir(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.put(t, "disk.img", pattern(4096, 1))
	if err := os.WriteFile(h.config.DataDir, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	status, body, _ := h.post(t, "Action", "ImportSnapshot", "DiskContainer.Url", "s3://images/disk.img")
	if status != 400 || !strings.Contains(body, "<Code>LocalError</Code>") || !strings.Contains(body, h.config.DataDir) || !strings.Contains(body, "EC2_LOCAL_DATA_DIR") {
		t.Errorf("status %d %s", status, body)
	}
	if status, body, _ := h.post(t, "Action", "DescribeSnapshots"); status != 400 || !strings.Contains(body, "EC2_LOCAL_DATA_DIR") {
		t.Errorf("describe: status %d %s", status, body)
	}
	if err := h.Resume(t.Context()); err == nil || !strings.Contains(err.Error(), h.config.DataDir) {
		t.Errorf("resume: %v", err)
	}
}

// TestVolumePathAsConfigured: states must not differ between two checkouts, so a relative data_dir stays relative.
func TestVolumePathAsConfigured(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Mkdir("images", 0o755); err != nil {
		t.Fatal(err)
	}
	h := &host{bucket: "images", Endpoint: New(Config{
		DataDir: "./odd %41?#dir", AccountID: testAccount, Images: &imagesource.Opener{Buckets: map[string]string{"images": "./images"}},
	})}
	defer h.Close()
	h.inProcess()
	id := h.imported(t, "disk.img", pattern(4096, 1))
	v, err := h.Volume(t.Context(), id)
	if err != nil || v.Path != "./odd %41?#dir/volumes/"+id+".raw" || v.SHA256 != "" {
		t.Errorf("%+v, %v", v, err)
	}
	h.wantVolume(t, id, pattern(4096, 1))
	if _, err := os.Stat(filepath.Join("odd %41?#dir", storeFile)); err != nil {
		t.Errorf("the store is not in the data directory: %v", err)
	}
}

// TestAccounts share a directory and see nothing of each other.
func TestAccounts(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	id := h.imported(t, "disk.img", pattern(4096, 1))
	c := h.config
	c.AccountID = "210987654321"
	other := &host{Endpoint: New(c)}
	defer other.Close()
	other.inProcess()
	_, err := other.ec2.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}})
	wantCode(t, err, "InvalidSnapshot.NotFound", id)
	if _, err := other.Volume(t.Context(), id); err == nil {
		t.Error("another account's volume")
	}
}

// droppedOnce loses the first answer to an import, after the endpoint has carried it out.
type droppedOnce struct {
	http.RoundTripper
	once sync.Once
}

func (d *droppedOnce) RoundTrip(req *http.Request) (res *http.Response, err error) {
	res, err = d.RoundTripper.RoundTrip(req)
	d.once.Do(func() { res, err = nil, errors.New("connection reset by peer") })
	return res, err
}

func TestImportsAreMadeOnce(t *testing.T) {
	t.Parallel()
	count := func(t *testing.T, h *host) int {
		t.Helper()
		out, err := h.ec2.DescribeImportSnapshotTasks(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return len(out.ImportSnapshotTasks)
	}
	t.Run("P12 dropped response", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, nil)
		h.put(t, "disk.img", pattern(4096, 1))
		h.connect(&http.Client{Transport: &droppedOnce{RoundTripper: h.Transport()}}, h.url)
		in := importInput("disk.img")
		in.ClientToken = aws.String("t")
		if _, err := h.ec2.ImportSnapshot(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		if n := count(t, h); n != 1 {
			t.Errorf("%d tasks", n)
		}
	})
	t.Run("P12 caller gone at any moment", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, nil)
		h.put(t, "disk.img", pattern(4096, 1))
		const imports = 30
		for i := range imports {
			in := importInput("disk.img")
			in.ClientToken = aws.String(fmt.Sprint("t", i))
			ctx, cancel := context.WithTimeout(t.Context(), rand.N(3*time.Millisecond)) //nolint:gosec // any moment will do
			_, err := h.ec2.ImportSnapshot(ctx, in)
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			if _, err := h.ec2.ImportSnapshot(t.Context(), in); err != nil {
				t.Fatal(err)
			}
		}
		if n := count(t, h); n != imports {
			t.Errorf("%d tasks of %d imports", n, imports)
		}
	})
	t.Run("concurrently with one token", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, nil)
		h.put(t, "disk.img", pattern(4096, 1))
		in := importInput("disk.img")
		in.ClientToken = aws.String("t")
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := h.ec2.ImportSnapshot(t.Context(), in); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := count(t, h); n != 1 {
			t.Errorf("%d tasks", n)
		}
	})
}

// TestTransportContext: a caller that stops waiting gets its context's error at once, although the call is still carried out.
func TestTransportContext(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}), make(chan struct{})
	h := newHost(t, func(c *Config) {
		c.Images = &imagesource.Opener{S3: func(context.Context, string) (*s3.Client, error) {
			close(asked)
			<-release
			return nil, errors.New("no S3 today")
		}}
	})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := h.ec2.ImportSnapshot(ctx, importInput("disk.img"))
		failed <- err
	}()
	<-asked
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(release)
	if _, err := h.ec2.DescribeSnapshots(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if status, body, _ := h.post(t, "Action", "DescribeSnapshots"); status != 503 || !strings.Contains(body, "Unavailable") {
		t.Errorf("after Close: %d %s", status, body)
	}
}

// TestCancelRace: whoever comes first, the cancel's answer, the task's end and the files agree.
func TestCancelRace(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.put(t, "disk.img", pattern(1<<20, 1))
	won, lost := 0, 0
	for range 30 {
		id := h.importKey(t, "disk.img")
		timer := time.NewTimer(rand.N(30 * time.Millisecond)) //nolint:gosec // any moment will do
		<-timer.C
		_, err := h.ec2.CancelImportTask(t.Context(), &ec2.CancelImportTaskInput{ImportTaskId: &id})
		if err == nil {
			won++
			h.wait(t, id, statusDeleted)
			continue
		}
		lost++
		wantCode(t, err, "InvalidParameter", "completed")
		d := h.wait(t, id, statusCompleted)
		if _, err := h.ec2.DeleteSnapshot(t.Context(), &ec2.DeleteSnapshotInput{SnapshotId: d.SnapshotId}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d canceled, %d completed", won, lost)
	eventually(t, func() bool { return len(h.files(t)) == 0 })
}

// TestNotStrict takes what can be read, and still refuses what contradicts its declaration (design 8).
func TestNotStrict(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *Config) { c.Strict = false })
	h.put(t, "disk.img", pattern(4096, 1))
	in := importInput("disk.img")
	in.DiskContainer.Format = aws.String("vhdx")
	out, err := h.ec2.ImportSnapshot(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	d := h.wait(t, *out.ImportTaskId, statusDeleted)
	if *d.StatusMessage != "ClientError: Disk validation failed [Unsupported specified file format]" || *d.Format != "VHDX" {
		t.Errorf("%s %s", *d.StatusMessage, *d.Format)
	}
}

// TestSourceGone is P15: the object is deleted under a running import.
func TestSourceGone(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *Config) { c.Simulate.TaskDuration = time.Hour })
	h.put(t, "disk.img", pattern(4096, 1))
	id := h.importKey(t, "disk.img")
	eventually(t, func() bool { return *h.describe(t, id).StatusMessage == messageConverting })
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(h.bucket, "disk.img")); err != nil {
		t.Fatal(err)
	}
	next := &host{Endpoint: New(h.config)}
	defer next.Close()
	next.inProcess()
	if err := next.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := next.wait(t, id, statusDeleted); *d.StatusMessage != "ClientError: Disk validation failed [We do not have access to the given resource. Reason 404 Not Found]" {
		t.Errorf("%s", *d.StatusMessage)
	}
}

// TestManyImports: more than there are slots, all at once.
func TestManyImports(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	data := pattern(64<<10, 1)
	h.put(t, "disk.img", data)
	var ids []string
	for range 40 {
		ids = append(ids, h.importKey(t, "disk.img"))
	}
	for _, id := range ids {
		h.wantVolume(t, *h.wait(t, id, statusCompleted).SnapshotId, data)
	}
	eventually(t, func() bool { return len(h.files(t)) == len(ids) })
}
