package acctest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/hashicorp/terraform-plugin-log/tflogtest"
)

const resourceType = "ec2_import_snapshot"

// Core plays Terraform's part against the provider, at the level of the protocol and without a CLI: for what a CLI does not show, such as the paths
// of diagnostics and the private state, and for what would take it minutes. It holds the provider to what Terraform holds it to.
type Core struct {
	t        *testing.T
	ctx      context.Context // of the calls for which a test names none
	server   tfprotov6.ProviderServer
	provider tftypes.Type
	resource tftypes.Type
	computed map[string]bool

	// Arguments are the names that a configuration may give: of the resource, and of the provider's block.
	Arguments, ProviderArguments []string
}

// Object is a resource in a state.
type Object struct {
	raw      tftypes.Value
	private  []byte
	identity *tfprotov6.ResourceIdentityData
	Tainted  bool
}

// Plan is a planned change.
type Plan struct {
	Action   string   // create, update, replace, no-op
	Replaces []string // the attributes that need a replacement
	prior    *Object
	config   tftypes.Value
	planned  tftypes.Value
	private  []byte
	identity *tfprotov6.ResourceIdentityData
}

// StartCore starts a provider that is not configured yet.
func StartCore(t *testing.T) *Core {
	t.Helper()
	server, err := Providers()["ec2"]()
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := server.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if d := diagnostics(schemas.Diagnostics); len(d) > 0 {
		t.Fatal(d)
	}
	schema := schemas.ResourceSchemas[resourceType]
	c := &Core{t: t, ctx: t.Context(), server: server, provider: schemas.Provider.ValueType(), resource: schema.ValueType(), computed: map[string]bool{}}
	for _, a := range schema.Block.Attributes {
		c.computed[a.Name] = a.Computed
		if a.Optional || a.Required {
			c.Arguments = append(c.Arguments, a.Name)
		}
	}
	for _, a := range schemas.Provider.Block.Attributes {
		c.ProviderArguments = append(c.ProviderArguments, a.Name)
	}
	for _, b := range schemas.Provider.Block.BlockTypes {
		c.ProviderArguments = append(c.ProviderArguments, b.TypeName)
	}
	return c
}

// NewCore starts a provider and configures it.
func NewCore(t *testing.T, config map[string]any) *Core {
	t.Helper()
	c := StartCore(t)
	if d := c.Configure(config); d.HasError() {
		t.Fatalf("the provider could not be configured:\n%s", d)
	}
	return c
}

// LogTo writes what the provider logs, at every level.
func (c *Core) LogTo(w io.Writer) { c.ctx = tflogtest.RootLogger(c.ctx, w) }

// ValidateProvider checks a provider block.
func (c *Core) ValidateProvider(config map[string]any) Diagnostics {
	c.t.Helper()
	resp, err := c.server.ValidateProviderConfig(c.ctx, &tfprotov6.ValidateProviderConfigRequest{Config: c.dynamic(c.provider, value(c.t, c.provider, config))})
	c.must(err)
	return diagnostics(resp.Diagnostics)
}

// Configure gives the provider its block.
func (c *Core) Configure(config map[string]any) Diagnostics {
	c.t.Helper()
	resp, err := c.server.ConfigureProvider(c.ctx, &tfprotov6.ConfigureProviderRequest{
		TerraformVersion: "1.11.4", Config: c.dynamic(c.provider, value(c.t, c.provider, config)),
	})
	c.must(err)
	return diagnostics(resp.Diagnostics)
}

// Validate checks a resource's configuration as `terraform validate` does.
func (c *Core) Validate(config map[string]any) Diagnostics {
	c.t.Helper()
	resp, err := c.server.ValidateResourceConfig(c.ctx, &tfprotov6.ValidateResourceConfigRequest{
		TypeName: resourceType, Config: c.dynamic(c.resource, value(c.t, c.resource, config)),
	})
	c.must(err)
	return diagnostics(resp.Diagnostics)
}

