package vmdk

import (
	"encoding/binary"
	"fmt"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// windowBytes is how much of a grain directory is looked at together: memory does not follow the directory's length.
const windowBytes = 4096

// tables are the parts of the two levels of tables of a sparse extent that one reader has at hand.
type tables struct {
	of *sparse // whose they are

	window    []byte // of the directory; empty: none
	first     int64  // index of its first entry
	redundant []byte // the same entries of the copy of the directory, where there is one

	table []byte // empty: none
	index int64  // of the table
	at    int64  // where it is in the file
	copy  []byte // of the table, for a look
}

// entry is entry k of a part of the directory or of a table.
func (e *sparse) entry(b []byte, k int64) uint64 {
	if e.width == 8 {
		return binary.LittleEndian.Uint64(b[8*k:])
	}
	return uint64(binary.LittleEndian.Uint32(b[4*k:]))
}

// load brings a grain table to hand, and tells whether there is one.
func (e *sparse) load(t *tables, index int64) (there bool, err error) {
	if t.of == e && t.index == index && len(t.table) > 0 {
		return true, nil
	}
	at, err := e.tablePlace(t, index)
	if err != nil || at == 0 {
		return false, err
	}
	if t.table, err = e.fill(t.table, at, e.perTable*e.width); err != nil {
		return false, fmt.Errorf("read grain table %d at byte %d: %w", index, at, err)
	}
	t.index, t.at = index, at
	if e.redundant != 0 {
		if err := e.compareRedundantTable(t); err != nil {
			t.table = t.table[:0]
			return false, err
		}
	}
	return true, nil
}

// tablePlace is where a grain table is, checked; 0 for one that is absent.
func (e *sparse) tablePlace(t *tables, index int64) (int64, error) {
	entry, err := e.directoryEntry(t, index)
	if err != nil {
		return 0, err
	}
	at, reason := e.tableAt(entry)
	if reason == "" && at != 0 && !within(at, e.perTable*e.width, e.file.size) {
		reason = fmt.Sprintf("a grain table at that sector does not fit into the file of %d bytes: it was cut off, or damaged", e.file.size)
	}
	if reason != "" {
		return 0, e.directoryError(index, entry, reason)
	}
	return at, nil
}

func (e *sparse) directoryError(index int64, entry uint64, reason string) error {
	return &diskimage.CorruptError{
		Format: format, Structure: "grain directory", Field: fmt.Sprintf("entry %d", index),
		Offset: e.directory + e.width*index, Value: entry, Reason: reason,
	}
}

func (e *sparse) directoryEntry(t *tables, index int64) (uint64, error) {
	if k := index - t.first; t.of != e || k < 0 || k*e.width >= int64(len(t.window)) {
		if err := e.loadWindow(t, index); err != nil {
			return 0, err
		}
	}
	return e.entry(t.window, index-t.first), nil
}

func (e *sparse) loadWindow(t *tables, index int64) (err error) {
	if t.of != e {
		t.of, t.table = e, t.table[:0]
	}
	per := windowBytes / e.width
	t.first = index - index%per
	n := e.width * min(per, e.entries()-t.first)
	at := e.directory + e.width*t.first
	if t.window, err = e.fill(t.window, at, n); err != nil {
		return fmt.Errorf("read the grain directory at byte %d: %w", at, err)
	}
	if e.redundant != 0 {
		if err := e.compareRedundant(t); err != nil {
			t.window = t.window[:0]
			return err
		}
	}
	return nil
}

// compareRedundant guards against a primary entry that was zeroed: it would read as silent zeros, as it does elsewhere.
func (e *sparse) compareRedundant(t *tables) (err error) {
	at := e.redundant + e.width*t.first
	if t.redundant, err = e.fill(t.redundant, at, int64(len(t.window))); err != nil {
		return fmt.Errorf("read the redundant grain directory at byte %d: %w", at, err)
	}
	for k := range int64(len(t.window)) / e.width {
		entry, redundant := e.entry(t.window, k), e.entry(t.redundant, k)
		if entry == 0 && redundant != 0 {
			return e.directoryError(t.first+k, entry, fmt.Sprintf("the redundant directory has a grain table there, at sector %d", redundant))
		}
	}
	return nil
}

// compareRedundantTable guards the entries of the grain table at hand in the same way, where the redundant directory has a table of its own.
func (e *sparse) compareRedundantTable(t *tables) (err error) {
	n := min(e.perTable, e.grains()-t.index*e.perTable)
	at, _ := e.tableAt(e.entry(t.redundant, t.index-t.first))
	if at == 0 || at == t.at || !within(at, e.width*n, e.file.size) {
		return nil // the primary one is sound, and rules
	}
	if t.copy, err = e.fill(t.copy, at, e.width*n); err != nil {
		return fmt.Errorf("read redundant grain table %d at byte %d: %w", t.index, at, err)
	}
	for k := range n {
		entry, redundant := e.entry(t.table, k), e.entry(t.copy, k)
		if entry == gteAbsent && redundant != gteAbsent {
			return e.entryError(t, t.index*e.perTable+k, entry,
				fmt.Sprintf("the redundant table has a grain there, at sector %d; repair the disk (vmware-vdiskmanager -R)", redundant))
		}
	}
	return nil
}

// fill reads n bytes into b, which grows where it must; empty after an error.
func (e *sparse) fill(b []byte, at, n int64) ([]byte, error) {
	if int64(cap(b)) < n {
		b = make([]byte, n)
	}
	b = b[:n]
	if err := readFull(e.file, b, at); err != nil {
		return b[:0], err
	}
	return b, nil
}
