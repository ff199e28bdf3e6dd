package acctest

import (
	"context"
	"reflect"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
)

// Stoppable puts the plugin server that Terraform talks to before the applies of c: there a StopProvider arrives, and ends the contexts of all calls.
// What is returned is StopProvider. Diagnostics come without their paths.
func (c *Core) Stoppable() (stop func()) {
	server := tf6server.New("registry.terraform.io/ec2-import-snapshot/ec2", c.server, tf6server.WithLoggingSink(c.t)) // else it fills stderr at TRACE
	c.server = behind{c.server, func(ctx context.Context, req *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
		return transmit(ctx, server.ApplyResourceChange, req)
	}}
	ctx := context.WithoutCancel(c.t.Context())
	return func() {
		if _, err := server.StopProvider(ctx, nil); err != nil {
			c.t.Errorf("StopProvider: %v", err)
		}
	}
}

type behind struct {
	tfprotov6.ProviderServer
	apply func(context.Context, *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error)
}

func (b behind) ApplyResourceChange(ctx context.Context, req *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	return b.apply(ctx, req)
}

// transmit makes a call with the messages of the wire, whose types are plugin-go's own and can only be inferred.
func transmit[Req, Resp any](
	ctx context.Context, call func(context.Context, *Req) (*Resp, error), req *tfprotov6.ApplyResourceChangeRequest,
) (*tfprotov6.ApplyResourceChangeResponse, error) {
	message := new(Req)
	out := reflect.ValueOf(message).Elem()
	out.FieldByName("TypeName").SetString(req.TypeName)
	out.FieldByName("PlannedPrivate").SetBytes(req.PlannedPrivate)
	for name, value := range map[string]*tfprotov6.DynamicValue{"PriorState": req.PriorState, "PlannedState": req.PlannedState, "Config": req.Config} {
		made(out.FieldByName(name)).FieldByName("Msgpack").SetBytes(value.MsgPack)
	}
	if req.PlannedIdentity != nil {
		made(made(out.FieldByName("PlannedIdentity")).FieldByName("IdentityData")).FieldByName("Msgpack").SetBytes(req.PlannedIdentity.IdentityData.MsgPack)
	}
	answer, err := call(ctx, message)
	if err != nil {
		return nil, err
	}
	in := reflect.ValueOf(answer).Elem()
	resp := &tfprotov6.ApplyResourceChangeResponse{
		NewState: &tfprotov6.DynamicValue{MsgPack: in.FieldByName("NewState").Elem().FieldByName("Msgpack").Bytes()}, Private: in.FieldByName("Private").Bytes(),
	}
	if identity := in.FieldByName("NewIdentity"); !identity.IsNil() {
		resp.NewIdentity = &tfprotov6.ResourceIdentityData{IdentityData: &tfprotov6.DynamicValue{
			MsgPack: identity.Elem().FieldByName("IdentityData").Elem().FieldByName("Msgpack").Bytes(),
		}}
	}
	for i := range in.FieldByName("Diagnostics").Len() {
		d := in.FieldByName("Diagnostics").Index(i).Elem()
		resp.Diagnostics = append(resp.Diagnostics, &tfprotov6.Diagnostic{
			Severity: tfprotov6.DiagnosticSeverity(d.FieldByName("Severity").Int()), Summary: d.FieldByName("Summary").String(), Detail: d.FieldByName("Detail").String(),
		})
	}
	return resp, nil
}

// made makes what a pointer points to.
func made(pointer reflect.Value) reflect.Value {
	pointer.Set(reflect.New(pointer.Type().Elem()))
	return pointer.Elem()
}
