package provider_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// TestP19CutOff: what was cut off on its way is refused where that is certain, and a warning, in the plan and in the apply, where it is a doubt.
func TestP19CutOff(t *testing.T) {
	content := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{'c', 'u', 't'}).Read(content)
	run := testimage.Run{Data: content}
	const size = 8 << 20
	fixed := testimage.VHD{Fixed: true, Size: size}.Build(run)
	dynamic := testimage.VHD{Size: size}.Build(run)
	vhdx := testimage.VHDX{Size: size}.Build(run).Data
	front := testimage.VMDK{Layout: testimage.GDInFront, Size: size}.Build(run).Data
	end := testimage.VMDK{Layout: testimage.GDAtEnd, Size: size}.Build(run)
	without := func(b []byte, n int) []byte { return b[:len(b)-n] }
	for name, test := range map[string]struct {
		key, format string
		image       []byte
		says        string // of a doubt
		refused     string
	}{
		"RAW, no whole sector":             {key: "disk.raw", image: without(content, 100), says: "no multiple of 512"},
		"fixed VHD without its footer":     {key: "disk.vhd", image: fixed.Data[:fixed.Footer], says: "nothing in it is of a VHD, as its name says"},
		"fixed VHD cut, in any case":       {key: "DISK.VHD", image: fixed.Data[:size/2], says: "nothing in it is of a VHD"},
		"fixed VHD cut, declared":          {key: "disk.vhd", format: "vhd", image: fixed.Data[:size/2], refused: "declared to be VHD"},
		"fixed VHD cut, named otherwise":   {key: "disk.img", image: fixed.Data[:size/2]},
		"fixed VHD cut in its middle":      {key: "disk.vhd", image: fixed.Data[size/2:], refused: "cut off"},
		"dynamic VHD without its footer":   {key: "disk.vhd", image: dynamic.Data[:dynamic.Footer], refused: "Footers not identical"},
		"dynamic VHD cut":                  {key: "disk.vhd", image: dynamic.Data[:dynamic.Footer/2], refused: "cut off"},
		"VHDX cut":                         {key: "disk.vhdx", image: without(vhdx, 1), refused: "cut off"},
		"stream without its footer":        {key: "disk.vmdk", image: end.Data[:end.Footer], refused: "cut off"},
		"stream without its end":           {key: "disk.vmdk", image: without(end.Data, 512), says: "without the end-of-stream marker"},
		"stream, tables in front, cut":     {key: "disk.vmdk", image: without(front, 4096), refused: "cut off"},
		"stream, tables in front, in half": {key: "disk.vmdk", image: front[:len(front)/2], refused: "cut off"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			e.Put(t, test.key, test.image)
			config := map[string]any{"disk_container": map[string]any{"url": "s3://images/" + test.key}}
			if test.format != "" {
				config["disk_container"] = map[string]any{"url": "s3://images/" + test.key, "format": test.format}
			}
			c := acctest.NewCore(t, e.Config())
			p, planned := c.Plan(nil, config)
			o, applied := c.Apply(t.Context(), p)
			says, want := test.says+test.refused, 1
			if says == "" {
				want = 0
			}
			if len(planned) != want || planned.HasError() || len(applied) != want || applied.HasError() != (test.refused != "") {
				t.Fatalf("planned with\n%s\napplied with\n%s", planned, applied)
			}
			for _, d := range append(planned, applied...) {
				if d.Path != "disk_container" || !strings.Contains(d.Detail, says) || !strings.Contains(d.Detail, "s3://images/"+test.key) {
					t.Errorf("want a diagnostic at disk_container that says %q, got\n%s: %s", says, d.Summary, d.Detail)
				}
			}
			if imported := accepted(e) == 1; imported != (test.refused == "") || imported != (o != nil) {
				t.Errorf("imported: %t, the object is %v", imported, o)
			}
			if o != nil && o.Get("source.importable") != true {
				t.Errorf("source is %v", o.Get("source"))
			}
		})
	}
}

// TestP18Format: a format that the content contradicts is refused, one in any case is not, and RAW takes anything, with a warning.
func TestP18Format(t *testing.T) {
	raw := bytes.Repeat([]byte("disk"), 1024)
	vhd := testimage.VHD{Size: 4 << 20}.Build(testimage.Run{Data: raw}).Data
	for name, test := range map[string]struct {
		key, format string
		summary     string
		refused     bool
	}{
		"VMDK":             {key: "disk.vmdk", format: "VMDK"},
		"vmdk":             {key: "disk.vmdk", format: "vmdk"},
		"VMDK called VHD":  {key: "disk.vmdk", format: "VHD", summary: "Image Not Importable", refused: true},
		"VMDK called VHDX": {key: "disk.vmdk", format: "VHDX", summary: "Image Not Importable", refused: true},
		"RAW called vmdk":  {key: "disk.raw", format: "vmdk", summary: "Image Not Importable", refused: true},
		"VHD called VHDX":  {key: "disk.vhd", format: "VHDX", summary: "Image Not Importable", refused: true},
		"VHD called raw":   {key: "disk.vhd", format: "raw", summary: "Image Looks Like VHD"},
		"VHD not called":   {key: "disk.vhd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			e.Put(t, "disk.vhd", vhd)
			container := map[string]any{"url": "s3://images/" + test.key}
			if test.format != "" {
				container["format"] = test.format
			}
			c := acctest.NewCore(t, e.Config())
			p, planned := c.Plan(nil, map[string]any{"disk_container": container})
			o, applied := c.Apply(t.Context(), p)
			want := 1
			if test.summary == "" {
				want = 0
			}
			if len(planned) != want || planned.HasError() || len(applied) != want || applied.HasError() != test.refused || (o == nil) != test.refused {
				t.Fatalf("planned with\n%s\napplied with\n%s", planned, applied)
			}
			for _, d := range append(planned, applied...) {
				if d.Summary != test.summary || !strings.HasPrefix(d.Path, "disk_container") {
					t.Errorf("want %q, got\n%s: %s", test.summary, d.Summary, d.Detail)
				}
			}
		})
	}
}
