package convert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// SHA256 is the hexadecimal SHA-256 of the whole disk, holes included; they are hashed without being read. Chunks are read ahead by several
// workers, because inflating is slower than hashing.
func SHA256(ctx context.Context, img diskimage.Image) (string, error) {
	h, at := sha256.New(), int64(0)
	err := inOrder(ctx, chunks(img, 1, chunkSize), func() func([]byte, diskimage.Extent) ([]byte, error) {
		return func(buf []byte, c diskimage.Extent) ([]byte, error) {
			if buf == nil {
				buf = make([]byte, chunkSize)
			}
			buf = buf[:c.Length]
			return buf, readChunk(img, buf, c.Offset)
		}
	}, func(ctx context.Context, c diskimage.Extent, b []byte) error {
		if err := hashZeros(ctx, h, c.Offset-at); err != nil { // a hole and explicit zeros hash alike
			return err
		}
		h.Write(b)
		at = c.End()
		return nil
	})
	if err == nil {
		err = hashZeros(ctx, h, img.Size()-at)
	}
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func hashZeros(ctx context.Context, h hash.Hash, n int64) error {
	for n > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		piece := min(n, int64(len(zeros)))
		h.Write(zeros[:piece])
		n -= piece
	}
	return nil
}
