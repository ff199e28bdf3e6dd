package vhdx

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// batWindow is how many entries of the BAT are looked at together: memory does not follow the BAT's length, which is up to 513 MiB.
const batWindow = 4096

var noEntries [8 * batWindow]byte

// window is the part of the BAT that one reader has at hand.
type window struct {
	start int64 // index of the first entry
	count int64
	b     []byte
}

// load reads the window that an entry is in.
func (l *layer) load(w *window, index int64) error {
	if w.b == nil {
		w.b = make([]byte, 8*batWindow)
	}
	start := index - index%batWindow
	w.start, w.count = start, 0
	count := min(batWindow, l.meta.batEntries()-start)
	if err := l.source.read(w.b[:8*count], l.regions.bat.at+8*start, "BAT"); err != nil {
		return err
	}
	w.count = count
	return nil
}

// place is where the content of a payload block is.
type place struct {
	kind    kind
	at      int64 // of what is stored, in the file
	partial bool  // the sector bitmap says which of its sectors are stored; the others are inherited
}

// block looks a payload block up. Every answer is checked: nothing that cannot be resolved is read as zeros.
func (l *layer) block(w *window, block int64) (place, error) {
	index := l.meta.batIndex(block)
	if index < w.start || index >= w.start+w.count {
		if l.empty.has(index / batWindow) {
			return l.place(block, blockNotPresent)
		}
		if err := l.load(w, index); err != nil {
			return place{}, err
		}
	}
	return l.place(block, binary.LittleEndian.Uint64(w.b[8*(index-w.start):]))
}

// place reads an entry ([MS-VHDX] 2.5.1). Only a block that is not present is the parent's: one that is undefined or unmapped reads as zeros
// without asking it.
func (l *layer) place(block int64, entry uint64) (place, error) {
	if entry == blockNotPresent {
		if l.meta.hasParent {
			return place{kind: inherited}, nil
		}
		return place{}, nil
	}
	bad := func(field string, value any, reason string) error {
		return corrupt("BAT", fmt.Sprintf("%s of block %d", field, block), l.entryAt(l.meta.batIndex(block)), value, reason)
	}
	if entry&batReservedMask != 0 {
		return place{}, bad("entry", fmt.Sprintf("0x%016x", entry), "reserved bits are set")
	}
	p := place{kind: stored}
	state := entry & batStateMask
	switch state {
	case blockNotPresent: // an offset there is of a block that once was: reading it would leak old content
		return l.place(block, blockNotPresent)
	case blockUndefined, blockUnmapped, blockUnmappedDraft: // as above
		return place{}, nil
	case blockZero:
		return place{kind: zeros}, nil
	case blockFullyPresent:
	case blockPartiallyPresent:
		// Not to be written without a parent, but Microsoft's reader takes such a block whole (microsoft/openvmm, vhdx/src/bat.rs); qemu refuses.
		p.partial = l.meta.hasParent
	default:
		return place{}, bad("state", state, "no such state exists")
	}
	var reason string
	if p.at, reason = l.offset(entry, l.stored(block)); reason != "" {
		return place{}, bad("FileOffsetMB", entry>>batOffsetShift, reason)
	}
	return p, nil
}

// offset is where in the file the block of an entry is, which has to hold a number of bytes; or why it cannot be there.
func (l *layer) offset(entry uint64, need int64) (at int64, reason string) {
	switch mibs := entry >> batOffsetShift; {
	case mibs == 0:
		return 0, "the block is said to be present, but it cannot be in the header section"
	case mibs > maxFileSize/mib || need > l.source.end-int64(mibs)*mib:
		return 0, fmt.Sprintf("the block there does not fit into the file of %d bytes: it was cut off, or the entry is damaged", l.source.end)
	default:
		return int64(mibs) * mib, ""
	}
}

// bitmap looks the sector bitmap of a chunk up, which some block needs (2.5.1.2).
func (l *layer) bitmap(chunk int64, entry uint64, block int64) (int64, error) {
	bad := func(field string, value any, reason string) error {
		return corrupt("BAT", fmt.Sprintf("%s of the sector bitmap of chunk %d", field, chunk), l.entryAt(l.meta.bitmapIndex(chunk)), value, reason)
	}
	switch state := entry & batStateMask; {
	case entry&batReservedMask != 0:
		return 0, bad("entry", fmt.Sprintf("0x%016x", entry), "reserved bits are set")
	case state == blockNotPresent && block >= 0:
		return 0, bad("state", state, fmt.Sprintf("block %d is partially present, so that there must be one", block))
	case state == blockNotPresent:
		return 0, nil
	case state != blockFullyPresent:
		return 0, bad("state", state, "a sector bitmap is there or not, nothing else")
	}
	at, reason := l.offset(entry, mib)
	if reason != "" {
		return 0, bad("FileOffsetMB", entry>>batOffsetShift, reason)
	}
	return at, nil
}

