//go:build linux

package signals

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// TestTimeout is rule 4, timeout: an error, because dependents must not run, which taints; untaint continues the import, and without it the import
// is cancelled and made anew.
func TestTimeout(t *testing.T) {
	t.Parallel()
	ready(t)
	for name, after := range map[string]func(s *site, task string){
		"untaint continues": func(s *site, task string) {
			s.run(0, "untaint", "-no-color", address)
			s.finish(task) // under the update timeout
		},
		"untaint after the import has ended": func(s *site, task string) {
			s.run(0, "untaint", "-no-color", address)
			// Nobody works on a local import between two applies; a second one that starts it is what a long absence looks like on AWS.
			c := s.start("apply", "-auto-approve", "-no-color")
			s.await(c, moment{after: completed})
			c.killProvider()
			c.wait()
			s.finish(task)
		},
		"apply imports anew": func(s *site, task string) {
			s.configure(settings{})
			s.run(0, "apply", "-auto-approve", "-no-color")
			if have := s.state().disk; have == nil || have.Task == task {
				s.t.Errorf("the state has %+v, want another import than %s", have, task)
			}
			s.good("", 2)
			s.destroy()
		},
		"destroy cancels": func(s *site, task string) {
			s.destroy()
			b := s.backend()
			if b.task(s.t) != task || aws.ToString(b.tasks[0].SnapshotTaskDetail.Status) != "deleted" {
				s.t.Errorf("the import is not cancelled:%s", b)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, settings{duration: 20 * time.Second, timeout: 5 * time.Second})
			output := unframed(s.run(1, "apply", "-auto-approve", "-no-color"))
			for _, word := range []string{"untaint", "imports anew"} {
				if !strings.Contains(output, word) {
					t.Errorf("the error does not say %q:\n%s", word, output)
				}
			}
			task, have := s.backend().task(t), s.state()
			if task == "" || have.disk == nil || have.disk.Task != task || have.disk.Status != "tainted" || have.disk.Snapshot != nil || have.user {
				t.Fatalf("EC2 has the task %q, the state %+v %v; want it tainted, unfinished and without dependents:\n%s", task, have.disk, have.user, output)
			}
			after(s, task)
		})
	}
}
