package testimage

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"slices"
	"strings"
	"unicode/utf16"
)

// VHDX describes a VHDX image. Zero fields take the smallest value that the format allows.
type VHDX struct {
	Size          int64 // multiple of LogicalSector
	BlockSize     int64 // 1 MiB
	LogicalSector int64 // 512
	LogSize       int64 // 1 MiB
	Fixed         bool  // every block is stored
	Parent        bool  // differencing; blocks that no run touches are the parent's

	// The indexes of all blocks, in the order in which those that are stored lie in the file; nil: ascending.
	Order []int64
}

// The identifiers of VHDX structures that tests damage or add to ([MS-VHDX] 2.2.3, 2.6.2).
const (
	VHDXBATRegion      = "2DC27766-F623-4200-9D64-115E9BFD4A08"
	VHDXMetadataRegion = "8B7CA206-4790-4B9A-B8FE-575F050F886E"
	VHDXFileParameters = "CAA16737-FA36-4D43-B3B6-33F0AA44E76B"
	VHDXVirtualSize    = "2FA54224-CD1B-4876-B211-5DBED83BF4B8"
	VHDXDiskID         = "BECA12AB-B2E6-4523-93EF-C309E000C746"
	VHDXLogicalSector  = "8141BF1D-A96F-4709-BA47-F233A8FAAB5F"
	VHDXPhysicalSector = "CDA348C7-445D-4471-9CC9-E9885251C556"
	VHDXParentLocator  = "A8D35F2D-B30B-454D-ABF7-D3D84834AB0C"
)

// The fixed places in a VHDX file.
const (
	VHDXHeader1 = 64 << 10
	VHDXHeader2 = 128 << 10
	VHDXRegion1 = 192 << 10
	VHDXRegion2 = 256 << 10
)

const mib = 1 << 20

// VHDXFile is a built image and where its parts are, so that tests can damage them.
type VHDXFile struct {
	Data                []byte
	Log, LogSize        int64
	Metadata, BAT       int64
	BATSize             int64
	Block               map[int64]int64 // where in the file the blocks are, by index
	chunkRatio, itemEnd int64
}

// Build makes an image with the runs given. Blocks that data touches are stored whole, blocks inside a run of zeros get the state ZERO, the rest
// are not present. There are two headers, the second of which is current, and the log is empty.
func (v VHDX) Build(runs ...Run) *VHDXFile {
	v.BlockSize = max(v.BlockSize, mib)
	v.LogicalSector = max(v.LogicalSector, 512)
	v.LogSize = max(v.LogSize, mib)
	blocks := (v.Size + v.BlockSize - 1) / v.BlockSize
	ratio := 1 << 23 * v.LogicalSector / v.BlockSize
	batSize := (8*(blocks+blocks/ratio+1) + mib - 1) / mib * mib

	stored, zero := map[int64]bool{}, map[int64]bool{}
	for _, r := range runs {
		for b := (r.Offset + v.BlockSize - 1) / v.BlockSize; r.Zero > 0 && b < blocks && min(v.Size, (b+1)*v.BlockSize) <= r.Offset+r.Zero; b++ {
			zero[b] = true
		}
		for b := r.Offset / v.BlockSize; b*v.BlockSize < r.Offset+int64(len(r.Data)); b++ {
			stored[b] = true
		}
	}
	f := &VHDXFile{
		Log: mib, LogSize: v.LogSize, Metadata: mib + v.LogSize, BAT: 2*mib + v.LogSize, BATSize: batSize, Block: map[int64]int64{}, chunkRatio: ratio,
		itemEnd: 64 << 10,
	}
	order := v.Order
	if order == nil {
		for b := range blocks {
			order = append(order, b)
		}
	}
	next := f.BAT + batSize
	for _, b := range order {
		if v.Fixed || stored[b] {
			f.Block[b] = next
			next += v.BlockSize
		}
	}
	f.Data = make([]byte, next)
	for b := range blocks {
		if at, ok := f.Block[b]; ok {
			f.SetEntry(b, uint64(at)|6)
		} else if zero[b] {
			f.SetEntry(b, 2)
		}
	}
	for _, r := range runs {
		for at := int64(0); at < int64(len(r.Data)); {
			b, in := (r.Offset+at)/v.BlockSize, (r.Offset+at)%v.BlockSize
			block := f.Data[f.Block[b] : f.Block[b]+v.BlockSize]
			at += int64(copy(block[in:], r.Data[at:]))
		}
	}
	f.header(v)
	f.metadata(v)
	f.Sum()
	return f
}

