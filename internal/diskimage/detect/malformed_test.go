package detect_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// sample is a good image with the places in it that are named in what is done to it.
type sample struct {
	files  files
	places map[string]int64
	order  binary.ByteOrder
	seal   func(data []byte) // makes the checksums right
}

// damage is what is done to an image. Its checksums are made right afterwards, unless they are what is damaged.
type damage struct {
	do       func(s *sample)
	unsealed bool
}

// put16, put32 and put64 set a field, at an offset from a place.
func put16(place string, at int64, v uint16) damage {
	return damage{do: func(s *sample) { s.order.PutUint16(s.at(place, at), v) }}
}

func put32(place string, at int64, v uint32) damage {
	return damage{do: func(s *sample) { s.order.PutUint32(s.at(place, at), v) }}
}

func put64(place string, at int64, v uint64) damage {
	return damage{do: func(s *sample) { s.order.PutUint64(s.at(place, at), v) }}
}

func text(place string, at int64, v string) damage {
	return damage{do: func(s *sample) { copy(s.at(place, at), v) }}
}

// flip changes a bit, which the checksum then tells.
func flip(place string, at int64) damage {
	return damage{func(s *sample) { s.at(place, at)[0] ^= 1 }, true}
}

// cut cuts the file off.
func cut(place string, at int64) damage {
	return damage{func(s *sample) { s.files[imageName] = s.files[imageName][:s.places[place]+at] }, true}
}

func both(all ...damage) damage {
	d := damage{do: func(s *sample) {
		for _, d := range all {
			d.do(s)
		}
	}}
	for _, one := range all {
		d.unsealed = d.unsealed || one.unsealed
	}
	return d
}

// missing takes a file away, and lines makes the descriptor one of these lines.
func missing(name string) damage { return damage{do: func(s *sample) { delete(s.files, name) }} }

func lines(extents ...string) damage {
	return damage{do: func(s *sample) {
		s.files[imageName] = []byte(testimage.Descriptor{CreateType: "twoGbMaxExtentFlat", Extents: extents}.String())
	}}
}

func (s *sample) at(place string, at int64) []byte {
	where, ok := s.places[place]
	if !ok {
		panic("no place " + place)
	}
	return s.files[imageName][where+at:]
}

func noise(n int) []byte {
	r := rand.New(rand.NewPCG(5, 6))
	b := make([]byte, n)
	for k := range b {
		b[k] = byte(r.Uint32()) | 1
	}
	return b
}

func sampleVHD(v testimage.VHD) *sample {
	v.Size, v.BlockSize = 20*4096-512, 4096
	f := v.Build(testimage.Run{Offset: 0, Data: noise(3 * 4096)}, testimage.Run{Offset: 19 * 4096, Data: noise(3584)})
	s := &sample{files: alone(f.Data), order: binary.BigEndian}
	s.places = map[string]int64{"footer": f.Footer, "copy": f.Copy, "header": f.Header, "BAT": f.BAT, "last block": f.Block[19]}
	s.seal = func(data []byte) {
		sealed := *f
		sealed.Data = data
		sealed.Seal()
	}
	return s
}

func sampleVHDX(locator [][2]string, change func(f *testimage.VHDXFile)) *sample {
	f := testimage.VHDX{Size: 4 << 20, Locator: locator}.Build(testimage.Run{Offset: 0, Data: noise(2 << 20)})
	if change != nil {
		change(f)
	}
	s := &sample{files: alone(f.Data), order: binary.LittleEndian}
	s.places = map[string]int64{
		"file": 0, "header": testimage.VHDXHeader2, "older header": testimage.VHDXHeader1, "regions": testimage.VHDXRegion1, "second regions": testimage.VHDXRegion2,
		"BAT region": f.Region(testimage.VHDXBATRegion), "metadata region": f.Region(testimage.VHDXMetadataRegion), "log": f.Log, "BAT": f.BAT, "metadata": f.Metadata,
		"size entry": f.ItemEntry(testimage.VHDXVirtualSize), "disk id entry": f.ItemEntry(testimage.VHDXDiskID), "parameters": f.Item(testimage.VHDXFileParameters),
		"size": f.Item(testimage.VHDXVirtualSize), "logical sector": f.Item(testimage.VHDXLogicalSector), "physical sector": f.Item(testimage.VHDXPhysicalSector),
		"block 1": f.Block[1],
	}
	s.seal = func(data []byte) {
		sealed := *f
		sealed.Data = data
		sealed.Sum()
	}
	return s
}

