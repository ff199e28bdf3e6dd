package vhdx_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhdx"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

const (
	mib  = 1 << 20
	data = 6 // block states
	zero = 2
)

// pattern is n bytes that are no zeros together.
func pattern(n int, seed uint64) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)}).Read(b)
	return b
}

func open(f *testimage.VHDXFile) (*vhdx.Image, error) {
	return vhdx.Open(bytes.NewReader(f.Data), int64(len(f.Data)))
}

func mustOpen(t testing.TB, f *testimage.VHDXFile) *vhdx.Image {
	t.Helper()
	img, err := open(f)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func readAll(t testing.TB, img *vhdx.Image) []byte {
	t.Helper()
	b := bytes.Repeat([]byte{0xaa}, int(img.Size())) // zeros have to be written too
	if n, err := img.ReadAt(b, 0); n < len(b) {
		t.Fatalf("%d of %d bytes: %v", n, len(b), err)
	}
	return b
}

func extents(t testing.TB, img *vhdx.Image) []diskimage.Extent {
	t.Helper()
	var found []diskimage.Extent
	for e, err := range img.Extents() {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, e)
	}
	return found
}

// small is a disk of 8 blocks of 1 MiB with every kind of block in it; the last one is short in the disk.
func small() (testimage.VHDX, []testimage.Run, []byte) {
	v := testimage.VHDX{Size: 7*mib + 8192}
	runs := []testimage.Run{
		{Offset: 0, Data: pattern(mib, 1)},
		{Offset: mib + 512, Data: pattern(4096, 2)},
		{Offset: 3 * mib, Zero: 2 * mib},
		{Offset: 5 * mib, Data: make([]byte, mib)},
		{Offset: 7 * mib, Data: pattern(8192, 3)},
	}
	disk := make([]byte, v.Size)
	for _, r := range runs {
		copy(disk[r.Offset:], r.Data)
	}
	return v, runs, disk
}

func TestDisk(t *testing.T) {
	for name, change := range map[string]func(*testimage.VHDX){
		"dynamic":               func(*testimage.VHDX) {},
		"fixed":                 func(v *testimage.VHDX) { v.Fixed = true },
		"blocks of 2 MiB":       func(v *testimage.VHDX) { v.BlockSize = 2 * mib },
		"blocks of 32 MiB":      func(v *testimage.VHDX) { v.BlockSize = 32 * mib },
		"sectors of 4096 bytes": func(v *testimage.VHDX) { v.LogicalSector = 4096 }, // qemu does not read these
		"log of 3 MiB":          func(v *testimage.VHDX) { v.LogSize = 3 * mib },
	} {
		t.Run(name, func(t *testing.T) {
			v, runs, disk := small()
			change(&v)
			img := mustOpen(t, v.Build(runs...))
			want := "dynamic"
			if v.Fixed {
				want = "fixed"
			}
			if img.SubFormat() != want || img.Size() != v.Size {
				t.Errorf("%s of %d bytes", img.SubFormat(), img.Size())
			}
			if !bytes.Equal(readAll(t, img), disk) {
				t.Error("the bytes differ")
			}
		})
	}
}

func TestExtents(t *testing.T) {
	v, runs, disk := small()
	want := []diskimage.Extent{
		{Offset: 0, Length: 2 * mib},
		{Offset: 3 * mib, Length: 2 * mib, Zero: true},
		{Offset: 5 * mib, Length: mib},
		{Offset: 7 * mib, Length: 8192},
	}
	f := v.Build(runs...)
	if got := extents(t, mustOpen(t, f)); !slices.Equal(got, want) {
		t.Errorf("extents %v, want %v", got, want)
	}
	f.SetEntry(7, zero)
	f.SetEntry(6, zero)
	want = append(want[:3], diskimage.Extent{Offset: 6 * mib, Length: mib + 8192, Zero: true})
	if got := extents(t, mustOpen(t, f)); !slices.Equal(got, want) {
		t.Errorf("zeros at the end: extents %v, want %v", got, want)
	}
	if got := extents(t, mustOpen(t, testimage.VHDX{Size: 10 * mib}.Build())); len(got) > 0 {
		t.Errorf("empty disk: extents %v", got)
	}
	v.Fixed = true
	if got := extents(t, mustOpen(t, v.Build(runs...))); !slices.Equal(got, []diskimage.Extent{{Length: int64(len(disk))}}) {
		t.Errorf("fixed: extents %v", got)
	}
	for n := range 3 { // whoever has seen enough may stop
		for _, err := range mustOpen(t, v.Build(runs...)).Extents() {
			if err != nil {
				t.Fatal(err)
			}
			if n--; n < 0 {
				break
			}
		}
	}
}

