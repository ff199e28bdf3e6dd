//go:build linux

package signals

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// TestBoundaries is rule 4 at each call that the provider makes, before it is carried out, before its answer, and after: whatever comes there, nothing
// is lost and nothing is left. An import is disturbed in one phase of its life after another, always in the same way.
//
// The phases do not know of each other, so the lives of a kind pair their boundaries by counting: every kind meets every boundary, and over the kinds
// every boundary is met at all its sides. EC2_SIGNAL_ALL=1 takes three times the lives: every kind at every side of every boundary.
func TestBoundaries(t *testing.T) {
	t.Parallel()
	ready(t)
	rounds := 1
	if os.Getenv("EC2_SIGNAL_ALL") != "" {
		rounds = 3
	}
	for i, k := range kinds {
		turn := func(list []boundary, n int) []disturbance {
			if n >= rounds*len(list) {
				return nil // all have had their turn
			}
			return []disturbance{{list[n%len(list)], acctest.Stage((n/len(list) + n%len(list) + i) % 3), k}}
		}
		for n := range rounds * len(creating) {
			if rounds == 1 && k.half(n) {
				continue
			}
			l := life{create: turn(creating, n)[0], destroy: turn(destroying, n)}
			// Only what is stopped before its snapshot is tagged is unfinished then.
			if at := n % len(creating); at < len(resuming) {
				m := n/len(creating)*len(resuming) + at
				l.plan, l.resume = turn(planning, m), turn(resuming, m)
			}
			t.Run(fmt.Sprintf("%s/%s", k.name, l.create), func(t *testing.T) {
				t.Parallel()
				l.live(t)
			})
		}
		for n := range rounds * len(cancelling) {
			if rounds == 1 && k.half(n) {
				continue
			}
			d := turn(cancelling, n)[0]
			t.Run(fmt.Sprintf("%s/%s", k.name, d), func(t *testing.T) {
				t.Parallel()
				cancelled(t, d)
			})
		}
	}
}

// life is what happens to one import: how it is disturbed in each phase, once or not at all.
type life struct {
	create                disturbance
	plan, resume, destroy []disturbance
}

func (l life) live(t *testing.T) {
	k := l.create.kind
	s := newFronted(t, k.token, 0)
	code, output := s.disturb(l.create, "apply", "-auto-approve")
	task := s.created(l.create, code, output)
	if have := s.state(); have.disk == nil && task != "" && !k.token {
		s.adopt(task, l.create.running, len(l.resume) > 0)
	}
	for _, d := range l.resume {
		if s.state().disk == nil { // killed, so there is nothing to resume yet
			task = s.unfinished(task)
		}
		for _, d := range l.plan {
			if d.running {
				s.planned(d)
			}
		}
		code, output := s.disturb(d, "apply", "-auto-approve")
		s.resumed(d, task, code, output)
	}

	s.running.Store(false)
	before := s.state().disk
	output = s.run(0, "apply", "-auto-approve", "-no-color")
	if before != nil && before.Snapshot == nil && !strings.Contains(output, address+" will be updated in-place") {
		t.Errorf("an unfinished import is not updated in place:\n%s", output)
	}
	for _, d := range l.plan {
		if !d.running {
			s.planned(d)
		}
	}
	s.good(task, 1)
	s.settled()
	for _, d := range l.destroy {
		code, output = s.disturb(d, "destroy", "-auto-approve")
		s.destroyed(d, task, code, output)
	}
	s.destroy()
	if n := s.accepted(); k.graceful && n != 1 {
		t.Errorf("ImportSnapshot was accepted %d times, want once", n)
	}
}

// cancelled is the life of an import whose destroy comes before its end.
func cancelled(t *testing.T, d disturbance) {
	s := newFronted(t, d.token, time.Hour)
	task := s.unfinished("")
	code, output := s.disturb(d, "destroy", "-auto-approve")
	s.destroyed(d, task, code, output)
	s.destroy()
	if b := s.backend(); b.task(t) != task || aws.ToString(b.tasks[0].SnapshotTaskDetail.Status) != "deleted" {
		t.Errorf("the import is not cancelled:%s", b)
	}
}

