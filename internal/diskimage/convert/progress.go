package convert

import "sync"

// Options of what walks over a disk. The zero value is good.
type Options struct {
	// Progress is told how much of the disk is done, holes included: from 0 to its size, both in bytes. How much of it is data shows only at the end:
	// adding it up first would read all tables of an image before a byte of its data, from all over a file that may be far away. It is never called
	// by two goroutines at once.
	Progress func(done, total int64)

	// Remote says that the bytes of the image come over a network. What Copy does is wait for them then, and more workers than there are processors
	// wait for more at a time: an image whose blocks lie in no order in its file is read in a third of the time.
	Remote bool
}

// meter adds up for Progress.
type meter struct {
	report func(done, total int64)
	total  int64

	mu   sync.Mutex
	done int64
}

func (o Options) meter(total int64) *meter {
	m := &meter{report: o.Progress, total: total}
	m.add(0)
	return m
}

// add is to be called with what each chunk has passed, in any order, by any goroutine.
func (m *meter) add(n int64) {
	if m.report == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	m.report(m.done, m.total)
}

// end passes what lies behind the last chunk.
func (m *meter) end() {
	if rest := m.total - m.done; rest > 0 {
		m.add(rest)
	}
}
