package diskimage_test

import (
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// Errors say format, structure, field, offset, value and why, and leave out what there is not.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{
			&diskimage.CorruptError{Format: "VMDK", Structure: "grain table", Field: "entry 3", Offset: 1024, Value: uint32(9), Reason: "it points nowhere"},
			"corrupt VMDK: grain table at byte 1024, entry 3 = 9: it points nowhere",
		},
		{
			&diskimage.CorruptError{Format: "VHD", Structure: "footer", Offset: 512, Reason: "the file ends inside it"},
			"corrupt VHD: footer at byte 512: the file ends inside it",
		},
		{
			&diskimage.UnsupportedError{Format: "VMDK", SubFormat: "monolithicSparse", Reason: "it is not stream-optimized", Cure: "convert it"},
			"unsupported VMDK (monolithicSparse): it is not stream-optimized; convert it",
		},
		{&diskimage.UnsupportedError{Format: "ISO", Reason: "it is an optical disc"}, "unsupported ISO: it is an optical disc"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
