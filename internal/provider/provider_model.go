package provider

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/awsclient"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/importtask"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
)

// providerModel is the provider block.
type providerModel struct {
	Region                    types.String `tfsdk:"region"`
	Profile                   types.String `tfsdk:"profile"`
	AccessKey                 types.String `tfsdk:"access_key"`
	SecretKey                 types.String `tfsdk:"secret_key"`
	Token                     types.String `tfsdk:"token"`
	SharedConfigFiles         types.List   `tfsdk:"shared_config_files"`
	SharedCredentialsFiles    types.List   `tfsdk:"shared_credentials_files"`
	AllowedAccountIDs         types.Set    `tfsdk:"allowed_account_ids"`
	ForbiddenAccountIDs       types.Set    `tfsdk:"forbidden_account_ids"`
	HTTPProxy                 types.String `tfsdk:"http_proxy"`
	HTTPSProxy                types.String `tfsdk:"https_proxy"`
	NoProxy                   types.String `tfsdk:"no_proxy"`
	CustomCABundle            types.String `tfsdk:"custom_ca_bundle"`
	Insecure                  types.Bool   `tfsdk:"insecure"`
	UseFIPSEndpoint           types.Bool   `tfsdk:"use_fips_endpoint"`
	UseDualStackEndpoint      types.Bool   `tfsdk:"use_dualstack_endpoint"`
	S3UsePathStyle            types.Bool   `tfsdk:"s3_use_path_style"`
	SkipCredentialsValidation types.Bool   `tfsdk:"skip_credentials_validation"`
	SkipRegionValidation      types.Bool   `tfsdk:"skip_region_validation"`
	SkipRequestingAccountID   types.Bool   `tfsdk:"skip_requesting_account_id"`
	SkipMetadataAPICheck      types.Bool   `tfsdk:"skip_metadata_api_check"`
	MaxRetries                types.Int64  `tfsdk:"max_retries"`
	RetryMode                 types.String `tfsdk:"retry_mode"`
	Local                     types.Object `tfsdk:"local"`

	AssumeRole                types.List `tfsdk:"assume_role"`
	AssumeRoleWithWebIdentity types.List `tfsdk:"assume_role_with_web_identity"`
	DefaultTags               types.List `tfsdk:"default_tags"`
	IgnoreTags                types.List `tfsdk:"ignore_tags"`
	Endpoints                 types.Set  `tfsdk:"endpoints"`
}

type assumeRoleModel struct {
	RoleARN           types.String `tfsdk:"role_arn"`
	Duration          types.String `tfsdk:"duration"`
	ExternalID        types.String `tfsdk:"external_id"`
	Policy            types.String `tfsdk:"policy"`
	PolicyARNs        types.Set    `tfsdk:"policy_arns"`
	SessionName       types.String `tfsdk:"session_name"`
	SourceIdentity    types.String `tfsdk:"source_identity"`
	Tags              types.Map    `tfsdk:"tags"`
	TransitiveTagKeys types.Set    `tfsdk:"transitive_tag_keys"`
}

type webIdentityModel struct {
	RoleARN              types.String `tfsdk:"role_arn"`
	Duration             types.String `tfsdk:"duration"`
	Policy               types.String `tfsdk:"policy"`
	PolicyARNs           types.Set    `tfsdk:"policy_arns"`
	SessionName          types.String `tfsdk:"session_name"`
	WebIdentityToken     types.String `tfsdk:"web_identity_token"`
	WebIdentityTokenFile types.String `tfsdk:"web_identity_token_file"`
}

type defaultTagsModel struct {
	Tags types.Map `tfsdk:"tags"`
}

type ignoreTagsModel struct {
	Keys        types.Set `tfsdk:"keys"`
	KeyPrefixes types.Set `tfsdk:"key_prefixes"`
}

type endpointsModel struct {
	EC2 types.String `tfsdk:"ec2"`
	S3  types.String `tfsdk:"s3"`
	STS types.String `tfsdk:"sts"`
	KMS types.String `tfsdk:"kms"`
	IAM types.String `tfsdk:"iam"`
}

type localModel struct {
	DataDir   types.String `tfsdk:"data_dir"`
	Buckets   types.Map    `tfsdk:"buckets"`
	AccountID types.String `tfsdk:"account_id"`
	Strict    types.Bool   `tfsdk:"strict"`
	Checksum  types.Bool   `tfsdk:"checksum"`
	Simulate  types.Object `tfsdk:"simulate"`
}

type simulateModel struct {
	TaskDuration        types.String `tfsdk:"task_duration"`
	FailWith            types.String `tfsdk:"fail_with"`
	EncryptionByDefault types.Bool   `tfsdk:"encryption_by_default"`
}

