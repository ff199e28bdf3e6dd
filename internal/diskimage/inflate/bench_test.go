package inflate_test

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/inflate"
)

const grain = 64 << 10

// BenchmarkZlib inflates grains of real data, one after the other, here and with compress/zlib. MB/s are of output.
func BenchmarkZlib(b *testing.B) {
	data := realData(b)
	var packed [][]byte
	for at := 0; at+grain <= len(data); at += grain {
		packed = append(packed, pack(b, data[at:at+grain], zlib.DefaultCompression))
	}
	dst := make([]byte, grain)
	b.Run("here", func(b *testing.B) {
		var d inflate.Decoder
		b.SetBytes(int64(len(packed)) * grain)
		for b.Loop() {
			for _, p := range packed {
				if n, err := d.Zlib(dst, p); n != grain || err != nil {
					b.Fatal(n, err)
				}
			}
		}
	})
	b.Run("std", func(b *testing.B) {
		var src bytes.Reader
		src.Reset(packed[0])
		r, err := zlib.NewReader(&src)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(packed)) * grain)
		for b.Loop() {
			for _, p := range packed {
				src.Reset(p)
				if err := r.(zlib.Resetter).Reset(&src, nil); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(r, dst); err != nil {
					b.Fatal(err)
				}
				if _, err := r.Read(dst[:1]); !errors.Is(err, io.EOF) {
					b.Fatal(err)
				}
			}
		}
	})
}
