package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/importtask"
)

const (
	defaultCreateTimeout = 3 * time.Hour
	defaultReadTimeout   = 20 * time.Minute
	defaultUpdateTimeout = 3 * time.Hour // a resumed wait is an update
	defaultDeleteTimeout = 30 * time.Minute

	// settleFor bounds the tags and the tier of an imported snapshot: throttling passes in minutes.
	settleFor = 5 * time.Minute
)

// importSnapshotResource is ec2_import_snapshot: the life of one import, from the request to the deletion of its snapshot.
type importSnapshotResource struct {
	data *providerData
}

var (
	_ resource.ResourceWithConfigure      = (*importSnapshotResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*importSnapshotResource)(nil)
	_ resource.ResourceWithValidateConfig = (*importSnapshotResource)(nil)
	_ resource.ResourceWithImportState    = (*importSnapshotResource)(nil)
	_ resource.ResourceWithIdentity       = (*importSnapshotResource)(nil)
	_ resource.ResourceWithMoveState      = (*importSnapshotResource)(nil)
)

func newImportSnapshotResource() resource.Resource { return &importSnapshotResource{} }

// Metadata names the resource.
func (r *importSnapshotResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_import_snapshot"
}

// Configure takes what the provider made; nil while Terraform only validates.
func (r *importSnapshotResource) Configure(_ context.Context, req resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	r.data, _ = req.ProviderData.(*providerData)
}

