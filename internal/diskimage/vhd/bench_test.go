package vhd_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhd"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// layered is a disk of 64 blocks of 2 MiB, of which every other one is stored in full, in a file; with a parent of the same size under it, where wanted,
// every other KiB of the stored blocks is the parent's.
func layered(b testing.TB, fixed, parent bool) (*vhd.Image, int64) {
	b.Helper()
	const size = 64 * 2 << 20
	v := testimage.VHD{ID: id("parent"), Fixed: fixed, Size: size}
	d := &folder{files: map[string][]byte{}}
	var runs []testimage.Run
	for at := int64(0); at < size; at += 4 << 20 {
		runs = append(runs, testimage.Run{Offset: at, Data: pattern(2<<20, uint64(at))})
	}
	data := v.Build(runs...).Data
	if parent {
		d.files["parent"] = data
		v = testimage.VHD{Size: size, ParentID: id("parent"), Relative: "parent"}
		runs = runs[:0]
		for at := int64(0); at < size; at += 2 << 10 {
			if at%(4<<20) < 2<<20 {
				runs = append(runs, testimage.Run{Offset: at, Data: pattern(1<<10, uint64(at))})
			}
		}
		data = v.Build(runs...).Data
	}
	name := filepath.Join(b.TempDir(), "disk.vhd")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := os.Open(name) //nolint:gosec // in a directory of the test
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	img, err := vhd.OpenBeside(f, int64(len(data)), d.open)
	if err != nil {
		b.Fatal(err)
	}
	return img, size
}

// Reads of a MiB, as the converter's, of what is stored and what is not.
func BenchmarkReadAt(b *testing.B) {
	for _, c := range []struct{ fixed, parent bool }{{true, false}, {false, false}, {true, true}, {false, true}} {
		b.Run(fmt.Sprintf("fixed=%v,child=%v", c.fixed, c.parent), func(b *testing.B) {
			img, size := layered(b, c.fixed, c.parent)
			p := make([]byte, 1<<20)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				for at := int64(0); at < size; at += int64(len(p)) {
					if _, err := img.ReadAt(p, at); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkExtents(b *testing.B) {
	for _, c := range []struct{ fixed, parent bool }{{false, false}, {true, true}, {false, true}} {
		b.Run(fmt.Sprintf("fixed=%v,child=%v", c.fixed, c.parent), func(b *testing.B) {
			img, size := layered(b, c.fixed, c.parent)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range img.Extents() {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkCheck is Open of the largest disk: 4 Mi blocks.
func BenchmarkCheck(b *testing.B) {
	f := largest(id("largest"), "")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := vhd.Open(f, f.Size()); err != nil {
			b.Fatal(err)
		}
	}
}

// Nothing is allocated for a block or for a run of sectors.
func TestAllocations(t *testing.T) {
	const blocks = 4000
	v := testimage.VHD{ID: id("base"), Size: blocks * 1024, BlockSize: 1024}
	var runs []testimage.Run
	for k := int64(0); k < blocks; k += 2 {
		runs = append(runs, testimage.Run{Offset: k * 1024, Data: pattern(512, uint64(k))})
	}
	d := &folder{}
	for _, v.Fixed = range []bool{false, true} {
		d.files = map[string][]byte{"base": v.Build(runs...).Data}
		child := testimage.VHD{ParentID: id("base"), Relative: "base", Size: v.Size, BlockSize: 4096}.Build(runs...).Data
		img, err := vhd.OpenBeside(bytes.NewReader(child), int64(len(child)), d.open)
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, v.Size)
		read := func() {
			if _, err := img.ReadAt(p, 0); err != nil {
				t.Error(err)
			}
		}
		walk := func() {
			for _, err := range img.Extents() {
				if err != nil {
					t.Error(err)
				}
			}
		}
		if n := testing.AllocsPerRun(5, read); n > 0 {
			t.Errorf("fixed parent %v: ReadAt allocates %v times", v.Fixed, n)
		}
		if n := testing.AllocsPerRun(5, walk); n > 20 {
			t.Errorf("fixed parent %v: Extents allocates %v times", v.Fixed, n)
		}
	}
}
