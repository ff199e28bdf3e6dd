package provider

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

const accountIDPattern = `^\d{12}$`

// Schema describes the provider block: hashicorp/aws's names and block syntax, and local.
func (p *Provider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Turns disk images in Amazon S3 into EBS snapshots.",
		Attributes: map[string]schema.Attribute{
			"region": schema.StringAttribute{
				MarkdownDescription: "Region. Also `AWS_REGION`, `AWS_DEFAULT_REGION` or the shared configuration; `us-east-1` with `local`.", Optional: true,
				Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"profile":                     optionalString("Profile of the shared configuration. Also `AWS_PROFILE`."),
			"access_key":                  optionalString("Access key. Also `AWS_ACCESS_KEY_ID`."),
			"secret_key":                  secretString("Secret key. Also `AWS_SECRET_ACCESS_KEY`."),
			"token":                       secretString("Session token. Also `AWS_SESSION_TOKEN`."),
			"shared_config_files":         optionalStrings("Shared configuration files. Also `AWS_CONFIG_FILE`; default `~/.aws/config`."),
			"shared_credentials_files":    optionalStrings("Shared credentials files. Also `AWS_SHARED_CREDENTIALS_FILE`; default `~/.aws/credentials`."),
			"allowed_account_ids":         accountIDs("Accounts that may be used; any other is an error, that of `local` too.", "forbidden_account_ids"),
			"forbidden_account_ids":       accountIDs("Accounts that must not be used, not even by `local`.", "allowed_account_ids"),
			"http_proxy":                  optionalString("Proxy for HTTP. Also `HTTP_PROXY`."),
			"https_proxy":                 optionalString("Proxy for HTTPS. Also `HTTPS_PROXY`."),
			"no_proxy":                    optionalString("Hosts that are reached without a proxy, separated by commas. Also `NO_PROXY`."),
			"custom_ca_bundle":            optionalString("File of PEM certificates to trust. Also `AWS_CA_BUNDLE`."),
			"insecure":                    optionalBool("Do not verify TLS certificates."),
			"use_fips_endpoint":           optionalBool("Use FIPS endpoints. Also `AWS_USE_FIPS_ENDPOINT`."),
			"use_dualstack_endpoint":      optionalBool("Use dual-stack endpoints. Also `AWS_USE_DUALSTACK_ENDPOINT`."),
			"s3_use_path_style":           optionalBool("Address buckets by path (`https://host/bucket/key`)."),
			"skip_credentials_validation": optionalBool("Do not ask STS whether the credentials are valid."),
			"skip_region_validation":      optionalBool("Take a Region whose name is not known."),
			"skip_requesting_account_id":  optionalBool("Do not ask for the account's id."),
			"skip_metadata_api_check":     optionalBool("Do not ask the EC2 metadata service for credentials or a Region."),
			"max_retries": schema.Int64Attribute{
				MarkdownDescription: "How often a call is tried again after the first try. Unset: `AWS_MAX_ATTEMPTS` tries in all, or 25. " +
					"Starting, following and cancelling an import have their own limits of time.", Optional: true,
				Validators: []validator.Int64{int64validator.Between(0, 1000)},
			},
			"retry_mode": schema.StringAttribute{
				MarkdownDescription: "`standard` or `adaptive`. Also `AWS_RETRY_MODE`.", Optional: true,
				Validators: []validator.String{stringvalidator.OneOf("standard", "adaptive")},
			},
			"local": localAttribute(),
		},
		Blocks: map[string]schema.Block{
			"assume_role":                   assumeRoleBlock(),
			"assume_role_with_web_identity": webIdentityBlock(),
			"default_tags": schema.ListNestedBlock{
				MarkdownDescription: "Tags for every snapshot and import task. Also `TF_AWS_DEFAULT_TAGS_<key>`.",
				Validators:          []validator.List{listvalidator.SizeAtMost(1)},
				NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
					"tags": schema.MapAttribute{
						MarkdownDescription: "The tags.", ElementType: types.StringType, Optional: true, Validators: []validator.Map{tagMap{}},
					},
				}},
			},
			"ignore_tags": schema.ListNestedBlock{
				MarkdownDescription: "Tags that others set and that are no difference.",
				Validators:          []validator.List{listvalidator.SizeAtMost(1)},
				NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
					"keys": schema.SetAttribute{
						MarkdownDescription: "Keys. Also `TF_AWS_IGNORE_TAGS_KEYS`, separated by commas.", ElementType: types.StringType, Optional: true,
					},
					"key_prefixes": schema.SetAttribute{
						MarkdownDescription: "Beginnings of keys. Also `TF_AWS_IGNORE_TAGS_KEY_PREFIXES`, separated by commas.", ElementType: types.StringType, Optional: true,
					},
				}},
			},
			"endpoints": schema.SetNestedBlock{
				MarkdownDescription: "Endpoints of services, for example of an emulator. Also `AWS_ENDPOINT_URL_EC2`, `_S3`, `_STS`, `_KMS`, `_IAM`, or `AWS_ENDPOINT_URL` for all. " +
					"Where `ec2` is not AWS's, S3, KMS and IAM are asked only if they have an endpoint too: AWS's are not the ones that such an EC2 knows.",
				NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
					"ec2": endpointURL("EC2"), "s3": endpointURL("S3"), "sts": endpointURL("STS"), "kms": endpointURL("KMS"), "iam": endpointURL("IAM"),
				}},
			},
		},
	}
}

func localAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		MarkdownDescription: "The local backend: no AWS, no credentials, no network. The provider itself answers EC2 and really converts the image. " +
			"Its presence switches it on; `null` means AWS.",
		Optional: true,
		Attributes: map[string]schema.Attribute{
			"data_dir": optionalString("Directory of tasks, snapshots and volumes. Default `$EC2_LOCAL_DATA_DIR` where set, else `.ec2-local`."),
			"buckets": schema.MapAttribute{
				MarkdownDescription: "Buckets: name to directory.", ElementType: types.StringType, Optional: true,
				Validators: []validator.Map{
					mapvalidator.KeysAre(matches(`^[a-zA-Z0-9][a-zA-Z0-9._-]{1,61}[a-zA-Z0-9]$`, "must be a bucket's name: 3 to 63 letters, digits, dots, hyphens")),
					mapvalidator.ValueStringsAre(stringvalidator.LengthAtLeast(1)),
				},
			},
			"account_id": schema.StringAttribute{
				MarkdownDescription: "Account that owns the snapshots. Default `000000000000`.", Optional: true,
				Validators: []validator.String{matches(accountIDPattern, "must be 12 digits")},
			},
			"strict":   optionalBool("Refuse what VM Import refuses, with its words. Default `true`."),
			"checksum": optionalBool("Compute the SHA-256 of each volume (`volume_sha256`). Default `false`."),
			"simulate": schema.SingleNestedAttribute{
				MarkdownDescription: "What AWS does and a local disk does not.", Optional: true,
				Attributes: map[string]schema.Attribute{
					"task_duration": schema.StringAttribute{
						MarkdownDescription: "How long a task takes at least, counted from its creation. Default `0s`.", Optional: true,
						Validators: []validator.String{duration{}},
					},
					"fail_with":             optionalString("Let every import fail with this status message."),
					"encryption_by_default": optionalBool("Encrypt snapshots although the import does not ask for it. Default `false`."),
				},
			},
		},
	}
}

func assumeRoleBlock() schema.Block {
	return schema.ListNestedBlock{
		MarkdownDescription: "Role to assume; several blocks are a chain.",
		NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
			"role_arn":            optionalString("ARN of the role."),
			"duration":            roleDuration(),
			"external_id":         optionalString("External id."),
			"policy":              optionalString("Session policy, JSON."),
			"policy_arns":         optionalSet("ARNs of session policies."),
			"session_name":        optionalString("Session name."),
			"source_identity":     optionalString("Source identity."),
			"tags":                schema.MapAttribute{MarkdownDescription: "Session tags.", ElementType: types.StringType, Optional: true},
			"transitive_tag_keys": optionalSet("Keys of session tags that pass to further roles."),
		}},
	}
}

func webIdentityBlock() schema.Block {
	return schema.ListNestedBlock{
		MarkdownDescription: "Role to assume with a web identity token.",
		Validators:          []validator.List{listvalidator.SizeAtMost(1)},
		NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
			"role_arn":                optionalString("ARN of the role. Also `AWS_ROLE_ARN`."),
			"duration":                roleDuration(),
			"policy":                  optionalString("Session policy, JSON."),
			"policy_arns":             optionalSet("ARNs of session policies."),
			"session_name":            optionalString("Session name. Also `AWS_ROLE_SESSION_NAME`."),
			"web_identity_token":      secretString("The token."),
			"web_identity_token_file": optionalString("File with the token. Also `AWS_WEB_IDENTITY_TOKEN_FILE`."),
		}},
	}
}

func optionalString(description string) schema.StringAttribute {
	return schema.StringAttribute{MarkdownDescription: description, Optional: true}
}

func secretString(description string) schema.StringAttribute {
	return schema.StringAttribute{MarkdownDescription: description, Optional: true, Sensitive: true}
}

func optionalBool(description string) schema.BoolAttribute {
	return schema.BoolAttribute{MarkdownDescription: description, Optional: true}
}

func optionalStrings(description string) schema.ListAttribute {
	return schema.ListAttribute{MarkdownDescription: description, ElementType: types.StringType, Optional: true}
}

func optionalSet(description string) schema.SetAttribute {
	return schema.SetAttribute{MarkdownDescription: description, ElementType: types.StringType, Optional: true}
}

func endpointURL(service string) schema.StringAttribute {
	return schema.StringAttribute{
		MarkdownDescription: "Endpoint of " + service + ".", Optional: true,
		Validators: []validator.String{matches(`^$|^https?://[^\s/]+`, "must be a URL that begins with http:// or https://")},
	}
}

func roleDuration() schema.StringAttribute {
	return schema.StringAttribute{
		MarkdownDescription: "How long the credentials live, 15m to 12h.", Optional: true, Validators: []validator.String{duration{least: 15 * time.Minute, most: 12 * time.Hour}},
	}
}

func accountIDs(description, other string) schema.SetAttribute {
	return schema.SetAttribute{
		MarkdownDescription: description, ElementType: types.StringType, Optional: true,
		Validators: []validator.Set{
			setvalidator.ValueStringsAre(matches(accountIDPattern, "must be 12 digits")),
			setvalidator.ConflictsWith(path.MatchRoot(other)),
		},
	}
}
