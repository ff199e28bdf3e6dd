package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Elsewhere than on a terminal: a line per 10 %, with rate and time left as soon as they mean something.
func TestProgressLines(t *testing.T) {
	const mib = 1 << 20
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newProgress(&out, "converting")
		p.at(0, 0) // nothing to do is no progress
		for _, done := range []int64{0, 99, 100, 105, 350} {
			p.at(done*mib, 1000*mib)
		}
		<-time.After(2 * time.Second)
		p.at(400*mib, 1000*mib)
		<-time.After(100 * time.Second)
		p.at(1000*mib, 1000*mib)
		p.done()
		const want = "converting: 10 %\nconverting: 30 %\nconverting: 40 %, 200 MiB/s, 3s left\nconverting: 100 %, 9.8 MiB/s, took 1m42s\n"
		if out.String() != want {
			t.Errorf("it says\n%swant\n%s", out.String(), want)
		}
	})
}

// A disk of 64 TiB does not overflow.
func TestProgressOfLargestDisk(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, "hashing")
	p.at(1<<62, 1<<62)
	if out.String() != "hashing: 100 %\n" {
		t.Errorf("%q", out.String())
	}
}

// On a terminal: a bar with percentage, rate and time left, that is gone at the end. It has no colours, whatever NO_COLOR says, and no character
// that the locale does not have.
func TestProgressBar(t *testing.T) {
	for _, locale := range []string{"C", "C.UTF-8"} {
		t.Run(locale, func(t *testing.T) {
			t.Setenv("LC_ALL", locale)
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				p := &progress{w: &out, verb: "converting", bar: newBar(&out, "converting")}
				for i := range int64(5) {
					p.at(i<<30, 8<<30)
					<-time.After(120 * time.Millisecond)
				}
				shown := out.String()
				p.done()
				for _, want := range []string{"converting", "50%", "/s", ":"} {
					if !strings.Contains(shown, want) {
						t.Errorf("%q does not show %q", shown, want)
					}
				}
				if strings.Contains(shown, "\x1b[3") {
					t.Errorf("%q has colours", shown)
				}
				if ascii := fmt.Sprintf("%+q", shown) == fmt.Sprintf("%q", shown); ascii != (locale == "C") {
					t.Errorf("%+q", shown)
				}
				if last := out.String()[len(shown):]; strings.TrimSpace(last) != "" || !strings.HasSuffix(last, "\r") {
					t.Errorf("it ends with %q", last)
				}
			})
		})
	}
}
