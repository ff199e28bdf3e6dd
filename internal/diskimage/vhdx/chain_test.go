package vhdx_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhdx"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// directory is files beside an image. It counts those that are open, and notes the names that were asked for.
type directory struct {
	files map[string][]byte
	open  int
	asked []string
}

func (d *directory) opener(name string) (diskimage.File, error) {
	d.asked = append(d.asked, name)
	b, ok := d.files[name]
	if !ok {
		return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
	}
	d.open++
	return &besideFile{bytes.NewReader(b), d}, nil
}

type besideFile struct {
	*bytes.Reader

	d *directory
}

func (f *besideFile) Close() error {
	f.d.open--
	return nil
}

func openBeside(f *testimage.VHDXFile, d *directory) (*vhdx.Image, error) {
	return vhdx.OpenBeside(bytes.NewReader(f.Data), int64(len(f.Data)), d.opener)
}

func id(n int) string { return fmt.Sprintf("0000000%d-1111-2222-3333-ABCDEFABCDEF", n) }

// child is a disk over one of 8 MiB whose bytes are all those of pattern(..., 1).
func child(v testimage.VHDX, runs ...testimage.Run) (*testimage.VHDXFile, *directory, []byte) {
	disk := pattern(8*mib, 1)
	base := testimage.VHDX{Size: 8 * mib, ID: id(1), BlockSize: 2 * mib, LogicalSector: v.LogicalSector}.Build(testimage.Run{Data: disk})
	v.Size, v.ID = 8*mib, id(2)
	if v.Locator == nil {
		v.Locator = testimage.VHDXLocator(id(1), `.\base.vhdx`)
	}
	for _, r := range runs {
		clear(disk[r.Offset : r.Offset+r.Zero])
	}
	for _, r := range runs {
		copy(disk[r.Offset:], r.Data)
	}
	return v.Build(runs...), &directory{files: map[string][]byte{"base.vhdx": base.Data}}, disk
}

// The table of states of a block with a parent ([MS-VHDX] 2.5.1.1): only what is not present is the parent's.
func TestDifferencingStates(t *testing.T) {
	own := pattern(mib, 2)
	for _, c := range []struct {
		state   uint64
		content string
		refused string
	}{
		{0, "parent", ""},
		{1, "zeros", ""},
		{2, "zeros", ""},
		{3, "zeros", ""},
		{4, "", "state of block 3 = 4: no such state exists"},
		{5, "zeros", ""},
		{6, "own", ""},
		{7, "bitmap", ""},
	} {
		for _, sector := range []int64{512, 4096} {
			f, d, disk := child(testimage.VHDX{LogicalSector: sector}, testimage.Run{Offset: 3 * mib, Data: own[:mib/2]}, testimage.Run{Offset: 4*mib - 4096, Data: own[:4096]})
			copy(f.Data[f.Block[3]:], own) // what no sector's bit says to be there
			f.SetEntry(3, uint64(f.Block[3])|c.state)
			switch want := disk[3*mib : 4*mib]; c.content {
			case "parent":
				copy(want, pattern(8*mib, 1)[3*mib:])
			case "zeros":
				clear(want)
			case "own":
				copy(want, own)
			case "bitmap":
				copy(want, own[:mib/2])
				copy(want[mib-4096:], own[mib-4096:])
			}
			img, err := openBeside(f, d)
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) || d.open != 0 {
					t.Errorf("state %d: %v, want %q; %d files are open", c.state, err, c.refused, d.open)
				}
				continue
			}
			if err != nil {
				t.Fatalf("state %d: %v", c.state, err)
			}
			if img.SubFormat() != "differencing" || !bytes.Equal(readAll(t, img), disk) {
				t.Errorf("state %d, sectors of %d: %s, or other bytes", c.state, sector, img.SubFormat())
			}
			want := []diskimage.Extent{{Length: 8 * mib}}
			switch c.state {
			case 1, 3, 5:
				want = []diskimage.Extent{{Length: 3 * mib}, {Offset: 4 * mib, Length: 4 * mib}}
			case 2:
				want = []diskimage.Extent{{Length: 3 * mib}, {Offset: 3 * mib, Length: mib, Zero: true}, {Offset: 4 * mib, Length: 4 * mib}}
			}
			if got := extents(t, img); !slices.Equal(got, want) {
				t.Errorf("state %d: extents %v, want %v", c.state, got, want)
			}
		}
	}
}

