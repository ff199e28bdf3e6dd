package provider_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
)

// behindStart is a context that ends as soon as an import is accepted.
func behindStart(t *testing.T, e *acctest.EC2) context.Context {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	e.On("ImportSnapshot", func(_ *acctest.Request, next func() *acctest.Answer) *acctest.Answer {
		defer stop()
		return next()
	})
	return ctx
}

// interrupted is an import whose apply was stopped right behind its start.
func interrupted(t *testing.T, e *acctest.EC2, config map[string]any) *acctest.Object {
	t.Helper()
	c := acctest.NewCore(t, e.Config())
	p, d := c.Plan(nil, config)
	if d.HasError() {
		t.Fatal(d)
	}
	o, d := c.Apply(behindStart(t, e), p)
	if d.HasError() || o.Get("snapshot_id") != nil {
		t.Fatalf("the interrupted apply has snapshot_id %v: %v", o.Get("snapshot_id"), d)
	}
	return o
}

// TestRule4SnapshotLost: a snapshot that was deleted before an apply has seen it does not hold the resource up for ever.
func TestRule4SnapshotLost(t *testing.T) {
	t.Parallel()
	e := slow(t, 3*time.Second)
	o := interrupted(t, e, with())
	snapshot := e.Await(t, here, o.Text("import_task_id"))
	e.Call(t, "DeleteSnapshot", here, "SnapshotId", snapshot)
	o, d := acctest.NewCore(t, e.Config()).Read(o)
	if o != nil || len(d) != 1 || d.HasError() || !strings.Contains(d.String(), snapshot) {
		t.Errorf("read %v with %v", o, d)
	}
}

// TestP27FailedUnseen: a snapshot that failed before an apply has seen it is there all the same, and is told of; the destroy deletes it.
func TestP27FailedUnseen(t *testing.T) {
	t.Parallel()
	e := slow(t, 3*time.Second)
	o := interrupted(t, e, with())
	e.Await(t, here, o.Text("import_task_id"))
	e.On("DescribeSnapshots", acctest.WithElement("status", "error"))
	c := acctest.NewCore(t, e.Config())
	o, d := c.Read(o)
	if o == nil || len(d) != 1 || d.HasError() || !strings.Contains(d.String(), "-replace") {
		t.Fatalf("kept: %t, %v", o != nil, d)
	}
	if d := c.Destroy(o); len(d) > 0 || e.Snapshots(t, here) != 0 {
		t.Errorf("destroyed with %v, %d snapshots are left", d, e.Snapshots(t, here))
	}
}

// TestP26TwoSnapshotsOfOneTask: where EC2 has forgotten the task and two snapshots bear its name, none is taken for the import's.
func TestP26TwoSnapshotsOfOneTask(t *testing.T) {
	t.Parallel()
	e := slow(t, 3*time.Second)
	o := interrupted(t, e, with())
	snapshot := e.Await(t, here, o.Text("import_task_id"))
	for _, action := range []string{"DescribeImportSnapshotTasks", "CancelImportTask"} {
		e.On(action, acctest.Refuse(400, "InvalidConversionTaskId.Malformed", "The import task was not found."))
	}
	e.On("DescribeSnapshots", acctest.Rewrite(func(body string) string {
		item := regexp.MustCompile(`(?s)<item>.*</item>`).FindString(body)
		return strings.Replace(body, item, strings.ReplaceAll(item, snapshot, "snap-0c0c0c0c0c0c0c0c0")+item, 1)
	}))
	c := acctest.NewCore(t, e.Config())
	if d := c.Destroy(o); !d.HasError() || !strings.Contains(d.String(), snapshot) || !strings.Contains(d.String(), "snap-0c0c0c0c0c0c0c0c0") {
		t.Errorf("destroyed with %v", d)
	}
	if n := len(e.Requests("DeleteSnapshot")); n != 0 {
		t.Errorf("%d snapshots were deleted", n)
	}
}

