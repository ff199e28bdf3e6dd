package vhdx_test

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhdx"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// crafted is a file with a log whose sectors are made when they are read, and with zeros for the rest.
type crafted struct {
	b      []byte
	log    int64
	length int64
	sector func(n int64) []byte
	read   int64 // of the log
}

func (c *crafted) ReadAt(p []byte, at int64) (int, error) {
	clear(p)
	if at >= c.log && at < c.log+c.length {
		c.read += int64(len(p))
	}
	if at < int64(len(c.b)) {
		copy(p, c.b[at:])
	}
	for n := 0; n < len(p); n += 4096 {
		if in := at + int64(n) - c.log; in >= 0 && in < c.length {
			copy(p[n:], c.sector(in/4096))
		}
	}
	return len(p), nil
}

// Logs that claim much in little room: neither memory follows nor what is read of them. The largest log that is read has 256 MiB; here it ends where
// its kind of claim would already show, so that the test stays short.
func TestLogBombs(t *testing.T) {
	const (
		size  = 100 << 40 // of the file
		bound = 64 * mib
	)
	base := testimage.VHDX{Size: mib}.Build()
	behind := uint64(2 << 30) // the log is before it
	make1 := func(n int64, writes ...testimage.VHDXWrite) []byte {
		return testimage.VHDXLogEntry{GUID: logGUID, Sequence: uint64(n + 1), Flushed: size, Last: size, Writes: writes}.Bytes()
	}
	full := func(n int64, length uint64) []byte {
		writes := make([]testimage.VHDXWrite, 126)
		for k := range writes {
			writes[k] = testimage.VHDXWrite{Offset: behind + uint64(n*126+int64(k))*4096, Zero: length}
		}
		return make1(n, writes...)
	}
	long := make1(0, slices.Repeat([]testimage.VHDXWrite{{Offset: behind, Page: make([]byte, 4096)}}, 15_000)...)
	long[4] ^= 1 // the checksum
	beginning := make1(0)
	copy(beginning[8:], "\x00\x00\x00\x04") // claims 64 MiB
	for _, c := range []struct {
		name   string
		length int64
		sector func(n int64) []byte
		want   string // "" for a log that is replayed
	}{
		{"beginnings only", 64 * mib, func(int64) []byte { return beginning }, "holds no sequence of entries"},
		{"entries of 59 MiB, torn", 64 * mib, func(n int64) []byte { return long[n%int64(len(long)/4096)*4096:][:4096] }, "holds no sequence of entries"},
		{"entries only", 64 * mib, func(n int64) []byte { return make1(n) }, ""},
		{"as many sequences as entries", 64 * mib, func(n int64) []byte {
			return testimage.VHDXLogEntry{GUID: logGUID, Sequence: uint64(2*n + 2), Tail: n * 4096, Flushed: size, Last: size}.Bytes()
		}, ""},
		{"2^18 ranges inside each other", 9 * mib, func(n int64) []byte {
			if n*126 >= 1<<18-126 {
				return make1(n)
			}
			writes := make([]testimage.VHDXWrite, 126)
			for k := range writes {
				i := uint64(n*126 + int64(k))
				writes[k] = testimage.VHDXWrite{Offset: behind + i*8192, Zero: size - behind - i*16384}
			}
			return make1(n, writes...)
		}, ""},
		{"2^18 ranges over each other", 9 * mib, func(n int64) []byte {
			if n*126 >= 1<<18-126 {
				return make1(n)
			}
			return full(n, 1<<40)
		}, ""},
		{"more than 2^18 writes", 9 * mib, func(n int64) []byte { return full(n, 4096) }, "more than 262144 writes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := testimage.VHDXFile{Data: base.Data}
			f.Put32(testimage.VHDXHeader2+68, uint32(c.length))
			f.Put64(testimage.VHDXHeader2+72, 64*mib)
			f.SetLogGUID(logGUID)
			file := &crafted{b: f.Data, log: 64 * mib, length: c.length}
			sectors := map[int64][]byte{} // made beforehand, so that what is allocated below is the reader's
			for n := range c.length / 4096 {
				sectors[n] = c.sector(n)
			}
			file.sector = func(n int64) []byte { return sectors[n] }

			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			img, err := vhdx.Open(file, size)
			if err == nil {
				_, err = io.Copy(io.Discard, io.NewSectionReader(img, 0, img.Size()))
			}
			runtime.ReadMemStats(&after)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
			total := after.TotalAlloc - before.TotalAlloc
			if total > bound {
				t.Errorf("allocated %d MiB in all, more than 64", total/mib)
			}
			if file.read > 8*c.length {
				t.Errorf("read %d MiB of a log of %d", file.read/mib, c.length/mib)
			}
			t.Logf("allocated %d KiB in all; read %d MiB of %d", total>>10, file.read/mib, c.length/mib)
		})
	}
}

