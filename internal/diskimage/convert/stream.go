package convert

import (
	"context"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// StreamWriter writes a format whose file grows from front to back and holds the disk's data in pieces that can be made each for itself, as compressed
// grains are.
type StreamWriter interface {
	// Begin is called first, with the size of the disk in bytes.
	Begin(size int64) error

	// Unit is a divisor of 256 KiB. Chunks begin at a multiple of it and end at one, or at the end of the disk.
	Unit() int64

	// NewPacker makes what one worker needs for itself. The function appends to piece what the file is to hold of a chunk at an offset of the disk.
	NewPacker() func(piece, chunk []byte, offset int64) ([]byte, error)

	// WritePiece writes what a packer has made. Pieces come in the order of the disk.
	WritePiece(piece []byte) error

	// End is called last, if nothing has failed.
	End() error
}

// Stream writes the disk in the format of dst. The same disk gives the same bytes, however many workers there are. After an error dst has written an
// unknown part of it.
func Stream(ctx context.Context, dst StreamWriter, img diskimage.Image, o Options) error {
	if err := dst.Begin(img.Size()); err != nil {
		return err
	}
	meter := o.meter(img.Size())
	err := inOrder(ctx, img, dst.Unit(), func() func([]byte, diskimage.Extent) ([]byte, error) {
		pack, chunk := dst.NewPacker(), make([]byte, chunkSize)
		return func(piece []byte, c diskimage.Extent) ([]byte, error) {
			if piece == nil {
				piece = make([]byte, 0, chunkSize+chunkSize/64) // what doesn't compress becomes a little longer
			}
			b := chunk[:c.Length]
			if err := readChunk(img, b, c.Offset); err != nil {
				return piece, err
			}
			return pack(piece[:0], b, c.Offset)
		}
	}, func(_ context.Context, c chunk, piece []byte) error {
		if err := dst.WritePiece(piece); err != nil {
			return err
		}
		meter.add(c.passed)
		return nil
	})
	if err != nil {
		return err
	}
	if err := dst.End(); err != nil {
		return err
	}
	meter.end()
	return nil
}
