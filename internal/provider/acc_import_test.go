package provider_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfversion"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// foreign is an import that somebody else has made, tagged on both its task and its snapshot.
func foreign(t *testing.T, e *acctest.Site, region string, request ...string) (task, snapshot string) {
	t.Helper()
	task = element(e.Call(t, "ImportSnapshot", region, append([]string{
		"DiskContainer.Url", "s3://images/disk.vmdk", "Description", "by hand",
		"TagSpecification.1.ResourceType", "import-snapshot-task", "TagSpecification.1.Tag.1.Key", "purpose", "TagSpecification.1.Tag.1.Value", "import",
	}, request...)...), "importTaskId")
	snapshot = e.Await(t, region, task)
	e.Call(t, "CreateTags", region, "ResourceId.1", snapshot, "Tag.1.Key", "Name", "Tag.1.Value", "web")
	return task, snapshot
}

// TestRule7Adoption (P24): whatever is imported, by whatever id, the plan behind it never replaces, and its update calls nothing.
func TestRule7Adoption(t *testing.T) {
	forget := func(e *acctest.EC2) {
		e.On("DescribeImportSnapshotTasks", acctest.Refuse(400, "InvalidConversionTaskId.Malformed", "The import task was not found."))
	}
	full := complete()
	full["description"], full["tags"], full["storage_tier"] = "by hand", tags("Name", "web"), "standard"
	described := func(more ...any) map[string]any {
		return with(append([]any{"description", "by hand", "tags", tags("Name", "web")}, more...)...)
	}
	inBucket := described()
	inBucket["disk_container"] = map[string]any{"user_bucket": map[string]any{"s3_bucket": "images", "s3_key": "disk.vmdk"}}
	for name, test := range map[string]struct {
		id      string // TASK, SNAPSHOT
		region  string
		request []string
		before  func(*acctest.EC2)
		config  map[string]any
		block   map[string]any
		action  string
		calls   string
	}{
		"by task":                      {id: "TASK", config: described()},
		"by snapshot":                  {id: "SNAPSHOT", config: described()},
		"by task in a Region":          {id: "TASK@eu-west-1", region: "eu-west-1", config: described("region", "eu-west-1")},
		"by snapshot in a Region":      {id: "SNAPSHOT@eu-west-1", region: "eu-west-1", config: described("region", "eu-west-1")},
		"in the provider's Region":     {id: "SNAPSHOT@us-east-1", config: described("region", here)},
		"the task is forgotten":        {id: "SNAPSHOT", before: forget, config: described()},
		"the container as user_bucket": {id: "TASK", config: inBucket},
		"what EC2 does not return": {id: "TASK", config: described(
			"role_name", "importer", "client_token", "a", "source_hash", "1", "client_data", map[string]any{"comment": "c"}, "skip_destroy", false)},
		"every argument":           {id: "SNAPSHOT", config: full, request: []string{"Encrypted", "true", "KmsKeyId", "alias/disks"}},
		"another key than written": {id: "SNAPSHOT", config: described("encrypted", true, "kms_key_id", "alias/disks"), request: []string{"Encrypted", "true"}},
		"encrypted all the same":   {id: "SNAPSHOT", config: described("encrypted", false), request: []string{"Encrypted", "true"}},
		"a user_bucket request": {id: "TASK", config: inBucket, request: []string{
			"DiskContainer.UserBucket.S3Bucket", "images", "DiskContainer.UserBucket.S3Key", "disk.vmdk", "DiskContainer.Url", "",
		}},
		"task_tags as they are": {id: "TASK", config: described("task_tags", tags("purpose", "import"))},
		"other task_tags":       {id: "TASK", config: described("task_tags", tags("purpose", "none")), calls: "CreateTags"},
		"other tags":            {id: "TASK", config: described("tags", tags("Name", "db")), calls: "CreateTags"},
		"default_tags":          {id: "TASK", config: with("description", "by hand"), block: map[string]any{"tags": tags("Name", "web")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			region := test.region
			if region == "" {
				region = here
			}
			task, snapshot := foreign(t, e.Site, region, test.request...)
			if test.before != nil {
				test.before(e)
			}
			provider := e.Config()
			if test.block != nil {
				provider["default_tags"] = []any{test.block}
			}
			c := acctest.NewCore(t, provider)
			o, d := c.Import(strings.NewReplacer("TASK", task, "SNAPSHOT", snapshot).Replace(test.id))
			if len(d) > 0 || o == nil {
				t.Fatal(d)
			}
			if o.Text("import_task_id") != task || o.Text("snapshot_id") != snapshot || o.Text("region") != region || o.Get("volume_size") != 1.0 {
				t.Errorf("the adopted resource is task %v, snapshot %v in %v", o.Get("import_task_id"), o.Get("snapshot_id"), o.Get("region"))
			}
			p, d := c.Plan(o, test.config)
			if len(d) > 0 || (p.Action != "update" && p.Action != "no-op") {
				t.Fatalf("the plan behind the import is %s for %v: %v", p.Action, p.Replaces, d)
			}
			o, d = c.Apply(t.Context(), p)
			if len(d) > 0 {
				t.Fatal(d)
			}
			if calls := strings.Join(e.Changes(), " "); calls != test.calls {
				t.Errorf("the update has called %q, want %q", calls, test.calls)
			}
			o, _ = c.Read(o)
			if p, d := c.Plan(o, test.config); p.Action != "no-op" || len(d) > 0 {
				t.Errorf("the second plan is %s for %v: %v", p.Action, p.Replaces, d)
			}
			// From here on it is a resource like any other.
			changed := map[string]any{}
			for name, v := range test.config {
				changed[name] = v
			}
			changed["description"], changed["client_token"] = "another", "another"
			if p, d := c.Plan(o, changed); p.Action != "replace" || d.HasError() {
				t.Errorf("a change of the description is planned as %s: %v", p.Action, d)
			}
			if d := c.Destroy(o); len(d) > 0 || e.Snapshots(t, region) != 0 {
				t.Errorf("the adopted snapshot is not destroyed: %v", d)
			}
		})
	}
}

