package provider_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// with is the configuration of disk.vmdk for a protocol-level test, and more: pairs of names and values.
func with(more ...any) map[string]any {
	m := map[string]any{"disk_container": map[string]any{"url": "s3://images/disk.vmdk"}}
	for i := 0; i < len(more); i += 2 {
		m[more[i].(string)] = more[i+1]
	}
	return m
}

func tags(pairs ...string) map[string]any {
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

// polls lets h see the describes that wait for a task, not those that look for unfinished ones.
func polls(h acctest.Hook) acctest.Hook {
	return acctest.When(func(r *acctest.Request) bool { return r.Form.Has("ImportTaskId.1") }, h)
}

// oneImport checks that EC2 has one task, that all calls for it carried one token, and that nothing is left behind a destroy.
func oneImport(t *testing.T, e *acctest.EC2, c *acctest.Core, o *acctest.Object) {
	t.Helper()
	if n := e.Tasks(t, here); n != 1 {
		t.Errorf("EC2 has %d tasks, want one", n)
	}
	var tokens []string
	for _, r := range e.Requests("ImportSnapshot") {
		tokens = append(tokens, r.Form.Get("ClientToken"))
	}
	slices.Sort(tokens)
	if tokens = slices.Compact(tokens); len(tokens) != 1 || tokens[0] == "" {
		t.Errorf("the calls had the tokens %q, want one", tokens)
	}
	if o == nil {
		return
	}
	if d := c.Destroy(o); len(d) > 0 {
		t.Error(d)
	}
	if n := e.Snapshots(t, here); n != 0 {
		t.Errorf("%d snapshots are left", n)
	}
}

// TestRule3OneImport: one task, whatever the network and EC2 do.
func TestRule3OneImport(t *testing.T) {
	const (
		roleText   = "The service role vmimport provided does not exist or does not have sufficient permissions"
		policyText = "User: arn:aws:sts::111122223333:assumed-role/vmimport/vm_import_image is not authorized to perform: s3:GetObject on resource: " +
			"\"arn:aws:s3:::images/disk.vmdk\" because no identity-based policy allows the s3:GetObject action"
		objectText = "User does not have access to the S3 object (images/disk.vmdk)."
	)
	throttled := acctest.Refuse(503, "RequestLimitExceeded", "Request limit exceeded.")
	broken := acctest.Refuse(500, "InternalError", "An internal error has occurred")
	for name, test := range map[string]struct {
		action string
		hook   acctest.Hook
		calls  int // of ImportSnapshot
	}{
		"nothing happens":                            {"ImportSnapshot", acctest.First(0, nil), 1},
		"P12 500 twice":                              {"ImportSnapshot", acctest.First(2, broken), 3},
		"P12 503 from a proxy":                       {"ImportSnapshot", acctest.First(1, acctest.Instead(503, "<html><body>Service Unavailable</body></html>")), 2},
		"P12 accepted, then 500":                     {"ImportSnapshot", acctest.First(1, acctest.LoseAnswer(500, "InternalError", "An internal error has occurred")), 2},
		"P12 accepted, then dropped":                 {"ImportSnapshot", acctest.First(1, acctest.DropAnswer), 2},
		"P12 dropped, more often than the SDK tries": {"ImportSnapshot", acctest.First(4, acctest.DropAnswer), 5},
		"P10 role (a)":                               {"ImportSnapshot", acctest.First(2, acctest.Refuse(400, "InvalidParameter", roleText)), 3},
		"P10 role (b)":                               {"ImportSnapshot", acctest.First(1, acctest.Refuse(400, "InvalidParameter", policyText)), 2},
		"P10 role (c)":                               {"ImportSnapshot", acctest.First(1, acctest.Refuse(400, "InvalidParameter", objectText)), 2},
		"P23 throttled":                              {"ImportSnapshot", acctest.First(4, throttled), 5},
		"P23 describes throttled":                    {"DescribeImportSnapshotTasks", acctest.First(3, throttled), 1},
		"describes fail":                             {"DescribeImportSnapshotTasks", acctest.First(2, broken), 1},
		"describes are dropped":                      {"DescribeImportSnapshotTasks", acctest.First(2, acctest.DropAnswer), 1},
		"P21 the task is not there yet": {"DescribeImportSnapshotTasks",
			acctest.First(2, acctest.Refuse(400, "InvalidConversionTaskId.Malformed", "The import task was not found.")), 1},
		"P21 empty list": {"DescribeImportSnapshotTasks", acctest.First(1, acctest.Instead(200,
			"<DescribeImportSnapshotTasksResponse><importSnapshotTaskSet/></DescribeImportSnapshotTasksResponse>")), 1},
		"P21 empty body": {"DescribeImportSnapshotTasks", acctest.First(1, acctest.Instead(200, "")), 1},
		"P21 no detail": {"DescribeImportSnapshotTasks", acctest.First(1, acctest.Rewrite(func(body string) string {
			before, rest, _ := strings.Cut(body, "<snapshotTaskDetail>")
			_, after, _ := strings.Cut(rest, "</snapshotTaskDetail>")
			return before + after
		})), 1},
		"P8 unknown status":                    {"DescribeImportSnapshotTasks", acctest.First(1, acctest.WithElement("status", "pondering")), 1},
		"P28 complete without its snapshot":    {"DescribeImportSnapshotTasks", acctest.First(1, acctest.WithElement("snapshotId", "")), 1},
		"P27 the snapshot is not there yet":    {"DescribeSnapshots", acctest.First(1, acctest.Refuse(400, "InvalidSnapshot.NotFound", "The snapshot does not exist.")), 1},
		"P27 the snapshot is not complete yet": {"DescribeSnapshots", acctest.First(1, acctest.WithElement("status", "pending")), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			c := acctest.NewCore(t, e.Config())
			if test.action == "DescribeImportSnapshotTasks" {
				test.hook = polls(test.hook)
			}
			e.On(test.action, test.hook)
			o, d := c.Create(with("preflight", false, "tags", tags("Name", "web")))
			if len(d) > 0 || o == nil {
				t.Fatalf("the create has ended with %v", d)
			}
			if o.Text("snapshot_id") == "" || o.Get("tags_all.Name") != "web" || o.Text("snapshot_task_detail.status") != "completed" {
				t.Errorf("the state is incomplete: snapshot_id %v, tags_all %v, status %v", o.Get("snapshot_id"), o.Get("tags_all"), o.Get("snapshot_task_detail.status"))
			}
			if n := len(e.Requests("ImportSnapshot")); n != test.calls {
				t.Errorf("ImportSnapshot was called %d times, want %d", n, test.calls)
			}
			p, d := c.Plan(o, with("preflight", false, "tags", tags("Name", "web")))
			if p.Action != "no-op" || len(d) > 0 {
				t.Errorf("the second plan is %s: %v", p.Action, d)
			}
			oneImport(t, e, c, o)
		})
	}
}