// Plan plans a change from prior, nil where there is none.
func (c *Core) Plan(prior *Object, config map[string]any) (*Plan, Diagnostics) {
	c.t.Helper()
	p := &Plan{prior: prior, config: value(c.t, c.resource, config)}
	before, private := tftypes.NewValue(c.resource, nil), []byte(nil)
	if prior != nil && !prior.Tainted {
		before, private = prior.raw, prior.private
	}
	d := c.plan(p, before, private)
	if prior != nil && !d.HasError() {
		switch {
		case prior.Tainted || len(p.Replaces) > 0:
			p.Action = "replace"
		case p.planned.Equal(prior.raw):
			p.Action = "no-op"
		default:
			p.Action = "update"
		}
	}
	return p, d
}

func (c *Core) plan(p *Plan, before tftypes.Value, private []byte) Diagnostics {
	c.t.Helper()
	req := &tfprotov6.PlanResourceChangeRequest{
		TypeName: resourceType, PriorState: c.dynamic(c.resource, before), Config: c.dynamic(c.resource, p.config),
		ProposedNewState: c.dynamic(c.resource, c.proposed(before, p.config)), PriorPrivate: private,
	}
	resp, err := c.server.PlanResourceChange(c.ctx, req)
	c.must(err)
	d := diagnostics(resp.Diagnostics)
	if d.HasError() {
		return d
	}
	p.Action, p.planned, p.private, p.identity, p.Replaces = "create", c.value(resp.PlannedState), resp.PlannedPrivate, resp.PlannedIdentity, nil
	for _, path := range resp.RequiresReplace {
		p.Replaces = append(p.Replaces, pathText(path))
	}
	slices.Sort(p.Replaces)
	planned, configured, was := attributes(c.t, p.planned), attributes(c.t, p.config), attributes(c.t, before)
	for name, v := range configured {
		// Terraform: "Provider produced invalid plan".
		if !v.IsNull() && !planned[name].Equal(v) && (was == nil || !planned[name].Equal(was[name])) {
			c.t.Errorf("%s is planned as %s, but configured as %s", name, planned[name], v)
		}
	}
	return d
}

// PlanDestroy plans the end of o.
func (c *Core) PlanDestroy(o *Object) Diagnostics {
	c.t.Helper()
	none := c.dynamic(c.resource, tftypes.NewValue(c.resource, nil))
	resp, err := c.server.PlanResourceChange(c.ctx, &tfprotov6.PlanResourceChangeRequest{
		TypeName: resourceType, PriorState: c.dynamic(c.resource, o.raw), Config: none, ProposedNewState: none, PriorPrivate: o.private,
	})
	c.must(err)
	return diagnostics(resp.Diagnostics)
}

// Apply carries a plan out. What it returns is nil where nothing is left in the state.
func (c *Core) Apply(ctx context.Context, p *Plan) (*Object, Diagnostics) {
	c.t.Helper()
	before := tftypes.NewValue(c.resource, nil)
	var all Diagnostics
	switch p.Action {
	case "no-op":
		return p.prior, nil
	case "update":
		before = p.prior.raw
	case "replace":
		all = c.Destroy(p.prior)
		if all.HasError() {
			return p.prior, all
		}
		again := &Plan{config: p.config}
		all = append(all, c.plan(again, before, nil)...)
		if all.HasError() {
			return nil, all
		}
		p = again
	}
	resp, err := c.server.ApplyResourceChange(ctx, &tfprotov6.ApplyResourceChangeRequest{
		TypeName: resourceType, PriorState: c.dynamic(c.resource, before), PlannedState: c.dynamic(c.resource, p.planned),
		Config: c.dynamic(c.resource, p.config), PlannedPrivate: p.private, PlannedIdentity: p.identity,
	})
	c.must(err)
	d := append(all, diagnostics(resp.Diagnostics)...)
	after := c.value(resp.NewState)
	if after.IsNull() {
		return nil, d
	}
	if !after.IsFullyKnown() {
		c.t.Errorf("the new state has unknown values: %s", after)
	}
	if !d.HasError() {
		// Terraform: "Provider produced inconsistent result after apply".
		conforms(c.t, resourceType, p.planned, after)
	}
	return &Object{raw: after, private: resp.Private, identity: resp.NewIdentity, Tainted: d.HasError() && before.IsNull()}, d
}

// Create plans and applies a new resource.
func (c *Core) Create(config map[string]any) (*Object, Diagnostics) {
	c.t.Helper()
	return c.Change(nil, config)
}

