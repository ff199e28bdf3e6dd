package vmdk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// long is a file that goes on with zeros as far as a test wants, without being there.
type long struct {
	data  []byte
	size  int64
	reads int64
	bytes int64

	runs  [][2]int64 // what is stored; nil: all
	asked int
}

func (l *long) NextData(off int64) (start, end int64, err error) {
	l.asked++
	if l.runs == nil {
		return off, l.size, nil
	}
	for _, r := range l.runs {
		if off < r[1] {
			return max(off, r[0]), r[1], nil
		}
	}
	return 0, 0, io.EOF
}

func (l *long) ReadAt(p []byte, at int64) (int, error) {
	l.reads++
	l.bytes += int64(len(p))
	clear(p)
	if at < int64(len(l.data)) {
		copy(p, l.data[at:])
	}
	return len(p), nil
}

func (l *long) Size() int64  { return l.size }
func (l *long) Close() error { return nil }

// bounded opens an image that is refused, or walked: neither memory nor reading follows what it claims.
func bounded(t *testing.T, l *long, beside diskimage.Opener, maxBytes int64) error {
	t.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	img, err := vmdk.OpenBeside(l, l.size, beside)
	if err == nil {
		for _, err = range img.Extents() {
		}
	}
	runtime.ReadMemStats(&after)
	if total := after.TotalAlloc - before.TotalAlloc; total > raced*64<<20 {
		t.Errorf("allocated %d MiB in all, more than 64", total>>20)
	}
	if l.bytes > maxBytes {
		t.Errorf("%d reads of %d bytes, more than %d", l.reads, l.bytes, maxBytes)
	}
	if err != nil {
		typed(t, err)
	}
	return err
}

// One small table, or one grain, in many places of the disk.
func TestSharedTables(t *testing.T) {
	for _, c := range []struct {
		name   string
		stream bool
		change func(v *testimage.VMDK)
		damage func(s *testimage.Stream)
		want   string // empty: it is sound
	}{
		{"a table twice", false, nil, func(s *testimage.Stream) { put32(s.Data, s.GD+8, uint32(s.GT[0]/512)) }, "grain directory at byte 1544, entry 2 = 4: another entry leads to the same place"},
		{"a table twice, in a stream", true, nil, func(s *testimage.Stream) { put32(s.Data, s.GD+8, uint32(s.GT[0]/512)) }, "another entry leads to the same place"},
		{"tables that overlap", false, func(v *testimage.VMDK) { v.GTEs = 512; v.Size = 1500 * 4096 }, func(s *testimage.Stream) { put32(s.Data, s.GD+8, uint32(s.GT[1]/512+1)) },
			"it lies over another one, which begins less than 2048 bytes before it"},
		{"tables that overlap, in a stream", true, func(v *testimage.VMDK) { v.GTEs = 512; v.Size = 1500 * 4096 }, func(s *testimage.Stream) { put32(s.Data, s.GD+8, uint32(s.GT[1]/512+1)) },
			"it lies over another one"},
		{"a table over the directory", false, nil, func(s *testimage.Stream) { put32(s.Data, s.GD, uint32(s.GD/512)) }, "would lie over the directory"},
		{"a table in the descriptor", false, func(v *testimage.VMDK) { v.Descriptor = "" }, func(s *testimage.Stream) { put32(s.Data, s.GD, 1) }, "it points into the descriptor"},
		{"a grain twice", false, nil, func(s *testimage.Stream) { put32(s.Data, s.GT[1], uint32(s.Grain[0]/512)) }, "entry of grain 16 = 8: another entry leads to the same place"},
		{"a grain twice in a table", false, nil, func(s *testimage.Stream) { copy(s.Data[s.GT[0]+4:s.GT[0]+8], s.Data[s.GT[0]:]) }, "entry of grain 1 = 8: another entry leads to the same place"},
		{"grains that overlap", false, nil, func(s *testimage.Stream) { put32(s.Data, s.GT[1], uint32(s.Grain[0]/512+1)) }, "entry of grain 16 = 9: it lies over another one, which begins less than 4096 bytes before it"},
		{"grains that overlap by a sector", false, nil, func(s *testimage.Stream) {
			put32(s.Data, s.GT[1], uint32(s.Grain[20]/512+7))
			put32(s.Data, s.GT[1]+4*5, 0)
		}, "entry of grain 16 = "},
		{"grains that touch", false, nil, func(s *testimage.Stream) {
			put32(s.Data, s.GT[2]+4*7, 0) // the last one gives room
			for k := range int64(39) {
				put32(s.Data, s.GT[k/16]+4*(k%16), uint32(s.Grain[38-k]/512+1))
			}
		}, ""},
		{"grains out of step", false, nil, func(s *testimage.Stream) {
			put32(s.Data, s.GT[2]+4*6, uint32(s.Grain[38]/512+1))
			put32(s.Data, s.GT[2]+4*7, 0)
		}, ""},
		{"a grain over a table behind the grains", false, nil, func(s *testimage.Stream) {
			table := bytes.Clone(s.Data[s.GT[2] : s.GT[2]+64])
			put32(table, 4*7, 0)
			copy(s.Data[s.Grain[39]+3584:], table)
			put32(s.Data, s.GD+8, uint32(s.Grain[39]/512+7))
			put32(s.Data, s.GT[0], uint32(s.Grain[39]/512))
		}, "grain directory at byte 1544, entry 2 = 327: what lies there lies over a grain of 4096 bytes"},
		{"a table between the grains", false, nil, func(s *testimage.Stream) {
			table := bytes.Clone(s.Data[s.GT[2] : s.GT[2]+64])
			put32(table, 0, 0) // grain 32 gives room
			put32(table, 4*7, 0)
			copy(s.Data[s.Grain[32]+3584:], table)
			put32(s.Data, s.GD+8, uint32(s.Grain[32]/512+7))
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := testimage.VMDK{Size: 40 * 4096, GrainSectors: 8, GTEs: 16, Layout: testimage.GDInFront, Descriptor: "RW 8 SPARSE \"x\""}
			if c.change != nil {
				c.change(&v)
			}
			run := testimage.Run{Data: pattern(int(v.Size), 1)}
			s := v.BuildSparse(run)
			if c.stream {
				s = v.Build(run)
			}
			c.damage(s)
			_, err := open(s.Data)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("opened as if it were sound")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q lacks %q", err, c.want)
			}
			typed(t, err)
		})
	}
}

