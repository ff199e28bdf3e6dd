package provider_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// change is one step from the configuration before to body: what Terraform plans for it, and the changing calls that carry it out.
type change struct {
	why    string
	body   string
	action plancheck.ResourceActionType
	calls  string
}

const (
	replace = plancheck.ResourceActionDestroyBeforeCreate
	inPlace = plancheck.ResourceActionUpdate
	nothing = plancheck.ResourceActionNoop

	// reimported are the calls of a replacement.
	reimported = "DeleteSnapshot ImportSnapshot"
)

// chain applies first, then one change behind the other to the same resource.
func chain(t *testing.T, e *place, first string, changes ...change) {
	t.Helper()
	made := e.Tasks(t, here) + e.Tasks(t, "eu-central-1") + 1
	steps := []resource.TestStep{{Config: e.Provider("") + snapshot(first)}}
	for _, c := range changes {
		made += strings.Count(c.calls, "ImportSnapshot")
		imported := e.tasks(t, made, "eu-central-1")
		steps = append(steps, resource.TestStep{
			PreConfig: e.forget, Config: e.Provider("") + snapshot(c.body), ConfigPlanChecks: planned(c.action),
			Check: func(*terraform.State) error {
				if err := errors.Join(e.called(c.calls), imported(nil)); err != nil {
					return fmt.Errorf("%s: %w", c.why, err)
				}
				return nil
			},
		})
	}
	acc(t, nothingLeft(t, e, "eu-central-1"), steps...)
}