// A disk of 16 TiB in blocks of 1 MiB has a BAT of 128 MiB, which is looked through but never held.
func TestMemoryOfBAT(t *testing.T) {
	f := testimage.VHDX{Size: mib}.Build()
	f.Put64(f.Item(testimage.VHDXVirtualSize), 16<<40)
	f.Put64(f.Region(testimage.VHDXBATRegion)+16, 1<<30)
	f.Put32(f.Region(testimage.VHDXBATRegion)+24, 129*mib)
	f.Sum()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	img, err := vhdx.Open(sparse{f.Data}, 128<<40)
	if err != nil {
		t.Fatal(err)
	}
	if got := extents(t, img); len(got) > 0 {
		t.Errorf("extents %v", got)
	}
	runtime.ReadMemStats(&after)
	if total := after.TotalAlloc - before.TotalAlloc; total > 64*mib {
		t.Errorf("allocated %d MiB in all, more than 64", total/mib)
	} else {
		t.Logf("allocated %d KiB in all", total>>10)
	}
}

// A chain of 64 files, with a BAT of 128 MiB each, that eight read at once: memory follows neither the files nor the tables.
func TestMemoryOfChain(t *testing.T) {
	const size = 16 << 40
	build := func(k int) *testimage.VHDXFile {
		v := testimage.VHDX{Size: mib, ID: id(1)}
		if k < 63 {
			v.Locator = testimage.VHDXLocator(id(1), fmt.Sprintf("%d.vhdx", k+1))
		}
		f := v.Build()
		f.Put64(f.Item(testimage.VHDXVirtualSize), size)
		f.Put64(f.Region(testimage.VHDXBATRegion)+16, 1<<30)
		f.Put32(f.Region(testimage.VHDXBATRegion)+24, 129*mib)
		f.Sum()
		return f
	}
	files := make([][]byte, 64)
	for k := range files {
		files[k] = build(k).Data
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	img, err := vhdx.OpenBeside(holes{files[0]}, 100<<40, func(name string) (diskimage.File, error) {
		k, err := strconv.Atoi(strings.TrimSuffix(name, ".vhdx"))
		return holes{files[k]}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	var wg sync.WaitGroup
	for k := range int64(8) {
		wg.Go(func() {
			b := make([]byte, 4096)
			for n := range int64(20) {
				if _, err := img.ReadAt(b, (8*n+k)*100<<30); err != nil {
					t.Error(err)
				}
			}
			if got := extents(t, img); len(got) > 0 {
				t.Errorf("extents %v", got)
			}
		})
	}
	wg.Wait()
	runtime.ReadMemStats(&after)
	if total := after.TotalAlloc - before.TotalAlloc; total > 64*mib {
		t.Errorf("allocated %d MiB in all, more than 64", total/mib)
	} else {
		t.Logf("allocated %d KiB in all", total>>10)
	}
}

// holes is a file that goes on with a hole.
type holes struct{ b []byte }

func (h holes) ReadAt(p []byte, at int64) (int, error) { return sparse(h).ReadAt(p, at) }
func (holes) Size() int64                              { return 100 << 40 }
func (holes) Close() error                             { return nil }

func (h holes) NextData(off int64) (start, end int64, err error) {
	if off >= int64(len(h.b)) {
		return 0, 0, io.EOF
	}
	return off, int64(len(h.b)), nil
}