// A file of some KiB that claims 2 TiB by one table for all of them, or by one grain.
func TestSmallFileLargeDisk(t *testing.T) {
	const size = 2 << 40
	for _, compressed := range []bool{false, true} {
		v := testimage.VMDK{Size: size, GrainSectors: 4096, Descriptor: "RW 8 SPARSE \"x\""} // 2048 tables
		one := testimage.Run{Data: pattern(2<<20, 1)}
		var s *testimage.Stream
		if compressed {
			v.Layout = testimage.GDPatched
			s = v.Build(one)
		} else {
			s = v.BuildSparse(one)
		}
		for k := range int64(2048) {
			put32(s.Data, s.GD+4*k, uint32(s.GT[0]/512))
		}
		for k := range int64(512) {
			put32(s.Data, s.GT[0]+4*k, uint32(s.Grain[0]/512))
		}
		if err := bounded(t, &long{data: s.Data, size: int64(len(s.Data))}, nil, 64<<10); err == nil || !strings.Contains(err.Error(), "another entry leads to the same place") {
			t.Errorf("%v", err)
		}
	}
}

// The map of a file that is too long for it is made piece by piece; what lies over the edge of two pieces is seen.
func TestOverlapsInLongFiles(t *testing.T) {
	const piece = 1 << 27 // sectors; grains that are out of step make the unit a sector
	v := testimage.VMDK{Size: 16 * 4096, GrainSectors: 8, GTEs: 16, Descriptor: "RW 8 SPARSE \"x\""}
	s := v.BuildSparse()
	set := func(entries ...uint32) *long {
		for k, e := range entries {
			put32(s.Data, s.GT[0]+4*int64(k), e)
		}
		return &long{data: s.Data, size: 2 << 40}
	}
	const low = 1001
	for _, c := range []struct {
		entries []uint32
		want    string
	}{
		{[]uint32{low, 1<<32 - 8, 3*piece + low, piece + low - 8, piece + low, 2*piece + low - 3, 2*piece + low + 5}, ""},
		{[]uint32{low, 1<<32 - 8, 2*piece + low - 7, 2*piece + low}, fmt.Sprintf("entry of grain 3 = %d: it lies over another one", 2*piece+low)},
		{[]uint32{1<<32 - 8, low, 2*piece + low + 100, low + 8, 2*piece + low + 100}, fmt.Sprintf("entry of grain 4 = %d: another entry", 2*piece+low+100)},
		{[]uint32{1<<32 - 8, low, 1<<32 - 15}, "entry of grain 0 = 4294967288: it lies over another one"},
	} {
		err := bounded(t, set(append(c.entries, make([]uint32, 16-len(c.entries))...)...), nil, 1<<20)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%d: %v, want %q", c.entries, err, c.want)
		}
	}
}