// TestRule7Identity: by identity, with and without the Region. CLIs offer it from 1.12 on; the protocol does without them.
func TestRule7Identity(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	task, snapshot := foreign(t, e.Site, "eu-west-1")
	config := e.Config()
	config["region"] = "eu-west-1"
	for name, test := range map[string]struct {
		provider map[string]any
		identity map[string]any
	}{
		"with the Region":    {e.Config(), map[string]any{"import_task_id": task, "region": "eu-west-1"}},
		"without the Region": {config, map[string]any{"import_task_id": task}},
	} {
		o, d := acctest.NewCore(t, test.provider).ImportByIdentity(test.identity)
		if len(d) > 0 || o.Text("snapshot_id") != snapshot || o.Text("region") != "eu-west-1" {
			t.Errorf("%s: snapshot %v in %v: %v", name, o.Get("snapshot_id"), o.Get("region"), d)
		}
	}
}

// TestRule7Moved: a resource of hashicorp/aws is taken over by a moved block, whatever the CLI makes of its provider's address.
func TestRule7Moved(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	task, snapshot := foreign(t, e.Site, here)
	state := fmt.Sprintf(`{"id": %q, "arn": "arn:aws:ec2:us-east-1::snapshot/%s", "description": "Created by AWS-VMImport service for %s", "role_name": "vmimport",
		"kms_key_id": "", "storage_tier": "standard", "tags": {"Name": "web"}, "tags_all": {"Name": "web"}, "client_data": [], "timeouts": null, "a_new_attribute": [1],
		"disk_container": [{"description": "", "format": "VMDK", "url": "s3://images/disk.vmdk", "user_bucket": []}]}`, snapshot, snapshot, task)
	config := with("description", "by hand", "role_name", "vmimport", "tags", tags("Name", "web"))
	config["disk_container"] = map[string]any{"url": "s3://images/disk.vmdk", "format": "VMDK"}
	for _, address := range []string{"registry.terraform.io/hashicorp/aws", "registry.opentofu.org/hashicorp/aws", "registry.opentofu.org/ec2-import-snapshot/ec2"} {
		e.Forget()
		c := acctest.NewCore(t, e.Config())
		o, d := c.Move(address, "aws_ebs_snapshot_import", state)
		if len(d) > 0 || o.Text("snapshot_id") != snapshot || o.Text("import_task_id") != task || o.Text("region") != here {
			t.Fatalf("%s: snapshot %v of task %v: %v", address, o.Get("snapshot_id"), o.Get("import_task_id"), d)
		}
		p, d := c.Plan(o, config)
		if len(d) > 0 || (p.Action != "update" && p.Action != "no-op") {
			t.Fatalf("%s: the plan behind the move is %s for %v: %v", address, p.Action, p.Replaces, d)
		}
		if o, d = c.Apply(t.Context(), p); len(d) > 0 {
			t.Fatal(d)
		}
		if p, d := c.Plan(o, config); p.Action != "no-op" || len(d) > 0 {
			t.Errorf("%s: the second plan is %s: %v", address, p.Action, d)
		}
		if calls := e.Changes(); len(calls) > 0 {
			t.Errorf("%s: the move has called %v", address, calls)
		}
	}
	c := acctest.NewCore(t, e.Config())
	if _, d := c.Move("registry.terraform.io/hashicorp/aws", "aws_ebs_snapshot", state); !d.HasError() {
		t.Error("a resource of another type is taken over")
	}
	if _, d := c.Move("registry.terraform.io/hashicorp/aws", "aws_ebs_snapshot_import", `{"id": "snap-1", "description": "mine"}`); !strings.Contains(d.String(), "mine") {
		t.Errorf("a state without its task: %v", d)
	}
}

