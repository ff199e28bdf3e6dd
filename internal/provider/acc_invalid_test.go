package provider_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// invalid is one mistake: the configuration, the attribute that the error must be at, and words that it must say.
type invalid struct {
	config map[string]any
	path   string
	says   string
}

func container(more ...any) map[string]any {
	m := map[string]any{}
	for i := 0; i < len(more); i += 2 {
		m[more[i].(string)] = more[i+1]
	}
	return map[string]any{"disk_container": m}
}

func bucket(name, key string) map[string]any {
	return container("user_bucket", map[string]any{"s3_bucket": name, "s3_key": key})
}

func manyTags(n int) map[string]any {
	m := map[string]any{}
	for i := range n {
		m[fmt.Sprint("k", i)] = "v"
	}
	return m
}

// mistakes are what the resource refuses by itself.
var mistakes = map[string]invalid{
	"no image":               {map[string]any{}, "disk_container", "required|Required"},
	"neither url nor bucket": {container(), "disk_container.url", "(?s)one.*user_bucket"},
	"url and bucket": {
		container("url", "s3://images/a", "user_bucket", map[string]any{"s3_bucket": "images", "s3_key": "a"}), "disk_container.url", "(?s)one.*user_bucket",
	},
	"url without scheme":       {container("url", "images/disk.vmdk"), "disk_container.url", "s3://bucket/key"},
	"url of another scheme":    {container("url", "ftp://images/disk.vmdk"), "disk_container.url", `only\s+s3\s+and\s+https`},
	"plain http":               {container("url", "http://example.com/disk.vmdk"), "disk_container.url", `only\s+s3\s+and\s+https`},
	"url without key":          {container("url", "s3://images"), "disk_container.url", `names\s+no\s+object`},
	"https url without host":   {container("url", "https:///disk.vmdk"), "disk_container.url", `names\s+no\s+host`},
	"empty url":                {container("url", ""), "disk_container.url", "Invalid Image URL"},
	"bucket name too short":    {bucket("a", "disk.vmdk"), "disk_container.user_bucket.s3_bucket", `bucket's\s+name`},
	"bucket name with a slash": {bucket("images/sub", "disk.vmdk"), "disk_container.user_bucket.s3_bucket", `bucket's\s+name`},
	"empty key":                {bucket("images", ""), "disk_container.user_bucket.s3_key", "length"},
	"key too long":             {bucket("images", strings.Repeat("k", 1025)), "disk_container.user_bucket.s3_key", "1024"},
	"bucket without key":       {container("user_bucket", map[string]any{"s3_bucket": "images"}), "disk_container.user_bucket.s3_key", "required|Required"},
	"P18 format":               {container("url", "s3://images/a", "format", "qcow2"), "disk_container.format", `(?s)raw.*vhd.*vhdx.*vmdk`},
	"container description":    {container("url", "s3://images/a", "description", strings.Repeat("d", 256)), "disk_container.description", "255"},
	"empty description":        {with("description", ""), "description", `between\s+1`},
	"description too long":     {with("description", strings.Repeat("d", 256)), "description", "255"},
	"P5 time":                  {with("client_data", map[string]any{"upload_start": "yesterday"}), "client_data.upload_start", "RFC3339"},
	"P5 end before start": {
		with("client_data", map[string]any{"upload_start": "2026-01-01T12:00:00Z", "upload_end": "2026-01-01T12:30:00+01:00"}),
		"client_data.upload_end", `Ends\s+Before`,
	},
	"upload size":                {with("client_data", map[string]any{"upload_size": -0.5}), "client_data.upload_size", `at\s+least\s+0`},
	"P13 empty token":            {with("client_token", ""), "client_token", `64\s+printable\s+ASCII`},
	"P13 token too long":         {with("client_token", strings.Repeat("t", 65)), "client_token", `64\s+printable\s+ASCII`},
	"P13 token not ASCII":        {with("client_token", "tökén"), "client_token", `64\s+printable\s+ASCII`},
	"P3 key without encryption":  {with("kms_key_id", "alias/a"), "kms_key_id", `encrypted\s+=\s+true`},
	"P3 key, encrypted = false":  {with("kms_key_id", "alias/a", "encrypted", false), "kms_key_id", `encrypted\s+=\s+true`},
	"P3 malformed key":           {with("kms_key_id", "my-key", "encrypted", true), "kms_key_id", "alias"},
	"P3 alias of nothing":        {with("kms_key_id", "alias/", "encrypted", true), "kms_key_id", "alias"},
	"role ARN":                   {with("role_name", "arn:aws:iam::111122223333:role/vmimport"), "role_name", `not\s+its\s+ARN`},
	"role name too long":         {with("role_name", strings.Repeat("r", 65)), "role_name", "64"},
	"P16 reserved tag":           {with("tags", tags("aws:owner", "x")), `tags["aws:owner"]`, `reserved\s+for\s+AWS`},
	"P16 reserved tag, any case": {with("tags", tags("AWS:owner", "x")), `tags["AWS:owner"]`, `reserved\s+for\s+AWS`},
	"P16 tag without key":        {with("tags", tags("", "x")), `tags[""]`, "127"},
	"P16 tag key too long":       {with("tags", tags(strings.Repeat("k", 128), "x")), `tags["` + strings.Repeat("k", 128) + `"]`, "127"},
	"P16 tag value too long":     {with("tags", tags("k", strings.Repeat("v", 257))), `tags["k"]`, "256"},
	"P16 tag value null":         {with("tags", map[string]any{"k": nil}), `tags["k"]`, "null"},
	"P16 too many tags":          {with("tags", manyTags(51)), "tags", `at\s+most\s+50`},
	"P16 reserved task tag":      {with("task_tags", tags("aws:owner", "x")), `task_tags["aws:owner"]`, `reserved\s+for\s+AWS`},
	"empty source hash":          {with("source_hash", ""), "source_hash", "length"},
	"P25 tier":                   {with("storage_tier", "glacier"), "storage_tier", "(?s)standard.*archive"},
	"no restore days":            {with("temporary_restore_days", 0), "temporary_restore_days", "180"},
	"too many restore days":      {with("temporary_restore_days", 181), "temporary_restore_days", "180"},
	"Region":                     {with("region", "us-east-1a"), "region", `Region's\s+name`},
	"empty Region":               {with("region", ""), "region", `Region's\s+name`},
	"timeout is no duration":     {with("timeouts", map[string]any{"create": "soon"}), "timeouts.create", "duration|Duration"},
	"timeout is negative":        {with("timeouts", map[string]any{"delete": "-1s"}), "timeouts.delete", `timeouts\.delete\s+must\s+be\s+positive`},
	"timeout is nothing":         {with("timeouts", map[string]any{"update": "0s"}), "timeouts.update", `timeouts\.update\s+must\s+be\s+positive`},
}

