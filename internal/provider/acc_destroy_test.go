package provider_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// inUse refuses to delete a snapshot because of an AMI, which DescribeImages then names.
func inUse(e *acctest.EC2, times int) {
	e.On("DeleteSnapshot", acctest.First(times, acctest.Refuse(400, "InvalidSnapshot.InUse", "The snapshot snap-1 is currently in use by ami-0123456789abcdef0")))
	e.On("DescribeImages", acctest.Instead(200, "<DescribeImagesResponse><imagesSet><item>"+
		"<imageId>ami-0123456789abcdef0</imageId><name>web</name></item></imagesSet></DescribeImagesResponse>"))
}

// TestRule4Destroy (P26): whatever state the import is in, a destroy leaves nothing, or says what it leaves and why.
func TestRule4Destroy(t *testing.T) {
	for name, test := range map[string]struct {
		config  map[string]any
		before  func(t *testing.T, e *acctest.EC2, o *acctest.Object)
		calls   []string // that change something
		left    int      // snapshots
		refused string
	}{
		"complete": {calls: []string{"DeleteSnapshot"}},
		"already gone": {
			before: func(t *testing.T, e *acctest.EC2, o *acctest.Object) {
				e.Call(t, "DeleteSnapshot", here, "SnapshotId", o.Text("snapshot_id"))
			},
			calls: []string{"DeleteSnapshot"},
		},
		"skip_destroy": {config: with("skip_destroy", true), left: 1},
		"the AMI is deregistered in the same destroy": {
			before: func(_ *testing.T, e *acctest.EC2, _ *acctest.Object) { inUse(e, 1) },
			calls:  []string{"DeleteSnapshot", "DeleteSnapshot"},
		},
		"in use": {
			config: with("timeouts", map[string]any{"delete": "4s"}),
			before: func(_ *testing.T, e *acctest.EC2, _ *acctest.Object) { inUse(e, 100) },
			calls:  []string{"DeleteSnapshot"}, left: 1, refused: `(?s)InvalidSnapshot\.InUse.*still used by ami-0123456789abcdef0 \(web\)`,
		},
		"in use, and no AMI is shown": {
			config: with("timeouts", map[string]any{"delete": "4s"}),
			before: func(_ *testing.T, e *acctest.EC2, _ *acctest.Object) {
				inUse(e, 100)
				// A disabled one holds its snapshot too, and is not shown unless it is asked for.
				e.On("DescribeImages", acctest.When(func(r *acctest.Request) bool { return r.Form.Get("IncludeDisabled") == "true" },
					acctest.Instead(200, "<DescribeImagesResponse><imagesSet/></DescribeImagesResponse>")))
			},
			calls: []string{"DeleteSnapshot"}, left: 1, refused: `(?s)InvalidSnapshot\.InUse.*EC2 shows no AMI that uses it now: destroy again`,
		},
		"in use, and its time is over in the midst of a call": {
			config: with("timeouts", map[string]any{"delete": "4s"}),
			before: func(_ *testing.T, e *acctest.EC2, _ *acctest.Object) {
				e.On("DeleteSnapshot", func(r *acctest.Request, next func() *acctest.Answer) *acctest.Answer {
					return acctest.Until(nil)(r, func() *acctest.Answer { return acctest.Refuse(500, "InternalError", "late")(r, next) })
				})
				inUse(e, 1)
			},
			calls: []string{"DeleteSnapshot"}, left: 1, refused: `(?s)last DeleteSnapshot was not answered.*InvalidSnapshot\.InUse.*still used by ami-0123456789abcdef0 \(web\)`,
		},
		"not allowed": {
			before: func(_ *testing.T, e *acctest.EC2, _ *acctest.Object) {
				e.On("DeleteSnapshot", acctest.Refuse(403, "UnauthorizedOperation", "You are not authorized to perform this operation."))
			},
			calls: []string{"DeleteSnapshot"}, left: 1, refused: `(?s)UnauthorizedOperation.*You are not authorized.*Cause: .*Cure: .*ec2:DeleteSnapshot`,
		},
		"EC2 is slow to forget it": {
			before: func(_ *testing.T, e *acctest.EC2, o *acctest.Object) {
				shown := fmt.Sprintf("<DescribeSnapshotsResponse><snapshotSet><item><snapshotId>%s</snapshotId>"+
					"<status>completed</status></item></snapshotSet></DescribeSnapshotsResponse>", o.Text("snapshot_id"))
				e.On("DescribeSnapshots", acctest.First(1, acctest.Instead(200, shown)))
			},
			calls: []string{"DeleteSnapshot"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			c := acctest.NewCore(t, e.Config())
			config := test.config
			if config == nil {
				config = with()
			}
			o, d := c.Create(config)
			if len(d) > 0 {
				t.Fatal(d)
			}
			if test.before != nil {
				test.before(t, e, o)
			}
			e.Forget()
			d = c.Destroy(o)
			if test.refused == "" && len(d) > 0 {
				t.Error(d)
			} else if test.refused != "" && (len(d) != 1 || !regexp.MustCompile(test.refused).MatchString(d.String())) {
				t.Errorf("want one error like %s, got %v", test.refused, d)
			}
			calls := append([]string(nil), e.Changes()...)
			if test.refused != "" {
				calls = slices.Compact(calls) // until its time is over
			}
			if diff := cmp.Diff(test.calls, calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if n := e.Snapshots(t, here); n != test.left {
				t.Errorf("%d snapshots are left, want %d", n, test.left)
			}
		})
	}
}

// TestRule4DestroyUnfinished (P26): a task that runs is cancelled and waited for, and a snapshot that it made all the same is deleted.
func TestRule4DestroyUnfinished(t *testing.T) {
	for name, test := range map[string]struct {
		config map[string]any
		before func(t *testing.T, e *acctest.EC2, task string)
		calls  []string
		active int
		ended  bool
	}{
		"it runs": {calls: []string{"CancelImportTask"}},
		"its cancel is throttled": {
			before: func(_ *testing.T, e *acctest.EC2, _ string) {
				e.On("CancelImportTask", acctest.First(1, acctest.Refuse(503, "RequestLimitExceeded", "Request limit exceeded.")))
			},
			calls: []string{"CancelImportTask", "CancelImportTask"},
		},
		"it has completed": {
			before: func(t *testing.T, e *acctest.EC2, task string) { e.Await(t, here, task) }, ended: true,
			calls: []string{"CancelImportTask", "DeleteSnapshot"},
		},
		"it completes just before the cancel comes": {
			before: func(t *testing.T, e *acctest.EC2, task string) {
				e.On("CancelImportTask", func(_ *acctest.Request, next func() *acctest.Answer) *acctest.Answer {
					e.Await(t, here, task)
					return next()
				})
			},
			ended: true, calls: []string{"CancelImportTask", "DeleteSnapshot"},
		},
		"it is cancelled by hand": {
			before: func(t *testing.T, e *acctest.EC2, task string) {
				e.Call(t, "CancelImportTask", here, "ImportTaskId", task)
				e.Await(t, here, task)
			},
			calls: []string{"CancelImportTask"},
		},
		"skip_destroy": {config: with("skip_destroy", true), active: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			duration := time.Hour
			if test.ended {
				duration = 2 * time.Second
			}
			e := slow(t, duration)
			c := acctest.NewCore(t, e.Config())
			config := test.config
			if config == nil {
				config = with()
			}
			p, _ := c.Plan(nil, config)
			o, d := c.Apply(behindStart(t, e), p)
			if o == nil || d.HasError() || o.Get("snapshot_id") != nil {
				t.Fatal(d)
			}
			if test.before != nil {
				test.before(t, e, o.Text("import_task_id"))
			}
			e.Forget()
			if d := c.Destroy(o); len(d) > 0 {
				t.Error(d)
			}
			if diff := cmp.Diff(test.calls, append([]string(nil), e.Changes()...)); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if n := e.Snapshots(t, here); n != 0 {
				t.Errorf("%d snapshots are left", n)
			}
			if n := e.Count(t, "DescribeImportSnapshotTasks", here, "<status>active"); n != test.active {
				t.Errorf("%d tasks run, want %d", n, test.active)
			}
		})
	}
}

