package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/hashicorp/aws-sdk-go-base/v2/endpoints"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/importtask"
)

// ModifyPlan turns what Terraform proposes into what an apply will do. It calls AWS only to ask (dry run, unfinished imports, preflight), and
// only where the provider's configuration is known.
func (r *importSnapshotResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.data == nil {
		return // a validation without provider
	}
	prior := stateOf(ctx, req.State, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	if prior != nil && r.data.useToken(prior, func(u *tokenUse) { u.inState = true }).both() {
		resp.Diagnostics.Append(tokenShared(prior))
	}
	if req.Plan.Raw.IsNull() {
		return // destroy
	}
	var config, plan importSnapshotModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}

	plan.TagsAll = r.data.tags.all(plan.Tags)
	r.planRegion(ctx, &plan, &config, prior, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}

	if n := len(plan.TagsAll.Elements()); n > maxTags {
		resp.Diagnostics.AddAttributeError(path.Root("tags"), "Too Many Tags", fmt.Sprintf(
			"EC2 takes at most %d tags a resource; with the provider's default_tags here are %d.", maxTags, n))
	}
	if prior == nil && r.data.useToken(&plan, func(u *tokenUse) { u.planned = true }).both() {
		resp.Diagnostics.Append(tokenShared(&plan))
	}
	if prior != nil {
		plan.keepComputed(prior, &config)
		adopted, diags := isAdopted(ctx, req.Private)
		resp.Diagnostics.Append(diags...)
		replaced := r.dropSameKMSKey(ctx, replacements(ctx, prior, &plan, adopted), prior, &plan)
		resp.RequiresReplace.Append(replaced...)
		if token := plan.ClientToken; len(replaced) > 0 && !token.IsNull() && token.Equal(prior.ClientToken) {
			resp.Diagnostics.Append(stopsDestroy(diag.NewAttributeErrorDiagnostic(path.Root("client_token"), "Replacement Needs a New Client Token", fmt.Sprintf(
				"A change of %s imports the image again, but client_token is still %q: with it EC2 would answer with the import that is already there. "+
					"Change client_token together with it.", pathsText(replaced), token.ValueString()))))
		}
		if len(replaced) == 0 && config.Encrypted.IsNull() && !prior.KmsKeyARN.IsNull() {
			plan.Encrypted = types.BoolValue(true) // what EC2 did, where the state still has what was asked for
		}
		if len(replaced) == 0 && prior.SnapshotID.IsNull() {
			plan.resume(&config)
			resp.Diagnostics.AddWarning("Import Not Finished", fmt.Sprintf(
				"The import task %s was started by an earlier apply that did not wait for its end. The next apply continues with the same task; nothing is imported anew.",
				prior.ImportTaskID.ValueString()))
		}
	}
	if prior == nil || len(resp.RequiresReplace) > 0 {
		if d := plan.refuseForeignKey(); d != nil && prior != nil {
			resp.Diagnostics.Append(stopsDestroy(d))
		} else if d != nil {
			resp.Diagnostics.Append(d)
		}
	}
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)

	switch {
	case resp.Diagnostics.HasError():
	case prior == nil:
		r.look(ctx, &plan, &config, &resp.Diagnostics)
	case len(resp.RequiresReplace) == 0:
		r.warnOfNewImage(ctx, &plan, prior, &resp.Diagnostics)
	default: // Terraform plans the new object next, as one that was not there before
		r.warnOfMissingImage(ctx, &plan, prior, &resp.Diagnostics)
	}
}

// stopsDestroy adds to an error of a plan how a destroy, which plans the configuration first, gets around it.
func stopsDestroy(d diag.Diagnostic) diag.Diagnostic {
	detail := d.Detail() + "\n\nTo destroy what is there without mending this, run `terraform destroy -refresh=false`: any other destroy plans the configuration first."
	if at, ok := d.(diag.DiagnosticWithPath); ok {
		return diag.NewAttributeErrorDiagnostic(at.Path(), d.Summary(), detail)
	}
	return diag.NewErrorDiagnostic(d.Summary(), detail)
}

// planRegion fills the Region that the configuration leaves to the provider. A Region that is not known yet keeps the prior one, because a
// replacement must not come from not knowing.
func (r *importSnapshotResource) planRegion(ctx context.Context, plan, config, prior *importSnapshotModel, diags *diag.Diagnostics) {
	if !config.Region.IsNull() {
		return
	}
	if r.data.known {
		region, err := r.data.defaultRegion(ctx)
		if err != nil {
			diags.AddError("No Region", err.Error())
			return
		}
		plan.Region = types.StringValue(region)
	} else if prior != nil {
		plan.Region = prior.Region
	}
}

