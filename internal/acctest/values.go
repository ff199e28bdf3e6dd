package acctest

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

type unknown struct{}

// Unknown stands for a value that is not known while planning.
var Unknown = unknown{}

// value makes a value of typ: maps for objects and maps, slices for lists and sets, nil for null. Members of objects that are left out are null.
func value(t *testing.T, typ tftypes.Type, from any) tftypes.Value {
	t.Helper()
	switch from.(type) {
	case nil:
		return tftypes.NewValue(typ, nil)
	case unknown:
		return tftypes.NewValue(typ, tftypes.UnknownValue)
	}
	switch typ := typ.(type) {
	case tftypes.Object:
		given, ok := from.(map[string]any)
		if !ok {
			t.Fatalf("%v is no object", from)
		}
		members := map[string]tftypes.Value{}
		for name, inner := range typ.AttributeTypes {
			members[name] = value(t, inner, given[name])
		}
		for name := range given {
			if _, known := members[name]; !known {
				t.Fatalf("there is no attribute %s", name)
			}
		}
		return tftypes.NewValue(typ, members)
	case tftypes.Map:
		elements := map[string]tftypes.Value{}
		for key, v := range from.(map[string]any) {
			elements[key] = value(t, typ.ElementType, v)
		}
		return tftypes.NewValue(typ, elements)
	case tftypes.List:
		return tftypes.NewValue(typ, values(t, typ.ElementType, from))
	case tftypes.Set:
		return tftypes.NewValue(typ, values(t, typ.ElementType, from))
	}
	switch v := from.(type) {
	case int:
		return tftypes.NewValue(typ, int64(v))
	default:
		return tftypes.NewValue(typ, v)
	}
}

func values(t *testing.T, typ tftypes.Type, from any) []tftypes.Value {
	t.Helper()
	list := []tftypes.Value{}
	for _, v := range from.([]any) {
		list = append(list, value(t, typ, v))
	}
	return list
}

// HCL writes a configuration for a CLI. Unknown becomes the output of a terraform_data named unknown that is not there yet.
func HCL(config map[string]any) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(config)) {
		fmt.Fprintf(&b, "%s = %s\n", name, expression(config[name]))
	}
	return b.String()
}

func expression(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case unknown:
		return "terraform_data.unknown.output"
	case string:
		// HCL's quotes are those of Go, but for templates.
		return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(fmt.Sprintf("%q", v))
	case map[string]any:
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, fmt.Sprintf("%q = %s", name, expression(v[name])))
		}
		return "{ " + strings.Join(parts, ", ") + " }"
	default:
		return fmt.Sprint(v)
	}
}

// Get is the value at a path such as source.format, as Go has it: nil for null and for what is not there.
func (o *Object) Get(path string) any { return get(o.raw, path) }

// Text is Get for a text, "" for null.
func (o *Object) Text(path string) string {
	s, _ := o.Get(path).(string)
	return s
}

// Get is the planned value at a path; Unknown where it is known after the apply.
func (p *Plan) Get(path string) any { return get(p.planned, path) }

func get(v tftypes.Value, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		if !v.IsKnown() {
			return Unknown
		}
		var members map[string]tftypes.Value
		if v.IsNull() || v.As(&members) != nil {
			return nil
		}
		inner, ok := members[name]
		if !ok {
			return nil
		}
		v = inner
	}
	return plain(v)
}

func plain(v tftypes.Value) any {
	switch {
	case !v.IsKnown():
		return Unknown
	case v.IsNull():
		return nil
	}
	var text string
	if v.As(&text) == nil {
		return text
	}
	var yes bool
	if v.As(&yes) == nil {
		return yes
	}
	number := new(big.Float)
	if v.As(&number) == nil {
		f, _ := number.Float64()
		return f
	}
	var members map[string]tftypes.Value
	if v.As(&members) == nil {
		m := map[string]any{}
		for name, inner := range members {
			m[name] = plain(inner)
		}
		return m
	}
	return v.String()
}

// Diagnostic is one error or warning.
type Diagnostic struct {
	Error           bool
	Path            string // disk_container.url, tags["a"]; "" for none
	Summary, Detail string
}

// Diagnostics are what a call of the provider answered beside its values.
type Diagnostics []Diagnostic

func diagnostics(list []*tfprotov6.Diagnostic) Diagnostics {
	var d Diagnostics
	for _, each := range list {
		d = append(d, Diagnostic{
			Error: each.Severity == tfprotov6.DiagnosticSeverityError, Path: pathText(each.Attribute), Summary: each.Summary, Detail: each.Detail,
		})
	}
	return d
}

// HasError says whether one of them is an error.
func (d Diagnostics) HasError() bool { return len(d.Errors()) > 0 }

// Errors are those that are errors.
func (d Diagnostics) Errors() Diagnostics { return d.of(true) }

// Warnings are those that are none.
func (d Diagnostics) Warnings() Diagnostics { return d.of(false) }

func (d Diagnostics) of(errors bool) (list Diagnostics) {
	for _, each := range d {
		if each.Error == errors {
			list = append(list, each)
		}
	}
	return list
}

func (d Diagnostics) String() string {
	var b strings.Builder
	for _, each := range d {
		kind := "Warning"
		if each.Error {
			kind = "Error"
		}
		fmt.Fprintf(&b, "%s at %q: %s\n%s\n", kind, each.Path, each.Summary, each.Detail)
	}
	return b.String()
}

func pathText(path *tftypes.AttributePath) string {
	var b strings.Builder
	if path == nil {
		return ""
	}
	for _, step := range path.Steps() {
		switch step := step.(type) {
		case tftypes.AttributeName:
			if b.Len() > 0 {
				b.WriteString(".")
			}
			b.WriteString(string(step))
		case tftypes.ElementKeyString:
			fmt.Fprintf(&b, "[%q]", string(step))
		case tftypes.ElementKeyInt:
			fmt.Fprintf(&b, "[%d]", int64(step))
		case tftypes.ElementKeyValue:
			b.WriteString("[*]")
		}
	}
	return b.String()
}