func TestReadAt(t *testing.T) {
	v, runs, disk := small()
	img := mustOpen(t, v.Build(runs...))
	size := int64(len(disk))
	for _, c := range []struct {
		at  int64
		n   int
		err error
	}{
		{0, 0, nil},
		{0, 1, nil},
		{mib - 1, 2, nil},
		{mib - 1, 3*mib + 2, nil},
		{4*mib - 3, 3*mib + 8192 + 3, nil},
		{size - 1, 1, nil},
		{size - 1, 2, io.EOF},
		{7*mib - 1, 2 * mib, io.EOF},
		{size, 1, io.EOF},
		{size + 5, 1, io.EOF},
		{size, 0, nil},
	} {
		b := bytes.Repeat([]byte{0xaa}, c.n)
		n, err := img.ReadAt(b, c.at)
		want := max(0, min(int64(c.n), size-c.at))
		if int64(n) != want || err != c.err || !bytes.Equal(b[:n], disk[min(c.at, size):min(c.at, size)+want]) { //nolint:errorlint // io.ReaderAt promises the value itself
			t.Errorf("%d bytes at %d: %d, %v", c.n, c.at, n, err)
		}
	}
	if _, err := img.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("a negative offset was taken")
	}
	if err := img.Close(); err != nil {
		t.Error(err)
	}
}

