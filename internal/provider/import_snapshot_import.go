package provider

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// importID is import-snap-... or snap-..., with an optional @region.
var importID = regexp.MustCompile(`^((?:import-)?snap-[0-9a-z]+)(?:@([a-z0-9-]+))?$`)

// ImportState adopts an import by its task, by its snapshot, or by identity. Read fills what EC2 tells; the rest is taken from the
// configuration by one update in place that calls nothing (P24).
func (r *importSnapshotResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	if r.data == nil || !r.data.known {
		resp.Diagnostics.AddError("Provider Configuration Not Known", "An import needs a provider configuration whose values are all known.")
		return
	}
	var id, region string
	if req.ID != "" {
		parts := importID.FindStringSubmatch(req.ID)
		if parts == nil {
			resp.Diagnostics.AddError("Invalid Import Id", fmt.Sprintf("%q is no id of an import: give import-snap-..., or the snap-... it made, "+
				"each with @region where it is not the provider's Region.", req.ID))
			return
		}
		id, region = parts[1], parts[2]
	} else {
		var task, where types.String
		resp.Diagnostics.Append(req.Identity.GetAttribute(ctx, path.Root("import_task_id"), &task)...)
		resp.Diagnostics.Append(req.Identity.GetAttribute(ctx, path.Root("region"), &where)...)
		id, region = task.ValueString(), where.ValueString()
	}
	if id == "" && !resp.Diagnostics.HasError() {
		resp.Diagnostics.AddError("Invalid Import Id", "The id is empty: give import-snap-..., or the snap-... it made, each with @region where it is not the "+
			"provider's Region.")
	}
	if region == "" && !resp.Diagnostics.HasError() {
		var err error
		if region, err = r.data.defaultRegion(ctx); err != nil {
			resp.Diagnostics.AddError("No Region", err.Error())
		}
	}
	if resp.Diagnostics.HasError() {
		return
	}
	conn, err := r.data.connect(ctx, region)
	if err != nil {
		resp.Diagnostics.Append(notConnected(ctx, err))
		return
	}

	taskID, snapshotID, err := conn.resolve(ctx, id)
	if err != nil {
		resp.Diagnostics.Append(callFailed(ctx, "Unable to Import", "There is no import snapshot task to adopt for "+id+" in "+region, err))
		return
	}
	for attribute, value := range map[string]any{
		"import_task_id": taskID, "snapshot_id": snapshotID, "region": region, "preflight": true,
		"timeouts": types.ObjectNull(timeoutsTypes),
	} {
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root(attribute), value)...)
	}
	m := importSnapshotModel{ImportTaskID: types.StringValue(taskID), Region: types.StringValue(region)}
	resp.Diagnostics.Append(setIdentity(ctx, resp.Identity, &m)...)
	resp.Diagnostics.Append(setAdopted(ctx, resp.Private, true)...)
}

// resolve finds the task of an id, and the snapshot where that is what was named.
func (c *connection) resolve(ctx context.Context, id string) (taskID string, snapshotID *string, err error) {
	if strings.HasPrefix(id, "import-snap-") {
		task, err := c.Tasks.Describe(ctx, id)
		if err != nil {
			return "", nil, err
		}
		if task == nil {
			return "", nil, fmt.Errorf("EC2 does not know the task; it forgets finished ones after some days: import by the snapshot's id instead")
		}
		return id, nil, nil
	}
	s, err := c.snapshot(ctx, id)
	if err != nil {
		return "", nil, err
	}
	if s == nil {
		return "", nil, fmt.Errorf("EC2 does not know the snapshot")
	}
	taskID = taskOf(aws.ToString(s.Description))
	if taskID == "" {
		return "", nil, fmt.Errorf("the snapshot was not made by VM Import: its description is %q, not \"Created by AWS-VMImport service for import-snap-...\"",
			aws.ToString(s.Description))
	}
	return taskID, &id, nil
}

// adoptedKey marks, in the private state, a resource whose request EC2 does not tell in full.
const adoptedKey = "adopted"

// privateReader and privateWriter are the private states of requests and responses, whose type the framework does not export.
type privateReader interface {
	GetKey(ctx context.Context, key string) ([]byte, diag.Diagnostics)
}

type privateWriter interface {
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}

func isAdopted(ctx context.Context, private privateReader) (bool, diag.Diagnostics) {
	value, diags := private.GetKey(ctx, adoptedKey)
	return string(value) == "true", diags
}

func setAdopted(ctx context.Context, private privateWriter, adopted bool) diag.Diagnostics {
	if !adopted {
		return private.SetKey(ctx, adoptedKey, nil)
	}
	return private.SetKey(ctx, adoptedKey, []byte("true"))
}

func setIdentity(ctx context.Context, identity *tfsdk.ResourceIdentity, m *importSnapshotModel) diag.Diagnostics {
	if identity == nil {
		return nil
	}
	diags := identity.SetAttribute(ctx, path.Root("import_task_id"), m.ImportTaskID)
	diags.Append(identity.SetAttribute(ctx, path.Root("region"), m.Region)...)
	return diags
}
