package inflate

import "math/bits"

const (
	maxBits     = 15  // of a code
	litSymbols  = 288 // of the fixed code; 286 and 287 stand for nothing
	maxLit      = 286 // literals, the end of a block, and lengths
	maxDist     = 30
	distSymbols = 32
	endOfBlock  = 256
	maxMatch    = 258
	maxLenBits  = 7 // of a code that lengths of codes are written in

	litBits  = 11
	distBits = 8
)

// A table is looked up with the next bits of the stream. Codes that are longer than it is wide lead to a table of their own behind it.
//
// An entry tells how many bits to drop, in its lowest byte. The next byte is, of a length or a distance, how many of these are its code: above them
// are its extra bits; and of a sub-table its width.
const (
	entryCount   = 8       // where the second byte begins
	entryValue   = 16      // where the literal, the base of a length, or the start of a sub-table begin
	entryMask    = 25      // where the mask of the extra bits of a length begins
	distMask     = 32      // the same of a distance
	entryLiteral = 1 << 15 // a literal
	entryOther   = 1 << 14 // a sub-table, if it is neither of the two below
	entryEnd     = 1 << 13 // the end of the block
	entryNothing = 1 << 12 // a code that stands for nothing
)

type (
	litEntry  uint32
	distEntry uint64
)

// length is the length of a match, of which before begins with the code.
func (e litEntry) length(before uint64) int {
	return int(e>>entryValue&0x1ff + litEntry(before>>(e>>entryCount&63))&(e>>entryMask))
}

// distance is the distance of a match, of which before begins with the code.
func (e distEntry) distance(before uint64) int {
	return int(e>>entryValue&0xffff + distEntry(before)>>(e>>entryCount&63)&(e>>distMask))
}

// Every code of a sub-table has a neighbour there, for else it were shorter, as codes are complete.
const (
	litTableSize  = 1<<litBits + litSymbols/2<<(maxBits-litBits)
	distTableSize = 1<<distBits + distSymbols/2<<(maxBits-distBits)
)

// tables of the block at hand.
type tables struct {
	lit     [litTableSize]litEntry
	dist    [distTableSize]distEntry
	isFixed bool

	lengths [maxLit + maxDist]uint8
	code    code
	precode [1 << maxLenBits]uint8 // a length's symbol and, in the lower three bits, its own length; 0 stands for nothing
}

// litEntries and distEntries are the entries of all symbols, without the length of their codes.
var (
	litEntries  = makeLitEntries()
	distEntries = makeDistEntries()
)

func makeLitEntries() (entries [litSymbols]litEntry) {
	for s := range 256 {
		entries[s] = litEntry(s)<<entryValue | entryLiteral
	}
	entries[endOfBlock] = entryOther | entryEnd
	base := litEntry(3)
	for s := endOfBlock + 1; s < maxLit-1; s++ {
		extra := max(0, (s-endOfBlock-1)/4-1)
		entries[s] = base<<entryValue | (1<<extra-1)<<entryMask | litEntry(extra)
		base += 1 << extra
	}
	entries[maxLit-1] = maxMatch << entryValue
	for s := maxLit; s < litSymbols; s++ {
		entries[s] = entryOther | entryNothing
	}
	return entries
}

func makeDistEntries() (entries [distSymbols]distEntry) {
	base := distEntry(1)
	for s := range maxDist {
		extra := max(0, s/2-1)
		entries[s] = base<<entryValue | (1<<extra-1)<<distMask | distEntry(extra)
		base += 1 << extra
	}
	for s := maxDist; s < distSymbols; s++ {
		entries[s] = entryOther | entryNothing
	}
	return entries
}

// code is a Huffman code: its symbols, ordered by the length of their codes.
type code struct {
	counts  [maxBits + 1]int
	symbols [litSymbols]uint16
	longest uint
	lone    bool // there is one symbol at most
}

// set makes the code of symbols that have codes of these lengths, and tells whether there is one. It is complete, or it has one symbol of one bit, or
// none, as compress/flate has it.
func (c *code) set(lengths []uint8) bool {
	c.counts = [maxBits + 1]int{}
	for _, n := range lengths {
		c.counts[n&maxBits]++
	}
	c.counts[0] = 0
	c.longest = maxBits
	for c.longest > 0 && c.counts[c.longest] == 0 {
		c.longest--
	}
	var next [maxBits + 1]int
	space := 0 // that is taken, in codes of the length at hand
	for n := 1; n <= int(c.longest); n++ {
		next[n] = next[n-1] + c.counts[n-1]
		space = space<<1 + c.counts[n]
	}
	c.lone = c.longest == 0 || c.longest == 1 && space == 1
	if !c.lone && space != 1<<c.longest {
		return false
	}
	for s, n := range lengths {
		if n > 0 {
			c.symbols[next[n]] = uint16(s)
			next[n]++
		}
	}
	return true
}

