package provider_test

import (
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
)

const (
	keyID    = "0f2b5a0e-7f43-4f6c-9a3e-1d2c3b4a5e6f"
	otherKey = "1f2b5a0e-7f43-4f6c-9a3e-1d2c3b4a5e6f"
	keyARN   = "arn:aws:kms:us-east-1:111122223333:key/" + keyID
)

// everyArgument has every argument of the resource at once.
const everyArgument = `
  disk_container = {
    user_bucket = { s3_bucket = "images", s3_key = "disk.vmdk" }
    format      = "vmdk"
    description = "the container"
  }
  description  = "the task"
  client_data  = { comment = "by hand", upload_start = "2026-01-01T13:00:00+01:00", upload_end = "2026-01-01T12:30:00Z", upload_size = 0.5 }
  client_token = "token-1"
  encrypted    = true
  kms_key_id   = "alias/disks"
  role_name    = "importer"
  dry_run      = false
  tags         = { Name = "web", empty = "" }
  task_tags    = { purpose = "import" }
  source_hash  = "hash-1"
  storage_tier = "archive"
  temporary_restore_days = 3
  skip_destroy = false
  preflight    = true
  region       = "us-east-1"
  timeouts     = { create = "5m", read = "1m", update = "5m", delete = "5m" }
`