// unfinished applies and stops gently, which leaves an import that goes on; task is the one that is under way already, "" where none is.
func (s *site) unfinished(task string) string {
	t := s.t
	t.Helper()
	d := disturbance{creating[1], acctest.CarriedOut, kinds[0]}
	code, output := s.disturb(d, "apply", "-auto-approve")
	got := s.created(d, code, output)
	if task != "" && got != task {
		t.Errorf("the second apply has %s, the first had started %s", got, task)
	}
	return got
}

// created checks what a disturbed creation leaves, and returns the import that is under way, "" where none is.
func (s *site) created(d disturbance, code int, output string) (task string) {
	t := s.t
	t.Helper()
	task, have := s.backend().task(t), s.state()
	s.undisturbedUser()
	t.Logf("%s: apply ends with %d; task %q; state %+v", d, code, task, have.disk)
	if began := d.action != "ImportSnapshot" || d.side > acctest.Arrived || d.reaches || d.graceful; (task != "") != began {
		t.Fatalf("EC2 has the task %q, begun: %t:\n%s", task, began, output)
	}
	switch last := d.action == "ModifySnapshotTier" && d.side == acctest.Answered; {
	case code == 0 && !last:
		t.Errorf("the apply ends with 0:\n%s", output)
	case have.disk == nil && (!d.graceful || s.lostByCLI(code, output)):
		return task
	case have.disk == nil || have.disk.Task != task || have.disk.Status != "":
		t.Fatalf("EC2 has the task %q, the state %+v; the apply ends with %d:\n%s", task, have.disk, code, output)
	case !d.graceful:
	case code > 1:
		t.Errorf("the apply ends with %d:\n%s", code, output)
	case have.disk.Snapshot == nil && !strings.Contains(output, "Import Continues"):
		t.Errorf("nothing says that the import continues:\n%s", output)
	case have.disk.Snapshot != nil && d.action != "ModifySnapshotTier" && (d.action != "CreateTags" || d.side < acctest.Answered):
		t.Errorf("the import counts as finished, but its snapshot is not tagged:\n%s", output)
	}
	return task
}

// adopt takes over an import that no state has. As long as it runs, the plan names it; later its user has to find the snapshot, whose description
// names the task.
func (s *site) adopt(task string, running, now bool) {
	t := s.t
	t.Helper()
	id := ""
	if running {
		plan := s.run(0, "plan", "-no-color")
		if _, id = importLine(plan); !strings.HasPrefix(id, task+"@") {
			t.Fatalf("the plan does not name the unfinished import %s with its import block:\n%s", task, plan)
		}
	} else {
		until(t, "the snapshot of "+task, func() bool { return len(s.backend().snapshots) == 1 })
		id = aws.ToString(s.backend().snapshots[0].SnapshotId)
	}
	if now {
		s.run(0, "import", "-no-color", address, id)
	} else {
		s.write("adopt.tf", fmt.Sprintf("import {\n  to = %s\n  id = %q\n}\n", address, id))
	}
}

// resumed checks what a disturbed update leaves.
func (s *site) resumed(d disturbance, task string, code int, output string) {
	t := s.t
	t.Helper()
	have := s.state()
	s.undisturbedUser()
	t.Logf("%s: apply ends with %d; state %+v", d, code, have.disk)
	if again := s.backend().task(t); again != task {
		t.Errorf("EC2 has the task %q, want %q", again, task)
	}
	if !strings.Contains(output, address+" will be updated in-place") {
		t.Errorf("an unfinished import is not updated in place:\n%s", output)
	}
	last := d.action == "ModifySnapshotTier" && d.side == acctest.Answered
	switch {
	case have.disk == nil && s.lostByCLI(code, output):
		if !d.token {
			s.adopt(task, d.running, true)
		}
	case have.disk == nil || have.disk.Task != task || have.disk.Status != "":
		t.Fatalf("EC2 has the task %q, the state %+v; the apply ends with %d:\n%s", task, have.disk, code, output)
	case code == 0 && !last, code > 1 && d.graceful:
		t.Errorf("the apply ends with %d:\n%s", code, output)
	}
}

