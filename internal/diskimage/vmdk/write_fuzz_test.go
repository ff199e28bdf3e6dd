package vmdk_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"iter"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
)

// scattered is a disk of any size with a few pieces of data in it.
type scattered struct {
	size    int64
	extents []diskimage.Extent
	data    [][]byte // of each extent; nil where it is zeros
}

// scatter makes a disk of arbitrary bytes: of what is where, and what it is.
func scatter(size int64, b []byte) scattered {
	d := scattered{size: size}
	for at, total := int64(0), 0; len(b) >= 6 && total < 512<<10; {
		gap, kind, length := int64(binary.LittleEndian.Uint16(b)), b[2], int64(binary.LittleEndian.Uint16(b[3:]))
		if b[5]&1 != 0 {
			gap <<= 16 // over grain tables; else extents share grains, or touch
		}
		if b[5]&2 != 0 {
			length *= 8 // over several grains
		}
		b = b[6:]
		if at += gap; at >= size || length == 0 {
			break
		}
		e := diskimage.Extent{Offset: at, Length: min(length, size-at), Zero: kind%8 == 0}
		var data []byte
		if kind%8 > 1 {
			data = make([]byte, e.Length)
			dice := rand.New(rand.NewPCG(uint64(at), uint64(kind)))
			for i := range data {
				data[i] = byte(dice.UintN(uint(kind))) // of few bits, or of many, with zeros
			}
			copy(data, b)
		}
		d.extents, d.data = append(d.extents, e), append(d.data, data)
		at, total = e.End(), total+int(e.Length)
	}
	return d
}

func (d scattered) Size() int64 { return d.size }

func (d scattered) Close() error { return nil }

func (d scattered) ReadAt(p []byte, off int64) (int, error) {
	p = p[:max(0, min(int64(len(p)), d.size-off))]
	clear(p)
	for k, e := range d.extents {
		if from, to := max(off, e.Offset), min(off+int64(len(p)), e.End()); from < to && d.data[k] != nil {
			copy(p[from-off:to-off], d.data[k][from-e.Offset:])
		}
	}
	if len(p) == 0 {
		return 0, io.EOF
	}
	return len(p), nil
}

func (d scattered) Extents() iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		for _, e := range d.extents {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// grains are the numbers of those that are not zeros, with their bytes.
func (d scattered) grains() map[int64][]byte {
	all := map[int64][]byte{}
	for _, e := range d.extents {
		for g := e.Offset / grain; g*grain < e.End(); g++ {
			b := make([]byte, grain)
			if _, err := d.ReadAt(b, g*grain); err == nil && len(bytes.Trim(b, "\x00")) > 0 {
				all[g] = b
			}
		}
	}
	return all
}

// FuzzWriteRead writes any disk: what is read of it, by this package's reader and by one that shares nothing with it, is that disk; nothing more is
// stored than must be, and the bytes are the same whatever the number of workers.
func FuzzWriteRead(f *testing.F) {
	f.Add(int64(1), []byte{0, 0, 7, 1, 0, 0})
	f.Add(int64(3<<20+1000), []byte{10, 0, 2, 0, 255, 2, 1, 0, 255, 0, 100, 0, 5, 0, 1, 9, 1, 0, 1, 1, 8, 9, 0, 2, 30, 0, 250, 255, 255, 3})
	f.Add(int64(5<<30), []byte{0, 2, 3, 0, 9, 1, 0, 2, 200, 0, 90, 3, 0, 2, 255, 255, 255, 3})
	f.Fuzz(func(t *testing.T, size int64, content []byte) {
		if size <= 0 || size > 1<<40 {
			t.Skip("a directory for nothing")
		}
		disk := scatter(size, content)
		var file [2]bytes.Buffer
		for k, workers := range []int{1, 5} {
			before := runtime.GOMAXPROCS(workers)
			err := convert.Stream(t.Context(), vmdk.NewWriter(&file[k]), disk, convert.Options{})
			runtime.GOMAXPROCS(before)
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(file[0].Bytes(), file[1].Bytes()) {
			t.Fatal("one worker and five wrote different files")
		}
		stored := disk.grains()
		checkReceived(t, &file[0], size, stored)
		checkOpened(t, file[1].Bytes(), size, stored)
	})
}

func padded(size int64) int64 { return (size + 511) / 512 * 512 }

func checkReceived(t *testing.T, file io.Reader, size int64, stored map[int64][]byte) {
	t.Helper()
	got, err := receive(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.size != padded(size) || len(got.grains) != len(stored) {
		t.Fatalf("received %d grains of %d bytes, the disk has %d of %d", len(got.grains), got.size, len(stored), size)
	}
	for g, want := range stored {
		if !bytes.Equal(got.grains[g], want) {
			t.Fatalf("received another grain %d", g)
		}
	}
}

func checkOpened(t *testing.T, file []byte, size int64, stored map[int64][]byte) {
	t.Helper()
	img, err := vmdk.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if img.Size() != padded(size) {
		t.Fatalf("%d bytes, want those of %d", img.Size(), size)
	}
	seen := 0
	for e, err := range img.Extents() {
		if err != nil || e.Zero || e.Offset%grain != 0 {
			t.Fatalf("extent %+v, %v", e, err)
		}
		for at := e.Offset; at < e.End(); at += grain {
			b := make([]byte, min(grain, e.End()-at))
			if _, err := img.ReadAt(b, at); err != nil {
				t.Fatal(err)
			}
			if want := stored[at/grain]; want == nil || !bytes.Equal(b, want[:len(b)]) {
				t.Fatalf("grain %d reads as another", at/grain)
			}
			seen++
		}
	}
	if seen != len(stored) {
		t.Fatalf("%d grains, want %d", seen, len(stored))
	}
}
