package imagesource

const (
	// aheadPages are what is read ahead at most, 12 MiB: eight requests of their largest size are under way then.
	aheadPages = 768
	// maxRequests bounds the requests under way: while there are as many, nothing is read ahead.
	maxRequests = aheadPages / requestPages
	// nearby is how far from each other the workers of a conversion read at the same time.
	nearby = 8 << 20
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

// note gives the run that a read belongs to; one that belongs to none begins one, in the place of the one that was left alone longest.
func (a *readAhead) note(off, n int64) *run {
	a.reads++
	oldest := &a.runs[0]
	for k := range a.runs {
		r := &a.runs[k]
		if r.read > 0 && off >= r.end-2*nearby && off <= r.end+nearby {
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

// extend asks for what comes next in a run. An image whose parts lie in no order gains nothing by that, and must not be fetched twice for it: what
// was read ahead in vain stays within 4 MiB and 1/64 of all.
func (b *pages) extend(r *run) {
	pages := (b.size + pageSize - 1) / pageSize
	length := min(r.end-r.start, r.read) // neither the gaps in it count, nor what was read again
	ahead := min(aheadPages, length/pageSize)
	target := min(r.end/pageSize+ahead, (r.start+2*length)/pageSize, pages)
	for b.ctx.Err() == nil && r.next < target && b.running < maxRequests {
		if b.held[r.next] != nil {
			r.next++
			continue
		}
		// One large request and not many small ones: it waits until there is enough to ask for, and room.
		piece := min(requestPages, max(1, ahead/2), pages-r.next)
		if target-r.next < piece || b.wasted > 256+b.asked/64 {
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
