package vhdx

import "testing"

// Ranges of bits, within words and over their ends, are taken once, and nothing beside them is.
func TestTakeBits(t *testing.T) {
	const n = 4 * 64
	for from := range int64(n) {
		for end := from; end <= n; end++ {
			var s bitset
			s.reset(n)
			if !s.take(from, end) {
				t.Fatalf("%d to %d: of no bits, one is taken", from, end)
			}
			for k := range int64(n) {
				if s.has(k) != (from <= k && k < end) {
					t.Fatalf("%d to %d: bit %d is %v", from, end, k, s.has(k))
				}
			}
			if from > 0 && !s.take(from-1, from) || end < n && !s.take(end, end+1) {
				t.Fatalf("%d to %d: the bits beside it are taken", from, end)
			}
			if end > from && (s.take(from, from+1) || s.take(end-1, n) || s.take(0, n)) {
				t.Fatalf("%d to %d: the first or the last bit is free", from, end)
			}
		}
	}
}

// BenchmarkTakeBits is the check of a disk of 60 TiB.
func BenchmarkTakeBits(b *testing.B) {
	var s bitset
	for b.Loop() {
		s.reset(60 << 20)
		for at := int64(1); at+256 <= 60<<20; at += 256 {
			if !s.take(at, at+256) {
				b.Fatal("taken")
			}
		}
	}
}