// tagPolicy reads default_tags and ignore_tags, and their environment variables; the block wins over the environment.
func (m *providerModel) tagPolicy(ctx context.Context) (tagPolicy, diag.Diagnostics) {
	policy := tagPolicy{defaults: map[string]string{}, defaultsKnown: true}
	var diags diag.Diagnostics
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		if key, ok := strings.CutPrefix(name, "TF_AWS_DEFAULT_TAGS_"); ok && key != "" {
			policy.defaults[key] = value
		}
	}
	policy.ignoreKeys = commaList(os.Getenv("TF_AWS_IGNORE_TAGS_KEYS"))
	policy.ignorePrefixes = commaList(os.Getenv("TF_AWS_IGNORE_TAGS_KEY_PREFIXES"))

	if m.DefaultTags.IsUnknown() {
		policy.defaultsKnown = false
	}
	for _, block := range elements[defaultTagsModel](ctx, m.DefaultTags, &diags) {
		if block.Tags.IsUnknown() {
			policy.defaultsKnown = false
		}
		for key, value := range block.Tags.Elements() {
			if value.IsUnknown() {
				policy.defaultsKnown = false
			}
			if s, ok := value.(types.String); ok {
				policy.defaults[key] = s.ValueString()
			}
		}
	}
	for _, block := range elements[ignoreTagsModel](ctx, m.IgnoreTags, &diags) {
		policy.ignoreKeys = append(policy.ignoreKeys, stringsOf(block.Keys)...)
		policy.ignorePrefixes = append(policy.ignorePrefixes, stringsOf(block.KeyPrefixes)...)
	}
	return policy, diags
}

// settings are the credentials, the Region and the ways to the services. The model is fully known.
func (m *providerModel) settings(ctx context.Context, version string) (awsclient.Settings, diag.Diagnostics) {
	var diags diag.Diagnostics
	s := awsclient.Settings{
		Version: version, NotOffered: importtask.NotOffered, Region: m.Region.ValueString(), Profile: m.Profile.ValueString(),
		AccessKey: m.AccessKey.ValueString(), SecretKey: m.SecretKey.ValueString(), Token: m.Token.ValueString(),
		SharedConfigFiles: stringsOf(m.SharedConfigFiles), SharedCredentialsFiles: stringsOf(m.SharedCredentialsFiles),
		AllowedAccountIDs: stringsOf(m.AllowedAccountIDs), ForbiddenAccountIDs: stringsOf(m.ForbiddenAccountIDs),
		HTTPProxy: m.HTTPProxy.ValueStringPointer(), HTTPSProxy: m.HTTPSProxy.ValueStringPointer(), NoProxy: m.NoProxy.ValueString(),
		CustomCABundle: m.CustomCABundle.ValueString(), Insecure: m.Insecure.ValueBool(),
		UseFIPSEndpoint: m.UseFIPSEndpoint.ValueBool(), UseDualStackEndpoint: m.UseDualStackEndpoint.ValueBool(), S3UsePathStyle: m.S3UsePathStyle.ValueBool(),
		SkipCredentialsValidation: m.SkipCredentialsValidation.ValueBool(), SkipRegionValidation: m.SkipRegionValidation.ValueBool(),
		SkipRequestingAccountID: m.SkipRequestingAccountID.ValueBool(), SkipMetadataAPICheck: m.SkipMetadataAPICheck.ValueBoolPointer(),
		RetryMode: m.RetryMode.ValueString(),
	}
	if !m.MaxRetries.IsNull() {
		s.MaxRetries = m.MaxRetries.ValueInt64Pointer()
	}
	for _, e := range elements[endpointsModel](ctx, m.Endpoints, &diags) {
		// As with hashicorp/aws there may be several blocks; each names some services.
		for _, service := range []struct {
			to   *string
			from types.String
		}{{&s.Endpoints.EC2, e.EC2}, {&s.Endpoints.S3, e.S3}, {&s.Endpoints.STS, e.STS}, {&s.Endpoints.KMS, e.KMS}, {&s.Endpoints.IAM, e.IAM}} {
			if url := service.from.ValueString(); url != "" {
				*service.to = url
			}
		}
	}
	for _, role := range elements[assumeRoleModel](ctx, m.AssumeRole, &diags) {
		s.AssumeRole = append(s.AssumeRole, awsclient.AssumeRole{
			RoleARN: role.RoleARN.ValueString(), Duration: lifetime(role.Duration), ExternalID: role.ExternalID.ValueString(),
			Policy: role.Policy.ValueString(), PolicyARNs: stringsOf(role.PolicyARNs), SessionName: role.SessionName.ValueString(),
			SourceIdentity: role.SourceIdentity.ValueString(), Tags: goTags(role.Tags), TransitiveTagKeys: stringsOf(role.TransitiveTagKeys),
		})
	}
	for _, role := range elements[webIdentityModel](ctx, m.AssumeRoleWithWebIdentity, &diags) {
		s.AssumeRoleWithWebIdentity = &awsclient.AssumeRoleWithWebIdentity{
			RoleARN: role.RoleARN.ValueString(), Duration: lifetime(role.Duration), Policy: role.Policy.ValueString(), PolicyARNs: stringsOf(role.PolicyARNs),
			SessionName: role.SessionName.ValueString(), WebIdentityToken: role.WebIdentityToken.ValueString(),
			WebIdentityTokenFile: role.WebIdentityTokenFile.ValueString(),
		}
	}
	return s, diags
}

