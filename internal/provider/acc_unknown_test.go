package provider_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// complete is a configuration with every argument of the resource.
func complete() map[string]any {
	return map[string]any{
		"disk_container": map[string]any{"url": "s3://images/disk.vmdk", "format": "vmdk", "description": "the container"},
		"description":    "the task",
		"client_data": map[string]any{
			"comment": "by hand", "upload_start": "2026-01-01T13:00:00+01:00", "upload_end": "2026-01-01T12:30:00Z", "upload_size": 0.5,
		},
		"client_token": "token-1", "encrypted": true, "kms_key_id": "alias/disks", "role_name": "importer", "dry_run": true,
		"tags": tags("Name", "web"), "task_tags": tags("purpose", "import"), "source_hash": "1", "storage_tier": "standard", "temporary_restore_days": 3,
		"skip_destroy": false, "preflight": true, "region": here,
		"timeouts": map[string]any{"create": "5m", "read": "1m", "update": "5m", "delete": "5m"},
	}
}

// unknowns are copies of config with one value unknown each, by the path of that value, down to the members of objects and maps.
func unknowns(config map[string]any) map[string]map[string]any {
	found := map[string]map[string]any{}
	for name, v := range config {
		changed := maps.Clone(config)
		changed[name] = acctest.Unknown
		found[name] = changed
		if inner, ok := v.(map[string]any); ok {
			for path, members := range unknowns(inner) {
				changed := maps.Clone(config)
				changed[name] = members
				found[name+"."+path] = changed
			}
		}
	}
	return found
}

// TestRule6UnknownArguments: any argument may be unknown while planning, for a new resource and for one that exists.
func TestRule6UnknownArguments(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	c := acctest.NewCore(t, e.Config())
	for _, name := range c.Arguments {
		if _, ok := complete()[name]; !ok {
			t.Errorf("the configuration of this test lacks %s", name)
		}
	}
	bucket := map[string]any{"disk_container": map[string]any{"user_bucket": map[string]any{"s3_bucket": "images", "s3_key": "disk.vmdk"}}}
	cases := unknowns(complete())
	maps.Copy(cases, unknowns(bucket))

	existing, d := c.Create(complete())
	if len(d) > 0 {
		t.Fatal(d)
	}
	e.Forget()
	anew := acctest.NewCore(t, e.Config()) // in one plan with the existing one they would share its token
	for name, config := range cases {
		if d := c.Validate(config); len(d) > 0 {
			t.Errorf("%s unknown is refused by a validation: %s", name, d)
		}
		p, d := anew.Plan(nil, config)
		if d.HasError() {
			t.Errorf("%s unknown is refused by a plan: %s", name, d)
		} else if p.Get("snapshot_id") != acctest.Unknown || p.Get("import_task_id") != acctest.Unknown {
			t.Errorf("%s unknown: the plan knows the snapshot: %v", name, p.Get("snapshot_id"))
		}
		if name == "region" && p.Get("region") != acctest.Unknown {
			t.Errorf("an unknown Region is planned as %v", p.Get("region"))
		}
		_, d = c.Plan(existing, config)
		for _, each := range d.Errors() {
			// A replacement for what may turn out to be another value needs another token, too.
			if each.Path != "client_token" || config["client_token"] == acctest.Unknown {
				t.Errorf("%s unknown is refused by a plan of the existing resource: %s", name, d)
			}
		}
	}
	if calls := e.Changes(); slices.ContainsFunc(calls, func(name string) bool { return name != "ImportSnapshot" }) {
		t.Errorf("the plans have called %v", calls)
	}
	for _, r := range e.Requests("ImportSnapshot") {
		if r.Form.Get("DryRun") != "true" {
			t.Error("a plan has started an import")
		}
	}
	if d := c.Destroy(existing); len(d) > 0 {
		t.Error(d)
	}
}

