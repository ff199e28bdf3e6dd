package testimage

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Descriptor is the text of a VMDK whose disk is in other files. Zero fields take the value of a disk without a parent.
type Descriptor struct {
	CreateType string
	CID        string // 12345678
	ParentCID  string // ffffffff; "-" for none
	ParentHint string
	Extents    []string // the lines
}

func (d Descriptor) String() string {
	var b strings.Builder
	value := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	fmt.Fprintf(&b, "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=%s\n", value(d.CID, "12345678"))
	if d.ParentCID != "-" {
		fmt.Fprintf(&b, "parentCID=%s\n", value(d.ParentCID, "ffffffff"))
	}
	fmt.Fprintf(&b, "createType=\"%s\"\n", d.CreateType)
	if d.ParentHint != "" {
		fmt.Fprintf(&b, "parentFileNameHint=\"%s\"\n", d.ParentHint)
	}
	fmt.Fprintf(&b, "\n# Extent description\n%s\n\n# The Disk Data Base \n#DDB\n\nddb.adapterType = \"lsilogic\"\n", strings.Join(d.Extents, "\n"))
	return b.String()
}

// BuildCOWD makes an extent of ESX (vmfsSparse) with the runs given; the rest is absent. Grains are one sector unless GrainSectors says otherwise, tables
// have 4096 entries and lie before the first of their grains, as ESX allocates them. Zeros that are said cannot be: they are absent too.
func (v VMDK) BuildCOWD(runs ...Run) *Stream {
	if v.GrainSectors == 0 {
		v.GrainSectors = 1
	}
	v.GTEs = 4096
	b := newBuilder(v, 1)
	grain := b.GrainSectors * 512
	count := (b.Size + grain - 1) / grain
	tables := (count + b.GTEs - 1) / b.GTEs
	contents := b.contents(runs)
	b.sector(make([]byte, 2048))
	b.GD = b.sector(make([]byte, 4*tables))
	for _, g := range b.order(count) {
		data := contents[g]
		if data == nil {
			continue
		}
		t := g / b.GTEs
		if b.GT[t] == 0 {
			b.GT[t] = b.sector(make([]byte, 4*b.GTEs))
			binary.LittleEndian.PutUint32(b.Data[b.GD+4*t:], uint32(b.GT[t]/512))
		}
		b.Grain[g] = b.sector(data)
		binary.LittleEndian.PutUint32(b.Data[b.GT[t]+4*(g%b.GTEs):], uint32(b.Grain[g]/512))
	}
	h := b.Data[:2048]
	copy(h, "COWD")
	for k, field := range []int64{1, 3, b.Size / 512, b.GrainSectors, b.GD / 512, tables, int64(len(b.Data)) / 512, 1, 16, 63} {
		binary.LittleEndian.PutUint32(h[4+4*k:], uint32(field))
	}
	return &b.Stream
}

// order is the grains in the order in which they lie in the file.
func (b *builder) order(count int64) []int64 {
	if b.Order != nil {
		return b.Order
	}
	order := make([]int64, count)
	for g := range order {
		order[g] = int64(g)
	}
	return order
}

// BuildSESparse makes an extent of ESXi (seSparse) with the runs given; the rest is absent. Grains are 4 KiB, tables have 4096 entries. Zeros that are
// said are unmapped and zero grains by turns.
func (v VMDK) BuildSESparse(runs ...Run) *Stream {
	v.GrainSectors, v.GTEs = 8, 4096
	b := newBuilder(v, 1)
	const grain = 4096
	count := (b.Size + grain - 1) / grain
	tables := (count + b.GTEs - 1) / b.GTEs
	contents := b.contents(runs)
	le := binary.LittleEndian
	u64 := func(at int64, values ...int64) {
		for k, value := range values {
			le.PutUint64(b.Data[at+8*int64(k):], uint64(value))
		}
	}
	b.sector(make([]byte, 512))
	volatile := b.sector(make([]byte, 512))
	u64(volatile, 0xcafecafe, tables, 7)
	journal := b.sector(make([]byte, 1024)) // its header, and room
	b.GD = b.sector(make([]byte, 8*tables))
	first := b.sector(make([]byte, tables*32768))
	bitmaps := b.sector(make([]byte, 1024)) // free grains, and the map back
	next := int64(0)
	table := func(g int64) int64 {
		t := g / b.GTEs
		if b.GT[t] == 0 { // used from the last one on
			index := tables - 1 - int64(len(b.GT))
			b.GT[t] = first + index*32768
			u64(b.GD+8*t, 0x1000_0000<<32|index)
		}
		return b.GT[t] + 8*(g%b.GTEs)
	}
	b.Data = append(b.Data, make([]byte, (grain-len(b.Data)%grain)%grain)...)
	grains := int64(len(b.Data))
	for _, g := range b.order(count) {
		switch {
		case contents[g] != nil:
			b.Grain[g] = b.sector(contents[g])
			le.PutUint64(b.Data[table(g):], 3<<60|uint64(next)>>12|uint64(next)&0xfff<<48)
			next++
		case b.entries[g] == 1:
			le.PutUint64(b.Data[table(g):], uint64(1+g%2)<<60)
		}
	}
	u64(0, 0xcafebabe, 0x200000001, b.Size/512, 8, 64, 0)
	u64(80, volatile/512, 1, journal/512, 1, journal/512+1, 1, b.GD/512, (bitmaps-first)/512, first/512, tables*64, bitmaps/512, 1, bitmaps/512+1, 1, grains/512, count*8)
	u64(128, b.GD/512, (first-b.GD)/512)
	return &b.Stream
}
