package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// A short run is part of `go test ./...`; `make soak` asks for the long one:
//
//	EC2_SOAK_RUNS  how many scenarios
//	EC2_SOAK_TIME  when no more of them begin, such as 10m
//	EC2_SOAK_SEED  of the first; each scenario has the seed behind that of the one before
const shortRuns = 30

func setting[T any](t *testing.T, variable string, unset T, parse func(string) (T, error)) T {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return unset
	}
	v, err := parse(text)
	if err != nil {
		t.Fatalf("%s=%s: %v", variable, text, err)
	}
	return v
}

// TestSoak: whatever goes wrong, and when, under whatever configuration: no import is started twice, and once things are well again a user who does
// what the messages say comes to an empty plan, and behind a destroy nothing is left.
func TestSoak(t *testing.T) {
	runs := setting(t, "EC2_SOAK_RUNS", shortRuns, strconv.Atoi)
	long := setting(t, "EC2_SOAK_TIME", time.Hour, time.ParseDuration)
	first := setting(t, "EC2_SOAK_SEED", uint64(time.Now().UnixNano()%1e9), func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
	t.Logf("EC2_SOAK_SEED=%d", first)
	var seeds []uint64
	for i := range runs {
		seeds = append(seeds, first+uint64(i))
	}
	began := time.Now()
	ran := together(t, began.Add(long), seeds, func(seed uint64) string { return fmt.Sprint("seed ", seed) }, func(t *testing.T, seed uint64) {
		s := newScenario(seed)
		defer func() {
			if t.Failed() {
				t.Logf("again: make soak SOAK_RUNS=1 SOAK_SEED=%d   # %s", seed, s)
			}
		}()
		s.run(t)
	})
	t.Logf("%d of %d scenarios in %s", ran, runs, time.Since(began).Round(time.Second))
}

// scenario is what happens to one resource.
type scenario struct {
	choice   choice
	r        *rand.Rand
	lasts    time.Duration // of the task
	held     bool          // until what is in no state was looked for
	create   string        // timeouts.create
	stop     stop
	creating []disturbance
	changing []disturbance
	leaving  []disturbance
}

// disturbance is a fault at some calls of an action.
type disturbance struct {
	fault  acctest.Fault
	action string
	skip   int // calls that go well before
	calls  int // that go wrong; 0: all, until things are well again
}

func (d disturbance) String() string {
	return fmt.Sprintf("%s of %s: %d behind %d", d.fault.Name, d.action, d.calls, d.skip)
}

// hook is the disturbance of an EC2.
func (d disturbance) hook() acctest.Hook {
	h := d.fault.Hook()
	var seen atomic.Int64
	return func(r *acctest.Request, next func() *acctest.Answer) *acctest.Answer {
		n := int(seen.Add(1))
		if n <= d.skip || d.calls > 0 && n > d.skip+d.calls {
			return next()
		}
		return h(r, next)
	}
}

// stop is the end of the process that creates.
type stop struct {
	how  string // "", interrupt, kill: what the provider answers is lost
	call int    // at this call
	late bool   // behind it, not before
}

var (
	creatingActions = []string{"ImportSnapshot", "ImportSnapshot", "DescribeImportSnapshotTasks", "DescribeSnapshots", "CreateTags", "ModifySnapshotTier", "DescribeSnapshotTierStatus"}
	changingActions = []string{"DescribeSnapshots", "CreateTags", "DeleteTags", "ModifySnapshotTier", "DescribeImportSnapshotTasks"}
	leavingActions  = []string{"DeleteSnapshot", "DeleteSnapshot", "DescribeSnapshots", "CancelImportTask", "DescribeImportSnapshotTasks"}
)

func newScenario(seed uint64) *scenario {
	r := seeded(seed)
	s := &scenario{choice: anyChoice(r), r: r, create: forever}
	s.lasts = []time.Duration{0, 0, time.Second, 2500 * time.Millisecond}[r.IntN(4)]
	s.creating = disturbances(r, creatingActions, r.IntN(4))
	s.changing = disturbances(r, changingActions, r.IntN(2))
	s.leaving = disturbances(r, leavingActions, r.IntN(3))
	switch r.IntN(4) {
	case 0:
		s.stop = stop{"interrupt", 1 + r.IntN(6), r.IntN(2) == 0}
	case 1:
		s.stop = stop{"kill", 1 + r.IntN(4), r.IntN(2) == 0}
	}
	unanswered := false
	for _, d := range s.creating {
		unanswered = unanswered || d.action == "ImportSnapshot"
		if d.calls == 0 && s.stop.how == "" {
			s.create = []string{"1s", "3s", "5s"}[r.IntN(3)]
		}
	}
	if s.stop.how == "kill" || unanswered && (s.stop.how != "" || s.create != forever) {
		s.held = true // an import that is in no state is found while it runs
	}
	return s
}

const forever = "90s"

func disturbances(r *rand.Rand, actions []string, n int) (list []disturbance) {
	for range n {
		d := disturbance{action: actions[r.IntN(len(actions))], skip: r.IntN(3), calls: r.IntN(4)}
		for {
			d.fault = acctest.Faults[r.IntN(len(acctest.Faults))]
			// A snapshot that EC2 does not know for longer than some seconds is gone.
			missing := d.action == "DescribeSnapshots" && (d.fault.Name == "P27 not known yet" || strings.HasPrefix(d.fault.Name, "empty 200"))
			if d.fault.Hits(d.action) && !(missing && d.calls == 0) {
				break
			}
		}
		list = append(list, d)
	}
	return list
}

func (s *scenario) String() string {
	return fmt.Sprintf("create: %v, tasks of %s, timeout %s, %+v; change: %v; destroy: %v; %s", s.creating, s.lasts, s.create, s.stop, s.changing, s.leaving, s.choice)
}

func (s *scenario) run(t *testing.T) {
	c := s.choice.configuration()
	c.resource["timeouts"] = map[string]any{"create": s.create, "update": forever, "delete": forever}
	e := newEC2(t, c, s.lasts)
	l := newLife(t, e, c, s.r)
	if s.held {
		hold(e)
	}
	disturb(e, s.creating)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if s.stop.how != "" {
		e.On("", s.stop.at(cancel))
	}
	l.apply(ctx)
	if s.stop.how == "kill" && ctx.Err() != nil {
		l.object = nil // nobody was there to store it
	}
	e.Calm()
	l.restart()
	c.resource["timeouts"] = map[string]any{"create": forever, "update": forever, "delete": forever}
	if s.held {
		hold(e)
		l.adopt()
		e.Calm()
	}
	l.settle()
	c.meddle(t, e, l.object.Text("snapshot_id"))

	ch := some(s.r, c, 1, false)[0]
	l.c, _ = ch.apply(c)
	disturb(e, s.changing)
	l.restart()
	l.apply(t.Context())
	e.Calm()
	l.restart()
	l.c.resource["timeouts"] = map[string]any{"create": forever, "update": forever, "delete": "30s"}
	l.settle()
	l.once()

	disturb(e, s.leaving)
	l.hear(l.core.Destroy(l.object))
	e.Calm()
	l.restart()
	l.destroy()
	nothingLeft(t, e)
}

func disturb(e *acctest.EC2, list []disturbance) {
	for _, d := range list {
		e.On(d.action, d.hook())
	}
}

// at calls cancel at the call of the stop.
func (s stop) at(cancel func()) acctest.Hook {
	var seen atomic.Int64
	return func(r *acctest.Request, next func() *acctest.Answer) *acctest.Answer {
		if int(seen.Add(1)) != s.call {
			return next()
		}
		if s.late {
			defer cancel()
		} else {
			cancel()
		}
		return next()
	}
}
