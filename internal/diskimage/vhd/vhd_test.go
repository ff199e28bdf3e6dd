package vhd_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhd"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

const block = 4096

// pattern is n bytes, none of them zero.
func pattern(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // repeatable on purpose
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.UintN(255)) + 1
	}
	return b
}

// small is a disk of 20 blocks, some of them stored; the last one ends behind the disk.
func small() (testimage.VHD, []testimage.Run, []byte) {
	v := testimage.VHD{Size: 19*block + 1536, BlockSize: block}
	runs := []testimage.Run{
		{Offset: 0, Data: pattern(block, 1)},
		{Offset: 3*block + 512, Data: pattern(2*block, 2)},
		{Offset: 8 * block, Zero: 2 * block},
		{Offset: 19 * block, Data: pattern(1536, 3)},
	}
	disk := make([]byte, v.Size)
	for _, r := range runs {
		copy(disk[r.Offset:], r.Data)
	}
	return v, runs, disk
}

func open(data []byte) (*vhd.Image, error) { return vhd.Open(bytes.NewReader(data), int64(len(data))) }

func readAll(t *testing.T, img *vhd.Image) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(img, 0, img.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put32(b []byte, at int64, v uint32) { binary.BigEndian.PutUint32(b[at:], v) }
func put64(b []byte, at int64, v uint64) { binary.BigEndian.PutUint64(b[at:], v) }

// What is sound reads as the disk, however it is laid out. The specification decides; where it leaves room, what writers do.
func TestLayouts(t *testing.T) {
	reversed := make([]int64, 20)
	for k := range reversed {
		reversed[k] = int64(19 - k)
	}
	bitmaps := func(b byte) func(*testimage.VHDFile) {
		return func(f *testimage.VHDFile) {
			for _, at := range f.Block {
				copy(f.Data[at:], bytes.Repeat([]byte{b}, int(f.Bitmap)))
			}
		}
	}
	for _, c := range []struct {
		name   string
		change func(*testimage.VHD)
		damage func(*testimage.VHDFile)
	}{
		{"fixed", func(v *testimage.VHD) { v.Fixed = true }, nil},
		{"fixed, footer of 511 bytes", func(v *testimage.VHD) { v.Fixed, v.ShortFooter = true, true }, nil},
		{"fixed, data offset 0", func(v *testimage.VHD) { v.Fixed = true }, func(f *testimage.VHDFile) { put64(f.Data, f.Footer+16, 0) }},
		{"fixed, features 0", func(v *testimage.VHD) { v.Fixed = true }, func(f *testimage.VHDFile) { put32(f.Data, f.Footer+8, 0) }},
		{"fixed, saved state", func(v *testimage.VHD) { v.Fixed = true }, func(f *testimage.VHDFile) { f.Data[f.Footer+84] = 1 }},
		{"dynamic", nil, nil},
		{"dynamic, footer of 511 bytes", func(v *testimage.VHD) { v.ShortFooter = true }, nil},
		{"BAT longer than the disk (7-Zip refuses)", func(v *testimage.VHD) { v.Slack = 700 }, nil},
		{"slack of the BAT is not looked at", func(v *testimage.VHD) { v.Slack = 1 }, func(f *testimage.VHDFile) { put32(f.Data, f.BAT+4*20, 1) }},
		{"blocks out of order", func(v *testimage.VHD) { v.Order = reversed }, nil},
		{"blocks with gaps", func(v *testimage.VHD) { v.Gap = 3 }, nil},
		{"the file ends with the disk", func(v *testimage.VHD) { v.ShortLast = true }, nil},
		{"blocks of 512 bytes", func(v *testimage.VHD) { v.BlockSize = 512 }, nil},
		{"blocks of 512 KiB", func(v *testimage.VHD) { v.BlockSize = 512 << 10 }, nil},
		{"blocks of 2 MiB", func(v *testimage.VHD) { v.BlockSize = 2 << 20 }, nil},
		{"blocks of 16 MiB, bitmaps of 8 sectors", func(v *testimage.VHD) { v.BlockSize = 16 << 20 }, nil},
		{"bitmaps clear (libvhdi reads zeros)", nil, bitmaps(0)},
		{"bitmaps set", nil, bitmaps(0xff)},
		{"bitmaps of the other bit order", nil, bitmaps(0x01)},
		{"copy of another time", nil, func(f *testimage.VHDFile) { put32(f.Data, 24, 7) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, runs, disk := small()
			if c.change != nil {
				c.change(&v)
			}
			f := v.Build(runs...)
			if c.damage != nil {
				c.damage(f)
				f.Seal()
			}
			img, err := open(f.Data)
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]string{true: "fixed", false: "dynamic"}[v.Fixed]; img.SubFormat() != want || img.Size() != int64(len(disk)) {
				t.Errorf("%s of %d bytes", img.SubFormat(), img.Size())
			}
			if img.Damage() != nil {
				t.Errorf("damage: %v", img.Damage())
			}
			if !bytes.Equal(readAll(t, img), disk) {
				t.Error("the bytes differ")
			}
		})
	}
}

