package provider

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/awsclient"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/importtask"
)

// refresh brings m up to date. It reports true where EC2 has neither the snapshot nor an unfinished task any more.
func (r *importSnapshotResource) refresh(ctx context.Context, conn *connection, m *importSnapshotModel, adopted bool) (gone bool, diags diag.Diagnostics) {
	taskID := m.ImportTaskID.ValueString()
	unfinished := m.SnapshotID.IsNull()
	var learned *importtask.Task // what an adopted resource does not know yet
	// A finished task does not change; it is asked for only while it runs, or where an import has yet to learn of it.
	if unfinished || m.SnapshotTaskDetail.IsNull() {
		task, err := conn.Tasks.Find(ctx, taskID)
		if err != nil && unfinished {
			diags.Append(callFailed(ctx, "Unable to Read Import Task", "The import task "+taskID+" could not be read", err))
			return false, diags
		}
		if err != nil { // the snapshot is what counts; its task is told where that may be read
			logDebug(ctx, "cannot read the import task", map[string]any{"task_id": taskID, "error": err.Error()})
		}
		if task != nil {
			m.setTask(*task)
			if adopted && m.DiskContainer.IsNull() {
				m.adopt(*task)
				learned = task
			}
		}
		if unfinished {
			id, err := conn.finishedSnapshot(ctx, taskID, task)
			if err != nil {
				diags.Append(callFailed(ctx, "Unable to Read Import Task", "The import task "+taskID+" could not be read", err))
				return false, diags
			}
			if id == "" {
				return unfinishedGone(taskID, conn.Region, task)
			}
			// An adopted import has nothing left to do but to be read; any other is finished by an update, which tags the snapshot too.
			if !adopted {
				return conn.lost(ctx, id)
			}
			m.SnapshotID = types.StringValue(id)
		}
	}

	id := m.SnapshotID.ValueString()
	s, err := conn.findSnapshot(ctx, id)
	if err != nil {
		diags.Append(callFailed(ctx, "Unable to Read Snapshot", "The snapshot "+id+" could not be read", err))
		return false, diags
	}
	if s == nil {
		return true, diags
	}
	m.StorageTier = conn.observedTier(ctx, *s, m.StorageTier)
	m.setSnapshot(*s, conn.Partition, conn.Region)
	m.Tags, m.TagsAll = r.data.tags.observed(s.Tags, m.Tags, m.TagsAll)
	if learned != nil {
		m.TaskTags = r.data.tags.observedTask(learned.Tags, m.TagsAll)
	}
	if err := conn.setVolume(ctx, m); err != nil {
		diags.Append(callFailed(ctx, "Unable to Read Snapshot", "The snapshot "+id+" could not be read", err))
	}
	return false, diags
}

// finishedSnapshot is the snapshot of a task that is complete, or that EC2 has forgotten since; "" where there is none (yet).
func (c *connection) finishedSnapshot(ctx context.Context, taskID string, task *importtask.Task) (string, error) {
	switch {
	case task == nil:
		return c.snapshotOfTask(ctx, taskID)
	case task.Outcome() == importtask.Completed:
		return task.SnapshotID(), nil
	default:
		return "", nil
	}
}

// lost tells whether the snapshot of a finished import is gone before an apply has seen it, deleted by others or in state error.
func (c *connection) lost(ctx context.Context, id string) (bool, diag.Diagnostics) {
	var diags diag.Diagnostics
	s, err := c.findSnapshot(ctx, id)
	if err != nil {
		diags.Append(callFailed(ctx, "Unable to Read Snapshot", "The snapshot "+id+" could not be read", err))
		return false, diags
	}
	if s != nil && s.State == ec2types.SnapshotStateError { // it is there, and somebody must delete it
		diags.AddWarning("Snapshot Has Failed", fmt.Sprintf("The unfinished import made the snapshot %s, which is in state error: %s. "+
			"`terraform apply -replace=ADDRESS` deletes it and imports the image anew.", id, aws.ToString(s.StateMessage)))
	}
	if s != nil {
		return false, diags
	}
	diags.AddWarning("Snapshot Is Gone", fmt.Sprintf("The unfinished import made the snapshot %s, which is deleted since. "+
		"It is dropped from the state; the next apply imports the image anew.", id))
	return true, diags
}

// findSnapshot describes a snapshot with patience: one that EC2 does not know is asked for again for some seconds, because one answer may come from a
// replica that lags, or from a proxy that stumbles, and what follows from a missing snapshot is another import.
func (c *connection) findSnapshot(ctx context.Context, id string) (*ec2types.Snapshot, error) {
	for missed := (time.Time{}); ; {
		s, err := c.snapshot(ctx, id)
		if s != nil || err != nil || !missed.IsZero() && time.Since(missed) > lostAfter {
			return s, err
		}
		if missed.IsZero() { // only now: a slow first answer must not be believed at once
			missed = time.Now()
		}
		if err := pause(ctx); err != nil {
			return nil, fmt.Errorf("EC2's last answer did not show the snapshot: %w", err)
		}
	}
}

const lostAfter = 10 * time.Second

// unfinishedGone decides on an import whose snapshot is not in the state yet: failed or forgotten means that nothing is left of it.
func unfinishedGone(taskID, region string, task *importtask.Task) (bool, diag.Diagnostics) {
	var diags diag.Diagnostics
	switch {
	case task == nil:
		diags.AddWarning("Import Task Is Gone", fmt.Sprintf("EC2 does not know the unfinished import task %s in %s any more. It is dropped from the state; "+
			"the next apply imports the image anew.", taskID, region))
		return true, diags
	case task.Outcome() == importtask.Failed:
		message := cmp.Or(awsclient.Redact(aws.ToString(task.Detail.StatusMessage)), importtask.NoReason)
		diags.AddWarning("Unfinished Import Has Failed", fmt.Sprintf("The import task %s in %s has ended with status %s: %s\n\n%sIt is dropped from the state; "+
			"the next apply imports the image anew.", taskID, region, task.Status(), message, explanationText(importtask.ExplainTask(*task))))
		return true, diags
	}
	return false, diags
}
