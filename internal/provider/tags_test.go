package provider

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

func TestTagPolicyAll(t *testing.T) {
	policy := tagPolicy{defaults: map[string]string{"team": "disk", "env": "test"}, defaultsKnown: true}
	for name, test := range map[string]struct {
		policy tagPolicy
		tags   types.Map
		want   types.Map
	}{
		"null tags take the defaults": {policy, types.MapNull(types.StringType), mapValue(map[string]string{"team": "disk", "env": "test"})},
		"a tag wins over its default": {policy, mapValue(map[string]string{"env": "prod"}), mapValue(map[string]string{"team": "disk", "env": "prod"})},
		"unknown tags":                {policy, types.MapUnknown(types.StringType), types.MapUnknown(types.StringType)},
		"unknown defaults":            {tagPolicy{}, mapValue(map[string]string{"a": "b"}), types.MapUnknown(types.StringType)},
		"one unknown value": {
			policy, types.MapValueMust(types.StringType, map[string]attr.Value{"a": types.StringUnknown()}), types.MapUnknown(types.StringType),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.policy.all(test.tags); !got.Equal(test.want) {
				t.Errorf("all(%s) = %s, want %s", test.tags, got, test.want)
			}
		})
	}
}

func TestTagPolicyObserved(t *testing.T) {
	none := types.MapNull(types.StringType)
	for name, test := range map[string]struct {
		policy              tagPolicy
		remote              map[string]string
		priorTags, priorAll types.Map
		tags, all           types.Map
	}{
		"no tags stay null": {tagPolicy{}, nil, none, none, none, mapValue(nil)},
		"tags = {} stays as written": {
			tagPolicy{}, nil, mapValue(nil), mapValue(nil), mapValue(nil), mapValue(nil),
		},
		"a tag taken away by others is a difference": {
			tagPolicy{}, nil, mapValue(map[string]string{"a": "b"}), mapValue(map[string]string{"a": "b"}), none, mapValue(nil),
		},
		"tags of AWS are not seen": {
			tagPolicy{}, map[string]string{"aws:created": "x", "a": "b"}, none, none, mapValue(map[string]string{"a": "b"}), mapValue(map[string]string{"a": "b"}),
		},
		"a default is no tag of the resource": {
			tagPolicy{defaults: map[string]string{"env": "test"}}, map[string]string{"env": "test"}, none, none, none, mapValue(map[string]string{"env": "test"}),
		},
		"a default written on the resource too": {
			tagPolicy{defaults: map[string]string{"env": "test"}}, map[string]string{"env": "test"},
			mapValue(map[string]string{"env": "test"}), mapValue(map[string]string{"env": "test"}),
			mapValue(map[string]string{"env": "test"}), mapValue(map[string]string{"env": "test"}),
		},
		"a default changed by others is a difference": {
			tagPolicy{defaults: map[string]string{"env": "test"}}, map[string]string{"env": "prod"}, none, none,
			mapValue(map[string]string{"env": "prod"}), mapValue(map[string]string{"env": "prod"}),
		},
		"ignored tags of others are not seen, the resource's own are": {
			tagPolicy{ignoreKeys: []string{"cost", "own"}, ignorePrefixes: []string{"kube/"}},
			map[string]string{"cost": "1", "kube/a": "2", "own": "3"}, mapValue(map[string]string{"own": "3"}), mapValue(map[string]string{"own": "3"}),
			mapValue(map[string]string{"own": "3"}), mapValue(map[string]string{"own": "3"}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			var remote []ec2types.Tag
			for key, value := range test.remote {
				remote = append(remote, ec2types.Tag{Key: aws.String(key), Value: aws.String(value)})
			}
			tags, all := test.policy.observed(remote, test.priorTags, test.priorAll)
			if !tags.Equal(test.tags) || !all.Equal(test.all) {
				t.Errorf("observed = %s, %s; want %s, %s", tags, all, test.tags, test.all)
			}
		})
	}
}

func TestTagChanges(t *testing.T) {
	set, remove := tagChanges(map[string]string{"same": "1", "changed": "1", "gone": "1"}, map[string]string{"same": "1", "changed": "2", "new": ""})
	if diff := cmp.Diff(map[string]string{"changed": "2", "new": ""}, set); diff != "" {
		t.Errorf("set (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"gone"}, remove); diff != "" {
		t.Errorf("remove (-want +got):\n%s", diff)
	}
}