// TestRule3Afterwards: a tag or a tier that fails behind the import is a warning; the next plan shows it, the next apply mends it, nothing is imported again.
func TestRule3Afterwards(t *testing.T) {
	for name, test := range map[string]struct {
		action  string
		refusal acctest.Hook
		config  map[string]any
		block   map[string]any
		warning string
		detail  string
		path    string
		mended  []string
	}{
		"P16 tags": {
			"CreateTags", acctest.Refuse(403, "UnauthorizedOperation", "You are not authorized to perform this operation: ec2:CreateTags."),
			with("tags", tags("Name", "web")), nil, "Snapshot Not Tagged", "imports nothing anew", "tags", []string{"CreateTags"},
		},
		"P16 default_tags": {
			"CreateTags", acctest.Refuse(400, "TagPolicyViolation", "The tag policy does not allow the specified value."),
			with(), map[string]any{"tags": tags("env", "test")}, "Snapshot Not Tagged", "tag policy", "tags", []string{"CreateTags"},
		},
		"P25 tier": {
			"ModifySnapshotTier", acctest.Refuse(400, "SnapshotLimitExceeded", "Too many archive operations are in progress."),
			with("storage_tier", "archive"), nil, "Storage Tier Not Changed", "Too many archive operations", "", []string{"ModifySnapshotTier"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			provider := e.Config()
			if test.block != nil {
				provider["default_tags"] = []any{test.block}
			}
			c := acctest.NewCore(t, provider)
			e.On(test.action, test.refusal)
			o, d := c.Create(test.config)
			if len(d) != 1 || d.HasError() || d[0].Summary != test.warning || d[0].Path != test.path || !strings.Contains(d[0].Detail, test.detail) {
				t.Fatalf("want one warning %q at %q that says %q, got\n%s", test.warning, test.path, test.detail, d)
			}
			snapshot := o.Text("snapshot_id")

			e.Calm(test.action)
			e.Forget()
			o, _ = c.Read(o)
			p, d := c.Plan(o, test.config)
			if p.Action != "update" || len(d) > 0 {
				t.Fatalf("the next plan is %s, want an update: %v", p.Action, d)
			}
			o, d = c.Apply(t.Context(), p)
			if len(d) > 0 {
				t.Fatal(d)
			}
			if diff := cmp.Diff(test.mended, e.Changes()); diff != "" {
				t.Errorf("calls of the next apply (-want +got):\n%s", diff)
			}
			if o.Text("snapshot_id") != snapshot {
				t.Errorf("the snapshot was %s and is %s", snapshot, o.Text("snapshot_id"))
			}
			o, _ = c.Read(o)
			if p, _ := c.Plan(o, test.config); p.Action != "no-op" {
				t.Errorf("the plan behind it is %s", p.Action)
			}
			if n := e.Tasks(t, here); n != 1 {
				t.Errorf("EC2 has %d tasks", n)
			}
		})
	}
}

