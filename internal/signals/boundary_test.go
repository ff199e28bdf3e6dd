//go:build linux

package signals

import (
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// boundary is one call of the provider, told by what the CLI is doing when it comes.
type boundary struct {
	while  string // the last thing the CLI has said of the resource; "" while it plans
	action string
	nth    int // of these calls, from 1

	// running makes EC2 say until further notice that the import runs. Otherwise it is over by the first poll.
	running bool
}

// The boundaries of each phase of an import's life.
var (
	creating = []boundary{
		{"Creating...", "ImportSnapshot", 1, true},
		{"Creating...", "DescribeImportSnapshotTasks", 1, true}, // the first poll
		{"Creating...", "DescribeImportSnapshotTasks", 2, true}, // a later one
		{"Creating...", "DescribeSnapshots", 1, false},
		{"Creating...", "CreateTags", 1, false},
		{"Creating...", "ModifySnapshotTier", 1, false},
	}
	resuming = []boundary{
		{"Modifying...", "DescribeImportSnapshotTasks", 1, true}, // is the task forgotten?
		{"Modifying...", "DescribeImportSnapshotTasks", 2, true}, // the first poll
		{"Modifying...", "CreateTags", 1, false},
		{"Modifying...", "ModifySnapshotTier", 1, false},
	}
	planning = []boundary{
		{"", "DescribeImportSnapshotTasks", 1, true}, // the refresh of an unfinished import
		{"", "DescribeSnapshots", 1, false},          // of a finished one
	}
	destroying = []boundary{
		{"Destroying...", "DeleteSnapshot", 1, false},
		{"Destroying...", "DescribeSnapshots", 1, false}, // is it gone?
	}
	cancelling = []boundary{
		{"Destroying...", "CancelImportTask", 1, true},
		{"Destroying...", "DescribeImportSnapshotTasks", 1, true}, // is it over?
	}
)

// kind is one way to disturb.
type kind struct {
	name  string
	token bool // whether the configuration has a client_token

	// graceful: the provider is asked to stop and heard, so that nothing depends on a token.
	graceful bool

	// reaches: a call that has arrived is carried out although its caller is gone by then. Otherwise it is not. A network may do either.
	reaches bool

	shares bool // its lives with the kind that differs only in its token; a kill of the provider has them all, with and without

	do func(c *command)
}

// half tells whether the life of this number is left to the kind that differs only in its token.
func (k kind) half(n int) bool { return k.shares && k.token != (n%2 == 0) }

var kinds = []kind{
	{"SIGINT to the CLI", false, true, false, false, stop(syscall.SIGINT, false)},
	{"SIGINT to the group", false, true, false, false, stop(syscall.SIGINT, true)},
	{"SIGTERM to the CLI", false, true, false, false, stop(syscall.SIGTERM, false)},
	{"SIGTERM to the group", false, true, false, false, stop(syscall.SIGTERM, true)},
	{"SIGINT twice, client_token", true, false, false, true, twice},
	{"SIGINT twice", false, false, false, true, twice},
	{"kill -9 of the provider, client_token", true, false, true, false, func(c *command) { c.killProvider() }},
	{"kill -9 of the provider", false, false, true, false, func(c *command) { c.killProvider() }},
	{"kill -9 of the CLI, client_token", true, false, true, true, killCLI},
	{"kill -9 of the CLI", false, false, true, true, killCLI},
}

// stop sends a signal and waits until the CLI has taken it.
func stop(sig syscall.Signal, group bool) func(*command) {
	return func(c *command) {
		c.send(sig, group)
		c.until(func() bool { return c.says("Interrupt received") })
	}
}

func twice(c *command) {
	stop(syscall.SIGINT, true)(c)
	c.send(syscall.SIGINT, true)
	c.wait()
}

func killCLI(c *command) {
	c.send(syscall.SIGKILL, false)
	c.wait()
}

// says reports whether the command has printed the text by now.
func (c *command) says(text string) bool {
	printed, err := os.ReadFile(c.output)
	return err == nil && strings.Contains(string(printed), text)
}

// disturbance is a kind at a side of a boundary.
type disturbance struct {
	boundary
	side acctest.Stage
	kind
}

func (d disturbance) String() string {
	phase := strings.TrimRight(d.while, ".")
	if phase == "" {
		phase = "Planning"
	}
	return phase + " " + d.action + []string{"", "", " again"}[d.nth] + " " + d.side.String()
}

// disturb runs the CLI and does what the disturbance says at the very moment: the call waits meanwhile, and what would follow it, too.
func (s *site) disturb(d disturbance, args ...string) (code int, output string) {
	t := s.t
	t.Helper()
	s.running.Store(d.running)
	g := &gate{t: t, at: d, reached: make(chan *acctest.Request, 1), left: make(chan struct{}, 1), open: make(chan struct{}), passed: make(chan struct{})}
	s.front.Watch(g.see)
	c := s.start(append(args, "-no-color")...)
	g.command.Store(c)
	defer s.front.Watch(nil)
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	var call *acctest.Request
	select {
	case call = <-g.reached:
	case <-c.done:
		t.Fatalf("%v ends before %s:\n%s", args, d, c.printed())
	case <-deadline.C:
		t.Fatalf("%v does not come to %s:\n%s", args, d, c.printed())
	}
	d.do(c)
	// The provider must have heard of it when the call goes on. It tears every call but ImportSnapshot, whose answer it needs.
	var heard <-chan time.Time
	if d.action == "ImportSnapshot" {
		heard = time.After(100 * time.Millisecond)
	}
	select {
	case <-heard:
	case <-call.Left():
	case <-g.left:
	case <-c.done:
	case <-deadline.C:
		t.Fatalf("the provider does not hear of the %s at %s:\n%s", d.name, d, c.printed())
	}
	close(g.open)
	select {
	case <-g.passed: // what EC2 has of it, it has now
	case <-deadline.C:
		t.Fatalf("the call is held up at %s:\n%s", d, c.printed())
	}
	code, output = c.wait()
	if c.cmd.ProcessState.Exited() {
		c.gone()
	} else {
		t.Cleanup(c.gone) // a user who applies again after a kill waits for nobody either
	}
	return code, output
}

// gate stands at a boundary.
type gate struct {
	t       *testing.T
	at      disturbance
	command atomic.Pointer[command]

	mu     sync.Mutex
	seen   int
	target *acctest.Request
	shut   bool

	reached chan *acctest.Request // gets the call when it has come to the boundary
	left    chan struct{}         // told when the caller of a later call has left
	open    chan struct{}         // closed when the calls may go on
	passed  chan struct{}         // closed when the call was carried out, or never will be
}

// see is told of every call at every stage.
func (g *gate) see(r *acctest.Request, stage acctest.Stage) bool {
	g.mu.Lock()
	if stage == acctest.Arrived && r.Action == g.at.action && g.target == nil && g.comes() {
		if g.seen++; g.seen == g.at.nth {
			g.target = r
		}
	}
	here := r == g.target
	// What follows upon an answer waits from before the answer.
	if here && (stage == g.at.side || stage == acctest.CarriedOut && g.at.side == acctest.Answered) {
		g.shut = true
	}
	shut := g.shut
	g.mu.Unlock()
	if here && stage == acctest.CarriedOut {
		close(g.passed)
	}
	switch {
	case here && stage == g.at.side:
		g.reached <- r
		g.wait(nil)
		on := g.at.reaches
		select {
		case <-r.Left():
		default:
			on = on || g.at.graceful
		}
		if stage == acctest.Arrived && !on {
			close(g.passed)
		}
		return on
	case !here && shut && stage == acctest.Arrived:
		g.wait(r.Left())
	}
	return true
}

// comes reports whether the CLI is where the boundary lies.
func (g *gate) comes() bool {
	c := g.command.Load()
	return g.at.while == "" || c != nil && c.says(address+": "+g.at.while)
}

func (g *gate) wait(left <-chan struct{}) {
	select {
	case <-g.open:
	case <-left:
		select {
		case g.left <- struct{}{}:
		default:
		}
	case <-g.t.Context().Done():
	}
}
