package convert_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
)

// image is a disk in memory; what no extent covers must not be read, unless it may be read as a whole.
type image struct {
	disk    []byte
	whole   bool
	extents []diskimage.Extent
	err     error // yielded last
	broken  int64 // reading this offset fails with err
}

func (i *image) Size() int64  { return int64(len(i.disk)) }
func (i *image) Close() error { return nil }

func (i *image) ReadAt(p []byte, at int64) (int, error) {
	if i.broken > 0 && at <= i.broken && i.broken < at+int64(len(p)) {
		return 0, i.err
	}
	covered := slices.ContainsFunc(i.extents, func(e diskimage.Extent) bool { return !e.Zero && e.Offset <= at && at+int64(len(p)) <= e.End() })
	if !covered && !i.whole {
		return 0, errors.New("read outside of the extents")
	}
	n := copy(p, i.disk[at:])
	if at+int64(n) == i.Size() {
		return n, io.EOF // as io.ReaderAt allows with the last byte
	}
	return n, nil
}

func (i *image) Extents() iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		for _, e := range i.extents {
			if !yield(e, nil) {
				return
			}
		}
		if i.err != nil && i.broken == 0 {
			yield(diskimage.Extent{}, i.err)
		}
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

// target is a new file that keeps what was written where.
type target struct {
	mu   sync.Mutex
	disk []byte
	runs []diskimage.Extent
}

func (d *target) WriteAt(p []byte, at int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.runs = append(d.runs, diskimage.Extent{Offset: at, Length: int64(len(p))})
	return copy(d.disk[at:], p), nil
}

func (d *target) sorted() []diskimage.Extent {
	slices.SortFunc(d.runs, func(a, b diskimage.Extent) int { return int(a.Offset - b.Offset) })
	return d.runs
}

// Runs of zeros are left out in pieces of 4 KiB; what is written is written in the longest runs.
func TestCopyWritesLongestRunsWithoutZeros(t *testing.T) {
	disk := make([]byte, 5<<20+100)
	copy(disk[10000:], noise(20000)) // touches the blocks from 8192 to 32768
	const inside = 3<<20 + 256<<10
	copy(disk[inside:], noise(4096))    // one block
	disk[len(disk)-1] = 1               // in a block of 100 bytes
	copy(disk[100<<10:], noise(40<<10)) // in a hole: must not be seen
	img := &image{disk: disk, extents: []diskimage.Extent{
		{Offset: 0, Length: 100 << 10}, {Offset: 1 << 20, Length: 1 << 20, Zero: true}, {Offset: inside - 512, Length: 5<<20 + 612 - inside}, // starts in the middle of a block
	}}
	got := &target{disk: make([]byte, len(disk))}
	written, err := convert.Copy(t.Context(), got, img, convert.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []diskimage.Extent{{Offset: 8192, Length: 24576}, {Offset: inside, Length: 4096}, {Offset: 5 << 20, Length: 100}}
	if runs := got.sorted(); !slices.Equal(runs, want) {
		t.Errorf("wrote %v, want %v", runs, want)
	}
	if written != 24576+4096+100 {
		t.Errorf("written %d", written)
	}
	clear(disk[100<<10 : 1<<20])
	if !bytes.Equal(got.disk, disk) {
		t.Error("the bytes differ")
	}
}

// Any map of extents: the same bytes, the right hash, and progress that counts up to the total.
func TestCopyAndHash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(0, 3<<20).Draw(t, "size")
		img := &image{disk: make([]byte, size), whole: true}
		for at := rapid.Int64Range(0, size).Draw(t, "first"); at < size; {
			e := diskimage.Extent{Offset: at, Length: rapid.Int64Range(1, size-at).Draw(t, "length"), Zero: rapid.Bool().Draw(t, "zero")}
			if !e.Zero {
				// Some of it zeros, at places that are no multiple of anything.
				copy(img.disk[e.Offset:e.End()], noise(int(rapid.Int64Range(0, e.Length).Draw(t, "noise"))))
			}
			img.extents = append(img.extents, e)
			at = e.End() + rapid.Int64Range(0, 1<<20).Draw(t, "hole")
		}
		got := &target{disk: make([]byte, size)}
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(rapid.IntRange(1, 20).Draw(t, "processors"))) // and so workers
		// Whatever is done, progress begins at 0, ends at the size of the disk, and never goes back.
		watched := func(what string, work func(convert.Options) error) {
			last, first := int64(-1), int64(-1)
			err := work(convert.Options{Progress: func(done, all int64) {
				if done < last || done > all || all != size {
					t.Errorf("%s: progress %d of %d after %d; the disk has %d bytes", what, done, all, last, size)
				}
				if last < 0 {
					first = done
				}
				last = done
			}})
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if first != 0 || last != size {
				t.Errorf("%s: progress from %d to %d of %d", what, first, last, size)
			}
		}
		watched("Copy", func(o convert.Options) error {
			_, err := convert.Copy(context.Background(), got, img, o)
			return err
		})
		if !bytes.Equal(got.disk, img.disk) {
			t.Error("the bytes differ")
		}
		digest := sha256.Sum256(img.disk)
		want := hex.EncodeToString(digest[:])
		if sum, err := convert.SHA256(context.Background(), img, convert.Options{}); err != nil || sum != want {
			t.Errorf("SHA256 without progress = %s, %v, want %s", sum, err, want)
		}
		watched("SHA256", func(o convert.Options) error {
			sum, err := convert.SHA256(context.Background(), img, o)
			if sum != want {
				t.Errorf("SHA256 = %s, want %s", sum, want)
			}
			return err
		})
		watched("Compare", func(o convert.Options) error {
			sum, err := convert.Compare(context.Background(), img, &image{disk: got.disk, whole: true, extents: merged(got.sorted())}, o)
			if sum != want {
				t.Errorf("Compare = %s, want %s", sum, want)
			}
			return err
		})
	})
}