// TestAccRule1EmptySecondPlan: whatever EC2 changes, drops or adds, the plan behind an apply is empty. The test framework itself fails each step
// whose second plan, with and without a refresh, is not.
func TestAccRule1EmptySecondPlan(t *testing.T) {
	key := func(id string) string { return "encrypted = true\nkms_key_id = \"" + id + "\"" }
	for name, test := range map[string]struct {
		config func(*localec2.Config)
		before func(*acctest.EC2)
		block  string
		body   string
		checks []statecheck.StateCheck
		seen   []statecheck.StateCheck // what preflight sees, where it can look
	}{
		"P1 description": {
			body: "description = \"web\"",
			checks: []statecheck.StateCheck{
				has("description", exactly("web")),
				has("snapshot_description", knownvalue.StringRegexp(regexp.MustCompile("^Created by AWS-VMImport service for import-snap-"))),
			},
		},
		"P1 description that EC2 changes on the task too": {
			before: func(e *acctest.EC2) {
				e.On("DescribeImportSnapshotTasks", acctest.WithElement("description", "EC2's own"))
			},
			body: "description = \"web\"", checks: []statecheck.StateCheck{has("description", exactly("web"))},
		},
		"P2 encryption by default": {
			config: func(c *localec2.Config) { c.Simulate.EncryptionByDefault = true },
			checks: []statecheck.StateCheck{
				has("encrypted", knownvalue.Bool(true)), has("kms_key_id", knownvalue.Null()),
				has("kms_key_arn", knownvalue.StringRegexp(regexp.MustCompile("^arn:aws:kms:us-east-1:111122223333:key/"))),
			},
		},
		"P2 encrypted = false where EC2 encrypts": {
			config: func(c *localec2.Config) { c.Simulate.EncryptionByDefault = true },
			body:   "encrypted = false", checks: []statecheck.StateCheck{has("encrypted", knownvalue.Bool(false))},
		},
		"P2 encrypted without a key": {
			body: "encrypted = true", checks: []statecheck.StateCheck{has("kms_key_id", knownvalue.Null()), has("kms_key_arn", knownvalue.NotNull())},
		},
		"P3 key id":           {body: key(keyID), checks: []statecheck.StateCheck{has("kms_key_id", exactly(keyID)), has("kms_key_arn", exactly(keyARN))}},
		"P3 key ARN":          {body: key(keyARN), checks: []statecheck.StateCheck{has("kms_key_arn", exactly(keyARN))}},
		"P3 multi-Region key": {body: key("mrk-0123456789abcdef0123456789abcdef")},
		"P3 alias":            {body: key("alias/disks"), checks: []statecheck.StateCheck{has("kms_key_id", exactly("alias/disks"))}},
		"P3 alias ARN":        {body: key("arn:aws:kms:us-east-1:111122223333:alias/disks")},
		"P5 times with offsets": {
			body:   "client_data = { upload_start = \"2026-01-01T13:00:00+01:00\", upload_end = \"2026-01-01T12:00:00.5Z\" }",
			checks: []statecheck.StateCheck{has("client_data.upload_start", exactly("2026-01-01T13:00:00+01:00"))},
		},
		"P16 no tags":   {checks: []statecheck.StateCheck{has("tags", knownvalue.Null()), has("tags_all", knownvalue.MapSizeExact(0))}},
		"P16 tags = {}": {body: "tags = {}", checks: []statecheck.StateCheck{has("tags", knownvalue.MapSizeExact(0))}},
		"P16 default_tags": {
			block: "default_tags {\n tags = { env = \"test\", team = \"disks\" }\n}",
			body:  "tags = { env = \"test\", Name = \"web\" }",
			checks: []statecheck.StateCheck{
				has("tags", knownvalue.MapSizeExact(2)), has("tags_all", knownvalue.MapSizeExact(3)), has("tags_all.team", exactly("disks")),
			},
		},
		"P16 default_tags alone": {
			block:  "default_tags {\n tags = { env = \"test\" }\n}",
			checks: []statecheck.StateCheck{has("tags", knownvalue.Null()), has("tags_all.env", exactly("test"))},
		},
		"P16 ignore_tags, and tags of AWS": {
			before: func(e *acctest.EC2) {
				e.On("DescribeSnapshots", acctest.Within("tagSet", "<item><key>cost</key><value>1</value></item>"+
					"<item><key>audit:by</key><value>x</value></item><item><key>aws:cloud</key><value>y</value></item>"))
			},
			block:  "ignore_tags {\n keys = [\"cost\"]\n key_prefixes = [\"audit:\"]\n}",
			body:   "tags = { Name = \"web\" }",
			checks: []statecheck.StateCheck{has("tags", knownvalue.MapSizeExact(1)), has("tags_all", knownvalue.MapSizeExact(1))},
		},
		"P18 lower-case format": {
			body:   "disk_container = { url = \"s3://images/disk.vmdk\", format = \"vmdk\" }",
			checks: []statecheck.StateCheck{has("disk_container.format", exactly("vmdk")), has("snapshot_task_detail.format", exactly("VMDK"))},
		},
		"P18 format detected": {
			checks: []statecheck.StateCheck{has("disk_container.format", knownvalue.Null()), has("snapshot_task_detail.format", exactly("VMDK"))},
		},
		"user_bucket": {
			body: "disk_container = { user_bucket = { s3_bucket = \"images\", s3_key = \"disk.raw\" } }",
			checks: []statecheck.StateCheck{
				has("disk_container.url", knownvalue.Null()), has("snapshot_task_detail.user_bucket.s3_key", exactly("disk.raw")),
			},
			seen: []statecheck.StateCheck{has("source.format", exactly("RAW"))},
		},
		"https URL of a bucket": {
			body: "disk_container = { url = \"https://images.s3.us-east-1.amazonaws.com/disk.vmdk\" }",
			checks: []statecheck.StateCheck{
				has("disk_container.user_bucket", knownvalue.Null()), has("snapshot_task_detail.user_bucket.s3_bucket", exactly("images")),
			},
			seen: []statecheck.StateCheck{has("source.etag", knownvalue.NotNull())},
		},
		"P25 archive in motion": {
			before: func(e *acctest.EC2) {
				e.On("DescribeSnapshots", acctest.WithElement("storageTier", "standard"))
				e.On("DescribeSnapshotTierStatus", acctest.WithElement("lastTieringOperationStatus", "archival-in-progress"))
			},
			body: "storage_tier = \"archive\"", checks: []statecheck.StateCheck{has("storage_tier", exactly("archive"))},
		},
		"P25 no tier": {checks: []statecheck.StateCheck{has("storage_tier", exactly("standard"))}},
		"P28 empty and odd members": {
			before: func(e *acctest.EC2) {
				e.On("DescribeImportSnapshotTasks", acctest.Within("snapshotTaskDetail", "<statusMessage></statusMessage><progress></progress>"))
			},
			checks: []statecheck.StateCheck{
				has("snapshot_task_detail.status_message", knownvalue.Null()), has("snapshot_task_detail.progress", knownvalue.Null()),
				has("snapshot_task_detail.status", exactly("completed")),
			},
		},
		"everything at once": {
			block: "default_tags {\n tags = { env = \"test\" }\n}", body: everyArgument,
			checks: []statecheck.StateCheck{
				has("volume_size", knownvalue.Int64Exact(1)), has("owner_id", exactly("111122223333")), has("start_time", knownvalue.NotNull()),
				has("arn", knownvalue.StringRegexp(regexp.MustCompile("^arn:aws:ec2:us-east-1::snapshot/snap-"))),
				has("snapshot_task_detail.disk_image_size", knownvalue.Int64Exact(int64(len(vmdk())))), has("snapshot_task_detail.encrypted", knownvalue.Bool(true)),
				has("snapshot_task_detail.description", exactly("the task")),
			},
			seen: []statecheck.StateCheck{
				has("source.virtual_size_bytes", knownvalue.Int64Exact(1<<20)), has("source.importable", knownvalue.Bool(true)), has("source.sub_format", exactly("streamOptimized")),
				has("source.object_size_bytes", knownvalue.Int64Exact(int64(len(vmdk())))),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			change := func(c *localec2.Config) {
				if test.config != nil {
					test.config(c)
				}
			}
			var e *place
			if test.before != nil {
				disturbed := newEC2(t, change)
				test.before(disturbed)
				e = &place{disturbed.Site, disturbed}
			} else {
				e = newPlace(t, change)
			}
			checks := test.checks
			if e.SeesImages() {
				checks = append(checks, test.seen...)
			}
			acc(t, nothingLeft(t, e), resource.TestStep{
				Config: e.Provider(test.block) + snapshot(test.body), ConfigPlanChecks: planned(plancheck.ResourceActionCreate),
				ConfigStateChecks: checks, Check: e.tasks(t, 1),
			})
		})
	}
}