// Create starts the import, stores its task before anything else can fail, and waits for the snapshot.
func (r *importSnapshotResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m importSnapshotModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	conn := r.connectForApply(ctx, &m, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	r.data.useToken(&m, func(u *tokenUse) { u.planned = false })
	m.TagsAll = r.data.tags.all(m.Tags)
	timeout, diags := m.Timeouts.Create(ctx, defaultCreateTimeout)
	resp.Diagnostics.Append(diags...)
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	m.Source = types.ObjectNull(sourceTypes)
	if m.Preflight.ValueBool() {
		conn.preflightApply(limited, &m, &resp.Diagnostics)
	}
	in, diags := m.importRequest(ctx)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	in.TagSpecifications = m.tagSpecifications(conn.Region, in, r.data.tags.defaults)
	task, err := conn.Tasks.Start(limited, in)
	if err != nil {
		resp.Diagnostics.Append(startFailed(ctx, &m, conn, err))
		if importtask.IsCode(err, "IdempotentParameterMismatch") {
			r.warnOfOrphans(ctx, &m, marker(conn.Region, in), &resp.Diagnostics)
		}
		return
	}
	logTask(ctx, task, 0)

	// The task is in the answer before the wait: however that ends, it is found again. What a kill loses with the answer, the marker finds.
	m.startedAs(task)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	resp.Diagnostics.Append(setIdentity(ctx, resp.Identity, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if failed := r.finish(ctx, limited, conn, &m, false, &resp.Diagnostics); failed {
		// A failed import leaves nothing on AWS, so nothing is left to own.
		resp.State.RemoveResource(ctx)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(context.WithoutCancel(ctx), &m)...)
}

// finish waits for the import of m and fills m from its snapshot. It reports true where the import itself has failed. Where it returns without
// the snapshot (interrupt, time-out, lost permission) m keeps the task with a null snapshot_id, which the next plan resumes.
func (r *importSnapshotResource) finish(
	ctx, limited context.Context, conn *connection, m *importSnapshotModel, resumed bool, diags *diag.Diagnostics,
) (failed bool) {
	begun := time.Now()
	settled := m.taskSettled(ctx)
	snapshotID, progress, err := r.await(ctx, limited, conn, m, resumed)
	if err == nil {
		err = r.settle(ctx, limited, conn, m, snapshotID, settled, diags)
	}
	switch failure := asFailed(err); {
	case err == nil:
		return false
	case failure != nil:
		m.setTask(failure.Task)
		diags.Append(importFailed(ctx, m, conn, progress, failure))
		return true
	case ctx.Err() != nil:
		diags.AddWarning("Import Continues", fmt.Sprintf("The apply was interrupted; the import task %s in %s was not cancelled and continues. "+
			"The next apply waits for the same task and imports nothing anew.", m.ImportTaskID.ValueString(), conn.Region))
	default:
		diags.Append(waitEnded(m, conn.Region, progress, resumed, time.Since(begun), err))
	}
	m.unfinished()
	return false
}

// await waits for the end of the task of m and returns its snapshot, with the last progress that EC2 told: a failing task has none any more. A task
// that EC2 has forgotten since it was started is finished: its snapshot is found by its description.
func (r *importSnapshotResource) await(
	ctx, limited context.Context, conn *connection, m *importSnapshotModel, resumed bool,
) (snapshotID, progress string, err error) {
	id := m.ImportTaskID.ValueString()
	if resumed {
		// A task that is missing now was not started a moment ago: the watcher's patience with new ones would be minutes for nothing.
		if task, err := conn.Tasks.Describe(limited, id); err == nil && task == nil {
			if snapshotID, err := conn.snapshotOfTask(limited, id); err == nil && snapshotID != "" {
				return snapshotID, "", nil
			}
		}
	}
	task, err := conn.Tasks.Wait(limited, id, func(t importtask.Task, elapsed time.Duration) {
		if p := aws.ToString(t.Detail.Progress); p != "" {
			progress = p
		}
		m.setTask(t)
		logTask(ctx, t, elapsed)
	})
	if errors.Is(err, importtask.ErrGone) {
		if snapshotID, look := conn.snapshotOfTask(limited, id); look != nil || snapshotID != "" {
			return snapshotID, progress, look
		}
	}
	if err == nil {
		m.setTask(task)
	}
	return task.SnapshotID(), progress, err
}

// settle does what follows a completed import: the snapshot is there, tagged, in its tier, and described in m. A tag or tier that could not be
// set is a warning, since the snapshot is good: the next plan shows the difference (P16).
func (r *importSnapshotResource) settle(
	ctx, limited context.Context, conn *connection, m *importSnapshotModel, id string, settled bool, diags *diag.Diagnostics,
) error {
	snapshot, err := conn.Tasks.AwaitSnapshot(limited, id, settled)
	if err != nil {
		return err
	}
	// The import is good. A call behind it that hangs, or comes late, is a warning and taints nothing: it has a time of its own.
	bounded, cancel := context.WithTimeout(ctx, settleFor)
	defer cancel()
	wanted := m.StorageTier
	if err := conn.tagNew(bounded, id, goTags(m.TagsAll)); err != nil {
		if ctx.Err() != nil {
			return err // an interrupt: the next apply tags
		}
		diags.Append(warning(callFailed(ctx, "Snapshot Not Tagged", fmt.Sprintf("The image is imported as %s, but its tags could not be set; "+
			"the next apply tries again and imports nothing anew", id), err)))
	}
	if m.Encrypted.Equal(types.BoolValue(false)) && snapshot.Encrypted != nil && *snapshot.Encrypted {
		diags.AddAttributeWarning(path.Root("encrypted"), "Snapshot Is Encrypted All the Same", fmt.Sprintf(
			"encrypted is false, but EC2 encrypted %s, because the account encrypts by default in %s. Leave encrypted unset to follow the account.", id, conn.Region))
	}
	m.setSnapshot(snapshot, conn.Partition, conn.Region)
	if !wanted.IsNull() && !wanted.IsUnknown() && wanted.ValueString() != tierOf(snapshot) {
		if err := conn.reachTier(bounded, id, wanted.ValueString(), m.TemporaryRestoreDays); err != nil {
			diags.Append(warning(callFailed(ctx, "Storage Tier Not Changed", fmt.Sprintf("The image is imported as %s, but it could not be moved to %s; "+
				"the next apply tries again and imports nothing anew", id, wanted.ValueString()), err)))
		}
	}
	return conn.setVolume(ctx, m)
}

// Read follows the snapshot, not the task: EC2 forgets tasks.
func (r *importSnapshotResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m importSnapshotModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	// First of all: the framework wants an identity behind every read, of one that can ask nothing and of one that finds the resource gone too, and
	// CLIs before 1.12 have none to give back.
	resp.Diagnostics.Append(setIdentity(ctx, resp.Identity, &m)...)
	if resp.Diagnostics.HasError() || !r.data.known {
		return
	}
	timeout, diags := m.Timeouts.Read(ctx, defaultReadTimeout)
	resp.Diagnostics.Append(diags...)
	ctx, cancel := within(ctx, "read", timeout)
	defer cancel()
	r.data.useToken(&m, func(u *tokenUse) { u.inState = true })
	conn, err := r.data.connect(ctx, m.Region.ValueString())
	if err != nil {
		resp.Diagnostics.Append(notConnected(ctx, err))
		return
	}
	conn.Tasks.Claim(m.ImportTaskID.ValueString())

	adopted, diags := isAdopted(ctx, req.Private)
	resp.Diagnostics.Append(diags...)
	resp.Diagnostics.Append(m.recallTier(ctx, req.Private)...)
	resp.Diagnostics.Append(setTierBefore(ctx, resp.Private, nil)...)
	gone, diags := r.refresh(ctx, conn, &m, adopted)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	if gone {
		r.data.useToken(&m, func(u *tokenUse) { u.inState = false }) // Terraform's destroy plans it anew behind this, and must not be refused
		resp.State.RemoveResource(ctx)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Update finishes an import that an earlier apply left, or brings tags and tier up to date. Where nothing of EC2's changes it calls nothing.
func (r *importSnapshotResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m, prior importSnapshotModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &prior)...)
	resp.Diagnostics.Append(prior.recallTier(ctx, req.Private)...) // with -refresh=false no read has
	conn := r.connectForApply(ctx, &m, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	m.TagsAll = r.data.tags.all(m.Tags)
	timeout, diags := m.Timeouts.Update(ctx, defaultUpdateTimeout)
	resp.Diagnostics.Append(diags...)
	limited, cancel := within(ctx, "update", timeout)
	defer cancel()

	adopted, diags := isAdopted(ctx, req.Private)
	resp.Diagnostics.Append(diags...)
	if m.SnapshotID.IsUnknown() {
		m.unfinished()
		m.SnapshotTaskDetail = prior.SnapshotTaskDetail
		var retagged diag.Diagnostics
		r.retagTask(limited, conn, &m, &prior, adopted, &retagged)
		for _, d := range retagged { // what is being waited for is the snapshot
			resp.Diagnostics.Append(warning(d))
		}
		r.finish(ctx, limited, conn, &m, true, &resp.Diagnostics)
		// A failed import stays in the state until the next refresh sees it gone: Terraform has no update that ends in nothing.
	} else {
		before := r.change(limited, conn, &m, &prior, adopted, &resp.Diagnostics)
		resp.Diagnostics.Append(setTierBefore(ctx, resp.Private, before)...)
	}
	resp.Diagnostics.Append(resp.State.Set(context.WithoutCancel(ctx), &m)...)
	resp.Diagnostics.Append(setIdentity(ctx, resp.Identity, &m)...)
	resp.Diagnostics.Append(setAdopted(ctx, resp.Private, false)...)
}

// change makes the calls that an update in place needs. What fails keeps its prior value in m, so that the next plan shows it again. A tier that cannot be
// changed yet is no failure, so that Terraform insists on the planned values in m: tier is what it was, for the next refresh, nil where it is as planned.
func (r *importSnapshotResource) change(
	ctx context.Context, conn *connection, m, prior *importSnapshotModel, adopted bool, diags *diag.Diagnostics,
) (tier *tierBefore) {
	id := m.SnapshotID.ValueString()
	set, remove := tagChanges(goTags(prior.TagsAll), goTags(m.TagsAll))
	if err := conn.tag(ctx, id, set, remove); err != nil {
		diags.Append(callFailed(ctx, "Unable to Change Tags", "The tags of "+id+" could not be changed", err))
		m.Tags, m.TagsAll = prior.Tags, prior.TagsAll
	}
	r.retagTask(ctx, conn, m, prior, adopted, diags)
	if m.StorageTier.Equal(prior.StorageTier) && m.TemporaryRestoreDays.Equal(prior.TemporaryRestoreDays) {
		return nil
	}
	err := conn.changeTier(ctx, id, m, prior)
	var moving *tierMovingError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &moving):
		diags.Append(warning(callFailed(ctx, "Storage Tier Not Changed", "The storage tier of "+id+" could not be changed now; the next plan shows the difference, and the "+
			"first apply after the move, which takes EC2 up to 72 hours, tries again", err)))
		return &tierBefore{prior.StorageTier.ValueString(), prior.TemporaryRestoreDays.ValueInt64Pointer()}
	default:
		diags.Append(callFailed(ctx, "Unable to Change Storage Tier", "The storage tier of "+id+" could not be changed", err))
		m.StorageTier, m.TemporaryRestoreDays = prior.StorageTier, prior.TemporaryRestoreDays
		return nil
	}
}

// retagTask brings the tags of the import task up to date. An adopted task was tagged by somebody else, as they liked.
func (r *importSnapshotResource) retagTask(ctx context.Context, conn *connection, m, prior *importSnapshotModel, adopted bool, diags *diag.Diagnostics) {
	if m.TagsAll.Equal(prior.TagsAll) && m.TaskTags.Equal(prior.TaskTags) || adopted && m.TaskTags.IsNull() {
		return
	}
	ours := goTags(prior.TagsAll)
	maps.Copy(ours, goTags(prior.TaskTags))
	if err := conn.tagTask(ctx, m.ImportTaskID.ValueString(), m.taskTags(r.data.tags.defaults), ours); err != nil {
		diags.Append(callFailed(ctx, "Unable to Change Task Tags", "The tags of "+m.ImportTaskID.ValueString()+" could not be changed", err))
		m.TaskTags = prior.TaskTags
	}
}

// Delete cancels an unfinished import or deletes the snapshot, and waits until it is gone.
func (r *importSnapshotResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m importSnapshotModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() || m.SkipDestroy.ValueBool() {
		return
	}
	conn := r.connectForApply(ctx, &m, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	timeout, diags := m.Timeouts.Delete(ctx, defaultDeleteTimeout)
	resp.Diagnostics.Append(diags...)
	limited, cancel := within(ctx, "delete", timeout)
	defer cancel()

	snapshotID := m.SnapshotID.ValueString()
	if snapshotID == "" {
		task, err := conn.Tasks.Cancel(limited, m.ImportTaskID.ValueString(), "ec2_import_snapshot was destroyed")
		if err != nil {
			resp.Diagnostics.Append(cancelFailed(limited, &m, conn.Region, task, err))
			return
		}
		// The import may have been complete before the cancel came, or long ago.
		snapshotID, err = conn.finishedSnapshot(limited, m.ImportTaskID.ValueString(), task)
		if err != nil {
			resp.Diagnostics.Append(deletionFailed(limited, "of "+m.ImportTaskID.ValueString(), conn.Region, err))
			return
		}
		if snapshotID == "" && task != nil {
			snapshotID = task.SnapshotID() // what a task names that came to a bad end may be there all the same
		}
		if snapshotID == "" {
			return
		}
	}
	if err := conn.deleteSnapshot(limited, snapshotID); err != nil {
		resp.Diagnostics.Append(deletionFailed(limited, snapshotID, conn.Region, err))
	}
}

// within is ctx for the time that an argument of timeouts gives an operation.
func within(ctx context.Context, argument string, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, &importtask.TimeUp{Argument: argument, After: d})
}

// connectForApply is the connection to the Region of m, with a local backend's unfinished imports going on: a plan starts none.
func (r *importSnapshotResource) connectForApply(ctx context.Context, m *importSnapshotModel, diags *diag.Diagnostics) *connection {
	if diags.HasError() {
		return nil
	}
	if m.Region.IsUnknown() || m.Region.IsNull() {
		region, err := r.data.defaultRegion(ctx)
		if err != nil {
			diags.AddError("No Region", err.Error())
			return nil
		}
		m.Region = types.StringValue(region)
	}
	conn, err := r.data.connect(ctx, m.Region.ValueString())
	if err == nil && conn.resume != nil {
		err = conn.resume(ctx)
	}
	if err != nil {
		diags.Append(notConnected(ctx, err))
	}
	return conn
}
