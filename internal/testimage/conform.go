package testimage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// Case is an image and the disk that a reader must find in it.
type Case struct {
	Files map[string][]byte // the image and what lies beside it, by name
	Image string            // the name of the image; empty where there is one file
	Disk  []byte
	Units []int64 // bytes of a block, grain or sector: reads begin and end around their multiples

	// Open opens as the reader's OpenBeside does.
	Open func(r io.ReaderAt, size int64, beside diskimage.Opener) (diskimage.Image, error)

	runs map[string][]diskimage.Extent // of files that know their holes: what is between them
}

// Conform is the one suite that every reader passes: what diskimage.Image promises, over a sound source and over one that fails, of files with a map
// of their holes and without.
func Conform(t *testing.T, c Case) {
	t.Helper()
	if c.Image == "" {
		c.Image = slices.Sorted(maps.Keys(c.Files))[0]
	}
	c.all(t)
	c.runs = map[string][]diskimage.Extent{}
	for name, data := range c.Files {
		c.runs[name] = storedRuns(data)
	}
	t.Run("sparse files", c.all)
}

func (c Case) all(t *testing.T) {
	t.Run("reads", c.reads)
	t.Run("concurrent", c.concurrent)
	t.Run("extents", c.extents)
	t.Run("files", c.files)
	t.Run("broken source", c.broken)
	t.Run("cut source", c.cut)
}

// source is a file of the case. Where fail is set, it may answer in its place.
type source struct {
	name   string
	data   []byte
	fail   func(name string, p []byte, off int64) (n int, err error, failed bool)
	closed func() error
}

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if s.fail != nil {
		if n, err, failed := s.fail(s.name, p, off); failed {
			return n, err
		}
	}
	return bytes.NewReader(s.data).ReadAt(p, off)
}

func (s *source) Size() int64 { return int64(len(s.data)) }

func (s *source) Close() error { return s.closed() }

// sparseSource is a source whose pages of zeros are holes.
type sparseSource struct {
	*source

	runs []diskimage.Extent // between the holes
}

func (s sparseSource) NextData(off int64) (start, end int64, err error) {
	k := sort.Search(len(s.runs), func(k int) bool { return off < s.runs[k].End() })
	if k == len(s.runs) {
		return 0, 0, io.EOF
	}
	return s.runs[k].Offset, s.runs[k].End(), nil
}

// storedRuns are the pages that are not zeros.
func storedRuns(data []byte) (out []diskimage.Extent) {
	const page = 512
	for at := 0; at < len(data); at += page {
		b := data[at:min(at+page, len(data))]
		switch last := len(out) - 1; {
		case len(bytes.TrimLeft(b, "\x00")) == 0:
		case last >= 0 && out[last].End() == int64(at):
			out[last].Length += int64(len(b))
		default:
			out = append(out, diskimage.Extent{Offset: int64(at), Length: int64(len(b))})
		}
	}
	return out
}

func (c Case) file(s *source) diskimage.File {
	if c.runs == nil {
		return s
	}
	return sparseSource{s, c.runs[s.name]}
}

// open opens the image over sources that fail may break. left counts the files that were opened for it and not closed.
func (c Case) open(fail func(string, []byte, int64) (int, error, bool)) (img diskimage.Image, left *atomic.Int64, err error) {
	left = new(atomic.Int64)
	beside := func(name string) (diskimage.File, error) {
		data, ok := c.Files[name]
		if !ok {
			return nil, fmt.Errorf("%q: %w", name, fs.ErrNotExist)
		}
		left.Add(1)
		var once atomic.Bool
		return c.file(&source{name, data, fail, func() error {
			if !once.CompareAndSwap(false, true) {
				return fmt.Errorf("%s: %w", name, fs.ErrClosed)
			}
			left.Add(-1)
			return nil
		}}), nil
	}
	own := c.file(&source{name: c.Image, data: c.Files[c.Image], fail: fail})
	img, err = c.Open(own, own.Size(), beside)
	return img, left, err
}

func (c Case) mustOpen(t *testing.T) diskimage.Image {
	t.Helper()
	img, _, err := c.open(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = img.Close() })
	return img
}

