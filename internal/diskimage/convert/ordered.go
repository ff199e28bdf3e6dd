package convert

import (
	"context"
	"iter"

	"golang.org/x/sync/errgroup"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// inOrder has workers make a piece of each chunk, all at once, and takes the pieces one after the other in the order of the chunks. newMaker is called
// once for each worker; what it returns makes a piece in the buffer of one that was taken, or in a new one where that is nil.
func inOrder(
	ctx context.Context, chunks iter.Seq2[diskimage.Extent, error],
	newMaker func() func(buf []byte, c diskimage.Extent) ([]byte, error), take func(ctx context.Context, c diskimage.Extent, piece []byte) error,
) error {
	type job struct {
		chunk diskimage.Extent
		piece []byte
		made  chan struct{} // closed when the piece is
	}
	readers := workers()
	group, ctx := errgroup.WithContext(ctx)
	todo, ordered := make(chan *job), make(chan *job, 2*readers)
	// A buffer belongs to a chunk before any worker sees it, in order: workers that run ahead can't take the buffer of the chunk waited for. There is
	// one for each worker, and half as many again, so that a chunk that takes longer than others doesn't stop them.
	buffers := make(chan []byte, readers+readers/2+1)
	for range cap(buffers) {
		buffers <- nil
	}

	group.Go(func() error {
		defer close(ordered)
		defer close(todo)
		for c, err := range chunks {
			if err != nil {
				return err
			}
			j := &job{chunk: c, made: make(chan struct{})}
			select {
			case j.piece = <-buffers:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			for _, to := range []chan *job{todo, ordered} {
				select {
				case to <- j:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		}
		return nil
	})
	for range readers {
		group.Go(func() error {
			maker := newMaker()
			for j := range todo {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				var err error
				if j.piece, err = maker(j.piece, j.chunk); err != nil {
					return err
				}
				close(j.made)
			}
			return nil
		})
	}
	group.Go(func() error {
		for j := range ordered {
			select {
			case <-j.made:
			case <-ctx.Done():
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := take(ctx, j.chunk, j.piece); err != nil {
				return err
			}
			buffers <- j.piece
		}
		return nil
	})
	return group.Wait()
}
