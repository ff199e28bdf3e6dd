//go:build linux

package signals

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// event is something in an apply that can be seen from outside.
type event int

// The events, in the order in which they come.
const (
	begun     event = iota // the CLI is started
	served                 // a provider process runs
	asked                  // ImportSnapshot has made the store
	accepted               // a worker has the task
	growing                // its volume is being written
	completed              // the snapshot's volume is there
	ended                  // the CLI has ended
)

func (e event) String() string {
	return [...]string{"start", "provider", "store", "task", "volume", "snapshot", "end"}[e]
}

// seen reports whether the event has come. All but the process are read off the data directory.
func (s *site) seen(c *command, e event) bool {
	pattern := ""
	switch e {
	case begun:
		return true
	case served:
		return len(c.providers()) > 0
	case asked:
		_, err := os.Stat(filepath.Join(s.DataDir, "state.db"))
		return err == nil
	case accepted:
		pattern = "locks/import-snap-*.lock"
	case growing:
		pattern = "volumes/import-snap-*.partial"
	case completed:
		pattern = "volumes/snap-*.raw"
	case ended:
		return false
	}
	found, err := filepath.Glob(filepath.Join(s.DataDir, pattern))
	if err != nil {
		s.t.Fatal(err)
	}
	return len(found) > 0
}

// moment is a time in an apply, counted from an event: on a busy machine everything comes later, but the moment still falls where it was meant to.
type moment struct {
	after event
	wait  time.Duration
}

func (m moment) String() string { return fmt.Sprintf("%s+%s", m.after, m.wait.Round(time.Millisecond)) }

// await waits for the moment in a running apply, and reports false where the apply ends first.
func (s *site) await(c *command, m moment) bool {
	s.t.Helper()
	return c.until(func() bool { return s.seen(c, m.after) }) && c.pause(m.wait)
}

// timeline is when the events came in an apply that nobody disturbed.
type timeline [ended + 1]time.Duration

// at is the moment that lies at this time of the undisturbed apply.
func (l timeline) at(t time.Duration) moment {
	m := moment{wait: t}
	for e := begun; e < ended; e++ {
		if l[e] <= t {
			m = moment{after: e, wait: t - l[e]}
		}
	}
	return m
}

// spread are n moments from the start of the CLI to its end, the same in each run but for what the machine needs.
func (l timeline) spread(n int) []moment {
	var moments []moment
	for i := range n {
		moments = append(moments, l.at(l[ended]*time.Duration(2*i+1)/time.Duration(2*n)))
	}
	return moments
}

var measured struct {
	sync.Mutex
	timeline
}

// measure runs one apply, from nothing to the snapshot, and notes when the events come.
func measure(t *testing.T) timeline {
	t.Helper()
	measured.Lock()
	defer measured.Unlock()
	if measured.timeline[ended] > 0 {
		return measured.timeline
	}
	s := newSite(t, settings{})
	c := s.start("apply", "-auto-approve", "-no-color")
	var l timeline
	for e := begun; e < ended; e++ {
		// What is there for a time only may be gone before a busy machine looks.
		if !c.until(func() bool { return s.seen(c, e) || s.seen(c, completed) }) {
			code, output := c.wait()
			t.Fatalf("an undisturbed apply ends with %d before the event %q:\n%s", code, e, output)
		}
		l[e] = time.Since(c.begun)
	}
	if code, output := c.wait(); code != 0 {
		t.Fatalf("an undisturbed apply ends with %d:\n%s", code, output)
	}
	l[ended] = time.Since(c.begun)
	for e := begun; e <= ended; e++ {
		t.Logf("undisturbed: %-8s after %s", e, l[e].Round(time.Millisecond))
	}
	measured.timeline = l
	return l
}

// tally counts where the moments of a test fell. Had none fallen into an import, the test would have shown nothing.
type tally struct {
	sync.Mutex
	before, during, after int
}

func newTally(t *testing.T) *tally {
	c := &tally{}
	t.Cleanup(func() {
		t.Logf("moments before the import: %d, during: %d, after its end was written down: %d", c.before, c.during, c.after)
		if c.during == 0 && c.before+c.after >= 10 { // a few random ones may all miss
			t.Error("no moment fell into an import")
		}
	})
	return c
}

// count notes one disturbed apply by what it left.
func (c *tally) count(task string, have state) {
	c.Lock()
	defer c.Unlock()
	switch {
	case task == "":
		c.before++
	case have.disk == nil || have.disk.Snapshot == nil:
		c.during++
	default:
		c.after++
	}
}
