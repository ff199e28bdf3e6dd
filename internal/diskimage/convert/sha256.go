package convert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"

	"golang.org/x/sync/errgroup"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// SHA256 is the hexadecimal SHA-256 of the whole disk, holes included; they are hashed without being read. Chunks are read ahead by several
// workers, because inflating is slower than hashing.
func SHA256(ctx context.Context, img diskimage.Image) (string, error) {
	type chunk struct {
		diskimage.Extent
		buf  []byte
		read chan struct{} // closed when buf is filled
	}
	readers := workers()
	group, ctx := errgroup.WithContext(ctx)
	todo, ordered := make(chan chunk), make(chan chunk, readers+1)
	// A buffer belongs to a chunk before any worker sees it, in order: workers that run ahead can't take the buffer of the chunk waited for.
	buffers := make(chan []byte, readers+1)
	for range readers + 1 {
		buffers <- make([]byte, chunkSize)
	}

	group.Go(func() error {
		defer close(ordered)
		defer close(todo)
		for e, err := range chunks(img) {
			if err != nil {
				return err
			}
			if e.Zero {
				continue // a hole and explicit zeros hash alike
			}
			c := chunk{e, nil, make(chan struct{})}
			select {
			case c.buf = <-buffers:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			for _, to := range []chan chunk{todo, ordered} {
				select {
				case to <- c:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		}
		return nil
	})
	for range readers {
		group.Go(func() error {
			for c := range todo {
				if err := readChunk(img, c.buf[:c.Length], c.Offset); err != nil {
					return err
				}
				close(c.read)
			}
			return nil
		})
	}
	h := sha256.New()
	group.Go(func() error {
		at := int64(0)
		for c := range ordered {
			if err := hashZeros(ctx, h, c.Offset-at); err != nil {
				return err
			}
			select {
			case <-c.read:
				h.Write(c.buf[:c.Length])
				buffers <- c.buf
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			at = c.End()
		}
		if ctx.Err() != nil { // the producer failed; don't hash a tail for nothing
			return context.Cause(ctx)
		}
		return hashZeros(ctx, h, img.Size()-at)
	})
	if err := group.Wait(); err != nil {
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
