package imagesource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// blockSize is the unit of reading over the network, large enough that a round trip does not matter.
	blockSize = 4 << 20
	// blockCount bounds an object's memory to 16 MiB, whatever the number of readers: the workers of a conversion read near each other.
	blockCount = 4
	// blockTries is how often a block is asked for when the connection breaks while it arrives.
	blockTries = 3
	// blockTimeout ends a request whose server stops sending: far more than 4 MiB take on a poor line.
	blockTimeout = 5 * time.Minute
)

// errInterrupted marks a failure of the connection in the middle of an answer. Nothing was wrong with the request: it is worth repeating.
var errInterrupted = errors.New("the connection broke")

// blocks makes a ReaderAt of ranged requests. Readers share the blocks, and a block that several of them want is fetched once.
type blocks struct {
	ctx      context.Context
	location Location
	size     int64
	fetch    fetch

	mu      sync.Mutex
	slots   map[int64]*slot
	free    [][]byte
	clock   int64
	changed error         // once seen, it is the answer to every read
	freed   chan struct{} // closed and replaced when a slot may have become free
}

// slot is a block in memory or on its way. All but data and err is guarded by blocks.mu; those two are written before done is closed.
type slot struct {
	done    chan struct{}
	data    []byte
	err     error
	readers int
	used    int64
}

func newBlocks(ctx context.Context, l Location, size int64, fetch fetch) io.ReaderAt {
	return &blocks{ctx: ctx, location: l, size: size, fetch: fetch, slots: map[int64]*slot{}, freed: make(chan struct{})}
}

func (b *blocks) ReadAt(p []byte, off int64) (int, error) {
	want, end := checkRange(len(p), off, b.size)
	n := 0
	for n < want {
		at := off + int64(n)
		s, err := b.acquire(at / blockSize)
		if err != nil {
			return n, err
		}
		n += copy(p[n:want], s.data[at%blockSize:])
		b.release(s)
	}
	return n, end
}

// acquire gives the block, which stays in memory until it is released.
func (b *blocks) acquire(index int64) (*slot, error) {
	for {
		if b.ctx.Err() != nil {
			return nil, fmt.Errorf("%s: %w", b.location, context.Cause(b.ctx))
		}
		b.mu.Lock()
		if b.changed != nil {
			b.mu.Unlock()
			return nil, b.changed
		}
		b.clock++
		s, ok := b.slots[index]
		if !ok && b.makeRoom() {
			s = &slot{done: make(chan struct{}), data: b.buffer(index), readers: 1, used: b.clock}
			b.slots[index] = s
			b.mu.Unlock()
			return b.load(index, s)
		}
		if ok {
			s.readers++
			s.used = b.clock
			b.mu.Unlock()
			<-s.done // the fetch ends with the context
			if s.err != nil {
				return nil, s.err
			}
			return s, nil
		}
		freed := b.freed
		b.mu.Unlock()
		select {
		case <-freed:
		case <-b.ctx.Done():
		}
	}
}

func (b *blocks) release(s *slot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.readers--
	if s.readers == 0 {
		b.wake()
	}
}

func (b *blocks) wake() {
	close(b.freed)
	b.freed = make(chan struct{})
}

// makeRoom drops the block that was idle longest when all slots are taken. It says whether there is a free slot; b.mu is held.
func (b *blocks) makeRoom() bool {
	if len(b.slots) < blockCount {
		return true
	}
	oldest := int64(-1)
	for index, s := range b.slots {
		if s.readers == 0 && (oldest < 0 || s.used < b.slots[oldest].used) {
			oldest = index
		}
	}
	if oldest < 0 {
		return false
	}
	b.free = append(b.free, b.slots[oldest].data[:0])
	delete(b.slots, oldest)
	return true
}

// buffer gives memory for a block, that of a dropped one where there is one; b.mu is held.
func (b *blocks) buffer(index int64) []byte {
	n := min(blockSize, b.size-index*blockSize)
	if last := len(b.free) - 1; last >= 0 {
		p := b.free[last]
		b.free = b.free[:last]
		if int64(cap(p)) >= n {
			return p[:n]
		}
	}
	return make([]byte, n)
}

// load fetches a block for all who wait for it. A block that could not be had is forgotten, so that the next read asks again.
func (b *blocks) load(index int64, s *slot) (*slot, error) {
	err := b.fetchAgain(s.data, index*blockSize)
	s.err = err
	b.mu.Lock()
	if err != nil {
		delete(b.slots, index)
		b.wake()
		if errors.Is(err, ErrChanged) {
			b.changed = err
		}
	}
	b.mu.Unlock()
	close(s.done)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// fetchAgain repeats what the retries below cannot: they end where an answer's body begins.
func (b *blocks) fetchAgain(p []byte, off int64) error {
	var err error
	for range blockTries {
		ctx, cancel := context.WithTimeout(b.ctx, blockTimeout)
		err = b.fetch(ctx, p, off)
		cancel()
		if b.ctx.Err() != nil {
			return fmt.Errorf("%s: %w", b.location, context.Cause(b.ctx))
		}
		if !errors.Is(err, errInterrupted) {
			return err
		}
	}
	return fmt.Errorf("%w, %d times over: try again later", err, blockTries)
}

// readWhole fills p from a body that must hold exactly as many bytes.
func readWhole(l Location, body io.Reader, p []byte) error {
	n, err := io.ReadFull(body, p)
	if err != nil {
		return fmt.Errorf("%s: %w after %d of %d bytes: %w", l, errInterrupted, n, len(p), err)
	}
	return nil
}

// checkContentRange compares "bytes 0-9/100" with what was asked for. Some servers answer a range with the whole object, or with another part:
// taking those bytes would corrupt the image silently.
func checkContentRange(l Location, got string, off int64, n int, size int64) error {
	want := fmt.Sprintf("bytes %d-%d/%d", off, off+int64(n)-1, size)
	if got == want {
		return nil
	}
	var first, last, total int64
	if _, err := fmt.Sscanf(got, "bytes %d-%d/%d", &first, &last, &total); err == nil && total != size {
		return fmt.Errorf("%s: %w: its size was %d bytes and is now %d: import again when nothing writes to it", l, ErrChanged, size, total)
	}
	return fmt.Errorf("%s: the server answered a request for %q with %q: it does not serve ranges of objects, so copy the image elsewhere",
		l, want, got)
}
