package provider_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	fwresource "github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// TestAccRule7Moved: a moved block takes a resource of hashicorp/aws over: no replacement, at most one update that calls nothing, and an empty plan
// behind it. Its provider is played by one that has the schema of aws_ebs_snapshot_import and leaves the state that the real one leaves.
func TestAccRule7Moved(t *testing.T) {
	const inBucket = "user_bucket {\n s3_bucket = \"images\"\n s3_key = \"disk.vmdk\"\n}"
	for name, test := range map[string]struct {
		region  bool   // whether its state names the Region, as from version 6 on
		block   string // of the provider under test
		old     string
		new     string
		actions plancheck.ResourceActionType
	}{
		"by url, without a Region": {
			old:     "disk_container {\n url = \"s3://images/disk.vmdk\"\n format = \"VMDK\"\n}\n tags = { Name = \"web\" }",
			new:     "disk_container = { url = \"s3://images/disk.vmdk\", format = \"VMDK\" }\n role_name = \"vmimport\"\n tags = { Name = \"web\" }",
			actions: nothing,
		},
		"without role and format": {
			region: true,
			old:    "disk_container {\n " + inBucket + "\n format = \"VMDK\"\n}", new: "disk_container = { user_bucket = { s3_bucket = \"images\", s3_key = \"disk.vmdk\" } }", actions: inPlace,
		},
		"everything": {
			region: true, block: "default_tags {\n tags = { env = \"test\" }\n}",
			old: "disk_container {\n " + inBucket + "\n format = \"VMDK\"\n description = \"the container\"\n}\n description = \"the task\"\n encrypted = true\n" +
				"kms_key_id = \"alias/disks\"\n role_name = \"importer\"\n client_data {\n comment = \"by hand\"\n upload_size = 0.5\n}\n" +
				"tags = { Name = \"web\", env = \"test\" }\n storage_tier = \"standard\"\n timeouts {\n create = \"5m\"\n}",
			new: "disk_container = { user_bucket = { s3_bucket = \"images\", s3_key = \"disk.vmdk\" }, format = \"vmdk\", description = \"the container\" }\n" +
				"description = \"the task\"\n encrypted = true\n kms_key_id = \"alias/disks\"\n role_name = \"importer\"\n" +
				"client_data = { comment = \"by hand\", upload_size = 0.5 }\n tags = { Name = \"web\" }\n storage_tier = \"standard\"\n timeouts = { create = \"5m\" }",
			actions: inPlace,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			aws := &peer{t: t, site: p.Site, region: test.region}
			providers := acctest.Providers()
			providers["aws"] = func() (tfprotov6.ProviderServer, error) {
				server, err := providerserver.NewProtocol6WithError(aws)()
				return legacy{server}, err
			}
			theirs := fmt.Sprintf("resource \"aws_ebs_snapshot_import\" \"old\" {\n %s\n}\n", test.old)
			ours := p.Provider(test.block) + snapshot(test.new)
			moved := "moved {\n from = aws_ebs_snapshot_import.old\n to = " + address + "\n}\n"
			accCase(t, resource.TestCase{
				ProtoV6ProviderFactories: providers, CheckDestroy: nothingLeft(t, p),
				Steps: []resource.TestStep{
					// Its description is never the configured one (P1): that is why people move.
					{Config: theirs, ExpectNonEmptyPlan: strings.Contains(theirs, "the task")},
					{
						PreConfig: p.forget, Config: ours + moved, ConfigPlanChecks: planned(test.actions),
						ConfigStateChecks: []statecheck.StateCheck{has("region", exactly(here)), has("disk_container", knownvalue.NotNull())},
						Check: resource.ComposeAggregateTestCheckFunc(
							func(*terraform.State) error { return errors.Join(p.called(""), aws.deleted) }, p.tasks(t, 1),
							resource.TestCheckResourceAttrPtr(address, "snapshot_id", &aws.snapshot), resource.TestCheckResourceAttrPtr(address, "import_task_id", &aws.task),
						),
					},
					{Config: ours, ConfigPlanChecks: planned(nothing)},
				},
			})
		})
	}
}

// legacy lets a provider answer other values than were planned, as Terraform lets all that are built on its old SDK.
type legacy struct{ tfprotov6.ProviderServer }

func (l legacy) PlanResourceChange(ctx context.Context, req *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	resp, err := l.ProviderServer.PlanResourceChange(ctx, req)
	if resp != nil {
		resp.UnsafeToUseLegacyTypeSystem = true //nolint:staticcheck // the real one does so
	}
	return resp, err
}

func (l legacy) ApplyResourceChange(ctx context.Context, req *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	resp, err := l.ProviderServer.ApplyResourceChange(ctx, req)
	if resp != nil {
		resp.UnsafeToUseLegacyTypeSystem = true //nolint:staticcheck // the real one does so
	}
	return resp, err
}

