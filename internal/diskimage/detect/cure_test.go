package detect_test

import (
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
)

func TestToRAW(t *testing.T) {
	const hyperV = "`Convert-VHD -Path SRC.avhdx -DestinationPath DST.vhdx -VHDType Dynamic`"
	for cure, want := range map[string]string{
		"convert it with `qemu-img convert -f qcow2 -O vmdk -o subformat=streamOptimized SRC DST.vmdk`": "convert it with `qemu-img convert -f qcow2 -O raw SRC DST.raw`",
		"put it beside SRC.vhd and run `terraform-provider-ec2 convert --to vmdk SRC.vhd DST.vmdk`":     "put it beside SRC.vhd and run `terraform-provider-ec2 convert SRC.vhd DST.raw`",
		"`terraform-provider-ec2 convert --to vmdk DESCRIPTOR.vmdk DST.vmdk`":                           "`terraform-provider-ec2 convert DESCRIPTOR.vmdk DST.raw`",
		"`terraform-provider-ec2 convert --to vmdk SRC.avhdx DST.vmdk`, or " + hyperV:                   "`terraform-provider-ec2 convert SRC.avhdx DST.raw`, or " + hyperV,
		"`vmware-vdiskmanager -r SRC -t 5 DST.vmdk`":                                                    "`vmware-vdiskmanager -r SRC -t 5 DST.vmdk`", // which writes nothing else
		"decompress it with `gzip -dc SRC > DST`":                                                       "decompress it with `gzip -dc SRC > DST`",
	} {
		if got := detect.ToRAW(cure); got != want {
			t.Errorf("%q: %q, want %q", cure, got, want)
		}
	}
}

func TestVerdictFor(t *testing.T) {
	const convert = "convert it with `terraform-provider-ec2 convert --to vmdk SRC DST.vmdk`"
	for _, c := range []struct{ cure, name, want string }{
		{convert, "disk.vmdk", "convert it with `terraform-provider-ec2 convert --to vmdk disk.vmdk NEW.vmdk`"},
		{convert, "my disk.vmdk", "convert it with `terraform-provider-ec2 convert --to vmdk 'my disk.vmdk' NEW.vmdk`"},
		{convert, "it's.vmdk", `convert it with ` + "`" + `terraform-provider-ec2 convert --to vmdk 'it'\''s.vmdk' NEW.vmdk` + "`"},
		{convert, "$(reboot)", "convert it with `terraform-provider-ec2 convert --to vmdk '$(reboot)' NEW.vmdk`"},
		{convert, "-f.vmdk", "convert it with `terraform-provider-ec2 convert --to vmdk ./-f.vmdk NEW.vmdk`"},
		{convert, "SRC", "convert it with `terraform-provider-ec2 convert --to vmdk SRC NEW.vmdk`"},
		{convert, "two\nlines", convert},
		{convert, "caf\xe9.vmdk", convert},
		{convert, "", convert},
		{"`Convert-VHD -Path SRC.vhd -DestinationPath DST.vhd`", "a.vhd", "`Convert-VHD -Path a.vhd -DestinationPath NEW.vhd`"},
		{"`Convert-VHD -Path SRC.avhdx -DestinationPath DST.vhdx`", "a.avhdx", "`Convert-VHD -Path a.avhdx -DestinationPath NEW.vhdx`"},
		{"`Mount-VHD -Path SRC.vhdx -NoDriveLetter; Dismount-VHD -Path SRC.vhdx`", "a.vhdx", "`Mount-VHD -Path a.vhdx -NoDriveLetter; Dismount-VHD -Path a.vhdx`"},
	} {
		v := detect.Verdict{Reason: "SRC", Cure: c.cure}.For(c.name)
		if v.Cure != c.want || v.Reason != "SRC" {
			t.Errorf("%q: %q, want %q", c.name, v.Cure, c.want)
		}
	}
}
