package vhdx

import (
	"testing"

	"pgregory.net/rapid"
)

// Of writes that cover each other in any way, the latest is seen.
func TestOverlay(t *testing.T) {
	const places = 60
	rapid.Check(t, func(t *rapid.T) {
		writes := make([]write, rapid.IntRange(0, 40).Draw(t, "writes"))
		var want [places + 1]*write
		for k := range writes {
			w := &writes[k]
			w.start = rapid.Int64Range(0, places-1).Draw(t, "start")
			w.end = rapid.Int64Range(w.start+1, places).Draw(t, "end")
			for at := w.start; at < w.end; at++ {
				want[at] = w
			}
		}
		o := newOverlay(writes)
		for at := range int64(places + 1) {
			got, end := o.find(at)
			if got != want[at] {
				t.Fatalf("at %d: %+v, want %+v", at, got, want[at])
			}
			if end <= at {
				t.Fatalf("at %d: ends at %d", at, end)
			}
			for next := at; next < min(end, places+1); next++ {
				if want[next] != got {
					t.Fatalf("at %d: said to end at %d, but another is seen at %d", at, end, next)
				}
			}
		}
		if len(o.segments) > 2*len(writes)+1 {
			t.Fatalf("%d segments of %d writes", len(o.segments), len(writes))
		}
	})
}
