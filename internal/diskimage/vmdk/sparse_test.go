package vmdk_test

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

	"pgregory.net/rapid"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// sparse is the disk of small, in one uncompressed file with redundant tables.
func sparse() (testimage.VMDK, []testimage.Run, []byte) {
	v, runs, disk := small(testimage.GDInFront)
	v.Redundant = true
	return v, runs, disk
}

// What is sound reads as the disk. The specification decides, and the header's flags, not createType.
func TestSparseLayouts(t *testing.T) {
	reversed := make([]int64, 40)
	for k := range reversed {
		reversed[k] = int64(39 - k)
	}
	for _, c := range []struct {
		name   string
		change func(*testimage.VMDK)
		damage func(*testimage.Stream)
	}{
		{"as written", nil, nil},
		{"no redundant tables", func(v *testimage.VMDK) { v.Redundant = false }, nil},
		{"redundant flag without an offset", func(v *testimage.VMDK) { v.Redundant = false }, func(s *testimage.Stream) { put32(s.Data, 8, 7) }},
		{"redundant offset without a flag", nil, func(s *testimage.Stream) { put32(s.Data, 8, 5); put64(s.Data, 48, 1<<40) }},
		{"version 1 with zero grains", func(v *testimage.VMDK) { v.Version = 1 }, func(s *testimage.Stream) { put32(s.Data, 4, 1) }},
		{"version 3, changed block tracking", func(v *testimage.VMDK) { v.Version = 3 }, nil},
		{"grain of 4 KiB", func(v *testimage.VMDK) { v.GrainSectors = 8 }, nil},
		{"grain of 2 MiB", func(v *testimage.VMDK) { v.GrainSectors = 4096 }, nil},
		{"one entry per table", func(v *testimage.VMDK) { v.GTEs = 1 }, nil},
		{"512 entries per table", func(v *testimage.VMDK) { v.GTEs = 512 }, nil},
		{"grains out of order", func(v *testimage.VMDK) { v.Order = reversed }, nil},
		{"the file ends with the disk", func(v *testimage.VMDK) { v.ShortLast = true }, nil},
		{"unclean shutdown", nil, func(s *testimage.Stream) { s.Data[72] = 1 }},
		{"newline test not claimed", nil, func(s *testimage.Stream) { put32(s.Data, 8, 6); copy(s.Data[73:], "abcd") }},
		{"unknown compatible flag", nil, func(s *testimage.Stream) { put32(s.Data, 8, 0x107) }},
		{"a descriptor that says streamOptimized", func(v *testimage.VMDK) {
			v.Descriptor = "# Disk DescriptorFile\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\nRW 4999 SPARSE \"x.vmdk\"\n"
		}, nil},
		{"a descriptor that names other files", func(v *testimage.VMDK) {
			v.Descriptor = "createType=\"monolithicFlat\"\nRW 4999 FLAT \"/etc/passwd\" 0\n"
		}, nil},
		{"a descriptor for less than the capacity", func(v *testimage.VMDK) { v.Descriptor = "version=1\nRW 4990 SPARSE \"x.vmdk\"" }, nil},
		{"a redundant table that is not there", nil, func(s *testimage.Stream) { put32(s.Data, s.RGD, 1<<30) }},
		{"a redundant entry of zeros", nil, func(s *testimage.Stream) { put32(s.Data, s.RGD, 0) }},
		{"a redundant table of zeros", nil, func(s *testimage.Stream) { clear(s.Data[s.RGT[0] : s.RGT[0]+64]) }},
		{"redundant tables that are the primary ones", nil, func(s *testimage.Stream) { copy(s.Data[s.RGD:s.RGD+12], s.Data[s.GD:]) }},
		{"a redundant entry behind the disk", nil, func(s *testimage.Stream) { put32(s.Data, s.RGT[2]+4*15, 9999) }},
		{"an entry behind the disk", nil, func(s *testimage.Stream) { put32(s.Data, s.GT[2]+4*15, 1<<30) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, runs, disk := sparse()
			if c.change != nil {
				c.change(&v)
			}
			s := v.BuildSparse(runs...)
			if c.damage != nil {
				c.damage(s)
			}
			img, err := open(s.Data)
			if err != nil {
				t.Fatal(err)
			}
			if img.SubFormat() != "monolithicSparse" || img.Size() != int64(len(disk)) {
				t.Errorf("%s of %d bytes", img.SubFormat(), img.Size())
			}
			if !bytes.Equal(readAll(t, img), disk) {
				t.Error("the bytes differ")
			}
		})
	}
}

