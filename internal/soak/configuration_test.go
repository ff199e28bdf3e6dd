package soak

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// configuration is one way to write a resource, and what it meets.
type configuration struct {
	provider map[string]any // beside the connection
	resource map[string]any
	encrypts bool     // the account encrypts by default
	foreign  []string // keys of tags that somebody else puts on the snapshot
}

const (
	keyID    = "0f2b5a0e-7f43-4f6c-9a3e-1d2c3b4a5e6f"
	otherKey = "1f2b5a0e-7f43-4f6c-9a3e-1d2c3b4a5e6f"
	keyARN   = "arn:aws:kms:us-east-1:111122223333:key/" + keyID
	aliasARN = "arn:aws:kms:us-east-1:111122223333:alias/disks"
)

type option struct {
	name string
	set  func(*configuration)
}

// dimensions are what a configuration can say, and what each can be. The options of all are independent of each other.
var dimensions = []struct {
	name    string
	options []option
}{
	{"image", []option{{"vmdk", setLocation("disk.vmdk")}, {"raw", setLocation("disk.raw")}}},
	{"container", []option{{"url", nil}, {"user_bucket", userBucket}, {"https", inURL("https://s3.us-east-1.amazonaws.com/images/")}, {"https of the bucket",
		inURL("https://images.s3.us-east-1.amazonaws.com/")}}},
	{"format", []option{{"null", nil}, {"lower", setFormat(strings.ToLower)}, {"upper", setFormat(strings.ToUpper)}}},
	{"container description", []option{{"null", nil}, {"set", func(c *configuration) { c.container()["description"] = "the container" }}}},
	{"description", []option{{"null", nil}, {"set", set("description", "web")}, {"not ASCII", set("description", "Ümlaut – 磁盘 & <b>")}}},
	{"account", []option{{"as it is", nil}, {"encrypts by default", func(c *configuration) { c.encrypts = true }}}},
	{"encrypted", []option{
		{"null", nil}, {"false", set("encrypted", false)}, {"true", set("encrypted", true)}, {"key id", key(keyID)},
		{"multi-Region key", key("mrk-0123456789abcdef0123456789abcdef")}, {"key ARN", key(keyARN)}, {"alias", key("alias/disks")}, {"alias ARN", key(aliasARN)},
	}},
	{"comment", []option{{"null", nil}, {"set", clientData("comment", "by hand")}}},
	{"upload_start", []option{{"null", nil}, {"UTC", clientData("upload_start", "2026-01-01T12:00:00Z")}, {"offset", clientData("upload_start", "2026-01-01T13:00:00+01:00")}}},
	{"upload_end", []option{{"null", nil}, {"offset", clientData("upload_end", "2026-01-01T07:30:00-05:00")}, {"fraction", clientData("upload_end", "2026-01-01T12:30:00.5Z")}}},
	{"upload_size", []option{{"null", nil}, {"0", clientData("upload_size", 0.0)}, {"0.5", clientData("upload_size", 0.5)}}},
	{"client_token", []option{{"null", nil}, {"set", set("client_token", "token-1")}}},
	{"tags", []option{{"null", nil}, {"{}", set("tags", map[string]any{})}, {"one", set("tags", map[string]any{"Name": "web"})},
		{"an empty one", set("tags", map[string]any{"Name": "web", "empty": "", "ünïcode": "é"})}}},
	{"task_tags", []option{{"null", nil}, {"{}", set("task_tags", map[string]any{})}, {"one", set("task_tags", map[string]any{"purpose": "import"})}}},
	{"default_tags", []option{{"none", nil}, {"another", defaultTags("env", "test")}, {"the same", defaultTags("Name", "by default")}}},
	{"foreign tags", []option{
		{"none", nil}, {"AWS's own", func(c *configuration) { c.foreign = append(c.foreign, "aws:") }}, {"ignored by key", ignored("keys", "cost", "cost")},
		{"ignored by prefix", ignored("key_prefixes", "audit:", "audit:by")},
	}},
	{"storage_tier", []option{{"null", nil}, {"standard", set("storage_tier", "standard")}, {"archive", set("storage_tier", "archive")}}},
	{"temporary_restore_days", []option{{"null", nil}, {"set", set("temporary_restore_days", 3)}}},
	{"role_name", []option{{"null", nil}, {"set", set("role_name", "importer")}}},
	{"source_hash", []option{{"null", nil}, {"set", set("source_hash", "hash-1")}}},
	{"preflight", []option{{"null", nil}, {"false", set("preflight", false)}, {"true", set("preflight", true)}}},
	{"dry_run", []option{{"null", nil}, {"true", set("dry_run", true)}}},
	{"region", []option{{"null", nil}, {"set", set("region", here)}}},
	{"timeouts", []option{{"null", nil}, {"some", set("timeouts", map[string]any{"create": "9m", "delete": "90s"})}}},
}

func set(attribute string, value any) func(*configuration) {
	return func(c *configuration) { c.resource[attribute] = value }
}

func setLocation(object string) func(*configuration) {
	return func(c *configuration) { c.resource["disk_container"] = map[string]any{"url": "s3://images/" + object} }
}

func (c *configuration) container() map[string]any {
	return c.resource["disk_container"].(map[string]any)
}

// object is the key of the image.
func (c *configuration) object() string {
	if b, ok := c.container()["user_bucket"].(map[string]any); ok {
		return b["s3_key"].(string)
	}
	url := c.container()["url"].(string)
	return url[strings.LastIndex(url, "/")+1:]
}

