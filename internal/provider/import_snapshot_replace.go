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
// token, container description or the key as it was written (P24): where that was an alias, hashicorp/aws has the key's ARN in its state. Encryption that EC2 added by the account's default does not replace it either.
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
		{"encrypted", changed(prior.Encrypted, plan.Encrypted) && !(adopted && prior.Encrypted.ValueBool() && plan.Encrypted.Equal(types.BoolValue(false)))},
		{"kms_key_id", changed(prior.KmsKeyID, plan.KmsKeyID) && !sameKey(prior, plan.KmsKeyID) && !(adopted && isAlias(plan.KmsKeyID)) ||
			adopted && anotherKey(prior, plan.KmsKeyID)},
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
	// In an https URL a % may stand for something else; in the other forms it is itself.
	if a.Bucket != "" && b.Bucket != "" && !strings.Contains(a.Key, "%") {
		return a.Bucket == b.Bucket && a.Key == b.Key
	}
	return a == b
}

// sameClientData compares what is sent: times by their instant, 12:00Z and 13:00+01:00 being the same, and an object without a value as none.
func sameClientData(ctx context.Context, prior, plan types.Object) bool {
	if plan.IsUnknown() {
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

// sameKey reports whether the planned key is known to be the one that the snapshot has: by the forms of the two texts, or because it names the key
// that EC2 answered (P3). An alias says nothing of its key; dropSameKMSKey asks KMS where that matters.
func sameKey(prior *importSnapshotModel, planned types.String) bool {
	if planned.IsNull() || planned.IsUnknown() {
		return false
	}
	after := parseKey(planned.ValueString(), prior)
	if before := prior.KmsKeyID.ValueString(); before != "" && parseKey(before, prior).equal(after) {
		return true
	}
	arn := prior.KmsKeyARN.ValueString()
	return arn != "" && parseKey(arn, prior).equal(after)
}

// anotherKey reports whether the planned key is known not to be the one that the snapshot has.
func anotherKey(prior *importSnapshotModel, planned types.String) bool {
	arn := prior.KmsKeyARN.ValueString()
	if planned.IsNull() || planned.IsUnknown() || arn == "" {
		return false
	}
	after := parseKey(planned.ValueString(), prior)
	return !after.alias() && !parseKey(arn, prior).equal(after)
}

// kmsKey is a key or an alias, in whichever of the four forms it was written.
type kmsKey struct{ region, account, name string }

// parseKey reads a key; forms that name no Region and account mean those of the snapshot.
func parseKey(key string, of *importSnapshotModel) kmsKey {
	k := kmsKey{region: of.Region.ValueString(), account: of.OwnerID.ValueString(), name: key}
	if fields := strings.SplitN(key, ":", 6); fields[0] == "arn" && len(fields) == 6 {
		k.region, k.account, k.name = fields[3], fields[4], strings.TrimPrefix(fields[5], "key/")
	}
	if !k.alias() {
		k.name = strings.ToLower(k.name)
	}
	return k
}

func isAlias(key types.String) bool {
	return !key.IsNull() && !key.IsUnknown() && parseKey(key.ValueString(), &importSnapshotModel{}).alias()
}

func (k kmsKey) alias() bool { return strings.HasPrefix(k.name, "alias/") }

// equal compares keys by their ids, which are unique, and aliases with their Region and account as far as these are known.
func (k kmsKey) equal(other kmsKey) bool {
	differ := func(a, b string) bool { return a != "" && b != "" && a != b }
	return k.name == other.name && !(k.alias() && (differ(k.region, other.region) || differ(k.account, other.account)))
}
