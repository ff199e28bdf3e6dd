package inflate

import (
	"bytes"
	std "hash/adler32"
	"math/rand/v2"
	"testing"
)

// 0xff in all places is what fills the lanes.
func TestAdler32(t *testing.T) {
	random := make([]byte, 300<<10)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	for _, b := range [][]byte{random, bytes.Repeat([]byte{0xff}, 300<<10)} {
		for _, length := range []int{len(b), len(b) - 1, adlerRun, adlerRun - 1, adlerRun + 1, 5552, 65521} {
			if adler32(b[:length]) != std.Checksum(b[:length]) {
				t.Errorf("wrong for %d bytes", length)
			}
		}
		for length := range 4 * adlerRun {
			if adler32(b[length:2*length]) != std.Checksum(b[length:2*length]) {
				t.Errorf("wrong for %d bytes", length)
			}
		}
	}
}

func BenchmarkAdler32(b *testing.B) {
	data := make([]byte, 64<<10)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		adler32(data)
	}
}