// The current size is the size, whoever wrote the image. Here qemu-img is no authority: of all creators but a few it takes the geometry, which the
// builder makes 512 bytes large, and hcsshim's zeros.
func TestSizeIsNeverGeometry(t *testing.T) {
	for _, creator := range []string{"win ", "qem2", "d2v ", "tap\x00", "CTXS", "vpc ", "vs  ", "vbox", "qemu", "wa\x00\x00", "\x00\x00\x00\x00"} {
		for _, geometry := range []string{"\x00\x01\x01\x01", "\x00\x00\x00\x00", "\xff\xff\x10\xff"} {
			for _, fixed := range []bool{true, false} {
				v, runs, disk := small()
				v.Fixed = fixed
				f := v.Build(runs...)
				for _, at := range []int64{f.Footer, f.Copy} {
					if at >= 0 {
						copy(f.Data[at+28:], creator)
						copy(f.Data[at+56:], geometry)
					}
				}
				f.Seal()
				img, err := open(f.Data)
				if err != nil {
					t.Fatalf("%q: %v", creator, err)
				}
				if img.Size() != int64(len(disk)) || !bytes.Equal(readAll(t, img), disk) {
					t.Errorf("%q, geometry %x: %d bytes, or other ones", creator, geometry, img.Size())
				}
			}
		}
	}
}

// The image that hashicorp/aws imports in its acceptance tests: AWS takes it.
func TestSmallestDynamicDisk(t *testing.T) {
	f := testimage.VHD{Size: 512}.Build()
	if len(f.Data) != 2560 {
		t.Fatalf("%d bytes", len(f.Data))
	}
	img, err := open(f.Data)
	if err != nil {
		t.Fatal(err)
	}
	if b := readAll(t, img); !bytes.Equal(b, make([]byte, 512)) {
		t.Errorf("%d bytes, or other ones", len(b))
	}
	for e, err := range img.Extents() {
		t.Errorf("extent %v, %v", e, err)
	}
}

func TestExtents(t *testing.T) {
	v, runs, disk := small()
	size := int64(len(disk))
	for _, c := range []struct {
		fixed bool
		want  []diskimage.Extent
	}{
		{true, []diskimage.Extent{{Length: size}}},
		{false, []diskimage.Extent{
			{Offset: 0, Length: block}, {Offset: 3 * block, Length: 3 * block}, {Offset: 8 * block, Length: 2 * block},
			{Offset: 19 * block, Length: size - 19*block},
		}},
	} {
		v.Fixed = c.fixed
		img, err := open(v.Build(runs...).Data)
		if err != nil {
			t.Fatal(err)
		}
		var got []diskimage.Extent
		for e, err := range img.Extents() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("fixed %v: extents %v, want %v", c.fixed, got, c.want)
		}
		for e, err := range img.Extents() { // one that stops early
			if err != nil || e != c.want[0] {
				t.Errorf("fixed %v: first extent %v, %v", c.fixed, e, err)
			}
			break
		}
	}
}

func TestReadAt(t *testing.T) {
	v, runs, disk := small()
	size := int64(len(disk))
	for _, v.Fixed = range []bool{true, false} {
		img, err := open(v.Build(runs...).Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			at  int64
			n   int
			err error
		}{
			{0, 1, nil},
			{0, 0, nil},
			{block - 1, 2, nil},
			{3*block + 511, 2*block + 2, nil},
			{size - 10, 10, nil},
			{size - 10, 11, io.EOF},
			{0, int(size) + 1, io.EOF},
			{size, 1, io.EOF},
			{size + 1<<40, 1, io.EOF},
		} {
			b := bytes.Repeat([]byte{0xaa}, c.n)
			n, err := img.ReadAt(b, c.at)
			want := disk[min(c.at, size):min(c.at+int64(c.n), size)]
			if n != len(want) || !errors.Is(err, c.err) || !bytes.Equal(b[:n], want) {
				t.Errorf("fixed %v: ReadAt(%d bytes, %d) = %d, %v", v.Fixed, c.n, c.at, n, err)
			}
		}
		if _, err := img.ReadAt(make([]byte, 1), -1); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("ReadAt(-1): %v", err)
		}

		var group sync.WaitGroup
		for k := range 20 {
			group.Go(func() {
				r := rand.New(rand.NewPCG(uint64(k), 2)) //nolint:gosec // repeatable on purpose
				for range 50 {
					at := r.Int64N(size)
					b := make([]byte, 1+r.Int64N(min(size-at, 3*block)))
					if n, err := img.ReadAt(b, at); n != len(b) || !bytes.Equal(b, disk[at:at+int64(n)]) {
						t.Errorf("concurrent ReadAt(%d bytes, %d) = %d, %v", len(b), at, n, err)
					}
				}
			})
		}
		group.Wait()
	}
}

