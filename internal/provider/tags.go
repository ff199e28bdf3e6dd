package provider

import (
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/importtask"
)

// tagPolicy is what the provider block says of tags.
type tagPolicy struct {
	// defaults are default_tags; defaultsKnown is false while the configuration does not know them all.
	defaults      map[string]string
	defaultsKnown bool

	ignoreKeys     []string
	ignorePrefixes []string
}

// all is tags_all for a resource's tags: the defaults under them. Unknown where a part of it is.
func (p tagPolicy) all(tags types.Map) types.Map {
	if !p.defaultsKnown || tags.IsUnknown() {
		return types.MapUnknown(types.StringType)
	}
	merged := make(map[string]attr.Value, len(p.defaults))
	for key, value := range p.defaults {
		merged[key] = types.StringValue(value)
	}
	for key, value := range tags.Elements() {
		if value.IsUnknown() {
			return types.MapUnknown(types.StringType)
		}
		merged[key] = value
	}
	return types.MapValueMust(types.StringType, merged)
}

// observed splits the tags that a snapshot carries into tags and tags_all. Tags of AWS's own and ignored ones are left out, but for those that
// the resource itself set: ignoring them would show as a difference for ever. A default tag is no part of tags unless it was written there too.
func (p tagPolicy) observed(remote []ec2types.Tag, priorTags, priorAll types.Map) (tags, all types.Map) {
	own, known := goTags(priorTags), goTags(priorAll)
	allTags, resourceTags := map[string]string{}, map[string]string{}
	for _, tag := range remote {
		key, value := aws.ToString(tag.Key), aws.ToString(tag.Value)
		if _, ours := known[key]; strings.HasPrefix(key, "aws:") || p.ignored(key) && !ours {
			continue
		}
		allTags[key] = value
		_, written := own[key]
		if standard, isDefault := p.defaults[key]; written || !isDefault || standard != value {
			resourceTags[key] = value
		}
	}
	if len(resourceTags) == 0 {
		// tags = {} means the same as no tags; Terraform wants back what was written.
		if len(own) > 0 {
			priorTags = types.MapNull(types.StringType)
		}
		return priorTags, mapValue(allTags)
	}
	return mapValue(resourceTags), mapValue(allTags)
}

// observedTask is task_tags for an adopted task: null where the task has the tags of its snapshot, or none of its own.
func (p tagPolicy) observedTask(remote map[string]string, all types.Map) types.Map {
	own := map[string]string{}
	for key, value := range remote {
		if key != importtask.MarkerTag && !strings.HasPrefix(key, "aws:") && !p.ignored(key) {
			own[key] = value
		}
	}
	if maps.Equal(own, goTags(all)) {
		return types.MapNull(types.StringType)
	}
	maps.DeleteFunc(own, func(key, value string) bool { return p.defaults[key] == value })
	if len(own) == 0 {
		return types.MapNull(types.StringType)
	}
	return mapValue(own)
}

func (p tagPolicy) ignored(key string) bool {
	return slices.Contains(p.ignoreKeys, key) || slices.ContainsFunc(p.ignorePrefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

// goTags are the known tags of a map; none for a null or unknown one.
func goTags(m types.Map) map[string]string {
	tags := map[string]string{}
	for key, value := range m.Elements() {
		if s, ok := value.(types.String); ok && !s.IsUnknown() {
			tags[key] = s.ValueString()
		}
	}
	return tags
}

func mapValue(tags map[string]string) types.Map {
	elements := make(map[string]attr.Value, len(tags))
	for key, value := range tags {
		elements[key] = types.StringValue(value)
	}
	return types.MapValueMust(types.StringType, elements)
}

// tagChanges are the calls that turn old into new: tags to set, and keys to take away.
func tagChanges(old, wanted map[string]string) (set map[string]string, remove []string) {
	set = map[string]string{}
	for key, value := range wanted {
		if before, ok := old[key]; !ok || before != value {
			set[key] = value
		}
	}
	for _, key := range slices.Sorted(maps.Keys(old)) {
		if _, keep := wanted[key]; !keep {
			remove = append(remove, key)
		}
	}
	return set, remove
}
