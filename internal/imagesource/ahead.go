package imagesource

const (
	// aheadPages are what is read ahead at most, 12 MiB: eight requests of their largest size are under way then.
	aheadPages = 768
	// maxRequests bounds the requests under way: while there are as many, nothing is read ahead.
	maxRequests = aheadPages / requestPages
	// before and behind the end of a run are the reads that belong to it: the workers of a conversion take one small piece after the other, and the
	// slowest is not far behind.
	before, behind = 512 << 10, 4 << 20
	// maxRuns is how many runs are told apart: the data of an image, its tables, and what is read once in between.
	maxRuns = 4
)

// readAhead knows the runs of an object that are being read from front to back, and asks for their pages before they are read: as far ahead as was
// read so far, so that it costs little to be wrong.
type readAhead struct {
	runs   [maxRuns]run
	reads  int64
	clock  int64 // counts the pages that were read
	asked  int64 // pages, in all
	wasted int64 // pages that were dropped without being read
}

// run is a part of the object that is read from front to back, roughly: several workers do it.
type run struct {
	start, end int64 // of what was read
	read       int64 // how many bytes were
	next       int64 // the page to be asked for next
	used       int64 // when it was read last
}

// length is how far it has come: neither gaps count, nor what was read again.
func (r *run) length() int64 { return min(r.end-r.start, r.read) }

// note gives the run that a read belongs to; one that belongs to none begins one, in the place of the one that was left alone longest.
func (a *readAhead) note(off, n int64) *run {
	a.reads++
	oldest := &a.runs[0]
	for k := range a.runs {
		r := &a.runs[k]
		if r.end > 0 && off >= r.end-behind && off <= r.end+before {
			r.end, r.read, r.used = max(r.end, off+n), r.read+n, a.reads
			return r
		}
		if r.used < oldest.used {
			oldest = r
		}
	}
	*oldest = run{start: off, end: off + n, read: n, next: off / pageSize, used: a.reads}
	return oldest
}

// restart forgets the runs, so that reading ahead begins anew, with small steps: what was read ahead did not come.
func (a *readAhead) restart() { a.runs = [maxRuns]run{} }

// far is how many pages are to be read ahead: as much as was read of the run.
func (r *run) far() int64 { return min(aheadPages, r.length()/pageSize) }

// piece is how many pages are asked for together: one large request and not many small ones.
func (r *run) piece() int64 { return min(requestPages, max(1, r.far()/2)) }

// vain says that too much was read ahead in vain. That stays within 4 MiB and 1/64 of all, so that an image whose parts lie in no order is not
// fetched twice for it.
func (a *readAhead) vain() bool { return a.wasted > 256+a.asked/64 }

// miss asks for pages that a read waits for, and those that the run will need next.
func (b *pages) miss(r *run, index, last int64) bool {
	to := last + 1
	if !b.vain() {
		to = max(to, min(index+r.piece(), (b.size+pageSize-1)/pageSize))
	}
	r.next = max(r.next, index) // what lies before it is passed over
	return b.ask(index, to, false) > 0
}

// extend asks for what comes next in a run.
func (b *pages) extend(r *run) {
	pages := (b.size + pageSize - 1) / pageSize
	target := min(r.end/pageSize+r.far(), pages)
	for b.ctx.Err() == nil && r.next < target && b.running < maxRequests {
		if b.held[r.next] != nil {
			r.next++
			continue
		}
		piece := min(r.piece(), pages-r.next)
		if target-r.next < piece || b.vain() { // it waits until there is enough to ask for
			return
		}
		for b.unread.Len()+int(piece) > aheadPages {
			if !b.dropPassed() {
				return
			}
		}
		n := b.ask(r.next, r.next+piece, true)
		if n == 0 {
			return
		}
		r.next += n
	}
}

// dropPassed drops a page that was read ahead where the reads have passed it by.
func (b *pages) dropPassed() bool {
	e := b.unread.Front()
	if e == nil {
		return false
	}
	g, _ := e.Value.(*page)
	return b.clock-g.asked > 2*aheadPages && b.drop(e)
}
