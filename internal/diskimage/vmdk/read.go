package vmdk

import (
	"fmt"
	"io"
	"iter"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// maxIdle is how many readers at once find their buffers again.
const maxIdle = 8

func (i *Image) takeScratch() *scratch {
	select {
	case s := <-i.idle:
		return s
	default:
		return &scratch{cursors: make([]cursor, len(i.chain))}
	}
}

func (i *Image) giveBack(s *scratch) {
	select {
	case i.idle <- s:
	default:
	}
}

// ReadAt reads the virtual disk.
func (i *Image) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case off < 0:
		return 0, fmt.Errorf("read the VMDK at offset %d: it is negative", off)
	case len(p) == 0:
		return 0, nil
	case off >= i.Size():
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), i.Size()-off)]
	s := i.takeScratch()
	defer i.giveBack(s)
	n, err := i.read(s, 0, want, off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// read reads from the disk at a depth of the chain. What lies behind the end of the chain, or of a parent, is zeros.
func (i *Image) read(s *scratch, depth int, p []byte, off int64) (n int, err error) {
	if depth == len(i.chain) {
		clear(p)
		return len(p), nil
	}
	d := i.chain[depth]
	inside := min(int64(len(p)), d.size-off) // may be negative
	for int64(n) < inside {
		e := d.find(off + int64(n))
		at := off + int64(n) - e.start
		r, err := e.run(&s.cursors[depth], at, min(inside-int64(n), e.length-at))
		if err != nil {
			return n, i.chain.blame(d, e, err)
		}
		part := p[n : int64(n)+r.length]
		switch r.kind {
		case stored:
			if err := e.read(s, r, at, part); err != nil {
				return n, i.chain.blame(d, e, err)
			}
		case absent:
			m, err := i.read(s, depth+1, part, off+int64(n))
			if err != nil {
				return n + m, err
			}
		default:
			clear(part)
		}
		n += len(part)
	}
	clear(p[n:])
	return len(p), nil
}

// Extents walks the tables: runs that are stored, and runs that are said to be zeros, in whatever disk of the chain.
func (i *Image) Extents() iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		w := walk{image: i, cursors: make([]cursor, len(i.chain)), yield: yield}
		if w.over(0, 0, i.Size()) {
			w.flush()
		}
	}
}

// walk is one loop over the extents of an image.
type walk struct {
	image   *Image
	cursors []cursor // by depth
	found   diskimage.Extent
	yield   func(diskimage.Extent, error) bool
}

// over walks a range of the disk at a depth, and tells whether there is more to do.
func (w *walk) over(depth int, from, to int64) bool {
	if depth == len(w.image.chain) {
		return true
	}
	d := w.image.chain[depth]
	for to = min(to, d.size); from < to; {
		e := d.find(from)
		r, err := e.run(&w.cursors[depth], from-e.start, min(to, e.start+e.length)-from)
		more := true
		switch {
		case err != nil:
		case r.kind == absent:
			more = w.over(depth+1, from, from+r.length)
		case r.file != nil:
			more, err = w.addFile(&w.cursors[depth].known.data, from, r)
		default:
			more = w.add(diskimage.Extent{Offset: from, Length: r.length, Zero: r.kind == zeros})
		}
		if err != nil && w.flush() {
			w.yield(diskimage.Extent{}, w.image.chain.blame(d, e, err))
		}
		if err != nil || !more {
			return false
		}
		from += r.length
	}
	return true
}

// addFile adds what a sparse file really stores of a run. Its holes are zeros, whatever a parent has there.
func (w *walk) addFile(known *storedRun, from int64, r run) (more bool, err error) {
	for to := from + r.length; from < to; {
		isStored, end, err := known.find(r.file, r.at)
		if err != nil {
			return false, fmt.Errorf("find the holes of the file behind byte %d: %w", r.at, err)
		}
		n := min(to-from, end-r.at)
		if isStored && !w.add(diskimage.Extent{Offset: from, Length: n}) {
			return false, nil
		}
		from, r.at = from+n, r.at+n
	}
	return true, nil
}

// add merges, up to the next cut.
func (w *walk) add(e diskimage.Extent) bool {
	if w.found.Length > 0 && w.found.End() == e.Offset && w.found.Zero == e.Zero {
		w.found.Length += e.Length
	} else {
		more := w.flush()
		w.found = e
		if !more {
			return false
		}
	}
	return w.found.End()%diskimage.Cut != 0 || w.flush()
}

func (w *walk) flush() bool {
	e := w.found
	w.found = diskimage.Extent{}
	return e.Length == 0 || w.yield(e, nil)
}
