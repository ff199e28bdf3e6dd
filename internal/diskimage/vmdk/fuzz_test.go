package vmdk_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// FuzzOpen feeds foreign bytes: whatever they are, the reader ends, stays inside the disk, keeps its promises about extents, and its errors have
// a type.
func FuzzOpen(f *testing.F) {
	for _, layout := range testimage.Layouts {
		v := testimage.VMDK{Layout: layout, Size: 5*4096 + 512, GrainSectors: 8, GTEs: 2, Redundant: true}
		f.Add(v.Build(testimage.Run{Data: pattern(4096, 1)}, testimage.Run{Offset: 4096, Zero: 4096}, testimage.Run{Offset: 5 * 4096, Data: pattern(512, 2)}).Data)
	}
	for _, redundant := range []bool{true, false} {
		v := testimage.VMDK{Size: 5*4096 + 512, GrainSectors: 8, GTEs: 2, Redundant: redundant, ShortLast: redundant}
		f.Add(v.BuildSparse(testimage.Run{Data: pattern(4096, 1)}, testimage.Run{Offset: 4096, Zero: 4096}, testimage.Run{Offset: 5 * 4096, Data: pattern(512, 2)}).Data)
	}
	f.Add([]byte("# Disk DescriptorFile\nversion=1\ncreateType=\"monolithicFlat\"\nRW 2048 FLAT \"x-flat.vmdk\" 0\n"))
	f.Add([]byte("COWD\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		img, err := vmdk.Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			typed(t, err)
			return
		}
		end, seen := int64(0), 0
		for e, err := range img.Extents() {
			if err != nil {
				typed(t, err)
				break
			}
			if e.Length <= 0 || e.Offset < end || e.End() > img.Size() {
				t.Fatalf("extent %+v after %d in a disk of %d bytes", e, end, img.Size())
			}
			end = e.End()
			if seen++; seen > 16 {
				break
			}
			b := make([]byte, min(e.Length, 64<<10))
			n, err := img.ReadAt(b, e.Offset)
			if err != nil {
				typed(t, err)
			} else if n != len(b) {
				t.Fatalf("ReadAt: %d of %d bytes without an error", n, len(b))
			} else if e.Zero && len(bytes.Trim(b, "\x00")) > 0 {
				t.Fatalf("explicit zeros %+v read as something else", e)
			}
		}
	})
}

func typed(t *testing.T, err error) {
	t.Helper()
	_, corrupt := errors.AsType[*diskimage.CorruptError](err)
	_, unsupported := errors.AsType[*diskimage.UnsupportedError](err)
	if !corrupt && !unsupported {
		t.Fatalf("error of type %T: %v", err, err)
	}
}