// TestRule6UnknownProvider: any argument of the provider may be unknown: nothing is called, and nothing fails.
func TestRule6UnknownProvider(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	o, d := acctest.NewCore(t, e.Config()).Create(complete())
	if len(d) > 0 {
		t.Fatal(d)
	}
	e.Forget()
	for _, name := range acctest.StartCore(t).ProviderArguments {
		for what, value := range map[string]any{"unknown": acctest.Unknown, "null": nil} {
			t.Run(name+" "+what, func(t *testing.T) {
				config := e.Config()
				if value == nil {
					config = map[string]any{"local": acctest.Unknown}
				}
				config[name] = value
				if name == "local" && value == nil {
					return // that is AWS
				}
				c := acctest.StartCore(t)
				if d := c.ValidateProvider(config); len(d) > 0 {
					t.Fatal(d)
				}
				if d := c.Configure(config); len(d) > 0 {
					t.Fatal(d)
				}
				p, d := c.Plan(nil, with("dry_run", true, "tags", tags("Name", "web")))
				if len(d) > 0 || p.Get("snapshot_id") != acctest.Unknown || p.Get("region") != acctest.Unknown {
					t.Errorf("a new resource is planned in region %v: %v", p.Get("region"), d)
				}
				read, d := c.Read(o)
				if len(d) > 0 || read == nil {
					t.Fatalf("the refresh has ended with %v", d)
				}
				p, d = c.Plan(read, complete())
				if len(d) > 0 || len(p.Replaces) > 0 || p.Get("snapshot_id") != o.Text("snapshot_id") {
					t.Errorf("the existing resource is planned as %s for %v: %v", p.Action, p.Replaces, d)
				}
			})
		}
	}
	if calls := append(e.Actions(), e.S3Requests()...); len(calls) > 0 {
		t.Errorf("with an unknown provider block the plans have called %v", calls)
	}
	if d := acctest.NewCore(t, e.Config()).Destroy(o); len(d) > 0 {
		t.Error(d)
	}
}

// TestAccRule6Unknown shows it to the CLI: all arguments come from another resource that is created in the same apply.
func TestAccRule6Unknown(t *testing.T) {
	e := newEC2(t)
	config := complete()
	delete(config, "dry_run")
	var body, input strings.Builder
	for name, v := range config {
		fmt.Fprintf(&input, "    %s", acctest.HCL(map[string]any{name: v}))
		fmt.Fprintf(&body, "  %s = terraform_data.inputs.output.%s\n", name, name)
	}
	inputs := fmt.Sprintf("resource \"terraform_data\" \"inputs\" {\n  input = {\n%s\n    provider_region = \"us-east-1\"\n  }\n}\n", &input)
	all := e.Provider("") + inputs + "resource \"ec2_import_snapshot\" \"test\" {\n" + body.String() + "}\n"
	unknownProvider := "provider \"ec2\" {\n region = terraform_data.inputs.output.provider_region\n" + e.Connection() + "\n}\n"
	acc(t, nothingLeft(t, e),
		resource.TestStep{
			Config: unknownProvider + inputs + snapshot(""), PlanOnly: true, ExpectNonEmptyPlan: true,
		},
		resource.TestStep{
			PreConfig: func() {
				if calls := append(e.Actions(), e.S3Requests()...); len(calls) > 0 {
					t.Errorf("a plan with an unknown provider block has called %v", calls)
				}
			},
			Config: all, Check: imports(e, 1),
			ConfigPlanChecks: planned(plancheck.ResourceActionCreate,
				plancheck.ExpectUnknownValue(address, tfjsonpath.New("tags_all")), plancheck.ExpectUnknownValue(address, tfjsonpath.New("disk_container"))),
		},
	)
}

// TestAccRule6PlanTouchesNothing: a plan with the local backend creates nothing on disk and starts nothing.
func TestAccRule6PlanTouchesNothing(t *testing.T) {
	onlyLocal(t, "a plan touches nothing on the disk of the provider's machine")
	l := newLocal(t)
	acc(t, nil, resource.TestStep{Config: l.Provider("", "") + snapshot("dry_run = true"), PlanOnly: true, ExpectNonEmptyPlan: true})
	if _, err := os.Stat(l.DataDir); !os.IsNotExist(err) {
		t.Errorf("a plan has made %s: %v", l.DataDir, err)
	}
}
