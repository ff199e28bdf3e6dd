package inflate_test

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/inflate"
)

// Streams made by hand, what they are, and whether they are sound: compress/zlib must agree.
func streams() []handMade {
	deep := codes{endOfBlock: 15, 'z': 15} // a code of every length, which fills sub-tables
	for n := 1; n < 15; n++ {
		deep['a'+n-1] = n
	}
	deepDist := codes{14: 15, 15: 15}
	for n := 1; n < 15; n++ {
		deepDist[n-1] = n
	}
	deepest := merge(deep, codes{'z': 0, 284: 15})
	deepestDist := codes{28: 15, 29: 15}
	for n := 1; n < 15; n++ {
		deepestDist[n-1] = n
	}
	abc := codes{'a': 2, 'b': 2, endOfBlock: 2, 257: 2}
	lone := codes{0: 1}
	long := strings.Repeat("0123456789abcdef", 2048) // 32 KiB
	wide := newStream().stored(false, long).header(true, 1)
	greedy, far := newStream().stored(false, long).dynamic(true, 286, 30, deepest, deepestDist), []byte(long)
	for k := range uint(300) { // the most bits that a turn of the decoder may need, at every offset in a byte
		greedy.symbol(deepest, 'k').symbol(deepest, 'k').symbol(deepest, 284).put(k%31, 5).symbol(deepestDist, 29).put(8190-k, 13)
		far = append(far, "kk"...)
		for range 227 + k%31 {
			far = append(far, far[len(far)-24577-8190+int(k)])
		}
		if k%3 == 0 {
			greedy.symbol(deepest, 'a')
			far = append(far, 'a')
		}
	}
	nines := strings.Repeat("\xf0", 16)
	return []handMade{
		{"nothing", newStream().stored(true, "").sum(""), "", nil},
		{"stored", newStream().stored(true, "stored").sum("stored"), "stored", nil},
		{"several blocks", newStream().stored(false, "one").stored(false, "").header(false, 1).fixedText("two").fixedLit(endOfBlock).stored(false, "three").
			dynamic(true, 258, 1, abc, lone).symbol(abc, 'a').symbol(abc, 257).code(0, 1).symbol(abc, endOfBlock).sum("onetwothreeaaaa"), "onetwothreeaaaa", nil},
		{"what follows is ignored", append(newStream().stored(true, "x").sum("x"), "garbage"...), "x", nil},
		{"a match of 258 at distance 1", newStream().header(true, 1).fixedText("x").fixedLit(285).fixedDist(0).fixedLit(endOfBlock).
			sum(strings.Repeat("x", 259)), strings.Repeat("x", 259), nil},
		{"a match of 258 as 227 and 31", newStream().header(true, 1).fixedText("x").fixedLit(284).put(31, 5).fixedDist(0).fixedLit(endOfBlock).
			sum(strings.Repeat("x", 259)), strings.Repeat("x", 259), nil},
		{"a distance of 32768", wide.fixedLit(257).fixedDist(29).put(8191, 13).fixedLit(endOfBlock).sum(long + "012"), long + "012", nil},
		{"codes of 15 bits", newStream().dynamic(true, 286, 16, deep, deepDist).symbol(deep, 'a').symbol(deep, 'n').symbol(deep, 'z').
			symbol(deep, endOfBlock).sum("anz"), "anz", nil},
		{"a distance with a code of 15 bits", newStream().stored(false, long).dynamic(true, 286, 16, merge(deep, codes{'a': 0, 285: 1}), deepDist).
			symbol(merge(deep, codes{'a': 0, 285: 1}), 285).symbol(deepDist, 15).put(63, 6).symbol(merge(deep, codes{'a': 0, 285: 1}), endOfBlock).
			sum(long + long[32768-256:] + "01"), long + long[32768-256:] + "01", nil},
		{"turns that need all bits", greedy.symbol(deepest, endOfBlock).sum(string(far)), string(far), nil},
		{"literals of nine bits", newStream().header(true, 1).fixedText(nines).fixedLit(endOfBlock).sum(nines), nines, nil},
		{"a code of one symbol", newStream().dynamic(true, 257, 1, codes{endOfBlock: 1}, codes{}).code(0, 1).sum(""), "", nil},
		{"no code for the end", newStream().dynamic(true, 257, 1, codes{'a': 1}, codes{}).put(0, 8*4).b, "", inflate.ErrTruncated},

		{"empty", nil, "", inflate.ErrTruncated},
		{"half a header", []byte{0x78}, "", inflate.ErrTruncated},
		{"another method", []byte{0x77, 0x85, 3, 0, 0, 0, 0, 1}, "", inflate.ErrHeader},
		{"a window of 64 KiB", []byte{0x88, 0x1c, 3, 0, 0, 0, 0, 1}, "", inflate.ErrHeader},
		{"a header without its check", []byte{0x78, 0x9d, 3, 0, 0, 0, 0, 1}, "", inflate.ErrHeader},
		{"gzip", []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 3, 0}, "", inflate.ErrHeader},
		{"a dictionary", []byte{0x78, 0xbb, 0, 0, 0, 2, 3, 0, 0, 0, 0, 1}, "", inflate.ErrDictionary},
		{"the empty dictionary", []byte{0x78, 0xbb, 0, 0, 0, 1, 3, 0, 0, 0, 0, 1}, "", inflate.ErrDictionary},
		{"a checksum of one bit less", damaged(newStream().stored(true, "x").sum("x"), -1), "x", inflate.ErrChecksum},
		{"half a checksum", shortened(newStream().stored(true, "x").sum("x"), 2), "x", inflate.ErrTruncated},
		{"block type 3", newStream().stored(false, "abc").header(true, 3).sum("abc"), "abc", inflate.ErrBlockType},
		{"a wrong complement", damaged(newStream().stored(true, "").b, -1), "", inflate.ErrStored},
		{"a stored block that is cut off", shortened(newStream().stored(true, "abc").b, 1), "ab", inflate.ErrTruncated},
		{"length symbol 286", newStream().header(true, 1).fixedText("x").fixedLit(286).put(0, 64).b, "x", inflate.ErrSymbol},
		{"length symbol 287", newStream().header(true, 1).fixedText("x").fixedLit(287).put(0, 64).b, "x", inflate.ErrSymbol},
		{"distance symbol 30", newStream().header(true, 1).fixedText("x").fixedLit(257).fixedDist(30).put(0, 64).b, "x", inflate.ErrSymbol},
		{"distance symbol 31", newStream().header(true, 1).fixedText("x").fixedLit(257).fixedDist(31).put(0, 64).b, "x", inflate.ErrSymbol},
		{"a distance before the beginning", newStream().header(true, 1).fixedText("x").fixedLit(257).fixedDist(1).put(0, 64).b, "x", inflate.ErrDistance},
		{"a match in front of everything", newStream().header(true, 1).fixedLit(257).fixedDist(0).put(0, 64).b, "", inflate.ErrDistance},
		{"287 lengths", newStream().header(true, 2).put(30, 5).put(0, 5).put(0, 4).put(0, 64).b, "", inflate.ErrCodes},
		{"31 distances", newStream().header(true, 2).put(0, 5).put(30, 5).put(0, 4).put(0, 64).b, "", inflate.ErrCodes},
		{"too many codes for the lengths", newStream().header(true, 2).put(0, 14).put(0o1111, 12).put(0, 64).b, "", inflate.ErrCodes},
		{"too few codes for the lengths", newStream().header(true, 2).put(0, 14).put(0o0002, 12).put(0, 64).b, "", inflate.ErrCodes},
		{"no codes for the lengths", newStream().header(true, 2).put(0, 14).put(0, 12).put(0, 64).b, "", inflate.ErrSymbol},
		{"the other half of the only code for the lengths", newStream().header(true, 2).put(0, 14).put(0o1000, 12).put(1, 64).b, "", inflate.ErrSymbol},
		{"a repetition of nothing", newStream().header(true, 2).put(0, 14).put(0o0001, 12).put(0, 64).b, "", inflate.ErrCodes},
		{"too many repetitions", newStream().header(true, 2).put(0, 14).put(0o0100, 12).put(0xffff, 16).put(0xffff, 16).b, "", inflate.ErrSymbol},
		{"zeros beyond the last code", newStream().header(true, 2).put(0, 14).put(0o0100, 12).put(0b11111110_11111110, 16).put(0b11111110, 8).put(0, 64).b,
			"", inflate.ErrCodes},
		{"too many codes", newStream().dynamic(true, 257, 1, codes{'a': 1, 'b': 1, endOfBlock: 1}, lone).put(0, 64).b, "", inflate.ErrCodes},
		{"too few codes", newStream().dynamic(true, 257, 1, codes{'a': 2, 'b': 2, endOfBlock: 2}, lone).put(0, 64).b, "", inflate.ErrCodes},
		{"one code of two bits", newStream().dynamic(true, 257, 1, codes{endOfBlock: 2}, lone).put(0, 64).b, "", inflate.ErrCodes},
		{"too many distances", newStream().dynamic(true, 258, 3, abc, codes{0: 1, 1: 1, 2: 2}).put(0, 64).b, "", inflate.ErrCodes},
		{"too few distances", newStream().dynamic(true, 258, 2, abc, codes{0: 1, 1: 2}).put(0, 64).b, "", inflate.ErrCodes},
		{"one distance of 15 bits", newStream().dynamic(true, 258, 2, abc, codes{0: 15}).put(0, 64).b, "", inflate.ErrCodes},
		{"no codes", newStream().dynamic(true, 257, 1, codes{}, codes{}).put(0, 64).b, "", inflate.ErrSymbol},
		{"no distance, and a match", newStream().dynamic(true, 258, 1, abc, codes{}).symbol(abc, 'a').symbol(abc, 257).put(0, 64).b, "a", inflate.ErrSymbol},
		{"the other half of the only distance", newStream().dynamic(true, 258, 1, abc, lone).symbol(abc, 'a').symbol(abc, 257).put(1, 64).b,
			"a", inflate.ErrSymbol},
	}
}

