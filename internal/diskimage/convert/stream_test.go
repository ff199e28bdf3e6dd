package convert_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
)

const unit = 4 << 10

// pieces is a format that stores each unit of data behind its offset and length.
type pieces struct {
	size  int64
	file  []byte
	ended bool

	room             int // bytes that WritePiece takes before it fails with err
	begin, pack, end bool
	err              error
}

func (p *pieces) Begin(size int64) error {
	p.size = size
	return p.failing(p.begin)
}

func (p *pieces) failing(is bool) error {
	if is {
		return p.err
	}
	return nil
}

func (p *pieces) Unit() int64 { return unit }

func (p *pieces) NewPacker() func(piece, chunk []byte, offset int64) ([]byte, error) {
	return func(piece, chunk []byte, offset int64) ([]byte, error) {
		for len(chunk) > 0 {
			n := min(len(chunk), unit)
			piece = binary.LittleEndian.AppendUint64(piece, uint64(offset))
			piece = binary.LittleEndian.AppendUint64(piece, uint64(n))
			piece = append(piece, chunk[:n]...)
			chunk, offset = chunk[n:], offset+int64(n)
		}
		return piece, p.failing(p.pack)
	}
}

func (p *pieces) WritePiece(piece []byte) error {
	if p.err != nil && len(p.file)+len(piece) > p.room {
		return p.err
	}
	p.file = append(p.file, piece...)
	return nil
}

func (p *pieces) End() error {
	p.ended = true
	return p.failing(p.end)
}

// read gives the disk, and where there were units.
func (p *pieces) read() (disk []byte, stored []diskimage.Extent) {
	disk = make([]byte, p.size)
	for b := p.file; len(b) > 0; {
		at, n := int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:]))
		copy(disk[at:], b[16:16+n])
		stored, b = append(stored, diskimage.Extent{Offset: at, Length: n}), b[16+n:]
	}
	return disk, stored
}

// Any map of extents: each unit with data comes once, whole, in the order of the disk, and none of the others is read; the same bytes from any number of
// workers.
func TestStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		img := &image{disk: noise(rapid.OneOf(rapid.IntRange(1, 3*unit), rapid.IntRange(1<<20, 3<<20)).Draw(t, "size")), whole: true}
		size := img.Size()
		var want []diskimage.Extent
		for at := rapid.Int64Range(0, size).Draw(t, "first"); at < size; {
			e := diskimage.Extent{Offset: at, Length: rapid.Int64Range(1, min(size-at, 700<<10)).Draw(t, "length"), Zero: rapid.Bool().Draw(t, "zero")}
			img.extents = append(img.extents, e)
			for u := e.Offset / unit * unit; !e.Zero && u < e.End(); u += unit {
				if len(want) == 0 || want[len(want)-1].Offset != u {
					want = append(want, diskimage.Extent{Offset: u, Length: min(unit, size-u)})
				}
			}
			at = e.End() + rapid.OneOf(rapid.Int64Range(0, unit), rapid.Int64Range(0, 300<<10)).Draw(t, "hole")
		}
		var files [2]pieces
		for k, workers := range []int{1, 6} {
			before := runtime.GOMAXPROCS(workers)
			err := convert.Stream(t.Context(), &files[k], img, convert.Options{})
			runtime.GOMAXPROCS(before)
			if err != nil || !files[k].ended {
				t.Fatalf("%d workers: %v, ended %v", workers, err, files[k].ended)
			}
		}
		disk, stored := files[0].read()
		if !slices.Equal(stored, want) {
			t.Fatalf("units %v, want %v", stored, want)
		}
		for _, e := range want {
			if !bytes.Equal(disk[e.Offset:e.End()], img.disk[e.Offset:e.End()]) {
				t.Fatalf("the unit at %d is not the disk's", e.Offset)
			}
		}
		if !bytes.Equal(files[0].file, files[1].file) {
			t.Fatal("one worker and six wrote different files")
		}
	})
}