// together is an image none of whose reads ends before so many are under way.
type together struct {
	*image

	many   int64
	now    atomic.Int64
	enough chan struct{}
}

func (i *together) ReadAt(p []byte, at int64) (int, error) {
	if i.now.Add(1) == i.many {
		close(i.enough)
	}
	<-i.enough
	return i.image.ReadAt(p, at)
}

// Of a remote image as much is read at a time on a small machine as on a large one: in the bubble it shows at once if no more reads come.
func TestCopyRemote(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		disk := noise(4 << 20)
		img := &together{image: &image{disk: disk, whole: true, extents: []diskimage.Extent{{Length: 4 << 20}}}, many: 8, enough: make(chan struct{})}
		got := &target{disk: make([]byte, len(disk))}
		if _, err := convert.Copy(t.Context(), got, img, convert.Options{Remote: true}); err != nil || !bytes.Equal(got.disk, disk) {
			t.Errorf("the bytes differ, or %v", err)
		}
	})
}

// merged makes extents of runs in order.
func merged(runs []diskimage.Extent) (extents []diskimage.Extent) {
	for _, r := range runs {
		if n := len(extents); n > 0 && extents[n-1].End() == r.Offset {
			extents[n-1].Length += r.Length
		} else {
			extents = append(extents, r)
		}
	}
	return extents
}

// Holes are hashed without being read: image fails when it is asked for one.
func TestSHA256OfHoles(t *testing.T) {
	img := &image{disk: make([]byte, 3<<20+7)}
	sum := sha256.Sum256(img.disk)
	if hash, err := convert.SHA256(t.Context(), img, convert.Options{}); err != nil || hash != hex.EncodeToString(sum[:]) {
		t.Errorf("SHA256 = %s, %v", hash, err)
	}
}

func TestFailures(t *testing.T) {
	broken := errors.New("broken")
	whole := []diskimage.Extent{{Length: 20 << 20}}
	for _, c := range []struct {
		name string
		img  *image
		dst  io.WriterAt
		want error // nil: any error
	}{
		{"extents fail", &image{err: broken, extents: []diskimage.Extent{{Length: 1 << 20}}}, nil, broken},
		{"a read fails", &image{err: broken, broken: 11 << 20, extents: whole}, nil, broken},
		{"extents overlap", &image{extents: []diskimage.Extent{{Length: 1 << 20}, {Offset: 1 << 19, Length: 1 << 20}}}, nil, nil},
		{"extents go backwards", &image{extents: []diskimage.Extent{{Offset: 1 << 20, Length: 512}, {Length: 512}}}, nil, nil},
		{"extent beyond the disk", &image{extents: []diskimage.Extent{{Offset: 20<<20 - 1, Length: 2}}}, nil, nil},
		{"extent that overflows", &image{extents: []diskimage.Extent{{Offset: 1, Length: 1<<63 - 1}}}, nil, nil},
		{"empty extent", &image{extents: []diskimage.Extent{{Offset: 1}}}, nil, nil},
		{"a write fails", &image{extents: whole}, failingWriter{broken}, broken},
	} {
		c.img.disk = noise(20 << 20)
		dst := c.dst
		if dst == nil {
			dst = &target{disk: make([]byte, 20<<20)}
		}
		if _, err := convert.Copy(t.Context(), dst, c.img, convert.Options{}); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("Copy, %s: %v", c.name, err)
		}
		if c.dst != nil {
			continue
		}
		if sum, err := convert.SHA256(t.Context(), c.img, convert.Options{}); err == nil || sum != "" || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("SHA256, %s: %q, %v", c.name, sum, err)
		}
	}
}

