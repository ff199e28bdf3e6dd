package cli

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// progress shows how far a long work is: a bar on a terminal, a line per 10 % elsewhere.
type progress struct {
	w    io.Writer
	verb string
	bar  *progressbar.ProgressBar // nil elsewhere than on a terminal
	tens int64                    // lines that were printed
	live bool                     // something was shown
}

func newProgress(w io.Writer, verb string) *progress {
	p := &progress{w: w, verb: verb}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) { //nolint:gosec // a file descriptor is a small number
		p.bar = progressbar.NewOptions64(1, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(verb), progressbar.OptionShowBytes(true),
			progressbar.OptionUseIECUnits(true), progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())
	}
	return p
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
		_, _ = fmt.Fprintf(p.w, "%s: %d %%\n", p.verb, tens*10)
	}
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
