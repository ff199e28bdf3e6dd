package convert_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"sync"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhd"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

const bound = 64 << 20

// padded is a file that goes on with zeros for as long as a test wants, without being there.
type padded struct {
	data []byte
	size int64
}

func (p padded) ReadAt(b []byte, at int64) (int, error) {
	clear(b)
	if at < int64(len(p.data)) {
		copy(b, p.data[at:])
	}
	return len(b), nil
}

// sampled calls sample with every read.
type sampled struct {
	*vmdk.Image

	sample func()
}

func (s sampled) ReadAt(p []byte, at int64) (int, error) {
	n, err := s.Image.ReadAt(p, at)
	s.sample()
	return n, err
}

type discard struct{}

func (discard) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// An image of 2 KiB that claims 1 TiB and a grain directory of 64 MiB: the claim costs nothing. The whole directory, read at once, would break the
// bound.
func TestMemoryOfClaims(t *testing.T) {
	const disk, grain = 1 << 40, 64 << 10
	v := testimage.VMDK{Layout: testimage.GDPatched, Size: grain, GTEs: 1}
	s := v.Build()
	file := padded{data: s.Data, size: 200 << 20}
	for i, b := range []byte{0, 0, 0, 0x80} { // capacity: 2^31 sectors
		file.data[12+i] = b
	}
	file.data[56], file.data[57] = 16, 0 // the directory begins behind what is there
	img, err := vmdk.Open(file, file.size)
	if err != nil {
		t.Fatal(err)
	}
	if img.Size() != disk {
		t.Fatalf("size %d", img.Size())
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(16)) // as many workers as there may be
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	written, err := convert.Copy(t.Context(), discard{}, img, convert.Options{Progress: func(int64, int64) {}})
	if err != nil || written != 0 {
		t.Errorf("%d bytes, %v", written, err)
	}
	runtime.ReadMemStats(&after)
	if total := after.TotalAlloc - before.TotalAlloc; total > bound {
		t.Errorf("allocated %d bytes in all, more than %d", total, bound)
	} else {
		t.Logf("allocated %d bytes in all", total)
	}
}

// ends is a file with something at its beginning and at its end, and zeros between.
type ends struct {
	front, back []byte
	size        int64
}

func (e ends) ReadAt(b []byte, at int64) (int, error) {
	clear(b)
	if at < int64(len(e.front)) {
		copy(b, e.front[at:])
	}
	if from := e.size - int64(len(e.back)); at+int64(len(b)) > from {
		copy(b[max(0, from-at):], e.back[max(0, at-from):])
	}
	return len(b), nil
}

// The largest VHD in the smallest blocks that are taken, all of them stored, in the most confused order: checking that none lie over each other costs
// four bytes for each, and no more.
func TestMemoryOfVHDTable(t *testing.T) {
	const disk, block, blocks, bitmap = 2040 << 30, 512 << 10, 2040 << 11, 512
	f := testimage.VHD{Size: block, BlockSize: block, Slack: blocks - 1}.Build()
	for _, at := range []int64{f.Copy, f.Footer} {
		binary.BigEndian.PutUint64(f.Data[at+48:], disk)
	}
	f.Seal()
	first := f.Footer / 512
	for k := range int64(blocks) {
		binary.BigEndian.PutUint32(f.Data[f.BAT+4*k:], uint32(first+(k*1_000_003%blocks)*(bitmap+block)/512))
	}
	size := f.Footer + blocks*(bitmap+block) + 512
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	img, err := vhd.Open(ends{f.Data[:f.Footer], f.Data[f.Footer:], size}, size)
	if err != nil {
		t.Fatal(err)
	}
	extents := 0
	for e, err := range img.Extents() {
		if extents++; err != nil || e != (diskimage.Extent{Length: disk}) {
			t.Fatalf("extent %+v, %v", e, err)
		}
	}
	runtime.ReadMemStats(&after)
	if total := after.TotalAlloc - before.TotalAlloc; total > bound || extents != 1 {
		t.Errorf("allocated %d bytes in all, more than %d; %d extents", total, bound, extents)
	} else {
		t.Logf("allocated %d bytes in all", total)
	}
}

// A VHD of 2.5 KiB that claims 2040 GiB and all the blocks there can be, in a file of zeros: entries of zero are refused, and cost nothing.
func TestMemoryOfVHDClaims(t *testing.T) {
	f := testimage.VHD{Size: 512, BlockSize: 512 << 10}.Build()
	for _, at := range []int64{f.Copy, f.Footer} {
		binary.BigEndian.PutUint64(f.Data[at+48:], 2040<<30)
	}
	binary.BigEndian.PutUint32(f.Data[f.Header+28:], 1<<32-1)
	binary.BigEndian.PutUint32(f.Data[f.BAT:], 1<<32-1)
	f.Seal()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	if _, err := vhd.Open(ends{f.Data[:f.BAT+4], f.Data[f.Footer:], 1 << 41}, 1<<41); err == nil {
		t.Error("opened")
	}
	runtime.ReadMemStats(&after)
	if total := after.TotalAlloc - before.TotalAlloc; total > 20<<20 {
		t.Errorf("allocated %d bytes in all", total)
	}
}

// The worst that a sound image asks for: the largest grains, all workers. What they need and the whole disk would be more than the bound together.
func TestMemoryOfLargestGrains(t *testing.T) {
	const grain, count = 2 << 20, 20
	v := testimage.VMDK{Layout: testimage.GDAtEnd, Size: grain * count, GrainSectors: grain / 512}
	var runs []testimage.Run
	for g := range int64(count) {
		runs = append(runs, testimage.Run{Offset: g * grain, Data: []byte{1}})
	}
	file := v.Build(runs...).Data
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(16))
	for name, work := range map[string]func(img *vmdk.Image, sample func()) error{
		"Copy": func(img *vmdk.Image, sample func()) error {
			_, err := convert.Copy(t.Context(), discard{}, img, convert.Options{Progress: func(int64, int64) { sample() }})
			return err
		},
		"SHA256": func(img *vmdk.Image, sample func()) error {
			_, err := convert.SHA256(t.Context(), sampled{img, sample}, convert.Options{})
			return err
		},
	} {
		var before, now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		peak := uint64(0)
		var mu sync.Mutex
		img, err := vmdk.Open(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		err = work(img, func() {
			mu.Lock()
			defer mu.Unlock()
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapInuse)
		})
		if err != nil {
			t.Fatal(err)
		}
		if peak -= min(peak, before.HeapInuse); peak > bound {
			t.Errorf("%s: %d bytes of heap at its highest, more than %d", name, peak, bound)
		} else {
			t.Logf("%s: %d bytes of heap at its highest", name, peak)
		}
	}
}
