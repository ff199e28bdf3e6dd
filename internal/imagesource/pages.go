package imagesource

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// pageSize is the unit that is kept: small, because tables lie strewn between the data of an image, and an entry must not cost more than it has to.
	pageSize = 16 << 10
	// pageCount bounds an object's memory to 16 MiB, whatever its size and the number of readers.
	pageCount = 1024
	// requestPages are what one request asks for at most, 1.5 MiB: enough that a round trip does not matter where several are under way.
	requestPages = 96
	// pageTries is how often a page that is waited for is asked for when the connection breaks before it arrives.
	pageTries = 3
	// requestTimeout ends a request whose server stops sending: far more than 1.5 MiB take on a poor line.
	requestTimeout = 5 * time.Minute
)

// pages makes a ReaderAt of ranged requests that run beside the reads: a page can be read as soon as it has arrived, while the rest of its request
// is on its way. Readers share the pages, and one that several of them want is fetched once.
type pages struct {
	ctx      context.Context
	cancel   context.CancelCauseFunc
	location Location
	size     int64
	fetch    fetch

	mu      sync.Mutex
	news    sync.Cond // a page that is waited for has arrived or failed, or there may be room
	failed  error     // once seen, it is the answer to every read
	held    map[int64]*page
	unread  list.List // of *page: on their way, or not read yet, in the order of the requests
	read    list.List // of *page: the others, in the order in which they are dropped
	free    []*page
	cramped int // readers that wait for room
	running int // requests

	readAhead
}

// page is a part of the object in memory or on its way. All is guarded by pages.mu but data, which is the request's until the page is ready, and
// then stays as it is while there are readers.
type page struct {
	index   int64
	data    []byte
	request *request
	ready   bool
	readers int
	begun   bool  // it is of pages.read
	upTo    int   // where the reads have come that began in front
	asked   int64 // by the clock of readAhead
	place   *list.Element
}

// request is one for neighbouring pages.
type request struct {
	pages []*page
	ahead bool  // nobody has asked for them yet
	err   error // why the pages that are not ready will not be
}

func newPages(ctx context.Context, l Location, size int64, fetch fetch) ranged {
	b := &pages{location: l, size: size, fetch: fetch, held: map[int64]*page{}}
	b.ctx, b.cancel = context.WithCancelCause(ctx)
	b.news.L = &b.mu
	return b
}

