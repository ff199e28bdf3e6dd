package testimage

import (
	"cmp"
	"encoding/binary"
	"slices"
	"unicode/utf16"
)

// VHD describes a VHD image. Zero fields take the value that tools write.
type VHD struct {
	Fixed       bool
	Size        int64  // multiple of 512
	ID          string // the unique id, 16 bytes; "0123456789abcdef"
	ShortFooter bool   // of 511 bytes, as before Virtual PC 2004
	Creator     string // "vpc "; some readers choose between the geometry and the size by it

	// Of dynamic disks only.
	BlockSize int64   // 2 MiB
	Slack     int64   // entries of the BAT behind those of the disk's blocks
	Order     []int64 // the indexes of all blocks, in the order in which those that are stored lie in the file; nil: ascending
	Gap       int64   // sectors between any two blocks
	ShortLast bool    // the last block is stored to the end of the disk only, where it is the last in the file too

	// Of differencing disks only, which one of the names makes. A sector that no run touches is the parent's.
	Parent   string // its name in the header
	Relative string // its name in a locator W2ru, as in `.\base.vhd`
	ParentID string // 16 bytes
}

// VHDFile is a built image and where its parts are, so that tests can damage them.
type VHDFile struct {
	Data   []byte
	Footer int64           // the one at the end
	Copy   int64           // the one in front; -1: none
	Header int64           // the dynamic header; 0: none
	Name   int64           // of the parent, in UTF-16, that the first locator leads to; 0: none
	BAT    int64           // 0: none
	Block  map[int64]int64 // where a block begins, with its bitmap, by its index
	Bitmap int64           // bytes of one
}

const sector = 512

// Build makes an image with the runs given. Blocks that a run touches are stored, runs of zeros too: a VHD has no other way to say that.
func (v VHD) Build(runs ...Run) *VHDFile {
	f := &VHDFile{Copy: -1, Block: map[int64]int64{}}
	if v.Fixed {
		f.Data = make([]byte, v.Size)
		for _, r := range runs {
			copy(f.Data[r.Offset:], r.Data)
		}
	} else {
		v.buildDynamic(f, runs)
	}
	f.Footer = int64(len(f.Data))
	f.Data = append(f.Data, v.footer()...)
	if v.ShortFooter {
		f.Data = f.Data[:len(f.Data)-1]
	}
	f.Seal()
	return f
}

func (v VHD) buildDynamic(f *VHDFile, runs []Run) {
	if v.BlockSize == 0 {
		v.BlockSize = 2 << 20
	}
	count := (v.Size + v.BlockSize - 1) / v.BlockSize
	f.Copy, f.Header = 0, 512
	f.Bitmap = (v.BlockSize/sector + 4095) / 4096 * sector
	var name []byte
	if v.Relative != "" {
		f.Name = 1536
		for _, u := range utf16.Encode([]rune(v.Relative)) {
			name = binary.LittleEndian.AppendUint16(name, u)
		}
	}
	entries := count + v.Slack
	f.BAT = 1536 + int64(len(name)+511)/sector*sector
	f.Data = slices.Concat(v.footer(), v.header(entries, f.BAT, len(name)), name, make([]byte, -len(name)&511), make([]byte, (4*entries+511)/sector*sector))
	for k := int(f.BAT); k < len(f.Data); k++ {
		f.Data[k] = 0xff // absent, the padding too
	}

	stored := map[int64]bool{}
	for _, r := range runs {
		for index := r.Offset / v.BlockSize; index*v.BlockSize < r.Offset+max(r.Zero, int64(len(r.Data))); index++ {
			stored[index] = true
		}
	}
	order := v.Order
	if order == nil {
		for index := range count {
			order = append(order, index)
		}
	}
	// A block as the file holds it: the bitmap, then the data.
	lastInFile, end := int64(-1), int64(len(f.Data))
	for _, index := range order {
		if !stored[index] {
			continue
		}
		end += v.Gap * sector
		f.Block[index], lastInFile = end, index
		binary.BigEndian.PutUint32(f.Data[f.BAT+4*index:], uint32(end/sector))
		end += f.Bitmap + v.BlockSize
	}
	f.Data = append(f.Data, make([]byte, end-int64(len(f.Data)))...)
	write := func(at, n int64, data []byte) {
		for n > 0 {
			index, in := at/v.BlockSize, at%v.BlockSize
			part := min(n, v.BlockSize-in)
			block := f.Data[f.Block[index]:]
			for s := in / sector; s*sector < in+part; s++ {
				block[s/8] |= 0x80 >> (s % 8)
			}
			data = data[copy(block[f.Bitmap+in:f.Bitmap+in+part], data):]
			at, n = at+part, n-part
		}
	}
	for _, r := range runs {
		write(r.Offset, int64(len(r.Data)), r.Data)
		write(r.Offset, r.Zero, nil)
	}
	if v.ShortLast && lastInFile == count-1 {
		f.Data = f.Data[:int64(len(f.Data))-(count*v.BlockSize-v.Size)]
	}
}

