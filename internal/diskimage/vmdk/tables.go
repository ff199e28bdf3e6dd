package vmdk

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// windowBytes is how much of a grain directory is looked at together: memory does not follow the directory's length.
const windowBytes = 4096

var blankTable [max(maxGrainTableEntries*4, cowdTableEntries*4, sesparseTableEntries*8)]byte

// cursor is what a reader has at hand of the extents of one disk: parts of the two levels of tables of a sparse one, and what is known of the holes of
// a file. The zero value is ready; memory does not follow the length of anything.
type cursor struct {
	of *sparse // whose tables they are

	window    []byte // of the directory; empty: none
	first     int64  // index of its first entry
	last      int64  // index of its last entry, or, where they are in a hole, of the last one that is
	noTables  bool   // all entries up to that one are 0
	redundant []byte // the same entries of the copy of the directory, where there is one

	table []byte // empty: none
	index int64  // of the table
	at    int64  // where it is in the file
	blank bool   // it has no entry that is not 0
	copy  []byte // of the table, for a look

	looked int64 // at entries, in walks over all of them

	// What is known of the holes of the file. Each kind of thing has a place of its own in it: all kinds together would ask for each of them anew.
	known struct{ directory, redundant, tables, redundantTables, data storedRun }
}

// entry is entry k of a part of the directory or of a table.
func (e *sparse) entry(b []byte, k int64) uint64 {
	if e.width == 8 {
		return binary.LittleEndian.Uint64(b[8*k:])
	}
	return uint64(binary.LittleEndian.Uint32(b[4*k:]))
}

// load brings a grain table to hand, and tells whether there is one.
func (e *sparse) load(c *cursor, index int64) (there bool, err error) {
	if c.of == e && c.index == index && len(c.table) > 0 {
		return true, nil
	}
	at, err := e.tablePlace(c, index)
	if err != nil || at == 0 {
		return false, err
	}
	wasBlank := c.blank && len(c.table) > 0
	n := e.perTable * e.width
	empty, err := c.known.tables.isHole(e.file, at, n)
	switch {
	case err != nil:
	case !empty:
		c.table, err = e.fill(c.table, at, n)
	case !wasBlank:
		c.table = room(c.table, n)
		clear(c.table)
	}
	if err != nil {
		c.table = c.table[:0]
		return false, fmt.Errorf("read grain table %d at byte %d: %w", index, at, err)
	}
	c.index, c.at, c.blank = index, at, empty || bytes.Equal(c.table, blankTable[:n])
	if e.redundant != 0 {
		if err := e.compareRedundantTable(c); err != nil {
			c.table = c.table[:0]
			return false, err
		}
	}
	return true, nil
}

// tablePlace is where a grain table is, checked; 0 for one that is absent.
func (e *sparse) tablePlace(c *cursor, index int64) (int64, error) {
	entry, err := e.directoryEntry(c, index)
	if err != nil {
		return 0, err
	}
	at, reason := e.tableAt(entry)
	if reason == "" && at != 0 && e.overDirectory(at, e.perTable*e.width) {
		reason = "the grain table there would lie over the directory"
	}
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

func (e *sparse) directoryEntry(c *cursor, index int64) (uint64, error) {
	if k := index - c.first; c.of != e || k < 0 || k*e.width >= int64(len(c.window)) {
		if err := e.loadWindow(c, index); err != nil {
			return 0, err
		}
	}
	return e.entry(c.window, index-c.first), nil
}

func (e *sparse) loadWindow(c *cursor, index int64) (err error) {
	if c.of != e {
		c.of, c.table = e, c.table[:0]
	}
	per := windowBytes / e.width
	c.first = index - index%per
	n := e.width * min(per, e.entries-c.first)
	at := e.directory + e.width*c.first
	window, empty, err := e.fillUnlessHole(&c.known.directory, c.window, at, n)
	if c.window = window; err != nil {
		return fmt.Errorf("read the grain directory at byte %d: %w", at, err)
	}
	if e.redundant != 0 {
		emptyToo, err := e.compareRedundant(c)
		if err != nil {
			c.window = c.window[:0]
			return err
		}
		empty = min(empty, emptyToo)
	}
	c.last = min(c.first+max(n, empty)/e.width, e.entries) - 1
	c.noTables = bytes.Equal(c.window, blankTable[:n])
	return nil
}

// fillUnlessHole is fill for a part of a file that may lie in a hole, which is not read; empty is how far that goes on then, from its beginning.
func (e *sparse) fillUnlessHole(known *storedRun, b []byte, at, n int64) (_ []byte, empty int64, err error) {
	isStored, end, err := known.find(e.file, at)
	switch {
	case err != nil:
		return b[:0], 0, err
	case isStored, end-at < n:
		b, err = e.fill(b, at, n)
		return b, 0, err
	}
	b = room(b, n)
	clear(b)
	return b, end - at, nil
}

// compareRedundant guards against a primary entry that was zeroed: it would read as silent zeros, as it does elsewhere.
func (e *sparse) compareRedundant(c *cursor) (empty int64, err error) {
	at := e.redundant + e.width*c.first
	if c.redundant, empty, err = e.fillUnlessHole(&c.known.redundant, c.redundant, at, int64(len(c.window))); err != nil {
		return 0, fmt.Errorf("read the redundant grain directory at byte %d: %w", at, err)
	}
	if bytes.Equal(c.window, c.redundant) {
		return empty, nil
	}
	for k := range int64(len(c.window)) / e.width {
		entry, redundant := e.entry(c.window, k), e.entry(c.redundant, k)
		if entry == 0 && redundant != 0 {
			return 0, e.directoryError(c.first+k, entry, fmt.Sprintf("the redundant directory has a grain table there, at sector %d", redundant))
		}
	}
	return empty, nil
}

// compareRedundantTable guards the entries of the grain table at hand in the same way, where the redundant directory has a table of its own.
func (e *sparse) compareRedundantTable(c *cursor) (err error) {
	n := min(e.perTable, e.grains-c.index*e.perTable)
	at, _ := e.tableAt(e.entry(c.redundant, c.index-c.first))
	if at == 0 || at == c.at || !within(at, e.width*n, e.file.size) {
		return nil // the primary one is sound, and rules
	}
	empty, err := c.known.redundantTables.isHole(e.file, at, e.width*n)
	if err == nil && !empty {
		c.copy, err = e.fill(c.copy, at, e.width*n)
	}
	switch {
	case err != nil:
		return fmt.Errorf("read redundant grain table %d at byte %d: %w", c.index, at, err)
	case empty, bytes.Equal(c.copy, c.table[:e.width*n]):
		return nil
	}
	for k := range n {
		entry, redundant := e.entry(c.table, k), e.entry(c.copy, k)
		if entry == 0 && redundant != 0 {
			return e.entryError(c, c.index*e.perTable+k, entry,
				fmt.Sprintf("the redundant table has a grain there, at sector %d; repair the disk (vmware-vdiskmanager -R)", redundant))
		}
	}
	return nil
}

// fill reads n bytes into b, which grows where it must; empty after an error.
func (e *sparse) fill(b []byte, at, n int64) ([]byte, error) {
	b = room(b, n)
	if err := diskimage.ReadFull(e.file, b, at); err != nil {
		return b[:0], err
	}
	return b, nil
}