type handMade struct {
	name   string
	packed []byte
	plain  string // or, with an error, what is decoded before
	err    error
}

func merge(a, b codes) codes {
	all := codes{}
	for s, n := range a {
		all[s] = n
	}
	for s, n := range b {
		all[s] = n
	}
	return all
}

func damaged(b []byte, at int) []byte {
	b[len(b)+at] ^= 1
	return b
}

func shortened(b []byte, n int) []byte { return b[:len(b)-n] }

func TestStreams(t *testing.T) {
	var d inflate.Decoder
	for _, c := range streams() {
		// Far from the ends, and near them.
		for _, room := range []int{len(c.plain) + 1000, len(c.plain)} {
			for _, behind := range []int{0, 100} {
				if errors.Is(c.err, inflate.ErrTruncated) && behind > 0 {
					continue
				}
				dst := make([]byte, room)
				n, err := d.Zlib(dst, append(c.packed[:len(c.packed):len(c.packed)], make([]byte, behind)...))
				if c.name == "no code for the end" {
					n = 0
					if room == 0 && errors.Is(err, inflate.ErrTooLong) {
						err = c.err
					}
				}
				if !errors.Is(err, c.err) || string(dst[:n]) != c.plain {
					t.Errorf("%s: %d bytes, %v; want %d bytes, %v", c.name, n, err, len(c.plain), c.err)
				}
			}
		}
		compare(t, &d, c.packed, len(c.plain)+1000)
		if len(c.plain) > 0 {
			dst := make([]byte, len(c.plain)-1)
			if n, err := d.Zlib(dst, c.packed); c.err == nil && (!errors.Is(err, inflate.ErrTooLong) || n != len(dst) || string(dst) != c.plain[:n]) {
				t.Errorf("%s, with a byte too little room: %d bytes, %v", c.name, n, err)
			}
		}
		// Of a sound stream nothing may be missing.
		if len(c.packed) < 1000 && c.err == nil && !strings.Contains(c.name, "ignored") {
			for n := range len(c.packed) {
				if _, err := d.Zlib(make([]byte, 1000), c.packed[:n]); !errors.Is(err, inflate.ErrTruncated) {
					t.Errorf("%s, the first %d bytes of %d: %v", c.name, n, len(c.packed), err)
				}
			}
		}
	}
}