// TestRule6Invalid: each mistake is one error at its attribute, found by a validation alone.
func TestRule6Invalid(t *testing.T) {
	c := acctest.StartCore(t)
	if d := c.Validate(with()); len(d) > 0 {
		t.Fatalf("a sound configuration is refused: %s", d)
	}
	for name, mistake := range mistakes {
		t.Run(name, func(t *testing.T) {
			d := c.Validate(mistake.config)
			if len(d) != 1 || !d.HasError() || d[0].Path != mistake.path {
				t.Fatalf("want one error at %s, got\n%s", mistake.path, d)
			}
			if text := d[0].Summary + "\n" + d[0].Detail; !regexp.MustCompile(mistake.says).MatchString(text) {
				t.Errorf("the error does not say %q:\n%s", mistake.says, text)
			}
		})
	}
}

// aboutResource is the error that names a resource, of all that a CLI has printed; "" where none does.
func aboutResource(text, label string) string {
	at := regexp.MustCompile(`"ec2_import_snapshot" "` + label + `"`).FindStringIndex(text)
	if at == nil {
		return ""
	}
	// One error ends where the next begins, at the start of a line; EC2's ClientError is within one.
	from, to := strings.LastIndex(text[:at[0]], "\nError: ")+1, len(text)
	if next := strings.Index(text[at[1]:], "\nError: "); next >= 0 {
		to = at[1] + next
	}
	return text[from:to]
}

