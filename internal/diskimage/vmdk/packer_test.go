package vmdk_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/raw"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
)

// mixed is data as disks hold them: half of it this program, a quarter nothing that can be compressed, a quarter zeros, in turn.
func mixed(t testing.TB, size int) []byte {
	t.Helper()
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	const piece = 3*grain + 1000
	dice := rand.NewChaCha8([32]byte{1})
	b := make([]byte, size)
	for at, k := 0, 0; at < size; at, k = at+piece, k+1 {
		part := b[at:min(size, at+piece)]
		switch k % 4 {
		case 0, 1:
			copy(part, program[at%(len(program)-piece):])
		case 2:
			_, _ = dice.Read(part) // never fails
		}
	}
	return b
}

// What a packer makes of a grain does not depend on what it was given before: else the file would depend on which worker took which.
func TestPackerForgets(t *testing.T) {
	data := mixed(t, 40*grain)
	used := vmdk.NewWriter(io.Discard).NewPacker()
	for at := 0; at < len(data); at += grain {
		fresh, err := vmdk.NewWriter(io.Discard).NewPacker()(nil, data[at:at+grain], int64(at))
		if err != nil {
			t.Fatal(err)
		}
		again, err := used(nil, data[at:at+grain], int64(at))
		if err != nil || !bytes.Equal(again, fresh) {
			t.Fatalf("the grain at %d is packed to %d bytes by a used packer, to %d by a new one; %v", at, len(again), len(fresh), err)
		}
	}
}

// The memory of a conversion is that of its buffers, made once.
func TestPackerAllocatesNothing(t *testing.T) {
	data := mixed(t, 40*grain)
	pack, piece := vmdk.NewWriter(io.Discard).NewPacker(), []byte(nil)
	var err error
	all := func() {
		if piece, err = pack(piece[:0], data, 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(5, all); n > 0 {
		t.Errorf("%v allocations for 40 grains", n)
	}
	if len(piece) > len(data)*7/8 {
		t.Errorf("%d bytes became %d", len(data), len(piece))
	}
}

// A piece may hold grains of several tables.
func TestWriterPieceOverTables(t *testing.T) {
	const size = 512 * 3 * grain
	data := pattern(2*grain, 1)
	var file bytes.Buffer
	w := vmdk.NewWriter(&file)
	if err := w.Begin(size); err != nil {
		t.Fatal(err)
	}
	piece, err := w.NewPacker()(nil, data, 511*grain)
	if err == nil {
		err = errors.Join(w.WritePiece(piece), w.End())
	}
	if err != nil {
		t.Fatal(err)
	}
	stored := map[int64][]byte{}
	for k := range int64(2) {
		stored[511+k] = data[k*grain : (k+1)*grain]
	}
	checkReceived(t, &file, size, stored)
}

// A grain table has 32 bits for a sector: what would lie behind 2 TiB is an error that says so, not a grain that is read from somewhere else.
func TestWriterLimit(t *testing.T) {
	grains := pattern(2*grain, 1)
	for _, c := range []struct {
		room int64 // before 2 TiB, when the first grain comes
		fits bool
	}{{-512, false}, {0, false}, {512, false}, {300 << 10, true}} {
		w := vmdk.NewWriter(io.Discard)
		if err := w.Begin(4 << 40); err != nil {
			t.Fatal(err)
		}
		piece, err := w.NewPacker()(nil, grains, 3<<40)
		if err != nil {
			t.Fatal(err)
		}
		w.Skip(2<<40 - 64<<10 - c.room) // it has written the header
		if err = w.WritePiece(piece); err == nil {
			err = w.End()
		}
		if c.fits != (err == nil) || err != nil && !strings.Contains(err.Error(), "beyond 2 TiB") {
			t.Errorf("%d bytes before 2 TiB: %v", c.room, err)
		}
	}
}

// BenchmarkDeflate is one worker's part.
func BenchmarkDeflate(b *testing.B) {
	data := mixed(b, 128*grain)
	pack, piece := vmdk.NewWriter(io.Discard).NewPacker(), []byte(nil)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		var err error
		if piece, err = pack(piece[:0], data, 0); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(piece))/float64(len(data)), "packed/data")
}

// BenchmarkWriteStreamOptimized is the whole way to VMDK, without a file system.
func BenchmarkWriteStreamOptimized(b *testing.B) {
	data := mixed(b, 512*grain)
	disk, err := raw.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := convert.Stream(b.Context(), vmdk.NewWriter(io.Discard), disk, convert.Options{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(runtime.GOMAXPROCS(0)), "cores")
}
