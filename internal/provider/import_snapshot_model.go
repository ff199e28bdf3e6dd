package provider

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/importtask"
)

// importSnapshotModel is the resource's configuration, plan and state. Nothing here calls anything.
type importSnapshotModel struct {
	DiskContainer        types.Object   `tfsdk:"disk_container"`
	Description          types.String   `tfsdk:"description"`
	ClientData           types.Object   `tfsdk:"client_data"`
	ClientToken          types.String   `tfsdk:"client_token"`
	Encrypted            types.Bool     `tfsdk:"encrypted"`
	KmsKeyID             types.String   `tfsdk:"kms_key_id"`
	RoleName             types.String   `tfsdk:"role_name"`
	DryRun               types.Bool     `tfsdk:"dry_run"`
	Tags                 types.Map      `tfsdk:"tags"`
	TagsAll              types.Map      `tfsdk:"tags_all"`
	TaskTags             types.Map      `tfsdk:"task_tags"`
	SourceHash           types.String   `tfsdk:"source_hash"`
	StorageTier          types.String   `tfsdk:"storage_tier"`
	TemporaryRestoreDays types.Int64    `tfsdk:"temporary_restore_days"`
	SkipDestroy          types.Bool     `tfsdk:"skip_destroy"`
	Preflight            types.Bool     `tfsdk:"preflight"`
	Region               types.String   `tfsdk:"region"`
	Timeouts             timeouts.Value `tfsdk:"timeouts"`

	ImportTaskID        types.String `tfsdk:"import_task_id"`
	SnapshotID          types.String `tfsdk:"snapshot_id"`
	ARN                 types.String `tfsdk:"arn"`
	SnapshotDescription types.String `tfsdk:"snapshot_description"`
	OwnerID             types.String `tfsdk:"owner_id"`
	OwnerAlias          types.String `tfsdk:"owner_alias"`
	VolumeSize          types.Int64  `tfsdk:"volume_size"`
	KmsKeyARN           types.String `tfsdk:"kms_key_arn"`
	DataEncryptionKeyID types.String `tfsdk:"data_encryption_key_id"`
	OutpostARN          types.String `tfsdk:"outpost_arn"`
	StartTime           types.String `tfsdk:"start_time"`
	SnapshotTaskDetail  types.Object `tfsdk:"snapshot_task_detail"`
	Source              types.Object `tfsdk:"source"`
	VolumePath          types.String `tfsdk:"volume_path"`
	VolumeSHA256        types.String `tfsdk:"volume_sha256"`
}

type diskContainerModel struct {
	URL         types.String `tfsdk:"url"`
	UserBucket  types.Object `tfsdk:"user_bucket"`
	Format      types.String `tfsdk:"format"`
	Description types.String `tfsdk:"description"`
}

type userBucketModel struct {
	S3Bucket types.String `tfsdk:"s3_bucket"`
	S3Key    types.String `tfsdk:"s3_key"`
}

type clientDataModel struct {
	Comment     types.String      `tfsdk:"comment"`
	UploadStart timetypes.RFC3339 `tfsdk:"upload_start"`
	UploadEnd   timetypes.RFC3339 `tfsdk:"upload_end"`
	UploadSize  types.Float64     `tfsdk:"upload_size"`
}

type taskDetailModel struct {
	Description   types.String `tfsdk:"description"`
	DiskImageSize types.Int64  `tfsdk:"disk_image_size"`
	Encrypted     types.Bool   `tfsdk:"encrypted"`
	Format        types.String `tfsdk:"format"`
	KmsKeyID      types.String `tfsdk:"kms_key_id"`
	Progress      types.String `tfsdk:"progress"`
	SnapshotID    types.String `tfsdk:"snapshot_id"`
	Status        types.String `tfsdk:"status"`
	StatusMessage types.String `tfsdk:"status_message"`
	URL           types.String `tfsdk:"url"`
	UserBucket    types.Object `tfsdk:"user_bucket"`
}

