package provider_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// slow is an endpoint whose tasks take d.
func slow(t *testing.T, d time.Duration) *acctest.EC2 {
	t.Helper()
	return newEC2(t, lasting(d))
}

func lasting(d time.Duration) func(*localec2.Config) {
	return func(c *localec2.Config) { c.Simulate.TaskDuration = d }
}

// TestAccRule4Timeout: running out of time is an error, the object stays tainted, and a plain apply cancels and imports anew.
func TestAccRule4Timeout(t *testing.T) {
	e := newPlace(t, lasting(time.Hour))
	never := e.Provider("") + snapshot("timeouts = { create = \"5s\" }")
	acc(t, nothingLeft(t, e),
		resource.TestStep{
			Config:      never,
			ExpectError: regexp.MustCompile(`(?s)Import Not Finished in Time.*task: +import-snap-.*Region: +us-east-1.*source: +s3://images/disk\.vmdk.*untaint`),
		},
		resource.TestStep{
			Config: never, PlanOnly: true, ExpectNonEmptyPlan: true,
			ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPreRefresh: []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, replace)}},
		},
		resource.TestStep{Config: never, PreConfig: e.forget, ExpectError: regexp.MustCompile("Import Not Finished in Time")},
	)
	if err := errors.Join(e.called("CancelImportTask ImportSnapshot CancelImportTask"), e.tasks(t, 2)(nil)); err != nil {
		t.Errorf("an apply of the tainted object, and the destroy: %v", err)
	}
	if n := e.Count(t, "DescribeImportSnapshotTasks", here, "<status>active"); n != 0 {
		t.Errorf("%d tasks still run", n)
	}
}

// TestRule4Resume: an interrupt and a timeout keep the task; the apply behind them waits for the same one.
func TestRule4Resume(t *testing.T) {
	config := func(create string) map[string]any {
		return with("tags", tags("Name", "web"), "timeouts", map[string]any{"create": create, "update": "1m"})
	}
	for name, test := range map[string]struct {
		context func(t *testing.T, e *acctest.EC2) context.Context
		timeout string
		failed  bool
		says    string
	}{
		"interrupt":           {behindStart, "1m", false, "continues"},
		"timeout and untaint": {func(t *testing.T, _ *acctest.EC2) context.Context { return t.Context() }, "4s", true, "untaint"},
	} {
		for end, later := range map[string]func(e *acctest.EC2, task string){
			"while it runs":   func(*acctest.EC2, string) {},
			"when it is done": func(e *acctest.EC2, task string) { e.Await(t, here, task) },
			"when it is done and forgotten": func(e *acctest.EC2, task string) {
				e.Await(t, here, task)
				e.On("DescribeImportSnapshotTasks", acctest.Refuse(400, "InvalidConversionTaskId.Malformed", "The import task was not found."))
			},
		} {
			t.Run(name+", resumed "+end, func(t *testing.T) {
				t.Parallel()
				e := slow(t, 10*time.Second)
				c := acctest.NewCore(t, e.Config())
				p, d := c.Plan(nil, config(test.timeout))
				if len(d) > 0 {
					t.Fatal(d)
				}
				o, d := c.Apply(test.context(t, e), p)
				if len(d) != 1 || d.HasError() != test.failed || !strings.Contains(d[0].Detail, test.says) {
					t.Fatalf("want one diagnostic that says %q, got %v", test.says, d)
				}
				task := o.Text("import_task_id")
				if o.Get("snapshot_id") != nil || task == "" || o.Get("snapshot_task_detail.status") != "active" {
					t.Fatalf("the state has snapshot_id %v, import_task_id %v, status %v", o.Get("snapshot_id"), task, o.Get("snapshot_task_detail.status"))
				}
				if o.Tainted != test.failed {
					t.Errorf("tainted: %t", o.Tainted)
				}
				o.Untaint()
				later(e, task)

				// Another process continues.
				c = acctest.NewCore(t, e.Config())
				o, d = c.Read(o)
				if d.HasError() || o == nil {
					t.Fatalf("the refresh has ended with %v", d)
				}
				p, d = c.Plan(o, config(test.timeout))
				if p.Action != "update" || p.Get("snapshot_id") != acctest.Unknown || p.Get("import_task_id") != task || d.HasError() || len(d) != 1 {
					t.Fatalf("the plan is %s with snapshot_id %v of task %v: %v", p.Action, p.Get("snapshot_id"), p.Get("import_task_id"), d)
				}
				o, d = c.Apply(t.Context(), p)
				if len(d) > 0 {
					t.Fatal(d)
				}
				if o.Text("snapshot_id") == "" || o.Get("tags_all.Name") != "web" || e.Count(t, "DescribeSnapshots", here, "<key>Name</key>") != 1 {
					t.Errorf("the resumed import has snapshot_id %v and tags %v", o.Get("snapshot_id"), o.Get("tags_all"))
				}
				o, _ = c.Read(o)
				if p, d := c.Plan(o, config(test.timeout)); p.Action != "no-op" || len(d) > 0 {
					t.Errorf("the plan behind it is %s: %v", p.Action, d)
				}
				oneImport(t, e, c, o)
			})
		}
	}
}

