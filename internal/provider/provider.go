// Package provider is everything Terraform: the provider block, the resource, and how errors become diagnostics. It is the only package that
// knows Terraform. It talks to EC2 through *ec2.Client alone, whether that is AWS, an emulator or the local backend.
package provider

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/awsclient"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
)

// Address is the provider's address in the registries.
const Address = "registry.terraform.io/ec2-import-snapshot/ec2"

// Provider is the provider `ec2`.
type Provider struct {
	version string

	mu    sync.Mutex
	local []*localec2.Endpoint
}

// New makes the provider; version is that of the build.
func New(version string) *Provider { return &Provider{version: version} }

// Close ends the work of local backends without ending their imports, and clears away the volumes that were growing.
func (p *Provider) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, endpoint := range p.local {
		errs = append(errs, endpoint.Close())
	}
	return errors.Join(errs...)
}

// Metadata names the provider.
func (p *Provider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName, resp.Version = "ec2", p.version
}

// Configure reads the provider block. It calls nothing: clients are made at their first use, so that a plan works where nothing needs AWS.
func (p *Provider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
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
		if data.local != nil {
			p.mu.Lock()
			p.local = append(p.local, data.local.endpoint)
			p.mu.Unlock()
		}
		if data.local != nil && data.settings.Endpoints.EC2 != "" {
			resp.Diagnostics.AddAttributeError(path.Root("endpoints"), "Endpoint and Local Backend", fmt.Sprintf(
				"endpoints has ec2 = %q, but local answers EC2 in this process. Remove one of the two.", data.settings.Endpoints.EC2))
		}
		if data.local == nil {
			resp.Diagnostics.Append(dummyKey(ctx, data.settings)...)
		}
	}
	resp.ResourceData = data
}

// dummyKey warns where the keys of an emulator would meet AWS itself: the endpoint was forgotten, and what AWS says of the keys does not help.
func dummyKey(ctx context.Context, settings awsclient.Settings) (diags diag.Diagnostics) {
	key := settings.DummyKey(ctx)
	if key == "" {
		return nil
	}
	detail := fmt.Sprintf("The access key %q is one that emulators take, but no endpoint other than AWS's is set: AWS would refuse it. To use an emulator name it in "+
		"endpoints { ec2 = \"http://...\" } or in AWS_ENDPOINT_URL_EC2 (AWS_ENDPOINT_URL: all services); to import without AWS set local = {}; to import on AWS "+
		"give keys of an account.", key)
	if settings.AccessKey != "" {
		diags.AddAttributeWarning(path.Root("access_key"), "Dummy Credentials for AWS", detail)
	} else {
		diags.AddWarning("Dummy Credentials for AWS", detail)
	}
	return diags
}

// Resources lists what the provider manages.
func (p *Provider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{newImportSnapshotResource}
}

// DataSources: there are none.
func (p *Provider) DataSources(context.Context) []func() datasource.DataSource { return nil }
