//go:build linux

package signals

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestInterrupt is rule 4, interrupt: whenever the CLI is told to stop, the import is in the state and the next apply continues it. There is no
// client_token that could help.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	ready(t)
	moments, counted := measure(t).spread(signalMoments), newTally(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		for _, to := range []string{"CLI", "group"} {
			for i, m := range moments {
				t.Run(fmt.Sprintf("%s to the %s/%02d %s", sig, to, i+1, m), func(t *testing.T) {
					t.Parallel()
					s := newSite(t, settings{})
					task := s.interrupt(m, sig, to == "group")
					counted.count(task, s.state())
					if i%4 == 3 { // stopped again while it resumes
						if again := s.interrupt(m, sig, to == "group"); task != "" && again != task {
							t.Errorf("the second apply has %s, the first had started %s", again, task)
						} else {
							task = again
						}
					}
					s.finish(task)
				})
			}
		}
	}
}

// interrupt applies, stops the apply at the moment, and checks what it leaves. It returns the import that is under way, "" where none is.
func (s *site) interrupt(m moment, sig syscall.Signal, group bool) (task string) {
	t := s.t
	t.Helper()
	first := s.state().disk == nil
	c := s.start("apply", "-auto-approve", "-no-color")
	if s.await(c, m) {
		c.send(sig, group)
	}
	code, output := c.wait()
	c.gone()
	task, have := s.backend().task(t), s.state()
	s.undisturbedUser()
	t.Logf("apply ends with %d; task %q; state %+v", code, task, have.disk)
	switch {
	case task == "" && have.disk == nil:
		return ""
	case have.disk == nil && s.emptied() && took.MatchString(output):
		t.Logf("the CLI took the provider's answer and then emptied its own state; adopting %s as its user would", task)
		s.run(0, "import", "-no-color", address, task)
		return task
	case task == "" || have.disk == nil || have.disk.Task != task:
		t.Fatalf("EC2 has the task %q, the state %+v; the apply ends with %d:\n%s", task, have.disk, code, output)
	case have.disk.Status != "":
		t.Errorf("the interrupted import is %s:\n%s", have.disk.Status, output)
	case have.disk.Snapshot == nil && code == 0:
		t.Errorf("the apply ends with 0, but the import is not finished:\n%s", output)
	case have.disk.Snapshot == nil && first && !strings.Contains(output, "Import Continues"):
		// A second apply may have been stopped before it came to the import.
		t.Errorf("nothing says that the import continues:\n%s", output)
	}
	return task
}

// took is what the CLI prints when it has the provider's answer.
var took = regexp.MustCompile(regexp.QuoteMeta(address) + `: (Creation|Modifications) complete`)

// emptied reports whether the CLI has truncated its state file and written nothing. OpenTofu 1.12 does so, with any provider or none, when it is
// interrupted in the last milliseconds of an apply: its hook for the stop still persists the state while the process ends, and the file is
// truncated before it is written (the like is hashicorp/terraform#34266). No provider can help it.
func (s *site) emptied() bool {
	info, err := os.Stat(filepath.Join(s.dir, "terraform.tfstate"))
	return err == nil && info.Size() == 0
}

// TestInterruptTwice: the second Ctrl-C makes the CLI leave at once, so that nobody takes down what the provider says. With client_token the next
// apply finds the import all the same.
func TestInterruptTwice(t *testing.T) {
	t.Parallel()
	ready(t)
	l, counted := measure(t), newTally(t)
	for i := range signalMoments {
		// From the call to the end; before and after, a second Ctrl-C is no worse than the first.
		m := l.at(l[asked] + (l[ended]-l[asked])*time.Duration(2*i+1)/time.Duration(2*signalMoments))
		gap := []time.Duration{time.Millisecond, 5 * time.Millisecond, 25 * time.Millisecond}[i%3]
		t.Run(fmt.Sprintf("%02d %s, again after %s", i+1, m, gap), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, settings{token: "interrupted-twice"})
			c := s.start("apply", "-auto-approve", "-no-color")
			if s.await(c, m) {
				c.send(syscall.SIGINT, true)
				if c.pause(gap) {
					c.send(syscall.SIGINT, true)
				}
			}
			code, _ := c.wait()
			task := s.backend().task(t)
			t.Logf("apply ends with %d; task %q; state %+v", code, task, s.state().disk)
			s.undisturbedUser()
			counted.count(task, s.state())
			s.finish(task)
			c.gone()
		})
	}
}