// entryAt is where in the file an entry is.
func (l *layer) entryAt(index int64) int64 { return l.regions.bat.at + 8*index }

// stored is how much of a block belongs to the disk. The last block may be shorter there than in the file, and a file may end with the disk.
func (l *layer) stored(block int64) int64 {
	return min(l.meta.blockSize, l.meta.size-block*l.meta.blockSize)
}

// check looks every entry up once. No two blocks, and no block and another structure, may share a byte of the file; the readers of qemu, libvhdi and
// dissect return such a disk, in which a write went astray. Without a parent the entries of sector bitmaps are passed over: they mean nothing then,
// and qemu before 8.0 left garbage in them.
func (l *layer) check(taken *bitset) error {
	c := checker{layer: l, taken: taken, partial: -1}
	taken.reset(divUp(l.source.end, mib))
	for _, p := range l.regions.all {
		c.take(p.at, p.length)
	}
	entries := l.meta.batEntries()
	l.empty.reset(divUp(entries, batWindow))
	var w window
	data := int64(-1) // in the file: before it, nothing of the BAT is stored
	for start := int64(0); start < entries; start += batWindow {
		if at := l.entryAt(start); data < at {
			var err error
			if data, _, err = l.source.stored(at, l.entryAt(entries), l.entryAt(entries)); err != nil {
				return err
			}
		}
		count := min(batWindow, entries-start)
		isEmpty := data >= l.entryAt(start+count)
		if !isEmpty {
			if err := l.load(&w, start); err != nil {
				return err
			}
			isEmpty = bytes.Equal(w.b[:8*count], noEntries[:8*count])
		}
		if isEmpty {
			l.empty.add(start / batWindow)
			if err := c.skip(start + count); err != nil {
				return err
			}
			continue
		}
		for k := range count {
			if err := c.entry(start+k, binary.LittleEndian.Uint64(w.b[8*k:])); err != nil {
				return err
			}
		}
	}
	return nil
}

// checker goes through the entries of a BAT.
type checker struct {
	*layer

	taken   *bitset // a bit per MiB of the file
	partial int64   // the first block of the chunk that needs its sector bitmap; -1: none
}

// skip passes over entries that are all zero, to the one before end.
func (c *checker) skip(end int64) error {
	if c.partial < 0 {
		return nil
	}
	if chunk := c.partial / c.meta.chunkRatio(); c.meta.bitmapIndex(chunk) < end {
		_, err := c.bitmap(chunk, blockNotPresent, c.partial)
		return err
	}
	return nil
}

func (c *checker) entry(index int64, entry uint64) error {
	chunk, in := index/(c.meta.chunkRatio()+1), index%(c.meta.chunkRatio()+1)
	if in == c.meta.chunkRatio() {
		if !c.meta.hasParent {
			return nil
		}
		at, err := c.bitmap(chunk, entry, c.partial)
		if err == nil && at != 0 && !c.take(at, mib) {
			err = c.overlap(index, fmt.Sprintf("the sector bitmap of chunk %d", chunk), at, mib)
		}
		c.partial = -1
		return err
	}
	if entry == blockNotPresent {
		return nil
	}
	block := chunk*c.meta.chunkRatio() + in
	if block >= c.meta.blocks() { // a BAT with sector bitmaps goes on to the last of them
		return nil
	}
	p, err := c.place(block, entry)
	if err != nil {
		return err
	}
	if p.kind == stored && !c.take(p.at, min(c.meta.blockSize, c.source.end-p.at)) {
		return c.overlap(index, fmt.Sprintf("block %d", block), p.at, c.meta.blockSize)
	}
	if p.partial && c.partial < 0 {
		c.partial = block
	}
	return nil
}

// take claims a part of the file; false where somebody has it.
func (c *checker) take(at, length int64) bool { return c.taken.take(at/mib, divUp(at+length, mib)) }

func (c *checker) overlap(index int64, what string, at, length int64) error {
	neighbour := "another block"
	for _, p := range c.regions.all {
		if at < p.end() && at+length > p.at {
			neighbour = p.what
		}
	}
	return corrupt("BAT", "FileOffsetMB of "+what, c.entryAt(index), at/mib, "it overlaps "+neighbour+", so that one of them was overwritten")
}
