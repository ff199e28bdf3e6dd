package testimage

import (
	"cmp"
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

	ID      string      // the DataWriteGuid
	Locator [][2]string // differencing: the keys and values of the parent locator, such as VHDXLocator makes

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

	vhdxLocatorType = "B04AEFB7-D19E-4A81-B789-25B8E9445913"
	vhdxDefaultID   = "64646464-6464-6464-6464-646464646464"
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
	Bitmap              map[int64]int64 // where in the file the sector bitmaps are, by chunk
	chunkRatio, itemEnd int64
}

// Build makes an image with the runs given, of which data wins over zeros. Blocks that data touches are stored whole, blocks inside a run of zeros get
// the state ZERO, the rest are not present. With a parent, runs are whole sectors: the sectors that they touch are the image's own, a block whose
// sectors are not all so is partially present, and the rest is the parent's. There are two headers, the second of which is current, and the log is
// empty.
func (v VHDX) Build(runs ...Run) *VHDXFile {
	v.BlockSize = max(v.BlockSize, mib)
	v.LogicalSector = max(v.LogicalSector, 512)
	v.LogSize = max(v.LogSize, mib)
	blocks := (v.Size + v.BlockSize - 1) / v.BlockSize
	ratio := 1 << 23 * v.LogicalSector / v.BlockSize
	batSize := (8*(blocks/ratio+1)*(ratio+1) + mib - 1) / mib * mib
	if v.Locator == nil {
		batSize = (8*(blocks+blocks/ratio+1) + mib - 1) / mib * mib
	}
	f := &VHDXFile{
		Log: mib, LogSize: v.LogSize, Metadata: mib + v.LogSize, BAT: 2*mib + v.LogSize, BATSize: batSize, Block: map[int64]int64{},
		Bitmap: map[int64]int64{}, chunkRatio: ratio, itemEnd: 64 << 10,
	}
	states, own := v.states(blocks, runs)
	order := v.Order
	if order == nil {
		for b := range blocks {
			order = append(order, b)
		}
	}
	next := f.BAT + batSize
	for _, b := range order {
		if states[b] >= 6 {
			f.Block[b] = next
			next += v.BlockSize
		}
	}
	for b := range blocks {
		if chunk := b / ratio; states[b] == 7 && f.Bitmap[chunk] == 0 {
			f.Bitmap[chunk] = next
			next += mib
		}
	}
	f.Data = make([]byte, next)
	for b := range blocks {
		f.SetEntry(b, uint64(f.Block[b])|states[b])
	}
	for chunk, at := range f.Bitmap {
		f.Put64(f.BitmapEntry(chunk), uint64(at)|6)
		for sector := range own {
			if sector/(1<<23) == chunk {
				f.Data[at+sector%(1<<23)/8] |= 1 << (sector % 8)
			}
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

// states are those of the blocks; own are the sectors that are the image's own, with a parent.
func (v VHDX) states(blocks int64, runs []Run) (states map[int64]uint64, own map[int64]bool) {
	states, own = map[int64]uint64{}, map[int64]bool{}
	touched, zero := map[int64]bool{}, map[int64]bool{}
	for _, r := range runs {
		for b := (r.Offset + v.BlockSize - 1) / v.BlockSize; r.Zero > 0 && b < blocks && min(v.Size, (b+1)*v.BlockSize) <= r.Offset+r.Zero; b++ {
			zero[b] = true
		}
		for b := r.Offset / v.BlockSize; b*v.BlockSize < r.Offset+int64(len(r.Data)); b++ {
			touched[b] = true
		}
		for s := r.Offset / v.LogicalSector; v.Locator != nil && s*v.LogicalSector < r.Offset+r.Zero+int64(len(r.Data)); s++ {
			own[s] = true
		}
	}
	count := map[int64]int64{}
	for sector := range own {
		count[sector*v.LogicalSector/v.BlockSize]++
	}
	for b := range blocks {
		switch n := count[b]; {
		case v.Locator == nil && (touched[b] || v.Fixed):
			states[b] = 6
		case zero[b] && !touched[b]:
			states[b] = 2
		case n > 0 && n == min(v.BlockSize, v.Size-b*v.BlockSize)/v.LogicalSector:
			states[b] = 6
		case n > 0:
			states[b] = 7
		}
	}
	return states, own
}

// VHDXLocator is the locator of a child whose parent has an ID and lies at a path relative to it. An empty ID is that of VHDX.ID.
func VHDXLocator(id, relative string) [][2]string {
	if id == "" {
		id = vhdxDefaultID
	}
	return [][2]string{{"parent_linkage", "{" + strings.ToLower(id) + "}"}, {"relative_path", relative}}
}

// VHDXLocatorItem is the content of the item of a parent locator.
func VHDXLocatorItem(pairs [][2]string) []byte {
	le := binary.LittleEndian
	b := le.AppendUint16(le.AppendUint16(VHDXGUID(vhdxLocatorType), 0), uint16(len(pairs)))
	at := len(b) + 12*len(pairs)
	var texts []byte
	for _, pair := range pairs {
		var lengths [2]int
		for k, text := range pair {
			before := len(texts)
			for _, c := range utf16.Encode([]rune(text)) {
				texts = le.AppendUint16(texts, c)
			}
			b = le.AppendUint32(b, uint32(at+before))
			lengths[k] = len(texts) - before
		}
		b = le.AppendUint16(le.AppendUint16(b, uint16(lengths[0])), uint16(lengths[1]))
	}
	return append(b, texts...)
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
		copy(f.Data[at+32:], VHDXGUID(cmp.Or(v.ID, vhdxDefaultID)))
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
	if v.Locator != nil {
		flags |= 2
	}
	f.AddItem(VHDXFileParameters, 4, le.AppendUint32(le.AppendUint32(nil, uint32(v.BlockSize)), flags))
	f.AddItem(VHDXVirtualSize, 6, le.AppendUint64(nil, uint64(v.Size)))
	f.AddItem(VHDXDiskID, 6, []byte(strings.Repeat("p", 16)))
	f.AddItem(VHDXLogicalSector, 6, le.AppendUint32(nil, uint32(v.LogicalSector)))
	f.AddItem(VHDXPhysicalSector, 6, le.AppendUint32(nil, 4096))
	if v.Locator != nil {
		f.AddItem(VHDXParentLocator, 4, VHDXLocatorItem(v.Locator))
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
