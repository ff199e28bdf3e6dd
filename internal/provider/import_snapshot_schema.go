package provider

import (
	"context"
	"regexp"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework-validators/float64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// Schema describes ec2_import_snapshot. Which change replaces the snapshot is decided in import_snapshot_plan.go, not by plan modifiers here,
// because several attributes must be compared by meaning (a key by its id, a time by its instant) and adoption changes the answer.
func (r *importSnapshotResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Imports a disk image from Amazon S3 into an EBS snapshot with [VM Import/Export]" +
			"(https://docs.aws.amazon.com/vm-import/latest/userguide/vmimport-import-snapshot.html) (`ImportSnapshot`).",
		Attributes: map[string]schema.Attribute{
			"disk_container": diskContainerAttribute(),
			"description": schema.StringAttribute{
				MarkdownDescription: "Description of the import task, 1 to 255 characters. EC2 does not put it on the snapshot: see `snapshot_description`. A change replaces the snapshot.",
				Optional:            true,
				Validators:          []validator.String{stringvalidator.UTF8LengthBetween(1, 255)},
			},
			"client_data": clientDataAttribute(),
			"client_token": schema.StringAttribute{
				MarkdownDescription: "Idempotency token, 1 to 64 printable ASCII characters. With it an apply after a killed Terraform process continues " +
					"the same task. Unset: a random one per create, not stored. A change replaces the snapshot, and a replacement for another reason " +
					"needs a new token. Give each resource of an account and Region a token of its own: the same request under the same token is " +
					"the same import, also from another state, and the destroy of either resource deletes the snapshot of both.",
				Optional:   true,
				Validators: []validator.String{matches(`^[\x20-\x7e]{1,64}$`, "must be 1 to 64 printable ASCII characters")},
			},
			"encrypted": schema.BoolAttribute{
				MarkdownDescription: "Whether the snapshot is encrypted. Unset: what EC2 does by the account's default. A change replaces the snapshot.",
				Optional:            true,
				Computed:            true,
			},
			"kms_key_id": schema.StringAttribute{
				MarkdownDescription: "KMS key for the snapshot: key id, key ARN, `alias/name` or alias ARN. Needs `encrypted = true`. Kept as written; " +
					"the resolved key is in `kms_key_arn`. A change replaces the snapshot, unless both name the same key.",
				Optional: true,
				Validators: []validator.String{matches(kmsKeyPattern,
					"must be a key id (a UUID or mrk-...), a key ARN, an alias (alias/name) or an alias ARN")},
			},
			"role_name": schema.StringAttribute{
				MarkdownDescription: "Name of the service role that VM Import assumes. EC2 uses `vmimport` when it is unset. A change calls nothing.",
				Optional:            true,
				Validators:          []validator.String{matches(`^[\w+=,.@-]{1,64}$`, "must be a role's name (not its ARN): 1 to 64 letters, digits or +=,.@-_")},
			},
			"dry_run": schema.BoolAttribute{
				MarkdownDescription: "Ask EC2 while planning whether the caller may start this import, with its tags (`DryRun`); the apply imports as usual. A refusal fails the plan and, " +
					"where EC2 or STS tells it, names the missing permission. Where a value that EC2 would be sent is known only after the apply, nothing is asked. " +
					"A dry run cannot see the service role, the object, the bucket's Region or the key: EC2 looks at those only when " +
					"the import is really asked for, or while it runs.",
				Optional: true,
			},
			"tags": schema.MapAttribute{
				MarkdownDescription: "Tags of the snapshot, and of the import task unless `task_tags` is set.",
				ElementType:         types.StringType,
				Optional:            true,
				Validators:          []validator.Map{tagMap{}},
			},
			"tags_all": schema.MapAttribute{
				MarkdownDescription: "All tags of the snapshot, with those of the provider's `default_tags`.",
				ElementType:         types.StringType,
				Computed:            true,
			},
			"task_tags": schema.MapAttribute{
				MarkdownDescription: "Tags of the import task, where they differ from `tags`. The provider's `default_tags` are added. Changed in place while EC2 knows the task.",
				ElementType:         types.StringType,
				Optional:            true,
				Validators:          []validator.Map{tagMap{}},
			},
			"source_hash": schema.StringAttribute{
				MarkdownDescription: "Any text that stands for the image's content, for example `filesha256(\"disk.vmdk\")`. A change imports the image again. " +
					"A new image at the same key alone does not: plans warn of it.",
				Optional:   true,
				Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"storage_tier": schema.StringAttribute{
				MarkdownDescription: "`standard` or `archive`. The move is asked for, not waited for: archiving or restoring takes EC2 up to 72 hours.",
				Optional:            true,
				Computed:            true,
				Validators:          []validator.String{stringvalidator.OneOf("standard", "archive")},
			},
			"temporary_restore_days": schema.Int64Attribute{
				MarkdownDescription: "For how many days (1 to 180) an archived snapshot is restored when `storage_tier` goes back to `standard`. Unset: for ever. " +
					"When the days are over EC2 has it in the archive only, and the plan shows `storage_tier` changed: set `archive`, or apply to restore it again.",
				Optional:   true,
				Validators: []validator.Int64{int64validator.Between(1, 180)},
			},
			"skip_destroy": schema.BoolAttribute{
				MarkdownDescription: "Destroy only forgets: the snapshot, or a task still running, stays on AWS.",
				Optional:            true,
			},
			"preflight": schema.BoolAttribute{
				MarkdownDescription: "Look at the image, at 1 MiB of an object at most: the plan warns of what VM Import would refuse minutes later, and the apply refuses it just before " +
					"the import. What may not be read is left to EC2. " +
					"Later plans ask whether the object is still the one that was imported, by its ETag, and warn if it is not. Default `true`.",
				Optional: true,
				Computed: true,
				Default:  booldefault.StaticBool(true),
			},
			"region": schema.StringAttribute{
				MarkdownDescription: "Region of the import, where it is not the provider's. A change replaces the snapshot.",
				Optional:            true,
				Computed:            true,
				Validators:          []validator.String{matches(regionPattern, isNoRegion)},
			},
			"timeouts": timeouts.Attributes(ctx, timeouts.Opts{
				Create: true, Read: true, Update: true, Delete: true,
				CreateDescription: "How long to wait for the import, default `3h`. A duration such as `90m`.",
				ReadDescription:   "How long a refresh may take, default `20m`.",
				UpdateDescription: "How long an update may take, default `3h`: an interrupted import is waited for in an update.",
				DeleteDescription: "How long a destroy may take, default `30m`.",
			}),

			"import_task_id":         computedString("Id of the import task, `import-snap-...`."),
			"snapshot_id":            computedString("Id of the snapshot, `snap-...`. Null until the import is complete and tagging was tried."),
			"arn":                    computedString("ARN of the snapshot."),
			"snapshot_description":   computedString("Description of the snapshot, written by VM Import."),
			"owner_id":               computedString("Account that owns the snapshot."),
			"owner_alias":            computedString("Alias of the owner, where AWS gives one."),
			"kms_key_arn":            computedString("ARN of the KMS key of an encrypted snapshot."),
			"data_encryption_key_id": computedString("Id of the data encryption key of an encrypted snapshot."),
			"outpost_arn":            computedString("ARN of the Outpost that holds the snapshot."),
			"start_time":             computedString("When the snapshot was started, RFC 3339."),
			"volume_size": schema.Int64Attribute{
				MarkdownDescription: "Size of a volume made of the snapshot, in GiB.",
				Computed:            true,
			},
			"volume_path":          computedString("Local backend only: path of the raw file that holds the snapshot's bytes, as long as the image's virtual size."),
			"volume_sha256":        computedString("Local backend with `checksum` only: SHA-256 of that file, in hexadecimal."),
			"snapshot_task_detail": taskDetailAttribute(),
			"source":               sourceAttribute(),
		},
	}
}

// IdentitySchema identifies an import by its task: the snapshot's id is unknown until the import is complete, and an identity must not change.
func (r *importSnapshotResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{
		Attributes: map[string]identityschema.Attribute{
			"import_task_id": identityschema.StringAttribute{Description: "Id of the import task, import-snap-...", RequiredForImport: true},
			"region":         identityschema.StringAttribute{Description: "Region of the import; the provider's when unset.", OptionalForImport: true},
		},
	}
}

func computedString(description string) schema.StringAttribute {
	return schema.StringAttribute{MarkdownDescription: description, Computed: true}
}

func matches(pattern, message string) validator.String {
	return stringvalidator.RegexMatches(regexp.MustCompile(pattern), message)
}

// regionPattern is the form of every Region there is or may be (us-east-1, us-gov-west-1, ap-southeast-5); EC2 knows which exist.
const (
	regionPattern = `^[a-z]{2,}(-[a-z]+)+-\d{1,2}$`
	isNoRegion    = "must be a Region's name, such as eu-central-1"
)

const kmsKeyPattern = `^(` + kmsKeyIDPattern + `|alias/[\w/-]{1,250}|arn:aws[\w-]*:kms:[a-z0-9-]+:\d{12}:(key/` + kmsKeyIDPattern + `|alias/[\w/-]{1,250}))$`

const kmsKeyIDPattern = `(?:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|mrk-[0-9a-f]{32})`

func diskContainerAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		MarkdownDescription: "The disk image. Exactly one of `url` and `user_bucket`. A change replaces the snapshot.",
		Required:            true,
		Attributes: map[string]schema.Attribute{
			"url": schema.StringAttribute{
				MarkdownDescription: "Where the image is: `s3://bucket/key` (the key literal, nothing is percent-decoded) or `https://...`.",
				Optional:            true,
				Validators: []validator.String{
					imageURL{},
					stringvalidator.ExactlyOneOf(path.MatchRelative().AtParent().AtName("user_bucket")),
				},
			},
			"user_bucket": schema.SingleNestedAttribute{
				MarkdownDescription: "Where the image is, as bucket and key.",
				Optional:            true,
				Attributes: map[string]schema.Attribute{
					"s3_bucket": schema.StringAttribute{
						MarkdownDescription: "Name of the S3 bucket. It must be in the Region of the import.",
						Required:            true,
						Validators: []validator.String{matches(`^[a-zA-Z0-9][a-zA-Z0-9._-]{1,61}[a-zA-Z0-9]$`,
							"must be a bucket's name: 3 to 63 letters, digits, dots, hyphens")},
					},
					"s3_key": schema.StringAttribute{
						MarkdownDescription: "Key of the object, 1 to 1024 bytes.",
						Required:            true,
						Validators:          []validator.String{stringvalidator.LengthBetween(1, 1024)},
					},
				},
			},
			"format": schema.StringAttribute{
				MarkdownDescription: "`raw`, `vhd`, `vhdx` or `vmdk`, in any case. Unset: EC2 detects it. Changing the case, or naming the format where none was named, replaces nothing.",
				Optional:            true,
				Validators:          []validator.String{stringvalidator.OneOfCaseInsensitive("raw", "vhd", "vhdx", "vmdk")},
			},
			"description": schema.StringAttribute{
				MarkdownDescription: "Description of the disk image, 1 to 255 characters.",
				Optional:            true,
				Validators:          []validator.String{stringvalidator.UTF8LengthBetween(1, 255)},
			},
		},
	}
}

func clientDataAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		MarkdownDescription: "What the client says of its upload. EC2 never returns it. A change replaces the snapshot.",
		Optional:            true,
		Attributes: map[string]schema.Attribute{
			"comment": schema.StringAttribute{MarkdownDescription: "A comment about the upload.", Optional: true},
			"upload_start": schema.StringAttribute{
				MarkdownDescription: "When the upload began, RFC 3339.", Optional: true, CustomType: timetypes.RFC3339Type{},
			},
			"upload_end": schema.StringAttribute{
				MarkdownDescription: "When the upload ended, RFC 3339; not before `upload_start`.", Optional: true, CustomType: timetypes.RFC3339Type{},
			},
			"upload_size": schema.Float64Attribute{
				MarkdownDescription: "Size of the uploaded image in GiB.", Optional: true,
				Validators: []validator.Float64{float64validator.AtLeast(0)},
			},
		},
	}
}

func taskDetailAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		MarkdownDescription: "The import task as EC2 last described it (`SnapshotTaskDetail`). Kept when EC2 has forgotten the task.",
		Computed:            true,
		Attributes: map[string]schema.Attribute{
			"description":     computedString("Description of the task."),
			"disk_image_size": schema.Int64Attribute{MarkdownDescription: "Size of the image object in bytes.", Computed: true},
			"encrypted":       schema.BoolAttribute{MarkdownDescription: "Whether the snapshot is encrypted.", Computed: true},
			"format":          computedString("Format of the image, as given or as EC2 detected it."),
			"kms_key_id":      computedString("KMS key of the snapshot."),
			"progress":        computedString("Percentage done, while the task runs."),
			"snapshot_id":     computedString("Id of the snapshot."),
			"status":          computedString("Status of the task."),
			"status_message":  computedString("EC2's words on the status."),
			"url":             computedString("URL of the image."),
			"user_bucket": schema.SingleNestedAttribute{
				MarkdownDescription: "Bucket and key of the image.",
				Computed:            true,
				Attributes: map[string]schema.Attribute{
					"s3_bucket": computedString("Name of the S3 bucket."),
					"s3_key":    computedString("Key of the object."),
				},
			},
		},
	}
}

func sourceAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		MarkdownDescription: "What `preflight` saw of the image just before the import; null where it could not look. Of a large image, headers and footers decide.",
		Computed:            true,
		Attributes: map[string]schema.Attribute{
			"format":             computedString("Format by content, such as `VMDK`."),
			"sub_format":         computedString("Kind within the format, such as `streamOptimized`."),
			"virtual_size_bytes": schema.Int64Attribute{MarkdownDescription: "Size of the disk in bytes.", Computed: true},
			"object_size_bytes":  schema.Int64Attribute{MarkdownDescription: "Size of the object in bytes.", Computed: true},
			"etag":               computedString("ETag of the object."),
			"version_id":         computedString("Version of the object, in a versioned bucket."),
			"importable":         schema.BoolAttribute{MarkdownDescription: "Whether VM Import takes the image as it is; null where 1 MiB of it does not tell.", Computed: true},
			"reason":             computedString("Why not, with the cure, or why that is not known."),
		},
	}
}
