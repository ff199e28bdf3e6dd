package vmdk_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// A disk of 15 TiB that was never written to, as qemu-img creates it: its tables, and their copies, are a hole of 2 GiB, which is not read.
func TestTablesInHoles(t *testing.T) {
	const size = 15 << 40
	v := testimage.VMDK{Size: 512 << 16, Redundant: true}
	s := v.BuildSparse()
	tables := int64(size / (512 << 16))
	put64(s.Data, 12, size/512)
	directory := make([]byte, 2*4*tables)
	for k := range tables {
		put32(directory, 4*k, uint32(64<<20/512+4*k))
		put32(directory, 4*(tables+k), uint32(2<<30/512+4*k))
	}
	s.Data = append(s.Data[:65536], directory...)
	put64(s.Data, 64, 4<<30/512)
	put64(s.Data, 56, 128)
	put64(s.Data, 48, uint64(128+4*tables/512))
	l := &long{data: s.Data, size: 4<<30 + 65536}
	l.runs = [][2]int64{{0, int64(len(s.Data))}, {4 << 30, 4<<30 + 65536}}
	if err := bounded(t, l, nil, 4*int64(len(s.Data))); err != nil {
		t.Error(err)
	}
	if l.asked > 100 {
		t.Errorf("the map was asked %d times", l.asked)
	}
	l.runs = [][2]int64{{0, l.size}}
	l.bytes = 0
	if err := bounded(t, l, nil, 8<<30); err != nil || l.bytes < 2<<30 {
		t.Errorf("%v, %d bytes", err, l.bytes)
	}
}

// Where a directory is a hole there are no tables, and its entries are not looked at one by one. What is behind the hole is seen.
func TestDirectoryInHoles(t *testing.T) {
	const tables, index = 4 << 20, 5000
	v := testimage.VMDK{Size: 8 * 4096, GrainSectors: 8, GTEs: 1, Descriptor: "createType=\"monolithicSparse\"\nRW 8 SPARSE \"x\""}
	s := v.BuildSparse()
	put64(s.Data, 12, tables*8)
	put64(s.Data, 64, 0)
	s.Data = append(s.Data[:s.GD], make([]byte, 4*tables+512)...)
	put32(s.Data, s.GD+4*index, uint32(s.GD+4*tables)/512)
	put32(s.Data, s.GD+4*tables, uint32(s.GD+4*tables)/512+1)
	l := &long{data: s.Data, size: int64(len(s.Data)) + 4096}
	if err := bounded(t, l, nil, 10*4*tables); err != nil {
		t.Fatal(err)
	}
	img, err := vmdk.Look(l, l.size)
	if err != nil {
		t.Fatal(err)
	}
	looks := vmdk.CountEntries(img)
	walk := func() {
		t.Helper()
		if err := vmdk.Verify(img); err != nil {
			t.Fatal(err)
		}
		for e, err := range img.Extents() {
			if err != nil || e != (diskimage.Extent{Offset: index * 4096, Length: 4096}) {
				t.Errorf("%+v, %v", e, err)
			}
		}
	}
	walk()
	if err := img.Check(); err != nil {
		t.Fatal(err)
	}
	if *looks > tables/100 {
		t.Errorf("%d looks at %d entries", *looks, tables)
	}
	at := s.GD + 4*index
	at -= at % 4096
	l.runs = [][2]int64{{0, 4096}, {at, at + 4096}, {s.GD + 4*tables, l.size}}
	l.bytes, l.asked, *looks = 0, 0, 0
	walk()
	if *looks > 4*2048 || l.bytes > 128<<10 || l.asked > 50 {
		t.Errorf("where the file knows its holes: %d looks, %d bytes read, the map asked %d times", *looks, l.bytes, l.asked)
	}
}

// Grains that lie in holes of the file are nothing that is read, in one file or beside others. Those that are compressed cannot be there.
func TestGrainsInHoles(t *testing.T) {
	const grains, grain = 32, 1 << 30
	v := testimage.VMDK{Size: 8 * 4096, GrainSectors: 8, Descriptor: "createType=\"monolithicSparse\"\nRW 8 SPARSE \"x\""}
	s := v.BuildSparse()
	put64(s.Data, 12, grains*grain/512)
	put64(s.Data, 20, grain/512)
	first := (int64(len(s.Data)) + 65535) / 65536 * 65536
	for k := range int64(grains) {
		put32(s.Data, s.GT[0]+4*k, uint32((first+k*grain)/512))
	}
	end := first + grains*grain
	l := &long{data: s.Data, size: end, runs: [][2]int64{{0, int64(len(s.Data))}, {first + 5*grain - 4096, first + 5*grain + 8192}, {end - 512, end}}}
	want := []diskimage.Extent{{Offset: 5*grain - 4096, Length: 4096 + 8192}, {Offset: grains*grain - 512, Length: 512}}
	alone, err := vmdk.Open(l, l.size)
	if err != nil {
		t.Fatal(err)
	}
	text := described("twoGbMaxExtentSparse", fmt.Sprintf(`RW %d SPARSE "s"`, grains*grain/512))
	beside, err := vmdk.OpenBeside(bytes.NewReader(text), int64(len(text)), func(string) (diskimage.File, error) { return l, nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, img := range []*vmdk.Image{alone, beside} {
		var got []diskimage.Extent
		l.asked, l.bytes = 0, 0
		for e, err := range img.Extents() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e)
		}
		if !slices.Equal(got, want) || l.asked > 10 || l.bytes > 64<<10 {
			t.Errorf("%+v; %d bytes read, the map asked %d times", got, l.bytes, l.asked)
		}
	}
	packed := testimage.VMDK{Size: 8 * 4096, GrainSectors: 8}
	p := packed.Build(testimage.Run{Data: pattern(4096, 1)})
	clear(p.Data[p.Grain[0] : p.Grain[0]+512])
	img, err := vmdk.Open(holey{inMemory{bytes.NewReader(p.Data)}}, int64(len(p.Data)))
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range img.Extents() {
		if err != nil || e != (diskimage.Extent{Length: 4096}) {
			t.Errorf("%+v, %v", e, err)
		}
	}
	if _, err := img.ReadAt(make([]byte, 512), 0); err == nil {
		t.Error("a compressed grain in a hole reads as zeros")
	}
}