// pieces are the offsets and lengths that reads are tried at: around every multiple of a unit, over the end, and some at random.
func (c Case) pieces() (out [][2]int64) {
	size := int64(len(c.Disk))
	add := func(off, length int64) {
		if off >= 0 && off <= size && length > 0 {
			out = append(out, [2]int64{off, length})
		}
	}
	for _, unit := range c.Units {
		step := unit * max(1, size/unit/64) // at most some 64 places for each unit
		for at := int64(0); at <= size+unit; at += step {
			for _, d := range []int64{-513, -1, 0, 1} {
				for _, n := range []int64{1, 2, 512, unit, unit + 1} {
					add(at+d, n)
				}
			}
			add(at-unit, 3*unit)
		}
	}
	for _, d := range []int64{0, 1, 2, 511, 512, 513, 4096} {
		add(size-d, 1)
		add(size-d, 4097)
	}
	r := rand.New(rand.NewPCG(1, uint64(size)))
	for range 200 {
		off := r.Int64N(size + 1)
		add(off, 1+r.Int64N(min(size-off+600, 1<<20)))
	}
	return out
}

// checkRead reads once and holds the answer against the disk: the contract of io.ReaderAt.
func (c Case) checkRead(img io.ReaderAt, off, length int64) error {
	p := bytes.Repeat([]byte{0xa5}, int(length)) // what a reader forgets to fill shows
	n, err := img.ReadAt(p, off)
	want := c.Disk[min(off, int64(len(c.Disk))):min(off+length, int64(len(c.Disk)))]
	switch {
	case n != len(want), int64(n) < length && !errors.Is(err, io.EOF), int64(n) == length && err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("ReadAt(%d bytes, %d) = %d, %v; there are %d", length, off, n, err, len(want)) //nolint:errorlint // err may be nil
	case !bytes.Equal(p[:n], want):
		at := 0
		for p[at] == want[at] {
			at++
		}
		return fmt.Errorf("ReadAt(%d bytes, %d) differs at offset %d: %#x, not %#x", length, off, off+int64(at), p[at], want[at])
	}
	return nil
}

func (c Case) reads(t *testing.T) {
	img := c.mustOpen(t)
	if img.Size() != int64(len(c.Disk)) {
		t.Fatalf("Size() = %d, not %d", img.Size(), len(c.Disk))
	}
	if err := c.checkRead(img, 0, int64(len(c.Disk))); err != nil {
		t.Fatal(err)
	}
	for _, p := range c.pieces() {
		if err := c.checkRead(img, p[0], p[1]); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := img.ReadAt(make([]byte, 1), -1); n != 0 || err == nil {
		t.Errorf("ReadAt at a negative offset = %d, %v", n, err)
	}
	if n, err := img.ReadAt(nil, 0); n != 0 || err != nil {
		t.Errorf("ReadAt of nothing = %d, %v", n, err)
	}
	for _, off := range []int64{img.Size(), img.Size() + 1, 1<<63 - 1} {
		if n, err := img.ReadAt(make([]byte, 1), off); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("ReadAt behind the disk, at %d = %d, %v", off, n, err)
		}
	}
}

func (c Case) concurrent(t *testing.T) {
	img := c.mustOpen(t)
	pieces := c.pieces()
	var readers sync.WaitGroup
	for k := range 12 { // more than a reader keeps buffers for
		readers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(k), 7))
			for range 60 {
				p := pieces[r.IntN(len(pieces))]
				if err := c.checkRead(img, p[0], p[1]); err != nil {
					t.Error(err)
					return
				}
			}
			if _, err := collect(img); err != nil {
				t.Error(err)
			}
		})
	}
	readers.Wait()
}

func collect(img diskimage.Image) (out []diskimage.Extent, err error) {
	for e, err := range img.Extents() {
		if err != nil {
			return out, err
		}
		out = append(out, e)
	}
	return out, nil
}

// extents: ordered, merged up to a cut, not overlapping, inside the disk; outside of them, and in explicit zeros, the disk is zeros.
func (c Case) extents(t *testing.T) {
	img := c.mustOpen(t)
	all, err := collect(img)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(c.Disk))
	zeros := func(from, to int64) {
		if at := bytes.IndexFunc(c.Disk[from:to], func(r rune) bool { return r != 0 }); at >= 0 {
			t.Errorf("the disk is not zeros from %d to %d, as the extents say: a byte at %d", from, to, from+int64(at))
		}
	}
	last := diskimage.Extent{Length: 0, Zero: true}
	for n, e := range all {
		switch {
		case e.Length <= 0 || e.Offset < 0 || e.Offset > size || e.Length > size-e.Offset:
			t.Fatalf("extent %d, %+v, does not lie in a disk of %d bytes", n, e, size)
		case n > 0 && e.Offset < last.End():
			t.Fatalf("extent %d, %+v, begins before the end of %+v", n, e, last)
		case n > 0 && e.Offset == last.End() && e.Zero == last.Zero && e.Offset%diskimage.Cut != 0:
			t.Errorf("extent %d, %+v, is not merged with %+v", n, e, last)
		}
		zeros(last.End(), e.Offset)
		if e.Zero {
			zeros(e.Offset, e.End())
		}
		last = e
	}
	zeros(last.End(), size)
	for _, err := range img.Extents() {
		if err != nil {
			t.Error(err)
		}
		break //nolint:staticcheck // a loop may end early
	}
	if again, err := collect(img); err != nil || !slices.Equal(all, again) {
		t.Errorf("the second walk gives %v, %v; the first %v", again, err, all)
	}
}

