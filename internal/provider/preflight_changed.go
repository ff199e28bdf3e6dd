package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
)

// imageIdentity is what the attribute source keeps of which image it was.
type imageIdentity struct {
	ETag    string
	Version string
}

func (i imageIdentity) String() string {
	if i.ETag != "" {
		return fmt.Sprintf("ETag %q", i.ETag)
	}
	return fmt.Sprintf("version %q", i.Version)
}

// changedTo tells two images apart. Equal ETags are equal bytes, also where the same image was uploaded as another version. A server that names
// neither for one of them tells nothing.
func (i imageIdentity) changedTo(now imageIdentity) bool {
	if i.ETag != "" && now.ETag != "" {
		return i.ETag != now.ETag
	}
	return i.Version != "" && now.Version != "" && i.Version != now.Version
}

// warnOfNewImage tells that the object of a complete import is another one by now (P17). It asks for the object's identity only, one HEAD on S3, and is a
// courtesy: what goes wrong with it is no finding.
func (r *importSnapshotResource) warnOfNewImage(ctx context.Context, plan, prior *importSnapshotModel, diags *diag.Diagnostics) {
	location, known := plan.location(ctx)
	imported := prior.importedImage()
	switch {
	case !plan.Preflight.ValueBool(), prior.SnapshotID.IsNull(), imported == imageIdentity{}: // nothing to compare, or not yet, or not wanted
		return
	case !r.data.known, plan.Region.IsUnknown(), !known, location.Bucket == "", location.Presigned(): // who reads a web server's file asks for bytes
		return
	}
	found, err := r.imageNow(ctx, plan.Region.ValueString(), location)
	if err != nil {
		logDebug(ctx, "cannot look whether the image has changed", map[string]any{"source": location.String(), "error": err.Error()})
		return
	}
	if !imported.changedTo(found) {
		return
	}
	diags.AddAttributeWarning(path.Root("disk_container"), "Image Has Changed", fmt.Sprintf(
		"%s was written again since it was imported: it was %s, and is %s now. Terraform does not import it again by itself. To do so, set source_hash, "+
			"or change it, for example to the filemd5 of the file: that replaces the snapshot. With preflight = false plans do not look.",
		location, imported, found))
}

// warnOfMissingImage tells that the image of a replacement is not there, or not yet: the apply destroys the snapshot before it looks again.
func (r *importSnapshotResource) warnOfMissingImage(ctx context.Context, plan, prior *importSnapshotModel, diags *diag.Diagnostics) {
	location, known := plan.location(ctx)
	if !plan.Preflight.ValueBool() || !r.data.known || plan.Region.IsUnknown() || !known {
		return
	}
	conn, err := r.data.connect(ctx, plan.Region.ValueString())
	if err != nil {
		return // the plan of the new object tells
	}
	ctx, cancel := context.WithTimeoutCause(ctx, headFor, errLate)
	defer cancel()
	object, err := conn.look(ctx, location)
	switch {
	case err == nil:
		conn.endLook(ctx, object)
	case !conn.missing(location, err):
		logDebug(ctx, "cannot look whether the image of the replacement is there", map[string]any{"source": location.String(), "error": err.Error()})
	default:
		present := prior.SnapshotID.ValueString()
		if present == "" {
			present = prior.ImportTaskID.ValueString()
		}
		diags.AddAttributeWarning(path.Root("disk_container"), "Image Not Found", fmt.Sprintf(
			"%s.\n\nThis change imports the image anew. Without create_before_destroy the apply destroys %s first, and fails then if the image is still not there. "+
				"Where the same apply does not put it there, check bucket and key before applying.", err, present))
	}
}

func (r *importSnapshotResource) imageNow(ctx context.Context, region string, l imagesource.Location) (imageIdentity, error) {
	conn, err := r.data.connect(ctx, region)
	if err != nil {
		return imageIdentity{}, err
	}
	if !conn.images.Maps(l.Bucket) {
		return imageIdentity{}, imagesource.ErrNoBucket
	}
	ctx, cancel := context.WithTimeoutCause(ctx, headFor, errLate) // from here on: credentials may take their time
	defer cancel()
	object, err := conn.look(ctx, l)
	if err != nil {
		return imageIdentity{}, err
	}
	conn.endLook(ctx, object)
	return imageIdentity{ETag: object.ETag(), Version: object.VersionID()}, nil
}

// importedImage is the image as the last look before its import saw it; zero where none could.
func (m *importSnapshotModel) importedImage() imageIdentity {
	member := func(name string) string {
		s, _ := m.Source.Attributes()[name].(types.String)
		return s.ValueString()
	}
	return imageIdentity{ETag: member("etag"), Version: member("version_id")}
}