// Each row damages one thing; want is in the error. qemu-img is no authority here: it reads zeros where a table lies behind the end of the file, and
// the descriptor where an entry is 1 and the flag is missing.
func TestSparseRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*testimage.VMDK)
		damage func(*testimage.Stream)
		want   string
	}{
		{"version 4", nil, func(s *testimage.Stream) { put32(s.Data, 4, 4) }, "version = 4"},
		{"unknown incompatible flag", nil, func(s *testimage.Stream) { put32(s.Data, 8, 0x40007) }, "unknown incompatible flags 0x00040000"},
		{"markers without compression", nil, func(s *testimage.Stream) { put32(s.Data, 8, 0x20007) }, "markers without compression"},
		{"compressAlgorithm 1 without the flag", nil, func(s *testimage.Stream) { put16(s.Data, 77, 1) }, "compressAlgorithm = 1"},
		{"text-mode transfer (qemu reads it)", nil, func(s *testimage.Stream) { copy(s.Data[73:], "\n \n\n") }, "text-mode transfer"},
		{"capacity 0", nil, func(s *testimage.Stream) { put64(s.Data, 12, 0) }, "capacity = 0"},
		{"directory at the end", nil, func(s *testimage.Stream) { put64(s.Data, 56, 1<<64-1) }, "only a compressed stream"},
		{"directory beyond the file", nil, func(s *testimage.Stream) { put64(s.Data, 56, 1<<40) }, "gdOffset = 1099511627776"},
		{"overHead beyond the file", nil, func(s *testimage.Stream) { put64(s.Data, 64, 1<<20) }, "overHead = 1048576"},
		{"a delta (parentCID)", func(v *testimage.VMDK) {
			v.Descriptor = "parentCID=98CE85C9\ncreateType=\"monolithicSparse\"\nparentFileNameHint=\"../base.vmdk\"\nRW 4999 SPARSE \"x.vmdk\""
		}, nil, `unsupported VMDK (monolithicSparse delta): it is a delta of another disk ("../base.vmdk", parentCID "98ce85c9")`},
		{"several extents", func(v *testimage.VMDK) {
			v.Descriptor = "createType=\"twoGbMaxExtentSparse\"\nRW 4000 SPARSE \"x-s001.vmdk\"\nRW 999 SPARSE \"x-s002.vmdk\""
		}, nil, "spreads the disk over several files"},
		{"extent longer than the capacity (qemu goes by the header)", func(v *testimage.VMDK) {
			v.Descriptor = "createType=\"monolithicSparse\"\nRW 5000 SPARSE \"x.vmdk\""
		}, nil, "extent sectors = 5000"},
		{"table beyond the file (qemu reads zeros)", nil, func(s *testimage.Stream) { put32(s.Data, s.GD, 1<<20) }, "entry 0 = 1048576"},
		{"primary entry zeroed (others read zeros)", nil, func(s *testimage.Stream) { put32(s.Data, s.GD, 0) }, "the redundant directory has a grain table there"},
		{"primary table zeroed (others read zeros)", nil, func(s *testimage.Stream) { clear(s.Data[s.GT[0] : s.GT[0]+64]) },
			"entry of grain 0 = 0: the redundant table has a grain there"},
		{"entry of the last grain zeroed", nil, func(s *testimage.Stream) { put32(s.Data, s.GT[2]+4*7, 0) }, "entry of grain 39 = 0: the redundant table"},
		{"redundant directory beyond the file", nil, func(s *testimage.Stream) { put64(s.Data, 48, 1<<40) }, "rgdOffset"},
		{"GTE 1 without the flag (libvmdk reads the descriptor)", nil, func(s *testimage.Stream) { put32(s.Data, 8, 3) }, "flags do not allow"},
		{"grain in the descriptor", nil, func(s *testimage.Stream) { put32(s.Data, s.GT[0], 2) }, "entry of grain 0 = 2: it points into the header"},
		{"grain in the tables", nil, func(s *testimage.Stream) { put32(s.Data, s.GT[0], uint32(s.GT[0]/512)) }, "or the tables, which end at sector 128"},
		{"grain beyond the file", nil, func(s *testimage.Stream) { put32(s.Data, s.GT[0], 1<<20) }, "entry of grain 0 = 1048576: the 65536 bytes there"},
		{"cut off by a sector", nil, func(s *testimage.Stream) { put32(s.Data, s.GT[0], uint32(len(s.Data)/512-127)) }, "the 65536 bytes there do not end inside"},
		{"cut off inside the last grain", func(v *testimage.VMDK) { v.ShortLast = true }, func(s *testimage.Stream) { s.Data = s.Data[:len(s.Data)-1] },
			"the 3584 bytes there do not end inside"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, runs, _ := sparse()
			if c.change != nil {
				c.change(&v)
			}
			s := v.BuildSparse(runs...)
			if c.damage != nil {
				c.damage(s)
			}
			_, err := readEverything(s.Data)
			if err == nil {
				t.Fatal("read as if it were sound")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q lacks %q", err, c.want)
			}
			_, corrupt := errors.AsType[*diskimage.CorruptError](err)
			_, unsupported := errors.AsType[*diskimage.UnsupportedError](err)
			if !corrupt && !unsupported {
				t.Errorf("error of type %T", err)
			}
		})
	}
}