// tokenShared refuses an import whose client token is that of a resource in the state; m is one of the two.
func tokenShared(m *importSnapshotModel) diag.Diagnostic {
	return stopsDestroy(diag.NewAttributeErrorDiagnostic(path.Root("client_token"), "Client Token in Use", fmt.Sprintf(
		"client_token %q stands for an import that is in the state already, and is that of a new one: EC2 would answer with the old one, and two objects would "+
			"share, and destroy, one snapshot. Give the new one a client_token of its own. Where a resource was renamed, a `moved` block keeps its import; where "+
			"one is tainted because its time was over, `untaint` continues its import.", m.ClientToken.ValueString())))
}

// refuseForeignKey refuses a key, as far as it is written as an ARN, that is not in the Region of the import: EC2 would say so only in the apply.
func (m *importSnapshotModel) refuseForeignKey() diag.Diagnostic {
	key, region := m.KmsKeyID.ValueString(), m.Region.ValueString()
	named, err := arn.Parse(key)
	if err != nil || region == "" {
		return nil
	}
	at := path.Root("kms_key_id")
	if named.Region != region {
		return diag.NewAttributeErrorDiagnostic(at, "KMS Key in Another Region", fmt.Sprintf(
			"kms_key_id names a key in %s, but the import is in %s, and EC2 encrypts a snapshot only with a key of its own Region. "+
				"Name a key of %s, or set region.", named.Region, region, region))
	}
	if partition, known := endpoints.PartitionForRegion(endpoints.DefaultPartitions(), region); known && named.Partition != partition.ID() {
		return diag.NewAttributeErrorDiagnostic(at, "KMS Key in Another Partition", fmt.Sprintf(
			"kms_key_id begins with arn:%s:, but the Region %s is in the partition %s: write arn:%s:kms:%s:...",
			named.Partition, region, partition.ID(), partition.ID(), region))
	}
	return nil
}

// keepComputed plans every computed attribute as it is: an update in place changes none of them. What the configuration sets to a value that is not
// known yet stays unknown.
func (m *importSnapshotModel) keepComputed(prior, config *importSnapshotModel) {
	before := append(prior.endStrings(), &prior.ImportTaskID)
	for i, s := range append(m.endStrings(), &m.ImportTaskID) {
		if s.IsUnknown() {
			*s = *before[i]
		}
	}
	if config.StorageTier.IsNull() {
		m.StorageTier = prior.StorageTier
	}
	if config.Encrypted.IsNull() {
		m.Encrypted = prior.Encrypted
	}
	if m.VolumeSize.IsUnknown() {
		m.VolumeSize = prior.VolumeSize
	}
	if m.SnapshotTaskDetail.IsUnknown() {
		m.SnapshotTaskDetail = prior.SnapshotTaskDetail
	}
	if m.Source.IsUnknown() {
		m.Source = prior.Source
	}
}

// resume plans the rest of an unfinished import: what its end fills is unknown, which alone makes Terraform plan an update in place that keeps
// dependents waiting for the real values.
func (m *importSnapshotModel) resume(config *importSnapshotModel) {
	for _, s := range m.endStrings() {
		*s = types.StringUnknown()
	}
	m.VolumeSize = types.Int64Unknown()
	m.SnapshotTaskDetail = types.ObjectUnknown(taskDetailTypes)
	if config.Encrypted.IsNull() {
		m.Encrypted = types.BoolUnknown()
	}
	if config.StorageTier.IsNull() {
		m.StorageTier = types.StringUnknown()
	}
}

// look asks before a new import: is one of the same request still running, does EC2 allow it, and is the image one that VM Import takes?
func (r *importSnapshotResource) look(ctx context.Context, plan, config *importSnapshotModel, diags *diag.Diagnostics) {
	if !r.data.known || plan.Region.IsUnknown() {
		return
	}
	if plan.Preflight.ValueBool() {
		r.preflightPlan(ctx, plan, diags)
	}
	// Encrypted is unknown in the plan wherever it is left to EC2; what counts is whether the configuration will say something.
	if !plan.requestKnown(ctx) || config.Encrypted.IsUnknown() {
		return
	}
	in, d := plan.importRequest(ctx)
	diags.Append(d...)
	if diags.HasError() {
		return
	}
	if plan.ClientToken.IsNull() {
		r.warnOfOrphans(ctx, plan, marker(plan.Region.ValueString(), in), diags)
	}
	if plan.DryRun.ValueBool() {
		// With its tags, as far as they are known: they need permissions of their own.
		in.TagSpecifications = plan.tagSpecifications(plan.Region.ValueString(), in, r.data.tags.defaults)
		conn, err := r.data.connect(ctx, plan.Region.ValueString())
		if err != nil {
			diags.Append(notConnected(ctx, err))
			return
		}
		if err := conn.Tasks.Permitted(ctx, in); err != nil {
			diags.Append(stopsDestroy(notPermitted(ctx, err)))
		}
	}
}

