package inflate

import "encoding/binary"

// block decodes the symbols of a block up to its end.
func (d *Decoder) block() error {
	end, err := d.fast()
	for !end && err == nil {
		end, err = d.symbol()
	}
	return err
}

// What one turn of fast may read and write.
const (
	inSlack  = 3 * 8                 // three refills
	outSlack = 2 + maxMatch + 16 + 8 // two literals, and a match that is written in words
)

// refill fills b with the next bits of src, at least 56 of them. Bytes of which there is only a part in b are read again with the next refill, which
// changes nothing of that part. have is good in its lowest byte only: who decodes takes whole entries away from it.
func refill(src []byte, in int, b, have uint64) (nextIn int, bits, nowHave uint64) {
	return in + int(7-have>>3&7), b | binary.LittleEndian.Uint64(src[in:])<<(have&63), have | 56
}

// fast decodes while neither the end of the stream nor that of the room for it is near, so that words may be read and written. Every turn begins with
// 56 bits or more, and with the entry that they lead to, which is looked up before the copy that it does not depend on: both then go on at once. A
// turn takes two literals, and then a third or a match. The codes of three literals have 33 bits together. Those of two literals and a length have
// 42, so that 28 for a distance may be missing.
func (d *Decoder) fast() (end bool, err error) {
	src, dst, in, out := d.src, d.dst, d.in, d.out
	b, have := d.bits, uint64(d.have)
	lastIn, lastOut := len(src)-inSlack, len(dst)-outSlack
	if in > lastIn || out > lastOut {
		return false, nil
	}

	in, b, have = refill(src, in, b, have)
	e := d.lit[b&(1<<litBits-1)]
	for in <= lastIn && out <= lastOut {
		before := b
		b >>= e & 63
		have -= uint64(e)
		if e&entryLiteral != 0 {
			dst[out] = byte(e >> entryValue)
			out++
			e = d.lit[b&(1<<litBits-1)]
			before = b
			b >>= e & 63
			have -= uint64(e)
			if e&entryLiteral != 0 {
				dst[out] = byte(e >> entryValue)
				out++
				e = d.lit[b&(1<<litBits-1)]
				before = b
				b >>= e & 63
				have -= uint64(e)
				if e&entryLiteral != 0 {
					dst[out] = byte(e >> entryValue)
					out++
					in, b, have = refill(src, in, b, have)
					e = d.lit[b&(1<<litBits-1)]
					continue
				}
			}
		}
		if e&entryOther != 0 {
			if e&(entryEnd|entryNothing) == 0 {
				e = d.lit[uint64(e>>entryValue)+b&(1<<(e>>entryCount&15)-1)]
				before = b
				b >>= e & 63
				have -= uint64(e)
				if e&entryLiteral != 0 {
					dst[out] = byte(e >> entryValue)
					out++
					in, b, have = refill(src, in, b, have)
					e = d.lit[b&(1<<litBits-1)]
					continue
				}
			}
			if e&entryEnd != 0 {
				end = true
				break
			}
			if e&entryNothing != 0 {
				err = ErrSymbol
				break
			}
		}
		length := e.length(before)
		if have&0xff < 28 {
			in, b, have = refill(src, in, b, have)
		}
		f := d.dist[b&(1<<distBits-1)]
		before = b
		b >>= f & 63
		have -= uint64(f) & 0xff
		if f&entryOther != 0 {
			if f&entryNothing == 0 {
				f = d.dist[f>>entryValue&0xffff+distEntry(b)&(1<<(f>>entryCount&15)-1)]
				before = b
				b >>= f & 63
				have -= uint64(f) & 0xff
			}
			if f&entryNothing != 0 {
				err = ErrSymbol
				break
			}
		}
		distance := f.distance(before)
		if distance > out {
			err = ErrDistance
			break
		}
		in, b, have = refill(src, in, b, have)
		e = d.lit[b&(1<<litBits-1)]

		to := out
		out += length
		switch {
		case distance >= 8:
			copyWord(dst, to, distance)
			copyWord(dst, to+8, distance)
			for to += 16; to < out; to += 8 {
				copyWord(dst, to, distance)
			}
		case distance == 1:
			w := uint64(dst[to-1]) * 0x0101010101010101
			for ; to < out; to += 8 {
				binary.LittleEndian.PutUint64(dst[to:], w)
			}
		default: // of every word, the bytes up to the distance are right
			for ; to < out; to += distance {
				copyWord(dst, to, distance)
			}
		}
	}
	d.in, d.out, d.bits, d.have = in, out, b, uint(have&0xff)
	return end, err
}

// copyWord copies the eight bytes at a distance before.
func copyWord(dst []byte, to, distance int) {
	binary.LittleEndian.PutUint64(dst[to:], binary.LittleEndian.Uint64(dst[to-distance:]))
}

// symbol decodes one symbol with all care, near the ends of the stream and of the room for it.
func (d *Decoder) symbol() (end bool, err error) {
	d.need(48) // or what is left; a length and a distance have no more
	e := d.lit[d.bits&(1<<litBits-1)]
	before := d.bits
	if e&(entryOther|entryEnd|entryNothing) == entryOther {
		if !d.drop(uint(e & 0xff)) {
			return false, ErrTruncated
		}
		e = d.lit[uint64(e>>entryValue)+d.bits&(1<<(e>>entryCount&15)-1)]
		before = d.bits
	}
	switch {
	case !d.drop(uint(e & 0xff)):
		return false, ErrTruncated
	case e&entryNothing != 0:
		return false, ErrSymbol
	case e&entryEnd != 0:
		return true, nil
	case e&entryLiteral != 0:
		if d.out == len(d.dst) {
			return false, ErrTooLong
		}
		d.dst[d.out] = byte(e >> entryValue)
		d.out++
		return false, nil
	}
	length := e.length(before)

	f := d.dist[d.bits&(1<<distBits-1)]
	before = d.bits
	if f&(entryOther|entryNothing) == entryOther {
		if !d.drop(uint(f & 0xff)) {
			return false, ErrTruncated
		}
		f = d.dist[f>>entryValue&0xffff+distEntry(d.bits)&(1<<(f>>entryCount&15)-1)]
		before = d.bits
	}
	switch {
	case !d.drop(uint(f & 0xff)):
		return false, ErrTruncated
	case f&entryNothing != 0:
		return false, ErrSymbol
	}
	distance := f.distance(before)
	if distance > d.out {
		return false, ErrDistance
	}
	for ; length > 0; length-- {
		if d.out == len(d.dst) {
			return false, ErrTooLong
		}
		d.dst[d.out] = d.dst[d.out-distance]
		d.out++
	}
	return false, nil
}

// drop drops n bits, if they are there.
func (d *Decoder) drop(n uint) bool {
	if n > d.have {
		return false
	}
	d.bits >>= n & 63
	d.have -= n
	return true
}