func TestSparseReadAt(t *testing.T) {
	v, runs, disk := sparse()
	v.GrainSectors = 8
	for k := range int64(625) { // grains of 4 KiB, by threes in order
		v.Order = append(v.Order, (k/3*3+(k%3))%625)
	}
	slices.Reverse(v.Order[300:])
	img, err := open(v.BuildSparse(runs...).Data)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(disk))
	for _, c := range []struct {
		at  int64
		n   int
		err error
	}{
		{0, 1, nil}, {4095, 2, nil}, {3*grain + 511, 2*grain + 2, nil}, {size - 10, 10, nil}, {size - 10, 11, io.EOF}, {0, int(size) + 1, io.EOF}, {size, 1, io.EOF},
	} {
		b := bytes.Repeat([]byte{0xaa}, c.n)
		n, err := img.ReadAt(b, c.at)
		want := disk[min(c.at, size):min(c.at+int64(c.n), size)]
		if n != len(want) || !errors.Is(err, c.err) || !bytes.Equal(b[:n], want) {
			t.Errorf("ReadAt(%d bytes, %d) = %d, %v", c.n, c.at, n, err)
		}
	}
	var group sync.WaitGroup
	for k := range 20 {
		group.Go(func() {
			r := rand.New(rand.NewPCG(uint64(k), 2)) //nolint:gosec // repeatable on purpose
			for range 50 {
				at := r.Int64N(size)
				b := make([]byte, 1+r.Int64N(min(size-at, 3*grain)))
				if n, err := img.ReadAt(b, at); n != len(b) || !bytes.Equal(b, disk[at:at+int64(n)]) {
					t.Errorf("concurrent ReadAt(%d bytes, %d) = %d, %v", len(b), at, n, err)
				}
			}
		})
	}
	group.Wait()
}

