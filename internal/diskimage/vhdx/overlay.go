package vhdx

import "sort"

// write is one write that the log holds: a page of 4 KiB, or a range of zeros of any length, which is never expanded.
type write struct {
	start, end int64 // in the file
	data       int64 // where the page's data sector is in the file; 0 for zeros
	leading    [logLeadingBytes]byte
	trailing   [logTrailingBytes]byte
}

func (w *write) zero() bool { return w.data == 0 }

// overlay is the result of many writes: which of them is seen where.
type overlay struct {
	writes   []write
	segments []segment // ordered; each ends where the next begins
}

type segment struct {
	start int64
	index int32 // of the write; -1: the file's own bytes
}

// find gives the write seen at an offset, nil for none, and where that ends.
func (o *overlay) find(at int64) (*write, int64) {
	k := sort.Search(len(o.segments), func(k int) bool { return o.segments[k].start > at })
	end := int64(1<<63 - 1)
	if k < len(o.segments) {
		end = o.segments[k].start
	}
	if k == 0 || o.segments[k-1].index < 0 {
		return nil, end
	}
	return &o.writes[o.segments[k-1].index], end
}

// newOverlay settles which write is seen where: the later one. It sweeps over the file, with the writes that cover the place at hand in a heap, so
// that a log full of ranges that cover each other costs no more than any other.
func newOverlay(writes []write) *overlay {
	o := &overlay{writes: writes, segments: make([]segment, 0, 2*len(writes)+1)}
	order := make([]int32, len(writes))
	for k := range order {
		order[k] = int32(k)
	}
	sort.Slice(order, func(a, b int) bool { return writes[order[a]].start < writes[order[b]].start })
	var covering latest
	for at := int64(0); ; {
		for len(order) > 0 && writes[order[0]].start <= at {
			covering.push(order[0])
			order = order[1:]
		}
		for len(covering) > 0 && writes[covering[0]].end <= at {
			covering.pop()
		}
		switch {
		case len(covering) > 0:
			o.add(at, covering[0])
			at = writes[covering[0]].end
			if len(order) > 0 {
				at = min(at, writes[order[0]].start)
			}
		case len(order) > 0:
			o.add(at, -1)
			at = writes[order[0]].start
		default:
			o.add(at, -1)
			return o
		}
	}
}

func (o *overlay) add(at int64, index int32) {
	if n := len(o.segments); n > 0 && o.segments[n-1].index == index {
		return
	}
	o.segments = append(o.segments, segment{start: at, index: index})
}

// latest is a heap with the largest index, which is the latest write, on top.
type latest []int32

func (h *latest) push(index int32) {
	*h = append(*h, index)
	a := *h
	for k := len(a) - 1; k > 0 && a[(k-1)/2] < a[k]; k = (k - 1) / 2 {
		a[(k-1)/2], a[k] = a[k], a[(k-1)/2]
	}
}

func (h *latest) pop() {
	a := *h
	last := len(a) - 1
	a[0] = a[last]
	a = a[:last]
	*h = a
	for k := 0; ; {
		child := 2*k + 1
		if child >= len(a) {
			return
		}
		if child+1 < len(a) && a[child+1] > a[child] {
			child++
		}
		if a[k] >= a[child] {
			return
		}
		a[k], a[child] = a[child], a[k]
		k = child
	}
}
