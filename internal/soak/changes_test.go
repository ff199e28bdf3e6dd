package soak

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// change is one change of a configuration.
type change struct {
	name     string
	fits     func(*configuration) bool // nil: always
	make     func(*configuration)
	replaces []string // none: it changes in place, or nothing
}

// changes is the column "on change" of the table of arguments: what is not marked with an attribute replaces nothing.
var changes = []change{
	{"description", nil, set("description", "another"), []string{"description"}},
	{"description removed", has("description"), remove("description"), []string{"description"}},
	{"P4 comment", nil, clientData("comment", "another"), []string{"client_data"}},
	{"P4 upload_size", nil, clientData("upload_size", 7.25), []string{"client_data"}},
	{"P4 client_data removed", has("client_data"), remove("client_data"), []string{"client_data"}},
	{"P13 client_token", nil, set("client_token", "token-2"), []string{"client_token"}},
	{"P13 client_token removed", has("client_token"), remove("client_token"), []string{"client_token"}},
	{"P2 encrypted", func(c *configuration) bool { return !c.encrypted() }, set("encrypted", true), []string{"encrypted"}},
	{"P2 not encrypted", func(c *configuration) bool { return c.encrypted() && !has("kms_key_id")(c) }, set("encrypted", false), []string{"encrypted"}},
	{"P3 another key", has("kms_key_id"), set("kms_key_id", otherKey), []string{"kms_key_id"}},
	{"P3 key removed", has("kms_key_id"), remove("kms_key_id"), []string{"kms_key_id"}},
	{"P17 source_hash", nil, set("source_hash", "hash-2"), []string{"source_hash"}},
	{"P17 source_hash removed", has("source_hash"), remove("source_hash"), []string{"source_hash"}},
	// A key's ARN names its Region, and is refused in another.
	{"region", func(c *configuration) bool { return !is("kms_key_id", keyARN)(c) && !is("kms_key_id", aliasARN)(c) }, set("region", "eu-central-1"), []string{"region"}},
	{"another object", nil, func(c *configuration) {
		c.resource["disk_container"] = map[string]any{"url": "s3://images/other." + c.object(), "format": c.container()["format"], "description": c.container()["description"]}
	}, []string{"disk_container"}},
	{"P18 format removed", inContainer("format"), func(c *configuration) { delete(c.container(), "format") }, []string{"disk_container"}},
	{"P18 another format", inContainer("format"), func(c *configuration) { c.container()["format"] = "vhd" }, []string{"disk_container"}},
	{"container description", nil, func(c *configuration) { c.container()["description"] = "another" }, []string{"disk_container"}},
	{"container description removed", inContainer("description"), func(c *configuration) { delete(c.container(), "description") }, []string{"disk_container"}},

	{"P18 format in mixed case", inContainer("format"), setFormat(func(s string) string { return strings.ToUpper(s[:1]) + s[1:] }), nil},
	{"P18 format named", func(c *configuration) bool { return !inContainer("format")(c) }, setFormat(strings.ToLower), nil},
	{"the object as user_bucket", inContainer("url"), userBucket, nil},
	{"the object as s3 URL", nil, func(c *configuration) { inURL("s3://images/")(c) }, nil},
	{"P3 the key's ARN", is("kms_key_id", keyID), set("kms_key_id", keyARN), nil},
	{"P3 the key's id", is("kms_key_id", keyARN), set("kms_key_id", keyID), nil},
	{"P3 the alias' ARN", is("kms_key_id", "alias/disks"), set("kms_key_id", aliasARN), nil},
	{"P3 the alias", is("kms_key_id", aliasARN), set("kms_key_id", "alias/disks"), nil},
	{"P2 encrypted as it is", func(c *configuration) bool { return c.encrypted() && !has("kms_key_id")(c) }, set("encrypted", true), nil},
	{"P2 encryption no longer said", func(c *configuration) bool { return !has("kms_key_id")(c) }, remove("encrypted"), nil},
	{"P5 the same instant", inClientData("upload_start"), clientData("upload_start", "2026-01-01T14:00:00+02:00"), nil},
	{"role_name", nil, set("role_name", "another"), nil},
	{"role_name removed", nil, remove("role_name"), nil},
	{"preflight", nil, set("preflight", false), nil},
	{"dry_run", nil, set("dry_run", true), nil},
	{"timeouts", nil, set("timeouts", map[string]any{"update": "8m"}), nil},
	{"the Region it is in", nil, set("region", here), nil},
	{"no Region", nil, remove("region"), nil},
	{"P16 tags", nil, set("tags", map[string]any{"Name": "db", "more": "yes"}), nil},
	{"P16 no tags", nil, remove("tags"), nil},
	{"P16 task_tags", nil, set("task_tags", map[string]any{"run": "7"}), nil},
	{"P16 no task_tags", nil, remove("task_tags"), nil},
	{"P16 default_tags", nil, defaultTags("env", "production"), nil},
	{"P25 archive", nil, set("storage_tier", "archive"), nil},
	{"P25 restored for ever", is("storage_tier", "archive"), func(c *configuration) {
		c.resource["storage_tier"] = "standard"
		delete(c.resource, "temporary_restore_days")
	}, nil},
	{"P25 restored for some days", is("storage_tier", "archive"), func(c *configuration) {
		c.resource["storage_tier"], c.resource["temporary_restore_days"] = "standard", 5
	}, nil},
	{"temporary_restore_days", nil, set("temporary_restore_days", 9), nil},
}

// apply is a changed copy, and what it replaces. A configured token must change with every replacement.
func (ch change) apply(c *configuration) (*configuration, []string) {
	after, replaces := c.clone(), slices.Clone(ch.replaces)
	ch.make(after)
	if len(replaces) > 0 && has("client_token")(c) && !slices.Contains(replaces, "client_token") {
		after.resource["client_token"] = "token-3"
		replaces = append(replaces, "client_token")
	}
	slices.Sort(replaces)
	return after, replaces
}

// some are n changes that fit, replacing ones or others.
func some(r *rand.Rand, c *configuration, n int, replacing bool) []change {
	var fit []change
	for _, i := range r.Perm(len(changes)) {
		if ch := changes[i]; (len(ch.replaces) > 0) == replacing && (ch.fits == nil || ch.fits(c)) && len(fit) < n {
			fit = append(fit, ch)
		}
	}
	return fit
}

// encrypted is what the state says.
func (c *configuration) encrypted() bool {
	if said, ok := c.resource["encrypted"].(bool); ok {
		return said
	}
	return c.encrypts
}

func has(attribute string) func(*configuration) bool {
	return func(c *configuration) bool { return c.resource[attribute] != nil }
}

func is(attribute string, value any) func(*configuration) bool {
	return func(c *configuration) bool { return c.resource[attribute] == value }
}

func inContainer(member string) func(*configuration) bool {
	return func(c *configuration) bool { return c.container()[member] != nil }
}

func inClientData(member string) func(*configuration) bool {
	return func(c *configuration) bool {
		d, ok := c.resource["client_data"].(map[string]any)
		return ok && d[member] != nil
	}
}

func remove(attribute string) func(*configuration) {
	return func(c *configuration) { delete(c.resource, attribute) }
}
