package vmdk_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// cowd is a disk in an extent of ESX, with two grain tables and grains out of order.
func cowd(grainSectors int64) (*testimage.Stream, []byte) {
	v := testimage.VMDK{Size: (4096*grainSectors + 700) * 512, GrainSectors: grainSectors}
	disk := make([]byte, v.Size)
	var runs []testimage.Run
	for k, at := range []int64{0, 512 * 3, 5000, 70000, 4096*grainSectors*512 - 1000, v.Size - 1} {
		r := testimage.Run{Offset: at, Data: pattern(int(min(700*int64(k+1), v.Size-at)), uint64(k))}
		copy(disk[at:], r.Data)
		runs = append(runs, r)
	}
	for g := range v.Size/512/grainSectors + 1 {
		v.Order = append(v.Order, g)
	}
	slices.Reverse(v.Order)
	return v.BuildCOWD(runs...), disk
}

// se is a disk in an extent of ESXi.
func se() (*testimage.Stream, []byte) {
	v := testimage.VMDK{Size: 4096*4096 + 5*4096 + 512}
	runs := []testimage.Run{
		{Offset: 0, Data: pattern(5000, 1)},
		{Offset: 8 * 4096, Zero: 3 * 4096},
		{Offset: 11 * 4096, Data: pattern(4096, 2)},
		{Offset: 4096*4096 - 512, Data: pattern(1024, 3)},
		{Offset: v.Size - 512, Data: pattern(512, 4)},
	}
	disk := make([]byte, v.Size)
	for _, r := range runs {
		copy(disk[r.Offset:], r.Data)
	}
	return v.BuildSESparse(runs...), disk
}

// withESX is a disk of one extent.
func withESX(createType, kind string, extent []byte, size int) files {
	return files{"disk.vmdk": described(createType, fmt.Sprintf("RW %d %s \"disk-delta.vmdk\"", size/512, kind)), "disk-delta.vmdk": extent}
}

func TestESX(t *testing.T) {
	one, oneDisk := cowd(1)
	eight, eightDisk := cowd(8)
	sparse, sparseDisk := se()
	for _, c := range []struct {
		sub, kind string
		data      []byte
		disk      []byte
		unit      int64
	}{
		{"vmfsSparse", "VMFSSPARSE", one.Data, oneDisk, 512},
		{"vmfsSparse", "VMFSSPARSE", eight.Data, eightDisk, 4096},
		{"seSparse", "SESPARSE", sparse.Data, sparseDisk, 4096},
	} {
		f := withESX(c.sub, c.kind, c.data, len(c.disk))
		img, err := f.open()
		if err != nil {
			t.Errorf("%s: %v", c.sub, err)
			continue
		}
		if img.SubFormat() != c.sub {
			t.Errorf("it is a %s", img.SubFormat())
		}
		t.Run(fmt.Sprint(c.sub, c.unit), func(t *testing.T) {
			testimage.Conform(t, testimage.Case{Files: f, Image: "disk.vmdk", Disk: c.disk, Units: []int64{c.unit}, Open: openBeside})
		})
	}
}

// The number of a grain is split in its entry: the low twelve bits are above the others.
func TestSESparseManyGrains(t *testing.T) {
	v := testimage.VMDK{Size: 4200 * 4096}
	disk := make([]byte, v.Size)
	for at := int64(0); at < v.Size; at += 512 {
		put64(disk, at, uint64(at+1))
	}
	checkRefusal(t, withESX("seSparse", "SESPARSE", v.BuildSESparse(testimage.Run{Data: disk}).Data, len(disk)), disk, "")
}

