package vhdx

import "encoding/binary"

// kind is where the bytes of a run come from.
type kind uint8

const (
	hole      kind = iota // nowhere: they are zeros
	zeros                 // nowhere, and the file says explicitly that they are zeros
	inherited             // the parent
	stored                // the file
)

// run is a part of the disk that is of one kind, and in one piece in the file where it is stored.
type run struct {
	start, end int64 // on the disk
	kind       kind
	at         int64 // of what is stored: where in the file it starts
}

// cursor is what one reader has at hand of a layer.
type cursor struct {
	bat  window
	last run // the answer before, which mostly is the next one too

	chunk    int64
	bitmapAt int64  // where in the file the sector bitmap of the chunk is; 0: not looked up
	bits     []byte // a page of it
	bitsAt   int64  // in the file; 0: none

	known, data, dataEnd int64 // of the file: from known on nothing is stored before data, from where on all is to dataEnd
}

const (
	bitsPage       = 4 * kib
	sectorsPerPage = 8 * bitsPage
)

// run finds what is at an offset of the disk, and how far it goes; behind limit it is not looked for.
func (l *layer) run(c *cursor, off, limit int64) (run, error) {
	if c.last.start <= off && off < c.last.end {
		return c.last, nil
	}
	block := off / l.meta.blockSize
	p, err := l.block(&c.bat, block)
	if err != nil {
		return run{}, err
	}
	start := block * l.meta.blockSize
	r := run{start: start, end: start + l.stored(block), kind: p.kind, at: p.at}
	if p.partial {
		r, err = l.sectors(c, r, off, limit)
	} else {
		err = l.extend(&c.bat, &r, min(limit, l.meta.size))
	}
	if err != nil {
		return run{}, err
	}
	c.last = r
	return r, nil
}

// extend adds the blocks that go on where a run ends. Windows of the BAT without any entry are passed over together.
func (l *layer) extend(w *window, r *run, limit int64) error {
	for r.end < limit {
		block := r.end / l.meta.blockSize
		p, err := l.block(w, block)
		if err != nil {
			return err
		}
		if p.kind != r.kind || p.partial || p.kind == stored && p.at != r.at+r.end-r.start {
			return nil
		}
		next := block + 1
		if at := l.meta.batIndex(block) / batWindow; l.empty.has(at) {
			next = l.meta.blockFrom((at + 1) * batWindow)
		}
		r.end = min(next*l.meta.blockSize, l.meta.size)
	}
	return nil
}

// sectors finds the run at an offset of a block that is partially present: its sectors are stored or inherited, as the sector bitmap says, a bit for
// each, from the lowest on ([MS-VHDX] 2.4).
func (l *layer) sectors(c *cursor, block run, off, limit int64) (run, error) {
	if c.bits == nil {
		c.bits = make([]byte, bitsPage)
	}
	number := block.start / l.meta.blockSize
	if chunk := number / l.meta.chunkRatio(); c.bitmapAt == 0 || c.chunk != chunk {
		c.bitmapAt, c.bitsAt = 0, 0
		entry := c.bits[:8]
		err := l.source.read(entry, l.entryAt(l.meta.bitmapIndex(chunk)), "BAT")
		if err != nil {
			return run{}, err
		}
		if c.bitmapAt, err = l.bitmap(chunk, binary.LittleEndian.Uint64(entry), number); err != nil {
			return run{}, err
		}
		c.chunk = chunk
	}
	sector := l.meta.logicalSector
	first := off / sector % sectorsPerBitmapBlock
	if at := c.bitmapAt + first/sectorsPerPage*bitsPage; at != c.bitsAt {
		c.bitsAt = 0
		if err := l.source.read(c.bits, at, "sector bitmap"); err != nil {
			return run{}, err
		}
		c.bitsAt = at
	}
	start := off - off%sector
	first %= sectorsPerPage
	end := min(sectorsPerPage, first+divUp(min(block.end, limit)-start, sector))
	r := run{start: start, kind: inherited, at: block.at + start - block.start}
	all := byte(0)
	if c.bits[first/8]>>(first%8)&1 != 0 {
		r.kind, all = stored, 0xff
	}
	behind := first + 1
	for behind < end && (c.bits[behind/8]^all)>>(behind%8)&1 == 0 {
		if behind%8 == 0 && c.bits[behind/8] == all {
			behind += 7
		}
		behind++
	}
	r.end = min(start+(behind-first)*sector, block.end)
	return r, nil
}

// inFile tells whether the file stores anything at a place or has a hole there, and how far that goes.
func (l *layer) inFile(c *cursor, at, end int64) (isStored bool, until int64, err error) {
	if at < c.known || at >= c.dataEnd {
		c.known, c.data, c.dataEnd = 0, 0, 0
		data, dataEnd, err := l.source.stored(at, end, l.source.end)
		if err != nil {
			return false, 0, err
		}
		c.known, c.data, c.dataEnd = at, data, dataEnd
	}
	if at < c.data {
		return false, min(c.data, end), nil
	}
	return true, min(c.dataEnd, end), nil
}
