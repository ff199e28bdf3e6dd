package convert

import (
	"errors"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/sparse"
)

// memory is a disk that repeats a chunk in extents of one length with holes as long between.
type memory struct {
	chunk        []byte
	size, extent int64
}

func (m *memory) Size() int64  { return m.size }
func (m *memory) Close() error { return nil }

func (m *memory) ReadAt(p []byte, _ int64) (int, error) { return copy(p, m.chunk), nil }

func (m *memory) Extents() iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		for at := int64(0); at < m.size; at += 2 * m.extent {
			if !yield(diskimage.Extent{Offset: at, Length: min(m.extent, m.size-at)}, nil) {
				return
			}
		}
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

type nowhere struct{}

func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// What a chunk costs beside reading and writing it is nothing on the heap.
func TestNoAllocationPerChunk(t *testing.T) {
	for _, c := range []struct {
		name string
		work func(img diskimage.Image) error
	}{
		{"Copy", func(img diskimage.Image) error {
			_, err := Copy(t.Context(), nowhere{}, img, Options{Progress: func(int64, int64) {}})
			return err
		}},
		{"SHA256", func(img diskimage.Image) error {
			_, err := SHA256(t.Context(), img, Options{Progress: func(int64, int64) {}})
			return err
		}},
		{"Compare", func(img diskimage.Image) error {
			_, err := Compare(t.Context(), img, img, Options{Progress: func(int64, int64) {}})
			return err
		}},
	} {
		allocations := func(chunks int64) float64 {
			img := &memory{chunk: append(noise(chunkSize/2), make([]byte, chunkSize/2)...), size: 2 * chunks * chunkSize, extent: chunkSize}
			return testing.AllocsPerRun(5, func() {
				if err := c.work(img); err != nil {
					t.Fatal(err)
				}
			})
		}
		if few, many := allocations(50), allocations(250); many > few+20 {
			t.Errorf("%s: %v allocations for 50 chunks, %v for 250", c.name, few, many)
		}
	}
}

func BenchmarkZeroTest(b *testing.B) {
	half := append(noise(zeroPiece), make([]byte, zeroPiece)...)
	alternating := make([]byte, 0, chunkSize)
	for len(alternating) < chunkSize {
		alternating = append(alternating, half...)
	}
	for _, c := range []struct {
		name  string
		chunk []byte
	}{{"data", noise(chunkSize)}, {"zeros", make([]byte, chunkSize)}, {"alternating", alternating}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(chunkSize)
			for b.Loop() {
				for range dataRuns(c.chunk, 0) { //nolint:revive // finding them is the work
				}
			}
		})
	}
}

// BenchmarkWrite is the floor of a conversion: what the file system takes to write into a sparse file.
func BenchmarkWrite(b *testing.B) {
	const size = 64 << 20
	chunk := noise(chunkSize)
	b.SetBytes(size)
	path := filepath.Join(b.TempDir(), "volume")
	for b.Loop() {
		f, err := sparse.Create(path, size, 0o600)
		if err != nil {
			b.Fatal(err)
		}
		for at := int64(0); at < size; at += chunkSize {
			if _, err := f.WriteAt(chunk, at); err != nil {
				b.Fatal(err)
			}
		}
		if err := errors.Join(f.Close(), os.Remove(path)); err != nil {
			b.Fatal(err)
		}
	}
}

// What lies between reading and writing: cutting extents into chunks, handing them out, the zero test and the progress.
func BenchmarkCopy(b *testing.B) {
	for _, c := range []struct {
		name   string
		extent int64
	}{{"extents of 4 KiB", 4 << 10}, {"extents of 64 KiB", 64 << 10}, {"extents of 4 MiB", 4 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			img := &memory{chunk: noise(chunkSize), size: 64 << 20, extent: c.extent}
			b.SetBytes(img.size / 2)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Copy(b.Context(), nowhere{}, img, Options{Progress: func(int64, int64) {}}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSHA256(b *testing.B) {
	img := &memory{chunk: noise(chunkSize), size: 64 << 20, extent: 32 << 20}
	b.SetBytes(img.Size()) // half of it is holes, which take the same time
	for b.Loop() {
		if _, err := SHA256(b.Context(), img, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
