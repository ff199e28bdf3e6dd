package vhdx_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

const (
	logGUID   = "11111111-2222-3333-4444-555555555555"
	otherGUID = "99999999-2222-3333-4444-555555555555"
)

// lost takes a page out of the file, as if it had never been written, and gives the write that the log has of it.
func lost(f *testimage.VHDXFile, at int64) testimage.VHDXWrite {
	w := f.Page(at)
	copy(f.Data[w.Offset:], bytes.Repeat([]byte{0xee}, 4096))
	return w
}

// dirty is a disk whose region tables, metadata and BAT are only in the log, in three entries that wrap around the end of the ring.
func dirty(t testing.TB) (*testimage.VHDXFile, []byte) {
	t.Helper()
	v, runs, disk := small()
	f := v.Build(runs...)
	f.SetLogGUID(logGUID)
	tail := f.LogSize - 8192
	at := tail
	for k, writes := range [][]testimage.VHDXWrite{
		{lost(f, testimage.VHDXRegion1), lost(f, testimage.VHDXRegion2)}, // wraps in itself
		{lost(f, f.Metadata), lost(f, f.Metadata+64<<10)},
		{lost(f, f.BAT), {Offset: uint64(f.Block[5]), Zero: mib}},
	} {
		at = f.WriteLog(at, entry(f, uint64(41+k), tail, writes...).Bytes())
	}
	copy(f.Data[f.Block[5]:], pattern(mib, 9)) // was to become zeros
	return f, disk
}

func entry(f *testimage.VHDXFile, sequence uint64, tail int64, writes ...testimage.VHDXWrite) testimage.VHDXLogEntry {
	return testimage.VHDXLogEntry{GUID: logGUID, Sequence: sequence, Tail: tail, Flushed: int64(len(f.Data)), Last: int64(len(f.Data)), Writes: writes}
}

// Everything behind the headers may be in the log alone. qemu refuses a dirty file, and what it replays of one that wraps is the wrong part;
// libvhdi and dissect ignore the log. This is what [MS-VHDX] 2.3.3 says, and what microsoft/openvmm does.
func TestReplay(t *testing.T) {
	f, disk := dirty(t)
	img := mustOpen(t, f)
	if !bytes.Equal(readAll(t, img), disk) {
		t.Error("the bytes differ")
	}
	for at := int64(4096 - 20); at < 4096+20; at++ { // reads that begin and end anywhere in a page
		for n := range 40 {
			b := make([]byte, n)
			if _, err := img.ReadAt(b, mib+at); err != nil || !bytes.Equal(b, disk[mib+at:][:n]) {
				t.Fatalf("%d bytes at %d: %v, or other bytes", n, at, err)
			}
		}
	}
}

// Pages of blocks too are read from the log, wherever a read begins and ends: the log keeps the first 8 and the last 4 bytes of a page apart.
func TestReplayedPage(t *testing.T) {
	v, runs, disk := small()
	f := v.Build(runs...)
	f.SetLogGUID(logGUID)
	f.WriteLog(0, entry(f, 1, 0, lost(f, f.Block[0]+4096), lost(f, f.Block[0]+12288)).Bytes())
	img := mustOpen(t, f)
	for _, edge := range []int64{4096, 8192, 12288, 16384} {
		for at := edge - 14; at < edge+14; at++ {
			for _, n := range []int{1, 3, 9, 30, 4096, 9000} {
				b := make([]byte, n)
				if _, err := img.ReadAt(b, at); err != nil || !bytes.Equal(b, disk[at:][:n]) {
					t.Fatalf("%d bytes at %d: %v, or other bytes", n, at, err)
				}
			}
		}
	}
}

