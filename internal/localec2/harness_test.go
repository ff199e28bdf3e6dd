package localec2

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/hashicorp/go-hclog"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
)

const testAccount = "123456789012"

// host is an endpoint under test with the bucket "images" and clients that talk to it.
type host struct {
	*Endpoint
	bucket    string // the directory
	http      *http.Client
	url       string
	accessKey string // "" = one that names no account
	ec2       *ec2.Client
	sts       *sts.Client
}

// newHost makes an endpoint in a fresh directory that does not exist yet; change may adjust its configuration.
func newHost(t *testing.T, change func(*Config)) *host {
	t.Helper()
	dir := t.TempDir()
	bucket := filepath.Join(dir, "bucket")
	if err := os.Mkdir(bucket, 0o755); err != nil {
		t.Fatal(err)
	}
	c := Config{
		DataDir: filepath.Join(dir, "data"), AccountID: testAccount, Strict: true,
		Images: &imagesource.Opener{Buckets: map[string]string{"images": bucket}},
		Log:    testLog(t),
	}
	if change != nil {
		change(&c)
	}
	h := &host{Endpoint: New(c), bucket: bucket}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close the endpoint: %v", err)
		}
	})
	h.inProcess()
	return h
}

func testLog(t *testing.T) hclog.Logger {
	if !testing.Verbose() {
		return hclog.NewNullLogger()
	}
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: logWriter{t}, DisableTime: true})
}

type logWriter struct{ t *testing.T }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

// inProcess makes the clients talk through Transport.
func (h *host) inProcess() {
	h.connect(&http.Client{Transport: h.Transport()}, "http://localec2.invalid")
}

// overLoopback makes the clients talk through a socket.
func (h *host) overLoopback(t *testing.T) {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.connect(server.Client(), server.URL)
}

func (h *host) connect(client *http.Client, address string) {
	h.http, h.url = client, address
	h.ec2, h.sts = h.clients("us-east-1")
}

func (h *host) clients(region string) (*ec2.Client, *sts.Client) {
	cfg := aws.Config{
		Region: region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: cmp.Or(h.accessKey, "AKIDLOCAL"), SecretAccessKey: "secret"}, nil
		}),
	}
	return ec2.NewFromConfig(cfg, func(o *ec2.Options) { o.HTTPClient, o.BaseEndpoint = h.http, &h.url }),
		sts.NewFromConfig(cfg, func(o *sts.Options) { o.HTTPClient, o.BaseEndpoint = h.http, &h.url })
}

// put stores an object in the bucket.
func (h *host) put(t *testing.T, key string, data []byte) {
	t.Helper()
	path := filepath.Join(h.bucket, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// post sends a raw request, pairs of names and values, and returns what came back.
func (h *host) post(t *testing.T, pairs ...string) (int, string, http.Header) {
	t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	res, err := h.http.PostForm(h.url+"/", form)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body), res.Header
}

// importKey starts an import of an object and returns the task's id.
func (h *host) importKey(t *testing.T, key string) string {
	t.Helper()
	out, err := h.ec2.ImportSnapshot(t.Context(), importInput(key))
	if err != nil {
		t.Fatal(err)
	}
	return *out.ImportTaskId
}

func importInput(key string) *ec2.ImportSnapshotInput {
	return &ec2.ImportSnapshotInput{DiskContainer: &types.SnapshotDiskContainer{
		UserBucket: &types.UserBucket{S3Bucket: aws.String("images"), S3Key: &key},
	}}
}

func (h *host) describe(t *testing.T, id string) *types.SnapshotTaskDetail {
	t.Helper()
	out, err := h.ec2.DescribeImportSnapshotTasks(t.Context(), &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.ImportSnapshotTasks) != 1 {
		t.Fatalf("%d tasks came back for %s", len(out.ImportSnapshotTasks), id)
	}
	return out.ImportSnapshotTasks[0].SnapshotTaskDetail
}

// wait polls until the task has the status, and fails when it ends with another.
func (h *host) wait(t *testing.T, id, status string) *types.SnapshotTaskDetail {
	t.Helper()
	var d *types.SnapshotTaskDetail
	eventually(t, func() bool {
		d = h.describe(t, id)
		got := aws.ToString(d.Status)
		if got != status && (got == statusCompleted || got == statusDeleted) {
			t.Fatalf("task %s ended as %s (%s), not as %s", id, got, aws.ToString(d.StatusMessage), status)
		}
		return got == status
	})
	eventually(t, func() bool { return !h.owns(id) }) // its lock goes behind its last word
	return d
}

// owns says that this process is at work on a task.
func (h *host) owns(id string) bool {
	h.workers.mu.Lock()
	defer h.workers.mu.Unlock()
	_, owned := h.workers.jobs[id]
	return owned
}

// eventually polls a condition that some other goroutine or process brings about.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(60 * time.Second)
	defer deadline.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("nothing happened for a minute")
		}
	}
}

// imported imports data and returns the id of its snapshot.
func (h *host) imported(t *testing.T, key string, data []byte) string {
	t.Helper()
	h.put(t, key, data)
	return *h.wait(t, h.importKey(t, key), statusCompleted).SnapshotId
}

// wantVolume compares a snapshot's volume with the bytes it must have.
func (h *host) wantVolume(t *testing.T, snapshot string, want []byte) {
	t.Helper()
	v, err := h.Volume(t.Context(), snapshot)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(v.Path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("the volume of %s differs from the image (%d bytes, want %d)", snapshot, len(got), len(want))
	}
	if sum := sha256.Sum256(want); v.SHA256 != "" && v.SHA256 != hex.EncodeToString(sum[:]) {
		t.Fatalf("the volume's checksum is said to be %s", v.SHA256)
	}
}

// files lists what is below the data directory, without the store itself.
func (h *host) files(t *testing.T) []string {
	t.Helper()
	return filesBelow(t, h.config.DataDir)
}

func filesBelow(t testing.TB, dir string) []string {
	t.Helper()
	found := []string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil && !d.IsDir() && !strings.HasPrefix(d.Name(), storeFile) {
			rel, _ := filepath.Rel(dir, path)
			found = append(found, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// pattern is content without long runs of zeros, different for each seed, with one hole of zeros in the middle.
func pattern(size int, seed byte) []byte {
	b := make([]byte, size)
	x := uint32(seed)*2654435761 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x) | 1
	}
	clear(b[size/3 : size/2])
	return b
}

// wantCode checks the code, and a part of the message, of an error from the wire.
func wantCode(t *testing.T, err error, code, message string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Fatalf("want %s, got %v", code, err)
	}
	if api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), message) {
		t.Fatalf("want %s with %q, got %s: %s", code, message, api.ErrorCode(), api.ErrorMessage())
	}
}