// TestRule4ResumeFails: an unfinished import that has failed meanwhile is dropped with its reason, and one that fails in the resumed wait is an error.
func TestRule4ResumeFails(t *testing.T) {
	t.Parallel()
	e := acctest.NewEC2(t, func(c *localec2.Config) {
		c.Simulate = localec2.Simulate{TaskDuration: 8 * time.Second, FailWith: "ClientError: Footers not identical"}
	})
	e.Put(t, "disk.vmdk", vmdk())
	c := acctest.NewCore(t, e.Config())
	p, _ := c.Plan(nil, with())
	o, d := c.Apply(behindStart(t, e), p)
	if o == nil || d.HasError() {
		t.Fatal(d)
	}

	read, _ := c.Read(o)
	p, d = c.Plan(read, with())
	if p.Action != "update" || d.HasError() {
		t.Fatalf("the plan is %s: %v", p.Action, d)
	}
	after, d := c.Apply(t.Context(), p)
	if !d.HasError() || !strings.Contains(d.String(), "ClientError: Footers not identical") {
		t.Errorf("the failed import is no error: %v", d)
	}
	if after == nil || after.Get("snapshot_id") != nil {
		t.Errorf("the state behind a failed update is %v", after)
	}
	gone, d := c.Read(o)
	if gone != nil || d.HasError() || len(d) != 1 || !strings.Contains(d[0].Detail, "ClientError: Footers not identical") ||
		!strings.Contains(d[0].Detail, o.Text("import_task_id")) {
		t.Errorf("want it gone with a warning that says why, got %v", d)
	}
}

// TestRule4FailedImport: an error, no object in the state, nothing left on EC2.
func TestRule4FailedImport(t *testing.T) {
	t.Parallel()
	e := acctest.NewEC2(t, func(c *localec2.Config) { c.Simulate.FailWith = "ClientError: Unknown OS" })
	e.Put(t, "disk.vmdk", vmdk())
	c := acctest.NewCore(t, e.Config())
	o, d := c.Create(with("client_token", "a"))
	if o != nil {
		t.Errorf("a failed import is in the state: %v", o.Get("import_task_id"))
	}
	if len(d.Errors()) != 1 || !strings.Contains(d.String(), `client_token = "a"`) {
		t.Errorf("want one error that names the token, got %v", d)
	}
	if n := e.Snapshots(t, here); n != 0 {
		t.Errorf("%d snapshots are left", n)
	}
}

