package imagesource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// counted is an object of any size that repeats noise. The length of that is a prime number: where pages are mistaken for each other, they differ.
type counted struct{}

var repeated = noise(1<<20 + 7)

func (counted) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		n += copy(p[n:], repeated[(off+int64(n))%int64(len(repeated)):])
	}
	return n, nil
}

// check reads a part and compares it.
func check(t *testing.T, b *pages, off int64, n int) {
	t.Helper()
	p := make([]byte, n)
	got, err := b.ReadAt(p, off)
	right := true
	for at := 0; at < n && right; {
		want := repeated[(off+int64(at))%int64(len(repeated)):]
		want = want[:min(len(want), n-at)]
		right = bytes.Equal(p[at:at+len(want)], want)
		at += len(want)
	}
	if got != n || err != nil || !right {
		t.Errorf("%d bytes at %d: read %d, %v, right: %v", n, off, got, err, right)
	}
}

// bubble runs a test with an object over a line in a bubble, which also sees that nothing is left running.
func bubble(t *testing.T, size int64, test func(t *testing.T, l *line, b *pages)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &line{object: counted{}, size: size, latency: 20 * time.Millisecond}
		test(t, l, l.open(t.Context(), t))
	})
}

const tib = 1 << 40

// TestPagesBoundMemory: neither the size of the object, nor that of a read, nor the number of readers takes more memory.
func TestPagesBoundMemory(t *testing.T) {
	bubble(t, 15*tib, func(t *testing.T, l *line, b *pages) {
		var wg sync.WaitGroup
		bounded := func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			if n := len(b.held) + len(b.free); n > pageCount || len(b.held) != b.unread.Len()+b.read.Len() || b.unread.Len() > pageCount {
				t.Errorf("%d pages are held and %d free, %d and %d in the lists", len(b.held), len(b.free), b.unread.Len(), b.read.Len())
			}
		}
		for i := range 32 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 1))
				for range 2 {
					check(t, b, r.Int64N(l.size-mib), mib)
					bounded()
				}
			})
		}
		wg.Wait()
		check(t, b, 3*tib+1, (pageCount+2*requestPages)*pageSize)
		bounded()
		if l.seen().most > maxRequests+2*32 { // each may have got all of its last one, and asked for the next
			t.Errorf("%d requests at a time", l.seen().most)
		}
	})
}

// TestPagesReuseMemory: once all pages that are kept have been made, others take their memory. What is left to allocate is little for each request.
func TestPagesReuseMemory(t *testing.T) {
	bubble(t, tib, func(t *testing.T, l *line, b *pages) {
		p := make([]byte, 256<<10)
		read := func(from, length int64) (allocated uint64) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for at := from; at < from+length; at += int64(len(p)) {
				if _, err := b.ReadAt(p, at); err != nil {
					t.Fatal(err)
				}
			}
			runtime.ReadMemStats(&after)
			return after.TotalAlloc - before.TotalAlloc
		}
		read(0, 2*pageCount*pageSize)
		const length = 64 * mib
		if n := read(tib/2, length); n > length/32 {
			t.Errorf("%d bytes were allocated to read %d", n, length)
		}
	})
}

// TestPagesWithoutOrder: what is read ahead in vain is little, whatever the order of the reads.
func TestPagesWithoutOrder(t *testing.T) {
	for _, length := range []int{5 * pageSize, mib, 16 * mib} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			bubble(t, 15*tib, func(t *testing.T, l *line, b *pages) {
				r := rand.New(rand.NewPCG(1, 1))
				total := int64(64 * mib)
				for range total / int64(length) {
					from := r.Int64N(l.size/int64(length)) * int64(length)
					for part := min(length, mib); from%int64(length) < int64(length-part) || from%int64(length) == 0; from += int64(part) {
						check(t, b, from, part)
						if part == length {
							break
						}
					}
				}
				t.Logf("%.3f of the bytes, %d requests", float64(l.seen().bytes)/float64(total), l.seen().requests)
				if l.seen().bytes > total+total/50+pageCount*pageSize+4*mib {
					t.Errorf("%d bytes were asked for, %d were read", l.seen().bytes, total)
				}
			})
		})
	}
}

// TestPagesOfTables: entries that are far from each other, and from the data that are read at the same time, cost a page each, and are kept while the
// data go by.
func TestPagesOfTables(t *testing.T) {
	bubble(t, 64*tib, func(t *testing.T, l *line, b *pages) {
		const tables, data = tib, 96 * mib
		for at := int64(0); at < data; at += 64 << 10 {
			check(t, b, tables+at/mib*64*mib, 2048)
			check(t, b, at, 64<<10)
		}
		if most := int64(data + data/mib*pageSize + aheadPages*pageSize); l.seen().bytes > most {
			t.Errorf("%d bytes were asked for, want %d at most", l.seen().bytes, most)
		}
	})
}

// TestPagesOfOneTable: small reads, one behind the other, are read ahead too.
func TestPagesOfOneTable(t *testing.T) {
	bubble(t, tib, func(t *testing.T, l *line, b *pages) {
		const length = 16 * mib
		for at := int64(0); at < length; at += 2048 {
			check(t, b, tib/2+at, 2048)
		}
		if l.seen().requests > 60 || l.seen().bytes > length+aheadPages*pageSize {
			t.Errorf("%d requests for %d bytes", l.seen().requests, l.seen().bytes)
		}
	})
}

