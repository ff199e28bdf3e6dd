package vhdx_test

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhdx"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// counted is a file that counts what is read of it. Where it knows its holes, they are the pages of 4 KiB of zeros.
type counted struct {
	*bytes.Reader

	b     []byte
	reads []int64 // offsets
	size  int64   // of them all together
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	c.reads = append(c.reads, off)
	c.size += int64(len(p))
	return c.Reader.ReadAt(p, off)
}

func (c *counted) Close() error { return nil }

type countedMap struct{ *counted }

func (c countedMap) NextData(off int64) (start, end int64, err error) {
	const page = 4096
	stored := func(at int64) bool { return !bytes.Equal(c.b[at:at+page], make([]byte, page)) }
	for off -= off % page; off < int64(len(c.b)); off += page {
		if !stored(off) {
			continue
		}
		for end = off; end < int64(len(c.b)) && stored(end); {
			end += page
		}
		return off, end, nil
	}
	return 0, 0, io.EOF
}

func count(f *testimage.VHDXFile) *counted {
	return &counted{Reader: bytes.NewReader(f.Data), b: f.Data}
}

// Blocks that lie one behind the other in the file are one read, whatever their size.
func TestReadsOfRuns(t *testing.T) {
	v, content := testimage.VHDX{Size: 12 * mib}, pattern(12*mib, 1)
	v.Order = []int64{4, 5, 6, 0, 1, 2, 3, 7, 9, 8, 10, 11}
	c := count(v.Build(testimage.Run{Data: content}))
	img, err := vhdx.Open(c, c.Size())
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, img) // what the reader keeps is read now
	for _, r := range []struct{ off, length, reads int64 }{
		{0, 4 * mib, 1}, {512, 3 * mib, 1}, {4 * mib, 3 * mib, 1}, {3 * mib, 2 * mib, 2}, {7 * mib, 5 * mib, 4}, {0, 12 * mib, 6},
	} {
		c.reads = nil
		b := make([]byte, r.length)
		if _, err := img.ReadAt(b, r.off); err != nil || !bytes.Equal(b, content[r.off:][:r.length]) {
			t.Errorf("%+v: %v, or other bytes", r, err)
		}
		if int64(len(c.reads)) != r.reads {
			t.Errorf("%+v: %d reads, at %v", r, len(c.reads), c.reads)
		}
	}
}

// What the source knows to be a hole is a hole of the disk, in whichever file of a chain, and what the log says to be zeros is too; but a page that the
// log writes is data, and what a child has as a hole is not its parent's.
func TestHoles(t *testing.T) {
	content := pattern(8*mib, 1)
	clear(content[mib/2 : mib])
	clear(content[2*mib : 3*mib+8192])
	for _, fixed := range []bool{false, true} {
		f := testimage.VHDX{Size: 8 * mib, Fixed: fixed, ID: id(1)}.Build(testimage.Run{Data: content})
		want := []diskimage.Extent{{Length: mib / 2}, {Offset: mib, Length: mib}, {Offset: 3*mib + 8192, Length: 5*mib - 8192}}
		check := func(f *testimage.VHDXFile, disk []byte, want []diskimage.Extent) {
			t.Helper()
			base := countedMap{count(testimage.VHDX{Size: 8 * mib, Fixed: fixed, ID: id(1)}.Build(testimage.Run{Data: content}))}
			img, err := vhdx.OpenBeside(countedMap{count(f)}, int64(len(f.Data)), func(string) (diskimage.File, error) { return base, nil })
			if err != nil {
				t.Fatal(err)
			}
			if got := extents(t, img); !slices.Equal(got, want) {
				t.Errorf("extents %v, want %v", got, want)
			}
			if !bytes.Equal(readAll(t, img), disk) {
				t.Error("the bytes differ")
			}
		}
		check(f, content, want)

		// Two pages in the hole, one of zeros in the data, and the beginning of the BAT.
		disk := bytes.Clone(content)
		copy(disk[2*mib+4096:], pattern(8192, 5))
		clear(disk[5*mib : 5*mib+4096])
		f.SetLogGUID(logGUID)
		f.WriteLog(0, entry(f, 1, 0,
			testimage.VHDXWrite{Offset: uint64(f.Block[2] + 4096), Page: disk[2*mib+4096:][:4096]},
			testimage.VHDXWrite{Offset: uint64(f.Block[2] + 8192), Page: disk[2*mib+8192:][:4096]},
			testimage.VHDXWrite{Offset: uint64(f.Block[5]), Zero: 4096}, f.Page(f.BAT)).Bytes())
		clear(f.Data[f.BAT:][:4096])
		want = slices.Replace(want, 2, 3, diskimage.Extent{Offset: 2*mib + 4096, Length: 8192},
			diskimage.Extent{Offset: 3*mib + 8192, Length: 2*mib - 8192}, diskimage.Extent{Offset: 5*mib + 4096, Length: 3*mib - 4096})
		check(f, disk, want)

		own := make([]byte, 2*mib)
		copy(own[8192:], pattern(512, 7))
		disk = bytes.Clone(content)
		copy(disk[4*mib:], own)
		copy(disk[7*mib+512:], own[:4096])
		child := testimage.VHDX{Size: 8 * mib, Locator: testimage.VHDXLocator(id(1), "base.vhdx")}.Build(
			testimage.Run{Offset: 4 * mib, Data: own}, testimage.Run{Offset: 7*mib + 512, Data: own[:4096]})
		check(child, disk, []diskimage.Extent{
			{Length: mib / 2}, {Offset: mib, Length: mib}, {Offset: 3*mib + 8192, Length: mib - 8192}, {Offset: 4*mib + 8192, Length: 4096},
			{Offset: 6 * mib, Length: mib + 512}, {Offset: 7*mib + 512 + 4096, Length: mib - 512 - 4096},
		})
	}
}

