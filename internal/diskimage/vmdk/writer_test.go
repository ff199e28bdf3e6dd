package vmdk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/raw"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// memory is a disk in memory with a map of extents.
type memory struct {
	*bytes.Reader

	extents []diskimage.Extent
}

func (m memory) Extents() iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		for _, e := range m.extents {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (m memory) Close() error { return nil }

// target is a new file in memory.
type target []byte

func (d target) WriteAt(p []byte, at int64) (int, error) { return copy(d[at:], p), nil }

// Any extents, through the writer, the reader and the converter, give the same bytes again; and so do the images of the test's own builder.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.OneOf(rapid.Int64Range(1, 4096), rapid.SampledFrom([]int64{grain, 16 * grain, 17 * grain}), rapid.Int64Range(1, 1<<20)).Draw(t, "size")
		disk := make([]byte, size)
		var extents []diskimage.Extent
		for at := rapid.Int64Range(0, size).Draw(t, "first"); at < size; {
			n := rapid.Int64Range(1, min(size-at, 400<<10)).Draw(t, "length")
			kind := rapid.SampledFrom([]string{"data", "zero data", "explicit zeros"}).Draw(t, "kind")
			if kind == "data" {
				copy(disk[at:at+n], pattern(int(n), uint64(at)))
			}
			extents = append(extents, diskimage.Extent{Offset: at, Length: n, Zero: kind == "explicit zeros"})
			at += n + rapid.Int64Range(0, 200<<10).Draw(t, "hole")
		}

		var file bytes.Buffer
		if err := convert.Stream(t.Context(), vmdk.NewWriter(&file), memory{bytes.NewReader(disk), extents}, convert.Options{}); err != nil {
			t.Fatal(err)
		}
		whole := append(bytes.Clone(disk), make([]byte, padded(size)-size)...)
		compare(t, file.Bytes(), whole)
		compare(t, testimage.StreamOptimized(rapid.SampledFrom(testimage.Layouts).Draw(t, "layout"), disk), whole)
	})
}

func compare(t *rapid.T, file, disk []byte) {
	img, err := vmdk.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	got := target(make([]byte, img.Size()))
	written, err := convert.Copy(t.Context(), got, img, convert.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, disk) {
		t.Fatal("the bytes differ")
	}
	data := int64(0)
	for at := 0; at < len(disk); at += 4096 {
		if b := disk[at:min(len(disk), at+4096)]; len(bytes.Trim(b, "\x00")) > 0 {
			data += int64(len(b))
		}
	}
	if written != data {
		t.Fatalf("wrote %d bytes where %d are in blocks that are not zero", written, data)
	}
}