// TestAccRule2Replacement is the table of arguments: what replaces the snapshot, what changes in place, and what calls nothing.
func TestAccRule2Replacement(t *testing.T) {
	for name, test := range map[string]struct {
		first   string
		changes []change
	}{
		"disk_container": {
			"disk_container = { url = \"s3://images/disk.vmdk\" }",
			[]change{
				{"format named where it was null", "disk_container = { url = \"s3://images/disk.vmdk\", format = \"vmdk\" }", inPlace, ""},
				{"format's case", "disk_container = { url = \"s3://images/disk.vmdk\", format = \"VMDK\" }", inPlace, ""},
				{"the same object as user_bucket", "disk_container = { user_bucket = { s3_bucket = \"images\", s3_key = \"disk.vmdk\" }, format = \"VMDK\" }", inPlace, ""},
				{"another object", "disk_container = { user_bucket = { s3_bucket = \"images\", s3_key = \"disk.raw\" } }", replace, reimported},
				{"another format", "disk_container = { user_bucket = { s3_bucket = \"images\", s3_key = \"disk.raw\" }, format = \"RAW\" }", inPlace, ""},
				{"format no longer named", "disk_container = { user_bucket = { s3_bucket = \"images\", s3_key = \"disk.raw\" } }", replace, reimported},
				{"container description", "disk_container = { user_bucket = { s3_bucket = \"images\", s3_key = \"disk.raw\" }, description = \"x\" }", replace, reimported},
			},
		},
		"request": {
			"",
			[]change{
				{"description", "description = \"web\"", replace, reimported},
				{"another description", "description = \"db\"", replace, reimported},
				{"description removed", "", replace, reimported},
				{"P4 client data", "client_data = { comment = \"a\", upload_start = \"2026-01-01T12:00:00Z\" }", replace, reimported},
				{"P5 the same instant", "client_data = { comment = \"a\", upload_start = \"2026-01-01T13:00:00+01:00\" }", inPlace, ""},
				{"P4 upload size", "client_data = { comment = \"a\", upload_start = \"2026-01-01T13:00:00+01:00\", upload_size = 1 }", replace, reimported},
				{"client data removed", "", replace, reimported},
				{"client data that says nothing", "client_data = {}", inPlace, ""},
				{"nor by its members", "client_data = { comment = null }", nothing, ""},
				{"none again", "", inPlace, ""},
				{"P17 source hash", "source_hash = \"1\"", replace, reimported},
				{"P17 another source hash", "source_hash = \"2\"", replace, reimported},
			},
		},
		"client_token": {
			"client_token = \"a\"",
			[]change{
				{"another token", "client_token = \"b\"", replace, reimported},
				{"another token and description", "client_token = \"c\"\ndescription = \"web\"", replace, reimported},
				{"token removed", "description = \"web\"", replace, reimported},
			},
		},
		"encryption": {
			"",
			[]change{
				{"encrypted as it is", "encrypted = false", nothing, ""},
				{"encrypted", "encrypted = true", replace, reimported},
				{"encrypted no longer said", "", nothing, ""},
				{"a key", "encrypted = true\nkms_key_id = \"alias/a\"", replace, reimported},
				{"P3 the alias by its ARN", "encrypted = true\nkms_key_id = \"arn:aws:kms:us-east-1:111122223333:alias/a\"", inPlace, ""},
				{"P3 another alias of the same key", "encrypted = true\nkms_key_id = \"alias/same\"", inPlace, ""},
				{"P3 another alias", "encrypted = true\nkms_key_id = \"alias/b\"", replace, reimported},
				{"P3 a key id", "encrypted = true\nkms_key_id = \"" + keyID + "\"", replace, reimported},
				{"P3 the key's ARN", "encrypted = true\nkms_key_id = \"" + keyARN + "\"", inPlace, ""},
				{"P3 another key", "encrypted = true\nkms_key_id = \"" + otherKey + "\"", replace, reimported},
			},
		},
		"in place": {
			"",
			[]change{
				{"role_name", "role_name = \"importer\"", inPlace, ""},
				{"dry_run", "dry_run = true", inPlace, ""},
				{"timeouts", "timeouts = { create = \"9m\", delete = \"9m\" }", inPlace, ""},
				{"other timeouts", "timeouts = { create = \"8m\" }", inPlace, ""},
				{"skip_destroy", "skip_destroy = true", inPlace, ""},
				{"skip_destroy back", "skip_destroy = false", inPlace, ""},
				{"preflight", "preflight = false", inPlace, ""},
				{"preflight by default", "", inPlace, ""},
				{"the Region it is in", "region = \"us-east-1\"", nothing, ""},
				{"another Region", "region = \"eu-central-1\"", replace, reimported},
				{"back to the provider's Region", "", replace, reimported},
			},
		},
		"storage_tier": {
			"",
			[]change{
				{"as it is", "storage_tier = \"standard\"", nothing, ""},
				{"P25 archive", "storage_tier = \"archive\"", inPlace, "ModifySnapshotTier"},
				{"days alone", "storage_tier = \"archive\"\ntemporary_restore_days = 5", inPlace, ""},
				{"P25 restored for some days", "storage_tier = \"standard\"\ntemporary_restore_days = 5", inPlace, "RestoreSnapshotTier"},
			},
		},
		"tags": {
			"",
			[]change{
				{"a tag", "tags = { Name = \"web\", env = \"test\" }", inPlace, "CreateTags CreateTags"},
				{"another value", "tags = { Name = \"db\", env = \"test\" }", inPlace, "CreateTags CreateTags"},
				{"one less", "tags = { Name = \"db\" }", inPlace, "DeleteTags DeleteTags"},
				{"task_tags as they are", "tags = { Name = \"db\" }\ntask_tags = { Name = \"db\" }", inPlace, ""},
				{"task_tags", "tags = { Name = \"db\" }\ntask_tags = { run = \"7\" }", inPlace, "DeleteTags CreateTags"},
				{"the snapshot's alone", "tags = { Name = \"cache\" }\ntask_tags = { run = \"7\" }", inPlace, "CreateTags"},
				{"none", "", inPlace, "DeleteTags DeleteTags"},
				{"{}", "tags = {}", inPlace, ""},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newPlace(t)
			if e.ec2 != nil {
				for _, alias := range []string{"alias/a", "alias/same"} {
					// What the endpoint makes of alias/a; its keys are made up from the alias.
					e.ec2.KMSKey(alias, aliasKey(t, e.ec2, "alias/a"))
				}
			} else if name == "encryption" {
				t.Skip("no KMS goes with this backend, which would know what an alias stands for")
			}
			chain(t, e, test.first, test.changes...)
		})
	}
}

// aliasKey asks the endpoint for the key of an alias, by an import that is thrown away.
func aliasKey(t *testing.T, e *acctest.EC2, alias string) string {
	t.Helper()
	task := e.Call(t, "ImportSnapshot", here, "DiskContainer.Url", "s3://images/disk.raw", "Encrypted", "true", "KmsKeyId", alias)
	arn := element(task, "kmsKeyId")
	e.Discard(t, here, element(task, "importTaskId"))
	return arn
}

var elements = regexp.MustCompile(`<(\w+)>([^<]*)</\w+>`)

// element is the text of the first <name>.
func element(xml, name string) string {
	for _, m := range elements.FindAllStringSubmatch(xml, -1) {
		if m[1] == name {
			return m[2]
		}
	}
	return ""
}

