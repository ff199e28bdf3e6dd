package vhd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhd"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// model is what a chain must read as.
type model struct {
	disk   []byte
	stored []bool // by sector
}

// apply lays a disk over the model of its parent.
func (m *model) apply(v testimage.VHD, f *testimage.VHDFile, runs []testimage.Run) {
	disk, stored := make([]byte, v.Size), make([]bool, v.Size/512)
	if v.Relative != "" {
		copy(disk, m.disk)
		copy(stored, m.stored)
	}
	for _, r := range runs {
		clear(disk[r.Offset : r.Offset+r.Zero])
		copy(disk[r.Offset:], r.Data)
		for s := r.Offset / 512; s*512 < r.Offset+max(r.Zero, int64(len(r.Data))); s++ {
			stored[s] = true
		}
	}
	for s := range stored {
		_, there := f.Block[int64(s)*512/v.BlockSize]
		stored[s] = stored[s] || v.Fixed || v.Relative == "" && there
	}
	m.disk, m.stored = disk, stored
}

func (m *model) extents() (out []diskimage.Extent) {
	for s, is := range m.stored {
		switch at := int64(s) * 512; {
		case !is:
		case len(out) > 0 && out[len(out)-1].End() == at:
			out[len(out)-1].Length += 512
		default:
			out = append(out, diskimage.Extent{Offset: at, Length: 512})
		}
	}
	return out
}

