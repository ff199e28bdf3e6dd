package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
)

// Preflight reads head, tail and tables of the image, 1 MiB at most, before EC2 is asked to, because VM Import tells of a bad image only after minutes
// (P19). The image may still be made within the same apply: a plan only warns, the apply refuses. A doubt is a warning in both, and where the image
// cannot be looked at the import goes on: the caller may lack permissions that VM Import has.

const (
	// lookFor bounds a look. A store that does not answer in time holds no import up for longer: VM Import may reach it.
	lookFor = 20 * time.Second
	// headFor bounds a question that a plan can do without, such as whether an image is still the one that was imported.
	headFor = 5 * time.Second
	// lateFor is how long a store that has not answered in time is left alone, so that it holds up one look a minute and not a thousand.
	lateFor = time.Minute
)

// errLate is the end of that time.
var errLate = errors.New("no answer in time")

// preflightPlan warns of an image that VM Import will refuse.
func (r *importSnapshotResource) preflightPlan(ctx context.Context, plan *importSnapshotModel, diags *diag.Diagnostics) {
	conn, err := r.data.connect(ctx, plan.Region.ValueString())
	if err != nil {
		diags.Append(notConnected(ctx, err))
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

// preflight looks at the image of m, fills m.Source and adds what stands against the import. While planning, a missing object is no finding, since the
// apply may make it.
func (c *connection) preflight(ctx context.Context, m *importSnapshotModel, planning bool, diags *diag.Diagnostics) {
	location, known := m.location(ctx)
	container, _, d := m.container(ctx)
	if !known || d.HasError() || container.Format.IsUnknown() {
		return
	}
	at, source := path.Root("disk_container"), sourceText(ctx, m)
	ctx, cancel := context.WithTimeoutCause(ctx, lookFor, errLate)
	defer cancel()
	object, err := c.look(ctx, location)
	if err == nil {
		defer c.endLook(ctx, object)
	}
	const here = "VM Import takes images from buckets in the Region of the import (%s) only: copy the object to a bucket there, or set region."
	var region *imagesource.RegionError
	switch {
	case errors.As(err, &region):
		diags.AddAttributeError(at, "Image in Another Region", fmt.Sprintf("%s. "+here, err, c.Region))
		return
	case c.urlElsewhere(location):
		diags.AddAttributeWarning(at, "URL Names Another Region", fmt.Sprintf("The URL of %s names the Region %s. "+here, source, location.Region(), c.Region))
	}
	if err != nil {
		if !planning && c.missing(location, err) {
			diags.AddAttributeError(at, "Image Not Found", err.Error())
			return
		}
		logDebug(ctx, "preflight cannot look at the image", map[string]any{"source": source, "error": err.Error()})
		return
	}
	declared, name := container.Format.ValueString(), imageName(location)
	seen, err := lookAt(object, declared, name)
	if err != nil {
		c.noteLate(ctx, location)
		logDebug(ctx, "preflight cannot read the image", map[string]any{"source": source, "error": err.Error()})
		return
	}
	m.Source = seen.attribute()
	if seen.unread != nil {
		logDebug(ctx, "preflight has not read the whole table of the image", map[string]any{"source": source, "error": seen.unread.Error()})
	}
	if v := seen.verdict; !v.Importable && c.strict {
		kind := ""
		if seen.format != "" {
			kind = " (" + string(seen.format) + ")"
		}
		diags.AddAttributeError(at, "Image Not Importable", fmt.Sprintf("VM Import would refuse %s%s: %s\n\nCause: %s\nCure: %s",
			source, kind, v.StatusMessage, v.Reason, v.Cure))
		return
	}
	if strings.EqualFold(declared, "raw") && seen.format != detect.RAW && seen.format != "" {
		diags.AddAttributeWarning(at.AtName("format"), "Image Looks Like "+string(seen.format), fmt.Sprintf(
			"format is RAW, so VM Import takes the bytes of %s as the disk, but they are a %s file. Leave format unset, or name the right one, to import the disk inside.",
			source, seen.format))
		return
	}
	if doubts := seen.doubts(declared, name); len(doubts) > 0 {
		diags.AddAttributeWarning(at, "Doubtful Image", fmt.Sprintf("VM Import may refuse %s, or what it makes of it may not be the disk that you expect:\n\n  - %s",
			source, strings.Join(doubts, "\n  - ")))
	}
}

// missing tells an image that is not there, or that a directory will never give, from one that may not be looked at.
func (c *connection) missing(l imagesource.Location, err error) bool {
	// The % of an https URL may stand for something else to VM Import than to this look.
	return errors.Is(err, imagesource.ErrNoBucket) || errors.Is(err, imagesource.ErrOutside) ||
		errors.Is(err, imagesource.ErrNotFound) && !strings.Contains(l.URL, "%") ||
		errors.Is(err, imagesource.ErrForbidden) && c.images.Buckets[l.Bucket] != ""
}

// look opens the object for a look.
func (c *connection) look(ctx context.Context, l imagesource.Location) (*imagesource.Object, error) {
	if c.noBuckets && l.Bucket != "" {
		return nil, errors.New("the S3 that goes with this EC2 is not known")
	}
	at, _ := c.late.Load(storeOf(l))
	if since, late := at.(time.Time); late && time.Since(since) < lateFor {
		return nil, fmt.Errorf("%s was asked a moment ago: %w", storeOf(l), errLate)
	}
	object, err := c.images.Look(ctx, l)
	if err != nil {
		c.noteLate(ctx, l)
	}
	return object, err
}

func (c *connection) noteLate(ctx context.Context, l imagesource.Location) {
	if errors.Is(context.Cause(ctx), errLate) {
		c.late.Store(storeOf(l), time.Now())
	}
}

func (c *connection) endLook(ctx context.Context, object *imagesource.Object) {
	if err := object.Close(); err != nil {
		logDebug(ctx, "closing the image after preflight", map[string]any{"error": err.Error()})
	}
}

// urlElsewhere doubts an https URL of S3 that names another Region than the import's (P20): S3 may have found the object all the same, or told nothing.
// A presigned URL needs no S3 of its own Region, and a directory is in none.
func (c *connection) urlElsewhere(l imagesource.Location) bool {
	_, directory := c.images.Buckets[l.Bucket]
	region := l.Region()
	return region != "" && region != c.Region && !l.Presigned() && !directory
}
