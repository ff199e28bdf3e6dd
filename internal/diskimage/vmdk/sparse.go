package vmdk

import (
	"fmt"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// sparse is an extent in grains, which a directory of tables leads to. Hosted sparse extents, those of ESX (COWD) and of ESXi (seSparse) are made so;
// they differ in what an entry of a table looks like.
type sparse struct {
	file       *file
	size       int64 // bytes, which need not be a multiple of the grain
	grain      int64 // bytes
	perTable   int64 // entries of a grain table
	width      int64 // bytes of an entry, in the directory and in the tables
	grains     int64 // how many the disk has of it
	entries    int64 // how many of the grain directory they take
	directory  int64 // where the grain directory is, in bytes
	reserved   int64 // how long it is, in bytes, whatever the disk has of it
	redundant  int64 // where its copy is; 0: there is none
	compressed bool
	ended      bool // the end of the file was seen to be the end of the extent

	// tableAt is where the table of an entry of the directory is, in bytes; 0 where it is absent. A reason refuses the entry.
	tableAt func(entry uint64) (at int64, reason string)

	// grainAt is what an entry of a table says: where a grain is, in bytes, if it is stored.
	grainAt func(entry uint64) (k kind, at int64, reason string)
}

func newSparse(f *file, size, grain, perTable, width int64) *sparse {
	e := &sparse{file: f, size: size, grain: grain, perTable: perTable, width: width}
	e.use(size)
	e.reserved = width * e.entries
	return e
}

// use bounds an extent by what a disk has of it, in bytes: nothing is looked at that is behind.
func (e *sparse) use(length int64) {
	e.grains = divUp(length, e.grain)
	e.entries = divUp(e.grains, e.perTable)
}

// needed is how many bytes of a grain must be in the file. A compressed grain says itself how long it is; of the last one of an extent, the part
// behind its size may be missing.
func (e *sparse) needed(grain int64) int64 {
	if e.compressed {
		return grainHeaderSize
	}
	return min(e.grain, e.size-grain*e.grain)
}

// run takes together what lies together in the file: writers fill a file from front to back, so a disk of small grains is often one run. Grains that
// are compressed are runs of their own.
func (e *sparse) run(c *cursor, off, limit int64) (r run, err error) {
	for r.length < limit {
		grain, in := (off+r.length)/e.grain, (off+r.length)%e.grain
		k, at, next, err := e.find(c, grain)
		switch {
		case err != nil:
			return run{}, err
		case r.length == 0:
			if r.kind, r.at = k, at+in; k == stored && !e.compressed {
				r.file = e.file
			}
		case k != r.kind, k == stored && at != r.at+r.length:
			return r, nil
		}
		r.length += min(next*e.grain-in-grain*e.grain, limit-r.length)
		if k == stored && e.compressed { // each grain by itself
			return r, nil
		}
	}
	return r, nil
}

// find is how a grain is stored, and the next grain that this does not tell of.
func (e *sparse) find(c *cursor, grain int64) (k kind, at, next int64, err error) {
	index := grain / e.perTable
	there, err := e.load(c, index)
	if err == nil && !there && c.noTables {
		return absent, 0, (c.last + 1) * e.perTable, nil
	}
	if !there || err != nil || c.blank {
		return absent, 0, (index + 1) * e.perTable, err
	}
	k, at, err = e.decode(c, grain)
	return k, at, grain + 1, err
}

// decode is the checked entry of a grain in the table at hand. Nothing that cannot be resolved is read as zeros.
func (e *sparse) decode(c *cursor, grain int64) (kind, int64, error) {
	entry := e.entry(c.table, grain-c.index*e.perTable)
	k, at, reason := e.grainAt(entry)
	if reason == "" && k == stored && !within(at, e.needed(grain), e.file.size) {
		reason = fmt.Sprintf("that sector is behind the end of the file of %d bytes: it was cut off, or damaged", e.file.size)
		if !e.compressed {
			reason = fmt.Sprintf("the %d bytes there do not end inside the file of %d: it was cut off, or damaged", e.needed(grain), e.file.size)
		}
	}
	if reason == "" && k == stored && e.overDirectory(at, e.needed(grain)) {
		reason = "the grain there would lie over the grain directory"
	}
	if reason != "" {
		return absent, 0, e.entryError(c, grain, entry, reason)
	}
	return k, at, nil
}

// overDirectory tells whether something in the file lies over the grain directory.
func (e *sparse) overDirectory(at, length int64) bool {
	return at < e.directory+e.reserved && e.directory < at+length
}

// entryError blames the entry of a grain in the table at hand.
func (e *sparse) entryError(c *cursor, grain int64, entry uint64, reason string) error {
	return &diskimage.CorruptError{
		Format: format, Structure: "grain table", Field: fmt.Sprintf("entry of grain %d", grain),
		Offset: c.at + e.width*(grain-c.index*e.perTable), Value: entry, Reason: reason,
	}
}

func (e *sparse) read(s *scratch, r run, off int64, p []byte) error {
	if e.compressed {
		return e.readInGrain(s, off, r.at-off%e.grain, p)
	}
	if err := diskimage.ReadFull(e.file, p, r.at); err != nil {
		return fmt.Errorf("read %d bytes of grains of the VMDK at byte %d: %w", len(p), r.at, err)
	}
	return nil
}

// within tells whether length bytes from a place on lie in a file of size bytes. Each may be a claim: nothing overflows.
func within(at, length, size int64) bool {
	return at >= 0 && length >= 0 && length <= size && at <= size-length
}