var (
	userBucketTypes = map[string]attr.Type{"s3_bucket": types.StringType, "s3_key": types.StringType}

	diskContainerTypes = map[string]attr.Type{
		"url": types.StringType, "user_bucket": types.ObjectType{AttrTypes: userBucketTypes}, "format": types.StringType, "description": types.StringType,
	}
	clientDataTypes = map[string]attr.Type{
		"comment": types.StringType, "upload_start": timetypes.RFC3339Type{}, "upload_end": timetypes.RFC3339Type{}, "upload_size": types.Float64Type,
	}
	sourceTypes = map[string]attr.Type{
		"format": types.StringType, "sub_format": types.StringType, "virtual_size_bytes": types.Int64Type, "object_size_bytes": types.Int64Type,
		"etag": types.StringType, "version_id": types.StringType, "importable": types.BoolType, "reason": types.StringType,
	}
	taskDetailTypes = map[string]attr.Type{
		"description": types.StringType, "disk_image_size": types.Int64Type, "encrypted": types.BoolType, "format": types.StringType,
		"kms_key_id": types.StringType, "progress": types.StringType, "snapshot_id": types.StringType, "status": types.StringType,
		"status_message": types.StringType, "url": types.StringType, "user_bucket": types.ObjectType{AttrTypes: userBucketTypes},
	}
	timeoutsTypes = map[string]attr.Type{
		"create": types.StringType, "read": types.StringType, "update": types.StringType, "delete": types.StringType,
	}
)

// members reads an object of the configuration whose members may be null or unknown; a null or unknown object leaves target as it is.
func members(ctx context.Context, object types.Object, target any) diag.Diagnostics {
	if object.IsNull() || object.IsUnknown() {
		return nil
	}
	return object.As(ctx, target, basetypes.ObjectAsOptions{})
}

// container is the disk container with its bucket, each null where the configuration has none.
func (m *importSnapshotModel) container(ctx context.Context) (diskContainerModel, userBucketModel, diag.Diagnostics) {
	var c diskContainerModel
	var b userBucketModel
	diags := members(ctx, m.DiskContainer, &c)
	diags.Append(members(ctx, c.UserBucket, &b)...)
	return c, b, diags
}

// location is where the image is; false where that is not known.
func (m *importSnapshotModel) location(ctx context.Context) (imagesource.Location, bool) {
	c, b, diags := m.container(ctx)
	if diags.HasError() {
		return imagesource.Location{}, false
	}
	if url := c.URL.ValueString(); url != "" {
		l, err := imagesource.ParseURL(url)
		return l, err == nil
	}
	l := imagesource.Location{Bucket: b.S3Bucket.ValueString(), Key: b.S3Key.ValueString()}
	return l, l.Bucket != "" && l.Key != ""
}

// importRequest is the ImportSnapshot request of a fully known plan, but for the task's tags. Absent members are absent, never zero (P5).
func (m *importSnapshotModel) importRequest(ctx context.Context) (*ec2.ImportSnapshotInput, diag.Diagnostics) {
	c, b, diags := m.container(ctx)
	in := &ec2.ImportSnapshotInput{
		ClientToken: m.ClientToken.ValueStringPointer(),
		Description: m.Description.ValueStringPointer(),
		DiskContainer: &ec2types.SnapshotDiskContainer{
			Description: c.Description.ValueStringPointer(),
			Url:         c.URL.ValueStringPointer(),
		},
		Encrypted: m.Encrypted.ValueBoolPointer(),
		KmsKeyId:  m.KmsKeyID.ValueStringPointer(),
		RoleName:  m.RoleName.ValueStringPointer(),
	}
	if m.Encrypted.IsUnknown() {
		in.Encrypted = nil
	}
	if !c.Format.IsNull() {
		in.DiskContainer.Format = aws.String(strings.ToUpper(c.Format.ValueString()))
	}
	if !c.UserBucket.IsNull() {
		in.DiskContainer.UserBucket = &ec2types.UserBucket{S3Bucket: b.S3Bucket.ValueStringPointer(), S3Key: b.S3Key.ValueStringPointer()}
	}
	if !m.ClientData.IsNull() {
		var d clientDataModel
		diags.Append(members(ctx, m.ClientData, &d)...)
		in.ClientData = &ec2types.ClientData{
			Comment: d.Comment.ValueStringPointer(), UploadSize: d.UploadSize.ValueFloat64Pointer(),
			UploadStart: instant(d.UploadStart, &diags), UploadEnd: instant(d.UploadEnd, &diags),
		}
	}
	return in, diags
}