// A disk of several grain tables, some of them empty, that ends inside a sector.
func TestWriterSeveralTables(t *testing.T) {
	disk := make([]byte, 100<<20+grain+100)
	var extents []diskimage.Extent
	for _, at := range []int64{0, 5 * grain, 40 << 20, 100 << 20} {
		e := diskimage.Extent{Offset: at, Length: min(grain+100, int64(len(disk))-at)}
		copy(disk[at:e.End()], pattern(int(e.Length), uint64(at)))
		extents = append(extents, e)
	}
	var file bytes.Buffer
	if err := convert.Stream(t.Context(), vmdk.NewWriter(&file), memory{bytes.NewReader(disk), extents}, convert.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := receive(bytes.NewReader(file.Bytes())); err != nil {
		t.Error(err)
	}
	got, err := readEverything(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, append(disk, make([]byte, 512-100)...)) {
		t.Error("the bytes differ")
	}
}

// Holes cost a directory entry per 32 MiB, and nothing else.
func TestWriterLeavesHolesOut(t *testing.T) {
	var file bytes.Buffer
	if err := convert.Stream(t.Context(), vmdk.NewWriter(&file), holes(1<<40), convert.Options{}); err != nil {
		t.Fatal(err)
	}
	if max := 128<<10 + 70<<10; file.Len() > max {
		t.Errorf("an empty disk of 1 TiB takes %d bytes, more than %d", file.Len(), max)
	}
	img, err := open(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if img.Size() != 1<<40 {
		t.Errorf("size %d", img.Size())
	}
	for e, err := range img.Extents() {
		t.Errorf("extent %v, %v", e, err)
	}
}

// What is stored of a disk are its bytes, not how its reader found them: zeros that are said to be data are left out like holes.
func TestWriterLeavesZerosOut(t *testing.T) {
	disk := make([]byte, 20*grain)
	copy(disk[3*grain+100:], pattern(2*grain, 1))
	var files [2]bytes.Buffer
	for k, extents := range [][]diskimage.Extent{
		{{Length: 20 * grain}}, {{Length: grain, Zero: true}, {Offset: 3*grain + 100, Length: 2 * grain}, {Offset: 9 * grain, Length: grain}},
	} {
		if err := convert.Stream(t.Context(), vmdk.NewWriter(&files[k]), memory{bytes.NewReader(disk), extents}, convert.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0].Bytes(), files[1].Bytes()) {
		t.Error("the same disk gave different files")
	}
	img, err := open(files[0].Bytes())
	if err != nil {
		t.Fatal(err)
	}
	extents := 0
	for e, err := range img.Extents() {
		if extents++; err != nil || e != (diskimage.Extent{Offset: 3 * grain, Length: 3 * grain}) {
			t.Errorf("extent %+v, %v", e, err)
		}
	}
	if extents != 1 {
		t.Errorf("%d extents", extents)
	}
}

// A VMDK counts in sectors: a RAW image of 1000 bytes becomes a disk of two, the last 24 bytes of which are zeros.
func TestWriterFillsUpSectors(t *testing.T) {
	for size, want := range map[int64]int64{1: 512, 511: 512, 512: 512, 513: 1024, 1000: 1024, grain + 1: grain + 512} {
		data := pattern(int(size), 3)
		disk, err := raw.Open(bytes.NewReader(data), size)
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := convert.Stream(t.Context(), vmdk.NewWriter(&file), disk, convert.Options{}); err != nil {
			t.Fatal(err)
		}
		got, err := readEverything(file.Bytes())
		if err != nil || int64(len(got)) != want || !bytes.Equal(got, append(data, make([]byte, want-size)...)) {
			t.Errorf("%d bytes became %d, want %d, or other ones; %v", size, len(got), want, err)
		}
	}
}

// islands is a huge disk with a few pieces of data: grains filled with one byte.
type islands struct {
	holes

	at []int64
}

func (d islands) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	for k, at := range d.at {
		if off < at+grain && at < off+int64(len(p)) {
			for i := max(off, at); i < min(off+int64(len(p)), at+grain); i++ {
				p[i-off] = byte(k + 1)
			}
		}
	}
	return len(p), nil
}

func (d islands) Extents() iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		for _, at := range d.at {
			if !yield(diskimage.Extent{Offset: at, Length: min(grain, d.Size()-at)}, nil) {
				return
			}
		}
	}
}

// A disk of 15 TiB with little in it takes as long as what is in it, and no memory but the directory's 2 MiB and what the workers need. qemu-io reads it
// too, where it is on this machine.
func TestWriterHugeDisk(t *testing.T) {
	const size = 15<<40 + 512
	disk := islands{holes(size), []int64{0, 5*grain + 512, 1 << 41, 1<<41 + grain, 9<<40 + 12345, size - 512}}
	name := filepath.Join(t.TempDir(), "disk.vmdk")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(16)) // as many workers as there may be
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	if err := convert.Stream(t.Context(), vmdk.NewWriter(file), disk, convert.Options{}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if total := after.TotalAlloc - before.TotalAlloc; total > 40<<20 {
		t.Errorf("allocated %d bytes in all", total)
	}
	info, err := file.Stat()
	if err != nil || info.Size() > 3<<20 {
		t.Errorf("a file of %d bytes, %v", info.Size(), err)
	}
	img, err := vmdk.Open(file, info.Size())
	if err != nil || img.Size() != size {
		t.Fatalf("%v, or not %d bytes", err, int64(size))
	}
	qemu, err := exec.LookPath("qemu-io")
	if err != nil {
		t.Log("no qemu-io here")
	}
	args := []string{"-r", "-f", "vmdk"}
	check := func(at, n int64, want byte) {
		b := make([]byte, n)
		if _, err := img.ReadAt(b, at); err != nil || !bytes.Equal(b, bytes.Repeat([]byte{want}, int(n))) {
			t.Errorf("%d bytes at %d: %v, or other ones than %d", n, at, err, want)
		}
		args = append(args, "-c", fmt.Sprintf("read -P %d %d %d", want, at, n))
	}
	for k, at := range disk.at {
		check(at, min(grain, size-at), byte(k+1))
	}
	for _, at := range []int64{grain, 1<<41 - grain, 12 << 40, size - 1024} {
		check(at, 512, 0)
	}
	if qemu != "" {
		if out, err := exec.CommandContext(t.Context(), qemu, append(args, name)...).CombinedOutput(); err != nil || bytes.Contains(out, []byte("failed")) {
			t.Errorf("qemu-io: %v: %s", err, out)
		}
	}
}

