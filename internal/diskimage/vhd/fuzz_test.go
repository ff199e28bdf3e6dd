package vhd_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"pgregory.net/rapid"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhd"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// FuzzOpen feeds foreign bytes, with their checksums made right if wanted: whatever they are, the reader ends, stays inside the disk, keeps its
// promises about extents, and its errors have a type.
func FuzzOpen(f *testing.F) {
	v, runs, _ := small()
	f.Add(v.Build(runs...).Data, false)
	v.BlockSize, v.ShortLast, v.ShortFooter = 512, true, true
	f.Add(v.Build(runs...).Data, true)
	v.Parent = "base.vhd"
	f.Add(v.Build(runs...).Data, true)
	f.Add(testimage.VHD{Fixed: true, Size: 1024}.Build().Data, true)
	f.Add(testimage.VHD{Size: 512}.Build().Data, true)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if data = bytes.Clone(data); seal {
			sealEverything(data)
		}
		img, err := vhd.Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			typed(t, err)
			return
		}
		checkFuzzed(t, img, int64(len(data)))
	})
}

// checkFuzzed reads an image as the converter does. Its files have stored bytes together.
func checkFuzzed(t *testing.T, img *vhd.Image, stored int64) {
	t.Helper()
	end, total := int64(0), int64(0)
	for e, err := range img.Extents() {
		if err != nil {
			t.Fatalf("the tables were checked, but: %v", err)
		}
		if e.Length <= 0 || total > 0 && e.Offset <= end || e.End() > img.Size() {
			t.Fatalf("extent %+v after %d in a disk of %d bytes", e, end, img.Size())
		}
		if total += e.Length; total > stored {
			t.Fatalf("%d bytes of data in files of %d", total, stored)
		}
		end = e.End()
		b := make([]byte, min(e.Length, 64<<10))
		if n, err := img.ReadAt(b, e.Offset); n != len(b) || err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("ReadAt: %d of %d bytes, %v", n, len(b), err)
		}
	}
	if n, err := img.ReadAt(make([]byte, 1000), img.Size()-10); n != 10 || !errors.Is(err, io.EOF) {
		t.Fatalf("ReadAt over the end: %d, %v", n, err)
	}
}

func typed(t *testing.T, err error) {
	t.Helper()
	_, corrupt := errors.AsType[*diskimage.CorruptError](err)
	_, unsupported := errors.AsType[*diskimage.UnsupportedError](err)
	if !corrupt && !unsupported {
		t.Fatalf("error of type %T: %v", err, err)
	}
}

// sealEverything makes right what looks like a footer or a header, without knowing what it is.
func sealEverything(data []byte) {
	if n := len(data); n >= 512 {
		f := testimage.VHDFile{Data: data, Footer: int64(n - 512), Copy: -1}
		if n > 512 && bytes.HasPrefix(data[n-511:], []byte("conectix")) {
			f.Footer++
		}
		if bytes.HasPrefix(data, []byte("conectix")) {
			f.Copy = 0
			if at := binary.BigEndian.Uint64(data[16:]); at <= uint64(n) && n-int(at) >= 1024 {
				f.Header = int64(at)
			}
		}
		f.Seal()
	}
}

// target is a new file in memory.
type target []byte

func (d target) WriteAt(p []byte, at int64) (int, error) { return copy(d[at:], p), nil }

// Any disk, laid out in any way, through the builder, the reader and the converter, gives the same bytes again.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := testimage.VHD{
			Fixed:       rapid.Bool().Draw(t, "fixed"),
			Size:        512 * rapid.Int64Range(1, 3000).Draw(t, "sectors"),
			ShortFooter: rapid.Bool().Draw(t, "short footer"),
			BlockSize:   rapid.SampledFrom([]int64{512, 1024, 4096, 64 << 10, 512 << 10, 2 << 20}).Draw(t, "block"),
			Slack:       rapid.Int64Range(0, 300).Draw(t, "slack"),
			Gap:         rapid.Int64Range(0, 3).Draw(t, "gap"),
			ShortLast:   rapid.Bool().Draw(t, "short last"),
		}
		if v.Fixed {
			v.ShortLast = false
		}
		for k := range (v.Size + v.BlockSize - 1) / v.BlockSize {
			v.Order = append(v.Order, k)
		}
		if rapid.Bool().Draw(t, "shuffled") {
			v.Order = rapid.Permutation(v.Order).Draw(t, "order")
		}
		disk := make([]byte, v.Size)
		var runs []testimage.Run
		for at := rapid.Int64Range(0, v.Size).Draw(t, "first"); at < v.Size; {
			n := rapid.Int64Range(1, min(v.Size-at, 100<<10)).Draw(t, "length")
			if rapid.Bool().Draw(t, "zeros") {
				runs = append(runs, testimage.Run{Offset: at, Zero: n})
			} else {
				runs = append(runs, testimage.Run{Offset: at, Data: pattern(int(n), uint64(at))})
				copy(disk[at:], runs[len(runs)-1].Data)
			}
			at += n + rapid.Int64Range(0, 200<<10).Draw(t, "hole")
		}
		f := v.Build(runs...)
		img, err := open(f.Data)
		if err != nil {
			t.Fatal(err)
		}
		got := target(make([]byte, img.Size()))
		if _, err := convert.Copy(t.Context(), got, img, convert.Options{}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, disk) {
			t.Fatal("the bytes differ")
		}
		stored := int64(0)
		for e, err := range img.Extents() {
			if err != nil {
				t.Fatal(err)
			}
			stored += e.Length
		}
		want := v.Size
		if !v.Fixed {
			want = 0
			for index := range f.Block {
				want += min(v.BlockSize, v.Size-index*v.BlockSize)
			}
		}
		if stored != want {
			t.Fatalf("extents of %d bytes, %d are stored", stored, want)
		}
	})
}
