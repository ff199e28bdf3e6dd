package vmdk

import (
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// gdWindow is how many entries of the grain directory are looked at together: memory does not follow the directory's length.
const gdWindow = 1024

// tables are the parts of the two levels of tables that one reader has at hand. -1 as an index means none.
type tables struct {
	windowStart int64
	window      []uint32
	redundant   []uint32 // the same entries of the redundant directory; empty where there is none

	gtIndex int64
	gtAt    int64 // where gt is in the file
	gt      []uint32
	buf     []byte
}

func newTables() tables {
	return tables{
		windowStart: -1, window: make([]uint32, 0, gdWindow), redundant: make([]uint32, 0, gdWindow),
		gtIndex: -1, gt: make([]uint32, 0, maxGrainTableEntries), buf: make([]byte, 4*gdWindow),
	}
}

// gdEntry is the sector of a grain table, 0 for one that is absent.
func (i *Image) gdEntry(t *tables, index int64) (uint32, error) {
	start := index - index%gdWindow
	if t.windowStart != start {
		if err := i.loadWindow(t, start); err != nil {
			return 0, err
		}
	}
	return t.window[index-start], nil
}

func (i *Image) loadWindow(t *tables, start int64) (err error) {
	h := &i.header
	t.windowStart = -1
	n := min(gdWindow, h.gdEntries()-start)
	at := int64(h.gdOffset)*sectorSize + 4*start
	if t.window, err = i.readEntries(t, t.window, at, n); err != nil {
		return fmt.Errorf("read the grain directory at byte %d: %w", at, err)
	}
	if h.hasRedundantGD() {
		if err := i.compareRedundant(t, start, n); err != nil {
			return err
		}
	}
	t.windowStart = start
	return nil
}

// compareRedundant guards against a primary entry that was zeroed: it would read as silent zeros, as it does elsewhere.
func (i *Image) compareRedundant(t *tables, start, n int64) (err error) {
	h := &i.header
	at := int64(h.rgdOffset)*sectorSize + 4*start
	if t.redundant, err = i.readEntries(t, t.redundant, at, n); err != nil {
		return fmt.Errorf("read the redundant grain directory at byte %d: %w", at, err)
	}
	for k, entry := range t.window {
		if redundant := t.redundant[k]; entry == 0 && redundant != 0 {
			return &diskimage.CorruptError{
				Format: format, Structure: "grain directory", Field: fmt.Sprintf("entry %d", start+int64(k)),
				Offset: int64(h.gdOffset)*sectorSize + 4*(start+int64(k)),
				Value:  entry, Reason: fmt.Sprintf("the redundant directory has a grain table there, at sector %d", redundant),
			}
		}
	}
	return nil
}

// grainTable is one grain table, or nil where it is absent. It is valid until the next call.
func (i *Image) grainTable(t *tables, index int64) ([]uint32, error) {
	if t.gtIndex == index {
		return t.gt, nil
	}
	sector, err := i.gdEntry(t, index)
	if err != nil || sector == 0 {
		return nil, err
	}
	h := &i.header
	n := int64(h.numGTEsPerGT)
	if !inFile(uint64(sector), 4*n, i.fileSize) {
		return nil, &diskimage.CorruptError{
			Format: format, Structure: "grain directory", Field: fmt.Sprintf("entry %d", index),
			Offset: int64(h.gdOffset)*sectorSize + 4*index, Value: sector,
			Reason: fmt.Sprintf("a grain table at that sector does not fit into the file of %d bytes: it was cut off, or damaged", i.fileSize),
		}
	}
	t.gtIndex, t.gtAt = -1, int64(sector)*sectorSize
	if t.gt, err = i.readEntries(t, t.gt, t.gtAt, n); err != nil {
		return nil, fmt.Errorf("read grain table %d at byte %d: %w", index, t.gtAt, err)
	}
	if h.hasRedundantGD() {
		if err := i.compareRedundantTable(t, index, sector); err != nil {
			return nil, err
		}
	}
	t.gtIndex = index
	return t.gt, nil
}

// compareRedundantTable guards the entries of the grain table at hand in the same way, where the redundant directory has a table of its own.
func (i *Image) compareRedundantTable(t *tables, index int64, primary uint32) error {
	h := &i.header
	n := min(int64(h.numGTEsPerGT), h.grains()-index*int64(h.numGTEsPerGT))
	sector := t.redundant[index-t.windowStart]
	if sector == 0 || sector == primary || !inFile(uint64(sector), 4*n, i.fileSize) {
		return nil // the primary one is sound, and rules
	}
	at := int64(sector) * sectorSize
	b := t.buf[:4*n]
	if err := readFull(i.file, b, at); err != nil {
		return fmt.Errorf("read redundant grain table %d at byte %d: %w", index, at, err)
	}
	for k := range n {
		if redundant := binary.LittleEndian.Uint32(b[4*k:]); t.gt[k] == gteAbsent && redundant != gteAbsent {
			return &diskimage.CorruptError{
				Format: format, Structure: "grain table", Field: fmt.Sprintf("entry of grain %d", index*int64(h.numGTEsPerGT)+k), Offset: t.gtAt + 4*k,
				Value: t.gt[k], Reason: fmt.Sprintf("the redundant table has a grain there, at sector %d; repair the disk (vmware-vdiskmanager -R)", redundant),
			}
		}
	}
	return nil
}

func (i *Image) readEntries(t *tables, into []uint32, at, n int64) ([]uint32, error) {
	b := t.buf[:4*n]
	if err := readFull(i.file, b, at); err != nil {
		return into[:0], err
	}
	into = into[:n]
	for k := range into {
		into[k] = binary.LittleEndian.Uint32(b[4*k:])
	}
	return into, nil
}

// grainEntry is the checked entry of a grain: gteAbsent, gteZeroGrain or the sector where the grain begins.
func (i *Image) grainEntry(t *tables, grain int64) (uint32, error) {
	n := int64(i.header.numGTEsPerGT)
	gt, err := i.grainTable(t, grain/n)
	if err != nil || gt == nil {
		return gteAbsent, err
	}
	return gt[grain%n], i.checkEntry(t, grain)
}

// checkEntry refuses an entry, of the grain table at hand, that leads to no grain. Nothing that cannot be resolved is read as zeros.
func (i *Image) checkEntry(t *tables, grain int64) error {
	h := &i.header
	k := grain % int64(h.numGTEsPerGT)
	gte := t.gt[k]
	reason := ""
	switch {
	case gte == gteAbsent:
		return nil
	case gte == gteZeroGrain:
		if h.flags&flagZeroGrainGTE != 0 {
			return nil
		}
		reason = "1 means a grain of zeros, but the header's flags do not allow such entries"
	case uint64(gte) < h.firstGrain():
		reason = "it points into the header or the descriptor"
		if !h.compressed() {
			reason = fmt.Sprintf("it points into the header, the descriptor or the tables, which end at sector %d", h.firstGrain())
		}
	case !inFile(uint64(gte), h.stored(grain), i.fileSize):
		reason = fmt.Sprintf("that sector is behind the end of the file of %d bytes: it was cut off, or damaged", i.fileSize)
		if !h.compressed() {
			reason = fmt.Sprintf("the %d bytes there do not end inside the file of %d: it was cut off, or damaged", h.stored(grain), i.fileSize)
		}
	default:
		return nil
	}
	return &diskimage.CorruptError{
		Format: format, Structure: "grain table", Field: fmt.Sprintf("entry of grain %d", grain), Offset: t.gtAt + 4*k, Value: gte, Reason: reason,
	}
}

// Extents walks the tables: runs of grains that are stored, and runs of grains that are said to be zeros.
func (i *Image) Extents() iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		t := newTables()
		run := diskimage.Extent{}
		for index := range i.header.gdEntries() {
			gt, err := i.grainTable(&t, index)
			if err != nil {
				if run.Length == 0 || yield(run, nil) {
					yield(diskimage.Extent{}, err)
				}
				return
			}
			first := index * int64(i.header.numGTEsPerGT)
			for k := range min(int64(len(gt)), i.header.grains()-first) {
				if gt[k] == gteAbsent {
					continue
				}
				if err := i.checkEntry(&t, first+k); err != nil {
					if run.Length == 0 || yield(run, nil) {
						yield(diskimage.Extent{}, err)
					}
					return
				}
				start := (first + k) * i.header.grainBytes()
				length := min(i.header.grainBytes(), i.Size()-start)
				zero := gt[k] == gteZeroGrain
				if run.Length > 0 && run.End() == start && run.Zero == zero {
					run.Length += length
					continue
				}
				if run.Length > 0 && !yield(run, nil) {
					return
				}
				run = diskimage.Extent{Offset: start, Length: length, Zero: zero}
			}
		}
		if run.Length > 0 {
			yield(run, nil)
		}
	}
}
