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

// grown is a disk whose blocks, the last one first, all lie behind the end of its file, which the log makes longer. It is where the first of them lies.
func grown(v testimage.VHDX) (f *testimage.VHDXFile, first int64) {
	f = v.Build()
	first = (int64(len(f.Data)) + mib - 1) / mib * mib
	blocks := v.Size / v.BlockSize
	for k := range blocks {
		f.SetEntry(k, uint64(first+(blocks-1-k)*v.BlockSize)|6)
	}
	f.SetLogGUID(logGUID)
	return f, first
}

// What the log makes longer or says to be zeros is no data: a file of 5 MiB is not 60 TiB of work. A page that it writes there is.
func TestZerosOfTheLog(t *testing.T) {
	v := testimage.VHDX{Size: 60 << 40, BlockSize: 256 * mib}
	for _, page := range []bool{false, true} {
		for _, zeros := range []bool{false, true} {
			f, first := grown(v)
			var writes []testimage.VHDXWrite
			var want []diskimage.Extent
			if zeros {
				writes = append(writes, testimage.VHDXWrite{Offset: uint64(first), Zero: uint64(v.Size)})
			}
			if page {
				writes = append(writes, testimage.VHDXWrite{Offset: uint64(first + v.BlockSize - 4096), Page: pattern(4096, 1)})
				want = []diskimage.Extent{{Offset: v.Size - 4096, Length: 4096}}
			}
			f.WriteLog(0, testimage.VHDXLogEntry{GUID: logGUID, Sequence: 1, Flushed: int64(len(f.Data)), Last: first + v.Size, Writes: writes}.Bytes())
			for _, r := range []io.ReaderAt{bytes.NewReader(f.Data), countedMap{count(f)}} {
				img, err := vhdx.Open(r, int64(len(f.Data)))
				if err != nil {
					t.Fatal(err)
				}
				if got := extents(t, img); !slices.Equal(got, want) {
					t.Errorf("a range of zeros %v, a page %v, %T: extents %v, want %v", zeros, page, r, got, want)
				}
			}
		}
	}
}

// mapCount counts how often the map of a file is asked.
type mapCount struct {
	holes

	asked *int
}

func (m mapCount) NextData(off int64) (start, end int64, err error) {
	*m.asked++
	return m.holes.NextData(off)
}

// Many ranges of zeros in a hole are passed over once, in whatever order the blocks lie there.
func TestRangesOfZeros(t *testing.T) {
	const step = 16 << 10
	v := testimage.VHDX{Size: 128 * mib, BlockSize: mib}
	f, first := grown(v)
	var writes []testimage.VHDXWrite
	for at := first; at < first+v.Size; at += step {
		writes = append(writes, testimage.VHDXWrite{Offset: uint64(at), Zero: 4096})
	}
	f.WriteLog(0, testimage.VHDXLogEntry{GUID: logGUID, Sequence: 1, Flushed: int64(len(f.Data)), Last: first + v.Size, Writes: writes}.Bytes())
	asked := 0
	img, err := vhdx.Open(mapCount{holes{f.Data}, &asked}, first+v.Size)
	if err != nil {
		t.Fatal(err)
	}
	if got := extents(t, img); len(got) > 0 {
		t.Errorf("extents %v", got)
	}
	if most := len(writes) + 2*int(v.Size/v.BlockSize); asked > most {
		t.Errorf("the map of the file was asked %d times for %d ranges", asked, len(writes))
	}
}
