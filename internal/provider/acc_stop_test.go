package provider_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// TestRule5RefusedBehindStop: a stop does not cut ImportSnapshot, and what EC2 then answers is what is told.
func TestRule5RefusedBehindStop(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	c := acctest.NewCore(t, e.Config())
	stop := c.Stoppable()
	e.On("ImportSnapshot", func(r *acctest.Request, next func() *acctest.Answer) *acctest.Answer {
		if !strings.Contains(r.Form.Encode(), "TagSpecification") { // the last try: the one with the marker tag may have been refused for it
			stop()
		}
		return acctest.Refuse(403, "UnauthorizedOperation", "You are not authorized to perform this operation.")(r, next)
	})
	if o, d := c.Create(with()); o != nil || len(d) != 1 || d[0].Summary != "Unable to Start Import" ||
		len(lacks(d[0].Detail, "You are not authorized", "Cause: ", "Cure: ")) > 0 {
		t.Errorf("got %v and\n%s", o, d)
	}
}

// TestP6StopProvider: Terraform's stop, at each boundary of a call: the create returns soon, with all it knows and without an error, and the next
// apply finishes the same import.
func TestP6StopProvider(t *testing.T) {
	before := func(stop func()) acctest.Hook {
		return func(_ *acctest.Request, next func() *acctest.Answer) *acctest.Answer {
			stop()
			return next()
		}
	}
	behind := func(stop func()) acctest.Hook {
		return func(_ *acctest.Request, next func() *acctest.Answer) *acctest.Answer {
			defer stop()
			return next()
		}
	}
	hanging := func(stop func()) acctest.Hook {
		return func(r *acctest.Request, next func() *acctest.Answer) *acctest.Answer {
			stop()
			return acctest.Until(nil)(r, next)
		}
	}
	for name, test := range map[string]struct {
		action string
		at     func(stop func()) acctest.Hook
		none   bool // nothing was begun
	}{
		"while preflight looks at the image":       {"", nil, true},
		"while ImportSnapshot is on its way":       {"ImportSnapshot", before, false},
		"while the answer of ImportSnapshot comes": {"ImportSnapshot", behind, false},
		"between polls":                              {"DescribeImportSnapshotTasks", behind, false},
		"while a poll hangs":                         {"DescribeImportSnapshotTasks", hanging, false},
		"while the snapshot is looked for":           {"DescribeSnapshots", hanging, false},
		"before the tags":                            {"DescribeSnapshots", behind, false},
		"while the tags hang":                        {"CreateTags", hanging, false},
		"before the tier":                            {"CreateTags", behind, false},
		"while the tier hangs":                       {"ModifySnapshotTier", hanging, false},
		"when the tier is asked for, behind its end": {"ModifySnapshotTier", behind, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			c := acctest.NewCore(t, e.Config())
			stopProvider := c.Stoppable()
			var stopped time.Time
			stop := func() {
				stopped = time.Now()
				stopProvider()
			}
			config := with("tags", tags("Name", "web"), "storage_tier", "archive")
			p, d := c.Plan(nil, config)
			if d.HasError() {
				t.Fatal(d)
			}
			if test.at == nil {
				e.OnS3(func(http.ResponseWriter, *http.Request) bool {
					stop()
					return false
				})
			} else {
				at := test.at(stop)
				if strings.HasPrefix(test.action, "Describe") {
					at = acctest.When(func(r *acctest.Request) bool { return r.Form.Has("ImportTaskId.1") || r.Form.Has("SnapshotId.1") }, at)
				}
				e.On(test.action, acctest.First(1, at))
			}
			o, d := c.Apply(t.Context(), p)
			if stopped.IsZero() {
				t.Fatal("the moment did not come")
			}
			if took := time.Since(stopped); took > 20*time.Second {
				t.Errorf("the create has returned %s behind the stop", took)
			}
			if test.none {
				if o != nil || !d.HasError() || e.Tasks(t, here) != 0 {
					t.Errorf("%d tasks, object %v: %v", e.Tasks(t, here), o, d)
				}
				return
			}
			if o == nil || d.HasError() || o.Text("import_task_id") == "" || o.Text("region") != here || o.Get("disk_container.url") == nil {
				t.Fatalf("the state is not complete: %v", d)
			}
			if unfinished := o.Get("snapshot_id") == nil; unfinished && !strings.Contains(d.String(), "continues") {
				t.Errorf("nothing says that the import continues: %v", d)
			}
			if c.Identity(o)["import_task_id"] != o.Text("import_task_id") {
				t.Errorf("the identity is %v", c.Identity(o))
			}

			e.OnS3(nil)
			e.Calm()
			c = acctest.NewCore(t, e.Config())
			o, d = c.Change(o, config)
			if d.HasError() || o.Text("snapshot_id") == "" {
				t.Fatalf("the next apply does not finish it: %v", d)
			}
			if o, d = c.Read(o); o == nil || d.HasError() {
				t.Fatal(d)
			}
			if p, d := c.Plan(o, config); p.Action != "no-op" || len(d) > 0 {
				t.Errorf("the plan behind it is %s: %v\n%s", p.Action, d, p.Changed())
			}
			oneImport(t, e, c, o)
		})
	}
}