// lostByCLI reports whether the CLI has emptied its own state: told to stop it persists the state, and the file is truncated before it is written. It
// ends in between when its process ends by itself (see emptied) or is ended by a second signal, about which it warns ("data loss may have occurred").
func (s *site) lostByCLI(code int, output string) bool {
	return s.emptied() && (code < 0 || took.MatchString(output) || strings.Contains(output, "Two interrupts received"))
}

// planned disturbs a plan, which changes nothing.
func (s *site) planned(d disturbance) {
	t := s.t
	t.Helper()
	read := func() []byte {
		text, err := os.ReadFile(filepath.Join(s.dir, "terraform.tfstate"))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before, changes := read(), len(s.front.Changes())
	code, output := s.disturb(d, "plan")
	t.Logf("%s: plan ends with %d", d, code)
	if !bytes.Equal(read(), before) || len(s.front.Changes()) != changes {
		t.Errorf("a plan that was disturbed has changed something: %v\n%s", s.front.Changes()[changes:], output)
	}
	if d.side < acctest.Answered && code == 0 {
		t.Errorf("the plan ends with 0 without its refresh:\n%s", output)
	}
}

// destroyed checks what a disturbed destroy leaves: all that is left at EC2 is in the state.
func (s *site) destroyed(d disturbance, task string, code int, output string) {
	t := s.t
	t.Helper()
	have, b := s.state(), s.backend()
	t.Logf("%s: destroy ends with %d; state %+v", d, code, have.disk)
	if b.task(t) != task || have.disk != nil && have.disk.Task != task {
		t.Errorf("EC2 has %s\nthe state %+v; the import is %s", b, have.disk, task)
	}
	over := slices.Contains([]string{"completed", "deleting", "deleted"}, aws.ToString(b.tasks[0].SnapshotTaskDetail.Status))
	switch {
	case have.disk != nil || len(b.snapshots) == 0 && over:
	case s.lostByCLI(code, output):
		s.run(0, "import", "-no-color", address, task)
	default:
		t.Errorf("left by a destroy that ended with %d, and in no state:%s\n%s", code, b, output)
	}
}

// settled checks what the calls after the import were for.
func (s *site) settled() {
	s.t.Helper()
	snapshot := s.backend().snapshots[0]
	tagged := slices.ContainsFunc(snapshot.Tags, func(tag ec2types.Tag) bool {
		return aws.ToString(tag.Key) == "Name" && aws.ToString(tag.Value) == "disk"
	})
	if status := s.front.Call(s.t, "DescribeSnapshotTierStatus", region); !tagged || !strings.Contains(status, "<lastTieringOperationStatus>archiv") {
		s.t.Errorf("the snapshot has the tags %v; its tier: %s", snapshot.Tags, status)
	}
}

// accepted is how often ImportSnapshot went well.
func (s *site) accepted() (n int) {
	for _, r := range s.front.Requests("ImportSnapshot") {
		if r.Answer.OK() {
			n++
		}
	}
	return n
}

// small is the content of an image that takes no time.
var small = sync.OnceValues(func() (raw, image []byte) {
	raw = make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{'s', 'm', 'a', 'l', 'l'}).Read(raw[100<<10 : 300<<10])
	return raw, testimage.StreamOptimized(testimage.GDAtEnd, raw)
})

// newFronted is a site whose provider reaches its backend over the network, as it reaches AWS. The backend lives on when the provider dies.
func newFronted(t *testing.T, token bool, duration time.Duration) *site {
	t.Helper()
	front := acctest.NewEC2(t, func(c *localec2.Config) { c.Simulate.TaskDuration = duration })
	raw, image := small()
	s := &site{Local: front.Local, t: t, dir: t.TempDir(), account: front.Account, raw: raw, front: front}
	s.Put(t, "disk.vmdk", image)
	c := settings{}
	if token {
		c.token = "disturbed"
	}
	s.configure(c)
	front.On("DescribeImportSnapshotTasks", acctest.When(func(*acctest.Request) bool { return s.running.Load() }, acctest.Rewrite(stillRunning)))
	return s
}

// stillRunning is an answer about tasks that are over, as it was before.
func stillRunning(body string) string {
	return snapshotID.ReplaceAllString(strings.ReplaceAll(body, "<status>completed</status>", "<status>active</status>"), "")
}

var snapshotID = regexp.MustCompile(`<snapshotId>[^<]*</snapshotId>`)