// TestP27MissedOnce: one answer without a snapshot that was there before does not import it anew.
func TestP27MissedOnce(t *testing.T) {
	unknown := acctest.Refuse(400, "InvalidSnapshot.NotFound", "The snapshot does not exist.")
	for name, missed := range map[string]acctest.Hook{
		"not found":    acctest.First(2, unknown),
		"empty answer": acctest.First(2, acctest.Instead(200, "")),
		"not found, slowly": acctest.First(1, func(r *acctest.Request, next func() *acctest.Answer) *acctest.Answer {
			return acctest.Delay(11*time.Second)(r, func() *acctest.Answer { return unknown(r, next) })
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			c := acctest.NewCore(t, e.Config())
			o, d := c.Create(with())
			if len(d) > 0 {
				t.Fatal(d)
			}
			e.On("DescribeSnapshots", missed)
			if o, d := c.Read(o); o == nil || len(d) > 0 {
				t.Errorf("the snapshot is dropped: %v", d)
			}
			e.Call(t, "DeleteSnapshot", here, "SnapshotId", o.Text("snapshot_id"))
			if o, d := c.Read(o); o != nil || d.HasError() {
				t.Errorf("the deleted snapshot is still there: %v", d)
			}
		})
	}
}

// TestP21MissedOnce: one answer that does not know a running task is not believed, by a refresh as little as by a destroy.
func TestP21MissedOnce(t *testing.T) {
	missed := func() acctest.Hook {
		return polls(acctest.First(1, acctest.Refuse(400, "InvalidConversionTaskId.Malformed", "The import task was not found.")))
	}
	t.Run("refresh", func(t *testing.T) {
		t.Parallel()
		e := slow(t, time.Hour)
		o := interrupted(t, e, with())
		e.On("DescribeImportSnapshotTasks", missed())
		if o, d := acctest.NewCore(t, e.Config()).Read(o); o == nil || len(d) > 0 {
			t.Errorf("a running import is dropped: %v", d)
		}
	})
	t.Run("destroy", func(t *testing.T) {
		t.Parallel()
		e := slow(t, time.Hour)
		o := interrupted(t, e, with())
		e.On("DescribeImportSnapshotTasks", missed())
		e.On("CancelImportTask", acctest.First(1, acctest.Refuse(400, "InvalidConversionTaskId.Malformed", "The import task was not found.")))
		if d := acctest.NewCore(t, e.Config()).Destroy(o); !d.HasError() {
			t.Error("a running import counts as destroyed")
		}
	})
}

// TestRule4ResumedTags: the task of an interrupted import gets the tags of the apply that finishes it, as its snapshot does.
func TestRule4ResumedTags(t *testing.T) {
	t.Parallel()
	e := slow(t, 3*time.Second)
	o := interrupted(t, e, with("tags", tags("Name", "before")))
	o, d := acctest.NewCore(t, e.Config()).Change(o, with("tags", tags("Name", "after")))
	if d.HasError() || o.Text("snapshot_id") == "" {
		t.Fatalf("resumed: %v", d)
	}
	for _, call := range []string{"DescribeSnapshots", "DescribeImportSnapshotTasks"} {
		if answer := e.Call(t, call, here); !strings.Contains(answer, "<value>after</value>") || strings.Contains(answer, "<value>before</value>") {
			t.Errorf("%s: %s", call, answer)
		}
	}
}

// TestRule2UnknownStaysUnknown: a value that the configuration sets, but does not know yet, is not planned as the prior one: the apply would then
// find another than was planned.
func TestRule2UnknownStaysUnknown(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	c := acctest.NewCore(t, e.Config())
	o, d := c.Create(with("storage_tier", "standard", "encrypted", false))
	if len(d) > 0 {
		t.Fatal(d)
	}
	for _, attribute := range []string{"storage_tier", "encrypted", "region"} {
		config := with("storage_tier", "standard", "encrypted", false)
		config[attribute] = acctest.Unknown
		if p, d := c.Plan(o, config); d.HasError() || p.Get(attribute) != acctest.Unknown {
			t.Errorf("%s is planned as %v: %v", attribute, p.Get(attribute), d)
		}
	}
}

