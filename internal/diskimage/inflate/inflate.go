// Package inflate decodes zlib streams (RFC 1950, RFC 1951) that are in memory as a whole, as the compressed grains of a VMDK are, into memory as a
// whole. That is all it does, and the reason that it is fast: nothing is allocated, and nothing is kept between two reads.
package inflate

import (
	"encoding/binary"
	"errors"
)

// Why a stream is not decoded. What is damaged is what compress/zlib calls so, and a preset dictionary, even where it is the empty one.
var (
	ErrTooLong = errors.New("the data are longer than the room for them") // which says nothing of the rest of the stream: it was not looked at

	ErrTruncated  = errors.New("the stream ends too early")
	ErrHeader     = errors.New("the stream does not begin with a zlib header")
	ErrDictionary = errors.New("the stream needs a preset dictionary")
	ErrBlockType  = errors.New("a block is of the reserved type 3")
	ErrStored     = errors.New("the length of a stored block contradicts its complement")
	ErrCodes      = errors.New("the Huffman codes of a block are damaged")
	ErrSymbol     = errors.New("a Huffman code stands for nothing")
	ErrDistance   = errors.New("a distance reaches before the beginning of the data")
	ErrChecksum   = errors.New("the Adler-32 checksum is wrong")
)

// Decoder holds the tables of the block that is decoded. The zero value is ready, may be used again after an error, and is for one goroutine at a time.
type Decoder struct {
	src  []byte // the deflate stream and its checksum
	in   int    // the next byte of src
	bits uint64 // the next bits, from the lowest on
	have uint   // how many of them are in use; those above are right too, or zero

	dst []byte
	out int

	tables
}

const (
	methodDeflate = 8
	maxWindow     = 7 // of 32 KiB, as a power of two above 256 bytes
	flagDict      = 0x20
	checksumSize  = 4
)

// Zlib decodes the stream that src begins with into dst, verifies its checksum, and returns how many bytes of dst are the stream's; with an error of this
// package, those that were decoded before. What follows the stream in src is ignored, and the rest of dst may hold anything afterwards.
func (d *Decoder) Zlib(dst, src []byte) (n int, err error) {
	if len(src) < 2 {
		return 0, ErrTruncated
	}
	h := binary.BigEndian.Uint16(src)
	if src[0]&0xf != methodDeflate || src[0]>>4 > maxWindow || h%31 != 0 {
		return 0, ErrHeader
	}
	if h&flagDict != 0 {
		return 0, ErrDictionary
	}
	d.src, d.in, d.bits, d.have = src, 2, 0, 0
	d.dst, d.out = dst, 0
	err = d.stream()
	d.src, d.dst = nil, nil // which may be large
	return d.out, err
}

// stream decodes all blocks, and verifies the checksum.
func (d *Decoder) stream() error {
	for last := false; !last; {
		if !d.need(3) {
			return ErrTruncated
		}
		last = d.take(1) == 1
		var err error
		switch d.take(2) {
		case 0:
			err = d.storedBlock()
		case 1:
			d.fixedTables()
			err = d.block()
		case 2:
			if err = d.dynamicTables(); err == nil {
				err = d.block()
			}
		default:
			err = ErrBlockType
		}
		if err != nil {
			return err
		}
	}
	d.align()
	if len(d.src)-d.in < checksumSize {
		return ErrTruncated
	}
	if adler32(d.dst[:d.out]) != binary.BigEndian.Uint32(d.src[d.in:]) {
		return ErrChecksum
	}
	return nil
}

func (d *Decoder) storedBlock() error {
	d.align()
	if len(d.src)-d.in < 4 {
		return ErrTruncated
	}
	length, check := binary.LittleEndian.Uint16(d.src[d.in:]), binary.LittleEndian.Uint16(d.src[d.in+2:])
	if length != ^check {
		return ErrStored
	}
	d.in += 4
	there := d.src[d.in:min(len(d.src), d.in+int(length))]
	n := copy(d.dst[d.out:], there)
	d.in, d.out = d.in+n, d.out+n
	switch {
	case n < len(there):
		return ErrTooLong
	case n < int(length):
		return ErrTruncated
	}
	return nil
}

// need tells whether the next n bits are there, up to 48.
func (d *Decoder) need(n uint) bool {
	for d.have < n {
		if d.in == len(d.src) {
			return false
		}
		d.bits |= uint64(d.src[d.in]) << (d.have & 63)
		d.in++
		d.have += 8
	}
	return true
}

// take takes n bits that are there.
func (d *Decoder) take(n uint) uint {
	v := uint(d.bits) & (1<<(n&63) - 1)
	d.bits >>= n & 63
	d.have -= n
	return v
}

// align drops the rest of a byte that was begun, and gives the bytes behind it back.
func (d *Decoder) align() {
	d.in -= int(d.have >> 3)
	d.bits, d.have = 0, 0
}
