// Package provider is everything Terraform: the provider block, the resource, and how errors become diagnostics. It is the only package that
// knows Terraform. It talks to EC2 through *ec2.Client alone, whether that is AWS, an emulator or the local backend.
package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/resource"
)

// Address is the provider's address in the registries.
const Address = "registry.terraform.io/ec2-import-snapshot/ec2"

// ec2Provider is the provider `ec2`.
type ec2Provider struct {
	version string
}

// New makes the provider; version is that of the build.
func New(version string) provider.Provider { return &ec2Provider{version: version} }

// Metadata names the provider.
func (p *ec2Provider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName, resp.Version = "ec2", p.version
}

// Configure reads the provider block. It calls nothing: clients are made at their first use, so that a plan works where nothing needs AWS.
func (p *ec2Provider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var m providerModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	data := &providerData{known: req.Config.Raw.IsFullyKnown()}
	var diags diag.Diagnostics
	data.tags, diags = m.tagPolicy(ctx)
	resp.Diagnostics.Append(diags...)
	if data.known {
		data.settings, diags = m.settings(ctx, p.version)
		resp.Diagnostics.Append(diags...)
		data.local, diags = m.localBackend(ctx, data.settings)
		resp.Diagnostics.Append(diags...)
		if data.local != nil && data.settings.Endpoints.EC2 != "" {
			resp.Diagnostics.AddAttributeError(path.Root("endpoints"), "Endpoint and Local Backend", fmt.Sprintf(
				"endpoints has ec2 = %q, but local answers EC2 in this process. Remove one of the two.", data.settings.Endpoints.EC2))
		}
	}
	resp.ResourceData = data
}

// Resources lists what the provider manages.
func (p *ec2Provider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{newImportSnapshotResource}
}

// DataSources: there are none.
func (p *ec2Provider) DataSources(context.Context) []func() datasource.DataSource { return nil }
