package imagesource

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"
)

// line is the way to a server: every request waits for its answer, and each connection has a bandwidth of its own. Time passes as it does in a bubble
// of synctest.
type line struct {
	object    io.ReaderAt
	size      int64
	latency   time.Duration
	bandwidth int64 // bytes a second; 0: any

	// before may hold a request up, or fail it. behind says what ends an answer in the place of io.EOF, after how many of its bytes.
	before func(ctx context.Context, off, n int64) error
	behind func(off, n int64) (int64, error)

	mu sync.Mutex
	figures
}

type figures struct {
	requests int
	bytes    int64
	now      int // requests under way
	most     int
}

func (l *line) seen() figures {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.figures
}

func (l *line) fetch(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	l.mu.Lock()
	l.requests++
	l.bytes += n
	l.now++
	l.most = max(l.most, l.now)
	l.mu.Unlock()
	a := &answer{line: l, ctx: ctx, SectionReader: io.NewSectionReader(l.object, off, n), err: io.EOF}
	err := wait(ctx, l.latency)
	if err == nil && l.before != nil {
		err = l.before(ctx, off, n)
	}
	if err != nil {
		_ = a.Close()
		return nil, err
	}
	if l.behind != nil {
		if n, a.err = l.behind(off, n); a.err != nil {
			a.SectionReader = io.NewSectionReader(l.object, off, n)
		} else {
			a.err = io.EOF
		}
	}
	return a, nil
}

type answer struct {
	*io.SectionReader

	line *line
	ctx  context.Context
	err  error
}

func (a *answer) Read(p []byte) (int, error) {
	n, err := a.SectionReader.Read(p)
	if err != nil {
		return n, a.err
	}
	if a.line.bandwidth > 0 {
		err = wait(a.ctx, a.line.takes(int64(n)))
	}
	return n, err
}

func (a *answer) Close() error {
	a.line.mu.Lock()
	defer a.line.mu.Unlock()
	a.line.now--
	return nil
}

func (l *line) takes(n int64) time.Duration {
	return time.Duration(int64(time.Second) / l.bandwidth * n)
}

// plain is how long one GET of the whole object takes.
func (l *line) plain() time.Duration { return l.latency + l.takes(l.size) }

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// open gives a reader over the line, which ends with the test and leaves nothing running.
func (l *line) open(ctx context.Context, t *testing.T) *pages {
	t.Helper()
	b := newPages(ctx, Location{Bucket: "b", Key: "k"}, l.size, l.fetch).(*pages)
	t.Cleanup(func() { b.close() })
	return b
}
