package provider_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
)

// TestRule2NothingCalled: role, timeouts and the provider's own switches are kept by an update that calls EC2 for nothing, not even to read.
func TestRule2NothingCalled(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	c := acctest.NewCore(t, e.Config())
	o, d := c.Create(with("description", "web", "tags", tags("Name", "web")))
	if len(d) > 0 {
		t.Fatal(d)
	}
	for name, value := range map[string]any{
		"role_name": "importer", "dry_run": true, "skip_destroy": true, "preflight": false, "timeouts": map[string]any{"create": "1h", "update": "1h"},
	} {
		e.Forget()
		config := with("description", "web", "tags", tags("Name", "web"), name, value)
		p, d := c.Plan(o, config)
		if p.Action != "update" || len(d) > 0 {
			t.Errorf("%s is planned as %s: %v", name, p.Action, d)
			continue
		}
		asked := []string{"HEAD /images/disk.vmdk"} // by the plan: whether the image is still the one that was imported (P17)
		if name == "preflight" {
			asked = nil
		}
		changed, d := c.Apply(t.Context(), p)
		if len(d) > 0 || changed == nil {
			t.Errorf("%s: %v", name, d)
			continue
		}
		if diff := cmp.Diff(value, changed.Get(name)); diff != "" && name != "timeouts" {
			t.Errorf("%s in the state (-want +got):\n%s", name, diff)
		}
		if calls := append(e.Actions(), e.S3Requests()...); !slices.Equal(calls, asked) {
			t.Errorf("a change of %s has called %v", name, calls)
		}
		// And back.
		if p, d := c.Plan(changed, with("description", "web", "tags", tags("Name", "web"))); p.Action != "update" || len(d) > 0 {
			t.Errorf("the removal of %s is planned as %s: %v", name, p.Action, d)
		}
	}
	if d := c.Destroy(o); len(d) > 0 {
		t.Error(d)
	}
}