// peer plays hashicorp/aws, as far as aws_ebs_snapshot_import goes: the schema of version 0, and what is in the state behind a create and a read.
type peer struct {
	t              *testing.T
	site           *acctest.Site
	region         bool
	task, snapshot string
	deleted        error
}

func (p *peer) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "aws"
}
func (p *peer) Schema(context.Context, provider.SchemaRequest, *provider.SchemaResponse)          {}
func (p *peer) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {}
func (p *peer) DataSources(context.Context) []func() datasource.DataSource                        { return nil }
func (p *peer) Resources(context.Context) []func() fwresource.Resource {
	return []func() fwresource.Resource{func() fwresource.Resource { return peerImport{p} }}
}

type peerImport struct{ *peer }

type peerModel struct {
	ID                   types.String     `tfsdk:"id"`
	ARN                  types.String     `tfsdk:"arn"`
	DataEncryptionKeyID  types.String     `tfsdk:"data_encryption_key_id"`
	Description          types.String     `tfsdk:"description"`
	Encrypted            types.Bool       `tfsdk:"encrypted"`
	KmsKeyID             types.String     `tfsdk:"kms_key_id"`
	OutpostARN           types.String     `tfsdk:"outpost_arn"`
	OwnerAlias           types.String     `tfsdk:"owner_alias"`
	OwnerID              types.String     `tfsdk:"owner_id"`
	PermanentRestore     types.Bool       `tfsdk:"permanent_restore"`
	Region               types.String     `tfsdk:"region"`
	RoleName             types.String     `tfsdk:"role_name"`
	StorageTier          types.String     `tfsdk:"storage_tier"`
	Tags                 types.Map        `tfsdk:"tags"`
	TagsAll              types.Map        `tfsdk:"tags_all"`
	TemporaryRestoreDays types.Int64      `tfsdk:"temporary_restore_days"`
	VolumeID             types.String     `tfsdk:"volume_id"`
	VolumeSize           types.Int64      `tfsdk:"volume_size"`
	ClientData           []peerClientData `tfsdk:"client_data"`
	DiskContainer        []peerContainer  `tfsdk:"disk_container"`
	Timeouts             types.Object     `tfsdk:"timeouts"`
}

type peerClientData struct {
	Comment     types.String  `tfsdk:"comment"`
	UploadEnd   types.String  `tfsdk:"upload_end"`
	UploadSize  types.Float64 `tfsdk:"upload_size"`
	UploadStart types.String  `tfsdk:"upload_start"`
}

type peerContainer struct {
	Description types.String `tfsdk:"description"`
	Format      types.String `tfsdk:"format"`
	URL         types.String `tfsdk:"url"`
	UserBucket  []peerBucket `tfsdk:"user_bucket"`
}

type peerBucket struct {
	Bucket types.String `tfsdk:"s3_bucket"`
	Key    types.String `tfsdk:"s3_key"`
}

func (peerImport) Metadata(_ context.Context, _ fwresource.MetadataRequest, resp *fwresource.MetadataResponse) {
	resp.TypeName = "aws_ebs_snapshot_import"
}

func (peerImport) Schema(_ context.Context, _ fwresource.SchemaRequest, resp *fwresource.SchemaResponse) {
	text, either := schema.StringAttribute{Optional: true}, schema.StringAttribute{Optional: true, Computed: true}
	computed := schema.StringAttribute{Computed: true}
	list := func(attributes map[string]schema.Attribute, blocks map[string]schema.Block) schema.Block {
		return schema.ListNestedBlock{NestedObject: schema.NestedBlockObject{Attributes: attributes, Blocks: blocks}}
	}
	resp.Schema = schema.Schema{
		Attributes: map[string]schema.Attribute{
			"id": computed, "arn": computed, "data_encryption_key_id": computed, "outpost_arn": computed, "owner_alias": computed, "owner_id": computed,
			"volume_id": computed, "volume_size": schema.Int64Attribute{Computed: true}, "description": either, "kms_key_id": either, "region": either,
			"encrypted": schema.BoolAttribute{Optional: true, Computed: true}, "permanent_restore": schema.BoolAttribute{Optional: true},
			"role_name": either, "storage_tier": either, "temporary_restore_days": schema.Int64Attribute{Optional: true},
			"tags":     schema.MapAttribute{Optional: true, ElementType: types.StringType},
			"tags_all": schema.MapAttribute{Optional: true, Computed: true, ElementType: types.StringType},
		},
		Blocks: map[string]schema.Block{
			"client_data": list(map[string]schema.Attribute{
				"comment": text, "upload_end": either, "upload_start": either, "upload_size": schema.Float64Attribute{Optional: true, Computed: true},
			}, nil),
			"disk_container": list(map[string]schema.Attribute{"description": text, "format": schema.StringAttribute{Required: true}, "url": text}, map[string]schema.Block{
				"user_bucket": list(map[string]schema.Attribute{"s3_bucket": schema.StringAttribute{Required: true}, "s3_key": schema.StringAttribute{Required: true}}, nil),
			}),
			"timeouts": schema.SingleNestedBlock{Attributes: map[string]schema.Attribute{"create": text, "delete": text}},
		},
	}
}

