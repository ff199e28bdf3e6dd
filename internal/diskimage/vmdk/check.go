package vmdk

import "fmt"

// maxChecked is how many grain tables that store nothing are passed over for one that does: the tables of 16 GiB in the usual geometry.
const maxChecked = 512

// Check tells whether the file was cut off. A footer is the end of its stream. Where there is none, every entry of the last grain table that stores a
// grain must lead into the file, and the grain that lies last must be there as a whole. All other tables are checked as they are read.
func (i *Image) Check() error {
	if i.header.footed {
		return nil
	}
	t := newTables()
	for index, passed := i.header.gdEntries()-1, 0; index >= 0 && passed < maxChecked; index-- {
		gt, err := i.grainTable(&t, index)
		if err != nil {
			return err
		}
		if gt == nil {
			continue
		}
		passed++
		stored, err := i.checkTable(&t, index)
		if stored || err != nil {
			return err
		}
	}
	return nil
}

// checkTable looks at the grain table at hand, and tells whether it stores a grain.
func (i *Image) checkTable(t *tables, index int64) (stored bool, err error) {
	first, last := index*int64(i.header.numGTEsPerGT), int64(0)
	sector := uint32(gteAbsent)
	for k := range min(int64(len(t.gt)), i.header.grains()-first) {
		if err := i.checkEntry(t, first+k); err != nil {
			return true, err
		}
		if gte := t.gt[k]; gte != gteAbsent && gte != gteZeroGrain && gte > sector {
			last, sector = first+k, gte
		}
	}
	if sector == gteAbsent {
		return false, nil
	}
	if !i.header.compressed() {
		return true, nil
	}
	head, at := make([]byte, grainHeaderSize), int64(sector)*sectorSize
	if err := readFull(i.file, head, at); err != nil {
		return true, fmt.Errorf("read grain %d of the VMDK at byte %d: %w", last, at, err)
	}
	_, err = i.packedEnd(head, last, at)
	return true, err
}
