package imagesource

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

const (
	// lookBudget is what a look takes over the network at most, whatever the image claims (P19): it stands before every import, in every plan.
	lookBudget = 1 << 20
	// lookBlock is the unit of looking: headers and footers lie apart, and the part of a table that is looked at is rarely longer.
	lookBlock = 32 << 10
)

// ErrBudget ends the reads of a look. It says nothing about the image.
var ErrBudget = errors.New("a look reads 1 MiB at most")

// Look opens the object as Open does, for one who wants to know what it is: its reads take small ranges of it, and less than 1 MiB in all; the
// read that would take more fails with ErrBudget. A file in a directory costs nothing to read and has no such bound.
func (o *Opener) Look(ctx context.Context, l Location) (*Object, error) {
	return o.open(ctx, l, newLook)
}

// reading makes a ReaderAt of ranged requests.
type reading func(ctx context.Context, l Location, size int64, fetch fetch) ranged

// look keeps what it has read, which is never more than its budget.
type look struct {
	ctx      context.Context
	cancel   context.CancelCauseFunc
	location Location
	size     int64
	fetch    fetch

	mu     sync.Mutex
	left   int64
	blocks map[int64][]byte
}

func newLook(ctx context.Context, l Location, size int64, fetch fetch) ranged {
	// One byte less: openHTTPS has taken the first one.
	ctx, cancel := context.WithCancelCause(ctx)
	return &look{ctx: ctx, cancel: cancel, location: l, size: size, fetch: fetch, left: lookBudget - 1, blocks: map[int64][]byte{}}
}

func (k *look) ReadAt(p []byte, off int64) (int, error) {
	want, end := checkRange(len(p), off, k.size)
	if want == 0 {
		return 0, end
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	first, last := off/lookBlock, (off+int64(want)-1)/lookBlock
	for index := first; index <= last; index++ {
		if _, ok := k.blocks[index]; ok {
			continue
		}
		behind := index + 1
		for _, ok := k.blocks[behind]; behind <= last && !ok; _, ok = k.blocks[behind] {
			behind++
		}
		if err := k.take(index, behind); err != nil {
			return 0, err
		}
		index = behind
	}
	n := 0
	for n < want {
		at := off + int64(n)
		n += copy(p[n:want], k.blocks[at/lookBlock][at%lookBlock:])
	}
	return n, end
}

func (k *look) close() { k.cancel(errClosed) }

// take fetches neighbouring blocks with one request. It is not repeated: what came of a broken one counts too, and who looks can do without.
func (k *look) take(first, behind int64) error {
	at := first * lookBlock
	length := min(behind*lookBlock, k.size) - at
	if length > k.left {
		return fmt.Errorf("%s: %w, and is not done at byte %d", k.location, ErrBudget, at)
	}
	k.left -= length
	b := make([]byte, length)
	body, err := k.fetch(k.ctx, at, length)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := readWhole(k.location, body, b); err != nil {
		return err
	}
	for index := first; index < behind; index++ {
		k.blocks[index] = b[:min(lookBlock, int64(len(b)))]
		b = b[len(k.blocks[index]):]
	}
	return nil
}
