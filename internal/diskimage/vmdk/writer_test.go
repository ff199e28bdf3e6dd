package vmdk_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
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
		if err := vmdk.WriteStreamOptimized(t.Context(), &file, memory{bytes.NewReader(disk), extents}); err != nil {
			t.Fatal(err)
		}
		padded := append(bytes.Clone(disk), make([]byte, (512-size%512)%512)...)
		compare(t, file.Bytes(), padded)
		compare(t, testimage.StreamOptimized(rapid.SampledFrom(testimage.Layouts).Draw(t, "layout"), disk), padded)
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
	if err := vmdk.WriteStreamOptimized(t.Context(), &file, memory{bytes.NewReader(disk), extents}); err != nil {
		t.Fatal(err)
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
	if err := vmdk.WriteStreamOptimized(t.Context(), &file, holes(1<<40)); err != nil {
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

type holes int64

func (h holes) Size() int64                           { return int64(h) }
func (h holes) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }
func (h holes) Extents() iter.Seq2[diskimage.Extent, error] {
	return func(func(diskimage.Extent, error) bool) {}
}
func (h holes) Close() error { return nil }

func TestWriterErrors(t *testing.T) {
	disk, err := raw.Open(bytes.NewReader(pattern(10*grain, 1)), 10*grain)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := vmdk.WriteStreamOptimized(ctx, &bytes.Buffer{}, disk); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	full := errors.New("no space left")
	for _, room := range []int{0, 100, 70 << 10, 300 << 10} {
		if err := vmdk.WriteStreamOptimized(t.Context(), &limited{room, full}, disk); !errors.Is(err, full) {
			t.Errorf("room for %d bytes: %v", room, err)
		}
	}
	for _, size := range []int64{0, 64<<40 + 1} {
		if err := vmdk.WriteStreamOptimized(t.Context(), &bytes.Buffer{}, holes(size)); err == nil {
			t.Errorf("a disk of %d bytes was written", size)
		}
	}
	short, err := raw.Open(bytes.NewReader(pattern(grain, 1)), 2*grain)
	if err != nil {
		t.Fatal(err)
	}
	if err := vmdk.WriteStreamOptimized(t.Context(), &bytes.Buffer{}, short); err == nil {
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
