package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
)

// Preflight reads the head and tail of the image before EC2 is asked to, because VM Import tells of a bad image only after minutes (P19). The
// image may still be made within the same apply: a plan only warns, the apply refuses.

// preflightPlan warns of an image that VM Import will refuse.
func (r *importSnapshotResource) preflightPlan(ctx context.Context, plan *importSnapshotModel, diags *diag.Diagnostics) {
	conn, err := r.data.connect(ctx, plan.Region.ValueString())
	if err != nil {
		diags.Append(callFailed("Unable to Reach EC2", "The provider could not be set up", err))
		return
	}
	var found diag.Diagnostics
	planned := *plan
	conn.preflight(ctx, &planned, true, &found)
	for _, d := range found {
		diags.Append(warning(d))
	}
}

// preflightApply refuses what VM Import certainly refuses, and fills source.
func (c *connection) preflightApply(ctx context.Context, m *importSnapshotModel, diags *diag.Diagnostics) {
	c.preflight(ctx, m, false, diags)
}

// preflight looks at the image of m, fills m.Source and adds what stands against the import. Where it cannot look it says so in the debug log only:
// the caller may lack permissions that VM Import has. While planning, a missing object is no finding, since the apply may make it.
func (c *connection) preflight(ctx context.Context, m *importSnapshotModel, planning bool, diags *diag.Diagnostics) {
	location, known := m.location(ctx)
	container, _, d := m.container(ctx)
	if !known || d.HasError() || container.Format.IsUnknown() {
		return
	}
	if c.noBuckets && location.Bucket != "" {
		logDebug(ctx, "preflight does not know the S3 that goes with this EC2", map[string]any{"source": sourceText(ctx, m)})
		return
	}
	at := path.Root("disk_container")
	object, err := c.images.Open(ctx, location)
	if err != nil {
		// The % of an https URL may stand for something else to VM Import than to this look.
		refusal := errors.Is(err, imagesource.ErrNoBucket) || errors.Is(err, imagesource.ErrOutside) ||
			errors.Is(err, imagesource.ErrNotFound) && !strings.Contains(location.URL, "%") ||
			errors.Is(err, imagesource.ErrForbidden) && c.images.Buckets[location.Bucket] != ""
		var region *imagesource.RegionError
		switch {
		case errors.As(err, &region):
			diags.AddAttributeError(at, "Image in Another Region", fmt.Sprintf("%s. VM Import takes images from buckets in the Region of the import (%s) only: "+
				"copy the object to a bucket there, or set region.", err, c.Region))
		case refusal && !planning:
			diags.AddAttributeError(at, "Image Not Found", err.Error())
		default:
			logDebug(ctx, "preflight cannot look at the image", map[string]any{"source": sourceText(ctx, m), "error": err.Error()})
		}
		return
	}
	defer func() {
		if err := object.Close(); err != nil {
			logDebug(ctx, "closing the image after preflight", map[string]any{"error": err.Error()})
		}
	}()

	image, openErr := detect.Open(object, object.Size(), container.Format.ValueString())
	if image != nil {
		defer func() {
			if err := image.Close(); err != nil {
				logDebug(ctx, "closing the image after preflight", map[string]any{"error": err.Error()})
			}
		}()
	}
	if openErr != nil && !aboutImage(openErr) {
		logDebug(ctx, "preflight cannot read the image", map[string]any{"source": sourceText(ctx, m), "error": openErr.Error()})
		return
	}
	verdict := detect.VMImport(image, openErr)
	source := map[string]attr.Value{
		"format": types.StringNull(), "sub_format": types.StringNull(), "virtual_size_bytes": types.Int64Null(),
		"object_size_bytes": types.Int64Value(object.Size()), "etag": text(pointer(object.ETag())), "version_id": text(pointer(object.VersionID())),
		"importable": types.BoolValue(verdict.Importable), "reason": text(pointer(verdict.String())),
	}
	kind := ""
	detected, detectErr := detect.Detect(object, object.Size())
	if detectErr == nil {
		kind = " (" + string(detected) + ")"
		source["format"] = types.StringValue(string(detected))
	}
	if image != nil {
		source["sub_format"] = text(&image.SubFormat)
		source["virtual_size_bytes"] = types.Int64Value(image.Size())
	}
	m.Source = types.ObjectValueMust(sourceTypes, source)

	switch {
	case !verdict.Importable && c.strict:
		diags.AddAttributeError(at, "Image Not Importable", fmt.Sprintf("VM Import would refuse %s%s: %s\n\nCause: %s\nCure: %s",
			sourceText(ctx, m), kind, verdict.StatusMessage, verdict.Reason, verdict.Cure))
	case strings.EqualFold(container.Format.ValueString(), "raw") && detectErr == nil && detected != detect.RAW:
		diags.AddAttributeWarning(at.AtName("format"), "Image Looks Like "+string(detected), fmt.Sprintf(
			"format is RAW, so VM Import takes the bytes of %s as the disk, but they are a %s file. Leave format unset, or name the right one, to import the disk inside.",
			sourceText(ctx, m), detected))
	}
}

// aboutImage tells what is wrong with the image's bytes from a failure to read them, such as a permission to see the object but not to get it.
func aboutImage(err error) bool {
	var corrupt *diskimage.CorruptError
	var unsupported *diskimage.UnsupportedError
	var mismatch *detect.MismatchError
	return errors.As(err, &corrupt) || errors.As(err, &unsupported) || errors.As(err, &mismatch)
}

func pointer(s string) *string { return &s }
