package detect_test

import (
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
)

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