// Change refreshes, plans and applies, as `terraform apply` does.
func (c *Core) Change(prior *Object, config map[string]any) (*Object, Diagnostics) {
	c.t.Helper()
	var d Diagnostics
	if prior != nil {
		tainted := prior.Tainted
		prior, d = c.Read(prior)
		if d.HasError() {
			return prior, d
		}
		if prior != nil {
			prior.Tainted = tainted
		}
	}
	p, planned := c.Plan(prior, config)
	d = append(d, planned...)
	if planned.HasError() {
		return prior, d
	}
	after, applied := c.Apply(c.ctx, p)
	return after, append(d, applied...)
}

// Read refreshes; nil means gone.
func (c *Core) Read(o *Object) (*Object, Diagnostics) {
	c.t.Helper()
	resp, err := c.server.ReadResource(c.ctx, &tfprotov6.ReadResourceRequest{
		TypeName: resourceType, CurrentState: c.dynamic(c.resource, o.raw), Private: o.private, CurrentIdentity: o.identity,
	})
	c.must(err)
	d := diagnostics(resp.Diagnostics)
	after := c.value(resp.NewState)
	if after.IsNull() {
		return nil, d
	}
	return &Object{raw: after, private: resp.Private, identity: resp.NewIdentity}, d
}

// Destroy deletes.
func (c *Core) Destroy(o *Object) Diagnostics {
	c.t.Helper()
	none := tftypes.NewValue(c.resource, nil)
	resp, err := c.server.ApplyResourceChange(c.ctx, &tfprotov6.ApplyResourceChangeRequest{
		TypeName: resourceType, PriorState: c.dynamic(c.resource, o.raw), PlannedState: c.dynamic(c.resource, none),
		Config: c.dynamic(c.resource, none), PlannedPrivate: o.private, PlannedIdentity: o.identity,
	})
	c.must(err)
	d := diagnostics(resp.Diagnostics)
	if left := c.value(resp.NewState); !d.HasError() && !left.IsNull() {
		c.t.Error("the destroyed object is still in the state")
	} else if d.HasError() && left.IsNull() {
		c.t.Error("the object that could not be destroyed is not in the state any more")
	}
	return d
}

// Import adopts by id, and reads, as `terraform import` does.
func (c *Core) Import(id string) (*Object, Diagnostics) {
	c.t.Helper()
	return c.adopt(&tfprotov6.ImportResourceStateRequest{TypeName: resourceType, ID: id})
}

// ImportByIdentity adopts by identity, which CLIs offer from Terraform 1.12 on.
func (c *Core) ImportByIdentity(identity map[string]any) (*Object, Diagnostics) {
	c.t.Helper()
	return c.adopt(&tfprotov6.ImportResourceStateRequest{
		TypeName: resourceType, Identity: &tfprotov6.ResourceIdentityData{IdentityData: c.dynamic(c.identity(), value(c.t, c.identity(), identity))},
	})
}

// Move takes a resource of another type over, as a moved block does.
func (c *Core) Move(address, typeName string, state string) (*Object, Diagnostics) {
	c.t.Helper()
	resp, err := c.server.MoveResourceState(c.ctx, &tfprotov6.MoveResourceStateRequest{
		SourceProviderAddress: address, SourceTypeName: typeName, SourceState: &tfprotov6.RawState{JSON: []byte(state)}, TargetTypeName: resourceType,
	})
	c.must(err)
	d := diagnostics(resp.Diagnostics)
	if d.HasError() {
		return nil, d
	}
	o, read := c.Read(&Object{raw: c.value(resp.TargetState), private: resp.TargetPrivate, identity: resp.TargetIdentity})
	return o, append(d, read...)
}

func (c *Core) adopt(req *tfprotov6.ImportResourceStateRequest) (*Object, Diagnostics) {
	c.t.Helper()
	resp, err := c.server.ImportResourceState(c.ctx, req)
	c.must(err)
	d := diagnostics(resp.Diagnostics)
	if d.HasError() {
		return nil, d
	}
	if len(resp.ImportedResources) != 1 {
		c.t.Fatalf("%d imported resources", len(resp.ImportedResources))
	}
	got := resp.ImportedResources[0]
	o, read := c.Read(&Object{raw: c.value(got.State), private: got.Private, identity: got.Identity})
	return o, append(d, read...)
}

// Untaint is `terraform untaint`.
func (o *Object) Untaint() { o.Tainted = false }