// Against the obvious way to do it, over any places.
func TestAnyOverlap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	found := 0
	for range 300 {
		v := testimage.VMDK{Size: 24 * 4096, GrainSectors: 8, GTEs: 8, Descriptor: "RW 8 SPARSE \"x\""}
		s := v.BuildSparse()
		room := int64(20 + r.IntN(2000)) // in sectors, behind the tables
		s.Data = append(s.Data, make([]byte, 512*room)...)
		first := (int64(len(s.Data)) - 512*room) / 512
		step := int64(1) << r.IntN(4)
		var taken []int64
		want := false
		for k := range int64(24) {
			if r.IntN(3) == 0 {
				continue
			}
			at := first + r.Int64N(max(1, (room-8)/step))*step
			for _, other := range taken {
				want = want || at-other < 8 && other-at < 8
			}
			taken = append(taken, at)
			put32(s.Data, s.GT[k/8]+4*(k%8), uint32(at))
		}
		_, err := open(s.Data)
		if (err != nil) != want {
			t.Fatalf("grains at %d, step %d: %v, want an overlap: %v", taken, step, err, want)
		}
		if want {
			found++
		}
	}
	if found < 30 || found > 270 {
		t.Errorf("%d of 300 overlap", found)
	}
}

// A full disk of small grains in any order is the most that there is to keep.
func TestMemoryOfOverlaps(t *testing.T) {
	const grains = 1 << 20
	v := testimage.VMDK{Size: grains * 4096, GrainSectors: 8, Descriptor: "RW 8 SPARSE \"x\""}
	s := v.BuildSparse()
	first := int64(len(s.Data)) / 512
	for k, place := range rand.New(rand.NewPCG(1, 1)).Perm(grains) {
		put32(s.Data, s.GT[int64(k)/512]+4*int64(k%512), uint32(first+int64(place)*8))
	}
	l := &long{data: s.Data, size: first*512 + grains*4096}
	if err := bounded(t, l, nil, 4*int64(len(s.Data))); err != nil {
		t.Error(err)
	}
}