// TestRule5Request: what the arguments become in the request; what is not configured is absent, not empty (P5).
func TestRule5Request(t *testing.T) {
	full := complete()
	full["dry_run"] = false
	const url, source = "DiskContainer.Url", "s3://images/disk.vmdk"
	for name, test := range map[string]struct {
		config map[string]any
		want   map[string]string
	}{
		"the least": {with(), map[string]string{url: source}},
		"all": {full, map[string]string{
			url: source, "DiskContainer.Format": "VMDK", "DiskContainer.Description": "the container",
			"Description": "the task", "ClientData.Comment": "by hand", "ClientData.UploadStart": "2026-01-01T12:00:00Z", "ClientData.UploadEnd": "2026-01-01T12:30:00Z",
			"ClientData.UploadSize": "0.5", "ClientToken": "token-1", "Encrypted": "true", "KmsKeyId": "alias/disks", "RoleName": "importer",
			"TagSpecification.1.Tag.1.Key": "purpose", "TagSpecification.1.Tag.1.Value": "import",
		}},
		"P5 a comment alone":   {with("client_data", map[string]any{"comment": "c"}), map[string]string{url: source, "ClientData.Comment": "c"}},
		"P5 a size of nothing": {with("client_data", map[string]any{"upload_size": 0}), map[string]string{url: source, "ClientData.UploadSize": "0"}},
		"encrypted = false":    {with("encrypted", false), map[string]string{url: source, "Encrypted": "false"}},
		"tags go onto the task": {
			with("tags", tags("Name", "")), map[string]string{url: source, "TagSpecification.1.Tag.1.Key": "Name", "TagSpecification.1.Tag.1.Value": ""},
		},
		"user_bucket": {
			map[string]any{"disk_container": map[string]any{"user_bucket": map[string]any{"s3_bucket": "images", "s3_key": "disk.raw"}, "format": "Raw"}},
			map[string]string{"DiskContainer.UserBucket.S3Bucket": "images", "DiskContainer.UserBucket.S3Key": "disk.raw", "DiskContainer.Format": "RAW"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			c := acctest.NewCore(t, e.Config())
			o, d := c.Create(test.config)
			if len(d) > 0 {
				t.Fatal(d)
			}
			calls := e.Requests("ImportSnapshot")
			if len(calls) != 1 {
				t.Fatalf("%d calls of ImportSnapshot", len(calls))
			}
			got := map[string]string{}
			token, marked := "", false
			for key, values := range calls[0].Form {
				switch {
				case key == "Action" || key == "Version" || strings.HasSuffix(key, "ResourceType"):
				case key == "ClientToken" && test.want["ClientToken"] == "":
					token = values[0]
				case strings.HasPrefix(key, "TagSpecification.") &&
					(values[0] == "terraform-provider-ec2" || calls[0].Form.Get(strings.Replace(key, ".Value", ".Key", 1)) == "terraform-provider-ec2"):
					marked = true
				default:
					got[key] = values[0]
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			if !marked || test.want["ClientToken"] == "" && len(token) < 32 {
				t.Errorf("marker: %t, token %q", marked, token)
			}
			if d := c.Destroy(o); len(d) > 0 {
				t.Error(d)
			}
		})
	}
}

// TestRule6DryRun (P29): dry_run asks EC2 while planning, and only then; a refusal fails the plan.
func TestRule6DryRun(t *testing.T) {
	dry := func(r *acctest.Request) bool { return r.Form.Get("DryRun") == "true" }
	for name, test := range map[string]struct {
		hook acctest.Hook
		path string
		says string
	}{
		"allowed": {},
		"denied": {
			acctest.When(dry, acctest.Refuse(403, "UnauthorizedOperation", "You are not authorized to perform this operation.")), "", "ec2:ImportSnapshot",
		},
		"denied for its tags": {
			acctest.When(dry, acctest.Refuse(403, "UnauthorizedOperation", "You are not authorized to perform: ec2:CreateTags")), "tags", "ec2:CreateTags",
		},
		"the marker alone is denied": {
			hook: acctest.When(dry, acctest.First(1, acctest.Refuse(403, "UnauthorizedOperation", "You are not authorized to perform this operation."))),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			if test.hook != nil {
				e.On("ImportSnapshot", test.hook)
			}
			c := acctest.NewCore(t, e.Config())
			p, d := c.Plan(nil, with("dry_run", true))
			if n := e.Tasks(t, here); n != 0 {
				t.Errorf("a plan has started %d imports", n)
			}
			if test.says != "" {
				if len(d) != 1 || !d.HasError() || d[0].Summary != "Import Not Permitted" || d[0].Path != test.path || !strings.Contains(d[0].Detail, test.says) {
					t.Errorf("want an error at %q that says %q, got\n%s", test.path, test.says, d)
				}
				return
			}
			if len(d) > 0 {
				t.Fatal(d)
			}
			calls := len(e.Requests("ImportSnapshot"))
			if calls == 0 {
				t.Error("the plan has not asked EC2")
			}
			o, d := c.Apply(t.Context(), p)
			if len(d) > 0 || o.Text("snapshot_id") == "" {
				t.Fatal(d)
			}
			for _, r := range e.Requests("ImportSnapshot")[calls:] {
				if dry(r) {
					t.Error("the apply was a dry run")
				}
			}
			if d := c.Destroy(o); len(d) > 0 {
				t.Error(d)
			}
		})
	}
}

// TestRule6DryRunUnasked: a dry run that got no answer of EC2 is no refusal, begins nothing, and does not keep a plan for a minute.
func TestRule6DryRunUnasked(t *testing.T) {
	for name, test := range map[string]struct {
		hook acctest.Hook
		says []string
	}{
		"a page":    {acctest.Page(502), []string{"StatusCode: 502", "A dry run begins no import", "Plan again"}},
		"empty 200": {acctest.Instead(200, ""), []string{"DryRunOperation", "A dry run begins no import", "Plan again"}},
		"throttled": {acctest.Refuse(503, "RequestLimitExceeded", "Request limit exceeded."), []string{"RequestLimitExceeded", "throttles"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			e.On("ImportSnapshot", test.hook)
			provider := e.Config()
			provider["max_retries"] = 25 // a page ends the tries sooner
			if name == "throttled" {
				provider["max_retries"] = 2
			}
			began := time.Now()
			_, d := acctest.NewCore(t, provider).Plan(nil, with("dry_run", true))
			if took := time.Since(began); took > 40*time.Second {
				t.Errorf("it took %s", took)
			}
			if len(d) != 1 || !d.HasError() || d[0].Summary != "Unable to Ask for Permission" {
				t.Fatalf("got\n%s", d)
			}
			if missing := lacks(d[0].Detail, append(test.says, "could not be asked", "Cause: ", "Cure: ")...); len(missing) > 0 {
				t.Errorf("the error lacks %q:\n%s", missing, d[0].Detail)
			}
			for _, wrong := range []string{"would refuse", "client_token"} {
				if strings.Contains(d[0].Detail, wrong) {
					t.Errorf("the error says %q:\n%s", wrong, d[0].Detail)
				}
			}
		})
	}
}

// TestAccRule6DryRun shows the refusal to the CLI, and that a saved permission lets the apply import.
func TestAccRule6DryRun(t *testing.T) {
	e := newEC2(t)
	config := e.Provider("") + snapshot("dry_run = true")
	acc(t, nothingLeft(t, e),
		resource.TestStep{
			PreConfig: func() {
				e.On("ImportSnapshot", acctest.Refuse(403, "UnauthorizedOperation", "You are not authorized to perform this operation."))
			},
			Config: config, PlanOnly: true, ExpectError: regexp.MustCompile("(?s)Import Not Permitted.*UnauthorizedOperation.*Cause: "),
		},
		resource.TestStep{
			PreConfig: func() { e.Calm("ImportSnapshot"); e.Forget() }, Config: config, ConfigPlanChecks: planned(plancheck.ResourceActionCreate),
			Check: imports(e, 1),
		},
	)
}

// TestRule5Timeouts: the timeouts of a read and of an update bound a call that hangs.
func TestRule5Timeouts(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	c := acctest.NewCore(t, e.Config())
	config := func(more ...any) map[string]any {
		return with(append([]any{"timeouts", map[string]any{"read": "2s", "update": "2s", "delete": "8s"}}, more...)...)
	}
	o, d := c.Create(config())
	if len(d) > 0 {
		t.Fatal(d)
	}
	open := make(chan struct{})
	for _, action := range []string{"DescribeSnapshots", "CreateTags", "DeleteSnapshot"} {
		e.On(action, acctest.Until(open))
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if _, d := c.Read(o); !d.HasError() || !strings.Contains(d.String(), o.Text("snapshot_id")) {
		t.Errorf("a read that hangs ends with %v", d)
	}
	p, _ := c.Plan(o, config("tags", tags("Name", "web")))
	after, d := c.Apply(ctx, p)
	if !d.HasError() || after == nil || after.Tainted || after.Get("tags") != nil {
		t.Errorf("an update that hangs ends with %v", d)
	}
	if d := c.Destroy(o); !d.HasError() {
		t.Error("a destroy that hangs ends well")
	}
	if ctx.Err() != nil {
		t.Error("the timeouts were not kept")
	}
	close(open)
	if d := c.Destroy(o); len(d) > 0 {
		t.Error(d)
	}
}

// TestAccRegions: resources in three Regions, by argument, by the provider and by another configuration of it. That one is a provider of its own here,
// where a second server stands for what an alias gets from Terraform: a process of its own.
func TestAccRegions(t *testing.T) {
	e := newPlace(t)
	other := strings.NewReplacer("\"ec2\"", "\"ec2frankfurt\"", "\"us-east-1\"", "\"eu-central-1\"").Replace(e.Provider(""))
	config := e.Provider("") + other + snapshot("region = \"eu-west-1\"") + snapshotNamed("other", "provider = ec2frankfurt") + snapshotNamed("plain", "")
	in := func(name, region string) []statecheck.StateCheck {
		return []statecheck.StateCheck{
			statecheck.ExpectKnownValue("ec2_import_snapshot."+name, at("region"), exactly(region)),
			statecheck.ExpectKnownValue("ec2_import_snapshot."+name, at("arn"), knownvalue.StringRegexp(regexp.MustCompile(":"+region+":"))),
		}
	}
	providers := acctest.Providers()
	providers["ec2frankfurt"] = acctest.Providers()["ec2"]
	step := resource.TestStep{
		Config: config, ConfigStateChecks: append(append(in("test", "eu-west-1"), in("other", "eu-central-1")...), in("plain", here)...),
		Check: func(*terraform.State) error {
			for _, region := range []string{"eu-west-1", "eu-central-1", here} {
				if n := e.Snapshots(t, region); n != 1 {
					return fmt.Errorf("%d snapshots in %s", n, region)
				}
			}
			return nil
		},
		ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
	}
	accCase(t, resource.TestCase{
		ProtoV6ProviderFactories: providers, CheckDestroy: nothingLeft(t, e, "eu-west-1", "eu-central-1"), Steps: []resource.TestStep{step},
	})
}

// TestAccP23SharedPolls: ten imports at once are polled for by as many calls as one.
func TestAccP23SharedPolls(t *testing.T) {
	e := newEC2(t, func(c *localec2.Config) { c.Simulate.TaskDuration = 10 * time.Second })
	config := e.Provider("") + strings.Replace(snapshot("description = \"disk ${count.index}\""), "{\n", "{\n count = 10\n", 1)
	acc(t, nothingLeft(t, e), resource.TestStep{
		Config: config,
		Check: func(*terraform.State) error {
			polls, most := 0, 0
			for _, r := range e.Requests("DescribeImportSnapshotTasks") {
				if !r.Form.Has("ImportTaskId.1") {
					continue
				}
				polls++
				n := 0
				for key := range r.Form {
					if strings.HasPrefix(key, "ImportTaskId.") {
						n++
					}
				}
				most = max(most, n)
			}
			// Alone, each of ten tasks of ten seconds takes four polls or more.
			if most != 10 || polls > 20 {
				return fmt.Errorf("%d polls for ten imports, of at most %d tasks each", polls, most)
			}
			return imports(e, 10)(nil)
		},
	})
}