// dirtyLog is a log of one entry, whose checksum is right whatever is in it.
func dirtyLog(change func(f *testimage.VHDXFile, e *testimage.VHDXLogEntry)) func(f *testimage.VHDXFile) {
	const guid = "3D05A4E5-1A3C-4A71-9A51-6BB7B3DB7A11"
	return func(f *testimage.VHDXFile) {
		f.SetLogGUID(guid)
		whole := int64(len(f.Data))
		e := testimage.VHDXLogEntry{GUID: guid, Sequence: 1, Flushed: whole, Last: whole, Writes: []testimage.VHDXWrite{f.Page(f.BAT)}}
		change(f, &e)
		f.WriteLog(0, e.Bytes())
		f.Sum()
	}
}

func sampleVMDK(v testimage.VMDK, build func(testimage.VMDK, ...testimage.Run) *testimage.Stream) *sample {
	const grain = 64 << 10
	v.Size, v.GTEs = 39*grain+3584, 16
	f := build(v, testimage.Run{Offset: 0, Data: noise(2 * grain)}, testimage.Run{Offset: 3 * grain, Zero: grain}, testimage.Run{Offset: 39 * grain, Data: noise(3584)})
	s := &sample{files: alone(f.Data), order: binary.LittleEndian, seal: func([]byte) {}}
	s.places = map[string]int64{
		"header": 0, "descriptor": f.Descriptor, "footer": f.Footer, "GD": f.GD, "GT": f.GT[0], "last GT": f.GT[2], "grain 0": f.Grain[0], "grain 1": f.Grain[1],
		"last grain": f.Grain[39],
	}
	return s
}

func sampleFlat() *sample {
	s := &sample{files: files{"a": noise(8192), "b": noise(4096)}, order: binary.LittleEndian, seal: func([]byte) {}, places: map[string]int64{"file": 0}}
	lines(`RW 16 FLAT "a" 0`, `RW 8 FLAT "b" 0`).do(s)
	return s
}

// Each image was sound, and has one thing wrong with it. It is refused for that thing, with a typed error that says where, within a second and
// 64 MiB of allocations. The packages of the formats have more of them, which are about the words; here all go in by the one door.
func TestMalformed(t *testing.T) {
	const memory, wait = 64 << 20, time.Second
	all := malformedImages()
	if len(all) < 100 {
		t.Errorf("only %d images", len(all))
	}
	t.Logf("%d images", len(all))
	names := map[string]bool{}
	for _, c := range all {
		name := string(c.format) + ", " + c.name
		if names[name] {
			t.Errorf("%s: twice", name)
		}
		names[name] = true
		t.Run(name, func(t *testing.T) {
			s := c.good()
			if c.damage.do != nil {
				if err := readAll(s.files); err != nil {
					t.Fatalf("the sound image: %v", err)
				}
				c.damage.do(s)
				if !c.damage.unsealed {
					s.seal(s.files[imageName])
				}
			}
			var before, after runtime.MemStats
			var err error
			var took time.Duration
			for range 3 { // the machine may have been busy with something else
				runtime.ReadMemStats(&before)
				start := time.Now()
				err = readAll(s.files)
				took = time.Since(start)
				runtime.ReadMemStats(&after)
				if took < wait {
					break
				}
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; took >= wait || allocated > memory {
				t.Errorf("it took %v and %d KiB", took, allocated>>10)
			}
			if err == nil {
				t.Fatal("read as if it were sound")
			}
			if u, ok := errors.AsType[*diskimage.UnsupportedError](err); ok {
				if c.structure != "" || u.Format != string(c.format) || !strings.Contains(u.Reason, c.field) || u.Cure == "" {
					t.Errorf("%v; want %s, %q", err, c.structure, c.field)
				}
				return
			}
			e, ok := errors.AsType[*diskimage.CorruptError](err)
			if !ok {
				t.Fatalf("error of type %T: %v", err, err)
			}
			if e.Format != string(c.format) || e.Structure != c.structure || e.Field != c.field || e.Reason == "" {
				t.Errorf("%v; %s|%s; want %s|%s", err, e.Structure, e.Field, c.structure, c.field)
			}
		})
	}
}

// readAll is what the converter does: it opens the image, and reads everything in its extents.
func readAll(f files) error {
	image := f[imageName]
	img, err := detect.OpenBeside(bytes.NewReader(image), int64(len(image)), f.open)
	if err != nil {
		return err
	}
	defer img.Close()
	buf := make([]byte, 64<<10)
	for e, err := range img.Extents() {
		if err != nil {
			return err
		}
		for at := e.Offset; at < e.End(); at += int64(len(buf)) {
			if _, err := img.ReadAt(buf[:min(e.End()-at, int64(len(buf)))], at); err != nil {
				return err
			}
		}
	}
	return nil
}