// fill makes the table of a code. Codes are written from their highest bit on, so a table is filled in the order of the reversed codes: what it has for
// codes of n bits is there twice for n+1, and the longer codes take the places that are left.
func fill[E litEntry | distEntry](table []E, width uint, c *code, entries []E) {
	const nothing = entryOther | entryNothing
	if c.lone {
		table[0], table[1] = nothing, nothing
		if c.longest == 1 {
			table[0] = entries[c.symbols[0]] + 1 + 1<<entryCount
		}
		spread(table, 1, width)
		return
	}
	symbols, next := c.symbols[:], uint32(0) // the next code
	for n := uint(1); n <= min(width, c.longest); n++ {
		copy(table[1<<(n-1):1<<n], table)
		next <<= 1
		add := E(n)
		for range c.counts[n] {
			e := entries[symbols[0]]
			symbols = symbols[1:]
			table[bits.Reverse32(next)>>(32-n)] = withCode(e, add)
			next++
		}
	}
	if c.longest <= width {
		spread(table, c.longest, width)
		return
	}
	deep := c.longest - width // the width of all sub-tables
	start, prefix := 1<<width, ^uint32(0)
	for n := width + 1; n <= c.longest; n++ {
		next <<= 1
		for range c.counts[n] {
			reversed := bits.Reverse32(next) >> (32 - n)
			if p := reversed & (1<<width - 1); p != prefix {
				if prefix != ^uint32(0) {
					start += 1 << deep
				}
				prefix = p
				table[p] = E(start)<<entryValue | entryOther | E(deep)<<entryCount | E(width)
			}
			e := withCode(entries[symbols[0]], E(n-width))
			symbols = symbols[1:]
			for i := int(reversed >> width); i < 1<<deep; i += 1 << (n - width) {
				table[start+i] = e
			}
			next++
		}
	}
}

// withCode adds the length of a symbol's code to its entry.
func withCode[E litEntry | distEntry](e, n E) E {
	if e&(entryLiteral|entryOther) != 0 {
		return e + n
	}
	return e + n + n<<entryCount
}

// spread repeats what is in a table for codes of n bits, up to its width.
func spread[E litEntry | distEntry](table []E, n, width uint) {
	for ; n < width; n++ {
		copy(table[1<<n:2<<n], table[:1<<n])
	}
}

func (d *Decoder) fixedTables() {
	if d.isFixed {
		return
	}
	var lengths [litSymbols]uint8
	for s := range lengths {
		switch {
		case s < 144, s >= 280:
			lengths[s] = 8
		case s < 256:
			lengths[s] = 9
		default:
			lengths[s] = 7
		}
	}
	d.code.set(lengths[:])
	fill(d.lit[:], litBits, &d.code, litEntries[:])
	for s := range distSymbols {
		lengths[s] = 5
	}
	d.code.set(lengths[:distSymbols])
	fill(d.dist[:], distBits, &d.code, distEntries[:])
	d.isFixed = true
}

// order is the order in which the lengths of the codes of the lengths are written.
var order = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamicTables reads the codes of a block.
func (d *Decoder) dynamicTables() error {
	if !d.need(14) {
		return ErrTruncated
	}
	lits, dists, n := 257+d.take(5), 1+d.take(5), 4+d.take(4)
	if lits > maxLit || dists > maxDist {
		return ErrCodes
	}
	var own [19]uint8
	for _, s := range order[:n] {
		if !d.need(3) {
			return ErrTruncated
		}
		own[s] = uint8(d.take(3))
	}
	if !d.code.set(own[:]) {
		return ErrCodes
	}
	d.fillPrecode()
	if err := d.readLengths(d.lengths[:lits+dists]); err != nil {
		return err
	}
	d.isFixed = false
	if !d.code.set(d.lengths[:lits]) {
		return ErrCodes
	}
	fill(d.lit[:], litBits, &d.code, litEntries[:])
	if !d.code.set(d.lengths[lits : lits+dists]) {
		return ErrCodes
	}
	fill(d.dist[:], distBits, &d.code, distEntries[:])
	return nil
}

func (d *Decoder) fillPrecode() {
	d.precode = [1 << maxLenBits]uint8{}
	next, k := uint32(0), 0
	for n := uint(1); n <= maxLenBits; n++ {
		next <<= 1
		for range d.code.counts[n] {
			for i := int(bits.Reverse32(next) >> (32 - n)); i < len(d.precode); i += 1 << n {
				d.precode[i] = uint8(d.code.symbols[k])<<3 | uint8(n)
			}
			next++
			k++
		}
	}
}

// readLengths reads the lengths of the codes of all symbols.
func (d *Decoder) readLengths(lengths []uint8) error {
	for i := 0; i < len(lengths); {
		enough := d.need(maxLenBits + 7)
		e := d.precode[d.bits&(1<<maxLenBits-1)]
		n, symbol := uint(e&7), e>>3
		if n == 0 {
			return ErrSymbol
		}
		if !enough && n > d.have {
			return ErrTruncated
		}
		d.take(n)
		if symbol < 16 {
			lengths[i] = symbol
			i++
			continue
		}
		value, times, extra := uint8(0), 3, uint(3)
		switch symbol {
		case 16:
			if i == 0 {
				return ErrCodes
			}
			value, extra = lengths[i-1], 2
		case 18:
			times, extra = 11, 7
		}
		if !enough && extra > d.have {
			return ErrTruncated
		}
		times += int(d.take(extra))
		if times > len(lengths)-i {
			return ErrCodes
		}
		for range times {
			lengths[i] = value
			i++
		}
	}
	return nil
}