var errBroken = fmt.Errorf("%w: connection reset by peer", io.ErrUnexpectedEOF)

// TestPagesReadAheadBreaks: what broke before it was wanted is asked for again, and fails nothing.
func TestPagesReadAheadBreaks(t *testing.T) {
	bubble(t, 64*mib, func(t *testing.T, l *line, b *pages) {
		seen := map[int64]int{}
		l.behind = func(off, n int64) (int64, error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if seen[off]++; seen[off] < pageTries {
				return 100, errBroken
			}
			return n, nil
		}
		for at := int64(0); at < l.size; at += mib {
			check(t, b, at, mib)
		}
		if l.seen().bytes < 2*l.size {
			t.Errorf("only %d bytes were asked for: nothing broke", l.seen().bytes)
		}
	})
}

// TestPagesNeverEnd: a connection that ends before its answer is not the end of the object.
func TestPagesNeverEnd(t *testing.T) {
	bubble(t, mib, func(t *testing.T, l *line, b *pages) {
		for _, part := range []int64{0, 100} {
			l.behind = func(int64, int64) (int64, error) { return part, io.EOF }
			if n, err := b.ReadAt(make([]byte, 1), 0); n != 0 || err == nil || errors.Is(err, io.EOF) {
				t.Errorf("%d bytes, %v", n, err)
			}
		}
	})
}

// TestPagesBreak: a page that several wait for is tried for as often as it should be, once for all of them, and then again by who comes later.
func TestPagesBreak(t *testing.T) {
	bubble(t, 64*mib, func(t *testing.T, l *line, b *pages) {
		var broken bool
		l.behind = func(_, n int64) (int64, error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if broken {
				return 100, errBroken
			}
			return n, nil
		}
		broken = true
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				_, err := b.ReadAt(make([]byte, 1), 5)
				if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "s3://b/k: the connection broke after 100 of 16384 bytes") ||
					!strings.Contains(err.Error(), "3 times over: try again later") {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if l.seen().requests != pageTries {
			t.Errorf("%d requests", l.seen().requests)
		}
		broken = false
		check(t, b, 5, mib)
	})
}

// TestPagesEnd: whatever ends the reads ends those that wait, and all requests, and no other request is made.
func TestPagesEnd(t *testing.T) {
	why := errors.New("stopped by the user")
	for name, want := range map[string]error{"cancelled": why, "closed": errClosed, "changed": ErrChanged} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				held := make(chan struct{})
				l := &line{object: counted{}, size: tib}
				b := l.open(ctx, t)
				for at := int64(0); at < 32*mib; at += mib { // so that there is something to read ahead
					check(t, b, at, mib)
				}
				synctest.Wait()
				l.before = func(ctx context.Context, _, _ int64) error {
					select {
					case <-held:
						return changed(Location{Bucket: "b", Key: "k"})
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				var wg sync.WaitGroup
				for i := range int64(16) {
					wg.Go(func() {
						for at := 32*mib + i*mib; ; at += 16 * mib {
							if n, err := b.ReadAt(make([]byte, mib), at); err != nil {
								if n == mib || !errors.Is(err, want) || !strings.Contains(err.Error(), "s3://b/k") {
									t.Errorf("at %d: %d bytes, %v", at, n, err)
								}
								return
							}
						}
					})
				}
				synctest.Wait()
				if l.seen().now < maxRequests {
					t.Errorf("only %d requests are under way", l.seen().now)
				}
				switch name {
				case "cancelled":
					cancel(why)
				case "closed":
					b.close()
				case "changed":
					held <- struct{}{} // one of them is told so
				}
				wg.Wait()
				synctest.Wait()
				requests := l.seen().requests
				if l.seen().now != 0 {
					t.Errorf("%d requests are under way still", l.seen().now)
				}
				if _, err := b.ReadAt(make([]byte, 1), 31*mib); !errors.Is(err, want) {
					t.Errorf("what is at hand can be read: %v", err)
				}
				if l.seen().requests != requests {
					t.Error("another request was made")
				}
			})
		})
	}
}

// TestPagesAtOnce: a page can be read as soon as it has arrived, whatever becomes of the rest of its request.
func TestPagesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{object: counted{}, size: mib, bandwidth: mib}
		b := l.open(t.Context(), t)
		began := time.Now()
		var arrived []time.Duration
		var wg sync.WaitGroup
		wg.Go(func() { check(t, b, 0, mib) })
		synctest.Wait()
		for at := int64(0); at < mib; at += mib / 4 {
			check(t, b, at, 1)
			arrived = append(arrived, time.Since(began).Round(50*time.Millisecond))
		}
		wg.Wait()
		if want := []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond, 750 * time.Millisecond}; !slices.Equal(arrived, want) || l.seen().requests != 1 {
			t.Errorf("the quarters of a second's bytes arrived after %v, in %d requests", arrived, l.seen().requests)
		}
	})
}