// TestAccRule4Destroy shows through the CLI what a user sees of it.
func TestAccRule4Destroy(t *testing.T) {
	t.Run("in use", func(t *testing.T) {
		e := newEC2(t)
		config, patient := e.Provider("")+snapshot("timeouts = { delete = \"4s\" }"), e.Provider("")+snapshot("")
		acc(t, nothingLeft(t, e),
			resource.TestStep{Config: config},
			resource.TestStep{
				PreConfig: func() { inUse(e, 1000) }, Config: config, Destroy: true,
				ExpectError: regexp.MustCompile(`(?s)Unable to Delete Snapshot.*still\s+used\s+by\s+ami-0123456789abcdef0\s+\(web\)`),
			},
			resource.TestStep{
				PreConfig: func() { e.Calm("DeleteSnapshot") }, Config: config, ConfigPlanChecks: planned(nothing),
			},
			resource.TestStep{
				Config: patient, ConfigPlanChecks: planned(inPlace),
			},
		)
	})
	t.Run("skip_destroy", func(t *testing.T) {
		e := newPlace(t)
		acc(t, func(*terraform.State) error {
			if n := e.Snapshots(t, here); n != 1 {
				return fmt.Errorf("%d snapshots are kept, want one", n)
			}
			return nil
		}, resource.TestStep{Config: e.Provider("") + snapshot("skip_destroy = true")})
		if err := e.called("ImportSnapshot"); err != nil {
			t.Error(err)
		}
	})
	t.Run("deleted by hand", func(t *testing.T) {
		e := newPlace(t)
		config := e.Provider("") + snapshot("")
		var id string
		acc(t, nothingLeft(t, e),
			resource.TestStep{Config: config, Check: resource.TestCheckResourceAttrWith(address, "snapshot_id", func(v string) error {
				id = v
				return nil
			})},
			resource.TestStep{
				PreConfig: func() { e.Call(t, "DeleteSnapshot", here, "SnapshotId", id) }, Config: config,
				ConfigPlanChecks: planned(plancheck.ResourceActionCreate), Check: e.tasks(t, 2),
			},
		)
	})
}

