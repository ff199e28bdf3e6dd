package vhdx

import (
	"fmt"
	"io"
	"iter"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// reader is what one ReadAt or Extents has at hand.
type reader struct {
	layers  []*layer
	cursors []cursor // by layer
}

func (i *Image) takeReader() *reader {
	select {
	case r := <-i.idle:
		return r
	default:
		return &reader{layers: i.layers, cursors: make([]cursor, len(i.layers))}
	}
}

func (i *Image) putReader(r *reader) {
	select {
	case i.idle <- r:
	default:
	}
}

// ReadAt reads the virtual disk. The bytes of a disk with sectors of 4096 bytes are given unchanged.
func (i *Image) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read the VHDX at offset %d: it cannot be negative", off)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if off >= i.Size() {
		return 0, io.EOF
	}
	r := i.takeReader()
	defer i.putReader(r)
	want := min(int64(len(p)), i.Size()-off)
	n, err := r.read(0, p[:want], off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// read fills p from the disk as it is in a layer, from an offset inside it on.
func (r *reader) read(k int, p []byte, off int64) (n int, err error) {
	l := r.layers[k]
	for n < len(p) {
		at, end := off+int64(n), off+int64(len(p))
		found, err := l.run(&r.cursors[k], at, end)
		if err != nil {
			return n, l.blame(err)
		}
		piece := p[n:][:min(found.end, end)-at]
		switch found.kind {
		case inherited:
			own := max(0, min(int64(len(piece)), r.layers[k+1].meta.size-at)) // a disk may have been made larger than its parent
			clear(piece[own:])
			if m, err := r.read(k+1, piece[:own], at); err != nil {
				return n + m, err
			}
		case stored:
			from := found.at + at - found.start
			if err := l.source.readFull(piece, from); err != nil {
				return n, l.blame(fmt.Errorf("read the VHDX block %d at byte %d: %w", at/l.meta.blockSize, from, err))
			}
		default:
			clear(piece)
		}
		n += len(piece)
	}
	return n, nil
}

// resolve finds what is at an offset of the disk as it is in a layer: zeros, or something stored in one of the layers; and how far it goes.
func (r *reader) resolve(k int, off, limit int64) (kind, int64, error) {
	l, c := r.layers[k], &r.cursors[k]
	found, err := l.run(c, off, limit)
	if err != nil {
		return hole, 0, l.blame(err)
	}
	end := min(found.end, limit)
	switch found.kind {
	case inherited:
		if off >= r.layers[k+1].meta.size {
			return hole, end, nil
		}
		return r.resolve(k+1, off, end)
	case stored:
		from := found.at - found.start // a place in the file is an offset of the disk and this
		isStored, until, err := l.inFile(c, off+from, end+from)
		if err != nil {
			return hole, 0, l.blame(err)
		}
		if !isStored {
			return hole, until - from, nil
		}
		return stored, until - from, nil
	default:
		return found.kind, end, nil
	}
}

// Extents walks the BATs of the image and its parents: runs that one of them stores, and runs of blocks that are said to be zeros. Where the source
// knows the holes of its file, they are holes of the disk too.
func (i *Image) Extents() iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		r := i.takeReader()
		defer i.putReader(r)
		var run diskimage.Extent
		for off := int64(0); off < i.Size(); {
			found, end, err := r.resolve(0, off, i.Size())
			if err != nil {
				if run.Length == 0 || yield(run, nil) {
					yield(diskimage.Extent{}, err)
				}
				return
			}
			next := diskimage.Extent{Offset: off, Length: end - off, Zero: found == zeros}
			off = end
			switch {
			case found == hole:
			case run.Length > 0 && run.End() == next.Offset && run.Zero == next.Zero:
				run.Length += next.Length
			case run.Length > 0 && !yield(run, nil):
				return
			default:
				run = next
			}
		}
		if run.Length > 0 {
			yield(run, nil)
		}
	}
}
