package inflate_test

import (
	"encoding/binary"
	"hash/adler32"
	"math/bits"
)

// stream makes zlib streams bit by bit, good ones and others.
type stream struct {
	b    []byte
	free int // bits of the last byte
}

func newStream() *stream { return &stream{b: []byte{0x78, 0x9c}} }

// put writes n bits of v, from the lowest on.
func (s *stream) put(v uint, n int) *stream {
	for ; n > 0; n-- {
		if s.free == 0 {
			s.b, s.free = append(s.b, 0), 8
		}
		s.b[len(s.b)-1] |= byte(v&1) << (8 - s.free)
		v >>= 1
		s.free--
	}
	return s
}

// code writes a Huffman code, from its highest bit on.
func (s *stream) code(v uint, n int) *stream {
	return s.put(bits.Reverse(v)>>(bits.UintSize-n), n)
}

func (s *stream) header(last bool, kind uint) *stream {
	if last {
		return s.put(1, 1).put(kind, 2)
	}
	return s.put(0, 1).put(kind, 2)
}

func (s *stream) stored(last bool, data string) *stream {
	s.header(last, 0).free = 0
	s.b = binary.LittleEndian.AppendUint16(s.b, uint16(len(data)))
	s.b = binary.LittleEndian.AppendUint16(s.b, ^uint16(len(data)))
	s.b = append(s.b, data...)
	return s
}

// sum ends the stream with the checksum of what it should hold.
func (s *stream) sum(data string) []byte {
	return binary.BigEndian.AppendUint32(s.b, adler32.Checksum([]byte(data)))
}

// codes are the lengths of the codes of some symbols, from which the codes follow.
type codes map[int]int

func (c codes) lengths(n int) []int {
	all := make([]int, n)
	for s, l := range c {
		all[s] = l
	}
	return all
}

// of is the code of a symbol and its length.
func (c codes) of(symbol int) (code uint, n int) {
	next := uint(0)
	for n := 1; n <= 15; n++ {
		next <<= 1
		for s := range 288 {
			if c[s] != n {
				continue
			}
			if s == symbol {
				return next, n
			}
			next++
		}
	}
	panic("the symbol has no code")
}

// dynamic begins a block with these codes, whose lengths are written in four bits each.
func (s *stream) dynamic(last bool, lits, dists int, lit, dist codes) *stream {
	s.flat(last, lits, dists)
	for _, n := range append(lit.lengths(lits), dist.lengths(dists)...) {
		s.code(uint(n), 4)
	}
	return s
}

// flat begins a block up to the lengths of its codes, which have 4 bits each: there is no code for repetitions.
func (s *stream) flat(last bool, lits, dists int) *stream {
	s.header(last, 2).put(uint(lits-257), 5).put(uint(dists-1), 5).put(19-4, 4)
	s.put(0, 9) // 16, 17 and 18
	for range 16 {
		s.put(4, 3)
	}
	return s
}

// symbol writes the code of a symbol.
func (s *stream) symbol(c codes, symbol int) *stream {
	code, n := c.of(symbol)
	return s.code(code, n)
}

// fixedLit writes a literal or length, and fixedDist a distance, in the fixed codes.
func (s *stream) fixedLit(symbol uint) *stream {
	switch {
	case symbol < 144:
		return s.code(0x30+symbol, 8)
	case symbol < 256:
		return s.code(0x190+symbol-144, 9)
	case symbol < 280:
		return s.code(symbol-256, 7)
	default:
		return s.code(0xc0+symbol-280, 8)
	}
}

func (s *stream) fixedDist(symbol uint) *stream { return s.code(symbol, 5) }

func (s *stream) fixedText(text string) *stream {
	for i := range len(text) {
		s.fixedLit(uint(text[i]))
	}
	return s
}

const endOfBlock = 256
