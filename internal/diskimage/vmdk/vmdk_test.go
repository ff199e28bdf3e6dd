package vmdk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

const grain = 64 << 10

// pattern is n bytes that deflate to about half.
func pattern(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // repeatable on purpose
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.UintN(16)) + 1
	}
	return b
}

// small is a disk of 40 grains with every kind of grain in it; the last one is short in the disk.
func small(layout testimage.Layout) (testimage.VMDK, []testimage.Run, []byte) {
	v := testimage.VMDK{Layout: layout, Size: 39*grain + 3584, GTEs: 16}
	runs := []testimage.Run{
		{Offset: 0, Data: pattern(grain, 1)},
		{Offset: 3*grain + 512, Data: pattern(2*grain, 2)},
		{Offset: 8 * grain, Zero: 2 * grain},
		{Offset: 10 * grain, Data: make([]byte, grain)},
		{Offset: 39 * grain, Data: pattern(3584, 3)},
	}
	disk := make([]byte, v.Size)
	for _, r := range runs {
		copy(disk[r.Offset:], r.Data)
	}
	return v, runs, disk
}

func readAll(t *testing.T, img *vmdk.Image) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(img, 0, img.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(data []byte) (*vmdk.Image, error) {
	return vmdk.Open(bytes.NewReader(data), int64(len(data)))
}

func TestLayouts(t *testing.T) {
	for _, layout := range testimage.Layouts {
		for name, change := range map[string]func(*testimage.VMDK){
			"as written":          func(*testimage.VMDK) {},
			"last grain short":    func(v *testimage.VMDK) { v.ShortLast = true },
			"version 1":           func(v *testimage.VMDK) { v.Version = 1 },
			"version 2":           func(v *testimage.VMDK) { v.Version = 2 },
			"no descriptor":       func(v *testimage.VMDK) { v.Descriptor = "-" },
			"grain of 4 KiB":      func(v *testimage.VMDK) { v.GrainSectors = 8 },
			"grain of 2 MiB":      func(v *testimage.VMDK) { v.GrainSectors = 4096 },
			"one entry per table": func(v *testimage.VMDK) { v.GTEs = 1 },
			"redundant directory": func(v *testimage.VMDK) { v.Redundant = true },
			"VMDKstream's comment": func(v *testimage.VMDK) {
				v.Descriptor = "# Description file created by VMDK stream converter\nversion=1"
			},
			"AWS VM Export": func(v *testimage.VMDK) {
				v.Descriptor = "#Disk DescriptorFile\r\nparentCID=ffffffff\r\ncreateType=\"monolithicSparse\"\r\nRW 4999 SPARSE \"/etc/passwd\"\r\n"
			},
		} {
			t.Run(fmt.Sprintf("%v/%s", layout, name), func(t *testing.T) {
				v, runs, disk := small(layout)
				change(&v)
				img, err := open(v.Build(runs...).Data)
				if err != nil {
					t.Fatal(err)
				}
				if img.SubFormat() != "streamOptimized" || img.Size() != int64(len(disk)) {
					t.Errorf("%s of %d bytes", img.SubFormat(), img.Size())
				}
				if !bytes.Equal(readAll(t, img), disk) {
					t.Error("the bytes differ")
				}
			})
		}
	}
}

// Compressed grains that lie in the file as far apart as in the disk are still read one by one.
func TestStreamInStep(t *testing.T) {
	v := testimage.VMDK{Layout: testimage.GDPatched, Size: 16 * 4096, GrainSectors: 8}
	disk := make([]byte, v.Size)
	r := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // repeatable on purpose
	for k := range disk {
		if k%4096 < 3600 { // which makes some bytes more
			disk[k] = byte(r.Uint32())
		}
	}
	s := v.Build(testimage.Run{Data: disk})
	if s.Grain[15]-s.Grain[0] != 15*4096 {
		t.Fatalf("grains at %v", s.Grain)
	}
	img, err := open(s.Data)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readAll(t, img), disk) {
		t.Error("the bytes differ")
	}
}

func TestExtents(t *testing.T) {
	for _, layout := range testimage.Layouts {
		v, runs, disk := small(layout)
		img, err := open(v.Build(runs...).Data)
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
			{Offset: 0, Length: grain},
			{Offset: 3 * grain, Length: 3 * grain},
			{Offset: 8 * grain, Length: 2 * grain, Zero: true},
			{Offset: 10 * grain, Length: grain},
			{Offset: 39 * grain, Length: int64(len(disk)) - 39*grain},
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v: extents %v, want %v", layout, got, want)
		}
	}
}