// TestAccRule6Invalid shows all mistakes to the CLI at once: each is reported, on its resource, and nothing is called and nothing left behind.
func TestAccRule6Invalid(t *testing.T) {
	e := newPlace(t)
	l := acctest.NewLocal(t)
	names := map[string]string{}
	var config strings.Builder
	for name, mistake := range mistakes {
		label := regexp.MustCompile(`\W+`).ReplaceAllString(name, "_")
		names[label] = mistake.says
		config.WriteString("resource \"ec2_import_snapshot\" \"" + label + "\" {\n" + acctest.HCL(mistake.config) + "}\n")
	}
	for _, provider := range []string{e.Provider(""), l.Provider("", "")} {
		found := false
		resource.Test(t, resource.TestCase{
			ProtoV6ProviderFactories: acctest.Providers(),
			ErrorCheck: func(err error) error {
				found = true
				text := err.Error()
				for label, says := range names {
					about := aboutResource(text, label)
					if about == "" {
						t.Errorf("no error names %s", label)
					} else if !regexp.MustCompile(says).MatchString(about) {
						t.Errorf("the error of %s does not say %q:\n%s", label, says, about)
					}
				}
				return nil
			},
			Steps: []resource.TestStep{{Config: provider + config.String()}},
		})
		if os.Getenv(resource.EnvTfAcc) != "" && !found {
			t.Error("the CLI has taken all mistakes")
		}
	}
	if e.ec2 != nil {
		if calls := append(e.ec2.Actions(), e.ec2.S3Requests()...); len(calls) > 0 {
			t.Errorf("a configuration that is refused has called %v", calls)
		}
	}
	if _, err := os.Stat(l.DataDir); !os.IsNotExist(err) {
		t.Errorf("a configuration that is refused has made %s", l.DataDir)
	}
}

// TestRule6InvalidProvider: mistakes in the provider's block.
func TestRule6InvalidProvider(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	local := func(name string, value any) map[string]any {
		return map[string]any{"local": map[string]any{name: value}}
	}
	block := func(block, name string, value any) map[string]any {
		return map[string]any{block: []any{map[string]any{name: value}}}
	}
	for name, mistake := range map[string]invalid{
		"empty Region":       {map[string]any{"region": ""}, "region", "length"},
		"retries":            {map[string]any{"max_retries": -1}, "max_retries", "between 0"},
		"retry mode":         {map[string]any{"retry_mode": "often"}, "retry_mode", "adaptive"},
		"account":            {map[string]any{"allowed_account_ids": []any{"1234"}}, `allowed_account_ids[*]`, "12 digits"},
		"endpoint":           {block("endpoints", "ec2", "localhost:4566"), "endpoints[*].ec2", "http://"},
		"role's duration":    {block("assume_role", "duration", "1m"), "assume_role[0].duration", "15m"},
		"default tag":        {block("default_tags", "tags", tags("aws:a", "b")), `default_tags[0].tags["aws:a"]`, "reserved"},
		"two default_tags":   {map[string]any{"default_tags": []any{map[string]any{}, map[string]any{}}}, "default_tags", "at most 1"},
		"local account":      {local("account_id", "me"), "local.account_id", "12 digits"},
		"local bucket":       {local("buckets", tags("a", ".")), `local.buckets["a"]`, "bucket's name"},
		"local directory":    {local("buckets", tags("images", "")), `local.buckets["images"]`, "length"},
		"no directory":       {local("buckets", map[string]any{"images": nil}), `local.buckets["images"]`, "needs a directory"},
		"local Region":       {map[string]any{"local": map[string]any{}, "region": "mars"}, "region", "mars"},
		"local, not allowed": {map[string]any{"local": map[string]any{}, "allowed_account_ids": []any{"111122223333"}}, "allowed_account_ids", "account_id"},
		"local, forbidden":   {map[string]any{"local": map[string]any{}, "forbidden_account_ids": []any{"000000000000"}}, "forbidden_account_ids", "account_id"},
		"local duration":     {local("simulate", map[string]any{"task_duration": "soon"}), "local.simulate.task_duration", "local.simulate.task_duration must be a duration"},
		"negative duration":  {local("simulate", map[string]any{"task_duration": "-1s"}), "local.simulate.task_duration", "duration"},
		"bucket is a file":   {local("buckets", tags("images", file)), `local.buckets["images"]`, "no directory"},
		"local and endpoint": {map[string]any{"local": map[string]any{}, "endpoints": []any{map[string]any{"ec2": "http://localhost"}}}, "endpoints", "local"},
	} {
		t.Run(name, func(t *testing.T) {
			c := acctest.StartCore(t)
			d := c.ValidateProvider(mistake.config)
			if len(d) == 0 {
				d = c.Configure(mistake.config) // what needs a look at the disk or at two arguments
			}
			if len(d) != 1 || !d.HasError() || d[0].Path != mistake.path || !strings.Contains(d[0].Summary+d[0].Detail, mistake.says) {
				t.Errorf("want one error at %s that says %q, got\n%s", mistake.path, mistake.says, d)
			}
		})
	}
	c := acctest.StartCore(t)
	both := map[string]any{"allowed_account_ids": []any{"111122223333"}, "forbidden_account_ids": []any{"444455556666"}}
	if d := c.ValidateProvider(both); !d.HasError() {
		t.Error("allowed and forbidden accounts at once are taken")
	}
}

