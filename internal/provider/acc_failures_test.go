package provider_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
)

// lacks are the parts of a text that it does not have, in any order.
func lacks(text string, parts ...string) (missing []string) {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			missing = append(missing, part)
		}
	}
	return missing
}

// TestRule5TaskFailures (P9, P19, P20): the error of a failed import tells everything there is, in EC2's words, with cause and cure, on the attribute at fault.
func TestRule5TaskFailures(t *testing.T) {
	for name, test := range map[string]struct {
		message string
		path    string
		cure    string // "": not in the catalogue
	}{
		"VMDK":            {"ClientError: Disk validation failed [Unsupported VMDK File Format]", "disk_container", "streamOptimized"},
		"format":          {"ClientError: Disk validation failed [Unsupported specified file format]", "disk_container.format", "Decompress"},
		"format, in 2026": {"disk validation failed [unsupported specified file format]", "disk_container.format", "Decompress"},
		"403":             {"ClientError: Disk validation failed [We do not have access to the given resource. Reason 403 Forbidden]", "role_name", "s3:GetObject"},
		"VHD":             {"ClientError: Footers not identical", "disk_container", "terraform-provider-ec2 convert"},
		"KMS":             {"Client.InvalidKmsKey.InvalidState", "kms_key_id", "kms:CreateGrant"},
		"AWS":             {"ServerError: something broke", "", "Import again"},
		"never heard of":  {"ClientError: the moon is in the wrong phase", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := acctest.NewEC2(t, func(c *localec2.Config) { c.Simulate.FailWith = test.message })
			e.Put(t, "disk.vmdk", vmdk())
			c := acctest.NewCore(t, e.Config())
			// On EC2 a task that fails has no progress any more: the last one seen counts.
			e.On("DescribeImportSnapshotTasks", polls(acctest.First(1, acctest.Rewrite(func(body string) string {
				body = regexp.MustCompile(`<status>\w+</status>`).ReplaceAllString(body, "<status>active</status>")
				body = regexp.MustCompile(`<statusMessage>[^<]*</statusMessage>`).ReplaceAllString(body, "<statusMessage>converting</statusMessage>")
				body = regexp.MustCompile(`<progress>\d+</progress>`).ReplaceAllString(body, "")
				return strings.ReplaceAll(body, "</snapshotTaskDetail>", "<progress>42</progress></snapshotTaskDetail>")
			}))))
			config := with("kms_key_id", "alias/a", "encrypted", true)
			config["disk_container"] = map[string]any{"url": "s3://images/disk.vmdk", "format": "vmdk"}
			o, d := c.Create(config)
			if o != nil || len(d) != 1 || !d.HasError() || d[0].Path != test.path {
				t.Fatalf("want one error at %q and no object, got\n%s", test.path, d)
			}
			want := []string{"import-snap-", "us-east-1", "s3://images/disk.vmdk", "format sent:", "VMDK", "deleted", "42 %", "time spent:", test.message}
			if test.cure != "" {
				want = append(want, "Cause: ", "Cure: ", test.cure)
			}
			if missing := lacks(d[0].Detail, want...); len(missing) > 0 {
				t.Errorf("the error lacks %q:\n%s", missing, d[0].Detail)
			}
		})
	}
}

// TestRule5CallFailures (P10, P11, P20): so does the error of an import that EC2 does not take.
func TestRule5CallFailures(t *testing.T) {
	for name, test := range map[string]struct {
		status        int
		code, message string
		path, cure    string
	}{
		"P20 Region":      {400, "InvalidParameter", "The given S3 object is not local to the region. The object must be located in us-east-1.", "region", "`region`"},
		"P13 token":       {400, "IdempotentParameterMismatch", "The request uses the same client token as a previous one.", "client_token", "`client_token`"},
		"format":          {400, "InvalidParameter", "Parameter disk-image-size=0 has an invalid format", "disk_container.format", "`format`"},
		"KMS":             {400, "InvalidParameterValue", "The specified KMS key is not accessible.", "kms_key_id", "kms:CreateGrant"},
		"permission":      {403, "UnauthorizedOperation", "You are not authorized to perform this operation.", "", "ec2:ImportSnapshot"},
		"P11 PassRole":    {403, "UnauthorizedOperation", "You are not authorized to perform: iam:PassRole on resource: vmimport", "role_name", "iam:PassRole"},
		"tagging":         {403, "UnauthorizedOperation", "You are not authorized to perform: ec2:CreateTags on resource", "tags", "ec2:CreateTags"},
		"opt-in":          {401, "OptInRequired", "You are not subscribed to this service.", "region", "Enable the Region"},
		"credentials":     {401, "AuthFailure", "AWS was not able to validate the provided access credentials", "", "get-caller-identity"},
		"no such service": {501, "InternalFailure", "API action 'ImportSnapshot' for service 'ec2' not yet implemented or pro feature", "", "local = {}"},
		"no such action":  {400, "InvalidAction", "The action ImportSnapshot is not valid for this web service.", "", "local = {}"},
		"never heard of":  {400, "Moonphase", "The moon is in the wrong phase.", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			c := acctest.NewCore(t, e.Config())
			e.On("ImportSnapshot", acctest.Refuse(test.status, test.code, test.message))
			o, d := c.Create(with())
			if o != nil || len(d) != 1 || !d.HasError() || d[0].Path != test.path {
				t.Fatalf("want one error at %q and no object, got\n%s", test.path, d)
			}
			want := []string{"us-east-1", "s3://images/disk.vmdk", test.code, test.message}
			if test.cure != "" {
				want = append(want, "Cause: ", "Cure: ", test.cure)
			}
			if missing := lacks(d[0].Detail, want...); len(missing) > 0 {
				t.Errorf("the error lacks %q:\n%s", missing, d[0].Detail)
			}
			if n := accepted(e); n != 0 {
				t.Errorf("%d imports were started", n)
			}
		})
	}
}

// TestRule5NoReason: EC2 may give none.
func TestRule5NoReason(t *testing.T) {
	t.Parallel()
	e := acctest.NewEC2(t, func(c *localec2.Config) { c.Simulate.FailWith = "hidden" })
	e.Put(t, "disk.vmdk", vmdk())
	e.On("DescribeImportSnapshotTasks", acctest.WithElement("statusMessage", ""))
	_, d := acctest.NewCore(t, e.Config()).Create(with())
	if len(d) != 1 || !strings.Contains(d[0].Detail, "EC2 gives no reason") || !strings.Contains(d[0].Detail, "Cause: ") || !strings.Contains(d[0].Detail, "import-snap-") {
		t.Errorf("the error of a task without a reason: %v", d)
	}
}

// TestAccRule5 shows a failure to the CLI, which points at the line of the attribute.
func TestAccRule5(t *testing.T) {
	e := newPlace(t, func(c *localec2.Config) {
		c.Simulate.FailWith = "ClientError: Disk validation failed [We do not have access to the given resource. Reason 403 Forbidden]"
	})
	acc(t, nothingLeft(t, e), resource.TestStep{
		Config: e.Provider("") + snapshot("role_name = \"importer\""),
		ExpectError: regexp.MustCompile(`(?s)Import Failed.*in resource "ec2_import_snapshot" "test":\s+\d+: role_name = "importer".*` +
			`Reason\s+403\s+Forbidden.*Cause: .*Cure: .*task: .*Region: +us-east-1.*last status: +deleted`),
	})
}
