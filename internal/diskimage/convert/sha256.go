package convert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// SHA256 is the hexadecimal SHA-256 of the whole disk, holes included. They are hashed without being read, which still takes the time of hashing: a
// digest of zeros cannot be reached in any other way. Chunks are read ahead by several workers, because inflating is slower than hashing.
func SHA256(ctx context.Context, img diskimage.Image, o Options) (string, error) {
	h, at, meter := sha256.New(), int64(0), o.meter(img.Size())
	err := inOrder(ctx, img, 1, func() func([]byte, diskimage.Extent) ([]byte, error) {
		return func(buf []byte, c diskimage.Extent) ([]byte, error) {
			if buf == nil {
				buf = make([]byte, chunkSize)
			}
			buf = buf[:c.Length]
			return buf, readChunk(img, buf, c.Offset)
		}
	}, func(ctx context.Context, c chunk, b []byte) error {
		if err := hashZeros(ctx, h, c.Offset-at, meter); err != nil { // a hole and explicit zeros hash alike
			return err
		}
		h.Write(b)
		at = c.End()
		meter.add(c.Length)
		return nil
	})
	if err == nil {
		err = hashZeros(ctx, h, img.Size()-at, meter)
	}
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func hashZeros(ctx context.Context, h hash.Hash, n int64, meter *meter) error {
	for n > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		piece := min(n, int64(len(zeros)))
		h.Write(zeros[:piece])
		meter.add(piece)
		n -= piece
	}
	return nil
}