// claims is a sparse extent with empty tables that claims a disk in grains of 4 KiB, and so 4 bytes of directory for each 2 MiB of it.
func claims(size int64, descriptor string) *long {
	v := testimage.VMDK{Size: 8 * 4096, GrainSectors: 8, Descriptor: descriptor}
	s := v.BuildSparse()
	put64(s.Data, 12, uint64(size/512))
	put64(s.Data, 56, 8)
	put64(s.Data, 64, 0)
	clear(s.Data[8*512:])
	return &long{data: s.Data, size: 4096 + size>>21*4}
}

// Work does not follow what headers claim, once for each line of a descriptor: names may lead to the same file, as hard links do.
func TestClaimsOfExtents(t *testing.T) {
	for _, c := range []struct {
		name    string
		lines   int
		sectors int64 // that a line uses
		runs    [][2]int64
		most    int64 // bytes that are read
	}{
		{"a little of much", 4096, 8, nil, 4096 * 2048},
		{"all of much in holes", 64, 1 << 40 / 512, [][2]int64{{0, 4096}}, 64 * 2048},
	} {
		t.Run(c.name, func(t *testing.T) {
			var lines []string
			for k := range c.lines {
				lines = append(lines, fmt.Sprintf(`RW %d SPARSE "e%d"`, c.sectors, k))
			}
			text := described("twoGbMaxExtentSparse", lines...)
			l := claims(64<<40, "-")
			l.runs = c.runs
			own := &long{data: text, size: int64(len(text))}
			if err := bounded(t, own, func(string) (diskimage.File, error) { return l, nil }, 4*own.size); err != nil {
				t.Error(err)
			}
			if l.bytes > c.most || l.asked > 20*c.lines {
				t.Errorf("%d bytes read, more than %d, and the map asked %d times", l.bytes, c.most, l.asked)
			}
		})
	}
}

// The same for each disk of a chain. The directories of all together have a cap.
func TestClaimsOfChain(t *testing.T) {
	for _, c := range []struct {
		size   int64 // of each disk
		stored bool  // the directories are no holes
		most   int64 // bytes that are read
		want   string
	}{
		{1 << 40, false, 63 * 16 << 10, ""},
		{1 << 40, true, 63 * 5 * 2 << 20, ""},
		{64 << 40, false, 2 * 16 << 10, `unsupported VMDK (monolithicSparse delta): in its parent "c1.vmdk": with it, the image has more than 33554432 grain tables`},
	} {
		var all []*long
		disk := func(k int) *long {
			parent, name := fmt.Sprint(k+1), fmt.Sprintf("c%d.vmdk", k+1)
			if k == 62 {
				parent, name = "ffffffff", ""
			}
			l := claims(c.size, chained(fmt.Sprint(k), parent, name, c.size/512))
			if !c.stored {
				l.runs = [][2]int64{{0, 4096}}
			}
			all = append(all, l)
			return l
		}
		err := bounded(t, disk(0), func(name string) (diskimage.File, error) {
			var k int
			_, err := fmt.Sscanf(name, "c%d.vmdk", &k)
			return disk(k), err
		}, c.most)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v, want %q", err, c.want)
		}
		read, asked := int64(0), 0
		for _, l := range all {
			read, asked = read+l.bytes, asked+l.asked
		}
		if read > c.most || asked > 20*63 && !c.stored {
			t.Errorf("disks of %d bytes: %d bytes read, more than %d; the map asked %d times", c.size, read, c.most, asked)
		}
	}
}

// A directory that is a hole has its copy looked at all the same, where that is none.
func TestZeroedDirectoryInHole(t *testing.T) {
	const tables = 3000
	v := testimage.VMDK{Size: tables * 4096, GrainSectors: 8, GTEs: 1, Redundant: true}
	for _, k := range []int64{0, 1500, tables - 1} {
		s := v.BuildSparse(testimage.Run{Offset: k * 4096, Data: pattern(4096, 1)})
		f := holey{inMemory{bytes.NewReader(s.Data)}}
		if _, err := vmdk.Open(f, f.Size()); err != nil {
			t.Fatal(err)
		}
		clear(s.Data[s.GD : s.GD+4*tables])
		clear(s.Data[s.RGD : s.RGD+4*k])
		clear(s.Data[s.RGD+4*k+4 : s.RGD+4*tables])
		_, err := vmdk.Open(f, f.Size())
		if err == nil || !strings.Contains(err.Error(), "= 0: the redundant directory has a grain table there") {
			t.Errorf("table %d: %v", k, err)
		}
	}
}
