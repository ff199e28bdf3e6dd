package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
)

// progress shows how far a long work is, how fast and how long it will take: a bar on a terminal, a line per 10 % elsewhere. Neither has colours.
type progress struct {
	w     io.Writer
	verb  string
	start time.Time
	bar   *progressbar.ProgressBar // nil elsewhere than on a terminal
	tens  int64                    // lines that were printed
	live  bool                     // something was shown
}

func newProgress(w io.Writer, verb string) *progress {
	p := &progress{w: w, verb: verb, start: time.Now()}
	if _, terminal := terminalWidth(w); terminal {
		p.bar = newBar(w, verb)
	}
	return p
}

func newBar(w io.Writer, verb string) *progressbar.ProgressBar {
	theme := progressbar.ThemeDefault
	if !speaksUTF8() {
		theme = progressbar.ThemeASCII
	}
	bar := progressbar.NewOptions64(1, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(verb), progressbar.OptionSetTheme(theme),
		progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true), progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth(),
		progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
	bar.StartWithoutRender() // else its clock starts with the first bytes that are done, and their rate has no end
	return bar
}

// at shows that done of total bytes are done. It must not be called by two goroutines at once.
func (p *progress) at(done, total int64) {
	if total <= 0 {
		return
	}
	if p.bar != nil {
		if p.bar.GetMax64() != total {
			p.bar.ChangeMax64(total)
		}
		p.live = true
		_ = p.bar.Set64(done)
		return
	}
	// In floating point: a disk of 64 TiB times ten is near the end of what fits.
	for tens := int64(float64(done) / float64(total) * 10); p.tens < tens; p.tens = tens {
		_, _ = fmt.Fprintf(p.w, "%s: %d %%%s\n", p.verb, tens*10, p.pace(done, total))
	}
}

// pace is the rate so far and the time that is left or, at the end, that it took. What is over within a second has none.
func (p *progress) pace(done, total int64) string {
	took := time.Since(p.start)
	if took < time.Second || done <= 0 {
		return ""
	}
	rate := float64(done) / took.Seconds()
	text := ", " + humanize.IBytes(uint64(rate)) + "/s, "
	if done < total {
		return text + time.Duration(float64(total-done)/rate*float64(time.Second)).Round(time.Second).String() + " left"
	}
	return text + "took " + took.Round(time.Second).String()
}

// done ends the bar, so that what is printed next has a line of its own.
func (p *progress) done() {
	if p.bar != nil && p.live {
		_ = p.bar.Clear()
		p.live = false
	}
}