// The lowest bit of a bitmap is the first sector; bitmaps are asked for partially present blocks alone.
func TestSectorBitmap(t *testing.T) {
	for _, sector := range []int64{512, 4096} {
		own := pattern(8*mib, 3)
		f, d, disk := child(testimage.VHDX{LogicalSector: sector, BlockSize: 2 * mib}, testimage.Run{Offset: 2 * mib, Data: own[:sector]})
		copy(f.Data[f.Block[1]:], own[:2*mib])
		bits := f.Data[f.Bitmap[0]:][:mib]
		perBlock := 2 * mib / sector
		bits[perBlock/8] = 0b0000_1101
		bits[perBlock/8+1] = 0b1000_0000
		bits[0] = 0xff // block 0 is not present at all
		for _, n := range []int64{0, 2, 3, 15} {
			copy(disk[2*mib+n*sector:], own[n*sector:(n+1)*sector])
		}
		copy(disk[2*mib+sector:], pattern(8*mib, 1)[2*mib+sector:][:sector])
		img, err := openBeside(f, d)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(readAll(t, img), disk) {
			t.Errorf("sectors of %d: the bytes differ", sector)
		}
		if err := img.Close(); err != nil || d.open != 0 {
			t.Errorf("Close: %v, and %d files are open", err, d.open)
		}
	}
}

// A block that is partially present behind one that is wholly, in the file too.
func TestPartialBehindFull(t *testing.T) {
	f, d, disk := child(testimage.VHDX{}, testimage.Run{Offset: 2 * mib, Data: pattern(mib+512, 3)})
	img, err := openBeside(f, d)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readAll(t, img), disk) {
		t.Error("the bytes differ")
	}
}

// Blocks whose bitmaps are in different chunks, on both sides of the entries in between, and in blocks that have more than a page of a bitmap.
func TestBitmapsOfChunks(t *testing.T) {
	for _, c := range []struct{ sector, block, size int64 }{
		{512, mib, 2*4<<30 + mib}, {512, 256 * mib, 2*4<<30 + mib}, {4096, 256 * mib, 33 << 30},
	} {
		chunk := c.sector << 23
		var runs []testimage.Run
		for k, at := range []int64{0, chunk - 4096, chunk + 4096, c.size - mib} {
			runs = append(runs, testimage.Run{Offset: at, Data: pattern(4096, uint64(k))})
		}
		v := testimage.VHDX{Size: c.size, BlockSize: c.block, LogicalSector: c.sector, Locator: testimage.VHDXLocator(id(1), "base.vhdx")}
		f := v.Build(runs...)
		base := testimage.VHDX{Size: c.size, LogicalSector: c.sector, ID: id(1)}.Build(testimage.Run{Offset: chunk - mib, Data: pattern(2*mib, 9)})
		img, err := openBeside(f, &directory{files: map[string][]byte{"base.vhdx": base.Data}})
		if err != nil {
			t.Fatal(err)
		}
		got := extents(t, img)
		want := []diskimage.Extent{{Length: 4096}, {Offset: chunk - mib, Length: 2 * mib}, {Offset: c.size - mib, Length: 4096}}
		if !slices.Equal(got, want) {
			t.Errorf("%+v: extents %v, want %v", c, got, want)
		}
		middle := pattern(2*mib, 9)
		copy(middle[mib-4096:], pattern(4096, 1))
		copy(middle[mib+4096:], pattern(4096, 2))
		for off, want := range map[int64][]byte{0: pattern(4096, 0), chunk - mib: middle, c.size - mib: pattern(4096, 3), c.size - mib + 4096: make([]byte, mib-4096)} {
			b := make([]byte, len(want))
			if _, err := img.ReadAt(b, off); err != nil || !bytes.Equal(b, want) {
				t.Errorf("%+v at %d: %v, or other bytes", c, off, err)
			}
		}
	}
}

