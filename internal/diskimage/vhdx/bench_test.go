package vhdx_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhdx"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// layered is a disk of 64 blocks of 2 MiB, of which every other one is stored in full, in a file; with a parent of the same size under it, where wanted,
// every other KiB of the stored blocks is the parent's.
func layered(b testing.TB, parent bool) (*vhdx.Image, int64) {
	b.Helper()
	const size = 64 * 2 * mib
	v := testimage.VHDX{ID: id(1), BlockSize: 2 * mib, Size: size}
	d := &directory{files: map[string][]byte{}}
	var runs []testimage.Run
	for at := int64(0); at < size; at += 4 * mib {
		runs = append(runs, testimage.Run{Offset: at, Data: pattern(2*mib, uint64(at))})
	}
	f := v.Build(runs...)
	if parent {
		d.files["parent"] = f.Data
		v.ID, v.Locator = id(2), testimage.VHDXLocator(id(1), "parent")
		runs = runs[:0]
		for at := int64(0); at < size; at += 2 << 10 {
			if at%(4*mib) < 2*mib {
				runs = append(runs, testimage.Run{Offset: at, Data: pattern(1<<10, uint64(at))})
			}
		}
		f = v.Build(runs...)
	}
	name := filepath.Join(b.TempDir(), "disk.vhdx")
	if err := os.WriteFile(name, f.Data, 0o600); err != nil {
		b.Fatal(err)
	}
	file, err := os.Open(name) //nolint:gosec // in a directory of the test
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = file.Close() })
	img, err := vhdx.OpenBeside(file, int64(len(f.Data)), d.opener)
	if err != nil {
		b.Fatal(err)
	}
	return img, size
}

// Reads of a MiB, as the converter's, of what is stored and what is not.
func BenchmarkReadAt(b *testing.B) {
	for _, parent := range []bool{false, true} {
		b.Run(fmt.Sprintf("child=%v", parent), func(b *testing.B) {
			img, size := layered(b, parent)
			p := make([]byte, mib)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				for at := int64(0); at < size; at += mib {
					if _, err := img.ReadAt(p, at); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkExtents(b *testing.B) {
	for _, parent := range []bool{false, true} {
		b.Run(fmt.Sprintf("child=%v", parent), func(b *testing.B) {
			img, size := layered(b, parent)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				extents(b, img)
			}
		})
	}
}

// The BAT of a disk of 15 TiB in blocks of 1 MiB is 120 MiB long.
func BenchmarkCheck(b *testing.B) {
	f := testimage.VHDX{Size: 15 << 40}.Build(testimage.Run{Offset: 14 << 40, Data: pattern(mib, 1)})
	b.SetBytes(f.BATSize)
	b.ReportAllocs()
	for b.Loop() {
		mustOpen(b, f)
	}
}