// The data of real files, as several levels and kinds of compression pack them.
func TestFiles(t *testing.T) {
	var d inflate.Decoder
	data := realData(t)
	for _, level := range []int{zlib.NoCompression, zlib.BestSpeed, 3, zlib.DefaultCompression, zlib.BestCompression, zlib.HuffmanOnly} {
		for at, size := 0, 1; at+size <= len(data); at, size = at+size, size%(200<<10)+size/2+1 {
			plain := data[at : at+size]
			packed := pack(t, plain, level)
			dst := make([]byte, size)
			if n, err := d.Zlib(dst, packed); err != nil || !bytes.Equal(dst[:n], plain) {
				t.Fatalf("level %d, %d bytes at %d: %d bytes, %v", level, size, at, n, err)
			}
			if n, err := d.Zlib(dst[:size-1], packed); !errors.Is(err, inflate.ErrTooLong) || !bytes.Equal(dst[:n], plain[:size-1]) {
				t.Fatalf("level %d, %d bytes at %d, with a byte too little room: %d bytes, %v", level, size, at, n, err)
			}
		}
	}
}

// One bit of a stream is wrong.
func TestBitFlips(t *testing.T) {
	var d inflate.Decoder
	data := realData(t)
	random := rand.New(rand.NewPCG(1, 2))
	for k := range 4000 {
		size := 1 + random.IntN(5000)
		at := random.IntN(len(data) - size)
		packed := pack(t, data[at:at+size], []int{1, 6, flate.HuffmanOnly}[k%3])
		packed[random.IntN(len(packed))] ^= 1 << random.IntN(8)
		compare(t, &d, packed, size+random.IntN(3)-1)
	}
}