// Any chain, of disks of any size, laid out in any way, reads as the disks laid over each other do: its bytes, and what of them is stored.
func TestChains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, m, name := &folder{files: map[string][]byte{}}, model{}, ""
		for k := range rapid.IntRange(1, 4).Draw(t, "disks") {
			v := testimage.VHD{
				ID:          id(fmt.Sprint("disk ", k)),
				Size:        512 * rapid.Int64Range(1, 600).Draw(t, "sectors"),
				ShortFooter: rapid.Bool().Draw(t, "short footer"),
				BlockSize:   rapid.SampledFrom([]int64{512, 1024, 4096, 64 << 10, 4 << 20}).Draw(t, "block"),
				Slack:       rapid.Int64Range(0, 300).Draw(t, "slack"),
				Gap:         rapid.Int64Range(0, 3).Draw(t, "gap"),
				ShortLast:   rapid.Bool().Draw(t, "short last"),
			}
			if k > 0 {
				v.ParentID, v.Relative = id(fmt.Sprint("disk ", k-1)), `.\`+name
			} else if rapid.Bool().Draw(t, "fixed") {
				v.Fixed, v.ShortLast = true, false
			}
			for index := range (v.Size + v.BlockSize - 1) / v.BlockSize {
				v.Order = append(v.Order, index)
			}
			if rapid.Bool().Draw(t, "shuffled") {
				v.Order = rapid.Permutation(v.Order).Draw(t, "order")
			}
			var runs []testimage.Run
			for s := rapid.Int64Range(0, 100).Draw(t, "first"); s*512 < v.Size; {
				n := rapid.Int64Range(1, min(v.Size/512-s, 40)).Draw(t, "length")
				if rapid.Bool().Draw(t, "zeros") {
					runs = append(runs, testimage.Run{Offset: s * 512, Zero: n * 512})
				} else {
					runs = append(runs, testimage.Run{Offset: s * 512, Data: pattern(int(n)*512, uint64(1000*k)+uint64(s))})
				}
				s += n + rapid.Int64Range(0, 200).Draw(t, "hole")
			}
			f := v.Build(runs...)
			m.apply(v, f, runs)
			name = fmt.Sprintf("disk %d.vhd", k)
			d.files[name] = f.Data
		}
		img, err := vhd.OpenBeside(bytes.NewReader(d.files[name]), int64(len(d.files[name])), d.open)
		if err != nil {
			t.Fatal(err)
		}
		got := target(make([]byte, img.Size()))
		if _, err := convert.Copy(t.Context(), got, img, convert.Options{}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, m.disk) {
			t.Fatal("the converted bytes differ")
		}
		if n, err := img.ReadAt(got, 0); n != len(got) || err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(got, m.disk) {
			t.Fatalf("ReadAt = %d, %v, or other bytes", n, err)
		}
		var extents []diskimage.Extent
		for e, err := range img.Extents() {
			if err != nil {
				t.Fatal(err)
			}
			extents = append(extents, e)
		}
		if want := m.extents(); !slices.Equal(extents, want) {
			t.Fatalf("extents %v, want %v", extents, want)
		}
		if err := img.Close(); err != nil || d.left != 0 {
			t.Fatalf("Close: %v; %d files are open", err, d.left)
		}
	})
}

// FuzzChain feeds foreign bytes for a disk and the one that it differs from, joined by the name and, where wanted, made right in their ids and checksums.
func FuzzChain(f *testing.F) {
	parent := testimage.VHD{ID: id("parent"), Size: 4096, BlockSize: 1024}
	child := testimage.VHD{ID: id("child"), ParentID: id("parent"), Relative: `.\p`, Size: 8192, BlockSize: 2048}
	runs := []testimage.Run{{Offset: 512, Data: pattern(512, 1)}, {Offset: 3072, Data: pattern(1024, 2)}}
	f.Add(child.Build(runs[0]).Data, parent.Build(runs[1]).Data, false)
	f.Add(child.Build(runs...).Data, testimage.VHD{Fixed: true, Size: 1024}.Build().Data, true)
	parent.Relative, parent.ParentID = "p", id("child")
	f.Add(child.Build(runs...).Data, parent.Build(runs...).Data, true)
	child.Relative, child.Parent = "", "p"
	f.Add(child.Build(runs...).Data, child.Build(runs...).Data, true)
	f.Fuzz(func(t *testing.T, child, parent []byte, seal bool) {
		child, parent = bytes.Clone(child), bytes.Clone(parent)
		if seal {
			if at := len(child) - 512; at >= 1024+512 && len(parent) >= 512 {
				copy(child[512+40:512+56], parent[len(parent)-512+68:])
			}
			sealEverything(child)
			sealEverything(parent)
		}
		d := &folder{files: map[string][]byte{"p": parent}}
		img, err := vhd.OpenBeside(bytes.NewReader(child), int64(len(child)), d.open)
		if err != nil {
			typed(t, err)
		} else {
			checkFuzzed(t, img, int64(len(child)+len(parent)))
			if err := img.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if d.left != 0 {
			t.Fatalf("%d files are open", d.left)
		}
	})
}

// The bitmap of a large block is looked at in parts, each of which is kept until another one is needed, and read again after an error.
func TestBitmapsOfLargeBlocks(t *testing.T) {
	const mib = 1 << 20
	v := testimage.VHD{ParentID: id("base"), Relative: "base", Size: 36 * mib, BlockSize: 64 * mib, ShortLast: true}
	runs := []testimage.Run{
		{Offset: 512, Data: pattern(512, 1)},
		{Offset: 16*mib - 512, Data: pattern(1024, 2)},
		{Offset: 20 * mib, Data: pattern(1536, 3)},
		{Offset: 36*mib - 512, Data: pattern(512, 4)},
	}
	f := v.Build(runs...)
	base := testimage.VHD{ID: id("base"), Size: 512, BlockSize: 512}.Build().Data
	d := &folder{files: map[string][]byte{"base": base}}
	broken := errors.New("connection reset")
	r := &failingOnce{ReaderAt: bytes.NewReader(f.Data)}
	img, err := vhd.OpenBeside(r, int64(len(f.Data)), d.open)
	if err != nil {
		t.Fatal(err)
	}
	read := func(k int) {
		want := slices.Concat(runs[k].Data, make([]byte, min(1024, v.Size-runs[k].Offset-int64(len(runs[k].Data)))))
		b := make([]byte, len(want))
		if n, err := img.ReadAt(b, runs[k].Offset); n != len(b) || err != nil || !bytes.Equal(b, want) {
			t.Errorf("run %d: %d, %v, or other bytes", k, n, err)
		}
	}
	for last, k := range []int{2, 0, 3, 1} {
		read(last)
		r.err = broken
		if n, err := img.ReadAt(make([]byte, 512), runs[k].Offset); n != 0 || !errors.Is(err, broken) {
			t.Errorf("run %d, where the source fails: %d, %v", k, n, err)
		}
		read(last)
		read(k)
	}
	var got []diskimage.Extent
	for e, err := range img.Extents() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	for k, e := range got {
		if e != (diskimage.Extent{Offset: runs[k].Offset, Length: int64(len(runs[k].Data))}) {
			t.Errorf("extent %d: %v", k, e)
		}
	}
	if len(got) != len(runs) {
		t.Errorf("%d extents", len(got))
	}
}

// failingOnce fails the next read with err, and with bytes that are not the file's.
type failingOnce struct {
	io.ReaderAt

	err error
}

func (f *failingOnce) ReadAt(p []byte, off int64) (int, error) {
	if err := f.err; err != nil {
		f.err = nil
		clear(p)
		return 0, err
	}
	return f.ReaderAt.ReadAt(p, off)
}
