package convert

import (
	"bytes"
	"context"
	"fmt"
	"iter"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// DifferenceError says that two disks are not the same.
type DifferenceError struct {
	Offset int64 // of a byte that differs, in the disk
}

func (e *DifferenceError) Error() string { return fmt.Sprintf("byte %d of the disk differs", e.Offset) }

// Compare holds a copy of a disk against it, byte by byte where one of them stores something, and gives the SHA-256 of the copy. A difference is a
// *DifferenceError. The copy may be up to 511 bytes longer, where its format counts in sectors: they must be zeros, and the digest is of them too.
func Compare(ctx context.Context, img, copied diskimage.Image, o Options) (sha256 string, err error) {
	if more := copied.Size() - img.Size(); more < 0 || more >= 512 {
		return "", fmt.Errorf("the disk has %d bytes, its copy %d", img.Size(), copied.Size())
	}
	return SHA256(ctx, &pair{Image: copied, original: img, idle: make(chan []byte, maxWorkers)}, o)
}

// pair reads two disks at once, and fails where they are not the same.
type pair struct {
	diskimage.Image // the copy

	original diskimage.Image
	idle     chan []byte // between reads
}

func (p *pair) ReadAt(b []byte, off int64) (int, error) {
	if err := readChunk(p.Image, b, off); err != nil {
		return 0, fmt.Errorf("in the copy: %w", err)
	}
	var want []byte
	select {
	case want = <-p.idle:
	default:
		want = make([]byte, chunkSize)
	}
	defer func() { p.idle <- want }()
	inside := max(0, min(int64(len(b)), p.original.Size()-off))
	if err := readChunk(p.original, want[:inside], off); err != nil {
		return 0, err
	}
	clear(want[inside:])
	if !bytes.Equal(b, want[:len(b)]) {
		for k := range b {
			if b[k] != want[k] {
				return 0, &DifferenceError{off + int64(k)}
			}
		}
	}
	return len(b), nil
}

// Extents yields what either stores.
func (p *pair) Extents() iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		type cursor struct {
			next func() (diskimage.Extent, error, bool)
			at   diskimage.Extent
			more bool
		}
		var cursors [2]cursor
		step := func(c *cursor) (err error) {
			c.at, err, c.more = c.next()
			return err
		}
		for k, img := range []diskimage.Image{p.original, p.Image} {
			next, stop := iter.Pull2(spans(img, 1))
			defer stop()
			cursors[k].next = next
			if err := step(&cursors[k]); err != nil {
				yield(diskimage.Extent{}, err)
				return
			}
		}
		one, other, end := &cursors[0], &cursors[1], int64(0)
		for one.more || other.more {
			first := one
			if !one.more || other.more && other.at.Offset < one.at.Offset {
				first = other
			}
			if e := first.at; e.End() > end {
				at := max(end, e.Offset)
				end = e.End()
				if !yield(diskimage.Extent{Offset: at, Length: end - at}, nil) {
					return
				}
			}
			if err := step(first); err != nil {
				yield(diskimage.Extent{}, err)
				return
			}
		}
	}
}