// Create imports as the peer does, with every argument, and leaves what its read behind it finds: VM Import's description, the key's ARN.
func (r peerImport) Create(ctx context.Context, req fwresource.CreateRequest, resp *fwresource.CreateResponse) {
	// What ends the test must not leave the CLI without an answer.
	ended, whole := make(chan struct{}), false
	go func() {
		defer close(ended)
		r.create(ctx, req, resp)
		whole = true
	}()
	if <-ended; !whole {
		resp.Diagnostics.AddError("The stand-in for hashicorp/aws failed", "The test's own output says why.")
	}
}

func (r peerImport) create(ctx context.Context, req fwresource.CreateRequest, resp *fwresource.CreateResponse) {
	var m peerModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	request := []string{"RoleName", "vmimport", "DiskContainer.Url", "", "Description", m.Description.ValueString()}
	for name, value := range map[string]types.String{"RoleName": m.RoleName, "KmsKeyId": m.KmsKeyID} {
		if value.ValueString() != "" {
			request = append(request, name, value.ValueString())
		}
	}
	if m.Encrypted.ValueBool() {
		request = append(request, "Encrypted", "true")
	}
	container := m.DiskContainer[0]
	request = append(request, "DiskContainer.Format", container.Format.ValueString(), "DiskContainer.Description", container.Description.ValueString())
	if url := container.URL.ValueString(); url != "" {
		request = append(request, "DiskContainer.Url", url)
	}
	for _, b := range container.UserBucket {
		request = append(request, "DiskContainer.UserBucket.S3Bucket", b.Bucket.ValueString(), "DiskContainer.UserBucket.S3Key", b.Key.ValueString())
	}
	for _, d := range m.ClientData {
		request = append(request, "ClientData.Comment", d.Comment.ValueString(), "ClientData.UploadSize", fmt.Sprint(d.UploadSize.ValueFloat64()))
	}
	r.task = element(r.site.Call(r.t, "ImportSnapshot", here, request...), "importTaskId")
	r.snapshot = r.site.Await(r.t, here, r.task)
	tags := map[string]string{}
	resp.Diagnostics.Append(m.Tags.ElementsAs(ctx, &tags, false)...)
	for key, value := range tags {
		r.site.Call(r.t, "CreateTags", here, "ResourceId.1", r.snapshot, "ResourceId.2", r.task, "Tag.1.Key", key, "Tag.1.Value", value)
	}
	shown := r.site.Call(r.t, "DescribeSnapshots", here, "SnapshotId.1", r.snapshot)

	m.ID, m.ARN = types.StringValue(r.snapshot), types.StringValue("arn:aws:ec2:us-east-1::snapshot/"+r.snapshot)
	m.Description, m.KmsKeyID = types.StringValue(element(shown, "description")), types.StringValue(element(shown, "kmsKeyId"))
	m.Encrypted, m.StorageTier = types.BoolValue(element(shown, "encrypted") == "true"), types.StringValue("standard")
	m.OwnerID, m.VolumeSize = types.StringValue(element(shown, "ownerId")), types.Int64Value(1)
	m.DataEncryptionKeyID, m.OutpostARN, m.OwnerAlias, m.VolumeID = types.StringValue(""), types.StringValue(""), types.StringValue(""), types.StringNull()
	m.Region = types.StringNull()
	if r.region {
		m.Region = types.StringValue(here)
	}
	if m.RoleName.ValueString() == "" {
		m.RoleName = types.StringValue("vmimport")
	}
	m.TagsAll = m.Tags
	if m.Tags.IsNull() {
		m.TagsAll = types.MapValueMust(types.StringType, nil)
	}
	for i := range m.ClientData {
		m.ClientData[i].UploadStart, m.ClientData[i].UploadEnd = types.StringValue(""), types.StringValue("")
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (peerImport) Read(context.Context, fwresource.ReadRequest, *fwresource.ReadResponse)       {}
func (peerImport) Update(context.Context, fwresource.UpdateRequest, *fwresource.UpdateResponse) {}
func (r peerImport) Delete(context.Context, fwresource.DeleteRequest, *fwresource.DeleteResponse) {
	r.deleted = errors.New("the moved resource was destroyed")
}