// TestP26CancelRefused: what a destroy cannot end is named, and stays in the state for the next one.
func TestP26CancelRefused(t *testing.T) {
	t.Parallel()
	e := slow(t, time.Hour)
	o := interrupted(t, e, with())
	task := o.Text("import_task_id")
	e.On("CancelImportTask", acctest.Refuse(403, "UnauthorizedOperation", "You are not authorized to perform: ec2:CancelImportTask"))
	d := acctest.NewCore(t, e.Config()).Destroy(o)
	if len(d) != 1 || !d.HasError() {
		t.Fatalf("want one error, got %v", d)
	}
	if missing := lacks(d[0].Detail, task, here, `status "active"`, "is left", "stays in the state", "UnauthorizedOperation", "ec2:CancelImportTask", "Cure: "); len(missing) > 0 {
		t.Errorf("the error lacks %q:\n%s", missing, d[0].Detail)
	}
	e.Calm("CancelImportTask")
	if d := acctest.NewCore(t, e.Config()).Destroy(o); len(d) > 0 {
		t.Error(d)
	}
	if n := e.Snapshots(t, here); n != 0 {
		t.Errorf("%d snapshots", n)
	}
}

// TestP26CancelLost: the answer of a cancel that was carried out is lost, and the task is ended all the same.
func TestP26CancelLost(t *testing.T) {
	t.Parallel()
	e := slow(t, time.Hour)
	o := interrupted(t, e, with())
	e.On("CancelImportTask", acctest.First(1, acctest.DropAnswer))
	if d := acctest.NewCore(t, e.Config()).Destroy(o); len(d) > 0 {
		t.Error(d)
	}
}

// TestP26FailedTaskNamesASnapshot: what a cancelled task has made all the same is deleted with it.
func TestP26FailedTaskNamesASnapshot(t *testing.T) {
	t.Parallel()
	e := slow(t, time.Hour)
	o := interrupted(t, e, with())
	const snapshot = "snap-00000000000000001"
	e.On("DescribeImportSnapshotTasks", acctest.Within("snapshotTaskDetail", "<snapshotId>"+snapshot+"</snapshotId>"))
	if d := acctest.NewCore(t, e.Config()).Destroy(o); len(d) > 0 {
		t.Error(d)
	}
	if calls := e.Requests("DeleteSnapshot"); len(calls) != 1 || calls[0].Form.Get("SnapshotId") != snapshot {
		t.Errorf("%d calls of DeleteSnapshot", len(calls))
	}
}

