package vhdx

import (
	"encoding/binary"
	"fmt"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// metadata is what the metadata region says of the disk ([MS-VHDX] 2.6).
type metadata struct {
	blockSize     int64
	size          int64
	logicalSector int64
	fixed         bool
	hasParent     bool
	locator       item // of the parent
}

// blocks is the number of payload blocks.
func (m *metadata) blocks() int64 { return divUp(m.size, m.blockSize) }

// chunkRatio is after how many payload blocks the BAT has an entry of a sector bitmap in between (2.4).
func (m *metadata) chunkRatio() int64 { return sectorsPerBitmapBlock * m.logicalSector / m.blockSize }

// batEntries is the length of the BAT. Of a disk without a parent it ends with the last payload block, of one with a parent with the last sector
// bitmap (2.5).
func (m *metadata) batEntries() int64 {
	last := m.blocks() - 1
	if m.hasParent {
		return m.bitmapIndex(last/m.chunkRatio()) + 1
	}
	return m.batIndex(last) + 1
}

func (m *metadata) batIndex(block int64) int64 { return block + block/m.chunkRatio() }

func (m *metadata) bitmapIndex(chunk int64) int64 { return (chunk+1)*(m.chunkRatio()+1) - 1 }

// blockFrom is the first block whose entry is not before an index.
func (m *metadata) blockFrom(index int64) int64 {
	ratio := m.chunkRatio()
	return index/(ratio+1)*ratio + index%(ratio+1)
}

// item is an entry of the metadata table.
type item struct {
	entryAt int64 // in the file
	at      int64 // in the file
	length  int64
}

// known are the items that need not be refused though they are required. What is not read here says nothing about the disk's content.
var known = map[guidText]int64{ // and how long they are; 0: they vary
	fileParametersItem: 8,
	virtualSizeItem:    8,
	virtualDiskIDItem:  16,
	logicalSectorItem:  4,
	physicalSectorItem: 4,
	parentLocatorItem:  0,
	chsParametersItem:  0,
	pmemLabelItem:      0,
}

// needed must be there (2.6.2).
var needed = []guidText{fileParametersItem, virtualSizeItem, virtualDiskIDItem, logicalSectorItem, physicalSectorItem}

func readMetadata(s *source, region span) (metadata, error) {
	items, err := readItems(s, region)
	if err != nil {
		return metadata{}, err
	}
	for _, id := range needed {
		if _, ok := items[id]; !ok {
			return metadata{}, corrupt("metadata table", "", region.at, nil, fmt.Sprintf("it lacks the item %s, and no disk is without it", id))
		}
	}
	read := func(id guidText) ([]byte, int64, error) {
		b := make([]byte, known[id])
		return b, items[id].at, s.read(b, items[id].at, "metadata item "+string(id))
	}
	var m metadata
	le := binary.LittleEndian

	b, at, err := read(logicalSectorItem)
	if err != nil {
		return m, err
	}
	if m.logicalSector = int64(le.Uint32(b)); m.logicalSector != 512 && m.logicalSector != 4096 {
		return m, corrupt("metadata", "LogicalSectorSize", at, m.logicalSector, "it must be 512 or 4096")
	}
	if b, at, err = read(physicalSectorItem); err != nil {
		return m, err
	}
	if v := le.Uint32(b); v != 512 && v != 4096 {
		return m, corrupt("metadata", "PhysicalSectorSize", at, v, "it must be 512 or 4096")
	}
	if b, at, err = read(fileParametersItem); err != nil {
		return m, err
	}
	m.blockSize = int64(le.Uint32(b))
	if m.blockSize < minBlockSize || m.blockSize > maxBlockSize || m.blockSize&(m.blockSize-1) != 0 {
		return m, corrupt("metadata", "BlockSize", at, m.blockSize, "it must be a power of two from 1 MiB to 256 MiB")
	}
	flags := le.Uint32(b[4:])
	if flags&^3 != 0 {
		return m, corrupt("metadata", "file parameters", at, fmt.Sprintf("0x%08x", flags), "reserved flags are set")
	}
	m.fixed, m.hasParent = flags&1 != 0, flags&2 != 0
	if _, ok := items[parentLocatorItem]; m.hasParent && !ok {
		return m, corrupt("metadata table", "", region.at, nil, fmt.Sprintf("it lacks the item %s, which names the parent of a differencing disk", parentLocatorItem))
	}
	m.locator = items[parentLocatorItem]
	if b, at, err = read(virtualSizeItem); err != nil {
		return m, err
	}
	size := le.Uint64(b)
	if size == 0 || size > maxVirtualSize || size%uint64(m.logicalSector) != 0 {
		return m, corrupt("metadata", "VirtualDiskSize", at, size,
			fmt.Sprintf("it must be a multiple of the logical sector, %d, of at most 64 TiB", m.logicalSector))
	}
	m.size = int64(size)
	return m, nil
}

// readItems reads the table (2.6.1).
func readItems(s *source, region span) (map[guidText]item, error) {
	le := binary.LittleEndian
	table := make([]byte, metadataTableSize)
	if err := s.read(table, region.at, "metadata table"); err != nil {
		return nil, err
	}
	if string(table[:8]) != metadataSignature {
		return nil, corrupt("metadata table", "Signature", region.at, fmt.Sprintf("%q", table[:8]), `it must be "metadata"`)
	}
	count := le.Uint16(table[10:])
	if count > maxMetadataItems {
		return nil, corrupt("metadata table", "EntryCount", region.at, count, fmt.Sprintf("at most %d entries fit", maxMetadataItems))
	}
	items := map[guidText]item{}
	for k := range int64(count) {
		e := table[(k+1)*metadataEntrySize:][:metadataEntrySize]
		id, flags := readGUID(e), le.Uint32(e[24:])
		it := item{entryAt: region.at + (k+1)*metadataEntrySize, length: int64(le.Uint32(e[20:]))}
		offset := int64(le.Uint32(e[16:]))
		if flags&1 != 0 {
			continue // a user's item, which says nothing about the disk
		}
		length, isKnown := known[id]
		_, twice := items[id]
		bad := func(field string, value any, reason string) error {
			return corrupt("metadata table", fmt.Sprintf("%s of item %s", field, id), it.entryAt, value, reason)
		}
		switch {
		case id == incompleteFileItem:
			return nil, corrupt("metadata table", "", it.entryAt, nil, "the file is marked as incomplete: its creation was interrupted")
		case !isKnown && flags&4 != 0:
			return nil, &diskimage.UnsupportedError{
				Format: format, Reason: fmt.Sprintf("it has a metadata item %s that is not known here and must be understood to read it", id), Cure: convertCure,
			}
		case !isKnown:
			continue
		case twice:
			return nil, bad("ItemId", nil, "it is there twice")
		case length != 0 && it.length != length:
			return nil, bad("Length", it.length, fmt.Sprintf("it must be %d", length))
		case it.length > maxMetadataItem:
			return nil, bad("Length", it.length, "no item is longer than 1 MiB")
		case it.length > 0 && (offset < metadataTableSize || offset > region.length-it.length):
			return nil, bad("Offset", offset, fmt.Sprintf("an item of %d bytes there is not behind the table and inside the region of %d bytes", it.length, region.length))
		}
		it.at = region.at + offset
		items[id] = it
	}
	return items, nil
}