// Windows of the BAT without any entry are passed over, to the first entry behind them, be it of a block or of a bitmap.
func TestEmptyWindows(t *testing.T) {
	base := testimage.VHDX{Size: 20 << 30, ID: id(1)}.Build(testimage.Run{Offset: 15000 * mib, Data: pattern(mib, 2)})
	for _, block := range []int64{0, 4094, 4095, 4096, 8189, 8190, 8191, 8192, 12285, 12286, 12287, 20479} { // 4096 entries are a window, and 4096 blocks a chunk
		for _, locator := range [][][2]string{nil, testimage.VHDXLocator(id(1), "base.vhdx")} {
			f := testimage.VHDX{Size: 20 << 30, Locator: locator}.Build(testimage.Run{Offset: block * mib, Data: pattern(mib, 1)})
			img, err := openBeside(f, &directory{files: map[string][]byte{"base.vhdx": base.Data}})
			if err != nil {
				t.Fatal(err)
			}
			want := []diskimage.Extent{{Offset: block * mib, Length: mib}}
			if locator != nil {
				want = append(want, diskimage.Extent{Offset: 15000 * mib, Length: mib})
				slices.SortFunc(want, func(a, b diskimage.Extent) int { return int(a.Offset - b.Offset) })
			}
			if got := extents(t, img); !slices.Equal(got, want) {
				t.Errorf("block %d, locator %q: extents %v, want %v", block, locator, got, want)
			}
		}
	}
}

// Chunks of whose blocks none is partially present need no bitmap; and behind the last block, up to the bitmap of its chunk, an entry means nothing.
func TestChunkWithoutBitmap(t *testing.T) {
	f := testimage.VHDX{Size: 12<<30 - 2*mib, Locator: testimage.VHDXLocator(id(1), "base.vhdx")}.Build(
		testimage.Run{Data: pattern(512, 1)}, testimage.Run{Offset: 5 << 30, Data: pattern(mib, 2)})
	f.SetEntry(12<<10-2, 5*mib|data)
	f.SetEntry(12<<10-1, 1<<64-1)
	base := testimage.VHDX{Size: mib, ID: id(1)}.Build()
	img, err := openBeside(f, &directory{files: map[string][]byte{"base.vhdx": base.Data}})
	if err != nil {
		t.Fatal(err)
	}
	want := []diskimage.Extent{{Length: 512}, {Offset: 5 << 30, Length: mib}}
	if got := extents(t, img); !slices.Equal(got, want) {
		t.Errorf("extents %v, want %v", got, want)
	}
}

// A parent may be shorter than its child, which goes on with zeros, or longer.
func TestParentSizes(t *testing.T) {
	for _, size := range []int64{512, mib, 3*mib + 512, 4*mib - 512, 4 * mib, 9 * mib} {
		content := pattern(int(size), 4)
		base := testimage.VHDX{Size: size, ID: id(1)}.Build(testimage.Run{Data: content})
		f := testimage.VHDX{Size: 4 * mib, BlockSize: 2 * mib, Locator: testimage.VHDXLocator(id(1), "base.vhdx")}.Build(testimage.Run{Offset: 512, Data: pattern(512, 5)})
		want := make([]byte, 4*mib)
		copy(want, content)
		copy(want[512:], pattern(512, 5))
		img, err := openBeside(f, &directory{files: map[string][]byte{"base.vhdx": base.Data}})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(readAll(t, img), want) {
			t.Errorf("parent of %d bytes: the bytes differ", size)
		}
		covered := []diskimage.Extent{{Length: min(size, 4*mib)}}
		if size == 512 {
			covered[0].Length = 1024
		}
		if got := extents(t, img); !slices.Equal(got, covered) {
			t.Errorf("parent of %d bytes: extents %v, want %v", size, got, covered)
		}
	}
}

