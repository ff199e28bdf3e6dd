package vmdk_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

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
