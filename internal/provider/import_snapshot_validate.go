package provider

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// ValidateConfig refuses what no attribute can tell alone. Unknown values are no errors: they are looked at again when they are known.
func (r *importSnapshotResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var m importSnapshotModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}

	if !m.KmsKeyID.IsNull() && !m.KmsKeyID.IsUnknown() && !m.Encrypted.IsUnknown() && !m.Encrypted.ValueBool() {
		resp.Diagnostics.AddAttributeError(path.Root("kms_key_id"), "KMS Key Without Encryption",
			"EC2 takes kms_key_id only with encrypted = true: set it, or remove kms_key_id.")
	}

	var d clientDataModel
	if members(ctx, m.ClientData, &d).HasError() {
		d = clientDataModel{} // a time that is none: its own type says so, at its own path
	}
	start, end := instant(d.UploadStart, &resp.Diagnostics), instant(d.UploadEnd, &resp.Diagnostics)
	if start != nil && end != nil && end.Before(*start) {
		resp.Diagnostics.AddAttributeError(path.Root("client_data").AtName("upload_end"), "Upload Ends Before It Starts",
			fmt.Sprintf("upload_end is %s, but upload_start is %s.", d.UploadEnd.ValueString(), d.UploadStart.ValueString()))
	}

	for name, value := range timeoutsOf(m) {
		text, ok := value.(types.String)
		if !ok || text.IsNull() || text.IsUnknown() {
			continue
		}
		if t, err := time.ParseDuration(text.ValueString()); err == nil && t <= 0 {
			resp.Diagnostics.AddAttributeError(path.Root("timeouts").AtName(name), "Invalid Timeout", fmt.Sprintf("timeouts.%s must be positive; it is %s.", name, t))
		}
	}
}

func timeoutsOf(m importSnapshotModel) map[string]attr.Value {
	if m.Timeouts.IsNull() || m.Timeouts.IsUnknown() {
		return nil
	}
	return m.Timeouts.Attributes()
}