// chain is files of random layouts, each of which differs from the next, and the disk that is in the first.
func chain(t *rapid.T) (files []*testimage.VHDXFile, disk []byte) {
	sector := rapid.SampledFrom([]int64{512, 4096}).Draw(t, "sector")
	depth := rapid.IntRange(1, 4).Draw(t, "depth")
	for k := depth - 1; k >= 0; k-- {
		v := testimage.VHDX{
			LogicalSector: sector, BlockSize: rapid.SampledFrom([]int64{mib, 2 * mib, 4 * mib}).Draw(t, "block"), ID: id(k),
			Size: rapid.Int64Range(1, 6*mib/sector).Draw(t, "sectors") * sector, Fixed: k == depth-1 && rapid.IntRange(0, 4).Draw(t, "fixed") == 0,
		}
		disk = append(disk, make([]byte, max(0, v.Size-int64(len(disk))))...)[:v.Size]
		if k < depth-1 {
			v.Locator = testimage.VHDXLocator(id(k+1), fmt.Sprintf(`.\%d.vhdx`, k+1))
		}
		var runs []testimage.Run
		for n := range rapid.IntRange(0, 5).Draw(t, "runs") {
			at := rapid.Int64Range(0, v.Size/sector-1).Draw(t, "at") * sector
			length := rapid.Int64Range(1, (v.Size-at)/sector).Draw(t, "length") * sector
			if rapid.Bool().Draw(t, "zero") {
				runs = append(runs, testimage.Run{Offset: at, Zero: length})
			} else {
				most := rapid.SampledFrom([]int64{40 * sector, 3 * mib}).Draw(t, "most")
				runs = append(runs, testimage.Run{Offset: at, Data: pattern(int(min(length, most)), uint64(10*k+n))})
			}
		}
		f := v.Build(runs...)
		for _, r := range runs {
			clear(disk[r.Offset : r.Offset+r.Zero])
		}
		for _, r := range runs {
			copy(disk[r.Offset:], r.Data)
		}
		if lost := rapid.Int64Range(0, 9).Draw(t, "lost block"); lost < (v.Size+v.BlockSize-1)/v.BlockSize { // its old place may be named still
			f.SetEntry(lost, uint64(f.Block[lost])|rapid.SampledFrom([]uint64{1, 3, 5}).Draw(t, "state"))
			clear(disk[lost*v.BlockSize : min(v.Size, (lost+1)*v.BlockSize)])
		}
		files = append([]*testimage.VHDXFile{f}, files...)
	}
	return files, disk
}

// Whatever the layouts of the files of a chain: the disk is read as it was written, from any place on, and the extents hold everything that is not
// zero.
func TestRandomChains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		files, disk := chain(t)
		d := &directory{files: map[string][]byte{}}
		for k, f := range files {
			d.files[fmt.Sprintf("%d.vhdx", k)] = f.Data
		}
		img, err := openBeside(files[0], d)
		if err != nil {
			t.Fatal(err)
		}
		checkDisk(t, img, disk)
		if err := img.Close(); err != nil || d.open != 0 {
			t.Fatalf("Close: %v, and %d files are open", err, d.open)
		}
	})
}

// A parent that was not closed cleanly is read with its log.
func TestDirtyParent(t *testing.T) {
	base, disk := dirty(t)
	f := testimage.VHDX{Size: int64(len(disk)), Locator: testimage.VHDXLocator("", "base.vhdx")}.Build(testimage.Run{Offset: 4096, Data: pattern(4096, 7)})
	copy(disk[4096:], pattern(4096, 7))
	img, err := openBeside(f, &directory{files: map[string][]byte{"base.vhdx": base.Data}})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readAll(t, img), disk) {
		t.Error("the bytes differ")
	}
	if w := img.Warnings(); len(w) != 1 || !strings.HasPrefix(w[0], `its parent "base.vhdx" was not closed cleanly`) {
		t.Errorf("warnings %q", w)
	}
}

// An error of a parent's source is passed on with the parent's name, and is no verdict on the image.
func TestParentFails(t *testing.T) {
	f, d, _ := child(testimage.VHDX{})
	broken := errors.New("connection reset")
	base := d.files["base.vhdx"]
	at := int64(len(base) - 5)
	img, err := vhdx.OpenBeside(bytes.NewReader(f.Data), int64(len(f.Data)), func(string) (diskimage.File, error) {
		return failingFile{failing{base, at, broken}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, mib)
	if n, err := img.ReadAt(b, 7*mib); !errors.Is(err, broken) || n == mib || !strings.Contains(err.Error(), `the parent "base.vhdx"`) {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := img.ReadAt(b, 0); err != nil || n != mib {
		t.Errorf("afterwards, elsewhere: %d, %v", n, err)
	}
	for _, err := range []error{broken, fs.ErrPermission} {
		_, got := vhdx.OpenBeside(bytes.NewReader(f.Data), int64(len(f.Data)), func(string) (diskimage.File, error) { return nil, err })
		if !errors.Is(got, err) {
			t.Errorf("%v, want %v", got, err)
		}
	}
}

type failingFile struct{ failing }

func (f failingFile) Size() int64 { return int64(len(f.b)) }
func (failingFile) Close() error  { return io.ErrClosedPipe }

func TestCloseError(t *testing.T) {
	f, d, _ := child(testimage.VHDX{})
	img, err := vhdx.OpenBeside(bytes.NewReader(f.Data), int64(len(f.Data)), func(string) (diskimage.File, error) {
		return failingFile{failing{d.files["base.vhdx"], -1, nil}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := img.Close(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
	if err := img.Close(); err != nil {
		t.Errorf("a second time: %v", err)
	}
}