// TestAccRule2ClientToken: a replacement with the same token would get the old import, so it is refused while planning.
func TestAccRule2ClientToken(t *testing.T) {
	e := newPlace(t)
	acc(t, nothingLeft(t, e),
		resource.TestStep{Config: e.Provider("") + snapshot("client_token = \"a\"")},
		resource.TestStep{
			PreConfig: e.forget, Config: e.Provider("") + snapshot("client_token = \"a\"\ndescription = \"web\""),
			ExpectError: regexp.MustCompile(`(?s)Replacement Needs a New Client Token.*with ec2_import_snapshot\.test.*client_token = "a"`),
		},
		resource.TestStep{
			Config: e.Provider("") + snapshot("client_token = \"a\""), ConfigPlanChecks: planned(nothing),
			Check: func(*terraform.State) error { return errors.Join(e.called(""), e.tasks(t, 1)(nil)) },
		},
	)
}

// TestAccRule2UnknownRegion: a provider's Region that is not known yet keeps the prior one, in the CLI as at the protocol.
func TestAccRule2UnknownRegion(t *testing.T) {
	e := newEC2(t)
	config := func(generation int) string {
		return fmt.Sprintf("resource \"terraform_data\" \"settings\" {\n input = { region = \"us-east-1\", generation = %d }\n}\n"+
			"provider \"ec2\" {\n region = terraform_data.settings.output.region\n %s\n}\n", generation, e.Connection()) + snapshot("")
	}
	acc(t, nothingLeft(t, e),
		resource.TestStep{Config: config(1), ConfigStateChecks: []statecheck.StateCheck{has("region", exactly(here))}},
		resource.TestStep{PreConfig: e.Forget, Config: config(2), ConfigPlanChecks: planned(nothing), Check: imports(e, 0)},
	)
}

// TestRule2Protocol shows the attribute that a replacement is for, and the one that the refusal of a token is at.
func TestRule2Protocol(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	c := acctest.NewCore(t, e.Config())
	config := func(more ...any) map[string]any {
		m := map[string]any{
			"disk_container": map[string]any{"url": "s3://images/disk.vmdk"}, "client_token": "a", "encrypted": true, "kms_key_id": "alias/a",
			"source_hash": "1", "preflight": false,
		}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	o, d := c.Create(config())
	if len(d) > 0 {
		t.Fatal(d)
	}
	e.Forget()
	for name, test := range map[string]struct {
		config map[string]any
		want   []string
		path   string // of the error
	}{
		"nothing":           {config(), nil, ""},
		"token alone":       {config("client_token", "b"), []string{"client_token"}, ""},
		"two":               {config("client_token", "b", "source_hash", "2"), []string{"client_token", "source_hash"}, ""},
		"unknown hash":      {config("client_token", "b", "source_hash", acctest.Unknown), []string{"client_token", "source_hash"}, ""},
		"unknown key":       {config("client_token", "b", "kms_key_id", acctest.Unknown), []string{"client_token", "kms_key_id"}, ""},
		"unknown token":     {config("client_token", acctest.Unknown), []string{"client_token"}, ""},
		"unknown role":      {config("role_name", acctest.Unknown), nil, ""},
		"unknown tags":      {config("tags", acctest.Unknown), nil, ""},
		"the same token":    {config("source_hash", "2"), nil, "client_token"},
		"the same token II": {config("region", "eu-west-1"), nil, "client_token"},
	} {
		p, d := c.Plan(o, test.config)
		if test.path != "" {
			if errs := d.Errors(); len(errs) != 1 || errs[0].Path != test.path {
				t.Errorf("%s: want one error at %s, got %v", name, test.path, d)
			}
			continue
		}
		if d.HasError() {
			t.Errorf("%s: %s", name, d)
		}
		if diff := cmp.Diff(test.want, p.Replaces); diff != "" {
			t.Errorf("%s: replaced for (-want +got):\n%s", name, diff)
		}
	}
	if calls := e.Changes(); len(calls) > 0 {
		t.Errorf("planning has called %v", calls)
	}

	unknown := e.Config()
	unknown["region"] = acctest.Unknown
	p, d := acctest.NewCore(t, unknown).Plan(o, config())
	if p.Action != "no-op" || p.Get("region") != here || len(d) > 0 {
		t.Errorf("with an unknown Region the plan is %s of region %v: %s", p.Action, p.Get("region"), d)
	}
	if d := c.Destroy(o); len(d) > 0 {
		t.Error(d)
	}
}