// Grains in no order, strewn over a file of holes, are not looked for once for each of the 32 pieces of the file, wherever they lie close together.
func TestStrewnGrains(t *testing.T) {
	const (
		piece     = 1 << 27              // sectors
		few, many = 1 << 18, 2<<20 + 512 // what is sorted, and what is not
	)
	for _, c := range []struct {
		name   string
		grains int64
		random bool
		change func(entries []uint32) // which are in descending order
		walks  int64                  // over all tables
		want   string
	}{
		{"few", few, true, nil, 4, ""},
		{"few, one twice", few, false, func(e []uint32) { e[1] = e[0] }, 4, "entry of grain 1 = 4294690825: another entry"},
		{"many in no order", many, true, nil, 2, "unsupported VMDK: its 2097664 grains are strewn over 219"},
		{"many from the end on", many, false, nil, 4, ""},
		{"one twice, far apart", many, false, func(e []uint32) { e[1<<20] = e[7] }, 4, "entry of grain 1048576 = 4293918257: another entry"},
		{"over the edge of two pieces", many, false, func(e []uint32) {
			low := e[len(e)-1]
			e[10], e[1<<20] = low+9*piece+4, low+9*piece-3
		}, 6, "entry of grain 10 = 1207975980: it lies over another one"},
		{"close to the edge of two pieces", many, false, func(e []uint32) {
			low := e[len(e)-1]
			e[10], e[1<<20] = low+9*piece+5, low+9*piece-3
		}, 4, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := testimage.VMDK{Size: c.grains * 4096, GrainSectors: 8, Descriptor: "RW 8 SPARSE \"x\""}
			s := v.BuildSparse()
			first := int64(len(s.Data)) / 512
			step := (1<<32 - 100 - first) / c.grains
			entries := make([]uint32, c.grains)
			for k := range c.grains {
				entries[k] = uint32(first + (c.grains-1-k)*step + k%3)
			}
			if c.random {
				rand.New(rand.NewPCG(1, 1)).Shuffle(len(entries), func(a, b int) { entries[a], entries[b] = entries[b], entries[a] })
			}
			if c.change != nil {
				c.change(entries)
			}
			for k := int64(0); k < c.grains; k += 512 {
				for n, e := range entries[k : k+512] {
					put32(s.Data, s.GT[k/512]+4*int64(n), e)
				}
			}
			err := bounded(t, &long{data: s.Data, size: 2<<40 - 512}, nil, c.walks*int64(len(s.Data)))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// Grains that are too many to be held against one another do not become fewer by a header that claims 64 TiB, and a directory in a hole for them.
func TestStrewnGrainsOfAClaim(t *testing.T) {
	const grains, directory = 2<<20 + 512, 128 << 20
	v := testimage.VMDK{Size: grains * 4096, GrainSectors: 8, Descriptor: "RW 8 SPARSE \"x\""}
	s := v.BuildSparse()
	put64(s.Data, 12, 64<<40/512)
	put64(s.Data, 56, uint64(len(s.Data)/512))
	s.Data = append(s.Data, s.Data[s.GD:s.GD+4*grains/512]...)
	first := int64(len(s.Data)+directory) / 512
	dice := rand.New(rand.NewPCG(1, 1))
	for k, place := range dice.Perm(grains) {
		put32(s.Data, s.GT[int64(k)/512]+4*int64(k%512), uint32(first+int64(place)*1999))
	}
	l := &long{data: s.Data, size: 2 << 40, runs: [][2]int64{{0, int64(len(s.Data))}}}
	err := bounded(t, l, nil, 2*int64(len(s.Data)))
	if err == nil || !strings.Contains(err.Error(), "grains are strewn over") {
		t.Error(err)
	}
}

// Tables of a single entry are as far apart as others: the map has no more places for them.
func TestStrewnTables(t *testing.T) {
	const tables = 2<<20 + 1
	v := testimage.VMDK{Size: 8 * 4096, GrainSectors: 8, GTEs: 1, Descriptor: "RW 8 SPARSE \"x\""}
	s := v.BuildSparse()
	put64(s.Data, 12, tables*8)
	s.Data = append(s.Data[:s.GD], make([]byte, 4*tables)...)
	for k := range int64(tables) {
		put32(s.Data, s.GD+4*k, uint32((tables-k)<<10+1<<20))
	}
	l := &long{data: s.Data, size: 2 << 40, runs: [][2]int64{{0, int64(len(s.Data))}}}
	if err := bounded(t, l, nil, 10*int64(len(s.Data))); err != nil {
		t.Error(err)
	}
}

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

// Descriptors that are full of lines.
func TestLongDescriptors(t *testing.T) {
	fill := func(line string) []byte {
		return []byte("createType=\"custom\"\nparentCID=ffffffff\n" + strings.Repeat(line+"\n", (1<<20-100)/(len(line)+1)))
	}
	for _, c := range []struct{ line, want string }{
		{"RW 1 ZERO", "more than 4096 extents"},
		{`RW 1 FLAT "a" 0`, "more than 4096 extents"},
		{"RW", "more than 4096 extents"},
		{"x", "neither a comment"},
		{"", "there is none"},
		{"a=b", "there is none"},
	} {
		data := fill(c.line)
		opened := 0
		beside := func(string) (diskimage.File, error) { opened++; return nil, fs.ErrNotExist }
		err := bounded(t, &long{data: data, size: int64(len(data))}, beside, 4<<20)
		if err == nil || !strings.Contains(err.Error(), c.want) || opened > 0 {
			t.Errorf("%q: %v, %d files opened", c.line, err, opened)
		}
	}
}

// Texts of any length are cut where they are shown, and no path has more than 4 KiB.
func TestLongTexts(t *testing.T) {
	const n = 200 << 10
	for _, c := range []struct{ text, want string }{
		{"parentCID=1\nparentFileNameHint=\"x" + strings.Repeat("\x01", n) + "\"\nRW 8 FLAT \"a\"", "(cut): no path is longer than 4096 bytes"},
		{"parentCID=1\nparentFileNameHint=\"x" + strings.Repeat("/", n) + "b\"\nRW 8 FLAT \"a\"", "(cut): no path is longer than 4096 bytes"},
		{"parentCID=" + strings.Repeat("1", n) + "\nparentFileNameHint=\"p\"\nRW 8 FLAT \"a\"", `11" (cut): "p" has the CID ""`},
		{"parentCID=1\nparentFileNameHint=\"q\"\nRW 8 FLAT \"a\"", `"q" has the CID "222`},
		{"encoding=" + strings.Repeat("\x01", n) + "\nRW 8 FLAT \"\xff\"", `\x01" (cut))`},
		{"RW 8 FLAT \"" + strings.Repeat("x", n) + "\"", `xx" (cut): no path is longer than 4096 bytes`},
		{"RW 8 FLAT \"" + strings.Repeat("x", 300) + "\"", `xx" (cut), is not there`},
		{"RW 8 FLAT \"/" + strings.Repeat("x", 300) + "\"", `xx" (cut) is not the name of a file`},
		{"RW 8 FLAT \"broken" + strings.Repeat("x", 300) + "\"", `xx" (cut): it is broken`},
		{"RW 8 " + strings.Repeat("\x01", n) + " \"a\"", `\x01" (cut), which is on a device`},
		{"RW 9 FLAT \"a\"" + strings.Repeat(" ", n), `"a": 9 sectors from sector 0 on do not fit`},
	} {
		beside := func(name string) (diskimage.File, error) {
			of := map[string]string{"a": strings.Repeat("\x00", 4096), "p": "createType=\"vmfs\"\nRW 8 FLAT \"a\"", "q": "CID=" + strings.Repeat("2", n) + "\nRW 8 FLAT \"a\""}
			data, ok := of[name]
			if strings.HasPrefix(name, "broken") {
				return nil, errors.New("it is broken")
			}
			if !ok {
				return nil, fs.ErrNotExist
			}
			return &long{data: []byte(data), size: int64(len(data))}, nil
		}
		data := []byte("createType=\"vmfs\"\n" + c.text + "\n")
		_, err := vmdk.OpenBeside(bytes.NewReader(data), int64(len(data)), beside)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 4000 {
			t.Errorf("%.80q: %.2000v, want %q", c.text, err, c.want)
		}
		if _, err := open(data); err == nil || len(err.Error()) > 4000 {
			t.Errorf("alone: %.80q: %.2000v", c.text, err)
		}
	}
}

// What is kept of each disk of a chain does not keep its text.
func TestMemoryOfChain(t *testing.T) {
	live := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, most := live(), int64(0)
	_, err := vmdk.OpenBeside(link(0), link(0).Size(), func(name string) (diskimage.File, error) {
		var k int
		if _, err := fmt.Sscan(name, &k); err != nil {
			return &long{size: 512}, nil //nolint:nilerr // the last of the chain is no number
		}
		most = max(most, live()-before)
		return link(k), nil
	})
	if err == nil || !strings.Contains(err.Error(), "more than 64 disks") || most > 4<<20 {
		t.Errorf("%d KiB live, %.2000v", most>>10, err)
	}
}

// link is a disk of a long chain with a long text, which is made when it is read.
type link int

func (k link) text() []byte {
	pad := strings.Repeat("/", 300<<10)
	return fmt.Appendf(nil, "CID=%d\nparentCID=%d\nencoding=x%s\nparentFileNameHint=%d\nRW 1 FLAT \"a\" 0 %s\n", k, k+1, pad, k+1, pad)
}

func (k link) ReadAt(p []byte, at int64) (int, error) { return bytes.NewReader(k.text()).ReadAt(p, at) }
func (k link) Size() int64                            { return int64(len(k.text())) }
func (link) Close() error                             { return nil }

// What was opened is closed when opening fails in the middle, and with the image.
func TestClose(t *testing.T) {
	f, _ := pair(func(_, _ *testimage.VMDK) {})
	f["c.vmdk"] = pattern(4096, 1)
	f["base.vmdk"] = []byte(testimage.Descriptor{CreateType: "custom", CID: "abc", Extents: []string{`RW 8 FLAT "c.vmdk" 0`, `RW 8 FLAT "gone.vmdk" 0`}}.String())
	left := 0
	beside := func(name string) (diskimage.File, error) {
		file, err := f.opener()(name)
		if err != nil {
			return nil, err
		}
		left++
		return closing{counted{file, &left}}, nil
	}
	image := bytes.NewReader(f["disk.vmdk"])
	if _, err := vmdk.OpenBeside(image, image.Size(), beside); err == nil || !strings.Contains(err.Error(), `"gone.vmdk", is not there`) || left != 0 {
		t.Errorf("%v; %d files are open", err, left)
	}
	f["gone.vmdk"] = f["c.vmdk"]
	img, err := vmdk.OpenBeside(image, image.Size(), beside)
	if err != nil || left != 3 {
		t.Fatalf("%v; %d files are open", err, left)
	}
	if err := img.Close(); !errors.Is(err, errClosing) || left != 0 {
		t.Errorf("%v; %d files are open", err, left)
	}
	if err := img.Close(); err != nil || left != 0 {
		t.Errorf("closed again: %v, %d", err, left)
	}
}

var errClosing = errors.New("it was read only")

type closing struct{ counted }

func (c closing) Close() error { return errors.Join(c.counted.Close(), errClosing) }

// Nothing is allocated for a grain, in any kind of extent or in a chain.
func TestAllocations(t *testing.T) {
	scattered := func(v testimage.VMDK) []testimage.Run {
		var runs []testimage.Run
		unit := v.GrainSectors * 512
		for at := int64(0); at+unit <= v.Size; at += 2 * unit {
			runs = append(runs, testimage.Run{Offset: at, Data: pattern(int(unit), 1)})
		}
		return runs
	}
	const parent = "parentCID=1\nparentFileNameHint=\"base.vmdk\"\ncreateType=\"monolithicSparse\"\n"
	for name, make := range map[string]func(grains int64) files{
		"monolithicSparse": func(n int64) files {
			v := testimage.VMDK{Size: n * 4096, GrainSectors: 8}
			return files{"disk.vmdk": v.BuildSparse(scattered(v)...).Data}
		},
		"streamOptimized": func(n int64) files {
			v := testimage.VMDK{Size: n * 4096, GrainSectors: 8}
			return files{"disk.vmdk": v.Build(scattered(v)...).Data}
		},
		"vmfsSparse": func(n int64) files {
			v := testimage.VMDK{Size: n * 512, GrainSectors: 1}
			return withESX("vmfsSparse", "VMFSSPARSE", v.BuildCOWD(scattered(v)...).Data, int(v.Size))
		},
		"seSparse": func(n int64) files {
			v := testimage.VMDK{Size: n * 4096, GrainSectors: 8}
			return withESX("seSparse", "SESPARSE", v.BuildSESparse(scattered(v)...).Data, int(v.Size))
		},
		"delta of a flat disk": func(n int64) files {
			v := testimage.VMDK{Size: n * 4096, GrainSectors: 8, Descriptor: parent}
			return files{
				"disk.vmdk": v.BuildSparse(scattered(v)...).Data,
				"base.vmdk": []byte(testimage.Descriptor{CreateType: "vmfs", CID: "1", Extents: []string{fmt.Sprintf(`RW %d VMFS "flat"`, n*8)}}.String()),
				"flat":      pattern(int(n*4096), 1),
			}
		},
	} {
		var allocated [2]float64
		for k, grains := range []int64{64, 1024} {
			img, err := make(grains).open()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			buf := bytes.Repeat([]byte{0}, int(img.Size()))
			allocated[k] = testing.AllocsPerRun(10, func() {
				for e, err := range img.Extents() {
					if err != nil {
						t.Fatal(err)
					}
					if _, err := img.ReadAt(buf[:e.Length], e.Offset); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
		if allocated[1] > allocated[0]+10 {
			t.Errorf("%s: %v allocations for 64 grains, %v for 1024", name, allocated[0], allocated[1])
		}
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

// A line may have less than the extent. Its last grain is as long as that of the extent, in a stream too.
func TestPartOfExtent(t *testing.T) {
	v := testimage.VMDK{Size: 319 * 512, GrainSectors: 8, GTEs: 16, Descriptor: "-", ShortLast: true}
	disk := pattern(int(v.Size), 1)
	for _, layout := range testimage.Layouts {
		v.Layout = layout
		for _, data := range [][]byte{v.Build(testimage.Run{Data: disk}).Data, v.BuildSparse(testimage.Run{Data: disk}).Data} {
			for _, sectors := range []int{1, 8, 128, 129, 313, 318} {
				checkRefusal(t, files{"disk.vmdk": described("custom", fmt.Sprintf(`RW %d SPARSE "s"`, sectors)), "s": data}, disk[:sectors*512], "")
			}
		}
	}
}
