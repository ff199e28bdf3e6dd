// Package diskimage says what a disk image is to the rest of the program: bytes that can be read at any offset, and a map of which of them
// carry data. It is the leaf that every format, the detection and the converter share; it opens nothing and imports the standard library only.
package diskimage

import (
	"errors"
	"io"
	"iter"
)

// Image is the virtual disk inside an image file. A value is immutable once opened.
type Image interface {
	// ReaderAt reads the virtual disk; holes read as zeros. It is safe for concurrent use.
	io.ReaderAt

	// Size is the virtual size in bytes.
	Size() int64

	// Extents yields the parts of the disk that the image stores: ordered by offset, not overlapping, inside Size, and merged, but for cuts at
	// multiples of Cut. What lies between them are holes, which read as zeros. A non-nil error is the last value yielded.
	Extents() iter.Seq2[Extent, error]

	Close() error
}

// Cut is where a run may be cut in two by an image that would have to read more of its tables to know how far it goes. They lie strewn over a
// stream, one for 32 MiB as a rule: who walks over the extents while the stream arrives is not to wait for the last of them.
const Cut = 32 << 20

// Extent is one run of the virtual disk, in bytes.
type Extent struct {
	Offset int64
	Length int64

	// Zero is true where the image says explicitly that the run reads as zeros (a zero grain, a block in state ZERO).
	Zero bool
}

// End is the offset of the first byte behind the extent.
func (e Extent) End() int64 { return e.Offset + e.Length }

// ReadFull reads all of p. A source that ends earlier than its length said is an error of the source, not of the format: io.ErrUnexpectedEOF.
func ReadFull(r io.ReaderAt, p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	n, err := r.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil // a reader may say io.EOF with the last bytes
	case err == nil || errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	default:
		return err
	}
}
