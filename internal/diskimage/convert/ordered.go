package convert

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// inOrder has workers make a piece of each chunk of the disk's data, all at once, and takes the pieces one after the other in the order of the disk.
// newMaker is called once for each worker; what it returns makes a piece in the buffer of one that was taken, or in a new one where that is nil.
func inOrder(
	ctx context.Context, img diskimage.Image, unit int64,
	newMaker func() func(buf []byte, c diskimage.Extent) ([]byte, error), take func(ctx context.Context, c chunk, piece []byte) error,
) error {
	type job struct {
		chunk chunk
		piece []byte
		made  chan struct{} // told when the piece is
	}
	readers := workers()
	group, ctx := errgroup.WithContext(ctx)
	// A buffer belongs to a chunk before any worker sees it, in order: workers that run ahead can't take the buffer of the chunk waited for. There is
	// one for each worker, and half as many again, so that a chunk that takes longer than others doesn't stop them.
	free := make(chan *job, readers+readers/2+1)
	todo, ordered := make(chan *job), make(chan *job, cap(free))
	for range cap(free) {
		free <- &job{made: make(chan struct{}, 1)}
	}

	group.Go(func() error {
		defer close(ordered)
		defer close(todo)
		for c, err := range chunks(img, unit) {
			if err != nil {
				return err
			}
			var j *job
			select {
			case j = <-free:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			j.chunk = c
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
			makePiece := newMaker()
			for j := range todo {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				var err error
				if j.piece, err = makePiece(j.piece, j.chunk.Extent); err != nil {
					return err
				}
				j.made <- struct{}{}
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
			free <- j
		}
		return nil
	})
	return group.Wait()
}