// cutOff is a disk whose file has become shorter since it was opened.
type cutOff struct {
	*image

	at int64
}

func (c cutOff) ReadAt(p []byte, off int64) (int, error) {
	n, _ := c.image.ReadAt(p, off)
	if n = min(n, int(max(0, c.at-off))); n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// full is a file on a disk that has no room for more.
type full struct {
	target

	room int64
}

func (f *full) WriteAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > f.room {
		return 0, syscall.ENOSPC
	}
	return f.target.WriteAt(p, at)
}

// Faults on both ways, to raw and to a stream: the error is that of the fault and says where, and nothing is ended as if it were complete.
func TestFaults(t *testing.T) {
	const size, at = 8 << 20, 5<<20 + 1000
	extents := []diskimage.Extent{{Length: size}}
	disk := noise(size)
	for _, c := range []struct {
		name   string
		img    diskimage.Image
		room   int64 // of the file that is written
		stream pieces
		want   error
		says   string
		from   int64 // what is missing of the disk
	}{
		{name: "EIO from the source", img: &image{disk: disk, extents: extents, err: syscall.EIO, broken: at}, want: syscall.EIO, says: "of the disk at offset 5242880"},
		{name: "a source that shrinks", img: cutOff{&image{disk: disk, extents: extents}, at}, want: io.ErrUnexpectedEOF, says: "of the disk at offset", from: at},
		{name: "a source that is emptied", img: cutOff{&image{disk: disk, extents: extents}, 0}, want: io.ErrUnexpectedEOF, says: "of the disk at offset"},
		{name: "a full disk", img: &image{disk: disk, extents: extents}, room: at, stream: pieces{room: at, err: syscall.ENOSPC}, want: syscall.ENOSPC},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst := &full{target: target{disk: make([]byte, size)}, room: size}
			if c.room > 0 {
				dst.room = c.room
			}
			written, err := convert.Copy(t.Context(), dst, c.img, convert.Options{})
			if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.says) || !reaches(err, c.from) || written == size {
				t.Errorf("Copy: %v after %d bytes", err, written)
			}
			if c.room > 0 && !strings.Contains(fmt.Sprint(err), "at offset ") {
				t.Errorf("Copy: %v", err)
			}
			err = convert.Stream(t.Context(), &c.stream, c.img, convert.Options{})
			if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.says) || !reaches(err, c.from) || c.stream.ended || len(c.stream.file) > at+at/100 {
				t.Errorf("Stream: %v, ended %v, after %d bytes", err, c.stream.ended, len(c.stream.file))
			}
		})
	}
	broken := errors.New("broken")
	for name, p := range map[string]*pieces{
		"Begin": {begin: true, err: broken, room: 1 << 30}, "a packer": {pack: true, err: broken, room: 1 << 30},
		"WritePiece": {err: broken}, "End": {end: true, err: broken, room: 1 << 30},
	} {
		if err := convert.Stream(t.Context(), p, &image{disk: disk, extents: extents}, convert.Options{}); !errors.Is(err, broken) || p.ended != (name == "End") {
			t.Errorf("%s fails: %v, ended %v", name, err, p.ended)
		}
	}
}

// A context that ends, before or in the middle, ends the stream with its cause.
func TestStreamCancel(t *testing.T) {
	cause := errors.New("interrupted")
	img := &image{disk: noise(20 << 20), extents: []diskimage.Extent{{Length: 20 << 20}}}
	for _, from := range []int64{0, 4 << 20} {
		ctx, cancel := context.WithCancelCause(t.Context())
		var p pieces
		err := convert.Stream(ctx, &p, img, convert.Options{Progress: func(done, _ int64) {
			if done >= from {
				cancel(cause)
			}
		}})
		if !errors.Is(err, cause) || p.ended || int64(len(p.file)) > from+2<<20 {
			t.Errorf("cancelled at %d: %v, ended %v, after %d bytes", from, err, p.ended, len(p.file))
		}
		cancel(nil)
	}
}
