package diskimage

import (
	"errors"
	"fmt"
	"io"
	"iter"
)

// DataMap is what a source may know of itself: which of its bytes a sparse file really stores. What lies between reads as zeros.
type DataMap interface {
	// NextData is the first run of stored bytes that ends behind the offset; io.EOF where there is none.
	NextData(off int64) (start, end int64, err error)
}

// StoredRuns yields the runs of a range of r that are stored, ordered and inside the range: all of it where r has no map. A range that r ends in front
// of is an error there, as when it is read. A non-nil error is the last value yielded.
func StoredRuns(r io.ReaderAt, off, length int64) iter.Seq2[Extent, error] {
	return func(yield func(Extent, error) bool) {
		end := off + length
		m, ok := r.(DataMap)
		if !ok {
			if length > 0 {
				yield(Extent{Offset: off, Length: length}, nil)
			}
			return
		}
		for off < end {
			from, to, err := m.NextData(off)
			if errors.Is(err, io.EOF) {
				// A file that was cut looks like one with a hole at its end, to its map alone.
				if err := ReadFull(r, make([]byte, 1), end-1); err != nil {
					yield(Extent{}, fmt.Errorf("read byte %d of the file: %w", end-1, err))
				}
				return
			}
			if err == nil && to <= max(from, off) {
				err = fmt.Errorf("find the data behind byte %d of the file: a run from %d to %d: this is a bug of its map", off, from, to)
			}
			if err != nil {
				yield(Extent{}, err)
				return
			}
			from, to = max(from, off), min(to, end)
			if from >= end || !yield(Extent{Offset: from, Length: to - from}, nil) {
				return
			}
			off = to
		}
	}
}

// StoredRun is the run of a source around the place that was asked for last: stored, or a hole. Where it ends is asked for once, because the answer
// may take a walk over all of it. The zero value knows nothing. It is for one source, and for one goroutine.
type StoredRun struct {
	from, to int64
	stored   bool
}

// Find tells whether r, whose length is size, stores the byte at an offset in front of it, and where the run ends that it is in.
func (s *StoredRun) Find(r io.ReaderAt, at, size int64) (stored bool, end int64, err error) {
	if s.from <= at && at < s.to {
		return s.stored, s.to, nil
	}
	found := StoredRun{from: at, to: size}
	for e, err := range StoredRuns(r, at, size-at) {
		switch {
		case err != nil:
			return false, 0, err
		case e.Offset > at:
			found.to = e.Offset
		default:
			found.to, found.stored = e.End(), true
		}
		break //nolint:staticcheck // the first run decides
	}
	*s = found
	return s.stored, s.to, nil
}