// Grains that lie together are read together: an image in S3 costs a request for each read.
func TestSparseReadsRuns(t *testing.T) {
	v := testimage.VMDK{Size: 32 * grain}
	s := v.BuildSparse(testimage.Run{Data: pattern(16*grain, 1)})
	r := &counting{ReaderAt: bytes.NewReader(s.Data)}
	img, err := vmdk.Open(r, int64(len(s.Data)))
	if err != nil {
		t.Fatal(err)
	}
	r.reads = 0
	if _, err := img.ReadAt(make([]byte, 20*grain), 0); err != nil {
		t.Fatal(err)
	}
	if r.reads != 3 { // directory, table, data
		t.Errorf("%d reads", r.reads)
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

func TestSparseSourceErrors(t *testing.T) {
	v, runs, _ := sparse()
	s := v.BuildSparse(runs...)
	broken := errors.New("connection reset")
	for name, at := range map[string]int64{
		"header": 0, "descriptor": 512, "directory": s.GD, "table": s.GT[1], "redundant directory": s.RGD, "redundant table": s.RGT[1], "grain": s.Grain[3] + 5000,
	} {
		img, err := vmdk.Open(failingAt{bytes.NewReader(s.Data), at, broken}, int64(len(s.Data)))
		if err == nil {
			_, err = io.ReadAll(io.NewSectionReader(img, 0, img.Size()))
		}
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Any disk, laid out in any way, through the builder, the reader and the converter, gives the same bytes again.
func TestSparseRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := testimage.VMDK{
			Size:         512 * rapid.Int64Range(1, 3000).Draw(t, "sectors"),
			GrainSectors: rapid.SampledFrom([]int64{8, 16, 128, 4096}).Draw(t, "grain"),
			GTEs:         rapid.Int64Range(1, 512).Draw(t, "entries"),
			Redundant:    rapid.Bool().Draw(t, "redundant"),
			ShortLast:    rapid.Bool().Draw(t, "short last"),
		}
		size := v.GrainSectors * 512
		for k := range (v.Size + size - 1) / size {
			v.Order = append(v.Order, k)
		}
		if rapid.Bool().Draw(t, "shuffled") {
			v.Order = rapid.Permutation(v.Order).Draw(t, "order")
		}
		disk := make([]byte, v.Size)
		var runs []testimage.Run
		for at := rapid.Int64Range(0, v.Size).Draw(t, "first"); at < v.Size; {
			n := rapid.Int64Range(1, min(v.Size-at, 100<<10)).Draw(t, "length")
			if rapid.Bool().Draw(t, "zeros") {
				runs = append(runs, testimage.Run{Offset: at, Zero: n})
			} else {
				runs = append(runs, testimage.Run{Offset: at, Data: pattern(int(n), uint64(at))})
				copy(disk[at:], runs[len(runs)-1].Data)
			}
			at += n + rapid.Int64Range(0, 200<<10).Draw(t, "hole")
		}
		img, err := open(v.BuildSparse(runs...).Data)
		if err != nil {
			t.Fatal(err)
		}
		got := target(make([]byte, img.Size()))
		if _, err := convert.Copy(t.Context(), got, img, convert.Options{}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, disk) {
			t.Fatal("the bytes differ")
		}
	})
}

// The extents of a sparse file are those of a stream of the same disk: only the grains are stored in another way.
func TestSparseExtents(t *testing.T) {
	v, runs, _ := sparse()
	var got [2]string
	for k, s := range []*testimage.Stream{v.Build(runs...), v.BuildSparse(runs...)} {
		img, err := open(s.Data)
		if err != nil {
			t.Fatal(err)
		}
		for e, err := range img.Extents() {
			got[k] += fmt.Sprintln(e, err)
		}
	}
	if got[0] != got[1] || got[0] == "" {
		t.Errorf("extents of the stream:\n%sof the sparse file:\n%s", got[0], got[1])
	}
}
