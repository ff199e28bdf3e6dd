package vmdk

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// Bounds of a look for overlaps. The map, and the list, have 16 MiB; in the usual geometry one map is of 8 TiB of grains, and of ESX's single sectors
// it is of 64 GiB.
const (
	bitmapBits   = 16 << 20 * 8
	maxSorted    = 16 << 20 / 8     // places
	maxStretches = 4096             // parts of all places of which it is known where they lead
	maxLooks     = 64 << 20         // at entries, over all walks: about a second
	maxWalks     = 8                // over all entries, where that takes longer; the tables of ESX are a 128th of the grains that they lead to
	pieceLooks   = bitmapBits >> 10 // what a piece of a map costs by itself, in looks
)

// verify walks the tables of all extents once. Two entries with one table, or one grain, are refused: no writer makes them, one small file would be a
// disk of any size, and one of the two reads as something that it never held. Grains that are compressed have their place in the disk with them, which
// is looked at when they are read.
func (i *Image) verify() error {
	for _, d := range i.chain {
		for k := range d.parts {
			if e, ok := d.parts[k].extent.(*sparse); ok {
				if err := e.verify(); err != nil {
					return i.chain.blame(d, &d.parts[k], err)
				}
			}
		}
	}
	return nil
}

func (e *sparse) verify() error {
	var c cursor
	tables := places{
		called: "grain tables",
		length: e.perTable * e.width,
		end:    e.entries,
		step:   1,
		looked: &c.looked,
		walk:   func(from, to int64, visit visitor) error { return e.eachTable(&c, from, to, visit) },
		refuse: func(n int64, reason string) error {
			entry, err := e.directoryEntry(&c, n)
			if err != nil {
				return err
			}
			return e.directoryError(n, entry, reason)
		},
	}
	if err := tables.survey(); err != nil {
		return err
	}
	if err := tables.check(nil); err != nil || e.compressed {
		return err
	}
	grains := places{
		called: "grains",
		length: e.grain,
		end:    e.grains,
		step:   e.perTable,
		looked: &c.looked,
		walk:   func(from, to int64, visit visitor) error { return e.eachGrain(&c, from, to, visit) },
		refuse: func(n int64, reason string) error {
			return e.entryError(&c, n, e.entry(c.table, n-c.index*e.perTable), reason)
		},
	}
	if err := grains.survey(); err != nil {
		return err
	}
	// Tables lie in front of all grains, or where there was room when they were needed (COWD).
	if grains.count == 0 || grains.low >= tables.high+tables.length {
		return grains.check(nil)
	}
	return grains.check(&tables)
}

// visitor is told where the n-th thing is.
type visitor func(n, at int64) error

// eachTable visits the tables that are there, from one to before another.
func (e *sparse) eachTable(c *cursor, from, to int64, visit visitor) error {
	for index := from; index < to; index++ {
		c.looked++
		at, err := e.tablePlace(c, index)
		if err == nil && at != 0 {
			err = visit(index, at)
		}
		if err != nil {
			return err
		}
		if c.noTables {
			index = c.last
		}
	}
	return nil
}

// eachGrain visits the grains that are stored, from one to before another.
func (e *sparse) eachGrain(c *cursor, from, to int64, visit visitor) error {
	for grain := from; grain < to; {
		c.looked++
		k, at, next, err := e.find(c, grain)
		if err == nil && k == stored {
			err = visit(grain, at)
		}
		if err != nil {
			return err
		}
		grain = next
	}
	return nil
}

// places are the beginnings of things of one length in a file, all in bytes.
type places struct {
	called string
	length int64
	end    int64  // how many entries there are for them
	step   int64  // entries that a walk reads together
	looked *int64 // looks at entries so far: entries that are claimed in vain cost none
	walk   func(from, to int64, visit visitor) error
	refuse func(n int64, reason string) error // the n-th, while it is visited

	count, first, last, low, high int64
	differ                        uint64 // the bits in which one differs from the first
	inOrder                       bool   // each begins behind the end of the one before
	looks                         int64  // of a walk
	stretches                     []stretch
}

// stretch is entries that follow one another, where the first and the last of what they lead to begins, and how many looks a walk over them takes.
type stretch struct{ from, to, low, high, looks int64 }

// survey walks the places for what can be told without keeping them.
func (p *places) survey() error {
	p.inOrder = true
	length := divUp(divUp(p.end, p.step), maxStretches) * p.step
	var s *stretch
	begin, looked, next := *p.looked, *p.looked, int64(0)
	err := p.each(func(n, at int64) error {
		from := n - n%p.step
		if n >= next {
			p.stretches = append(p.stretches, stretch{from: from, low: at, high: at})
			s, next = &p.stretches[len(p.stretches)-1], n-n%length+length
		}
		s.to, s.low, s.high = min(from+p.step, p.end), min(s.low, at), max(s.high, at)
		s.looks, looked = s.looks+*p.looked-looked, *p.looked
		if p.count == 0 {
			p.first = at
		} else if at-p.last < p.length {
			p.inOrder = false
		}
		p.count++
		p.last = at
		p.differ |= uint64(at ^ p.first)
		return nil
	})
	p.looks = *p.looked - begin
	p.low, p.high = p.first, p.first
	for _, s := range p.stretches {
		p.low, p.high = min(p.low, s.low), max(p.high, s.high)
	}
	return err
}

// each walks all places.
func (p *places) each(visit visitor) error { return p.walk(0, p.end, visit) }

