// Package convert copies the disk inside an image to a writer, and hashes it. It knows no format: extents go to workers, which read, find the
// zeros and write at the same offset.
package convert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// Memory is bounded by these, whatever an image claims: 8 workers with a chunk each, and what the format needs per reader (for the largest
// VMDK grain twice as much again), stay under 64 MiB.
const (
	chunkSize   = 1 << 20   // aligned, so that no grain or block up to this size is inflated twice
	streamChunk = 256 << 10 // the same for Stream, where a compressor takes 2 MiB of each worker's share
	maxWorkers  = 8
	zeroPiece   = 4 << 10 // the file system's block: smaller holes save nothing
)

var zeros [256 << 10]byte

// Options of Copy. The zero value is good.
type Options struct {
	Progress func(done, total int64) // bytes of the extents that carry data, from 0 to total; never called by two goroutines at once
}

// workers is one for each processor, as far as memory is bounded.
func workers() int { return min(runtime.GOMAXPROCS(0), maxWorkers) }

// Copy writes the data of the disk to dst and returns how many bytes it wrote. Runs of zeros are never written: dst has to read as zeros, as a
// new sparse file does. The writes come in no order. After an error dst holds an unknown part of the disk.
func Copy(ctx context.Context, dst io.WriterAt, img diskimage.Image, o Options) (int64, error) {
	progress, err := o.progress(ctx, img, 1)
	if err != nil {
		return 0, err
	}

	group, ctx := errgroup.WithContext(ctx)
	work := make(chan diskimage.Extent)
	group.Go(func() error {
		defer close(work)
		for c, err := range chunks(img, 1, chunkSize) {
			if err != nil {
				return err
			}
			select {
			case work <- c:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	var written atomic.Int64
	for range workers() {
		group.Go(func() error {
			buf := make([]byte, chunkSize)
			for c := range work {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				b := buf[:c.Length]
				if err := readChunk(img, b, c.Offset); err != nil {
					return err
				}
				for at, run := range dataRuns(b, c.Offset) {
					n, err := dst.WriteAt(run, at)
					written.Add(int64(n))
					if err != nil {
						return fmt.Errorf("write %d bytes at offset %d: %w", len(run), at, err)
					}
				}
				progress(c.Length)
			}
			return nil
		})
	}
	err = group.Wait()
	return written.Load(), err
}

// progress is to be called with the length of each chunk that is done, by any goroutine.
func (o Options) progress(ctx context.Context, img diskimage.Image, unit int64) (func(n int64), error) {
	if o.Progress == nil {
		return func(int64) {}, nil
	}
	var done, total int64
	for e, err := range spans(img, unit) {
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		total += e.Length
	}
	var mu sync.Mutex
	o.Progress(0, total)
	return func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		done += n
		o.Progress(done, total)
	}, nil
}

// extents holds a format to what diskimage.Image promises: a reader's mistake must not become a wrong disk, or an endless one.
func extents(img diskimage.Image) iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		end, size := int64(0), img.Size()
		for e, err := range img.Extents() {
			if err != nil {
				yield(e, fmt.Errorf("find the data of the disk: %w", err))
				return
			}
			if e.Length <= 0 || e.Offset < end || e.Offset > size || e.Length > size-e.Offset {
				yield(e, fmt.Errorf("find the data of the disk: extent %+v after offset %d in a disk of %d bytes: this is a bug of the format's reader",
					e, end, size))
				return
			}
			if !yield(e, nil) {
				return
			}
			end = e.End()
		}
	}
}

// spans yields the extents that carry data, made longer at both ends until they are whole units of the disk.
func spans(img diskimage.Image, unit int64) iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		end := int64(0) // of the last span: a unit may hold several extents
		for e, err := range extents(img) {
			if err != nil {
				yield(e, err)
				return
			}
			if e.Zero {
				continue
			}
			at := max(end, e.Offset-e.Offset%unit)
			end = max(end, e.End())
			if rest := end % unit; rest > 0 {
				end = min(img.Size(), end-rest+unit)
			}
			if at < end && !yield(diskimage.Extent{Offset: at, Length: end - at}, nil) {
				return
			}
		}
	}
}

// chunks cuts the spans where offsets are multiples of size.
func chunks(img diskimage.Image, unit, size int64) iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		for s, err := range spans(img, unit) {
			if err != nil {
				yield(s, err)
				return
			}
			for at := s.Offset; at < s.End(); {
				next := min(s.End(), at-at%size+size)
				if !yield(diskimage.Extent{Offset: at, Length: next - at}, nil) {
					return
				}
				at = next
			}
		}
	}
}

// readChunk reads all of b; a reader may say io.EOF with the last bytes.
func readChunk(img diskimage.Image, b []byte, at int64) error {
	n, err := img.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes of the disk at offset %d: %w", len(b), at, err)
}

// dataRuns yields the longest runs of pieces that are not all zero. Pieces are aligned on the disk, not in the buffer.
func dataRuns(b []byte, offset int64) iter.Seq2[int64, []byte] {
	return func(yield func(int64, []byte) bool) {
		start := -1 // of the current run
		for at := 0; at < len(b); {
			next := min(len(b), at+zeroPiece-int((offset+int64(at))%zeroPiece))
			if isZero := bytes.Equal(b[at:next], zeros[:next-at]); !isZero && start < 0 {
				start = at
			} else if isZero && start >= 0 {
				if !yield(offset+int64(start), b[start:at]) {
					return
				}
				start = -1
			}
			at = next
		}
		if start >= 0 {
			yield(offset+int64(start), b[start:])
		}
	}
}