// TestRule4DestroyInterrupted: a stop while an unfinished import is cancelled says so, and how far that has come; the next destroy ends it.
func TestRule4DestroyInterrupted(t *testing.T) {
	for name, test := range map[string]struct {
		action string
		says   string
	}{
		"before the cancellation": {"CancelImportTask", "it is not known whether EC2 has taken its cancellation"},
		"behind the cancellation": {"DescribeImportSnapshotTasks", "it is being cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := slow(t, time.Hour)
			o := interrupted(t, e, with())
			c := acctest.NewCore(t, e.Config())
			stop := c.Stoppable()
			e.On(test.action, func(r *acctest.Request, _ func() *acctest.Answer) *acctest.Answer {
				stop()
				return acctest.Until(nil)(r, func() *acctest.Answer { return nil })
			})
			d := c.Destroy(o)
			if len(d) != 1 || !d.HasError() || d[0].Summary != "Destroy Interrupted" {
				t.Fatalf("got\n%s", d)
			}
			if missing := lacks(d[0].Detail, o.Text("import_task_id"), test.says, "destroy again"); len(missing) > 0 || strings.Contains(d[0].Detail, "context") {
				t.Errorf("the error lacks %q:\n%s", missing, d[0].Detail)
			}
			e.Calm()
			if d := acctest.NewCore(t, e.Config()).Destroy(o); len(d) > 0 {
				t.Error(d)
			}
		})
	}
}

// TestRule4DeletionInterrupted: so does a stop while the snapshot of a finished import is deleted, with what EC2 said last where it said something.
func TestRule4DeletionInterrupted(t *testing.T) {
	used := acctest.Refuse(400, "InvalidSnapshot.InUse", "The snapshot snap-1 is currently in use by ami-1")
	for name, test := range map[string]struct {
		action string
		first  acctest.Hook // of the first call: the stop comes with the next one, or in the pause before it
		pause  time.Duration
		says   []string
	}{
		"before the deletion": {"DeleteSnapshot", nil, 0, nil},
		"behind the deletion": {"DescribeSnapshots", nil, 0, nil},
		"while it is in use":  {"DeleteSnapshot", used, 0, []string{"currently in use by ami-1", "Deregister the AMI"}},
		"in a pause":          {"DeleteSnapshot", used, time.Second, []string{"currently in use by ami-1", "Deregister the AMI"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			o, d := acctest.NewCore(t, e.Config()).Create(with())
			if len(d) > 0 {
				t.Fatal(d)
			}
			c := acctest.NewCore(t, e.Config())
			stop := c.Stoppable()
			first := test.first
			e.On(test.action, func(r *acctest.Request, next func() *acctest.Answer) *acctest.Answer {
				if hook := first; hook != nil {
					first = nil
					if test.pause > 0 {
						time.AfterFunc(test.pause, stop)
					}
					return hook(r, next)
				}
				stop()
				return acctest.Until(nil)(r, next)
			})
			d = c.Destroy(o)
			if len(d) != 1 || !d.HasError() || d[0].Summary != "Destroy Interrupted" {
				t.Fatalf("got\n%s", d)
			}
			if missing := lacks(d[0].Detail, append(test.says, o.Text("snapshot_id"), here, "stays in the state", "destroy again")...); len(missing) > 0 || strings.Contains(d[0].Detail, "context") {
				t.Errorf("the error lacks %q:\n%s", missing, d[0].Detail)
			}
			if calls := e.Requests("DescribeImages"); len(calls) > 0 {
				t.Errorf("%d look-ups behind the stop", len(calls))
			}
			e.Calm()
			if d := acctest.NewCore(t, e.Config()).Destroy(o); len(d) > 0 {
				t.Error(d)
			}
			if n := e.Snapshots(t, here); n != 0 {
				t.Errorf("%d snapshots are left", n)
			}
		})
	}
}
