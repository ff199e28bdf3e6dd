package vhd

import (
	"fmt"
	"io"
	"iter"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// ReadAt reads the virtual disk.
func (i *Image) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read the VHD at offset %d: it is negative", off)
	}
	if off >= i.size && len(p) > 0 {
		return 0, io.EOF
	}
	want := p[:max(0, min(int64(len(p)), i.size-off))]
	n, err := i.read(want, off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// read reads all of p, which may reach behind the end of the disk: a child may be larger than its parent, and there are zeros then. Without an error n
// is its length.
func (i *Image) read(p []byte, off int64) (n int, err error) {
	inside := p[:max(0, min(int64(len(p)), i.size-off))]
	if i.table == nil {
		if err := diskimage.ReadFull(i.file, inside, off); err != nil {
			return 0, fmt.Errorf("read %d bytes of the VHD at byte %d: %w", len(inside), off, err)
		}
	} else if n, err := i.readBlocks(inside, off); err != nil {
		return n, err
	}
	clear(p[len(inside):])
	return len(p), nil
}

// readBlocks reads each piece that lies together in the file at once.
func (i *Image) readBlocks(p []byte, off int64) (n int, err error) {
	w := i.takeWindow()
	defer i.giveBack(w)
	for end := off + int64(len(p)); n < len(p); {
		from := off + int64(n)
		at, to, err := i.table.piece(w, from, end)
		if err != nil {
			return n, err
		}
		part := p[n : n+int(to-from)]
		switch {
		case at != 0:
			if err := diskimage.ReadFull(i.file, part, at); err != nil {
				return n, fmt.Errorf("read block %d of the VHD at byte %d: %w", from/i.table.blockSize, at, err)
			}
		case i.parent != nil:
			if m, err := i.parent.read(part, from); err != nil {
				return n + m, in(i.parent.name, err)
			}
		default:
			clear(part)
		}
		n += len(part)
	}
	return n, nil
}

func (i *Image) takeWindow() *window {
	select {
	case w := <-i.idle:
		return w
	default:
		return newWindow()
	}
}

func (i *Image) giveBack(w *window) {
	select {
	case i.idle <- w:
	default:
	}
}

// Extents yields what the disk and those that it differs from store, but for the holes of their files.
func (i *Image) Extents() iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		var windows []*window // one for each disk of the chain
		for disk := i; ; disk = disk.parent.Image {
			if windows = append(windows, newWindow()); disk.parent == nil {
				break
			}
		}
		run := diskimage.Extent{}
		more, err := i.walk(windows, 0, i.size, func(e diskimage.Extent) bool {
			if run.Length > 0 && run.End() == e.Offset {
				run.Length += e.Length
				return true
			}
			last := run
			run = e
			return last.Length == 0 || yield(last, nil)
		})
		switch {
		case !more && err == nil, run.Length > 0 && !yield(run, nil):
		case err != nil:
			yield(diskimage.Extent{}, err)
		}
	}
}

// walk emits the runs of a range of the disk that are stored, by it or by those that it differs from, until emit is false; more is false then.
func (i *Image) walk(windows []*window, from, to int64, emit func(diskimage.Extent) bool) (more bool, err error) {
	to = min(to, i.size)
	if i.table == nil {
		for e, err := range diskimage.StoredRuns(i.file, from, to-from) {
			if err != nil || !emit(e) {
				return false, err
			}
		}
		return true, nil
	}
	for from < to {
		at, end, err := i.table.piece(windows[0], from, to)
		if err != nil {
			return false, err
		}
		if at != 0 {
			isStored, until, err := windows[0].known.Find(i.file, at, i.table.dataEnd)
			if err != nil {
				return false, err
			}
			end = min(end, from+until-at)
			if isStored && !emit(diskimage.Extent{Offset: from, Length: end - from}) {
				return false, nil
			}
		} else if i.parent != nil {
			if more, err := i.parent.walk(windows[1:], from, end, emit); err != nil {
				return false, in(i.parent.name, err)
			} else if !more {
				return false, nil
			}
		}
		from = end
	}
	return true, nil
}