// A BAT of many windows, read forwards, backwards and from many goroutines.
func TestManyWindows(t *testing.T) {
	const blocks = 3*(16<<10) + 5
	v := testimage.VHD{Size: blocks * 512, BlockSize: 512}
	var runs []testimage.Run
	for k := int64(0); k < blocks; k += 1000 {
		runs = append(runs, testimage.Run{Offset: k * 512, Data: pattern(512, uint64(k))})
	}
	runs = append(runs, testimage.Run{Offset: (blocks - 1) * 512, Data: pattern(512, 7)})
	img, err := open(v.Build(runs...).Data)
	if err != nil {
		t.Fatal(err)
	}
	k := 0
	for e, err := range img.Extents() {
		if err != nil || e != (diskimage.Extent{Offset: runs[k].Offset, Length: 512}) {
			t.Fatalf("extent %v, %v, want %d", e, err, runs[k].Offset)
		}
		k++
	}
	if k != len(runs) {
		t.Errorf("%d extents, want %d", k, len(runs))
	}
	for _, r := range slices.Backward(runs) {
		b := make([]byte, 512)
		if _, err := img.ReadAt(b, r.Offset); err != nil || !bytes.Equal(b, r.Data) {
			t.Errorf("at %d: %v, or other bytes", r.Offset, err)
		}
	}
}

// A table once read serves many reads: an image in S3 costs a request for each.
func TestWindowsAreKept(t *testing.T) {
	v, runs, _ := small()
	f := v.Build(runs...)
	r := &counting{ReaderAt: bytes.NewReader(f.Data)}
	img, err := vhd.Open(r, int64(len(f.Data)))
	if err != nil {
		t.Fatal(err)
	}
	r.reads = 0
	for range 10 {
		if _, err := img.ReadAt(make([]byte, block), 0); err != nil {
			t.Fatal(err)
		}
	}
	if r.reads != 11 {
		t.Errorf("%d reads, want 1 of the table and 10 of the block", r.reads)
	}
}

type counting struct {
	io.ReaderAt

	reads int
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.reads++
	return c.ReaderAt.ReadAt(p, off)
}

// An error of the source is passed on as it is; it is not the image's fault.
func TestSourceErrors(t *testing.T) {
	v, runs, _ := small()
	f := v.Build(runs...)
	broken := errors.New("connection reset")
	for name, at := range map[string]int64{"copy": 0, "header": 600, "BAT": f.BAT, "block": f.Block[3] + f.Bitmap + 600, "footer": f.Footer} {
		img, err := vhd.Open(failingAt{bytes.NewReader(f.Data), at, broken}, int64(len(f.Data)))
		if err == nil {
			_, err = io.ReadAll(io.NewSectionReader(img, 0, img.Size()))
		}
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	v.Fixed = true
	f = v.Build(runs...)
	img, err := vhd.Open(failingAt{bytes.NewReader(f.Data), 2000, broken}, int64(len(f.Data)))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := img.ReadAt(make([]byte, 100), 1950); n != 0 || !errors.Is(err, broken) {
		t.Errorf("fixed: %d, %v", n, err)
	}
	if _, err := vhd.Open(bytes.NewReader(f.Data), int64(len(f.Data))+1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a source shorter than it said: %v", err)
	}
	if _, err := vhd.Open(bytes.NewReader(nil), -1); err == nil {
		t.Error("a negative size was taken")
	}
}

type failingAt struct {
	io.ReaderAt

	at  int64
	err error
}

func (f failingAt) ReadAt(p []byte, off int64) (int, error) {
	if off <= f.at && f.at < off+int64(len(p)) {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(p, off)
}
