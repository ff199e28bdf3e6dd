package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// life is one resource and the user who looks after it: who does what the messages say until the plan is empty.
type life struct {
	t       *testing.T
	e       *acctest.EC2
	r       *rand.Rand
	c       *configuration
	core    *acctest.Core
	object  *acctest.Object // nil: not in the state
	creates int
	said    acctest.Diagnostics // of the last step
}

func newLife(t *testing.T, e *acctest.EC2, c *configuration, r *rand.Rand) *life {
	t.Helper()
	return &life{t: t, e: e, r: r, c: c, core: c.core(t, e)}
}

// restart is another process of the provider.
func (l *life) restart() { l.core = l.c.core(l.t, l.e) }

// apply refreshes, plans and applies once. Terraform is told to stop when ctx ends. It reports whether all went well.
func (l *life) apply(ctx context.Context) bool {
	l.t.Helper()
	l.said = nil
	if l.object != nil {
		tainted := l.object.Tainted
		after, d := l.core.Read(l.object)
		l.hear(d)
		if d.HasError() {
			return false
		}
		if l.object = after; after != nil {
			after.Tainted = tainted
		}
	}
	p, d := l.core.Plan(l.object, l.c.resource)
	l.hear(d)
	if d.HasError() {
		return false
	}
	if p.Action == "create" || p.Action == "replace" {
		l.creates++
	}
	l.object, d = l.core.Apply(ctx, p)
	l.hear(d)
	return !d.HasError()
}

// adopt imports what the plan says that a killed apply has left.
func (l *life) adopt() {
	l.t.Helper()
	if l.object != nil {
		return
	}
	_, d := l.core.Plan(nil, l.c.resource)
	l.hear(d)
	ids := importLine.FindAllStringSubmatch(d.String(), -1)
	if len(ids) > 1 {
		l.t.Errorf("%d imports run that no state knows: %v", len(ids), ids)
	}
	if len(ids) > 0 {
		l.object, d = l.core.Import(ids[0][1])
		l.hear(d)
	}
}

var importLine = regexp.MustCompile(`id = "(import-snap-[0-9a-f]+@[a-z0-9-]+)"`)

// settle does what the messages say until a plan behind a refresh is empty.
func (l *life) settle() {
	l.t.Helper()
	for range 8 {
		if l.object != nil && l.object.Tainted {
			if l.c.resource["client_token"] != nil || l.r.IntN(2) == 0 {
				l.object.Untaint()
			} // else a plain apply cancels it and imports anew
		}
		if l.apply(l.t.Context()) && l.object != nil && l.object.Text("snapshot_id") != "" && l.calm() {
			return
		}
	}
	l.t.Fatalf("eight applies have not come to an empty plan; the last said %v", l.said)
}

// calm reports whether the plan behind a refresh is empty.
func (l *life) calm() bool {
	l.t.Helper()
	o, d := l.core.Read(l.object)
	l.hear(d)
	if l.object = o; o == nil {
		return false
	}
	p, d := l.core.Plan(o, l.c.resource)
	l.hear(d)
	if len(p.Replaces) > 0 {
		l.t.Errorf("the plan replaces for %q: %s", p.Replaces, p.Changed())
	}
	return p.Action == "no-op"
}

// destroy destroys until nothing is in the state.
func (l *life) destroy() {
	l.t.Helper()
	var d acctest.Diagnostics
	for range 4 {
		if l.object == nil {
			return
		}
		d = l.core.Destroy(l.object)
		l.hear(d)
		if !d.HasError() {
			l.object = nil
		}
	}
	l.t.Errorf("it could not be destroyed: %v", d)
}

// once checks that EC2 made one task at most for each create, and one for each token.
func (l *life) once() {
	l.t.Helper()
	if n := l.e.Tasks(l.t, here); n > l.creates {
		l.t.Errorf("%d creates have started %d imports", l.creates, n)
	}
	var tokens []string
	for _, r := range l.e.Requests("ImportSnapshot") {
		if r.Form.Get("DryRun") != "true" {
			tokens = append(tokens, r.Form.Get("ClientToken"))
		}
	}
	slices.Sort(tokens)
	if tokens = slices.Compact(tokens); slices.Contains(tokens, "") || len(tokens) > l.creates {
		l.t.Errorf("%d creates have sent the tokens %q", l.creates, tokens)
	}
}

// hear keeps what was said, and holds it to what a user can read.
func (l *life) hear(d acctest.Diagnostics) {
	l.t.Helper()
	l.said = append(l.said, d...)
	for _, each := range d {
		if what := riddle(each); what != "" {
			l.t.Errorf("%s:\n%s", what, acctest.Diagnostics{each})
		}
	}
}

var (
	// What the SDK says, which is kept, but explains nothing by itself.
	sdkWords = regexp.MustCompile(`(?s)operation error \w+: .*?(?:\n|$)|https response error StatusCode: \d+, RequestID: [^,]*,?|exceeded maximum number of attempts, \d+,?`)
	goWords  = regexp.MustCompile(`\*?\b(?:smithy|http|url|types|aws|ec2|json|errors|importtask|retry)\.[A-Z]\w+|%!\w?\(|&\{|0x[0-9a-f]{6}|<nil>|\bnil\b|goroutine `)
	word     = regexp.MustCompile(`\p{L}{2,}`)
)

// riddle is what is wrong with a message, "" for one that a user can read.
func riddle(d acctest.Diagnostic) string {
	switch {
	case d.Summary == "" || strings.TrimSpace(d.Detail) == "":
		return "a message says nothing"
	case goWords.MatchString(d.Summary + d.Detail):
		return fmt.Sprintf("a message speaks Go: %q", goWords.FindString(d.Summary+d.Detail))
	case len(word.FindAllString(sdkWords.ReplaceAllString(d.Detail, ""), -1)) < 5:
		return "a message is the SDK's alone"
	default:
		return ""
	}
}