// TestRule7Refused: what cannot be adopted says why.
func TestRule7Refused(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	e.Put(t, "bad.vmdk", bad["qcow2"].image)
	task, snapshot := foreign(t, e.Site, here)
	failed := element(e.Call(t, "ImportSnapshot", here, "DiskContainer.Url", "s3://images/bad.vmdk"), "importTaskId")
	e.Await(t, here, failed)
	for name, test := range map[string]struct {
		id     string
		before func()
		says   string
	}{
		"a volume":    {id: "vol-0123456789abcdef0", says: "import-snap-"},
		"an ARN":      {id: "arn:aws:ec2:us-east-1::snapshot/" + snapshot, says: "import-snap-"},
		"no id":       {id: "web", says: "import-snap-"},
		"an empty id": {id: "", says: "Invalid Import Id"},
		"an id cut short": {id: "snap-0123", before: func() {
			e.On("DescribeSnapshots", acctest.Refuse(400, "InvalidSnapshotID.Malformed", "Invalid id: \"snap-0123\""))
		}, says: "letter by letter"},
		"a bad Region":           {id: snapshot + "@Ireland", says: "@region"},
		"another Region":         {id: snapshot + "@eu-west-1", says: "does not know the snapshot"},
		"a task of another one":  {id: task + "@eu-west-1", says: "does not know the task"},
		"no such snapshot":       {id: "snap-0123456789abcdef0", says: "does not know the snapshot"},
		"no such task":           {id: "import-snap-0123456789abcdef0", says: "import by the snapshot's id"},
		"a snapshot of a volume": {id: snapshot, before: func() { e.On("DescribeSnapshots", acctest.WithElement("description", "nightly backup")) }, says: "nightly backup"},
		"no description":         {id: snapshot, before: func() { e.On("DescribeSnapshots", acctest.WithElement("description", "")) }, says: "not made by VM Import"},
		"a copy of another name": {id: snapshot, before: func() {
			e.On("DescribeSnapshots", acctest.WithElement("description", "[Copied snap-1] Created by AWS-VMImport service for "+task))
		}, says: "not made by VM Import"},
		"no permission": {id: snapshot, before: func() {
			e.On("DescribeSnapshots", acctest.Refuse(403, "UnauthorizedOperation", "You are not authorized to perform this operation."))
		}, says: "ec2:DescribeSnapshots"},
	} {
		e.Calm("DescribeSnapshots")
		if test.before != nil {
			test.before()
		}
		o, d := acctest.NewCore(t, e.Config()).Import(test.id)
		if o != nil || len(d.Errors()) != 1 || !strings.Contains(d.String(), test.says) {
			t.Errorf("%s: want one error that says %q, got %v", name, test.says, d)
		}
	}
	// Terraform makes an error of what is gone when it is read.
	if o, d := acctest.NewCore(t, e.Config()).Import(failed); o != nil || !strings.Contains(d.String(), "Unsupported specified file format") {
		t.Errorf("a failed task is adopted, or does not say why not: %v", d)
	}
	if calls := e.Changes(); len(calls) > 0 {
		t.Errorf("imports have called %v", calls)
	}
}