func (b *pages) ReadAt(p []byte, off int64) (int, error) {
	want, end := checkRange(len(p), off, b.size)
	if want == 0 {
		return 0, end
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	last := (off + int64(want) - 1) / pageSize
	run := b.note(off, int64(want))
	for n := 0; n < want; {
		at := off + int64(n)
		g, err := b.get(run, at/pageSize, last)
		if err != nil {
			return n, err
		}
		b.extend(run)
		b.mu.Unlock()
		from := int(at % pageSize)
		m := copy(p[n:want], g.data[from:])
		b.mu.Lock()
		b.release(g, from, from+m)
		n += m
	}
	return want, end
}

func (b *pages) close() {
	b.cancel(errClosed)
	b.mu.Lock() // who starts requests holds it, and looks at the context first
	defer b.mu.Unlock()
	for b.running > 0 {
		b.news.Wait()
	}
}

// get gives a page, which stays in memory until it is released. Where it is not there it is asked for, with those behind it that the same read needs.
func (b *pages) get(r *run, index, last int64) (*page, error) {
	for {
		if err := b.ended(); err != nil {
			return nil, err
		}
		g := b.held[index]
		if g == nil {
			if !b.miss(r, index, last) {
				b.cramped++
				b.news.Wait()
				b.cramped--
			}
			continue
		}
		g.readers++
		for !g.ready && g.request.err == nil { // a request ends with the context
			b.news.Wait()
		}
		if g.ready {
			return g, nil
		}
		g.readers--
		if !g.request.ahead {
			return nil, g.request.err
		}
	}
}

// ended says why nothing more is read.
func (b *pages) ended() error {
	switch {
	case b.failed != nil:
		return b.failed
	case b.ctx.Err() != nil:
		return fmt.Errorf("%s: %w", b.location, context.Cause(b.ctx))
	}
	return nil
}

// ask starts a request for the pages from one that is not there to another that is, or that there is no room for, and says how many they are.
func (b *pages) ask(from, behind int64, ahead bool) int64 {
	r := &request{ahead: ahead}
	for index := from; index < min(behind, from+requestPages) && b.held[index] == nil && b.room(!ahead); index++ {
		r.pages = append(r.pages, b.add(index, r))
	}
	if len(r.pages) > 0 {
		b.running++
		go b.load(r)
	}
	return int64(len(r.pages))
}

// add makes a page, of the memory of a dropped one where there is one.
func (b *pages) add(index int64, r *request) *page {
	var g *page
	if last := len(b.free) - 1; last >= 0 {
		g, b.free = b.free[last], b.free[:last]
	} else {
		g = &page{data: make([]byte, 0, pageSize)}
	}
	*g = page{index: index, data: g.data[:min(pageSize, b.size-index*pageSize)], request: r, asked: b.clock}
	b.asked++
	g.place = b.unread.PushBack(g)
	b.held[index] = g
	return g
}

// release ends a read of a part. A page that was read from front to back is the first to be dropped: it was one of data. Parts of tables come again.
func (b *pages) release(g *page, from, to int) {
	if !g.begun {
		b.unread.Remove(g.place)
		g.begun, g.place = true, b.read.PushBack(g)
		b.clock++
	}
	g.readers--
	if from <= g.upTo {
		g.upTo = max(g.upTo, to)
	}
	if g.upTo == len(g.data) {
		b.read.MoveToFront(g.place)
	} else {
		b.read.MoveToBack(g.place)
	}
	if b.cramped > 0 {
		b.news.Broadcast()
	}
}

// room says whether there is room for a page, or can be made. For one that is waited for, one that was read ahead goes if it must be.
func (b *pages) room(must bool) bool {
	if len(b.held) < pageCount {
		return true
	}
	for e := b.read.Front(); e != nil; e = e.Next() {
		if b.drop(e) {
			return true
		}
	}
	if b.dropPassed() {
		return true
	}
	for e := b.unread.Back(); must && e != nil; e = e.Prev() {
		if b.drop(e) {
			return true
		}
	}
	return false
}

// drop forgets a page that is there and that nobody reads.
func (b *pages) drop(e *list.Element) bool {
	g, _ := e.Value.(*page)
	if !g.ready || g.readers > 0 {
		return false
	}
	b.forget(g)
	if !g.begun {
		b.wasted++
	}
	b.free = append(b.free, g)
	return true
}

func (b *pages) forget(g *page) {
	delete(b.held, g.index)
	if g.begun {
		b.read.Remove(g.place)
	} else {
		b.unread.Remove(g.place)
	}
}

// load carries a request to its end. What has arrived is not asked for again when the connection breaks. Reading ahead is not worth a second try:
// who needs the pages asks for them, with tries of its own.
func (b *pages) load(r *request) {
	tries := pageTries
	if r.ahead {
		tries = 1
	}
	left, err := r.pages, error(nil)
	for try := 1; ; try++ {
		var n int
		n, err = b.fill(left)
		if left = left[n:]; n > 0 {
			try = 0
		}
		if !errors.Is(err, errInterrupted) || b.ctx.Err() != nil {
			break
		}
		if r.ahead || try == tries {
			err = fmt.Errorf("%w, %d times over: try again later", err, tries)
			break
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running--
	if err == nil && b.ctx.Err() == nil {
		return
	}
	if ended := b.ended(); ended != nil {
		err = ended
	} else if errors.Is(err, ErrChanged) || errors.Is(err, errNoRanges) {
		b.failed = err
		b.cancel(err)
	}
	r.err = err
	for _, g := range left {
		b.forget(g)
	}
	if r.ahead {
		b.restart()
	}
	b.news.Broadcast()
}

// fill gets neighbouring pages by one request and says how many of them have arrived.
func (b *pages) fill(left []*page) (int, error) {
	ctx, cancel := context.WithTimeout(b.ctx, requestTimeout)
	defer cancel()
	last := left[len(left)-1]
	off := left[0].index * pageSize
	body, err := b.fetch(ctx, off, last.index*pageSize+int64(len(last.data))-off)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	for n, g := range left {
		if err := readWhole(b.location, body, g.data); err != nil {
			return n, err
		}
		if g == last {
			if err := readEnd(b.location, body); err != nil {
				return n, err
			}
		}
		b.arrived(g)
	}
	return len(left), nil
}

func (b *pages) arrived(g *page) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g.ready = true
	if g.readers > 0 || b.cramped > 0 {
		b.news.Broadcast()
	}
}
