//go:build linux

package signals

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// kills are n random moments. Half of them are anywhere in the run; the others are close behind the events around which most is written: the task,
// its volume, the snapshot.
func (l timeline) kills(r *rand.Rand, n int) []moment {
	var moments []moment
	for i := range n {
		if i%2 == 0 {
			moments = append(moments, l.at(time.Duration(r.Int64N(int64(l[ended])))))
		} else {
			moments = append(moments, moment{after: asked + event(r.IntN(int(ended-asked))), wait: time.Duration(r.Int64N(int64(60 * time.Millisecond)))})
		}
	}
	return moments
}

// TestKillProvider is rule 4, killed process: nobody could write down the task, but with client_token the next apply gets the same one.
func TestKillProvider(t *testing.T) {
	t.Parallel()
	ready(t)
	counted := newTally(t)
	for i, m := range measure(t).kills(dice(t), killMoments) {
		t.Run(fmt.Sprintf("%02d %s", i+1, m), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, settings{token: "killed"})
			kill := func(c *command) { c.killProvider() }
			task := s.killed(m, kill)
			counted.count(task, s.state())
			if i%4 == 3 { // and once more while it takes the import up again
				if again := s.killed(m, kill); task != "" && again != task {
					t.Errorf("the second apply has %s, the first had started %s", again, task)
				} else {
					task = again
				}
			}
			s.finish(task)
		})
	}
}

// TestKillCLI: the CLI leaves an empty state and its lock file, and its provider sees the connection go. None of it may stand in the way.
func TestKillCLI(t *testing.T) {
	t.Parallel()
	ready(t)
	counted := newTally(t)
	for i, m := range measure(t).kills(dice(t), max(2, killMoments/5)) {
		t.Run(fmt.Sprintf("%02d %s", i+1, m), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, settings{token: "killed"})
			task := s.killed(m, func(c *command) { c.send(syscall.SIGKILL, false) })
			counted.count(task, s.state())
			s.finish(task)
		})
	}
}

// killed applies, lets kill do its work at the moment, and returns the import that is under way, "" where there is none.
func (s *site) killed(m moment, kill func(c *command)) (task string) {
	t := s.t
	t.Helper()
	c := s.start("apply", "-auto-approve", "-no-color")
	if s.await(c, m) {
		kill(c)
	}
	code, _ := c.wait()
	// No wait for the provider of a killed CLI: a user who applies again does not wait either.
	t.Cleanup(c.gone)
	task = s.backend().task(t)
	t.Logf("apply ends with %d; task %q; state %+v", code, task, s.state().disk)
	s.undisturbedUser()
	return task
}

// TestKillWithoutToken is rule 4, killed process without client_token: the next plan names the import that nobody waits for, and the line that
// takes it over.
func TestKillWithoutToken(t *testing.T) {
	t.Parallel()
	ready(t)
	const duration = 15 * time.Second
	r := dice(t)
	for i := range max(2, killMoments/5) {
		m := moment{after: accepted, wait: time.Duration(r.Int64N(int64(duration / 10)))}
		way := []string{"import block", "import command"}[i%2]
		t.Run(fmt.Sprintf("%02d %s, %s", i+1, m, way), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, settings{duration: duration})
			task := s.killed(m, func(c *command) { c.killProvider() })
			if b := s.backend(); task == "" || len(b.snapshots) > 0 || s.state().disk != nil {
				t.Fatalf("the kill did not leave an unfinished import that no state has:%s\n%+v", b, s.state().disk)
			}

			plan := s.run(0, "plan", "-no-color")
			block, id := importLine(plan)
			if !strings.HasPrefix(id, task+"@") {
				t.Fatalf("the plan does not name the unfinished import %s with its import block:\n%s", task, plan)
			}
			if i%2 == 0 {
				s.write("adopt.tf", block)
			} else {
				s.run(0, "import", "-no-color", address, id)
			}
			s.finish(task)
		})
	}
}

// importLine takes the import block, for the resource of these tests, and the id out of a plan's warning.
func importLine(plan string) (block, id string) {
	parts := regexp.MustCompile(`(?s)import \{\s*to = ec2_import_snapshot\.NAME.*?id = "([^"]+)".*?\}`).FindStringSubmatch(unframed(plan))
	if parts == nil {
		return "", ""
	}
	return strings.Replace(parts[0], "ec2_import_snapshot.NAME", address, 1), parts[1]
}

// unframed is output without the bar that the CLI draws beside diagnostics.
func unframed(output string) string {
	return regexp.MustCompile(`(?m)^│ ?`).ReplaceAllString(output, "")
}
