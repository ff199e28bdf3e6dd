package vhd

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// window is the parts of the BAT and of the bitmaps that one reader has at hand, and what the file is known to store.
type window struct {
	first   int64 // the first entry; -1: none
	entries []byte
	bitsAt  int64 // where the bits are in the file; -1: none
	bits    []byte
	known   diskimage.StoredRun
}

// What is looked at together: memory follows neither the table's length nor a block's.
const (
	windowEntries = 16 << 10
	windowBits    = 4 << 10 // bytes: those of a block of 16 MiB
)

func newWindow() *window { return &window{first: -1, bitsAt: -1} }

// lookup is place for a block by its index.
func (t *table) lookup(w *window, index int64) (int64, error) {
	first := index - index%windowEntries
	if w.first != first {
		n := batEntrySize * min(windowEntries, t.blocks-first)
		w.first, w.entries = -1, slices.Grow(w.entries[:0], int(n))[:n]
		if err := diskimage.ReadFull(t.file, w.entries, t.at+batEntrySize*first); err != nil {
			return 0, fmt.Errorf("read the block allocation table of the VHD at byte %d: %w", t.at+batEntrySize*first, err)
		}
		w.first = first
	}
	return t.place(index, binary.BigEndian.Uint32(w.entries[batEntrySize*(index-first):]))
}

// piece is where in the file the disk's bytes from off on are, and how far, to limit at most, they go on there. Where at is 0, they are not in it.
func (t *table) piece(w *window, off, limit int64) (at, end int64, err error) {
	index := off / t.blockSize
	start := index * t.blockSize
	place, err := t.lookup(w, index)
	if err != nil {
		return 0, 0, err
	}
	end = min(limit, start+t.blockSize)
	if place == 0 {
		for end < limit {
			if place, err = t.lookup(w, end/t.blockSize); err != nil || place != 0 {
				break
			}
			end = min(limit, end+t.blockSize)
		}
		return 0, end, err
	}
	at = place + t.bitmap + off - start
	if !t.differs { // the bits of sectors that were never written are clear, or not, and their bytes are zeros
		return at, end, nil
	}
	own, sectors, err := t.sectors(w, place, (off-start)/sectorSize)
	if err != nil {
		return 0, 0, err
	}
	if end = min(end, start+((off-start)/sectorSize+sectors)*sectorSize); !own {
		at = 0
	}
	return at, end, nil
}

// sectors tells whether the sector of a block is the disk's own, and for how many the same goes, as far as the window reaches.
func (t *table) sectors(w *window, place, sector int64) (own bool, n int64, err error) {
	skip := sector / 8
	skip -= skip % windowBits
	if w.bitsAt != place+skip {
		n := min(windowBits, t.bitmap-skip)
		w.bitsAt, w.bits = -1, slices.Grow(w.bits[:0], int(n))[:n]
		if err := diskimage.ReadFull(t.file, w.bits, place+skip); err != nil {
			return false, 0, fmt.Errorf("read the sector bitmap of a block of the VHD at byte %d: %w", place+skip, err)
		}
		w.bitsAt = place + skip
	}
	own, n = sameBits(w.bits, sector-8*skip)
	return own, n, nil
}

// sameBits is the value of the bit number first, and how many bits from it on have that value. The most significant bit of a byte comes first.
func sameBits(b []byte, first int64) (set bool, n int64) {
	set = b[first/8]&(0x80>>(first%8)) != 0
	other := byte(0) // with it, bits of the other value are 1
	if set {
		other = 0xff
	}
	at := first / 8
	if n = int64(bits.LeadingZeros8((b[at] ^ other) << (first % 8))); n < 8-first%8 {
		return set, n
	}
	for n, at = 8-first%8, at+1; at < int64(len(b)); n, at = n+8, at+1 {
		if b[at] != other {
			return set, n + int64(bits.LeadingZeros8(b[at]^other))
		}
	}
	return set, n
}