// What ESXi has unmapped and what it says is zeros are zeros; neighbours of both kinds are one.
func TestSESparseExtents(t *testing.T) {
	s, disk := se()
	img, err := withESX("seSparse", "SESPARSE", s.Data, len(disk)).open()
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
	want := []diskimage.Extent{
		{Offset: 0, Length: 8192}, {Offset: 8 * 4096, Length: 3 * 4096, Zero: true}, {Offset: 11 * 4096, Length: 4096},
		{Offset: 4095 * 4096, Length: 2 * 4096}, {Offset: 4096*4096 + 5*4096, Length: 512},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

// Each row damages one thing of an extent of ESX; want is in the error.
func TestCOWDRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(s *testimage.Stream)
		want   string // empty: it is sound
	}{
		{"version 2", func(s *testimage.Stream) { put32(s.Data, 4, 2) }, "COWD header at byte 0, version = 2"},
		{"unknown flags are no harm", func(s *testimage.Stream) { put32(s.Data, 8, 0x103) }, ""},
		{"capacity 0", func(s *testimage.Stream) { put32(s.Data, 12, 0) }, "capacity = 0"},
		{"capacity below the line", func(s *testimage.Stream) { put32(s.Data, 12, 4000) }, "has a capacity of only 4000"},
		{"capacity beyond the directory", func(s *testimage.Stream) { put32(s.Data, 12, 1<<20) }, "numGDEntries = 2: a capacity of 1048576 sectors needs 256"},
		{"capacity and directory beyond the file", func(s *testimage.Stream) { put32(s.Data, 12, 1<<32-1); put32(s.Data, 24, 1<<32-1) }, "does not fit into the file"},
		{"grain of 0", func(s *testimage.Stream) { put32(s.Data, 16, 0) }, "grainSize = 0"},
		{"grain of 3", func(s *testimage.Stream) { put32(s.Data, 16, 3) }, "grainSize = 3"},
		{"grain of 2^31", func(s *testimage.Stream) { put32(s.Data, 16, 1<<31) }, "grainSize = 2147483648"},
		{"directory in the header", func(s *testimage.Stream) { put32(s.Data, 20, 3) }, "gdOffset = 3"},
		{"directory beyond the file", func(s *testimage.Stream) { put32(s.Data, 20, 1<<31) }, "gdOffset = 2147483648"},
		{"table beyond the file", func(s *testimage.Stream) { put32(s.Data, s.GD, 1<<31) }, "grain directory at byte 2048, entry 0 = 2147483648"},
		{"table in the header", func(s *testimage.Stream) { put32(s.Data, s.GD, 2) }, "entry 0 = 2: it points into the header"},
		{"table over the directory", func(s *testimage.Stream) { put32(s.Data, s.GD, 4) }, "would lie over the directory"},
		{"grain beyond the file", func(s *testimage.Stream) { put32(s.Data, s.GT[0], 1<<31) }, "entry of grain 0 = 2147483648: the 512 bytes there"},
		{"grain in the header (no zero grains)", func(s *testimage.Stream) { put32(s.Data, s.GT[0], 1) }, "entry of grain 0 = 1: it points into the header"},
		{"grain over the directory", func(s *testimage.Stream) { put32(s.Data, s.GT[0], 4) }, "would lie over the grain directory"},
		{"grain over a table", func(s *testimage.Stream) { put32(s.Data, s.GT[0], uint32(s.GT[1]/512+31)) }, "lies over a grain of 512 bytes"},
		{"grain behind a table", func(s *testimage.Stream) {
			s.Data = append(s.Data, make([]byte, 512)...)
			put32(s.Data, s.GT[0]+4*100, uint32(len(s.Data)/512-1))
		}, ""},
		{"one grain twice", func(s *testimage.Stream) { put32(s.Data, s.GT[1], uint32(s.Grain[0]/512)) }, "entry of grain 4096 ="},
		{"one table twice", func(s *testimage.Stream) { put32(s.Data, s.GD+4, uint32(s.GT[0]/512)) }, "grain directory at byte 2052, entry 1 ="},
		{"tables over one another", func(s *testimage.Stream) { put32(s.Data, s.GD+4, uint32(s.GT[0]/512-31)) }, "begins less than 16384 bytes before"},
		{"cut off", func(s *testimage.Stream) { s.Data = s.Data[:len(s.Data)-1] }, "do not end inside the file"},
		{"cut off in the header", func(s *testimage.Stream) { s.Data = s.Data[:2047] }, "the file ends after 2047 of its 2048 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, disk := cowd(1)
			c.damage(s)
			checkRefusal(t, withESX("vmfsSparse", "VMFSSPARSE", s.Data, len(disk)), disk, c.want)
		})
	}
}

func TestSESparseRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(s *testimage.Stream)
		want   string
	}{
		{"grain of 16", func(s *testimage.Stream) { put64(s.Data, 24, 16) }, `unsupported VMDK (seSparse): in its extent "disk-delta.vmdk": its header has grainSize = 16, only 8 is known`},
		{"table of 128", func(s *testimage.Stream) { put64(s.Data, 32, 128) }, "grainTableSize = 128"},
		{"flags", func(s *testimage.Stream) { put64(s.Data, 40, 1) }, "flags = 1"},
		{"reserved", func(s *testimage.Stream) { s.Data[79] = 1 }, "values where only zeros are known"},
		{"padding", func(s *testimage.Stream) { s.Data[511] = 1 }, "values where only zeros are known"},
		{"capacity 0", func(s *testimage.Stream) { put64(s.Data, 16, 0) }, "capacity = 0"},
		{"capacity above 64 TiB", func(s *testimage.Stream) { put64(s.Data, 16, 1<<63) }, "capacity = 9223372036854775808"},
		{"capacity beyond the directory", func(s *testimage.Stream) { put64(s.Data, 16, 1<<37) }, "size of the grain directory = 1"},
		{"no directory", func(s *testimage.Stream) { put64(s.Data, 128, 0) }, "offset of the grain directory = 0"},
		{"directory beyond the file", func(s *testimage.Stream) { put64(s.Data, 128, 1<<40) }, "offset of the grain directory = 1099511627776"},
		{"directory that overflows", func(s *testimage.Stream) { put64(s.Data, 128, 1<<63) }, "offset of the grain directory"},
		{"tables beyond the file", func(s *testimage.Stream) { put64(s.Data, 144, 1<<55) }, "offset of the grain tables"},
		{"grains beyond the file", func(s *testimage.Stream) { put64(s.Data, 192, 1<<55) }, "offset of the grains"},
		{"no volatile header", func(s *testimage.Stream) { put64(s.Data, 80, 0) }, "offset of the volatile header = 0"},
		{"volatile header of nothing", func(s *testimage.Stream) { put64(s.Data, 88, 0) }, "size of the volatile header = 0"},
		{"volatile header of something else", func(s *testimage.Stream) { s.Data[512] = 0 }, "seSparse volatile header at byte 512, magic = 0xcafeca00"},
		{"journal to be replayed", func(s *testimage.Stream) { put64(s.Data, 512+24, 1) }, "its journal holds changes"},
		{"volatile padding", func(s *testimage.Stream) { s.Data[512+32] = 1 }, "its volatile header has values"},
		{"directory entry of another kind", func(s *testimage.Stream) { put64(s.Data, s.GD, 0x2000_0000<<32) }, "its upper half must be 0x10000000"},
		{"directory entry 1", func(s *testimage.Stream) { put64(s.Data, s.GD, 1) }, "its upper half must be 0x10000000"},
		{"table behind the tables", func(s *testimage.Stream) { put64(s.Data, s.GD, 0x1000_0000<<32|2) }, "there is room for 2 grain tables"},
		{"tables behind the file", func(s *testimage.Stream) { put64(s.Data, 152, 1<<62); put64(s.Data, s.GD, 0x1000_0000<<32|0xffffffff) }, "does not fit into the file"},
		{"one table twice", func(s *testimage.Stream) { copy(s.Data[s.GD:s.GD+8], s.Data[s.GD+8:]) }, "another entry leads to the same place"},
		{"entry of type 4", func(s *testimage.Stream) { put64(s.Data, s.GT[0], 4<<60) }, "entry of grain 0 = 4611686018427387904: its type must be 0 to 3"},
		{"absent with a place", func(s *testimage.Stream) { put64(s.Data, s.GT[0], 1<<48) }, "an entry that is absent must be 0"},
		{"grain behind the grains", func(s *testimage.Stream) { put64(s.Data, s.GT[0], 3<<60|2) }, "there is room for 4102 grains"},
		{"grain behind the file", func(s *testimage.Stream) { put64(s.Data, s.GT[0], 3<<60|100<<48) }, "the 4096 bytes there do not end inside"},
		{"grain that overflows", func(s *testimage.Stream) { put64(s.Data, 200, 1<<64-1); put64(s.Data, s.GT[0], 3<<60|1<<44) }, "the 4096 bytes there do not end inside"},
		{"one grain twice", func(s *testimage.Stream) { copy(s.Data[s.GT[0]:s.GT[0]+8], s.Data[s.GT[0]+8:]) }, "another entry leads to the same place"},
		{"grains over the tables", func(s *testimage.Stream) { put64(s.Data, 192, uint64(s.GT[1]/512)) }, "lies over a grain of 4096 bytes"},
		{"cut off", func(s *testimage.Stream) { s.Data = s.Data[:len(s.Data)-3600] }, "the 512 bytes there do not end inside"},
		{"cut off behind the disk", func(s *testimage.Stream) { s.Data = s.Data[:len(s.Data)-3584] }, ""},
		{"cut off in the header", func(s *testimage.Stream) { s.Data = s.Data[:511] }, "the file ends after 511"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, disk := se()
			c.damage(s)
			checkRefusal(t, withESX("seSparse", "SESPARSE", s.Data, len(disk)), disk, c.want)
		})
	}
}

// checkRefusal opens and reads a disk, which must fail with an error that has want in it, or be sound where that is empty.
func checkRefusal(t *testing.T, f files, disk []byte, want string) {
	t.Helper()
	img, err := f.open()
	if want == "" {
		if err != nil || !bytes.Equal(readAll(t, img), disk) {
			t.Errorf("%v, or other bytes", err)
		}
		return
	}
	if err == nil {
		t.Fatal("opened as if it were sound")
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("error %q lacks %q", err, want)
	}
	typed(t, err)
}

// The deltas of ESX hold what differs from a parent: one that does not say whether there is one is no whole disk.
func TestESXWithoutParentCID(t *testing.T) {
	s, disk := cowd(1)
	f := withESX("vmfsSparse", "VMFSSPARSE", s.Data, len(disk))
	f["disk.vmdk"] = []byte(testimage.Descriptor{CreateType: "vmfsSparse", ParentCID: "-", Extents: []string{`RW 4796 VMFSSPARSE "disk-delta.vmdk"`}}.String())
	checkRefusal(t, f, disk, "parentCID: it is missing")
	f["disk.vmdk"] = bytes.Replace(f["disk.vmdk"], []byte("encoding"), []byte("parentCID=FFFFFFFF\nencoding"), 1)
	checkRefusal(t, f, disk, "")
}

// A disk that was in use is read with a warning.
func TestInconsistentCOWD(t *testing.T) {
	s, disk := cowd(1)
	put32(s.Data, 8, 7)
	img, err := withESX("vmfsSparse", "VMFSSPARSE", s.Data, len(disk)).open()
	if err != nil {
		t.Fatal(err)
	}
	if w := img.Warnings(); len(w) != 1 || !strings.Contains(w[0], `"disk-delta.vmdk": it was not closed`) {
		t.Errorf("warnings %q", w)
	}
}