// TestRule4MarkerRefused: where a policy refuses the marker tag, or tags on the task at all, the import is made without it.
func TestRule4MarkerRefused(t *testing.T) {
	for name, refusal := range map[string]acctest.Hook{
		"no permission to tag": acctest.Refuse(403, "UnauthorizedOperation", "You are not authorized to perform this operation."),
		"tag policy":           acctest.Refuse(400, "TagPolicyViolation", "The tag policy does not allow the specified key."),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			c := acctest.NewCore(t, e.Config())
			marked := func(r *acctest.Request) bool {
				for key, values := range r.Form {
					if strings.HasSuffix(key, ".Key") && values[0] == "terraform-provider-ec2" {
						return true
					}
				}
				return false
			}
			e.On("ImportSnapshot", acctest.When(marked, refusal))
			o, d := c.Create(with())
			if len(d) > 0 {
				t.Fatal(d)
			}
			calls := e.Requests("ImportSnapshot")
			if len(calls) != 2 || !marked(calls[0]) || marked(calls[1]) {
				t.Errorf("want one call with the marker and one without; there were %d", len(calls))
			}
			oneImport(t, e, c, o)
		})
	}
}

// TestP16TaggedLate: tags have a time of their own. A call that is slow when the time of the create is over taints no good import.
func TestP16TaggedLate(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	e.On("CreateTags", acctest.Delay(16*time.Second))
	c := acctest.NewCore(t, e.Config())
	config := with("preflight", false, "tags", tags("Name", "web"), "timeouts", map[string]any{"create": "15s"})
	o, d := c.Create(config)
	if len(d) > 0 || o == nil || o.Tainted || o.Get("tags_all.Name") != "web" {
		t.Fatal(d)
	}
	if p, d := c.Plan(o, config); p.Action != "no-op" || len(d) > 0 {
		t.Errorf("the second plan is %s: %v", p.Action, d)
	}
	oneImport(t, e, c, o)
}

// TestAccRule3OneImport shows the same through the CLI.
func TestAccRule3OneImport(t *testing.T) {
	e := newEC2(t)
	e.On("ImportSnapshot", acctest.First(1, acctest.DropAnswer))
	e.On("CreateTags", acctest.First(1, acctest.Refuse(403, "UnauthorizedOperation", "You are not authorized to perform this operation: ec2:CreateTags.")))
	config := e.Provider("") + snapshot("tags = { Name = \"web\" }")
	acc(t, nothingLeft(t, e),
		resource.TestStep{
			Config: config, ExpectNonEmptyPlan: true,
			ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, inPlace)}},
		},
		resource.TestStep{Config: config, ConfigPlanChecks: planned(inPlace), Check: resource.ComposeAggregateTestCheckFunc(
			imports(e, 1), resource.TestCheckResourceAttr(address, "tags_all.Name", "web"))},
	)
	if n := e.Tasks(t, here); n != 1 {
		t.Errorf("EC2 has %d tasks", n)
	}
}

// TestP16SnapshotNotKnownYet: a snapshot that some of EC2 does not know for a moment is tagged by the same apply.
func TestP16SnapshotNotKnownYet(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	e.On("CreateTags", acctest.First(2, acctest.Refuse(400, "InvalidSnapshot.NotFound", "The snapshot does not exist.")))
	o, d := acctest.NewCore(t, e.Config()).Create(with("tags", tags("Name", "web")))
	if len(d) > 0 || o == nil {
		t.Fatalf("a snapshot that showed late: %v", d)
	}
	if n := len(e.Requests("CreateTags")); n != 3 || accepted(e) != 1 {
		t.Errorf("%d calls of CreateTags, %d imports", n, accepted(e))
	}
}