// files: what was opened beside the image is closed with it, and when opening fails in the middle.
func (c Case) files(t *testing.T) {
	img, left, err := c.open(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := left.Load(), int64(len(c.Files)-1); got != want {
		t.Errorf("%d files are open beside the image, not %d", got, want)
	}
	if err := img.Close(); err != nil || left.Load() != 0 {
		t.Errorf("Close() = %v; %d files beside the image are still open", err, left.Load())
	}
	if err := img.Close(); err != nil || left.Load() != 0 {
		t.Errorf("the second Close() = %v; %d files beside the image are open", err, left.Load())
	}
	for name := range c.Files {
		if name == c.Image {
			continue
		}
		broken := errors.New("broken")
		_, left, err := c.open(func(of string, _ []byte, _ int64) (int, error, bool) { return 0, broken, of == name })
		if !errors.Is(err, broken) { // a flat extent is not read when it is opened
			continue
		}
		if left.Load() != 0 {
			t.Errorf("%s is broken: %v, and %d files stay open", name, err, left.Load())
		}
	}
}

// use opens the image, walks it and reads it all. What was read before an error is held against the disk.
func (c Case) use(fail func(string, []byte, int64) (int, error, bool)) error {
	img, left, err := c.open(fail)
	if err != nil {
		if left.Load() != 0 {
			return fmt.Errorf("%d files stay open after: %v", left.Load(), err) //nolint:errorlint // it must not pass for the error that was asked for
		}
		return err
	}
	defer img.Close()
	if _, err := collect(img); err != nil {
		return err
	}
	const piece = 64 << 10
	for at := int64(0); at < img.Size(); at += piece {
		p := make([]byte, min(piece, img.Size()-at))
		n, err := img.ReadAt(p, at)
		if at+int64(n) > int64(len(c.Disk)) || !bytes.Equal(p[:n], c.Disk[at:at+int64(n)]) {
			return fmt.Errorf("%d bytes at offset %d are wrong", n, at)
		}
		if n < len(p) {
			if err == nil || err == io.EOF { //nolint:errorlint // bare io.EOF would pass for the end of the disk
				return fmt.Errorf("ReadAt(%d bytes, %d) = %d, %v", len(p), at, n, err) //nolint:errorlint // as above
			}
			return err
		}
	}
	return nil
}

// broken: wherever the source fails, its error comes out, and no byte is made up.
func (c Case) broken(t *testing.T) {
	reads := int64(0)
	if err := c.use(func(string, []byte, int64) (int, error, bool) { reads++; return 0, nil, false }); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for k := int64(0); k < reads; k += max(1, reads/100) {
		count := int64(0)
		err := c.use(func(string, []byte, int64) (int, error, bool) { count++; return 0, broken, count == k+1 })
		if !errors.Is(err, broken) {
			t.Fatalf("read %d of %d fails: %v", k+1, reads, err)
		}
	}
}

// cut: a file that ends before its length, at any place, is an error, or was not needed there.
func (c Case) cut(t *testing.T) {
	for name, data := range c.Files {
		for k := range int64(100) {
			end := k * int64(len(data)) / 100
			shortened := false
			err := c.use(func(of string, p []byte, off int64) (int, error, bool) {
				if of != name || off+int64(len(p)) <= end {
					return 0, nil, false
				}
				shortened = true
				return copy(p, data[min(off, end):end]), io.EOF, true
			})
			if shortened && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%s ends at byte %d of %d: %v", name, end, len(data), err)
			}
			if !shortened && err != nil {
				t.Fatalf("%s ends at byte %d of %d, which was not read: %v", name, end, len(data), err)
			}
		}
	}
}