// TestAccRule4FailedImport shows the same through the CLI and the local backend, whose directory must be clean behind it.
func TestAccRule4FailedImport(t *testing.T) {
	image := testimage.VMDK{Size: 1 << 20}.Build(testimage.Run{Data: disk()[:512]})
	copy(image.Data[image.Grain[0]+16:], "this was a grain of the disk, once")
	for name, test := range map[string]struct {
		object   []byte
		failWith string
		body     string
		want     string
	}{
		"simulate.fail_with": {vmdk(), "ClientError: Unknown OS / Missing OS files.", "", `Unknown OS / Missing OS files`},
		"corrupt VMDK":       {image.Data, "", "", `ClientError:\s+Uncompressed\s+data\s+has\s+an\s+invalid\s+length`},
		"qcow2":              {bad["qcow2"].image, "", "preflight = false", `\[Unsupported\s+specified\s+file\s+format\]`},
	} {
		t.Run(name, func(t *testing.T) {
			s := acctest.NewSite(t, func(c *localec2.Config) { c.Simulate.FailWith = test.failWith })
			s.Put(t, "disk.vmdk", test.object)
			acc(t, nothingLeft(t, s),
				resource.TestStep{Config: s.Provider("") + snapshot(test.body), ExpectError: regexp.MustCompile(test.want)},
				resource.TestStep{
					// With another image the same resource is created: nothing of the failed one is in the way.
					PreConfig: func() {
						if left := s.Strays(t); len(left) > 0 {
							t.Errorf("the failed import has left %v", left)
						}
						s.Put(t, "disk.vmdk", vmdk())
					},
					Config: s.Beside(t).Provider("") + snapshot(test.body), ConfigPlanChecks: planned(plancheck.ResourceActionCreate),
					ConfigStateChecks: []statecheck.StateCheck{has("snapshot_id", knownvalue.NotNull())},
				},
			)
			if left := s.Strays(t); len(left) > 0 {
				t.Errorf("the destroy has left %v", left)
			}
		})
	}
}

// TestRule4Orphan: without a token, the plan behind a killed apply names the running import and how to adopt it.
func TestRule4Orphan(t *testing.T) {
	t.Parallel()
	e := slow(t, 12*time.Second)
	killed := acctest.NewCore(t, e.Config())
	p, d := killed.Plan(nil, with())
	if len(d) > 0 {
		t.Fatal(d)
	}
	lost, _ := killed.Apply(behindStart(t, e), p) // Terraform was killed: the state is lost
	id := lost.Text("import_task_id")

	for name, test := range map[string]struct {
		config map[string]any
		warned bool
	}{
		"the same request":             {with("role_name", nil), true},
		"the same request, other tags": {with("tags", tags("Name", "web")), true},
		"another request":              {with("description", "web"), false},
		"with a token EC2 finds it":    {with("client_token", "a"), false},
	} {
		_, d := acctest.NewCore(t, e.Config()).Plan(nil, test.config)
		if d.HasError() || (len(d) > 0) != test.warned {
			t.Errorf("%s: %v", name, d)
		}
		if test.warned && (!strings.Contains(d.String(), "id = \""+id+"@us-east-1\"") || !strings.Contains(d.String(), "import {")) {
			t.Errorf("%s: the warning has no import block for %s:\n%s", name, id, d)
		}
	}

	// What the warning says works: the running import is adopted and finished.
	c := acctest.NewCore(t, e.Config())
	o, d := c.Import(id + "@us-east-1")
	if d.HasError() {
		t.Fatal(d)
	}
	o, d = c.Change(o, with("tags", tags("Name", "web")))
	if d.HasError() || o.Text("import_task_id") != id || o.Text("snapshot_id") == "" {
		t.Errorf("the adopted import is task %v with snapshot %v: %v", o.Get("import_task_id"), o.Get("snapshot_id"), d)
	}
	oneImport(t, e, c, o)
}

// TestRule4KilledWithToken: with client_token the apply behind a killed one gets the same task.
func TestRule4KilledWithToken(t *testing.T) {
	t.Parallel()
	e := slow(t, 3*time.Second)
	config := with("client_token", "a")
	killed := acctest.NewCore(t, e.Config())
	p, _ := killed.Plan(nil, config)
	lost, _ := killed.Apply(behindStart(t, e), p)

	c := acctest.NewCore(t, e.Config())
	o, d := c.Create(config)
	if len(d) > 0 {
		t.Fatal(d)
	}
	if o.Text("import_task_id") != lost.Text("import_task_id") {
		t.Errorf("the task was %s and is %s", lost.Text("import_task_id"), o.Text("import_task_id"))
	}
	oneImport(t, e, c, o)
}