// localBackend makes the endpoint of this process; nil where local is null. Nothing is touched on disk. Relative paths stay as configured, because
// volume_path is in the state and must not differ between two checkouts.
func (m *providerModel) localBackend(ctx context.Context, settings awsclient.Settings) (*localBackend, diag.Diagnostics) {
	if m.Local.IsNull() {
		return nil, nil
	}
	var l localModel
	var simulate simulateModel
	diags := members(ctx, m.Local, &l)
	diags.Append(members(ctx, l.Simulate, &simulate)...)
	if diags.HasError() {
		return nil, diags
	}
	backend := &localBackend{strict: l.Strict.IsNull() || l.Strict.ValueBool(), accountID: "000000000000"}
	if id := l.AccountID.ValueString(); id != "" {
		backend.accountID = id
	}
	// The configuration that is tested here is one that AWS gets.
	if settings.Region != "" && !settings.SkipRegionValidation && !regexp.MustCompile(regionPattern).MatchString(settings.Region) {
		diags.AddAttributeError(path.Root("region"), "Invalid Region", fmt.Sprintf("region %s; it is %q.", isNoRegion, settings.Region))
	}
	switch allowed := settings.AllowedAccountIDs; {
	case len(allowed) > 0 && !slices.Contains(allowed, backend.accountID):
		diags.AddAttributeError(path.Root("allowed_account_ids"), "Account Not Allowed",
			"The account of the local backend is "+backend.accountID+", which allowed_account_ids does not name: set account_id in local to one that it names.")
	case slices.Contains(settings.ForbiddenAccountIDs, backend.accountID):
		diags.AddAttributeError(path.Root("forbidden_account_ids"), "Account Not Allowed",
			"The account of the local backend is "+backend.accountID+", which forbidden_account_ids names: set account_id in local to another.")
	}
	dataDir := l.DataDir.ValueString()
	if dataDir == "" {
		dataDir = os.Getenv("EC2_LOCAL_DATA_DIR")
	}
	if dataDir == "" {
		dataDir = ".ec2-local"
	}
	buckets := goTags(l.Buckets)
	for name, directory := range buckets {
		if directory == "" {
			diags.AddAttributeError(path.Root("local").AtName("buckets").AtMapKey(name), "Bucket Has No Directory", "The bucket "+name+" needs a directory; it is null.")
		} else if info, err := os.Stat(directory); err == nil && !info.IsDir() {
			diags.AddAttributeError(path.Root("local").AtName("buckets").AtMapKey(name), "Bucket Is No Directory",
				"The bucket "+name+" is "+filepath.Clean(directory)+", which is no directory. A bucket is a directory whose files are its objects.")
		}
	}
	transport, err := settings.Transport()
	if err != nil {
		// Most local work needs no certificate at all, and AWS_CA_BUNDLE is the machine's, not this configuration's.
		diags.AddAttributeWarning(path.Root("local"), "Certificates Not Used", err.Error()+". Images from https are fetched with the system's certificates.")
	}
	backend.images = &imagesource.Opener{Buckets: buckets, HTTPS: true, AllowPrivate: true, Transport: transport}
	if settings.Endpoints.S3 != "" {
		client, err := awsclient.NewLocal(nil, settings, firstOf(settings.Region, "us-east-1"), backend.accountID)
		if err != nil {
			diags.AddAttributeError(path.Root("endpoints"), "Unable to Reach S3", err.Error())
			return nil, diags
		}
		backend.images.S3 = client.BucketClient
	}
	backend.endpoint = localec2.New(localec2.Config{
		DataDir: dataDir, AccountID: backend.accountID, Images: backend.images, Strict: backend.strict, Checksum: l.Checksum.ValueBool(),
		Simulate: localec2.Simulate{
			TaskDuration: lifetime(simulate.TaskDuration), FailWith: simulate.FailWith.ValueString(), EncryptionByDefault: simulate.EncryptionByDefault.ValueBool(),
		},
		// Terraform collects what a provider writes to stderr, by its own level.
		Log: hclog.New(&hclog.LoggerOptions{Name: "local", Level: hclog.LevelFromString(firstOf(os.Getenv("TF_LOG_PROVIDER"), os.Getenv("TF_LOG"), "off")), JSONFormat: true}),
	})
	return backend, diags
}

// elements reads the blocks of a list or set.
func elements[T any](ctx context.Context, blocks interface {
	ElementsAs(ctx context.Context, target any, allowUnhandled bool) diag.Diagnostics
	IsNull() bool
	IsUnknown() bool
}, diags *diag.Diagnostics) []T {
	if blocks.IsNull() || blocks.IsUnknown() {
		return nil
	}
	var list []T
	diags.Append(blocks.ElementsAs(ctx, &list, false)...)
	return list
}

func stringsOf(list interface{ Elements() []attr.Value }) []string {
	var texts []string
	for _, element := range list.Elements() {
		if s, ok := element.(types.String); ok && s.ValueString() != "" {
			texts = append(texts, s.ValueString())
		}
	}
	return texts
}

// lifetime is a validated duration; 0 where it is null.
func lifetime(v types.String) time.Duration {
	d, err := time.ParseDuration(v.ValueString())
	if err != nil {
		return 0
	}
	return d
}

func commaList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

func firstOf(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}
