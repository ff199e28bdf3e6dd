package vhdx_test

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhdx"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// layout is a random image with the disk that is in it.
func layout(t *rapid.T, sectors ...int64) (*testimage.VHDXFile, []byte) {
	v := testimage.VHDX{
		LogicalSector: rapid.SampledFrom(sectors).Draw(t, "sector"), BlockSize: rapid.SampledFrom([]int64{mib, 2 * mib}).Draw(t, "block"),
		LogSize: mib, Fixed: rapid.IntRange(0, 4).Draw(t, "fixed") == 0,
	}
	v.Size = rapid.Int64Range(1, 6*mib/v.LogicalSector).Draw(t, "sectors") * v.LogicalSector
	var runs []testimage.Run
	for n := range rapid.IntRange(0, 4).Draw(t, "runs") {
		at := rapid.Int64Range(0, v.Size-1).Draw(t, "at")
		if length := rapid.Int64Range(1, v.Size-at).Draw(t, "length"); rapid.Bool().Draw(t, "zero") {
			runs = append(runs, testimage.Run{Offset: at, Zero: length})
		} else {
			runs = append(runs, testimage.Run{Offset: at, Data: pattern(int(min(length, 100_000)), uint64(n))})
		}
	}
	disk := make([]byte, v.Size)
	for _, r := range runs {
		copy(disk[r.Offset:], r.Data)
	}
	return v.Build(runs...), disk
}

// Whatever the layout: the disk is read as it was written, from any place on, and the extents hold everything that is not zero.
func TestRandomLayouts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, disk := layout(t, 512, 4096)
		img, err := open(f)
		if err != nil {
			t.Fatal(err)
		}
		checkDisk(t, img, disk)
	})
}

func checkDisk(t *rapid.T, img *vhdx.Image, disk []byte) {
	if img.Size() != int64(len(disk)) {
		t.Fatalf("%d bytes, want %d", img.Size(), len(disk))
	}
	at := rapid.IntRange(0, len(disk)-1).Draw(t, "read at")
	b := bytes.Repeat([]byte{0xaa}, rapid.IntRange(1, len(disk)-at).Draw(t, "read"))
	if n, err := img.ReadAt(b, int64(at)); n != len(b) || err != nil || !bytes.Equal(b, disk[at:at+n]) {
		t.Fatalf("%d bytes at %d: %d, %v, or other bytes", len(b), at, n, err)
	}
	seen, end := make([]byte, len(disk)), int64(0)
	for e, err := range img.Extents() {
		if err != nil {
			t.Fatal(err)
		}
		if e.Length <= 0 || e.Offset < end || e.End() > img.Size() {
			t.Fatalf("extent %+v after %d", e, end)
		}
		end = e.End()
		if n, err := img.ReadAt(seen[e.Offset:e.End()], e.Offset); int64(n) != e.Length || err != nil {
			t.Fatalf("%+v: %d, %v", e, n, err)
		}
		if e.Zero && len(bytes.Trim(seen[e.Offset:e.End()], "\x00")) > 0 {
			t.Fatalf("explicit zeros %+v read as something else", e)
		}
	}
	if !bytes.Equal(seen, disk) {
		t.Fatal("what the extents hold is not the disk")
	}
}

// A file whose log has to be replayed reads as the same file does after the log was written to its places, one entry after the other.
func TestRandomLogs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, disk := layout(t, 512)
		clean, end := slices.Clone(f.Data), int64(len(f.Data))
		targets := []int64{testimage.VHDXRegion1, testimage.VHDXRegion2, f.Metadata, f.Metadata + 64<<10, f.BAT}
		for _, at := range f.Block {
			targets = append(targets, at, at+4096, at+8192, at+mib-4096)
		}
		slices.Sort(targets)
		f.SetLogGUID(logGUID)
		clean = append(clean[:0], f.Data...)

		// Stale entries, then the sequence, of which the first entries are before the tail.
		at := rapid.Int64Range(0, f.LogSize/4096-1).Draw(t, "start") * 4096
		sequence := rapid.Uint64Range(1, 1<<40).Draw(t, "sequence")
		var tail int64
		count := rapid.IntRange(1, 6).Draw(t, "entries")
		old := rapid.IntRange(0, count-1).Draw(t, "before the tail")
		for k := range count {
			if k == old {
				tail = at
			}
			var writes []testimage.VHDXWrite
			for range rapid.IntRange(0, 5).Draw(t, "writes") {
				to := rapid.SampledFrom(targets).Draw(t, "target")
				w := testimage.VHDXWrite{Offset: uint64(to), Page: slices.Clone(clean[to : to+4096])}
				if k >= old && to > f.BAT && rapid.Bool().Draw(t, "zero") {
					w = testimage.VHDXWrite{Offset: uint64(to), Zero: uint64(min(end-to, rapid.Int64Range(0, 3).Draw(t, "pages")*4096))}
				}
				if to > f.BAT && w.Page != nil {
					w.Page = pattern(4096, uint64(to)+uint64(k)) // blocks change
				}
				writes = append(writes, w)
			}
			e := testimage.VHDXLogEntry{GUID: logGUID, Sequence: sequence + uint64(k), Tail: tail, Flushed: end, Last: end, Writes: writes}
			at = f.WriteLog(at, e.Bytes())
			if k < old {
				continue // was written to its place long ago, and that was overwritten since
			}
			for _, w := range writes {
				if w.Page == nil {
					clear(clean[w.Offset : w.Offset+w.Zero])
					continue
				}
				copy(clean[w.Offset:], w.Page)
				copy(f.Data[w.Offset:], pattern(4096, 99)) // the write was torn
			}
		}
		want, err := vhdx.Open(bytes.NewReader(cleaned(clean)), end)
		if err != nil {
			t.Fatalf("after the replay: %v", err)
		}
		img, err := open(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := want.ReadAt(disk, 0); err != nil {
			t.Fatal(err)
		}
		checkDisk(t, img, disk)
	})
}

// cleaned takes the LogGuid out of the headers.
func cleaned(b []byte) []byte {
	f := testimage.VHDXFile{Data: b}
	f.SetLogGUID("00000000-0000-0000-0000-000000000000")
	return f.Data
}
