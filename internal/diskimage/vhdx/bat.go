package vhdx

import (
	"encoding/binary"
	"fmt"
)

// batWindow is how many entries of the BAT are looked at together: memory does not follow the BAT's length, which is up to 512 MiB.
const batWindow = 4096

// window is the part of the BAT that one reader has at hand.
type window struct {
	start int64 // index of the first entry; -1: none
	count int64
	b     []byte
}

func newWindow() *window { return &window{start: -1, b: make([]byte, 8*batWindow)} }

// place is where the content of a payload block is: at an offset in the file, or nowhere (0), which reads as zeros.
type place struct {
	at   int64
	zero bool // the file says explicitly that the block is zeros
}

// block looks a payload block up. Every answer is checked: nothing that cannot be resolved is read as zeros.
func (i *Image) block(w *window, block int64) (place, error) {
	index := i.meta.batIndex(block)
	if w.start < 0 || index < w.start || index >= w.start+w.count {
		start := index - index%batWindow
		w.start, w.count = -1, min(batWindow, i.meta.batEntries()-start)
		if err := i.source.read(w.b[:8*w.count], i.regions.bat.at+8*start, "BAT"); err != nil {
			return place{}, err
		}
		w.start = start
	}
	return i.place(block, binary.LittleEndian.Uint64(w.b[8*(index-w.start):]))
}

// place reads an entry ([MS-VHDX] 2.5.1). The entries of sector bitmaps in between are never looked at: without a parent they mean nothing, and
// qemu before 8.0 left garbage in them.
func (i *Image) place(block int64, entry uint64) (place, error) {
	bad := func(field string, value any, reason string) error {
		return corrupt("BAT", fmt.Sprintf("%s of block %d", field, block), i.regions.bat.at+8*i.meta.batIndex(block), value, reason)
	}
	if entry&batReservedMask != 0 {
		return place{}, bad("entry", fmt.Sprintf("0x%016x", entry), "reserved bits are set")
	}
	state := entry & batStateMask
	switch state {
	case blockNotPresent, blockUndefined, blockUnmapped, blockUnmappedDraft:
		return place{}, nil // an offset there is of a block that once was: reading it would leak old content
	case blockZero:
		return place{zero: true}, nil
	case blockFullyPresent:
	case blockPartiallyPresent:
		// Not to be written without a parent, but Microsoft's reader takes such a block whole (microsoft/openvmm, vhdx/src/bat.rs); qemu refuses.
	default:
		return place{}, bad("state", state, "no such state exists")
	}
	offset := entry >> batOffsetShift // in MiB
	switch need := i.stored(block); {
	case offset == 0:
		return place{}, bad("FileOffsetMB", offset, "the block is said to be present, but it cannot be in the header section")
	case offset > maxFileSize/mib || need > i.source.end-int64(offset)*mib:
		return place{}, bad("FileOffsetMB", offset,
			fmt.Sprintf("the block there does not fit into the file of %d bytes: it was cut off, or the entry is damaged", i.source.end))
	}
	return place{at: int64(offset) * mib}, nil
}

// stored is how much of a block belongs to the disk. The last block may be shorter there than in the file, and a file may end with the disk.
func (i *Image) stored(block int64) int64 {
	return min(i.meta.blockSize, i.meta.size-block*i.meta.blockSize)
}

// Check looks every entry up once, so that a damaged BAT is refused before a byte of the disk is read. No two blocks, and no block and another
// structure, may share a byte of the file; the readers of qemu, libvhdi and dissect return such a disk, in which a write went astray.
func (i *Image) Check() error {
	taken := make([]uint64, divUp(i.source.end, 64*mib)) // one bit per MiB of the file
	take := func(at, length int64) bool {
		free := true
		for m := at / mib; m < divUp(at+length, mib); m++ {
			free = free && taken[m/64]&(1<<(m%64)) == 0
			taken[m/64] |= 1 << (m % 64)
		}
		return free
	}
	for _, p := range i.regions.all {
		take(p.at, p.length)
	}
	w := newWindow()
	for block := range i.meta.blocks() {
		p, err := i.block(w, block)
		if err != nil {
			return err
		}
		if p.at != 0 && !take(p.at, min(i.meta.blockSize, i.source.end-p.at)) {
			return corrupt("BAT", fmt.Sprintf("FileOffsetMB of block %d", block), i.regions.bat.at+8*i.meta.batIndex(block), p.at/mib,
				"it overlaps "+i.neighbour(p.at)+", so that one of them was overwritten")
		}
	}
	return nil
}

// neighbour names what a block at an offset overlaps.
func (i *Image) neighbour(at int64) string {
	for _, p := range i.regions.all {
		if at < p.end() && at+i.meta.blockSize > p.at {
			return p.what
		}
	}
	return "another block"
}