// warnOfOrphans names imports of the same request that nobody waits for: their apply was killed before it could store the task (P6).
func (r *importSnapshotResource) warnOfOrphans(ctx context.Context, plan *importSnapshotModel, marker string, diags *diag.Diagnostics) {
	conn, err := r.data.connect(ctx, plan.Region.ValueString())
	if err != nil {
		diags.Append(notConnected(ctx, err))
		return
	}
	tasks, err := conn.Tasks.Unfinished(ctx)
	if err != nil {
		// Looking is a courtesy; the import itself may be allowed where listing is not.
		logDebug(ctx, "cannot look for unfinished imports", map[string]any{"error": err.Error()})
		return
	}
	lines := importLines(tasks, marker, plan.Region.ValueString())
	if lines != "" {
		diags.AddWarning("Unfinished Import of the Same Image", "An import of the same request is still running and is in no state that this plan sees, most "+
			"likely because an earlier apply was killed. To continue with it instead of importing the image once more, add\n\n"+
			lines+"\n\nor run terraform import with that id. If another configuration waits for it, there is nothing to do.")
	}
}

// importLines are the import blocks for the tasks of one request, "" where there is none.
func importLines(tasks []importtask.Task, marker, region string) string {
	var lines []string
	for _, task := range tasks {
		if task.Tags[importtask.MarkerTag] == marker {
			lines = append(lines, fmt.Sprintf("  import {\n    to = ec2_import_snapshot.NAME   # this resource's address\n    id = %q\n  }", task.ID+"@"+region))
		}
	}
	return strings.Join(lines, "\n")
}

// dropSameKMSKey takes kms_key_id off the replacements where KMS says that the planned alias names the key the snapshot has (P3).
func (r *importSnapshotResource) dropSameKMSKey(ctx context.Context, replaced path.Paths, prior, plan *importSnapshotModel) path.Paths {
	if !replaced.Contains(path.Root("kms_key_id")) || !r.data.known || plan.KmsKeyID.ValueString() == "" || prior.KmsKeyARN.ValueString() == "" {
		return replaced
	}
	conn, err := r.data.connect(ctx, prior.Region.ValueString())
	if err != nil || conn.KMS == nil {
		return replaced
	}
	ctx, cancel := context.WithTimeout(ctx, headFor)
	defer cancel()
	out, err := conn.KMS.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: plan.KmsKeyID.ValueStringPointer()},
		func(o *kms.Options) { o.RetryMaxAttempts = 2 })
	if err != nil {
		logDebug(ctx, "cannot ask KMS which key kms_key_id names", map[string]any{"error": err.Error()})
		return replaced
	}
	if out.KeyMetadata == nil || aws.ToString(out.KeyMetadata.Arn) != prior.KmsKeyARN.ValueString() {
		return replaced
	}
	return slices.DeleteFunc(replaced, func(p path.Path) bool { return p.Equal(path.Root("kms_key_id")) })
}

// requestKnown reports whether every value that ImportSnapshot carries is known.
func (m *importSnapshotModel) requestKnown(ctx context.Context) bool {
	c, b, diags := m.container(ctx)
	if diags.HasError() {
		return false
	}
	clientData, err := m.ClientData.ToTerraformValue(ctx)
	if err != nil || !clientData.IsFullyKnown() {
		return false
	}
	return !m.DiskContainer.IsUnknown() && !c.URL.IsUnknown() && !c.UserBucket.IsUnknown() && !c.Format.IsUnknown() && !c.Description.IsUnknown() &&
		!b.S3Bucket.IsUnknown() && !b.S3Key.IsUnknown() && !m.Description.IsUnknown() && !m.KmsKeyID.IsUnknown() && !m.RoleName.IsUnknown() &&
		!m.ClientToken.IsUnknown()
}

// stateOf is the prior state, nil where there is none.
func stateOf(ctx context.Context, state tfsdk.State, diags *diag.Diagnostics) *importSnapshotModel {
	if state.Raw.IsNull() {
		return nil
	}
	var m importSnapshotModel
	diags.Append(state.Get(ctx, &m)...)
	return &m
}

func pathsText(paths path.Paths) string {
	var names []string
	for _, p := range paths {
		names = append(names, p.String())
	}
	return strings.Join(names, ", ")
}
