package vhd

import (
	"fmt"
	"io"
	"slices"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// table is where the blocks of a dynamic disk are, by its block allocation table (BAT): numbers of sectors, one for each block. It is read in
// windows, and never kept.
type table struct {
	file      io.ReaderAt
	at        int64 // where the BAT begins
	blocks    int64 // entries in use; more of them are slack
	blockSize int64
	bitmap    int64 // bytes in front of the data of each block, whole sectors
	size      int64 // of the disk
	differs   bool  // the bitmaps tell the disk's own sectors from its parent's

	dataStart, dataEnd int64 // of the part of the file where blocks may be
}

// newTable holds the header's own places against the file, whose headers and data lie before end.
func newTable(r io.ReaderAt, f *footers, h *dynamicHeader) (*table, error) {
	headerAt := int64(f.dataOffset)
	corrupt := func(field string, value any, reason string) error {
		return &diskimage.CorruptError{Format: format, Structure: "dynamic header", Field: field, Offset: headerAt, Value: value, Reason: reason}
	}
	length := batEntrySize * int64(h.entries)
	switch {
	case uint64(h.entries)*uint64(h.blockSize) < uint64(f.size):
		return nil, corrupt("max table entries", h.entries,
			fmt.Sprintf("a disk of %d bytes has %d blocks of %d", f.size, divUp(f.size, int64(h.blockSize)), h.blockSize))
	case h.batOffset < footerSize || length > f.end || h.batOffset > uint64(f.end-length):
		return nil, corrupt("table offset", h.batOffset,
			fmt.Sprintf("a table of %d entries there does not lie between the footers, at bytes 0 and %d", h.entries, f.end))
	case int64(h.batOffset) < headerAt+headerSize && headerAt < int64(h.batOffset)+length:
		return nil, corrupt("table offset", h.batOffset, "the table there would lie over the dynamic header")
	}
	t := &table{
		file: r, at: int64(h.batOffset), blocks: divUp(f.size, int64(h.blockSize)), blockSize: int64(h.blockSize), size: f.size,
		differs:   f.diskType == typeDifferencing,
		bitmap:    divUp(divUp(int64(h.blockSize)/sectorSize, 8), sectorSize) * sectorSize,
		dataStart: max(headerAt+headerSize, int64(h.batOffset)+length), dataEnd: f.end,
	}
	if t.blocks > maxBlocks {
		return nil, &diskimage.UnsupportedError{
			Format: format, SubFormat: t.subFormat(),
			Reason: fmt.Sprintf("it has %d blocks of %d bytes, and %d are the most that are read here", t.blocks, t.blockSize, maxBlocks),
			// Not qemu-img: of blocks of less than 4 KiB it reads the bitmaps as data.
			Cure: "write it again with larger blocks: `Convert-VHD -Path SRC.vhd -DestinationPath DST.vhd -VHDType Dynamic -BlockSizeBytes 2MB` (PowerShell with Hyper-V)",
		}
	}
	return t, nil
}

func (t *table) subFormat() string {
	if t.differs {
		return subFormatDifferencing
	}
	return subFormatDynamic
}

// stored is how many bytes of the file a block takes. Of the last one, which may end behind the disk, only the part inside has to be there.
func (t *table) stored(index int64) int64 {
	return t.bitmap + min(t.blockSize, t.size-index*t.blockSize)
}

// place is where a block begins in the file, with its bitmap; 0 for one that is absent. Nothing that cannot be resolved is read as zeros.
func (t *table) place(index int64, entry uint32) (int64, error) {
	if entry == batAbsent {
		return 0, nil
	}
	start, reason := int64(entry)*sectorSize, ""
	switch {
	case start < t.dataStart:
		reason = fmt.Sprintf("blocks lie behind the headers and the table, which end at byte %d", t.dataStart)
	case start > t.dataEnd-t.stored(index):
		reason = fmt.Sprintf("the %d bytes of the block there do not end before byte %d: the file was cut off, or damaged", t.stored(index), t.dataEnd)
	default:
		return start, nil
	}
	return 0, &diskimage.CorruptError{
		Format: format, Structure: "block allocation table", Field: fmt.Sprintf("entry %d", index), Offset: t.at + batEntrySize*index,
		Value: entry, Reason: reason,
	}
}

// checked is what the checks of the disks of a chain share: they cost time and memory together.
type checked struct {
	starts []uint32 // of the blocks of one disk, by sector
	stored int64    // blocks of all disks so far
}

// check holds every entry against the file and all blocks against each other: two that share bytes are never sound, whatever other readers make of
// it. Every block that is stored costs 4 bytes until the chain is checked: there are never more of them than fit into the file, nor than maxBlocks in
// the whole chain, which makes 16 MiB.
func (t *table) check(c *checked) error {
	length := t.bitmap + t.blockSize
	fit := min((t.dataEnd-t.dataStart)/length+1, t.blocks) // the last block may be cut short
	most := min(fit, maxBlocks-c.stored)
	if c.starts = c.starts[:0]; int64(cap(c.starts)) < most {
		c.starts = make([]uint32, 0, most)
	}
	last := int64(-1) // where the last block of the disk is
	w := newWindow()
	for index := range t.blocks {
		at, err := t.lookup(w, index)
		switch {
		case err != nil:
			return err
		case at == 0:
			continue
		case int64(len(c.starts)) == fit:
			return t.overlap(fmt.Sprintf("it stores more than the %d blocks that fit into the file", fit))
		case int64(len(c.starts)) == most:
			return unsupported(fmt.Sprintf("it and the disks that differ from it store more than %d blocks, the most that are read here", maxBlocks), mergeCure)
		}
		c.starts = append(c.starts, uint32(at/sectorSize))
		if index == t.blocks-1 {
			last = at
		}
	}
	c.stored += int64(len(c.starts))
	slices.Sort(c.starts)
	for k := 1; k < len(c.starts); k++ {
		at, next, taken := int64(c.starts[k-1])*sectorSize, int64(c.starts[k])*sectorSize, length
		if at == last {
			taken = t.stored(t.blocks - 1)
		}
		if next-at < taken {
			return t.overlap(fmt.Sprintf("the blocks at sectors %d and %d lie over each other", c.starts[k-1], c.starts[k]))
		}
	}
	return nil
}

func (t *table) overlap(reason string) error {
	return &diskimage.CorruptError{Format: format, Structure: "block allocation table", Offset: t.at, Reason: reason}
}

func divUp(a, b int64) int64 { return (a + b - 1) / b }
