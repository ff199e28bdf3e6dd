package provider

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/awsclient"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
)

func TestP17ImageIdentity(t *testing.T) {
	for _, c := range []struct {
		was, is imageIdentity
		changed bool
	}{
		{imageIdentity{"a", ""}, imageIdentity{"a", ""}, false},
		{imageIdentity{"a", ""}, imageIdentity{"b", ""}, true},
		{imageIdentity{"a", "1"}, imageIdentity{"a", "2"}, false},
		{imageIdentity{"a", "1"}, imageIdentity{"b", "1"}, true},
		{imageIdentity{"", "1"}, imageIdentity{"", "2"}, true},
		{imageIdentity{"", "1"}, imageIdentity{"", "1"}, false},
	} {
		if got := c.was.changedTo(c.is); got != c.changed {
			t.Errorf("%v to %v: %t", c.was, c.is, got)
		}
	}
}

// importedFrom is a complete import of an image with the ETag "etag".
func importedFrom(key string) *importSnapshotModel {
	m := modelOf(key)
	m.SnapshotID, m.Region = types.StringValue("snap-1"), types.StringValue("us-east-1")
	m.Source = types.ObjectValueMust(sourceTypes, map[string]attr.Value{
		"format": types.StringNull(), "sub_format": types.StringNull(), "virtual_size_bytes": types.Int64Null(), "object_size_bytes": types.Int64Null(),
		"etag": types.StringValue("etag"), "version_id": types.StringNull(), "importable": types.BoolNull(), "reason": types.StringNull(),
	})
	return m
}

// resourceOver is the resource of a provider that has a connection already.
func resourceOver(c *connection) *importSnapshotResource {
	dialled := &dialling{connection: c, done: make(chan struct{})}
	close(dialled.done)
	return &importSnapshotResource{data: &providerData{known: true, byRegion: map[string]*dialling{"us-east-1": dialled}}}
}

// TestP17NotAsked: only of a complete import whose image was seen it is asked whether it has changed, and only where the image is a bucket's.
func TestP17NotAsked(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "disk.vmdk"), []byte("disk"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(m *importSnapshotModel, r *importSnapshotResource)
		warns  int
	}{
		"complete":                    {func(*importSnapshotModel, *importSnapshotResource) {}, 1},
		"not complete":                {func(m *importSnapshotModel, _ *importSnapshotResource) { m.SnapshotID = types.StringNull() }, 0},
		"adopted, or not looked at":   {func(m *importSnapshotModel, _ *importSnapshotResource) { m.Source = types.ObjectNull(sourceTypes) }, 0},
		"without preflight":           {func(m *importSnapshotModel, _ *importSnapshotResource) { m.Preflight = types.BoolValue(false) }, 0},
		"of a provider not known yet": {func(_ *importSnapshotModel, r *importSnapshotResource) { r.data.known = false }, 0},
		"in a Region not known yet":   {func(m *importSnapshotModel, _ *importSnapshotResource) { m.Region = types.StringUnknown() }, 0},
		"of a container not known yet": {func(m *importSnapshotModel, _ *importSnapshotResource) {
			m.DiskContainer = types.ObjectUnknown(diskContainerTypes)
		}, 0},
		"by a presigned URL": {func(m *importSnapshotModel, _ *importSnapshotResource) {
			m.DiskContainer = modelAt("https://images.s3.us-east-1.amazonaws.com/disk.vmdk?X-Amz-Signature=s").DiskContainer
		}, 0},
		"of a bucket that is nowhere": {func(m *importSnapshotModel, _ *importSnapshotResource) {
			m.DiskContainer = modelAt("s3://others/disk.vmdk").DiskContainer
		}, 0},
	} {
		r := resourceOver(&connection{Client: &awsclient.Client{Region: "us-east-1"}, images: &imagesource.Opener{Buckets: map[string]string{"images": dir}}})
		m := importedFrom("disk.vmdk")
		c.change(m, r)
		var found diag.Diagnostics
		r.warnOfNewImage(t.Context(), m, m, &found)
		if len(found) != c.warns || found.HasError() {
			t.Errorf("%s: %v", name, found)
		}
	}
}

// TestP20URLElsewhere: which URLs name another Region than that of the import.
func TestP20URLElsewhere(t *testing.T) {
	c := &connection{Client: &awsclient.Client{Region: "us-east-1"}, images: &imagesource.Opener{Buckets: map[string]string{"images": "."}}}
	for url, want := range map[string]bool{
		"https://b.s3.eu-central-1.amazonaws.com/k":                   true,
		"https://s3.eu-central-1.amazonaws.com/b/k":                   true,
		"https://b.s3.us-east-1.amazonaws.com/k":                      false,
		"https://b.s3.amazonaws.com/k":                                false,
		"https://b.s3.eu-central-1.amazonaws.com/k?X-Amz-Signature=s": false,
		"https://images.s3.eu-central-1.amazonaws.com/k":              false, // a directory
		"https://images.example/eu-central-1":                         false,
		"s3://b/k":                                                    false,
	} {
		l, err := imagesource.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.urlElsewhere(l); got != want {
			t.Errorf("%s: %t", url, got)
		}
	}
}