// ending is a disk whose source has become shorter than it was: reads that reach over its end give less than they were asked for, with an error or, as
// io.ReaderAt forbids, without one.
type ending struct {
	*image

	end int64
	err error
}

func (e ending) ReadAt(p []byte, at int64) (int, error) {
	n, err := e.image.ReadAt(p, at)
	if over := at + int64(n) - e.end; over > 0 {
		return max(0, n-int(over)), e.err
	}
	return n, err
}

// reaches says that the piece of the disk that an error tells of reaches beyond an offset: it is the first that does, or one behind it, that another
// worker was sooner with.
func reaches(err error, offset int64) bool {
	_, text, _ := strings.Cut(fmt.Sprint(err), "read ")
	var length, at int64
	_, _ = fmt.Sscanf(text, "%d bytes of the disk at offset %d", &length, &at)
	return offset == 0 || at+length > offset
}

// What is missing is an error that says where, and never zeros.
func TestShortReads(t *testing.T) {
	const size, end = 3 << 20, 2<<20 + 1
	whole := &image{disk: noise(size), extents: []diskimage.Extent{{Length: size}}}
	for _, err := range []error{nil, io.EOF} {
		short := ending{whole, end, err}
		_, copied := convert.Copy(t.Context(), &target{disk: make([]byte, size)}, short, convert.Options{})
		sum, hashed := convert.SHA256(t.Context(), short, convert.Options{})
		same, compared := convert.Compare(t.Context(), short, whole, convert.Options{})
		other, reversed := convert.Compare(t.Context(), whole, short, convert.Options{})
		for _, got := range []error{copied, hashed, compared, reversed} {
			if !errors.Is(got, io.ErrUnexpectedEOF) || !reaches(got, end) {
				t.Errorf("after %v: %v", err, got)
			}
		}
		if sum+same+other != "" {
			t.Errorf("after %v: digests %q, %q and %q", err, sum, same, other)
		}
	}
}

// What was written before a failure is told.
func TestWrittenBeforeAFailure(t *testing.T) {
	broken := errors.New("no space")
	img := &image{disk: noise(4 << 20), extents: []diskimage.Extent{{Length: 4 << 20}}}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	dst := &filling{room: 1<<20 + 100, err: broken}
	written, err := convert.Copy(t.Context(), dst, img, convert.Options{})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "offset 1048576") || written != 1<<20+100 {
		t.Errorf("%d bytes, %v", written, err)
	}
}

// filling is a target that has room for so many bytes.
type filling struct {
	room int
	err  error
}

func (f *filling) WriteAt(p []byte, _ int64) (int, error) {
	n := min(f.room, len(p))
	if f.room -= n; n < len(p) {
		return n, f.err
	}
	return n, nil
}

type failingWriter struct{ err error }

func (f failingWriter) WriteAt([]byte, int64) (int, error) { return 0, f.err }

// A context that ends, before or in the middle, ends the work with its cause.
func TestCancel(t *testing.T) {
	cause := errors.New("interrupted")
	img := &image{disk: noise(40 << 20), extents: []diskimage.Extent{{Length: 40 << 20}}}
	for _, after := range []int{0, 3} {
		ctx, cancel := context.WithCancelCause(t.Context())
		calls := 0
		written, err := convert.Copy(ctx, &target{disk: make([]byte, len(img.disk))}, img, convert.Options{Progress: func(done, _ int64) {
			if calls++; calls > after {
				cancel(cause)
			}
		}})
		if !errors.Is(err, cause) || written == int64(len(img.disk)) {
			t.Errorf("cancelled after %d reports: %v after %d bytes", after, err, written)
		}
		if _, err := convert.SHA256(ctx, img, convert.Options{}); !errors.Is(err, cause) {
			t.Errorf("SHA256: %v", err)
		}
		if _, err := convert.SHA256(ctx, &image{disk: make([]byte, 1<<20)}, convert.Options{}); !errors.Is(err, cause) {
			t.Errorf("SHA256 of holes: %v", err)
		}
		cancel(nil)
	}
}
