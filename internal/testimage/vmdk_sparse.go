package testimage

import "encoding/binary"

// BuildSparse makes a monolithicSparse image with the runs given, as VMware Workstation and qemu-img lay it out: header, descriptor, redundant
// directory and tables, primary ones, then grains as they are, behind sectors up to a multiple of the grain. Layout means nothing here.
func (v VMDK) BuildSparse(runs ...Run) *Stream {
	b := newBuilder(v, 1)
	b.buildSparse(runs)
	return &b.Stream
}

func (b *builder) buildSparse(runs []Run) {
	grain := b.GrainSectors * 512
	count := (b.Size + grain - 1) / grain
	tables := (count + b.GTEs - 1) / b.GTEs
	b.flags = 1
	contents := b.contents(runs)
	if b.flags&4 != 0 && b.Version == 1 {
		b.Version = 2
	}
	b.sector(make([]byte, 512)) // the header, filled in at the end
	b.placeDescriptor("monolithicSparse")
	if b.Redundant {
		b.flags |= 2
		b.RGD = b.placeDirectory(tables, b.RGT)
	}
	b.GD = b.placeDirectory(tables, b.GT)
	b.Data = append(b.Data, make([]byte, (grain-int64(len(b.Data))%grain)%grain)...)
	overHead := int64(len(b.Data)) / 512

	order := b.Order
	if order == nil {
		for g := range count {
			order = append(order, g)
		}
	}
	last := int64(-1) // in the file
	for _, g := range order {
		if data := contents[g]; data != nil {
			b.Grain[g] = b.sector(data)
			b.entries[g] = uint32(b.Grain[g] / 512)
			last = g
		}
	}
	if b.ShortLast && last == count-1 {
		b.Data = b.Data[:int64(len(b.Data))-(count*grain-b.Size)]
	}
	for g, e := range b.entries {
		for _, gt := range []map[int64]int64{b.GT, b.RGT} {
			if at, ok := gt[g/b.GTEs]; ok {
				binary.LittleEndian.PutUint32(b.Data[at+4*(g%b.GTEs):], e)
			}
		}
	}
	copy(b.Data, b.header(uint64(b.GD/512), overHead))
}

// placeDirectory makes a directory with empty tables of its own.
func (b *builder) placeDirectory(tables int64, gt map[int64]int64) int64 {
	at := b.sector(make([]byte, 4*tables))
	for t := range tables {
		gt[t] = b.sector(make([]byte, 4*b.GTEs))
		binary.LittleEndian.PutUint32(b.Data[at+4*t:], uint32(gt[t]/512))
	}
	return at
}