// TestAccRule1Later: what happens after the apply is no difference either.
func TestAccRule1Later(t *testing.T) {
	const forgotten = "EC2 has forgotten the task"
	for name, later := range map[string]func(*testing.T, *place){
		forgotten: func(_ *testing.T, e *place) {
			e.ec2.On("DescribeImportSnapshotTasks", acctest.Refuse(400, "InvalidConversionTaskId.Malformed", "The import task was not found."))
		},
		"the source is deleted":     func(t *testing.T, e *place) { e.Remove(t, "disk.vmdk") },
		"the source is another one": func(t *testing.T, e *place) { e.Put(t, "disk.vmdk", []byte("no disk")) },
	} {
		t.Run(name, func(t *testing.T) {
			e := newPlace(t)
			if name == forgotten && e.ec2 == nil {
				t.Skip("no endpoint here forgets its tasks")
			}
			config := e.Provider("") + snapshot("description = \"web\"")
			acc(t, nothingLeft(t, e),
				resource.TestStep{Config: config},
				resource.TestStep{
					PreConfig: func() { e.forget(); later(t, e) }, Config: config, ConfigPlanChecks: planned(plancheck.ResourceActionNoop),
					Check:             func(*terraform.State) error { return e.called("") },
					ConfigStateChecks: []statecheck.StateCheck{has("snapshot_task_detail.status", exactly("completed"))},
				})
		})
	}
}

// TestAccRule1RegionFromEnvironment: the provider's Region may come from the environment, and is filled in.
func TestAccRule1RegionFromEnvironment(t *testing.T) {
	e := newEC2(t)
	t.Setenv("AWS_REGION", "eu-central-1")
	resource.Test(t, resource.TestCase{
		ProtoV6ProviderFactories: acctest.Providers(), CheckDestroy: nothingLeft(t, e, "eu-central-1"),
		Steps: []resource.TestStep{{
			Config:            "provider \"ec2\" {\n" + e.Connection() + "\n}\n" + snapshot(""),
			ConfigStateChecks: []statecheck.StateCheck{has("region", exactly("eu-central-1"))},
			ConfigPlanChecks:  planned(plancheck.ResourceActionCreate),
		}},
	})
}

// TestAccRule1Volume: the snapshot has the bytes of the disk, the state shows them where they are at hand, and the second plan is empty.
func TestAccRule1Volume(t *testing.T) {
	for name, body := range map[string]string{
		"url":                   "",
		"user_bucket":           "disk_container = { user_bucket = { s3_bucket = \"images\", s3_key = \"disk.raw\" }, format = \"raw\" }",
		"https URL of a bucket": "disk_container = { url = \"https://s3.us-east-1.amazonaws.com/images/disk.vmdk\" }",
		"everything at once":    everyArgument,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, checksum)
			acc(t, nothingLeft(t, s), resource.TestStep{
				Config: s.Provider("") + snapshot(body), ConfigPlanChecks: planned(plancheck.ResourceActionCreate), Check: sound(s, disk()),
				ConfigStateChecks: []statecheck.StateCheck{has("region", exactly("us-east-1")), has("owner_id", exactly(s.Account))},
			})
			if left := s.Strays(t); len(left) > 0 {
				t.Errorf("the destroy has left %v", left)
			}
		})
	}
}

// TestAccRule1LocalDefaults: with no more than a bucket, the local backend has a Region and an account.
func TestAccRule1LocalDefaults(t *testing.T) {
	onlyLocal(t, "it is about local")
	l := newLocal(t)
	acc(t, nil, resource.TestStep{
		Config: l.Provider("", "") + snapshot(""),
		ConfigStateChecks: []statecheck.StateCheck{
			has("region", exactly("us-east-1")), has("owner_id", exactly("000000000000")), has("volume_sha256", knownvalue.Null()),
			has("volume_path", knownvalue.StringFunc(func(path string) error { return sameBytes(path, disk()) })),
		},
	})
}