func TestReadAt(t *testing.T) {
	v, runs, disk := small(testimage.GDAtEnd)
	img, err := open(v.Build(runs...).Data)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(disk))
	for _, c := range []struct {
		at  int64
		n   int
		err error
	}{
		{0, 1, nil},
		{grain - 1, 2, nil},
		{3*grain + 511, 2*grain + 2, nil},
		{size - 10, 10, nil},
		{size - 10, 11, io.EOF},
		{0, int(size) + 1, io.EOF},
		{size, 1, io.EOF},
		{size + 1<<40, 1, io.EOF},
	} {
		b := bytes.Repeat([]byte{0xaa}, c.n)
		n, err := img.ReadAt(b, c.at)
		want := disk[min(c.at, size):min(c.at+int64(c.n), size)]
		if n != len(want) || !errors.Is(err, c.err) || !bytes.Equal(b[:n], want) {
			t.Errorf("ReadAt(%d bytes, %d) = %d, %v", c.n, c.at, n, err)
		}
	}
	if _, err := img.ReadAt(make([]byte, 1), -1); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("ReadAt(-1): %v", err)
	}

	var group sync.WaitGroup
	for k := range 8 {
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

func TestFooterBehindPadding(t *testing.T) {
	v, runs, disk := small(testimage.GDAtEnd)
	data := v.Build(runs...).Data
	for _, c := range []struct {
		name string
		data []byte
		ok   bool
	}{
		{"one byte", append(slices.Clone(data), 0), true},
		{"one sector", append(slices.Clone(data), make([]byte, 512)...), true},
		{"64 KiB", append(slices.Clone(data), make([]byte, 64<<10)...), true},
		{"more than 64 KiB", append(slices.Clone(data), make([]byte, 64<<10+512)...), false},
		{"no end-of-stream marker", data[:len(data)-512], true},
		{"garbage", append(slices.Clone(data), pattern(512, 1)...), false},
		{"cut off before the footer", data[:len(data)-1024], false},
		{"cut off in the footer", data[:len(data)-600], false},
	} {
		img, err := open(c.data)
		if !c.ok {
			if e, ok := errors.AsType[*diskimage.CorruptError](err); !ok || e.Structure != "footer" {
				t.Errorf("%s: %v, want a missing footer", c.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if !bytes.Equal(readAll(t, img), disk) {
			t.Errorf("%s: the bytes differ", c.name)
		}
	}
}

func put16(b []byte, at int64, v uint16) { binary.LittleEndian.PutUint16(b[at:], v) }
func put32(b []byte, at int64, v uint32) { binary.LittleEndian.PutUint32(b[at:], v) }
func put64(b []byte, at int64, v uint64) { binary.LittleEndian.PutUint64(b[at:], v) }

// Each row damages one thing; want is in the error. Nothing damaged may read as zeros, or as anything else.
func TestRefusals(t *testing.T) {
	const end, front, patched = testimage.GDAtEnd, testimage.GDInFront, testimage.GDPatched
	for _, c := range []struct {
		name   string
		layout testimage.Layout
		damage func(s *testimage.Stream)
		want   string
	}{
		{"version 0", patched, func(s *testimage.Stream) { put32(s.Data, 4, 0) }, "version = 0"},
		{"version 4", patched, func(s *testimage.Stream) { put32(s.Data, 4, 4) }, "version = 4"},
		{"unknown incompatible flag", patched, func(s *testimage.Stream) { put32(s.Data, 8, 0x70001) }, "unknown incompatible flags 0x00040000"},
		{"unknown compatible flag is no harm", patched, func(s *testimage.Stream) { put32(s.Data, 8, 0x30105) }, ""},
		{"markers without compression", patched, func(s *testimage.Stream) { put32(s.Data, 8, 0x20001) }, "markers without compression"},
		{"compression without markers", patched, func(s *testimage.Stream) { put32(s.Data, 8, 0x10001) }, "no markers"},
		{"compressAlgorithm 0", patched, func(s *testimage.Stream) { put16(s.Data, 77, 0) }, "compressAlgorithm = 0"},
		{"compressAlgorithm 2", patched, func(s *testimage.Stream) { put16(s.Data, 77, 2) }, "compressAlgorithm = 2"},
		{"text-mode transfer", patched, func(s *testimage.Stream) { copy(s.Data[73:], "\n \n\n") }, "text-mode transfer"},
		{"newline test not claimed", patched, func(s *testimage.Stream) { put32(s.Data, 8, 0x30004); copy(s.Data[73:], "abcd") }, ""},
		{"unclean shutdown is no harm", patched, func(s *testimage.Stream) { s.Data[72] = 1 }, ""},
		{"capacity 0", patched, func(s *testimage.Stream) { put64(s.Data, 12, 0) }, "capacity = 0"},
		{"capacity above 64 TiB", patched, func(s *testimage.Stream) { put64(s.Data, 12, 64<<40/512+1) }, "more than 64 TiB"},
		{"capacity that overflows", patched, func(s *testimage.Stream) { put64(s.Data, 12, 1<<63) }, "more than 64 TiB"},
		{"capacity beyond the directory", patched, func(s *testimage.Stream) { put64(s.Data, 12, 1<<35) }, "does not fit into the file"},
		{"more tables than any disk", patched, func(s *testimage.Stream) { put64(s.Data, 12, 1<<36); put64(s.Data, 20, 8); put32(s.Data, 44, 1) }, "grain tables, more than"},
		{"grain of 0", patched, func(s *testimage.Stream) { put64(s.Data, 20, 0) }, "grainSize = 0"},
		{"grain of 4 sectors", patched, func(s *testimage.Stream) { put64(s.Data, 20, 4) }, "grainSize = 4"},
		{"grain no power of two", patched, func(s *testimage.Stream) { put64(s.Data, 20, 96) }, "grainSize = 96"},
		{"grain of 4 MiB", patched, func(s *testimage.Stream) { put64(s.Data, 20, 8192) }, "8192 sectors large"},
		{"grain of 2^63 sectors", patched, func(s *testimage.Stream) { put64(s.Data, 20, 1<<63) }, "sectors large"},
		{"no table entries", patched, func(s *testimage.Stream) { put32(s.Data, 44, 0) }, "numGTEsPerGT = 0"},
		{"513 table entries", patched, func(s *testimage.Stream) { put32(s.Data, 44, 513) }, "numGTEsPerGT = 513"},
		{"2^32-1 table entries", patched, func(s *testimage.Stream) { put32(s.Data, 44, 1<<32-1) }, "numGTEsPerGT = 4294967295"},
		{"overHead beyond the file", patched, func(s *testimage.Stream) { put64(s.Data, 64, 1<<20) }, "overHead = 1048576"},
		{"gdOffset 0", patched, func(s *testimage.Stream) { put64(s.Data, 56, 0) }, "gdOffset = 0"},
		{"gdOffset beyond the file", patched, func(s *testimage.Stream) { put64(s.Data, 56, 1<<30) }, "gdOffset = 1073741824"},
		{"gdOffset that overflows", patched, func(s *testimage.Stream) { put64(s.Data, 56, 1<<55+3) }, "gdOffset"},
		{"descriptor beyond the file", patched, func(s *testimage.Stream) { put64(s.Data, 28, 1<<40) }, "descriptorOffset"},
		{"descriptor size that overflows", patched, func(s *testimage.Stream) { put64(s.Data, 36, 1<<63) }, "descriptorOffset"},
		{"a delta (parentCID)", patched, func(s *testimage.Stream) { replace(s, "parentCID=ffffffff", "parentCID=1234abcd") }, "delta of another disk"},
		{"extent longer than the capacity", patched, func(s *testimage.Stream) { replace(s, "RW 4999", "RW 5000") }, "extent sectors = 5000"},
		{"several extents", patched, func(s *testimage.Stream) { replace(s, "ddb.adapterType", "RW 1 ZERO\n#") }, "several files"},

		{"footer of another capacity", end, func(s *testimage.Stream) { put64(s.Data, s.Footer+12, 5000) }, "capacity = 5000: the header at byte 0 says 4999"},
		{"footer of another grain", end, func(s *testimage.Stream) { put64(s.Data, s.Footer+20, 64) }, "grainSize = 64: the header at byte 0 says 128"},
		{"footer of other tables", end, func(s *testimage.Stream) { put32(s.Data, s.Footer+44, 8) }, "numGTEsPerGT = 8: the header at byte 0 says 16"},
		{"footer without compression", end, func(s *testimage.Stream) { put32(s.Data, s.Footer+8, 1); put16(s.Data, s.Footer+77, 0) }, "footer at byte"},
		{"footer that points to itself", end, func(s *testimage.Stream) { put64(s.Data, s.Footer+56, 1<<64-1) }, "must say where"},
		{"footer of version 9", end, func(s *testimage.Stream) { put32(s.Data, s.Footer+4, 9) }, "footer at byte"},
		{"no footer marker", end, func(s *testimage.Stream) { put32(s.Data, s.Footer-512+12, 2) }, "no footer is there"},
		{"no footer", end, func(s *testimage.Stream) { s.Data[s.Footer] = 'X' }, "no footer is there"},

		{"grain table beyond the file", front, func(s *testimage.Stream) { put32(s.Data, s.GD, 1<<20) }, "grain directory at byte"},
		{"last grain table beyond the file", end, func(s *testimage.Stream) { put32(s.Data, s.GD+8, 1<<31) }, "entry 2 = 2147483648"},
		{"primary entry zeroed", front, func(s *testimage.Stream) { put32(s.Data, s.GD+4, 0) }, "the redundant directory has a grain table there"},
		{"redundant directory beyond the file", front, func(s *testimage.Stream) { put64(s.Data, 48, 1<<40) }, "rgdOffset"},
		{"grain beyond the file", end, func(s *testimage.Stream) { put32(s.Data, s.GT[0], 1<<20) }, "entry of grain 0 = 1048576"},
		{"grain in the header", end, func(s *testimage.Stream) { put32(s.Data, s.GT[0], 2) }, "points into the header or the descriptor"},
		{"GTE 1 without the flag", patched, func(s *testimage.Stream) { put32(s.Data, 8, 0x30001) }, "flags do not allow"},
		{"cut off inside the last grain", front, func(s *testimage.Stream) { s.Data = s.Data[:s.Grain[39]+100] }, "the file ends after 100 bytes"},
		{"cut off before the last grain", front, func(s *testimage.Stream) { s.Data = s.Data[:s.Grain[39]] }, "behind the end of the file"},

		{"LBA of another grain", end, func(s *testimage.Stream) { put64(s.Data, s.Grain[3], 0) }, "LBA = 0"},
		{"two entries for one grain", end, func(s *testimage.Stream) { put32(s.Data, s.GT[0], uint32(s.Grain[3]/512)) }, "LBA = 384"},
		{"compressed size 0", end, func(s *testimage.Stream) { put32(s.Data, s.Grain[0]+8, 0) }, "a marker, not a grain"},
		{"compressed size huge", end, func(s *testimage.Stream) { put32(s.Data, s.Grain[0]+8, 1<<32-1) }, "never that long"},
		{"compressed size beyond the file", end, func(s *testimage.Stream) { put32(s.Data, s.Grain[39]+8, 60000) }, "the file ends after"},
		{"compressed size too small", end, func(s *testimage.Stream) { put32(s.Data, s.Grain[0]+8, 100) }, "zlib data are damaged"},
		{"Adler-32", end, func(s *testimage.Stream) {
			n := int64(binary.LittleEndian.Uint32(s.Data[s.Grain[0]+8:]))
			s.Data[s.Grain[0]+12+n-1] ^= 1
		}, "checksum"},
		{"zlib header", end, func(s *testimage.Stream) { s.Data[s.Grain[0]+12] ^= 0xff }, "zlib data are damaged"},
		{"bit flip in the data", end, func(s *testimage.Stream) { s.Data[s.Grain[0]+5000] ^= 0x10 }, "compressed grain 0"},
		{"inflates to too little", end, func(s *testimage.Stream) { refill(s, 0, make([]byte, grain-512)) }, "uncompressed length = 65024: it must be 65536"},
		{"inflates to nothing", end, func(s *testimage.Stream) { refill(s, 0, nil) }, "uncompressed length = 0"},
		{"inflates to one byte more", end, func(s *testimage.Stream) { refill(s, 0, make([]byte, grain+1)) }, "more than the 65536 bytes"},
		{"inflates to 32 MiB", end, func(s *testimage.Stream) { refill(s, 4, make([]byte, 32<<20)) }, "more than the 65536 bytes"},
		{"last grain of a wrong length", end, func(s *testimage.Stream) { refill(s, 39, make([]byte, 4096)) }, "or, at the end of the disk, 3584"},
		{"last grain short", end, func(s *testimage.Stream) { refill(s, 39, pattern(3584, 3)) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, runs, disk := small(c.layout)
			v.Redundant = c.layout == front
			s := v.Build(runs...)
			c.damage(s)
			got, err := readEverything(s.Data)
			if c.want == "" {
				if err != nil || !bytes.Equal(got, disk) {
					t.Errorf("%v, or other bytes", err)
				}
				return
			}
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

// readEverything is what the converter does: the extents, and all bytes in them.
func readEverything(data []byte) ([]byte, error) {
	img, err := open(data)
	if err != nil {
		return nil, err
	}
	disk := make([]byte, img.Size())
	for e, err := range img.Extents() {
		if err != nil {
			return nil, err
		}
		if _, err := img.ReadAt(disk[e.Offset:e.End()], e.Offset); err != nil {
			return nil, err
		}
	}
	return disk, nil
}

func replace(s *testimage.Stream, from, to string) {
	at := bytes.Index(s.Data, []byte(from))
	if at < 0 {
		panic(from + " is not in the image")
	}
	copy(s.Data[at:], to)
}

// refill stores another content for a grain, in the place of the grain that it had, or at the end of the file where it does not fit.
func refill(s *testimage.Stream, grain int64, content []byte) {
	packed := testimage.PackGrain(grain*128, content)
	if len(packed) > 20000 {
		tail := slices.Clone(s.Data[s.Footer-512:])
		at := s.Footer - 512
		s.Data = append(s.Data[:at], packed...)
		s.Data = append(s.Data, make([]byte, 512-len(packed)%512)...)
		put32(s.Data, s.GT[grain/16]+4*(grain%16), uint32(at/512))
		s.Data = append(s.Data, tail...)
		return
	}
	copy(s.Data[s.Grain[grain]:], packed)
}

// The other kinds of VMDK are told apart; none of them is read, and no name in them is followed.
func TestOtherKinds(t *testing.T) {
	v, runs, _ := small(testimage.GDPatched)
	v.Descriptor = "-"
	piece := v.BuildSparse(runs...)
	v.Descriptor = "\x00" // what qemu-img leaves in the pieces of a split disk
	emptied := v.BuildSparse(runs...)
	for _, c := range []struct {
		name, sub string
		data      []byte
	}{
		{"piece of a split disk", "twoGbMaxExtentSparse", piece.Data},
		{"piece of a split disk, with room for a descriptor", "twoGbMaxExtentSparse", emptied.Data},
		{"flat descriptor", "monolithicFlat", []byte("# Disk DescriptorFile\nversion=1\ncreateType=\"monolithicFlat\"\nRW 8 FLAT \"/etc/passwd\" 0")},
		{"split descriptor", "twoGbMaxExtentSparse", []byte("version=1\r\nCreateType = twoGbMaxExtentSparse\r\nRW 8 SPARSE \"a-s001.vmdk\"\r\n")},
		{"COWD", "vmfsSparse", append([]byte("COWD\x01\x00\x00\x00"), make([]byte, 2040)...)},
		{"seSparse", "seSparse", append([]byte("\xbe\xba\xfe\xca\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00"), make([]byte, 4080)...)},
	} {
		_, err := open(c.data)
		e, ok := errors.AsType[*diskimage.UnsupportedError](err)
		if !ok || e.SubFormat != c.sub || e.Cure == "" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "three bytes": []byte("KDM"), "a short header": []byte("KDMV\x01\x00\x00\x00"), "something else": make([]byte, 4096),
	} {
		if _, err := open(data); err == nil {
			t.Errorf("%s: opened", name)
		} else if _, ok := errors.AsType[*diskimage.CorruptError](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An error of the source is passed on as it is; it is not the image's fault.
func TestSourceErrors(t *testing.T) {
	v, runs, _ := small(testimage.GDAtEnd)
	s := v.Build(runs...)
	broken := errors.New("connection reset")
	for name, at := range map[string]int64{"header": 0, "descriptor": 512, "footer": s.Footer, "directory": s.GD, "table": s.GT[0], "grain": s.Grain[3] + 5000} {
		r := failingAt{bytes.NewReader(s.Data), at, broken}
		img, err := vmdk.Open(r, int64(len(s.Data)))
		if err == nil {
			_, err = io.ReadAll(io.NewSectionReader(img, 0, img.Size()))
		}
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := vmdk.Open(bytes.NewReader(s.Data), int64(len(s.Data))+1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a source shorter than it said: %v", err)
	}
}

type failingAt struct {
	io.ReaderAt

	at  int64
	err error
}

func (f failingAt) ReadAt(p []byte, off int64) (int, error) {
	if off <= f.at && f.at < off+int64(len(p)) {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(p, off)
}

// A length that no file has is an error, as of the other formats.
func TestNegativeSize(t *testing.T) {
	for _, open := range []func(io.ReaderAt, int64) (*vmdk.Image, error){vmdk.Open, vmdk.Look} {
		if img, err := open(strings.NewReader(""), -1); err == nil || !strings.Contains(err.Error(), "VMDK image of -1 bytes: the size cannot be negative") {
			t.Errorf("%v, %v", img, err)
		}
	}
}
