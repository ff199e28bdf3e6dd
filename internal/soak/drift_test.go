package soak

import (
	"slices"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// TestRule1Drift (P1, P2, P3, P5, P16, P18, P25): every two ways to write an argument, together: the plan behind the apply is empty, with and without a refresh, and
// behind a change in place as well; what replaces is exactly the table of arguments.
func TestRule1Drift(t *testing.T) {
	const seed = 1
	choices := pairwise(seeded(seed))
	t.Logf("%d configurations", len(choices))
	together(t, time.Time{}, dealt(t, seed, choices), hand.String, func(t *testing.T, h hand) {
		c := h.configuration()
		e := newEC2(t, c, 0)
		core := c.core(t, e)
		o, d := core.Create(c.resource)
		if o == nil || d.HasError() {
			t.Fatal(d)
		}
		if warned := len(d) > 0; warned != (c.encrypts && is("encrypted", false)(c)) {
			t.Errorf("warned: %v", d)
		}
		empty(t, core, o, c, "without a refresh")
		c.meddle(t, e, o.Text("snapshot_id"))
		o = refreshed(t, c.core(t, e), o)
		empty(t, core, o, c, "behind a refresh")

		for _, ch := range h.replacing {
			after, replaces := ch.apply(c)
			p, d := after.core(t, e).Plan(o, after.resource)
			if d.HasError() || !slices.Equal(p.Replaces, replaces) {
				t.Errorf("%s replaces for %q, want %q: %v", ch.name, p.Replaces, replaces, d)
			}
		}
		for _, ch := range h.inPlace {
			after, _ := ch.apply(c)
			core = after.core(t, e)
			p, d := core.Plan(o, after.resource)
			if d.HasError() || len(p.Replaces) > 0 {
				t.Fatalf("%s replaces for %q: %v", ch.name, p.Replaces, d)
			}
			if o, d = core.Apply(t.Context(), p); d.HasError() {
				t.Fatalf("%s: %v", ch.name, d)
			}
			c = after
			empty(t, core, o, c, "behind "+ch.name)
			o = refreshed(t, c.core(t, e), o)
			empty(t, core, o, c, "behind "+ch.name+" and a refresh")
		}
		if n := e.Tasks(t, here); n != 1 {
			t.Errorf("EC2 has %d tasks", n)
		}
		if d := core.Destroy(o); len(d) > 0 {
			t.Error(d)
		}
		nothingLeft(t, e)
	})
}

// hand is a configuration and the changes that it is put through: the replacing ones are planned, each by itself, the others applied one behind the other.
type hand struct {
	choice
	replacing, inPlace []change
}

// dealt gives every configuration the changes that were given least so far, so that each one of them has its turn.
func dealt(t *testing.T, seed uint64, choices []choice) (hands []hand) {
	t.Helper()
	r, given := seeded(seed), map[string]int{}
	rarest := func(c *configuration, n int, replacing bool) []change {
		fit := some(r, c, len(changes), replacing)
		slices.SortStableFunc(fit, func(a, b change) int { return given[a.name] - given[b.name] })
		fit = fit[:n]
		for _, ch := range fit {
			given[ch.name]++
		}
		return fit
	}
	for _, chosen := range choices {
		c := chosen.configuration()
		h := hand{choice: chosen, replacing: rarest(c, 3, true)}
		for range 2 {
			ch := rarest(c, 1, false)[0]
			h.inPlace = append(h.inPlace, ch)
			c, _ = ch.apply(c)
		}
		hands = append(hands, h)
	}
	for _, ch := range changes {
		if given[ch.name] == 0 {
			t.Errorf("no configuration is put through the change %q", ch.name)
		}
	}
	return hands
}

func refreshed(t *testing.T, core *acctest.Core, o *acctest.Object) *acctest.Object {
	t.Helper()
	o, d := core.Read(o)
	if o == nil || len(d) > 0 {
		t.Fatalf("the refresh finds %v: %v", o, d)
	}
	return o
}

func empty(t *testing.T, core *acctest.Core, o *acctest.Object, c *configuration, when string) {
	t.Helper()
	p, d := core.Plan(o, c.resource)
	if p.Action != "no-op" || len(d) > 0 {
		t.Errorf("the plan %s is %s (replaces %q): %v\n%s\n%s", when, p.Action, p.Replaces, d, c, p.Changed())
	}
}