// Of a BAT that is a hole nothing is read, and one without entries is read once.
func TestReadsOfBAT(t *testing.T) {
	f := testimage.VHDX{Size: 512 << 30}.Build(testimage.Run{Offset: 100 << 30, Data: pattern(512, 1)})
	want := []diskimage.Extent{{Offset: 100 << 30, Length: mib}}
	for _, mapped := range []bool{false, true} {
		c := count(f)
		var r io.ReaderAt = c
		if mapped {
			r = countedMap{c}
			want[0].Length = 4096
		}
		img, err := vhdx.Open(r, c.Size())
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if got := extents(t, img); !slices.Equal(got, want) {
				t.Errorf("extents %v, want %v", got, want)
			}
		}
		inBAT := 0
		for _, at := range c.reads {
			if at >= f.BAT && at < f.BAT+f.BATSize {
				inBAT++
			}
		}
		if most := 4*mib/(32<<10) + 2; !mapped && inBAT > most || mapped && inBAT > 3 {
			t.Errorf("a map of its holes %v: %d reads of the BAT", mapped, inBAT)
		}
	}
}

// No read allocates, and what a walk over the extents allocates does not grow with the blocks.
func TestAllocations(t *testing.T) {
	var runs []testimage.Run
	for k := range int64(600) {
		runs = append(runs, testimage.Run{Offset: k * 2 * mib, Data: pattern(512, uint64(k))})
	}
	base := testimage.VHDX{Size: 1200 * mib, ID: id(1)}.Build(runs[300:]...)
	f := testimage.VHDX{Size: 1200 * mib, Locator: testimage.VHDXLocator(id(1), "base.vhdx")}.Build(runs[:300]...)
	for _, mapped := range []bool{false, true} {
		open := func(f *testimage.VHDXFile) diskimage.File {
			if c := count(f); mapped {
				return countedMap{c}
			}
			return &besideFile{bytes.NewReader(f.Data), &directory{}}
		}
		img, err := vhdx.OpenBeside(open(f), int64(len(f.Data)), func(string) (diskimage.File, error) { return open(base), nil })
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(5, func() { extents(t, img) }); n > 40 {
			t.Errorf("a map of its holes %v: a walk over the extents of 600 blocks allocates %v times", mapped, n)
		}
		if mapped {
			continue // the counting allocates
		}
		p := make([]byte, 4*mib)
		if n := testing.AllocsPerRun(20, func() {
			if _, err := img.ReadAt(p, 599*mib+512); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("a read of 4 MiB allocates %v times", n)
		}
	}
}
