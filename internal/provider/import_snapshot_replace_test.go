package provider

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

const (
	keyID  = "0f2b5a0e-7f43-4f6c-9a3e-1d2c3b4a5e6f"
	keyARN = "arn:aws:kms:us-east-1:111122223333:key/" + keyID
)

func containerOf(url, bucket, key, format, description string) types.Object {
	user := types.ObjectNull(userBucketTypes)
	if bucket != "" {
		user = types.ObjectValueMust(userBucketTypes, map[string]attr.Value{"s3_bucket": types.StringValue(bucket), "s3_key": types.StringValue(key)})
	}
	return types.ObjectValueMust(diskContainerTypes, map[string]attr.Value{
		"url": text(&url), "user_bucket": user, "format": text(&format), "description": text(&description),
	})
}

func clientDataOf(comment, start string) types.Object {
	upload := timetypes.NewRFC3339Null()
	if start != "" {
		upload = timetypes.NewRFC3339ValueMust(start)
	}
	return types.ObjectValueMust(clientDataTypes, map[string]attr.Value{
		"comment": text(&comment), "upload_start": upload, "upload_end": timetypes.NewRFC3339Null(), "upload_size": types.Float64Null(),
	})
}

// TestReplacements is rule 2: what replaces a snapshot, and what does not.
func TestReplacements(t *testing.T) {
	base := func() importSnapshotModel {
		return importSnapshotModel{
			DiskContainer: containerOf("", "images", "a/disk.vmdk", "VMDK", "a disk"), Description: types.StringValue("d"),
			ClientData: clientDataOf("c", "2026-01-01T12:00:00Z"), ClientToken: types.StringValue("t1"), Encrypted: types.BoolValue(true),
			KmsKeyID: types.StringValue("alias/a"), KmsKeyARN: types.StringValue(keyARN), OwnerID: types.StringValue("111122223333"), SourceHash: types.StringValue("h1"),
			Region: types.StringValue("us-east-1"), RoleName: types.StringValue("vmimport"), Tags: mapValue(map[string]string{"a": "b"}),
		}
	}
	for name, test := range map[string]struct {
		prior, plan func(*importSnapshotModel)
		adopted     bool
		want        string
	}{
		"nothing": {},
		"tags, role, tier, run": {plan: func(m *importSnapshotModel) {
			m.Tags, m.RoleName, m.DryRun = types.MapNull(types.StringType), types.StringNull(), types.BoolValue(true)
		}},
		"another key": {
			plan: func(m *importSnapshotModel) {
				m.DiskContainer = containerOf("", "images", "b/disk.vmdk", "VMDK", "a disk")
			}, want: "disk_container",
		},
		"the same object as url": {plan: func(m *importSnapshotModel) {
			m.DiskContainer = containerOf("s3://images/a/disk.vmdk", "", "", "VMDK", "a disk")
		}},
		"unknown encryption": {plan: func(m *importSnapshotModel) { m.Encrypted = types.BoolUnknown() }, want: "encrypted"},
		"unknown container":  {plan: func(m *importSnapshotModel) { m.DiskContainer = types.ObjectUnknown(diskContainerTypes) }, want: "disk_container"},
		"P18 format's case": {plan: func(m *importSnapshotModel) {
			m.DiskContainer = containerOf("", "images", "a/disk.vmdk", "vmdk", "a disk")
		}},
		"P18 format named where EC2 detected it": {
			prior: func(m *importSnapshotModel) { m.DiskContainer = containerOf("", "images", "a/disk.vmdk", "", "a disk") },
		},
		"another format": {plan: func(m *importSnapshotModel) {
			m.DiskContainer = containerOf("", "images", "a/disk.vmdk", "RAW", "a disk")
		}, want: "disk_container"},
		"format no longer named": {plan: func(m *importSnapshotModel) { m.DiskContainer = containerOf("", "images", "a/disk.vmdk", "", "a disk") }, want: "disk_container"},
		"container description":  {plan: func(m *importSnapshotModel) { m.DiskContainer = containerOf("", "images", "a/disk.vmdk", "VMDK", "b") }, want: "disk_container"},
		"description":            {plan: func(m *importSnapshotModel) { m.Description = types.StringValue("e") }, want: "description"},
		"P4 comment":             {plan: func(m *importSnapshotModel) { m.ClientData = clientDataOf("d", "2026-01-01T12:00:00Z") }, want: "client_data"},
		"P5 the same instant":    {plan: func(m *importSnapshotModel) { m.ClientData = clientDataOf("c", "2026-01-01T13:00:00+01:00") }},
		"client data removed":    {plan: func(m *importSnapshotModel) { m.ClientData = types.ObjectNull(clientDataTypes) }, want: "client_data"},
		"client data that says nothing, where there was none": {
			prior: func(m *importSnapshotModel) { m.ClientData = types.ObjectNull(clientDataTypes) }, plan: func(m *importSnapshotModel) { m.ClientData = clientDataOf("", "") },
		},
		"no client data, where it said nothing": {
			prior: func(m *importSnapshotModel) { m.ClientData = clientDataOf("", "") }, plan: func(m *importSnapshotModel) { m.ClientData = types.ObjectNull(clientDataTypes) },
		},
		"client data that says nothing any more": {plan: func(m *importSnapshotModel) { m.ClientData = clientDataOf("", "") }, want: "client_data"},
		"client data, where there was none":      {prior: func(m *importSnapshotModel) { m.ClientData = types.ObjectNull(clientDataTypes) }, want: "client_data"},
		"unknown client data": {
			prior: func(m *importSnapshotModel) { m.ClientData = types.ObjectNull(clientDataTypes) },
			plan:  func(m *importSnapshotModel) { m.ClientData = types.ObjectUnknown(clientDataTypes) }, want: "client_data",
		},
		"token":         {plan: func(m *importSnapshotModel) { m.ClientToken = types.StringValue("t2") }, want: "client_token"},
		"encryption":    {plan: func(m *importSnapshotModel) { m.Encrypted = types.BoolValue(false) }, want: "encrypted"},
		"P3 key by id":  {plan: func(m *importSnapshotModel) { m.KmsKeyID = types.StringValue(keyID) }},
		"P3 key by ARN": {plan: func(m *importSnapshotModel) { m.KmsKeyID = types.StringValue(keyARN) }},
		"P3 alias by ARN": {plan: func(m *importSnapshotModel) {
			m.KmsKeyID = types.StringValue("arn:aws:kms:us-east-1:111122223333:alias/a")
		}},
		"P3 another alias": {plan: func(m *importSnapshotModel) { m.KmsKeyID = types.StringValue("alias/b") }, want: "kms_key_id"},
		"P3 the alias of another account": {
			plan: func(m *importSnapshotModel) {
				m.KmsKeyID = types.StringValue("arn:aws:kms:us-east-1:444455556666:alias/a")
			}, want: "kms_key_id",
		},
		"P3 the key that EC2 chose, written down": {prior: func(m *importSnapshotModel) { m.KmsKeyID = types.StringNull() }, plan: func(m *importSnapshotModel) { m.KmsKeyID = types.StringValue(keyID) }},
		"P3 unknown key": {plan: func(m *importSnapshotModel) { m.KmsKeyID = types.StringUnknown() }, want: "kms_key_id"},
		"P3 another key": {plan: func(m *importSnapshotModel) { m.KmsKeyID = types.StringValue("1" + keyID[1:]) }, want: "kms_key_id"},
		"source hash":    {plan: func(m *importSnapshotModel) { m.SourceHash = types.StringValue("h2") }, want: "source_hash"},
		"Region":         {plan: func(m *importSnapshotModel) { m.Region = types.StringValue("eu-west-1") }, want: "region"},
		"P24 adopted: what EC2 does not return": {
			prior: func(m *importSnapshotModel) {
				m.DiskContainer = containerOf("", "images", "a/disk.vmdk", "VMDK", "")
				m.ClientData, m.ClientToken = types.ObjectNull(clientDataTypes), types.StringNull()
				m.KmsKeyID, m.SourceHash, m.RoleName = types.StringNull(), types.StringNull(), types.StringNull()
			},
			plan:    func(m *importSnapshotModel) { m.Encrypted, m.Description = types.BoolValue(false), types.StringNull() },
			adopted: true,
		},
		"P24 moved: an alias, where the state of hashicorp/aws has the key's ARN": {
			prior:   func(m *importSnapshotModel) { m.KmsKeyID = types.StringValue(keyARN) },
			plan:    func(m *importSnapshotModel) { m.KmsKeyID = types.StringValue("alias/b") },
			adopted: true,
		},
		"P24 adopted: another key than the snapshot has": {
			prior:   func(m *importSnapshotModel) { m.KmsKeyID = types.StringNull() },
			plan:    func(m *importSnapshotModel) { m.KmsKeyID = types.StringValue("1" + keyID[1:]) },
			adopted: true, want: "kms_key_id",
		},
		"P24 adopted: a snapshot that is not encrypted": {
			prior: func(m *importSnapshotModel) {
				m.Encrypted, m.KmsKeyID, m.KmsKeyARN = types.BoolValue(false), types.StringNull(), types.StringNull()
			},
			adopted: true, want: "encrypted",
		},
		"P24 adopted: task forgotten": {
			prior: func(m *importSnapshotModel) { m.DiskContainer = types.ObjectNull(diskContainerTypes) }, adopted: true,
		},
		"adopted, but another image": {
			plan: func(m *importSnapshotModel) { m.DiskContainer = containerOf("", "images", "c", "VMDK", "") }, adopted: true, want: "disk_container",
		},
		"null is a value where nothing was adopted": {
			prior: func(m *importSnapshotModel) { m.SourceHash = types.StringNull() }, want: "source_hash",
		},
	} {
		t.Run(name, func(t *testing.T) {
			prior, plan := base(), base()
			if test.prior != nil {
				test.prior(&prior)
			}
			if test.plan != nil {
				test.plan(&plan)
			}
			if diff := cmp.Diff(test.want, pathsText(replacements(context.Background(), &prior, &plan, test.adopted))); diff != "" {
				t.Errorf("replacements (-want +got):\n%s", diff)
			}
		})
	}
}