func TestConcurrentReads(t *testing.T) {
	f, disk := dirty(t)
	img := mustOpen(t, f)
	var wg sync.WaitGroup
	for k := range 16 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(k), 2)) //nolint:gosec // repeatable on purpose
			b := make([]byte, 64<<10)
			for range 200 {
				at := r.IntN(len(disk))
				n, err := img.ReadAt(b, int64(at))
				if err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(b[:n], disk[at:at+n]) {
					t.Errorf("at %d: %d, %v, or other bytes", at, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// The table of states of a block without a parent ([MS-VHDX] 2.5.1.1). State 7 follows microsoft/openvmm, which takes the block whole; qemu gives an
// I/O error.
func TestBlockStates(t *testing.T) {
	stored := pattern(mib, 1)
	for _, c := range []struct {
		state   uint64
		content []byte
		extent  *diskimage.Extent
		refused string
	}{
		{0, make([]byte, mib), nil, ""},
		{1, make([]byte, mib), nil, ""},
		{2, make([]byte, mib), &diskimage.Extent{Offset: mib, Length: mib, Zero: true}, ""},
		{3, make([]byte, mib), nil, ""},
		{4, nil, nil, "state of block 1 = 4: no such state exists"},
		{5, make([]byte, mib), nil, ""},
		{6, stored, &diskimage.Extent{Offset: mib, Length: mib}, ""},
		{7, stored, &diskimage.Extent{Offset: mib, Length: mib}, ""},
	} {
		for _, offset := range []bool{true, false} { // states without content may keep the offset of a block that once was
			f := testimage.VHDX{Size: 3 * mib}.Build(testimage.Run{Offset: mib, Data: stored})
			entry, refused := uint64(f.Block[1])|c.state, c.refused
			if !offset {
				if entry = c.state; c.state >= data {
					refused = "FileOffsetMB of block 1 = 0: the block is said to be present"
				}
			}
			f.SetEntry(1, entry)
			img, err := open(f)
			if refused != "" {
				if err == nil || !strings.Contains(err.Error(), refused) {
					t.Errorf("state %d: %v, want %q", c.state, err, refused)
				}
				continue
			}
			if err != nil {
				t.Errorf("state %d: %v", c.state, err)
				continue
			}
			if got := readAll(t, img); !bytes.Equal(got[mib:2*mib], c.content) || !bytes.Equal(got[:mib], make([]byte, mib)) {
				t.Errorf("state %d: other bytes", c.state)
			}
			got := extents(t, img)
			if c.extent == nil && len(got) > 0 || c.extent != nil && !slices.Equal(got, []diskimage.Extent{*c.extent}) {
				t.Errorf("state %d: extents %v", c.state, got)
			}
		}
	}
}

// The BAT has entries of sector bitmaps in between, after every 2^23 sectors; what they hold is nothing to a disk without a parent. qemu before 8.0
// leaves garbage there.
func TestChunks(t *testing.T) {
	for _, c := range []struct{ sector, chunk int64 }{{512, 4096}, {4096, 32768}} {
		v := testimage.VHDX{Size: (2*c.chunk + 1) * mib, LogicalSector: c.sector}
		at := []int64{c.chunk - 1, c.chunk, 2*c.chunk - 1, 2 * c.chunk}
		var runs []testimage.Run
		for k, block := range at {
			runs = append(runs, testimage.Run{Offset: block * mib, Data: pattern(mib, uint64(k))})
		}
		f := v.Build(runs...)
		for k := range int64(2) {
			f.Put64(f.BitmapEntry(k), 1<<64-1)
		}
		img := mustOpen(t, f)
		for k, r := range runs {
			b := make([]byte, mib)
			if _, err := img.ReadAt(b, r.Offset); err != nil || !bytes.Equal(b, r.Data) {
				t.Errorf("sectors of %d: block %d: %v, or other bytes", c.sector, at[k], err)
			}
		}
		want := []diskimage.Extent{{Offset: at[0] * mib, Length: 2 * mib}, {Offset: at[2] * mib, Length: 2 * mib}}
		if got := extents(t, img); !slices.Equal(got, want) {
			t.Errorf("sectors of %d: extents %v, want %v", c.sector, got, want)
		}
	}
}

// Disks up to 64 TiB, the largest there are, whatever they are cut into. Only the BAT has to be in the file.
func TestLargestDisk(t *testing.T) {
	const largest = 64 << 40
	for _, block := range []int64{256 * mib, 32 * mib} {
		v := testimage.VHDX{Size: largest, BlockSize: block}
		f := v.Build()
		last := largest/block - 1
		at := int64(len(f.Data))
		f.Data = append(f.Data, pattern(mib, 1)...)
		f.SetEntry(last, uint64(at)|data)
		if _, err := open(f); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("FileOffsetMB of block %d = ", last)) {
			t.Errorf("a block that is cut off: %v", err)
		}
		f.SetEntry(last, zero)
		img := mustOpen(t, f)
		if got := extents(t, img); img.Size() != largest || !slices.Equal(got, []diskimage.Extent{{Offset: largest - block, Length: block, Zero: true}}) {
			t.Errorf("%d bytes: extents %v", img.Size(), got)
		}
		b := make([]byte, 2)
		if n, err := img.ReadAt(b, largest-1); n != 1 || !errors.Is(err, io.EOF) {
			t.Errorf("at the end: %d, %v", n, err)
		}
	}
	f := testimage.VHDX{Size: mib}.Build()
	f.Put64(f.Item(testimage.VHDXVirtualSize), largest+512)
	if _, err := open(f); err == nil || !strings.Contains(err.Error(), "VirtualDiskSize = 70368744178176: it must be") {
		t.Errorf("more than 64 TiB: %v", err)
	}
}

// The last block is short in the disk; a file may end with the disk, inside that block, and no earlier.
func TestLastBlock(t *testing.T) {
	v, runs, disk := small()
	f := v.Build(runs...)
	f.Data = f.Data[:f.Block[7]+8192]
	if img := mustOpen(t, f); !bytes.Equal(readAll(t, img), disk) {
		t.Error("the bytes differ")
	}
	f.Data = f.Data[:len(f.Data)-1]
	if _, err := open(f); err == nil || !strings.Contains(err.Error(), "FileOffsetMB of block 7") {
		t.Errorf("one byte less: %v", err)
	}
}

// A source that fails, or ends before it should, is no verdict on the image.
func TestSourceErrors(t *testing.T) {
	v, runs, _ := small()
	f := v.Build(runs...)
	broken := errors.New("connection reset")
	for _, at := range []int64{0, testimage.VHDXHeader1, testimage.VHDXHeader2, testimage.VHDXRegion1, f.Metadata, f.Item(testimage.VHDXVirtualSize), f.BAT} {
		_, err := vhdx.Open(failing{f.Data, at, broken}, int64(len(f.Data)))
		if _, corrupt := errors.AsType[*diskimage.CorruptError](err); !errors.Is(err, broken) || corrupt {
			t.Errorf("at %d: %v", at, err)
		}
	}
	img, err := vhdx.Open(failing{f.Data, f.Block[1] + 4096, broken}, int64(len(f.Data)))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := img.ReadAt(make([]byte, 2*mib), 0); !errors.Is(err, broken) || n > mib {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := vhdx.Open(bytes.NewReader(f.Data[:f.BAT]), int64(len(f.Data))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("shorter than it said: %v", err)
	}
}

type failing struct {
	b   []byte
	at  int64
	err error
}

func (f failing) ReadAt(p []byte, at int64) (int, error) {
	if at <= f.at && f.at < at+int64(len(p)) {
		return 0, f.err
	}
	return bytes.NewReader(f.b).ReadAt(p, at)
}
