package provider

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
)

// maxTags is what EC2 takes on one resource.
const maxTags = 50

// tagMap holds a map of tags to EC2's rules, so that a plan refuses what CreateTags would refuse after the import (P16).
type tagMap struct{}

func (tagMap) Description(context.Context) string {
	return "at most 50 tags; keys of 1 to 127 characters that do not begin with aws:, values of at most 256"
}

func (v tagMap) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (v tagMap) ValidateMap(_ context.Context, req validator.MapRequest, resp *validator.MapResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if n := len(req.ConfigValue.Elements()); n > maxTags {
		resp.Diagnostics.AddAttributeError(req.Path, "Too Many Tags", fmt.Sprintf("EC2 takes at most %d tags a resource; here are %d.", maxTags, n))
	}
	for key, element := range req.ConfigValue.Elements() {
		at := req.Path.AtMapKey(key)
		switch n := utf8.RuneCountInString(key); {
		case n == 0 || n > 127:
			resp.Diagnostics.AddAttributeError(at, "Invalid Tag Key", fmt.Sprintf("A tag's key has 1 to 127 characters; this one has %d.", n))
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			resp.Diagnostics.AddAttributeError(at, "Invalid Tag Key", "Keys that begin with aws: are reserved for AWS.")
		}
		value, ok := element.(types.String)
		if !ok || value.IsUnknown() {
			continue
		}
		if value.IsNull() {
			resp.Diagnostics.AddAttributeError(at, "Invalid Tag Value", "A tag's value must not be null; use \"\" for an empty one, or leave the key out.")
		} else if n := utf8.RuneCountInString(value.ValueString()); n > 256 {
			resp.Diagnostics.AddAttributeError(at, "Invalid Tag Value", fmt.Sprintf("A tag's value has at most 256 characters; this one has %d.", n))
		}
	}
}

// imageURL takes the two kinds of URL that ImportSnapshot takes.
type imageURL struct{}

func (imageURL) Description(context.Context) string { return "must be s3://bucket/key or an https URL" }

func (v imageURL) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (v imageURL) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if _, err := imagesource.ParseURL(req.ConfigValue.ValueString()); err != nil {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid Image URL", "The image's URL "+v.Description(context.Background())+": "+err.Error()+".")
	}
}

// duration takes Go durations of at least least, and at most most where that is set.
type duration struct{ least, most time.Duration }

func (v duration) Description(context.Context) string {
	if v.most > 0 {
		return fmt.Sprintf("must be a duration from %s to %s, such as 30m", v.least, v.most)
	}
	return fmt.Sprintf("must be a duration of at least %s, such as 90s or 5m", v.least)
}

func (v duration) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (v duration) ValidateString(ctx context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if d, err := time.ParseDuration(req.ConfigValue.ValueString()); err != nil || d < v.least || v.most > 0 && d > v.most {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid Duration", fmt.Sprintf("%s %s; it is %q.", req.Path, v.Description(ctx), req.ConfigValue.ValueString()))
	}
}