func (f *VHDXFile) header(v VHDX) {
	copy(f.Data, "vhdxfile")
	for k, c := range utf16.Encode([]rune("testimage")) {
		f.Put16(int64(8+2*k), c)
	}
	for k, at := range []int64{VHDXHeader1, VHDXHeader2} {
		copy(f.Data[at:], "head")
		f.Put64(at+8, uint64(7+k))
		copy(f.Data[at+16:], strings.Repeat("f", 16))
		copy(f.Data[at+32:], strings.Repeat("d", 16))
		f.Put16(at+66, 1)
		f.Put32(at+68, uint32(v.LogSize))
		f.Put64(at+72, uint64(f.Log))
	}
	for _, at := range []int64{VHDXRegion1, VHDXRegion2} {
		copy(f.Data[at:], "regi")
	}
	f.AddRegion(VHDXBATRegion, f.BAT, f.BATSize, 1)
	f.AddRegion(VHDXMetadataRegion, f.Metadata, mib, 1)
}

func (f *VHDXFile) metadata(v VHDX) {
	le := binary.LittleEndian
	copy(f.Data[f.Metadata:], "metadata")
	flags := uint32(0)
	if v.Fixed {
		flags |= 1
	}
	if v.Parent {
		flags |= 2
	}
	f.AddItem(VHDXFileParameters, 4, le.AppendUint32(le.AppendUint32(nil, uint32(v.BlockSize)), flags))
	f.AddItem(VHDXVirtualSize, 6, le.AppendUint64(nil, uint64(v.Size)))
	f.AddItem(VHDXDiskID, 6, []byte(strings.Repeat("p", 16)))
	f.AddItem(VHDXLogicalSector, 6, le.AppendUint32(nil, uint32(v.LogicalSector)))
	f.AddItem(VHDXPhysicalSector, 6, le.AppendUint32(nil, 4096))
	if v.Parent {
		f.AddItem(VHDXParentLocator, 4, make([]byte, 20))
	}
}

// Put16 sets a field.
func (f *VHDXFile) Put16(at int64, v uint16) { binary.LittleEndian.PutUint16(f.Data[at:], v) }

// Put32 sets a field.
func (f *VHDXFile) Put32(at int64, v uint32) { binary.LittleEndian.PutUint32(f.Data[at:], v) }

// Put64 sets a field.
func (f *VHDXFile) Put64(at int64, v uint64) { binary.LittleEndian.PutUint64(f.Data[at:], v) }

// Entry is where the BAT has the entry of a block.
func (f *VHDXFile) Entry(block int64) int64 { return f.BAT + 8*(block+block/f.chunkRatio) }

// BitmapEntry is where the BAT has the entry of the sector bitmap of a chunk.
func (f *VHDXFile) BitmapEntry(chunk int64) int64 {
	return f.BAT + 8*(chunk*(f.chunkRatio+1)+f.chunkRatio)
}

// SetEntry sets the entry of a block.
func (f *VHDXFile) SetEntry(block int64, entry uint64) { f.Put64(f.Entry(block), entry) }

// AddRegion adds an entry to both region tables; Sum has to follow.
func (f *VHDXFile) AddRegion(id string, at, length int64, flags uint32) {
	for _, table := range []int64{VHDXRegion1, VHDXRegion2} {
		n := binary.LittleEndian.Uint32(f.Data[table+8:])
		e := table + 16 + 32*int64(n)
		copy(f.Data[e:], VHDXGUID(id))
		f.Put64(e+16, uint64(at))
		f.Put32(e+24, uint32(length))
		f.Put32(e+28, flags)
		f.Put32(table+8, n+1)
	}
}

// Region is where the first region table has the entry of a region; the second has it 64 KiB later.
func (f *VHDXFile) Region(id string) int64 {
	return VHDXRegion1 + int64(slices.IndexFunc(slices.Collect(slices.Chunk(f.Data[VHDXRegion1+16:VHDXRegion2], 32)), isGUID(id)))*32 + 16
}

// AddItem adds an item to the metadata.
func (f *VHDXFile) AddItem(id string, flags uint32, data []byte) {
	n := binary.LittleEndian.Uint16(f.Data[f.Metadata+10:])
	e := f.Metadata + 32 + 32*int64(n)
	copy(f.Data[e:], VHDXGUID(id))
	if len(data) > 0 {
		f.Put32(e+16, uint32(f.itemEnd))
		f.Put32(e+20, uint32(len(data)))
		copy(f.Data[f.Metadata+f.itemEnd:], data)
		f.itemEnd += int64(len(data))
	}
	f.Put32(e+24, flags)
	f.Put16(f.Metadata+10, n+1)
}

// ItemEntry is where the metadata table has the entry of an item.
func (f *VHDXFile) ItemEntry(id string) int64 {
	return f.Metadata + 32*int64(slices.IndexFunc(slices.Collect(slices.Chunk(f.Data[f.Metadata:f.Metadata+64<<10], 32)), isGUID(id)))
}