type holes int64

func (h holes) Size() int64                           { return int64(h) }
func (h holes) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }
func (h holes) Extents() iter.Seq2[diskimage.Extent, error] {
	return func(func(diskimage.Extent, error) bool) {}
}
func (h holes) Close() error { return nil }

func TestWriterErrors(t *testing.T) {
	const mib, size = 1 << 20, 12 << 20
	disk, err := raw.Open(bytes.NewReader(bytes.Repeat(pattern(mib, 1), size/mib)), size)
	if err != nil {
		t.Fatal(err)
	}
	interrupted := errors.New("interrupted")
	for _, from := range []int64{0, 4 * mib} { // at once, and in the middle
		ctx, cancel := context.WithCancelCause(t.Context())
		var file bytes.Buffer
		err := convert.Stream(ctx, vmdk.NewWriter(&file), cancelling{disk, func(off int64) {
			if off >= from {
				cancel(interrupted)
			}
		}}, convert.Options{})
		if !errors.Is(err, interrupted) || int64(file.Len()) > from+from/10+mib {
			t.Errorf("cancelled at %d: %v after %d bytes", from, err, file.Len())
		}
	}
	for name, extents := range map[string][]diskimage.Extent{
		"backwards": {{Offset: grain, Length: grain}, {Length: grain}}, "over each other": {{Length: 2 * grain}, {Offset: grain, Length: 2 * grain}},
		"behind the disk": {{Offset: 9 * grain, Length: 2 * grain}}, "empty": {{Offset: 9 * grain}}, "overflowing": {{Offset: 512, Length: 1<<63 - 1}},
	} {
		if err := convert.Stream(t.Context(), vmdk.NewWriter(&bytes.Buffer{}), memory{bytes.NewReader(make([]byte, 10*grain)), extents}, convert.Options{}); err == nil {
			t.Errorf("extents that go %s were taken", name)
		}
	}
	full := errors.New("no space left")
	for _, room := range []int{0, 100, 70 << 10, 300 << 10} {
		if err := convert.Stream(t.Context(), vmdk.NewWriter(&limited{room, full}), disk, convert.Options{}); !errors.Is(err, full) {
			t.Errorf("room for %d bytes: %v", room, err)
		}
	}
	for _, size := range []int64{0, 64<<40 + 1} {
		if err := convert.Stream(t.Context(), vmdk.NewWriter(&bytes.Buffer{}), holes(size), convert.Options{}); err == nil {
			t.Errorf("a disk of %d bytes was written", size)
		}
	}
	short, err := raw.Open(bytes.NewReader(pattern(grain, 1)), 2*grain)
	if err != nil {
		t.Fatal(err)
	}
	if err := convert.Stream(t.Context(), vmdk.NewWriter(&bytes.Buffer{}), short, convert.Options{}); err == nil {
		t.Error("a disk shorter than its size was written")
	}
}

type limited struct {
	room int
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.room {
		return 0, l.err
	}
	l.room -= len(p)
	return len(p), nil
}

// cancelling calls before every read.
type cancelling struct {
	diskimage.Image

	before func(off int64)
}

func (c cancelling) ReadAt(p []byte, off int64) (int, error) {
	c.before(off)
	return c.Image.ReadAt(p, off)
}