// TestAccRule7Import is `terraform import` and ImportStateVerify.
func TestAccRule7Import(t *testing.T) {
	e := newPlace(t)
	id := func(attribute, suffix string) resource.ImportStateIdFunc {
		return func(s *terraform.State) (string, error) {
			return s.RootModule().Resources[address].Primary.Attributes[attribute] + suffix, nil
		}
	}
	config := e.Provider("default_tags {\n tags = { env = \"test\" }\n}") + snapshot(`
  disk_container = { url = "s3://images/disk.vmdk", format = "VMDK" }
  description    = "web"
  tags           = { Name = "web" }`)
	steps := []resource.TestStep{{Config: config}}
	for _, by := range []resource.ImportStateIdFunc{
		id("import_task_id", ""), id("snapshot_id", ""), id("import_task_id", "@us-east-1"), id("snapshot_id", "@us-east-1"),
	} {
		steps = append(steps, resource.TestStep{
			ResourceName: address, ImportState: true, ImportStateIdFunc: by, ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "import_task_id",
			ImportStateVerifyIgnore: []string{"source"}, // what preflight saw before the import, nobody remembers
		})
	}
	steps = append(steps,
		resource.TestStep{ResourceName: address, ImportState: true, ImportStateId: "vol-1", ExpectError: regexp.MustCompile("Invalid Import Id")},
		resource.TestStep{Config: config, ConfigPlanChecks: planned(nothing), Check: e.tasks(t, 1)},
	)
	acc(t, nothingLeft(t, e), steps...)
}

// TestAccRule7ImportBlock is an import block with the configuration that a user would write beside it.
func TestAccRule7ImportBlock(t *testing.T) {
	for name, test := range map[string]struct {
		what   string
		region string
		skip   []tfversion.TerraformVersionCheck
	}{
		"id":                {"id = \"SNAPSHOT@us-east-1\"", here, nil},
		"task":              {"id = \"TASK\"", here, nil},
		"in another Region": {"id = \"TASK@eu-west-1\"", "eu-west-1", nil},
		// An import block takes an identity from Terraform 1.12 on.
		"identity": {"identity = { import_task_id = \"TASK\", region = \"us-east-1\" }", here, []tfversion.TerraformVersionCheck{tfversion.SkipBelow(tfversion.Version1_12_0)}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newPlace(t)
			task, snap := foreign(t, e.Site, test.region)
			block := fmt.Sprintf("import {\n to = %s\n %s\n}\n", address, strings.NewReplacer("TASK", task, "SNAPSHOT", snap).Replace(test.what))
			config := e.Provider("") + snapshot(fmt.Sprintf("description = \"by hand\"\nrole_name = \"importer\"\nclient_token = \"a\"\n"+
				"tags = { Name = \"web\" }\nregion = %q", test.region))
			accCase(t, resource.TestCase{
				ProtoV6ProviderFactories: acctest.Providers(), CheckDestroy: nothingLeft(t, e, test.region), TerraformVersionChecks: test.skip,
				Steps: []resource.TestStep{
					{
						Config: config + block, ConfigPlanChecks: planned(plancheck.ResourceActionUpdate),
						ConfigStateChecks: []statecheck.StateCheck{has("snapshot_id", exactly(snap)), has("role_name", exactly("importer")), has("source", knownvalue.Null())},
						Check:             func(*terraform.State) error { return errors.Join(e.called(""), e.tasks(t, 1, "eu-west-1")(nil)) },
					},
					{Config: config, ConfigPlanChecks: planned(nothing)},
				},
			})
		})
	}
}