func instant(v timetypes.RFC3339, diags *diag.Diagnostics) *time.Time {
	if v.IsNull() || v.IsUnknown() {
		return nil
	}
	t, d := v.ValueRFC3339Time()
	diags.Append(d...)
	return &t
}

// marker stands for what a request imports, so that a task whose creator died can be found again from the same configuration (P6).
// Tags and the token are no part of it: they may change between the two runs.
func marker(region string, in *ec2.ImportSnapshotInput) string {
	request := *in
	request.ClientToken, request.TagSpecifications, request.DryRun = nil, nil, nil
	// Marshalling plain strings, numbers and times cannot fail.
	text, err := json.Marshal(struct {
		Region  string
		Request ec2.ImportSnapshotInput
	}{region, request})
	if err != nil {
		panic("marker of an import request: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// taskTags are the tags of the task without the marker: task_tags where set, else tags, each with the provider's default tags.
func (m *importSnapshotModel) taskTags(defaults map[string]string) map[string]string {
	if m.TaskTags.IsNull() {
		return goTags(m.TagsAll)
	}
	tags := maps.Clone(defaults)
	if tags == nil {
		tags = map[string]string{}
	}
	maps.Copy(tags, goTags(m.TaskTags))
	return tags
}

// tagSpecifications are the tags of the task as the request carries them, the marker with them.
func (m *importSnapshotModel) tagSpecifications(region string, in *ec2.ImportSnapshotInput, defaults map[string]string) []ec2types.TagSpecification {
	tags := m.taskTags(defaults)
	tags[importtask.MarkerTag] = marker(region, in)
	return []ec2types.TagSpecification{{ResourceType: ec2types.ResourceTypeImportSnapshotTask, Tags: ec2Tags(tags)}}
}

// startedAs is the state right behind the start of a task.
func (m *importSnapshotModel) startedAs(task importtask.Task) {
	m.ImportTaskID = types.StringValue(task.ID)
	m.setTask(task)
	m.unfinished()
}

// unfinished makes null what the end of the import will fill, since Terraform stores no unknown values.
func (m *importSnapshotModel) unfinished() {
	for _, s := range m.endStrings() {
		*s = types.StringNull()
	}
	m.VolumeSize = types.Int64Null()
	if m.Encrypted.IsUnknown() {
		m.Encrypted = types.BoolNull()
	}
	if m.StorageTier.IsUnknown() {
		m.StorageTier = types.StringNull()
	}
}

// endStrings are the texts that the end of an import fills.
func (m *importSnapshotModel) endStrings() []*types.String {
	return []*types.String{
		&m.SnapshotID, &m.ARN, &m.SnapshotDescription, &m.OwnerID, &m.OwnerAlias, &m.KmsKeyARN, &m.DataEncryptionKeyID, &m.OutpostARN, &m.StartTime,
		&m.VolumePath, &m.VolumeSHA256,
	}
}

// setTask keeps what EC2 says of the task. SnapshotId "" and other empty members are null (P28).
func (m *importSnapshotModel) setTask(task importtask.Task) {
	d := task.Detail
	detail := map[string]attr.Value{
		"description":     types.StringPointerValue(d.Description),
		"disk_image_size": types.Int64Null(),
		"encrypted":       types.BoolPointerValue(d.Encrypted),
		"format":          types.StringPointerValue(d.Format),
		"kms_key_id":      types.StringPointerValue(d.KmsKeyId),
		"progress":        types.StringPointerValue(d.Progress),
		"snapshot_id":     types.StringPointerValue(d.SnapshotId),
		"status":          types.StringPointerValue(d.Status),
		"status_message":  types.StringPointerValue(d.StatusMessage),
		"url":             types.StringPointerValue(d.Url),
		"user_bucket":     types.ObjectNull(userBucketTypes),
	}
	if d.DiskImageSize != nil {
		detail["disk_image_size"] = types.Int64Value(int64(*d.DiskImageSize))
	}
	if b := d.UserBucket; b != nil {
		detail["user_bucket"] = types.ObjectValueMust(userBucketTypes, map[string]attr.Value{
			"s3_bucket": types.StringPointerValue(b.S3Bucket), "s3_key": types.StringPointerValue(b.S3Key),
		})
	}
	m.SnapshotTaskDetail = types.ObjectValueMust(taskDetailTypes, detail)
}

// taskSettled tells whether the task was complete when it was last seen.
func (m *importSnapshotModel) taskSettled(ctx context.Context) bool {
	var d taskDetailModel
	if members(ctx, m.SnapshotTaskDetail, &d).HasError() {
		return false
	}
	return importtask.Task{Detail: ec2types.SnapshotTaskDetail{Status: d.Status.ValueStringPointer()}}.Outcome() == importtask.Completed
}

// adopt fills from a task what an imported resource does not know yet: the container as far as EC2 tells it, and the description.
func (m *importSnapshotModel) adopt(task importtask.Task) {
	d := task.Detail
	c := map[string]attr.Value{
		"url": types.StringPointerValue(d.Url), "user_bucket": types.ObjectNull(userBucketTypes),
		"format": types.StringPointerValue(d.Format), "description": types.StringNull(),
	}
	// EC2 derives the bucket of an s3:// url: the url is what was given.
	if b := d.UserBucket; b != nil && d.Url == nil {
		c["user_bucket"] = types.ObjectValueMust(userBucketTypes, map[string]attr.Value{
			"s3_bucket": types.StringPointerValue(b.S3Bucket), "s3_key": types.StringPointerValue(b.S3Key),
		})
	}
	m.DiskContainer = types.ObjectValueMust(diskContainerTypes, c)
	m.Description = types.StringNull()
	if task.Description != "" {
		m.Description = types.StringValue(task.Description)
	}
}

// setSnapshot fills what DescribeSnapshots tells. Encrypted stays as configured where it is (only an unset one follows EC2: P2).
func (m *importSnapshotModel) setSnapshot(s ec2types.Snapshot, partition, region string) {
	m.SnapshotID = types.StringPointerValue(s.SnapshotId)
	m.ARN = types.StringValue("arn:" + partition + ":ec2:" + region + "::snapshot/" + aws.ToString(s.SnapshotId))
	m.SnapshotDescription = text(s.Description)
	m.OwnerID, m.OwnerAlias = text(s.OwnerId), text(s.OwnerAlias)
	m.KmsKeyARN, m.DataEncryptionKeyID, m.OutpostARN = text(s.KmsKeyId), text(s.DataEncryptionKeyId), text(s.OutpostArn)
	m.VolumeSize = types.Int64Null()
	if s.VolumeSize != nil {
		m.VolumeSize = types.Int64Value(int64(*s.VolumeSize))
	}
	m.StartTime = types.StringNull()
	if s.StartTime != nil {
		m.StartTime = types.StringValue(s.StartTime.UTC().Format(time.RFC3339))
	}
	if m.Encrypted.IsNull() || m.Encrypted.IsUnknown() {
		m.Encrypted = types.BoolValue(aws.ToBool(s.Encrypted))
	}
	if m.StorageTier.IsNull() || m.StorageTier.IsUnknown() {
		m.StorageTier = types.StringValue(tierOf(s))
	}
}

// tierOf is the snapshot's tier; emulators and old answers leave the member out for the standard one.
func tierOf(s ec2types.Snapshot) string {
	if s.StorageTier == "" {
		return string(ec2types.StorageTierStandard)
	}
	return string(s.StorageTier)
}

func text(p *string) types.String {
	if aws.ToString(p) == "" {
		return types.StringNull()
	}
	return types.StringPointerValue(p)
}

func ec2Tags(tags map[string]string) []ec2types.Tag {
	list := make([]ec2types.Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, ec2types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return list
}