func userBucket(c *configuration) {
	object := c.object()
	delete(c.container(), "url")
	c.container()["user_bucket"] = map[string]any{"s3_bucket": "images", "s3_key": object}
}

func inURL(prefix string) func(*configuration) {
	return func(c *configuration) {
		object := c.object()
		delete(c.container(), "user_bucket")
		c.container()["url"] = prefix + object
	}
}

func setFormat(spelling func(string) string) func(*configuration) {
	return func(c *configuration) {
		_, format, _ := strings.Cut(c.object(), ".")
		c.container()["format"] = spelling(format)
	}
}

func key(id string) func(*configuration) {
	return func(c *configuration) { c.resource["encrypted"], c.resource["kms_key_id"] = true, id }
}

func clientData(member string, value any) func(*configuration) {
	return func(c *configuration) {
		d, ok := c.resource["client_data"].(map[string]any)
		if !ok {
			d = map[string]any{}
			c.resource["client_data"] = d
		}
		d[member] = value
	}
}

func defaultTags(name, value string) func(*configuration) {
	return func(c *configuration) {
		c.provider["default_tags"] = []any{map[string]any{"tags": map[string]any{name: value}}}
	}
}

func ignored(by, what, tag string) func(*configuration) {
	return func(c *configuration) {
		c.provider["ignore_tags"] = []any{map[string]any{by: []any{what}}}
		c.foreign = append(c.foreign, tag)
	}
}

// choice is one option of each dimension.
type choice []int

func (c choice) String() string {
	var said []string
	for i, d := range dimensions {
		if c[i] > 0 {
			said = append(said, d.name+": "+d.options[c[i]].name)
		}
	}
	return strings.Join(said, ", ")
}

func (c choice) configuration() *configuration {
	made := &configuration{provider: map[string]any{}, resource: map[string]any{}}
	for i, d := range dimensions {
		if set := d.options[c[i]].set; set != nil {
			set(made)
		}
	}
	return made
}

func anyChoice(r *rand.Rand) choice {
	var c choice
	for _, d := range dimensions {
		c = append(c, r.IntN(len(d.options)))
	}
	return c
}

// pairwise are choices in which every two options of two dimensions are together at least once.
func pairwise(r *rand.Rand) []choice {
	type pair struct{ d1, o1, d2, o2 int }
	open := map[pair]bool{}
	var order []pair // maps have none that repeats
	for d1 := range dimensions {
		for d2 := d1 + 1; d2 < len(dimensions); d2++ {
			for o1 := range dimensions[d1].options {
				for o2 := range dimensions[d2].options {
					p := pair{d1, o1, d2, o2}
					open[p] = true
					order = append(order, p)
				}
			}
		}
	}
	r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	between := func(d1, o1, d2, o2 int) pair {
		if d1 > d2 {
			d1, o1, d2, o2 = d2, o2, d1, o1
		}
		return pair{d1, o1, d2, o2}
	}
	var choices []choice
	for _, first := range order {
		if !open[first] {
			continue
		}
		c := slices.Repeat(choice{-1}, len(dimensions))
		c[first.d1], c[first.d2] = first.o1, first.o2
		for _, d := range r.Perm(len(dimensions)) {
			if c[d] >= 0 {
				continue
			}
			best, most := 0, -1
			for _, o := range r.Perm(len(dimensions[d].options)) {
				news := 0
				for other, chosen := range c {
					if chosen >= 0 && open[between(d, o, other, chosen)] {
						news++
					}
				}
				if news > most {
					best, most = o, news
				}
			}
			c[d] = best
		}
		for d1 := range c {
			for d2 := d1 + 1; d2 < len(c); d2++ {
				delete(open, pair{d1, c[d1], d2, c[d2]})
			}
		}
		choices = append(choices, c)
	}
	return choices
}

// core is a provider process of the configuration.
func (c *configuration) core(t *testing.T, e *acctest.EC2) *acctest.Core {
	t.Helper()
	config := e.Config()
	config["max_retries"] = 1 // the waits between the SDK's tries are its own, and long
	maps.Copy(config, c.provider)
	return acctest.NewCore(t, config)
}

// clone is a copy that may be changed.
func (c *configuration) clone() *configuration {
	return &configuration{provider: clone(c.provider), resource: clone(c.resource), encrypts: c.encrypts, foreign: slices.Clone(c.foreign)}
}

func clone(m map[string]any) map[string]any {
	m = maps.Clone(m)
	for name, v := range m {
		if inner, ok := v.(map[string]any); ok {
			m[name] = clone(inner)
		}
	}
	return m
}

// meddle puts the tags of others on a snapshot.
func (c *configuration) meddle(t *testing.T, e *acctest.EC2, snapshot string) {
	t.Helper()
	for _, tag := range c.foreign {
		if tag == "aws:" { // EC2 takes none from us
			e.On("DescribeSnapshots", acctest.Within("tagSet", "<item><key>aws:cloudformation:stack-name</key><value>disks</value></item>"))
			continue
		}
		e.Call(t, "CreateTags", here, "ResourceId.1", snapshot, "Tag.1.Key", tag, "Tag.1.Value", "by others")
	}
}

func (c *configuration) String() string {
	return fmt.Sprint(c.provider, c.resource, c.encrypts, c.foreign)
}
