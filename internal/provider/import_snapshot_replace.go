package provider

import (
	"context"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
)

// replacements are the attributes whose change needs another snapshot. This is the whole table: what is not in it changes in place.
//
// An adopted resource (imported or moved) replaces nothing for a value that only one side knows, because EC2 does not return role, client data,
// token or container description, and never for its encryption (P24).
func replacements(ctx context.Context, prior, plan *importSnapshotModel, adopted bool) path.Paths {
	changed := func(before, after attr.Value) bool {
		if adopted && (before.IsNull() || after.IsNull()) {
			return false
		}
		return !before.Equal(after)
	}
	var paths path.Paths
	for _, rule := range []struct {
		attribute string
		replaces  bool
	}{
		{"disk_container", changed(prior.DiskContainer, plan.DiskContainer) && !sameImage(ctx, prior, plan, adopted)},
		{"description", changed(prior.Description, plan.Description)},
		{"client_data", changed(prior.ClientData, plan.ClientData) && !sameClientData(ctx, prior.ClientData, plan.ClientData)},
		{"client_token", changed(prior.ClientToken, plan.ClientToken)},
		{"encrypted", changed(prior.Encrypted, plan.Encrypted) && !adopted},
		{"kms_key_id", changed(prior.KmsKeyID, plan.KmsKeyID) && !adopted && !sameKey(prior, plan.KmsKeyID)},
		{"source_hash", changed(prior.SourceHash, plan.SourceHash)},
		{"region", changed(prior.Region, plan.Region)},
	} {
		if rule.replaces {
			paths.Append(path.Root(rule.attribute))
		}
	}
	return paths
}

// sameImage reports whether two containers that are written differently stand for the same import.
func sameImage(ctx context.Context, prior, plan *importSnapshotModel, adopted bool) bool {
	before, _, d1 := prior.container(ctx)
	after, _, d2 := plan.container(ctx)
	if d1.HasError() || d2.HasError() || plan.DiskContainer.IsUnknown() {
		return false
	}
	from, known := prior.location(ctx)
	to, alsoKnown := plan.location(ctx)
	if !known || !alsoKnown || !sameLocation(from, to) {
		return false
	}
	// Naming a format where EC2 detected it changes nothing, and neither does its case (P18).
	named := !before.Format.IsNull() && !(adopted && after.Format.IsNull())
	if named && (after.Format.IsUnknown() || !strings.EqualFold(before.Format.ValueString(), after.Format.ValueString())) {
		return false
	}
	if adopted && before.Description.IsNull() {
		return true
	}
	return before.Description.Equal(after.Description)
}

func sameLocation(a, b imagesource.Location) bool {
	if a.Bucket != "" && b.Bucket != "" {
		return a.Bucket == b.Bucket && a.Key == b.Key
	}
	return a == b
}

// sameClientData compares times by their instant: 12:00Z and 13:00+01:00 are sent alike.
func sameClientData(ctx context.Context, prior, plan types.Object) bool {
	if prior.IsNull() || plan.IsNull() || plan.IsUnknown() {
		return false
	}
	var before, after clientDataModel
	if members(ctx, prior, &before).HasError() || members(ctx, plan, &after).HasError() {
		return false
	}
	return before.Comment.Equal(after.Comment) && before.UploadSize.Equal(after.UploadSize) &&
		sameInstant(before.UploadStart, after.UploadStart) && sameInstant(before.UploadEnd, after.UploadEnd)
}

func sameInstant(a, b timetypes.RFC3339) bool {
	if a.Equal(b) {
		return true
	}
	if a.IsNull() || b.IsNull() || a.IsUnknown() || b.IsUnknown() {
		return false
	}
	from, d1 := a.ValueRFC3339Time()
	to, d2 := b.ValueRFC3339Time()
	return !d1.HasError() && !d2.HasError() && from.Equal(to)
}

// sameKey reports whether the planned key is known to be the one that the snapshot has: by the forms of the two texts, or because it names the
// key that EC2 answered (P3). An alias says nothing of its key; kmsLookup asks KMS where that matters.
func sameKey(prior *importSnapshotModel, planned types.String) bool {
	if planned.IsNull() || planned.IsUnknown() || prior.KmsKeyID.IsNull() {
		return false
	}
	before, after := keyName(prior.KmsKeyID.ValueString()), keyName(planned.ValueString())
	if before == after {
		return true
	}
	return !strings.HasPrefix(after, "alias/") && prior.KmsKeyARN.ValueString() != "" && after == keyName(prior.KmsKeyARN.ValueString())
}

// keyName is the key id or alias/name of any of the four forms.
func keyName(key string) string {
	if strings.HasPrefix(key, "arn:") {
		if parts := strings.SplitN(key, ":", 6); len(parts) == 6 {
			key = strings.TrimPrefix(parts[5], "key/")
		}
	}
	if strings.HasPrefix(key, "alias/") {
		return key
	}
	return strings.ToLower(key)
}