// check refuses places that lie over one another, or over others. Things in order need no look, as a file written from front to back has them.
// Otherwise each sets a bit of a map of the file, in units of which all are apart, and what lies too close together shows. A file that is too long for
// the map is looked at piece by piece, with a walk for each over the stretches that lead into it: files are in about the order of their disks, and then
// that is one walk for all. What is strewn over a long file is sorted instead, or refused where there is too much: the work is a few walks, however
// full the file is.
func (p *places) check(others *places) error {
	if p.inOrder && others == nil {
		return nil
	}
	unit := int64(1) << min(bits.TrailingZeros64(p.differ), 40) // where none differs, all of its bits are 0
	slots := (p.high-p.low)/unit + 1
	pieces := divUp(slots, bitmapBits)
	if pieces > 1 && p.count <= maxSorted {
		return p.checkSorted(others)
	}
	pieceOf := func(at int64) int64 { return (at - p.low) / unit / bitmapBits }
	looks := pieces * pieceLooks
	for _, s := range p.stretches {
		looks += s.looks * (pieceOf(s.high) - pieceOf(s.low) + 1)
	}
	if others != nil {
		looks += others.looks * pieces
	}
	if pieces > 1 && looks > max(maxLooks, maxWalks*p.looks) {
		return &diskimage.UnsupportedError{
			Format: format, Cure: qemuCure,
			Reason: fmt.Sprintf("its %d %s are strewn over %d bytes of the file in no order, which are too many to be held against one another",
				p.count, p.called, p.high-p.low),
		}
	}
	m := bitmap{words: make([]uint64, divUp(min(slots, bitmapBits), 64)), previous: -p.length}
	for piece := range pieces {
		m.base = piece * bitmapBits
		clear(m.words)
		for _, s := range p.stretches {
			if piece < pieceOf(s.low) || pieceOf(s.high) < piece {
				continue
			}
			err := p.walk(s.from, s.to, func(n, at int64) error {
				if slot := (at - p.low) / unit; m.set(slot) {
					return p.refuse(n, samePlace)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		if slot, found := m.tooClose(divUp(p.length, unit)); found {
			return p.refuseAt(p.low+slot*unit, false)
		}
		err := p.checkOthers(others, func(from, to int64) bool {
			return m.any(divUp(max(from-p.low, 0), unit), divUp(max(to-p.low, 0), unit))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checkSorted is check for places that are few.
func (p *places) checkSorted(others *places) error {
	sorted := make([]int64, 0, p.count)
	err := p.each(func(_, at int64) error {
		sorted = append(sorted, at)
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(sorted)
	for k := 1; k < len(sorted); k++ {
		if apart := sorted[k] - sorted[k-1]; apart < p.length {
			return p.refuseAt(sorted[k], apart == 0)
		}
	}
	return p.checkOthers(others, func(from, to int64) bool {
		k, _ := slices.BinarySearch(sorted, from)
		return k < len(sorted) && sorted[k] < to
	})
}

// checkOthers refuses others that lie over one of the places; begins tells whether one begins from a place to before another.
func (p *places) checkOthers(others *places, begins func(from, to int64) bool) error {
	if others == nil {
		return nil
	}
	return others.each(func(n, at int64) error {
		if begins(at-p.length+1, at+others.length) {
			return others.refuse(n, fmt.Sprintf("what lies there lies over a grain of %d bytes", p.length))
		}
		return nil
	})
}

const samePlace = "another entry leads to the same place"

// refuseAt refuses what begins at a place, or the second one that does.
func (p *places) refuseAt(place int64, second bool) error {
	reason, passed := fmt.Sprintf("it lies over another one, which begins less than %d bytes before it", p.length), true
	if second {
		reason, passed = samePlace, false
	}
	err := p.each(func(n, at int64) error {
		if at == place && passed {
			return p.refuse(n, reason)
		}
		passed = passed || at == place
		return nil
	})
	if err == nil {
		err = fmt.Errorf("the %s at byte %d of the VMDK are not where they were a moment ago: the file was written to", p.called, place)
	}
	return err
}

// bitmap is a piece of a map of slots.
type bitmap struct {
	words    []uint64
	base     int64 // the first slot
	previous int64 // the last one that was set in the pieces before
}

// set sets a slot, if it is in the piece, and tells whether it was set.
func (m *bitmap) set(slot int64) bool {
	slot -= m.base
	if slot < 0 || slot >= int64(len(m.words))*64 {
		return false
	}
	word, bit := &m.words[slot/64], uint64(1)<<(slot%64)
	was := *word&bit != 0
	*word |= bit
	return was
}

// tooClose finds a slot that is less than a distance behind the one before it.
func (m *bitmap) tooClose(distance int64) (slot int64, found bool) {
	if distance <= 1 {
		return 0, false
	}
	for w, word := range m.words {
		for ; word != 0; word &= word - 1 {
			slot := m.base + int64(w)*64 + int64(bits.TrailingZeros64(word))
			if slot-m.previous < distance {
				return slot, true
			}
			m.previous = slot
		}
	}
	return 0, false
}

// any tells whether a slot from one to before another is set, as far as they are in the piece.
func (m *bitmap) any(from, to int64) bool {
	from, to = max(from-m.base, 0), min(to-m.base, int64(len(m.words))*64)
	for from < to {
		word := m.words[from/64] >> (from % 64)
		n := min(64-from%64, to-from)
		if word<<(64-n) != 0 {
			return true
		}
		from += n
	}
	return false
}
