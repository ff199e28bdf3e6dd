package provider_test

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
)

// TestRule4LocalTaskOutlivesItsProcess: an import of the local backend whose process has ended is carried on by the next apply, and by no plan.
func TestRule4LocalTaskOutlivesItsProcess(t *testing.T) {
	t.Parallel()
	l := newLocal(t)
	ended := localec2.New(localec2.Config{
		DataDir: l.DataDir, AccountID: "000000000000", Strict: true, Simulate: localec2.Simulate{TaskDuration: 8 * time.Second},
		Images: &imagesource.Opener{Buckets: map[string]string{"images": l.Images}},
	})
	client := http.Client{Transport: ended.Transport()}
	answer, err := client.PostForm("http://ec2.invalid/", url.Values{
		"Action": {"ImportSnapshot"}, "Version": {"2016-11-15"}, "DiskContainer.Url": {"s3://images/disk.vmdk"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	task := element(string(body), "importTaskId")
	if err := ended.Close(); err != nil {
		t.Fatal(err)
	}
	due := time.NewTimer(8500 * time.Millisecond)
	defer due.Stop()
	select {
	case <-due.C:
	case <-t.Context().Done():
	}

	c := acctest.NewCore(t, map[string]any{"local": map[string]any{"data_dir": l.DataDir, "buckets": map[string]any{"images": l.Images}}})
	o, d := c.Import(task)
	if len(d) > 0 {
		t.Fatal(d)
	}
	p, d := c.Plan(o, with("timeouts", map[string]any{"update": "30s"}))
	if d.HasError() {
		t.Fatal(d)
	}
	if o, d = c.Read(o); d.HasError() || o.Get("snapshot_id") != nil || o.Text("snapshot_task_detail.status") != "active" {
		t.Fatalf("a plan has carried the import on: snapshot %v, status %v: %v", o.Get("snapshot_id"), o.Get("snapshot_task_detail.status"), d)
	}
	if o, d = c.Apply(t.Context(), p); len(d) > 0 {
		t.Fatal(d)
	}
	if err := sameBytes(o.Text("volume_path"), disk()); err != nil || o.Text("import_task_id") != task {
		t.Errorf("the resumed import of task %s: %v", o.Text("import_task_id"), err)
	}
	if d := c.Destroy(o); len(d) > 0 {
		t.Error(d)
	}
	if left := l.Strays(t); len(left) > 0 {
		t.Errorf("the destroy has left %v", left)
	}
}

// TestLocalBrokenCABundle: AWS_CA_BUNDLE of the machine may name anything; an import from a directory needs no certificate.
func TestLocalBrokenCABundle(t *testing.T) {
	l := newLocal(t)
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	if err := os.WriteFile(bundle, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	c := acctest.StartCore(t)
	d := c.Configure(map[string]any{"local": map[string]any{"data_dir": l.DataDir, "buckets": map[string]any{"images": l.Images}}})
	if d.HasError() || len(d.Warnings()) != 1 || !strings.Contains(d.String(), "AWS_CA_BUNDLE") {
		t.Fatalf("configured with %v", d)
	}
	if o, d := c.Create(with()); len(d) > 0 || o.Text("snapshot_id") == "" {
		t.Errorf("imported with %v", d)
	}
}
