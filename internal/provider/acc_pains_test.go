package provider_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
)

// TestP9MessageComplete: the one message of a failed import has all that there is to know of it, EC2's words first.
func TestP9MessageComplete(t *testing.T) {
	t.Parallel()
	const words = "ClientError: Disk validation failed [Unsupported VMDK File Format]"
	e := acctest.NewEC2(t, func(c *localec2.Config) { c.Simulate.FailWith = words })
	e.Put(t, "disk.vmdk", vmdk())
	_, d := acctest.NewCore(t, e.Config()).Create(with())
	if len(d) != 1 || !d.HasError() {
		t.Fatalf("want one error, got %v", d)
	}
	last := -1
	for _, part := range []string{
		words, "Cause: ", "Cure: ", "task:", "import-snap-", "Region:", here, "source:", "s3://images/disk.vmdk", "format sent:", "last status:", "deleted", "time spent:",
	} {
		at := strings.Index(d[0].Detail, part)
		if at < last {
			t.Errorf("%q is missing, or not behind what comes before it:\n%s", part, d[0].Detail)
		}
		last = at
	}
}

// TestP14RunningOut: a wait is three hours by default, and the end of its time loses nothing: what the error says to do finishes the same task.
func TestP14RunningOut(t *testing.T) {
	t.Parallel()
	e := slow(t, 12*time.Second)
	c := acctest.NewCore(t, e.Config())
	o, d := c.Create(with("timeouts", map[string]any{"create": "5s"}))
	if o == nil || !o.Tainted || len(d.Errors()) != 1 {
		t.Fatalf("the wait has ended with %v", d)
	}
	if missing := lacks(d[0].Detail, "It was not cancelled", "untaint", o.Text("import_task_id"), "timeouts.create"); len(missing) > 0 {
		t.Errorf("the error lacks %q:\n%s", missing, d)
	}
	if n := len(e.Requests("CancelImportTask")); n != 0 {
		t.Error("the import was cancelled")
	}
	o.Untaint()
	o, d = c.Change(o, with()) // without timeouts: by the defaults, longer than any import here
	if d.HasError() || o.Text("snapshot_id") == "" {
		t.Fatalf("what the error says does not finish it: %v", d)
	}
	oneImport(t, e, c, o)

	schema, err := os.ReadFile(filepath.Join("..", "..", "docs", "resources", "import_snapshot.md"))
	if err != nil {
		t.Fatal(err)
	}
	if missing := lacks(string(schema), "How long to wait for the import, default `3h`"); len(missing) > 0 {
		t.Errorf("the documentation lacks %q", missing)
	}
}

// TestP15SourceOutlives: a destroy cancels the import before anything else, and the example makes the object outlive it by a reference.
func TestP15SourceOutlives(t *testing.T) {
	t.Parallel()
	e := slow(t, time.Hour)
	o := interrupted(t, e, with())
	e.Forget()
	if d := acctest.NewCore(t, e.Config()).Destroy(o); len(d) > 0 {
		t.Fatal(d)
	}
	if calls := e.Actions(); len(calls) == 0 || calls[0] != "CancelImportTask" || slices.Contains(e.Changes(), "DeleteSnapshot") {
		t.Errorf("the destroy has called %v", calls)
	}
	if n := e.Count(t, "DescribeImportSnapshotTasks", here, "<status>active"); n != 0 {
		t.Error("the destroy has returned before the task was at its end: what uploads its source may delete it now")
	}

	examples, err := filepath.Glob(filepath.Join("..", "..", "examples", "*", "*", "*.tf"))
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	referred := false
	for _, name := range examples {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		referred = referred || strings.Contains(string(text), "ec2_import_snapshot") && strings.Contains(string(text), "aws_s3_object.") && strings.Contains(string(text), ".key")
	}
	if !referred {
		t.Error("no example of ec2_import_snapshot refers to the aws_s3_object that it imports")
	}
}

// TestP22Lookup: imports that were left are looked for by tag on the server, through all pages, in one search for all resources.
func TestP22Lookup(t *testing.T) {
	t.Parallel()
	e := slow(t, time.Hour)
	left := interrupted(t, e, with()).Text("import_task_id") // its state is lost
	for range 2 {
		interrupted(t, e, with("description", "another"))
	}
	// Pages of one task, as a busy account has them of a thousand.
	e.On("DescribeImportSnapshotTasks", acctest.When(func(r *acctest.Request) bool { return r.Form.Has("Filters.1.Name") },
		func(r *acctest.Request, next func() *acctest.Answer) *acctest.Answer {
			if r.Form.Get("Filters.1.Name") != "tag-key" || r.Form.Get("Filters.1.Value.1") != "terraform-provider-ec2" {
				t.Errorf("the filter is %v", r.Form)
			}
			r.Page(1)
			return next()
		}))
	e.Forget()
	c := acctest.NewCore(t, e.Config())
	for range 2 {
		_, d := c.Plan(nil, with())
		if len(d) != 1 || strings.Count(d.String(), "import-snap-") != 1 || !strings.Contains(d.String(), left) {
			t.Errorf("want a warning that names %s alone, got %v", left, d)
		}
	}
	if n := len(e.Requests("DescribeImportSnapshotTasks")); n != 3 {
		t.Errorf("%d calls, want three pages, once", n)
	}
}

// TestP26Again: a deletion that was answered, but not carried out, is asked for again.
func TestP26Again(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	c := acctest.NewCore(t, e.Config())
	o, d := c.Create(with())
	if len(d) > 0 {
		t.Fatal(d)
	}
	e.On("DeleteSnapshot", acctest.First(1, acctest.Instead(200, "")))
	if d := c.Destroy(o); len(d) > 0 {
		t.Error(d)
	}
	if n := e.Snapshots(t, here); n != 0 {
		t.Errorf("%d snapshots are left", n)
	}
}