// compare holds the decoder against compress/zlib.
func compare(t *testing.T, d *inflate.Decoder, packed []byte, room int) {
	t.Helper()
	dst := make([]byte, room)
	n, err := d.Zlib(dst, packed)
	if errors.Is(err, inflate.ErrDictionary) {
		if len(packed) < 2 || packed[1]&0x20 == 0 {
			t.Fatalf("%x: a dictionary in spite of the header", packed)
		}
		return
	}
	var plain []byte
	r, want := zlib.NewReader(bytes.NewReader(packed))
	if want == nil {
		plain, want = io.ReadAll(io.LimitReader(r, int64(room)+1))
	}
	_, corrupt := errors.AsType[flate.CorruptInputError](want)
	switch got := dst[:n]; {
	case len(plain) > room:
		if !errors.Is(err, inflate.ErrTooLong) || !bytes.Equal(got, plain[:room]) {
			t.Fatalf("%x: %d bytes, %v; compress/zlib reads more than %d bytes", packed, n, err, room)
		}
	case errors.Is(want, io.ErrUnexpectedEOF): // compress/flate asks for as many bits as the end of the block has before it looks at a symbol
		if err == nil || errors.Is(err, inflate.ErrHeader) || errors.Is(err, inflate.ErrChecksum) || !bytes.HasPrefix(got, plain) {
			t.Fatalf("%x: %d bytes, %v; compress/zlib: %d bytes, %v", packed, n, err, len(plain), want)
		}
	case !bytes.Equal(got, plain),
		(err == nil) != (want == nil),
		errors.Is(err, inflate.ErrHeader) != errors.Is(want, zlib.ErrHeader),
		errors.Is(err, inflate.ErrChecksum) != errors.Is(want, zlib.ErrChecksum),
		errors.Is(err, inflate.ErrTooLong), errors.Is(err, inflate.ErrTruncated),
		isCorrupt(err) != corrupt:
		t.Fatalf("%x: %d bytes, %v; compress/zlib: %d bytes, %v", packed, n, err, len(plain), want)
	}
}

func isCorrupt(err error) bool {
	for _, e := range []error{inflate.ErrBlockType, inflate.ErrStored, inflate.ErrCodes, inflate.ErrSymbol, inflate.ErrDistance} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// FuzzZlib: whatever the bytes are, this is compress/zlib in other words, and nothing of a bad stream is left for the next.
func FuzzZlib(f *testing.F) {
	for _, c := range streams() {
		if len(c.packed) < 1000 {
			f.Add(c.packed, uint16(len(c.plain)))
		}
	}
	text := []byte(strings.Repeat("a seed of our own making, ", 40))
	for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
		f.Add(pack(f, text, level), uint16(len(text)))
	}
	sound := pseudoText(3000)
	dynamic := pack(f, sound, 6)
	f.Add(dynamic, uint16(3000))
	var d inflate.Decoder
	dst := make([]byte, 3000)
	f.Fuzz(func(t *testing.T, packed []byte, room uint16) {
		compare(t, &d, packed, int(room))
		if n, err := d.Zlib(dst, dynamic); err != nil || !bytes.Equal(dst[:n], sound) {
			t.Fatalf("a sound stream afterwards: %d bytes, %v", n, err)
		}
	})
}

// Nothing is allocated, whether a stream is sound or not.
func TestAllocations(t *testing.T) {
	var d inflate.Decoder
	plain := realData(t)[:64<<10]
	packed, dst := pack(t, plain, 6), make([]byte, 64<<10)
	if n := testing.AllocsPerRun(20, func() {
		if _, err := d.Zlib(dst, packed); err != nil {
			t.Error(err)
		}
		if _, err := d.Zlib(dst, packed[:1000]); err == nil {
			t.Error("half a stream was decoded")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func pack(tb testing.TB, plain []byte, level int) []byte {
	tb.Helper()
	var packed bytes.Buffer
	w, err := zlib.NewWriterLevel(&packed, level)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return packed.Bytes()
}

func pseudoText(n int) []byte {
	random := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + min(random.IntN(26), random.IntN(26)))
	}
	return b
}

// realData are this test's own program, which is machine code, tables and text, and its sources.
func realData(tb testing.TB) []byte {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		tb.Fatal(err)
	}
	half := len(data) / 2
	data = append(data[:512<<10:512<<10], data[half:half+512<<10]...)
	sources, err := filepath.Glob("*.go")
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range sources {
		text, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		data = append(data, text...)
	}
	return data
}