// TestP2EncryptedNoLongerSaid: what was false in spite of EC2 follows EC2 once the configuration does not say it any more, in place and without a call.
func TestP2EncryptedNoLongerSaid(t *testing.T) {
	t.Parallel()
	e := newEC2(t, func(c *localec2.Config) { c.Simulate.EncryptionByDefault = true })
	c := acctest.NewCore(t, e.Config())
	o, d := c.Create(with("encrypted", false))
	if len(d) != 1 || d[0].Summary != "Snapshot Is Encrypted All the Same" || o.Get("encrypted") != false {
		t.Fatalf("encrypted is %v: %v", o.Get("encrypted"), d)
	}
	e.Forget()
	p, d := c.Plan(o, with())
	if p.Action != "update" || len(p.Replaces) > 0 || len(d) > 0 {
		t.Fatalf("the plan is %s (replaces %q): %v", p.Action, p.Replaces, d)
	}
	o, d = c.Apply(t.Context(), p)
	if len(d) > 0 || o.Get("encrypted") != true || len(e.Changes()) > 0 {
		t.Errorf("encrypted is %v, calls %v: %v", o.Get("encrypted"), e.Changes(), d)
	}
	if p, d := c.Plan(o, with()); p.Action != "no-op" || len(d) > 0 {
		t.Errorf("the plan behind it is %s: %v", p.Action, d)
	}
}

// TestRule5NoSecrets: what a presigned URL carries beside its path is in no message.
func TestRule5NoSecrets(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	c := acctest.NewCore(t, e.Config())
	e.On("ImportSnapshot", acctest.Refuse(400, "InvalidParameter", "no"))
	config := with("preflight", false)
	config["disk_container"] = map[string]any{"url": "https://images.example.com/disk.vmdk?X-Amz-Signature=SECRETSIGNATURE"}
	_, d := c.Create(config)
	if !d.HasError() || strings.Contains(d.String(), "SECRETSIGNATURE") || !strings.Contains(d.String(), "images.example.com/disk.vmdk") {
		t.Errorf("said %v", d)
	}
}

// TestRule6TooManyTags: the default tags count, too.
func TestRule6TooManyTags(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	provider := e.Config()
	provider["default_tags"] = []any{map[string]any{"tags": tags("one", "1", "two", "2")}}
	many := map[string]any{}
	for i := range 49 {
		many[fmt.Sprint("key", i)] = "value"
	}
	_, d := acctest.NewCore(t, provider).Plan(nil, with("tags", many))
	if !d.HasError() || d.Errors()[0].Path != "tags" {
		t.Errorf("planned with %v", d)
	}
}

// TestP12MayHaveBegun: where EC2 may have taken an import and its answers are lost, the error does not say that it has not, and says what to do now.
func TestP12MayHaveBegun(t *testing.T) {
	lost := acctest.LoseAnswer(500, "InternalError", "An internal error has occurred")
	for name, test := range map[string]struct {
		hook      acctest.Hook
		interrupt bool
		title     string
		says      []string
	}{
		"interrupted": {lost, true, "Import May Have Begun", []string{"interrupted", "plan again now", "`client_token`", "Cause: "}},
		"out of time": {lost, false, "Import May Have Begun", []string{"not known whether EC2 took", "plan again now", "`client_token`", "Cause: "}},
		"never taken, interrupted": {
			acctest.Refuse(400, "ResourceCountLimitExceeded", "Resource limit exceeded"), true, "Import Not Started", []string{"No import has begun", "ResourceCountLimitExceeded"},
		},
		"never taken, out of time": {
			acctest.Refuse(400, "ResourceCountLimitExceeded", "Resource limit exceeded"), false, "Unable to Start Import", []string{"did not take", "ResourceCountLimitExceeded", "Cure: "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := slow(t, time.Hour)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			e.On("ImportSnapshot", test.hook)
			if test.interrupt {
				e.On("ImportSnapshot", func(_ *acctest.Request, next func() *acctest.Answer) *acctest.Answer {
					defer stop()
					return next()
				})
			}
			config := with("timeouts", map[string]any{"create": "6s"})
			c := acctest.NewCore(t, e.Config())
			p, d := c.Plan(nil, config)
			if len(d) > 0 {
				t.Fatal(d)
			}
			o, d := c.Apply(ctx, p)
			if o != nil || len(d) != 1 || !d.HasError() || d[0].Summary != test.title {
				t.Fatalf("want %q, got\n%s", test.title, d)
			}
			if missing := lacks(d[0].Detail, test.says...); len(missing) > 0 {
				t.Errorf("the error lacks %q:\n%s", missing, d[0].Detail)
			}
			e.Calm()
			_, d = acctest.NewCore(t, e.Config()).Plan(nil, config)
			if found := strings.Contains(d.String(), "Unfinished Import of the Same Image"); found != (test.title == "Import May Have Begun") {
				t.Errorf("the next plan says\n%s", d)
			}
		})
	}
}
