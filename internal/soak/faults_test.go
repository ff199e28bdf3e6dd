package soak

import (
	"context"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// moment is one in the life of a resource at which a call is made.
type moment struct {
	action string
	// at is what the user does: create, change (its tags), archive, destroy, destroy what runs.
	at string

	// What is said of a fault that does not pass, and whether as an error. Other summaries of the same table may come first: a fault of the describes
	// is one of the polls.
	says []string
	fail bool

	waits bool // until the time of the operation is over
}

var moments = []moment{
	{"ImportSnapshot", "create", []string{"Unable to Start Import", "Import May Have Begun", "Import Not Started"}, true, true},
	{"DescribeImportSnapshotTasks", "create", []string{"Import Not Finished in Time", "Unable to Follow Import"}, true, true},
	{"DescribeSnapshots", "create", []string{"Import Not Finished in Time", "Unable to Follow Import"}, true, true},
	{"CreateTags", "create", []string{"Snapshot Not Tagged"}, false, false},
	{"ModifySnapshotTier", "create", []string{"Storage Tier Not Changed"}, false, false},
	{"GetCallerIdentity", "create", []string{"Unable to Reach EC2"}, true, false},
	{"DeleteTags", "change", []string{"Unable to Change Tags", "Unable to Change Task Tags"}, true, false},
	{"DescribeSnapshots", "refresh", []string{"Unable to Read Snapshot"}, true, false},
	{"DeleteSnapshot", "destroy", []string{"Unable to Delete Snapshot"}, true, true},
	{"CancelImportTask", "destroy what runs", []string{"Unable to Cancel Import"}, true, true},
}

// harmless are faults that nobody needs to hear of, however long they last.
var harmless = map[string]bool{"delayed": true, "another content type": true, "P8 status in upper case": true}

// TestFaults is the table of every fault at every call, for two calls and for ever: what comes out, what is said, and what is left.
func TestFaults(t *testing.T) {
	type cell struct {
		acctest.Fault
		moment
		calls int
	}
	var cells []cell
	for _, m := range moments {
		for _, f := range acctest.Faults {
			// Without its detail the answer of ImportSnapshot is as good. An empty success of a cancel that nobody carried out is a lie: the provider
			// waits for an end that does not come, and says so.
			lie := m.action == "CancelImportTask" && f.Name == "empty 200"
			if f.Hits(m.action) && !(m.action == "ImportSnapshot" && f.Name == "P21 no detail") {
				cells = append(cells, cell{f, m, 0})
			}
			if f.Hits(m.action) && !lie {
				cells = append(cells, cell{f, m, 2})
			}
		}
	}
	// In the short run a part of them, another one every time.
	if os.Getenv("EC2_SOAK_RUNS") == "" {
		rand.Shuffle(len(cells), func(i, j int) { cells[i], cells[j] = cells[j], cells[i] })
		cells = cells[:60]
	}
	long := map[int]string{0: "for ever", 2: "twice"}
	name := func(c cell) string { return c.action + " at " + c.at + ": " + c.Name + " " + long[c.calls] }
	together(t, time.Time{}, cells, name, func(t *testing.T, test cell) {
		c := choice(make([]int, len(dimensions))).configuration()
		c.resource["tags"] = map[string]any{"Name": "web", "run": "7"}
		timeouts := map[string]any{"create": forever, "update": forever, "delete": forever, "read": forever}
		if test.calls == 0 && test.waits && !harmless[test.Name] {
			operation, _, _ := strings.Cut(strings.Replace(test.at, "destroy", "delete", 1), " ")
			timeouts[operation] = "15s" // more than a call takes on a machine that is very busy
		}
		c.resource["timeouts"] = timeouts
		if test.action == "ModifySnapshotTier" {
			c.resource["storage_tier"] = "archive"
		}
		lasts := time.Duration(0)
		if test.at == "destroy what runs" {
			lasts = time.Hour
		}
		e := newEC2(t, c, lasts)
		held := test.action == "ImportSnapshot" && test.calls == 0 && !harmless[test.Name]
		if held {
			hold(e)
		}
		if test.action == "GetCallerIdentity" {
			c.provider["skip_requesting_account_id"], c.provider["skip_credentials_validation"] = false, false
		}
		l := newLife(t, e, c, seeded(1))
		disturbed := func() { e.On(test.action, disturbance{fault: test.Fault, calls: test.calls}.hook()) }

		began := time.Now()
		switch test.at {
		case "create":
			disturbed()
			l.apply(t.Context())
		case "refresh":
			l.settle()
			l.said = nil
			disturbed()
			o, d := l.core.Read(l.object)
			l.hear(d)
			if o == nil && test.calls > 0 {
				t.Error("the refresh has dropped it")
			}
			if o != nil {
				l.object = o
			}
		case "change":
			l.settle()
			c.resource["tags"] = map[string]any{"Name": "db"}
			disturbed()
			l.apply(t.Context())
		case "destroy":
			l.settle()
			l.said = nil
			disturbed()
			l.leave()
		case "destroy what runs":
			ctx, stop := context.WithCancel(t.Context())
			e.On("ImportSnapshot", func(_ *acctest.Request, next func() *acctest.Answer) *acctest.Answer {
				defer stop()
				return next()
			})
			l.apply(ctx)
			l.said = nil
			disturbed()
			l.leave()
		}
		if took := time.Since(began); took > 3*time.Minute {
			t.Errorf("it took %s", took.Round(time.Second))
		}
		test.judge(t, l.said, test.Fault, test.calls)

		// All is well again. What was left is found, finished and destroyed.
		e.Calm()
		c.resource["timeouts"] = map[string]any{"create": forever, "update": forever, "delete": forever}
		if strings.HasPrefix(test.at, "destroy") {
			l.restart()
			l.destroy()
		} else {
			l.restart()
			if held {
				hold(e)
				l.adopt()
				e.Calm()
			}
			l.settle()
			l.once()
			l.destroy()
		}
		nothingLeft(t, e)
	})
}

// leave destroys once.
func (l *life) leave() {
	l.t.Helper()
	if l.object == nil {
		l.t.Fatal("there is nothing to destroy")
	}
	d := l.core.Destroy(l.object)
	l.hear(d)
	if !d.HasError() {
		l.object = nil
	}
}

// sdkTries are the faults that two tries of the SDK, which is all it was given, do not outlast.
var sdkTries = regexp.MustCompile(`^(CreateTags|ModifySnapshotTier|DeleteTags|DeleteSnapshot|GetCallerIdentity|DescribeSnapshots at refresh)`)

// judge looks at what was said.
func (m moment) judge(t *testing.T, said acctest.Diagnostics, f acctest.Fault, calls int) {
	t.Helper()
	if harmless[f.Name] {
		if said.HasError() {
			t.Errorf("it is no trouble, but was said to be: %v", said)
		}
		return
	}
	if len(said) == 0 {
		// It passed, or what was asked for is done; whether it is shows behind.
		return
	}
	known := false
	for _, d := range said {
		for _, summary := range m.says {
			if d.Summary == summary {
				known = true
				if d.Error != m.fail {
					t.Errorf("%s: an error: %t, want %t", d.Summary, d.Error, m.fail)
				}
				if f.Says != "" && !strings.Contains(d.Detail, f.Says) && d.Summary != "Import Not Finished in Time" {
					t.Errorf("the message lacks %q:\n%s", f.Says, said)
				}
			}
		}
	}
	if !known {
		t.Errorf("want one of %q, got\n%s", m.says, said)
	}
	if calls > 0 && said.HasError() && !sdkTries.MatchString(m.action+" at "+m.at) && !strings.Contains(f.Name, "credentials") {
		t.Errorf("it would have passed with a little patience:\n%s", said)
	}
}
