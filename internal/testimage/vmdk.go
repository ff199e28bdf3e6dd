// Package testimage makes tiny disk images for tests and finds the corpus of real ones. It shares no code with the formats' own packages, so that a
// mistake there is not repeated here.
package testimage

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
)

// Layout is where a stream-optimized VMDK has its tables. All three occur in the wild.
type Layout int

// The layouts.
const (
	GDAtEnd   Layout = iota // ESXi, ovftool, AWS VM Export: the header says "at the end", a footer says where
	GDInFront               // qemu-img, open-vmdk, vmware-vdiskmanager: tables behind the descriptor, no footer
	GDPatched               // VMDKstream: tables at the end with markers, the header patched afterwards
)

// Layouts are all of them.
var Layouts = []Layout{GDAtEnd, GDInFront, GDPatched}

func (l Layout) String() string { return [...]string{"GDAtEnd", "GDInFront", "GDPatched"}[l] }

// Run is content of the virtual disk: Data at Offset, or Zero bytes that the image says explicitly to be zeros.
type Run struct {
	Offset int64
	Data   []byte
	Zero   int64
}

// VMDK describes a stream-optimized or monolithicSparse image. Zero fields take the value that tools write.
type VMDK struct {
	Layout       Layout
	Size         int64 // multiple of 512
	GrainSectors int64 // 128
	GTEs         int64 // 512
	Version      uint32
	Redundant    bool   // a redundant grain directory, with GDInFront or BuildSparse
	ShortLast    bool   // the last grain is stored short, as qemu-img does
	Descriptor   string // a plain one; "-" for none

	// With BuildSparse: the indexes of all grains, in the order in which those that are stored lie in the file; nil: ascending.
	Order []int64
}

// Stream is a built image and where its parts are, so that tests can damage them.
type Stream struct {
	Data       []byte
	Descriptor int64           // 0: none
	GD, RGD    int64           // RGD 0: none
	Footer     int64           // 0: none
	GT, RGT    map[int64]int64 // by index of the table; RGT with BuildSparse only
	Grain      map[int64]int64 // by index of the grain
}

// StreamOptimized makes an image of raw, which is filled up to whole sectors. Grains of zeros become holes.
func StreamOptimized(layout Layout, raw []byte) []byte {
	v := VMDK{Layout: layout, Size: (int64(len(raw)) + 511) / 512 * 512}
	var runs []Run
	const grain = 128 * 512
	for at := 0; at < len(raw); at += grain {
		if b := raw[at:min(len(raw), at+grain)]; !bytes.Equal(b, make([]byte, len(b))) {
			runs = append(runs, Run{Offset: int64(at), Data: b})
		}
	}
	return v.Build(runs...).Data
}

// Build makes an image with the runs given; the rest are holes. A grain that data touches is stored whole.
func (v VMDK) Build(runs ...Run) *Stream {
	b := newBuilder(v, 3)
	b.build(runs)
	return &b.Stream
}

func newBuilder(v VMDK, version uint32) *builder {
	if v.GrainSectors == 0 {
		v.GrainSectors = 128
	}
	if v.GTEs == 0 {
		v.GTEs = 512
	}
	if v.Version == 0 {
		v.Version = version
	}
	return &builder{VMDK: v, Stream: Stream{GT: map[int64]int64{}, RGT: map[int64]int64{}, Grain: map[int64]int64{}}, entries: map[int64]uint32{}}
}

type builder struct {
	VMDK
	Stream

	flags   uint32
	entries map[int64]uint32 // grain table entries by grain
}

func (b *builder) build(runs []Run) {
	grain := b.GrainSectors * 512
	count := (b.Size + grain - 1) / grain
	tables := (count + b.GTEs - 1) / b.GTEs
	b.flags = 0x30001
	contents := b.contents(runs)

	b.sector(make([]byte, 512)) // the header, filled in at the end
	b.placeDescriptor("streamOptimized")
	if b.Layout == GDInFront {
		if b.Redundant {
			b.flags |= 2
			b.RGD = b.sector(make([]byte, 4*tables))
		}
		b.GD = b.sector(make([]byte, 4*tables))
		for t := range tables { // preallocated, as open-vmdk and qemu-img do
			b.GT[t] = b.sector(make([]byte, 4*b.GTEs))
		}
	}
	overHead := int64(len(b.Data)) / 512

	for g := range count {
		if data := contents[g]; data != nil {
			if b.ShortLast {
				data = data[:min(grain, b.Size-g*grain)]
			}
			b.Grain[g] = b.sector(PackGrain(g*b.GrainSectors, data))
			b.entries[g] = uint32(b.Grain[g] / 512)
		}
	}
	b.placeTables(tables)
	gdOffset := uint64(b.GD / 512)
	if b.Layout == GDAtEnd {
		b.marker(1, 3)
		b.Footer = b.sector(b.header(gdOffset, overHead))
		gdOffset = 1<<64 - 1
	}
	b.marker(0, 0)
	copy(b.Data, b.header(gdOffset, overHead))
}

