package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// awsSnapshotImport is what the state of aws_ebs_snapshot_import tells; its other attributes are read from EC2 by the refresh that follows. Its
// description is the one VM Import wrote on the snapshot (P1), which names the task.
type awsSnapshotImport struct {
	ID                   string            `json:"id"`
	ARN                  string            `json:"arn"`
	Description          string            `json:"description"`
	Region               string            `json:"region"`
	KmsKeyID             string            `json:"kms_key_id"`
	RoleName             string            `json:"role_name"`
	TemporaryRestoreDays int64             `json:"temporary_restore_days"`
	Tags                 map[string]string `json:"tags"`
	DiskContainer        []struct {
		Description string `json:"description"`
		Format      string `json:"format"`
		URL         string `json:"url"`
		UserBucket  []struct {
			Bucket string `json:"s3_bucket"`
			Key    string `json:"s3_key"`
		} `json:"user_bucket"`
	} `json:"disk_container"`
}

// MoveState takes over a resource of hashicorp/aws by a moved block, without a call and without a new import (rule 7).
func (r *importSnapshotResource) MoveState(context.Context) []resource.StateMover {
	return []resource.StateMover{{StateMover: moveFromAWS}}
}

func moveFromAWS(ctx context.Context, req resource.MoveStateRequest, resp *resource.MoveStateResponse) {
	// The type decides: some versions of OpenTofu send a wrong address of the source's provider.
	if req.SourceTypeName != "aws_ebs_snapshot_import" || req.SourceRawState == nil {
		return
	}
	var old awsSnapshotImport
	if err := json.Unmarshal(req.SourceRawState.JSON, &old); err != nil {
		resp.Diagnostics.AddError("Unable to Move", "The state of aws_ebs_snapshot_import could not be read: "+err.Error())
		return
	}
	taskID := taskOf(old.Description)
	if taskID == "" {
		resp.Diagnostics.AddError("Unable to Move", fmt.Sprintf("The state of %s does not name its import task: its description is %q. "+
			"Run terraform apply -refresh-only with hashicorp/aws first, or import the snapshot by its id.", old.ID, old.Description))
		return
	}
	if old.Region == "" { // before version 6 of hashicorp/aws; arn:aws:ec2:REGION::snapshot/ID
		if fields := strings.Split(old.ARN, ":"); len(fields) > 3 {
			old.Region = fields[3]
		}
	}
	m := importSnapshotModel{ImportTaskID: types.StringValue(taskID), Region: text(&old.Region)}
	for attribute, value := range map[string]attr.Value{
		"import_task_id": m.ImportTaskID, "region": m.Region, "snapshot_id": types.StringValue(old.ID), "disk_container": old.container(),
		"kms_key_id": text(&old.KmsKeyID), "role_name": text(&old.RoleName), "preflight": types.BoolValue(true), "timeouts": types.ObjectNull(timeoutsTypes),
	} {
		resp.Diagnostics.Append(resp.TargetState.SetAttribute(ctx, path.Root(attribute), value)...)
	}
	if old.TemporaryRestoreDays > 0 {
		resp.Diagnostics.Append(resp.TargetState.SetAttribute(ctx, path.Root("temporary_restore_days"), old.TemporaryRestoreDays)...)
	}
	if len(old.Tags) > 0 {
		resp.Diagnostics.Append(resp.TargetState.SetAttribute(ctx, path.Root("tags"), old.Tags)...)
	}
	resp.Diagnostics.Append(setIdentity(ctx, resp.TargetIdentity, &m)...)
	resp.Diagnostics.Append(setAdopted(ctx, resp.TargetPrivate, true)...)
}

// container is the disk container in this provider's shape.
func (s awsSnapshotImport) container() types.Object {
	if len(s.DiskContainer) == 0 {
		return types.ObjectNull(diskContainerTypes)
	}
	old := s.DiskContainer[0]
	bucket := types.ObjectNull(userBucketTypes)
	if len(old.UserBucket) > 0 {
		bucket = types.ObjectValueMust(userBucketTypes, map[string]attr.Value{
			"s3_bucket": types.StringValue(old.UserBucket[0].Bucket), "s3_key": types.StringValue(old.UserBucket[0].Key),
		})
	}
	return types.ObjectValueMust(diskContainerTypes, map[string]attr.Value{
		"url": text(&old.URL), "user_bucket": bucket, "format": text(&old.Format), "description": text(&old.Description),
	})
}
