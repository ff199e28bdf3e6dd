// Package convert copies the disk inside an image to a writer, compares two disks, and hashes them. It knows no format: extents go to workers, which
// read, find the zeros and write at the same offset.
package convert

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// Memory is bounded by these, whatever an image claims: 8 workers with a chunk each, and what the format needs per reader (for the largest
// VMDK grain 4 MiB), stay under 64 MiB.
const (
	// chunkSize is aligned, so that no grain or block up to this size is inflated twice. A chunk goes from one file to the other through a core's own
	// cache, which those of 1 MiB and more did not: copying them took a tenth longer.
	chunkSize  = 256 << 10
	maxWorkers = 8
	zeroPiece  = 4 << 10 // the file system's block: smaller holes save nothing
)

var zeros [chunkSize]byte

// workers is one for each processor, as far as memory is bounded.
func workers() int { return min(runtime.GOMAXPROCS(0), maxWorkers) }

// Copy writes the data of the disk to dst and returns how many bytes it wrote. Runs of zeros are never written: dst has to read as zeros, as a
// new sparse file does. The writes come in no order. After an error dst holds an unknown part of the disk.
func Copy(ctx context.Context, dst io.WriterAt, img diskimage.Image, o Options) (int64, error) {
	next, stop := iter.Pull2(chunks(img, 1))
	defer stop()
	c := &copying{dst: dst, img: img, next: next, meter: o.meter(img.Size())}
	group, ctx := errgroup.WithContext(ctx)
	readers := workers()
	if o.Remote {
		readers = maxWorkers
	}
	for range readers {
		group.Go(func() error { return c.work(ctx) })
	}
	err := group.Wait()
	if err == nil {
		c.meter.end()
	}
	return c.written, err
}

// copying is one Copy. Its workers take the chunks themselves: each is the next one of whoever is ready for it.
type copying struct {
	dst   io.WriterAt
	img   diskimage.Image
	meter *meter

	mu      sync.Mutex
	next    func() (chunk, error, bool)
	written int64
}

func (c *copying) work(ctx context.Context) error {
	buf := make([]byte, chunkSize)
	for {
		chunk, ok, err := c.take(ctx)
		if !ok || err != nil {
			return err
		}
		b := buf[:chunk.Length]
		if err := readChunk(c.img, b, chunk.Offset); err != nil {
			return err
		}
		if err := c.write(b, chunk.Offset); err != nil {
			return err
		}
		c.meter.add(chunk.passed)
	}
}

func (c *copying) take(ctx context.Context) (chunk, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return chunk{}, false, context.Cause(ctx)
	}
	next, err, ok := c.next()
	return next, ok, err
}

func (c *copying) write(b []byte, offset int64) (err error) {
	written := int64(0)
	for at, run := range dataRuns(b, offset) {
		n, werr := c.dst.WriteAt(run, at)
		written += int64(n)
		if werr != nil {
			err = fmt.Errorf("write %d bytes at offset %d: %w", len(run), at, werr)
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written += written
	return err
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