// Item is where the content of an item is.
func (f *VHDXFile) Item(id string) int64 {
	return f.Metadata + int64(binary.LittleEndian.Uint32(f.Data[f.ItemEntry(id)+16:]))
}

func isGUID(id string) func([]byte) bool {
	want := VHDXGUID(id)
	return func(b []byte) bool { return len(b) >= 16 && slices.Equal(b[:16], want) }
}

// Sum makes the checksums of the headers and region tables right again.
func (f *VHDXFile) Sum() {
	for _, p := range [][2]int64{{VHDXHeader1, 4 << 10}, {VHDXHeader2, 4 << 10}, {VHDXRegion1, 64 << 10}, {VHDXRegion2, 64 << 10}} {
		sumVHDX(f.Data[p[0] : p[0]+p[1]])
	}
}

func sumVHDX(b []byte) {
	clear(b[4:8])
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// VHDXGUID is the binary form of a GUID, whose first three fields are little-endian.
func VHDXGUID(text string) []byte {
	b, _ := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	slices.Reverse(b[:4])
	slices.Reverse(b[4:6])
	slices.Reverse(b[6:8])
	return b
}

// SetLogGUID says in both headers that the log has to be replayed: the file was not closed cleanly.
func (f *VHDXFile) SetLogGUID(id string) {
	copy(f.Data[VHDXHeader1+48:], VHDXGUID(id))
	copy(f.Data[VHDXHeader2+48:], VHDXGUID(id))
	f.Sum()
}

// VHDXWrite is one write in a log: a page of 4 KiB, or a range of zeros.
type VHDXWrite struct {
	Offset uint64
	Page   []byte
	Zero   uint64
}

// Page is a write of what is in the file now.
func (f *VHDXFile) Page(at int64) VHDXWrite {
	at -= at % 4096
	return VHDXWrite{Offset: uint64(at), Page: slices.Clone(f.Data[at : at+4096])}
}

// VHDXLogEntry describes an entry of the log ([MS-VHDX] 2.3.1).
type VHDXLogEntry struct {
	GUID          string
	Sequence      uint64
	Tail          int64 // in the log
	Flushed, Last int64
	Writes        []VHDXWrite
}

// Bytes makes the entry. SumVHDXLogEntry makes its checksum right again after a change.
func (e VHDXLogEntry) Bytes() []byte {
	le := binary.LittleEndian
	b := make([]byte, (64+32*len(e.Writes)+4095)/4096*4096)
	copy(b, "loge")
	le.PutUint32(b[12:], uint32(e.Tail))
	le.PutUint64(b[16:], e.Sequence)
	le.PutUint32(b[24:], uint32(len(e.Writes)))
	copy(b[32:], VHDXGUID(e.GUID))
	le.PutUint64(b[48:], uint64(e.Flushed))
	le.PutUint64(b[56:], uint64(e.Last))
	for k, w := range e.Writes {
		d := b[64+32*k:]
		le.PutUint64(d[16:], w.Offset)
		le.PutUint64(d[24:], e.Sequence)
		if w.Page == nil {
			copy(d, "zero")
			le.PutUint64(d[8:], w.Zero)
			continue
		}
		copy(d, "desc")
		copy(d[4:], w.Page[4092:])
		copy(d[8:], w.Page[:8])
		sector := slices.Clone(w.Page)
		copy(sector, "data")
		le.PutUint32(sector[4:], uint32(e.Sequence>>32))
		le.PutUint32(sector[4092:], uint32(e.Sequence))
		b = append(b, sector...)
	}
	le.PutUint32(b[8:], uint32(len(b)))
	SumVHDXLogEntry(b)
	return b
}

// SumVHDXLogEntry makes the checksum of an entry right.
func SumVHDXLogEntry(entry []byte) { sumVHDX(entry) }

// WriteLog puts bytes into the log, which is a ring, and returns where they end.
func (f *VHDXFile) WriteLog(at int64, b []byte) int64 {
	for len(b) > 0 {
		at %= f.LogSize
		n := copy(f.Data[f.Log+at:f.Log+f.LogSize], b)
		b, at = b[n:], at+int64(n)
	}
	return at % f.LogSize
}

// SumLog makes the checksums of all entries in the log right, as far as their lengths make sense.
func (f *VHDXFile) SumLog() {
	log := f.Data[f.Log : f.Log+f.LogSize]
	for at := int64(0); at < f.LogSize; at += 4096 {
		length := int64(binary.LittleEndian.Uint32(log[at+8:]))
		if string(log[at:at+4]) == "loge" && length >= 4096 && length <= f.LogSize {
			e := slices.Clone(slices.Concat(log[at:], log)[:length])
			SumVHDXLogEntry(e)
			f.WriteLog(at, e[:4096])
		}
	}
}
