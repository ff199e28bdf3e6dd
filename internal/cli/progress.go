package cli

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
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
	return progressbar.NewOptions64(1, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(verb), progressbar.OptionSetTheme(theme),
		progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true), progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth(),
		progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
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

// watchedImage tells a progress how many of the bytes that carry data have been read.
type watchedImage struct {
	diskimage.Image

	total int64
	show  *progress

	mu   sync.Mutex
	read int64
}

// watched is img, with the progress of reading its data once. total is how much data there is.
func watched(img diskimage.Image, total int64, show *progress) diskimage.Image {
	return &watchedImage{Image: img, total: total, show: show}
}

func (w *watchedImage) ReadAt(b []byte, off int64) (int, error) {
	n, err := w.Image.ReadAt(b, off)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read = min(w.read+int64(n), w.total) // a grain that holds less data than it is long is read in full
	w.show.at(w.read, w.total)
	return n, err
}