// TestRule6NoRegion: an AWS configuration without any Region says so while planning.
func TestRule6NoRegion(t *testing.T) {
	t.Parallel()
	config := newEC2(t).Config()
	delete(config, "region")
	config["shared_config_files"] = []any{filepath.Join(t.TempDir(), "none")}
	_, d := acctest.NewCore(t, config).Plan(nil, with())
	if len(d.Errors()) != 1 || !strings.Contains(d.String(), "AWS_REGION") {
		t.Errorf("want one error that names AWS_REGION, got %v", d)
	}
}

// TestRule6ForeignKey: a key that its ARN puts elsewhere than the import is refused while planning, before anything is called. Where nothing is imported
// it stands in nobody's way.
func TestRule6ForeignKey(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	provider := e.Config()
	provider["skip_region_validation"] = true
	c := acctest.NewCore(t, provider)
	key := func(key any, more ...any) map[string]any {
		return with(append([]any{"encrypted", true, "kms_key_id", key, "preflight", false}, more...)...)
	}
	ours, there := "arn:aws:kms:us-east-1:111122223333:", "arn:aws:kms:eu-central-1:111122223333:"
	existing, d := c.Create(key(ours + "alias/a"))
	if len(d) > 0 {
		t.Fatal(d)
	}
	byID, d := c.Create(key(keyID))
	if len(d) > 0 {
		t.Fatal(d)
	}
	e.Forget()
	for name, test := range map[string]struct {
		prior  *acctest.Object
		config map[string]any
		says   []string // none: it is taken
	}{
		"a key of another Region":            {nil, key(there + "key/" + keyID), []string{"KMS Key in Another Region", "eu-central-1", "us-east-1", "set region"}},
		"an alias of another Region":         {nil, key(there + "alias/a"), []string{"KMS Key in Another Region", "eu-central-1", "us-east-1"}},
		"a multi-Region key of another":      {nil, key(there + "key/mrk-0123456789abcdef0123456789abcdef"), []string{"KMS Key in Another Region"}},
		"a key of the provider's Region":     {nil, key(ours+"key/"+keyID, "region", "eu-central-1"), []string{"KMS Key in Another Region", "set region"}},
		"a key of another partition":         {nil, key("arn:aws-cn:kms:us-east-1:111122223333:alias/a"), []string{"KMS Key in Another Partition", "arn:aws-cn:", "arn:aws:kms:us-east-1:"}},
		"for a replacement":                  {existing, key(there + "alias/a"), []string{"KMS Key in Another Region", "eu-central-1", "us-east-1", "destroy -refresh=false"}},
		"a replacement for another Region":   {existing, key(ours+"alias/a", "region", "eu-central-1"), []string{"KMS Key in Another Region"}},
		"both in another Region":             {nil, key(there+"alias/a", "region", "eu-central-1"), nil},
		"both in China":                      {nil, key("arn:aws-cn:kms:cn-north-1:111122223333:alias/a", "region", "cn-north-1"), nil},
		"a Region that nobody knows":         {nil, key("arn:aws-x:kms:moon-dark-1:111122223333:alias/a", "region", "moon-dark-1"), nil},
		"an alias":                           {nil, key("alias/a"), nil},
		"a key id":                           {nil, key(keyID), nil},
		"a key that is not known yet":        {nil, key(acctest.Unknown), nil},
		"a Region that is not known yet":     {nil, key(there+"alias/a", "region", acctest.Unknown), nil},
		"nothing is imported for it, as ARN": {byID, key(there + "key/" + keyID), nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, d := c.Plan(test.prior, test.config)
			if len(test.says) == 0 {
				if d.HasError() {
					t.Fatal(d)
				}
				return
			}
			if len(d) != 1 || !d.HasError() || d[0].Path != "kms_key_id" {
				t.Fatalf("want one error at kms_key_id, got %v", d)
			}
			if missing := lacks(d[0].Summary+"\n"+d[0].Detail, test.says...); len(missing) > 0 {
				t.Errorf("the error lacks %q:\n%s", missing, d[0].Detail)
			}
		})
	}
	if calls := e.Changes(); len(calls) > 0 {
		t.Errorf("the plans have called %v", calls)
	}
}