// Which entries are replayed. Each row writes numbered pages over the first bytes of block 0 and says which numbers are seen.
func TestActiveSequence(t *testing.T) {
	const page = 4096
	type written struct {
		at       int64 // in the log
		sequence uint64
		tail     int64
		guid     string
		page     int64 // of block 0 that it writes
		damage   func(e []byte)
	}
	flip := func(at int) func([]byte) { return func(e []byte) { e[at] ^= 1 } }
	resum := func(change func(e []byte)) func([]byte) {
		return func(e []byte) {
			change(e)
			testimage.SumVHDXLogEntry(e)
		}
	}
	put32 := func(at int, v uint32) func([]byte) {
		return resum(func(e []byte) { binary.LittleEndian.PutUint32(e[at:], v) })
	}
	const entry = 2 * page // a sector of descriptors and one of data
	for _, c := range []struct {
		name    string
		entries []written
		seen    []uint64 // by page: the sequence number of the entry that wrote it; 0: not written
	}{
		{"one", []written{{0, 1, 0, "", 0, nil}}, []uint64{1, 0}},
		{"in the middle", []written{{200 * page, 1, 200 * page, "", 1, nil}}, []uint64{0, 1}},
		{"the later one wins", []written{{0, 1, 0, "", 0, nil}, {entry, 2, 0, "", 0, nil}}, []uint64{2}},
		{"from the tail on", []written{{0, 1, 0, "", 0, nil}, {entry, 2, 0, "", 1, nil}, {2 * entry, 3, entry, "", 2, nil}}, []uint64{0, 2, 3}},
		{"only the last entry's tail counts", []written{{0, 1, 9 * page, "", 0, nil}, {entry, 2, 0, "", 1, nil}}, []uint64{1, 2}},
		{"wraps", []written{{mib - entry, 7, mib - entry, "", 0, nil}, {0, 8, mib - entry, "", 1, nil}}, []uint64{7, 8}},
		{"wraps inside an entry", []written{{mib - page, 7, mib - page, "", 0, nil}, {page, 8, mib - page, "", 1, nil}}, []uint64{7, 8}},
		{
			"ranked by its last entry, not its first", // qemu takes the other one
			[]written{{100 * page, 5, 100 * page, "", 0, nil}, {mib - entry, 4, mib - entry, "", 1, nil}, {0, 5, mib - entry, "", 1, nil}, {entry, 6, mib - entry, "", 2, nil}},
			[]uint64{0, 5, 6},
		},
		{"wraps into another sequence", []written{{mib - entry, 7, mib - entry, "", 0, nil}, {0, 20, mib - entry, "", 1, nil}}, []uint64{7, 0}},
		{"an older sequence behind it", []written{{0, 8, 0, "", 0, nil}, {entry, 3, entry, "", 1, nil}}, []uint64{8, 0}},
		{"a newer sequence behind it", []written{{0, 3, 0, "", 0, nil}, {entry, 8, entry, "", 1, nil}}, []uint64{0, 8}},
		{"a gap in the numbers", []written{{0, 1, 0, "", 0, nil}, {entry, 3, 0, "", 1, nil}}, []uint64{1, 0}}, // its tail is outside
		{"a gap in the ring", []written{{0, 1, 0, "", 0, nil}, {entry + page, 2, 0, "", 1, nil}}, []uint64{1, 0}},
		{"another log's entry", []written{{0, 1, 0, "", 0, nil}, {entry, 2, 0, otherGUID, 1, nil}}, []uint64{1, 0}},
		{"another log's entry with a larger number", []written{{0, 1, 0, "", 0, nil}, {90 * page, 99, 90 * page, otherGUID, 1, nil}}, []uint64{1, 0}},
		{"torn: header", []written{{0, 1, 0, "", 0, nil}, {entry, 2, 0, "", 1, flip(20)}}, []uint64{1, 0}},
		{"torn: descriptor", []written{{0, 1, 0, "", 0, nil}, {entry, 2, 0, "", 1, flip(64 + 8)}}, []uint64{1, 0}},
		{"torn: data", []written{{0, 1, 0, "", 0, nil}, {entry, 2, 0, "", 1, flip(page + 99)}}, []uint64{1, 0}},
		{"torn: the last sector", []written{{0, 1, 0, "", 0, nil}, {entry, 2, 0, "", 1, func(e []byte) { clear(e[page:]) }}}, []uint64{1, 0}},
		{"torn in the middle", []written{{0, 1, 0, "", 0, nil}, {entry, 2, 0, "", 1, flip(page + 99)}, {2 * entry, 3, 0, "", 2, nil}}, []uint64{1, 0, 0}},
		{"number of the descriptor", []written{{0, 1, 0, "", 0, nil}, {entry, 2, 0, "", 1, put32(64+24, 1)}}, []uint64{1, 0}},
		{"number of the data, low", []written{{0, 1, 0, "", 0, nil}, {entry, 2, 0, "", 1, put32(2*page-4, 1)}}, []uint64{1, 0}},
		{"number of the data, high", []written{{0, 1, 0, "", 0, nil}, {entry, 2, 0, "", 1, put32(page+4, 1)}}, []uint64{1, 0}},
		{"signature of the descriptor", []written{{0, 1, 0, "", 0, nil}, {entry, 2, 0, "", 1, put32(64, 1)}}, []uint64{1, 0}},
		{"signature of the data", []written{{0, 1, 0, "", 0, nil}, {entry, 2, 0, "", 1, put32(page, 1)}}, []uint64{1, 0}},
		{"length not of whole sectors", []written{{0, 1, 0, "", 0, nil}, {entry, 2, 0, "", 1, put32(8, entry-8)}}, []uint64{1, 0}},
		{"length 0", []written{{0, 1, 0, "", 0, nil}, {entry, 2, 0, "", 1, put32(8, 0)}}, []uint64{1, 0}},
		{"length without the data", []written{{0, 1, 0, "", 0, nil}, {entry, 2, 0, "", 1, func(e []byte) {
			binary.LittleEndian.PutUint32(e[8:], page)
			testimage.SumVHDXLogEntry(e[:page])
		}}}, []uint64{1, 0}},
		{"length of more than the log", []written{{0, 1, 0, "", 0, nil}, {entry, 2, 0, "", 1, put32(8, mib+page)}}, []uint64{1, 0}},
		{"4 billion descriptors", []written{{0, 1, 0, "", 0, nil}, {entry, 2, 0, "", 1, put32(24, 1<<32-1)}}, []uint64{1, 0}},
		{"sequence number 0", []written{{0, 1, 0, "", 0, nil}, {90 * page, 0, 90 * page, "", 1, nil}}, []uint64{1, 0}},
		{"numbers of 64 bits", []written{{0, 1<<40 - 1, 0, "", 0, nil}, {entry, 1 << 40, 0, "", 1, nil}}, []uint64{1<<40 - 1, 1 << 40}},
		{"the largest number has no successor", []written{{0, 1<<64 - 1, 0, "", 0, nil}, {entry, 0, 0, "", 1, nil}}, []uint64{1<<64 - 1, 0}},
		{"a tail outside", []written{{0, 1, 0, "", 0, nil}, {90 * page, 9, 0, "", 1, nil}}, []uint64{1, 0}},
		{"a tail inside an entry", []written{{0, 1, 0, "", 0, nil}, {90 * page, 9, 91 * page, "", 1, nil}}, []uint64{1, 0}},
		{"a tail behind the log", []written{{0, 1, 0, "", 0, nil}, {90 * page, 9, mib + 90*page, "", 1, nil}}, []uint64{1, 0}},
		{"nothing valid: garbage", []written{{0, 1, 0, "", 0, flip(9)}}, nil},
		{"nothing valid: another log", []written{{0, 1, 0, otherGUID, 0, nil}}, nil},
		{"nothing valid: tail", []written{{0, 1, page, "", 0, nil}}, nil},
		{"nothing at all", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := testimage.VHDX{Size: mib}.Build(testimage.Run{Data: make([]byte, mib)})
			f.SetLogGUID(logGUID)
			content := func(sequence uint64) []byte {
				return bytes.Repeat(binary.LittleEndian.AppendUint64(nil, sequence|1<<63), page/8)
			}
			for _, w := range c.entries {
				e := testimage.VHDXLogEntry{GUID: logGUID, Sequence: w.sequence, Tail: w.tail, Flushed: int64(len(f.Data)), Last: int64(len(f.Data))}
				e.Writes = []testimage.VHDXWrite{{Offset: uint64(f.Block[0] + w.page*page), Page: content(w.sequence)}}
				if w.guid != "" {
					e.GUID = w.guid
				}
				b := e.Bytes()
				if w.damage != nil {
					w.damage(b)
				}
				f.WriteLog(w.at, b)
			}
			img, err := open(f)
			if c.seen == nil {
				if _, ok := errors.AsType[*diskimage.CorruptError](err); !ok || !strings.Contains(err.Error(), "holds no sequence of entries to replay") {
					t.Errorf("%v, want the file refused", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := readAll(t, img)
			for k, want := range c.seen {
				p := make([]byte, page)
				if want != 0 {
					p = content(want)
				}
				if !bytes.Equal(got[k*page:][:page], p) {
					t.Errorf("page %d is not of entry %d but begins % x", k, want, got[k*page:][:8])
				}
			}
		})
	}
}

// A full log: the entries go around the whole ring and end where they began.
func TestFullRing(t *testing.T) {
	f := testimage.VHDX{Size: mib}.Build(testimage.Run{Data: make([]byte, mib)})
	f.SetLogGUID(logGUID)
	const tail = 77 * 4096
	at := int64(tail)
	for n := range int64(128) {
		w := testimage.VHDXWrite{Offset: uint64(f.Block[0] + n%100*4096), Page: bytes.Repeat([]byte{byte(n) + 1}, 4096)}
		at = f.WriteLog(at, entry(f, uint64(1000+n), tail, w).Bytes())
	}
	if at != tail {
		t.Fatalf("the ring ends at %d", at)
	}
	got := readAll(t, mustOpen(t, f))
	for n := range 100 {
		want := byte(n) + 1
		if n < 28 {
			want += 100
		}
		if got[n*4096] != want || got[n*4096+4095] != want {
			t.Fatalf("page %d holds %d, want %d", n, got[n*4096], want)
		}
	}
}

// Zeros are ranges; pages and ranges overwrite each other in the order of the log.
func TestZeroRanges(t *testing.T) {
	f := testimage.VHDX{Size: 4 * mib}.Build(testimage.Run{Data: pattern(4*mib, 1)})
	f.SetLogGUID(logGUID)
	base := uint64(f.Block[0])
	page := func(n uint64, b byte) testimage.VHDXWrite {
		return testimage.VHDXWrite{Offset: base + n*4096, Page: bytes.Repeat([]byte{b}, 4096)}
	}
	zeros := func(n, pages uint64) testimage.VHDXWrite {
		return testimage.VHDXWrite{Offset: base + n*4096, Zero: pages * 4096}
	}
	want := pattern(4*mib, 1)
	apply := func(w testimage.VHDXWrite) {
		if at := w.Offset - base; w.Page == nil {
			clear(want[at : at+w.Zero])
		} else {
			copy(want[at:], w.Page)
		}
	}
	at := int64(0)
	for k, writes := range [][]testimage.VHDXWrite{
		{page(3, 7), zeros(2, 4), page(4, 8)},
		{zeros(10, 1000), page(500, 9), zeros(499, 1), zeros(20, 0)},
		{zeros(600, 10), page(605, 1), page(605, 2), zeros(0, 1)},
	} {
		for _, w := range writes {
			apply(w)
		}
		at = f.WriteLog(at, entry(f, uint64(1+k), 0, writes...).Bytes())
	}
	if !bytes.Equal(readAll(t, mustOpen(t, f)), want) {
		t.Error("the bytes differ")
	}
}

// More descriptors than fit into the first sector of an entry.
func TestManyDescriptors(t *testing.T) {
	for _, n := range []int{125, 126, 127, 128, 253, 254, 255} { // 126 fit into the first sector, 128 into each further one
		v := testimage.VHDX{Size: 2 * mib, LogSize: 2 * mib}
		f := v.Build(testimage.Run{Data: pattern(2*mib, 1)})
		f.SetLogGUID(logGUID)
		var writes []testimage.VHDXWrite
		for k := range n {
			writes = append(writes, lost(f, f.Block[0]+int64(k)*4096))
		}
		f.WriteLog(300*4096, entry(f, 1, 300*4096, writes...).Bytes())
		if !bytes.Equal(readAll(t, mustOpen(t, f)), pattern(2*mib, 1)) {
			t.Errorf("%d descriptors: the bytes differ", n)
		}
	}
}

// What an entry says about the length of the file.
func TestFileLengths(t *testing.T) {
	build := func(flushed, last int64) *testimage.VHDXFile {
		f, _ := dirty(t)
		e := entry(f, 100, 40960)
		e.Flushed, e.Last = flushed, last
		f.WriteLog(40960, e.Bytes())
		// the older entries are not needed any more
		v, runs, _ := small()
		copy(f.Data[testimage.VHDXRegion1:mib], v.Build(runs...).Data[testimage.VHDXRegion1:mib])
		copy(f.Data[f.Metadata:], v.Build(runs...).Data[f.Metadata:])
		return f
	}
	_, _, disk := small()
	f := build(0, 0)
	size := int64(len(f.Data))
	for _, c := range []struct {
		name          string
		flushed, last int64
		cut           int64
		refused       string
	}{
		{"as long as it was", size, size, 0, ""},
		{"longer than it was", size - mib, size - mib, 0, ""},
		{"cut off", size, size, 1, "FlushedFileOffset = "},
		{"shorter than it is to be", size - mib, size, mib - 8192, ""}, // the last block of the disk is short
		{"shorter than it is to be, and the block is in the gap", size - mib, size, mib, ""},
		{"shorter than all blocks need", size - mib, size - mib, mib, "FileOffsetMB of block 7"},
		{"longer than any file", size, 1 << 60, 0, "LastFileOffset = 1152921504606846976: no VHDX file is longer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := build(c.flushed, c.last)
			f.Data = f.Data[:size-c.cut]
			img, err := open(f)
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("%v, want %q", err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := bytes.Clone(disk)
			if c.cut == mib {
				clear(want[7*mib:])
			}
			if !bytes.Equal(readAll(t, img), want) {
				t.Error("the bytes differ")
			}
		})
	}
}

// The log may hold the content of what the file is to become longer by.
func TestLoggedGap(t *testing.T) {
	v, runs, disk := small()
	f := v.Build(runs...)
	f.SetLogGUID(logGUID)
	last := f.Block[7]
	e := entry(f, 1, 0, lost(f, last), lost(f, last+4096))
	e.Flushed = last
	f.WriteLog(0, e.Bytes())
	f.Data = f.Data[:last]
	if !bytes.Equal(readAll(t, mustOpen(t, f)), disk) {
		t.Error("the bytes differ")
	}
}

// Writes that no writer logs: the entry is intact, so that the file is crafted.
func TestBadTargets(t *testing.T) {
	for _, c := range []struct {
		name string
		w    testimage.VHDXWrite
		want string
	}{
		{"page at no multiple of 4096", testimage.VHDXWrite{Offset: 4*mib + 512, Page: make([]byte, 4096)}, "is not aligned"},
		{"zeros at no multiple of 4096", testimage.VHDXWrite{Offset: 4*mib + 512, Zero: 4096}, "is not aligned"},
		{"zeros of no multiple of 4096", testimage.VHDXWrite{Offset: 4 * mib, Zero: 512}, "is not aligned"},
		{"the identifier", testimage.VHDXWrite{Offset: 0, Page: make([]byte, 4096)}, "does not write to the headers"},
		{"a header", testimage.VHDXWrite{Offset: testimage.VHDXHeader2, Page: make([]byte, 4096)}, "does not write to the headers"},
		{"just before the region table", testimage.VHDXWrite{Offset: testimage.VHDXRegion1 - 4096, Page: make([]byte, 4096)}, "does not write to the headers"},
		{"the log", testimage.VHDXWrite{Offset: mib, Page: make([]byte, 4096)}, "would overwrite the log"},
		{"the end of the log", testimage.VHDXWrite{Offset: 2*mib - 4096, Zero: 8192}, "would overwrite the log"},
		{"over the log", testimage.VHDXWrite{Offset: testimage.VHDXRegion1, Zero: 4 * mib}, "would overwrite the log"},
		{"behind the file", testimage.VHDXWrite{Offset: 1 << 40, Page: make([]byte, 4096)}, "ends behind the file's end"},
		{"2^63 zeros", testimage.VHDXWrite{Offset: 4 * mib, Zero: 1 << 63}, "ends behind the file's end"},
		{"zeros that overflow", testimage.VHDXWrite{Offset: 4 * mib, Zero: 1<<64 - 4096}, "ends behind the file's end"},
		{"at the end of the numbers", testimage.VHDXWrite{Offset: 1<<64 - 4096, Zero: 4096}, "ends behind the file's end"},
	} {
		v, runs, _ := small()
		f := v.Build(runs...)
		f.SetLogGUID(logGUID)
		f.WriteLog(0, entry(f, 1, 0, c.w).Bytes())
		_, err := open(f)
		if e, ok := errors.AsType[*diskimage.CorruptError](err); !ok || e.Structure != "log entry" || !strings.Contains(e.Reason, c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// The current header alone says whether there is a log; what the log's place holds otherwise is nobody's concern.
func TestLogGUID(t *testing.T) {
	f, _ := dirty(t)
	clear(f.Data[testimage.VHDXHeader2+48 : testimage.VHDXHeader2+64])
	f.Sum()
	if _, err := open(f); err == nil || !strings.Contains(err.Error(), "corrupt VHDX: region tables") {
		t.Errorf("clean according to the current header, and the tables are lost: %v", err)
	}
	f, disk := dirty(t)
	clear(f.Data[testimage.VHDXHeader1+48 : testimage.VHDXHeader1+64])
	f.Sum()
	if !bytes.Equal(readAll(t, mustOpen(t, f)), disk) {
		t.Error("clean according to the older header: the bytes differ")
	}
}