func (b *builder) placeDescriptor(createType string) {
	if b.VMDK.Descriptor == "" {
		b.VMDK.Descriptor = fmt.Sprintf("# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"%s\"\n"+
			"RW %d SPARSE \"disk.vmdk\"\nddb.adapterType = \"ide\"\n", createType, b.Size/512)
	}
	if b.VMDK.Descriptor == "-" {
		b.sector(make([]byte, 512)) // a grain at sector 1 would look like a grain of zeros
	} else {
		b.Stream.Descriptor = 512
		b.sector(append([]byte(b.VMDK.Descriptor), make([]byte, 512)...))
	}
}

// contents are the grains that data touch, by index. Grains that are said to be zeros get their entries.
func (b *builder) contents(runs []Run) map[int64][]byte {
	grain := b.GrainSectors * 512
	count := (b.Size + grain - 1) / grain
	contents := map[int64][]byte{}
	for _, r := range runs {
		if r.Zero > 0 {
			b.flags |= 4
			for g := (r.Offset + grain - 1) / grain; (g+1)*grain <= r.Offset+r.Zero || g == count-1 && b.Size <= r.Offset+r.Zero && g*grain < b.Size; g++ {
				b.entries[g] = 1
			}
		}
		for at := int64(0); at < int64(len(r.Data)); {
			g, in := (r.Offset+at)/grain, (r.Offset+at)%grain
			if contents[g] == nil {
				contents[g] = make([]byte, grain)
			}
			at += int64(copy(contents[g][in:], r.Data[at:]))
		}
	}
	return contents
}

func (b *builder) placeTables(tables int64) {
	gd := make([]byte, 4*tables)
	for t := range tables {
		gt, used := make([]byte, 4*b.GTEs), false
		for k := range b.GTEs {
			e := b.entries[t*b.GTEs+k]
			used = used || e != 0
			binary.LittleEndian.PutUint32(gt[4*k:], e)
		}
		if b.Layout == GDInFront {
			copy(b.Data[b.GT[t]:], gt)
		} else if used {
			b.marker(int64(len(gt)+511)/512, 1)
			b.GT[t] = b.sector(gt)
		}
		binary.LittleEndian.PutUint32(gd[4*t:], uint32(b.GT[t]/512))
	}
	if b.Layout == GDInFront {
		copy(b.Data[b.GD:], gd)
		if b.RGD != 0 {
			copy(b.Data[b.RGD:], gd) // shares the tables; readers that compare look at the directories
		}
		return
	}
	b.marker(int64(len(gd)+511)/512, 2)
	b.GD = b.sector(gd)
}

// sector appends whole sectors and returns where they are.
func (b *builder) sector(p []byte) int64 {
	at := int64(len(b.Data))
	b.Data = append(b.Data, p...)
	b.Data = append(b.Data, make([]byte, (512-len(p)%512)%512)...)
	return at
}

func (b *builder) marker(sectors int64, kind uint32) {
	m := make([]byte, 512)
	binary.LittleEndian.PutUint64(m, uint64(sectors))
	binary.LittleEndian.PutUint32(m[12:], kind)
	b.sector(m)
}

func (b *builder) header(gdOffset uint64, overHead int64) []byte {
	h := make([]byte, 512)
	le := binary.LittleEndian
	copy(h, "KDMV")
	le.PutUint32(h[4:], b.Version)
	le.PutUint32(h[8:], b.flags)
	le.PutUint64(h[12:], uint64(b.Size/512))
	le.PutUint64(h[20:], uint64(b.GrainSectors))
	if b.Stream.Descriptor != 0 {
		le.PutUint64(h[28:], 1)
		le.PutUint64(h[36:], uint64((len(b.VMDK.Descriptor)+1023)/512))
	}
	le.PutUint32(h[44:], uint32(b.GTEs))
	le.PutUint64(h[48:], uint64(b.RGD/512))
	le.PutUint64(h[56:], gdOffset)
	le.PutUint64(h[64:], uint64(overHead))
	copy(h[73:], "\n \r\n")
	if b.flags&0x10000 != 0 {
		h[77] = 1
	}
	return h
}

// PackGrain is a compressed grain with its header, for the sector lba of the disk.
func PackGrain(lba int64, data []byte) []byte {
	var packed bytes.Buffer
	packed.Write(make([]byte, 12))
	z, _ := zlib.NewWriterLevel(&packed, zlib.BestSpeed)
	_, _ = z.Write(data)
	_ = z.Close()
	p := packed.Bytes()
	binary.LittleEndian.PutUint64(p, uint64(lba))
	binary.LittleEndian.PutUint32(p[8:], uint32(len(p)-12))
	return p
}