// proposed is what Terraform proposes: the configuration, and for computed attributes without one what was there before.
func (c *Core) proposed(before, config tftypes.Value) tftypes.Value {
	proposed, was := attributes(c.t, config), attributes(c.t, before)
	for name, v := range proposed {
		if v.IsNull() && c.computed[name] && was != nil {
			proposed[name] = was[name]
		}
	}
	return tftypes.NewValue(c.resource, proposed)
}

func (c *Core) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *Core) dynamic(typ tftypes.Type, v tftypes.Value) *tfprotov6.DynamicValue {
	c.t.Helper()
	d, err := tfprotov6.NewDynamicValue(typ, v)
	c.must(err)
	return &d
}

func (c *Core) value(d *tfprotov6.DynamicValue) tftypes.Value {
	c.t.Helper()
	if d == nil {
		return tftypes.NewValue(c.resource, nil)
	}
	v, err := d.Unmarshal(c.resource)
	c.must(err)
	return v
}

// conforms reports known planned values that the new state does not have.
func conforms(t *testing.T, at string, planned, after tftypes.Value) {
	t.Helper()
	if !planned.IsKnown() {
		return
	}
	if inner := attributes(t, planned); inner != nil && !after.IsNull() {
		others := attributes(t, after)
		for name, v := range inner {
			conforms(t, at+"."+name, v, others[name])
		}
		return
	}
	if !planned.Equal(after) {
		t.Errorf("%s was planned as %s, but is %s after the apply", at, planned, after)
	}
}

// attributes are the members of an object or a map; nil for anything else, and for null.
func attributes(t *testing.T, v tftypes.Value) map[string]tftypes.Value {
	t.Helper()
	if v.IsNull() || !v.IsKnown() || !(v.Type().Is(tftypes.Object{}) || v.Type().Is(tftypes.Map{})) {
		return nil
	}
	var m map[string]tftypes.Value
	if err := v.As(&m); err != nil {
		t.Fatal(fmt.Errorf("reading an object: %w", err))
	}
	return maps.Clone(m) // As gives the value's own
}

// Changed is what a plan changes, for the message of a test.
func (p *Plan) Changed() string {
	if p.prior == nil {
		return ""
	}
	differences, err := p.prior.raw.Diff(p.planned)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, d := range differences {
		fmt.Fprintln(&b, d)
	}
	return b.String()
}

// Upgrade brings a state that another version of the provider has stored, as JSON or (before Terraform 0.12) as a flat map, up to this one.
func (c *Core) Upgrade(version int64, state tfprotov6.RawState) (*Object, Diagnostics) {
	c.t.Helper()
	resp, err := c.server.UpgradeResourceState(c.ctx, &tfprotov6.UpgradeResourceStateRequest{TypeName: resourceType, Version: version, RawState: &state})
	c.must(err)
	d := diagnostics(resp.Diagnostics)
	if d.HasError() {
		return nil, d
	}
	return &Object{raw: c.value(resp.UpgradedState)}, d
}

// JSON is the object as a state file has it.
func (o *Object) JSON(t *testing.T) []byte {
	t.Helper()
	text, err := json.Marshal(plain(o.raw))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Same reports whether both have the same values.
func (o *Object) Same(other *Object) bool { return o.raw.Equal(other.raw) }

// Identity is the identity of an object, nil where it has none.
func (c *Core) Identity(o *Object) map[string]any {
	c.t.Helper()
	if o.identity == nil {
		return nil
	}
	v, err := o.identity.IdentityData.Unmarshal(c.identity())
	c.must(err)
	m, _ := plain(v).(map[string]any)
	return m
}

// WithIdentity is the object under another identity.
func (c *Core) WithIdentity(o *Object, identity map[string]any) *Object {
	c.t.Helper()
	other := *o
	other.identity = &tfprotov6.ResourceIdentityData{IdentityData: c.dynamic(c.identity(), value(c.t, c.identity(), identity))}
	return &other
}

func (c *Core) identity() tftypes.Type {
	c.t.Helper()
	schemas, err := c.server.GetResourceIdentitySchemas(c.ctx, &tfprotov6.GetResourceIdentitySchemasRequest{})
	c.must(err)
	return schemas.IdentitySchemas[resourceType].ValueType()
}