// footer has a geometry that says something else than the size, and no checksum yet.
func (v VHD) footer() []byte {
	b := make([]byte, 512)
	be := binary.BigEndian
	copy(b, "conectix")
	be.PutUint32(b[8:], 2)
	be.PutUint32(b[12:], 0x00010000)
	be.PutUint64(b[16:], 512)
	be.PutUint32(b[60:], 3)
	switch {
	case v.Fixed:
		be.PutUint64(b[16:], 1<<64-1)
		be.PutUint32(b[60:], 2)
	case v.Parent != "" || v.Relative != "":
		be.PutUint32(b[60:], 4)
	}
	copy(b[28:], cmp.Or(v.Creator, "vpc "))
	be.PutUint32(b[32:], 0x00050003)
	copy(b[36:], "Wi2k")
	be.PutUint64(b[40:], 1<<30) // the original size: not the current one
	be.PutUint64(b[48:], uint64(v.Size))
	copy(b[56:], "\x00\x01\x01\x01")
	copy(b[68:84], cmp.Or(v.ID, "0123456789abcdef"))
	return b
}

// header has a parent's name of name bytes behind it, whose locator calls its space one of sectors, as the specification does. Windows has bytes there.
func (v VHD) header(entries, bat int64, name int) []byte {
	b := make([]byte, 1024)
	be := binary.BigEndian
	copy(b, "cxsparse")
	be.PutUint64(b[8:], 1<<64-1)
	be.PutUint64(b[16:], uint64(bat))
	be.PutUint32(b[24:], 0x00010000)
	be.PutUint32(b[28:], uint32(entries))
	be.PutUint32(b[32:], uint32(v.BlockSize))
	for k, u := range utf16.Encode([]rune(v.Parent)) {
		be.PutUint16(b[64+2*k:], u)
	}
	copy(b[40:56], v.ParentID)
	if name > 0 {
		copy(b[576:], "W2ru")
		be.PutUint32(b[580:], uint32(name+511)/sector)
		be.PutUint32(b[584:], uint32(name))
		be.PutUint64(b[592:], 1536)
	}
	return b
}

// Seal makes the checksums right, so that what a test changed is judged for itself.
func (f *VHDFile) Seal() {
	short := len(f.Data) - int(f.Footer)
	footer := append(f.Data[f.Footer:], make([]byte, 512-short)...)
	sealAt(footer, 64)
	copy(f.Data[f.Footer:], footer)
	if f.Copy >= 0 {
		sealAt(f.Data[f.Copy:f.Copy+512], 64)
	}
	if f.Header > 0 {
		sealAt(f.Data[f.Header:f.Header+1024], 36)
	}
}

func sealAt(b []byte, field int) {
	copy(b[field:], "\x00\x00\x00\x00")
	sum := uint32(0)
	for _, c := range b {
		sum += uint32(c)
	}
	binary.BigEndian.PutUint32(b[field:], ^sum)
}
