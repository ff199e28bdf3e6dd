package vhd_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhd"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// Each row damages one thing, with checksums that are right unless they are the thing; want is in the error. Nothing damaged may read as zeros, or
// as anything else.
func TestRefusals(t *testing.T) {
	// both changes the two footers of a dynamic disk, or the one of a fixed disk.
	both := func(change func(footer []byte)) func(*testimage.VHDFile) {
		return func(f *testimage.VHDFile) {
			change(f.Data[f.Footer:])
			if f.Copy >= 0 {
				change(f.Data[f.Copy : f.Copy+512])
			}
		}
	}
	header := func(at int64, v uint32) func(*testimage.VHDFile) {
		return func(f *testimage.VHDFile) { put32(f.Data, f.Header+at, v) }
	}
	entry := func(index int64, sector uint32) func(*testimage.VHDFile) {
		return func(f *testimage.VHDFile) { put32(f.Data, f.BAT+4*index, sector) }
	}
	type change = func(*testimage.VHD)
	fixed := func(v *testimage.VHD) { v.Fixed = true }
	for _, c := range []struct {
		name   string
		change change
		damage func(*testimage.VHDFile)
		want   string // "" sound
	}{
		{"fixed, version 2", fixed, both(func(b []byte) { put32(b, 12, 0x00020000) }), "file format version = 0x00020000"},
		{"fixed, version 1.5", fixed, both(func(b []byte) { put32(b, 12, 0x00010005) }), ""},
		{"disk type 0", fixed, both(func(b []byte) { put32(b, 60, 0) }), "disk type = 0"},
		{"disk type 1", nil, both(func(b []byte) { put32(b, 60, 1) }), "disk type = 1"},
		{"disk type 5", nil, both(func(b []byte) { put32(b, 60, 5) }), "disk type = 5"},
		{"disk type 6", nil, both(func(b []byte) { put32(b, 60, 6) }), "disk type = 6"},
		{"a dynamic disk that says fixed", nil, both(func(b []byte) { put32(b, 60, 2) }), "current size = 79360: only 34304 bytes lie in front"},
		{"a fixed disk that says dynamic", fixed, both(func(b []byte) { put32(b, 60, 3) }), "data offset = 18446744073709551615"},
		{"size 0", nil, both(func(b []byte) { put64(b, 48, 0) }), "current size = 0"},
		{"size no multiple of 512", nil, both(func(b []byte) { put64(b, 48, 1000) }), "current size = 1000"},
		{"size above 2040 GiB", nil, both(func(b []byte) { put64(b, 48, 2040<<30+512) }), "at most 2190433320960 bytes"},
		{"size that overflows", fixed, both(func(b []byte) { put64(b, 48, 1<<63) }), "at most 70368744177664 bytes"},
		{"fixed, size above 64 TiB", fixed, both(func(b []byte) { put64(b, 48, 64<<40+512) }), "at most 70368744177664 bytes"},
		{"fixed, a sector less than the size", fixed, func(f *testimage.VHDFile) { f.Data = f.Data[512:]; f.Footer -= 512 }, "only 78848 bytes lie in front"},
		{"fixed, size 512 larger (qemu fills up with zeros)", fixed, both(func(b []byte) { put64(b, 48, 19*block+2048) }), "only 79360 bytes lie in front"},

		{"data offset 0", nil, both(func(b []byte) { put64(b, 16, 0) }), "data offset = 0"},
		{"data offset 511", nil, both(func(b []byte) { put64(b, 16, 511) }), "data offset = 511"},
		{"data offset beyond the file", nil, both(func(b []byte) { put64(b, 16, 1<<40) }), "data offset = 1099511627776"},
		{"data offset that overflows", nil, both(func(b []byte) { put64(b, 16, 1<<64-512) }), "data offset = 18446744073709551104"},
		{"data offset elsewhere", nil, both(func(b []byte) { put64(b, 16, 1536) }), "dynamic header at byte 1536, cookie"},
		{"header cookie", nil, func(f *testimage.VHDFile) { f.Data[f.Header] = 'X' }, "dynamic header at byte 512, cookie"},
		{"header version 2", nil, header(24, 0x00020000), "header version = 0x00020000"},
		{"block size 0", nil, header(32, 0), "block size = 0"},
		{"block size 256", nil, header(32, 256), "block size = 256"},
		{"block size 3000", nil, header(32, 3000), "block size = 3000"},
		{"block size 2 GiB", nil, header(32, 1<<31), "do not end before byte"},
		{"no table entries", nil, header(28, 0), "max table entries = 0"},
		{"one table entry too few", nil, header(28, 19), "max table entries = 19: a disk of 79360 bytes has 20 blocks"},
		{"one table entry too few for the last sector", func(v *testimage.VHD) { v.Size = 19*block + 512 }, header(28, 19), "has 20 blocks"},
		{"4 billion table entries", nil, header(28, 1<<32-1), "a table of 4294967295 entries"},
		{"table offset 0", nil, func(f *testimage.VHDFile) { put64(f.Data, f.Header+16, 0) }, "table offset = 0"},
		{"table offset beyond the file", nil, func(f *testimage.VHDFile) { put64(f.Data, f.Header+16, 1<<40) }, "table offset = 1099511627776"},
		{"table offset that overflows", nil, func(f *testimage.VHDFile) { put64(f.Data, f.Header+16, 1<<64-16) }, "table offset = 18446744073709551600"},
		{"table in the footer", nil, func(f *testimage.VHDFile) { put64(f.Data, f.Header+16, uint64(f.Footer-79)) }, "does not lie between the footers"},
		{"table over the header", nil, func(f *testimage.VHDFile) { put64(f.Data, f.Header+16, uint64(f.Header+1023)) }, "lie over the dynamic header"},
		{"table from before the header", func(v *testimage.VHD) { v.Slack = 128 }, func(f *testimage.VHDFile) {
			// The header goes to the end of the file, the table to where it was, and still reaches it.
			moved := slices.Clone(f.Data[f.Header : f.Header+1024])
			f.Data = slices.Insert(f.Data, int(f.Footer), moved...)
			f.Header, f.Footer = f.Footer, f.Footer+1024
			put64(f.Data, f.Header+16, uint64(f.Header-591))
			both(func(b []byte) { put64(b, 16, uint64(f.Header)) })(f)
		}, "lie over the dynamic header"},

		{"block in the copy of the footer", nil, entry(0, 0), "entry 0 = 0: blocks lie behind the headers and the table"},
		{"block in the table", nil, entry(0, 3), "entry 0 = 3: blocks lie behind the headers and the table"},
		{"block in the slack of the table", func(v *testimage.VHD) { v.Slack = 700 }, entry(0, 4), "entry 0 = 4: blocks lie behind the headers and the table"},
		{"block beyond the file", nil, entry(4, 1<<31), "entry 4 = 2147483648: the 4608 bytes of the block there"},
		{"block in the footer", nil, func(f *testimage.VHDFile) { entry(0, uint32(f.Footer/512-8))(f) }, "entry 0 = "},
		{"last block in the footer", func(v *testimage.VHD) { v.ShortLast = true },
			func(f *testimage.VHDFile) { entry(19, uint32(f.Footer/512-3))(f) }, "entry 19 = 59: the 2048 bytes"},
		{"two entries for one block (others read it twice)", nil, func(f *testimage.VHDFile) { entry(1, uint32(f.Block[3]/512))(f) }, "lie over each other"},
		{"blocks that share a sector", func(v *testimage.VHD) { v.Gap = 1 }, func(f *testimage.VHDFile) { entry(3, uint32(f.Block[4]/512-8))(f) }, "lie over each other"},
		{"blocks that touch", func(v *testimage.VHD) { v.Gap = 1 }, func(f *testimage.VHDFile) {
			at := f.Block[0]
			copy(f.Data[at-512:at+f.Bitmap+block], f.Data[at:])
			entry(0, uint32(at/512-1))(f)
		}, ""},
		{"a block over what the last one needs", nil, func(f *testimage.VHDFile) { entry(9, uint32(f.Block[19]/512-8))(f) }, "lie over each other"},
		{"the last block stored short, and others behind it", func(v *testimage.VHD) {
			for k := range int64(20) {
				v.Order = append(v.Order, 19-k)
			}
		}, func(f *testimage.VHDFile) {
			end := f.Block[19] + f.Bitmap + 1536
			f.Data = slices.Delete(f.Data, int(end), int(end+block-1536))
			f.Footer -= block - 1536
			for index, at := range f.Block {
				if index != 19 {
					entry(index, uint32((at-block+1536)/512))(f)
				}
			}
		}, ""},
		{"more blocks than the file has room for", nil, func(f *testimage.VHDFile) {
			for k := range int64(20) {
				entry(k, uint32(f.Block[0]/512))(f)
			}
		}, "more than the 8 blocks that fit"},
		{"cut off in a block", nil, func(f *testimage.VHDFile) {
			f.Data = slices.Delete(f.Data, int(f.Block[19]), int(f.Footer))
			f.Footer = f.Block[19]
		}, "entry 19 = 58"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, runs, disk := small()
			if c.change != nil {
				c.change(&v)
			}
			f := v.Build(runs...)
			c.damage(f)
			f.Seal()
			got, err := readEverything(f.Data)
			if c.want == "" {
				if err != nil || !bytes.Equal(got, disk) {
					t.Errorf("%v, or other bytes", err)
				}
				return
			}
			if err == nil {
				t.Fatal("read as if it were sound")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q lacks %q", err, c.want)
			}
			if _, ok := errors.AsType[*diskimage.CorruptError](err); !ok {
				t.Errorf("error of type %T", err)
			}
		})
	}
}

// readEverything is what the converter does: the extents, and all bytes in them.
func readEverything(data []byte) ([]byte, error) {
	img, err := open(data)
	if err != nil {
		return nil, err
	}
	disk := make([]byte, img.Size())
	for e, err := range img.Extents() {
		if err != nil {
			return nil, err
		}
		if _, err := img.ReadAt(disk[e.Offset:e.End()], e.Offset); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	return disk, nil
}

// Which footer wins. qemu only ever reads the copy, libvhdi only the one at the end; VirtualBox calls a file whose two differ corrupted.
func TestFooters(t *testing.T) {
	flip := func(at func(f *testimage.VHDFile) int64) func(*testimage.VHDFile) {
		return func(f *testimage.VHDFile) { f.Data[at(f)] ^= 1 }
	}
	trailer := func(in int64) func(*testimage.VHDFile) int64 {
		return func(f *testimage.VHDFile) int64 { return f.Footer + in }
	}
	front := func(in int64) func(*testimage.VHDFile) int64 { return func(*testimage.VHDFile) int64 { return in } }
	const dynamic, fixed = false, true
	for _, c := range []struct {
		name      string
		fixed     bool
		damage    func(*testimage.VHDFile)
		reseal    bool   // the damage is one that checksums agree with
		damaged   string // read, and the other footer is said to be damaged
		refused   string
		untouched bool
	}{
		{name: "checksum of the trailer", damage: flip(trailer(64)), damaged: "footer at byte 34304, checksum"},
		{name: "a byte of the trailer", damage: flip(trailer(300)), damaged: "footer at byte 34304, checksum"},
		{name: "cookie of the trailer", damage: flip(trailer(0)), damaged: "does not end in a footer"},
		{name: "trailer of a future version", damage: func(f *testimage.VHDFile) { put32(f.Data, f.Footer+12, 1<<17) }, reseal: true, damaged: "file format version"},
		{name: "no trailer", damage: func(f *testimage.VHDFile) { f.Data = f.Data[:f.Footer] }, damaged: "does not end in a footer"},
		{name: "half a trailer", damage: func(f *testimage.VHDFile) { f.Data = f.Data[:f.Footer+256] }, damaged: "does not end in a footer"},
		{name: "padding behind the trailer", damage: func(f *testimage.VHDFile) { f.Data = append(f.Data, make([]byte, 4096)...) }, damaged: "does not end in a footer"},
		{name: "checksum of the copy", damage: flip(front(64)), damaged: "footer at byte 0, checksum"},
		{name: "cookie of the copy", damage: flip(front(7)), damaged: "footer at byte 0, cookie"},
		{name: "both checksums", damage: func(f *testimage.VHDFile) { f.Data[100] ^= 1; f.Data[f.Footer+100] ^= 1 }, refused: "footer at byte 34304, checksum"},
		{name: "copy alone, damaged", damage: func(f *testimage.VHDFile) { f.Data[100] ^= 1; f.Data = f.Data[:f.Footer] }, refused: "footer at byte 0, checksum"},
		{name: "copy of another size", damage: func(f *testimage.VHDFile) { put64(f.Data, 48, 512) }, reseal: true, refused: "current size = 79360: its copy at byte 0 says 512"},
		{name: "copy of another type", damage: func(f *testimage.VHDFile) { put32(f.Data, 60, 4) }, reseal: true, refused: "disk type = 3: its copy at byte 0 says 4"},
		{name: "copy that says fixed", damage: func(f *testimage.VHDFile) { put32(f.Data, 60, 2) }, reseal: true, refused: "disk type = 3: its copy at byte 0 says 2"},
		{name: "trailer that says fixed", damage: func(f *testimage.VHDFile) { put32(f.Data, f.Footer+60, 2) }, reseal: true, refused: "disk type = 2: its copy at byte 0 says 3"},
		{name: "copy of another data offset", damage: func(f *testimage.VHDFile) { put64(f.Data, 16, 1024) }, reseal: true, refused: "data offset = 512: its copy at byte 0 says 1024"},
		{name: "copy of another disk", damage: func(f *testimage.VHDFile) { f.Data[68] = 'X' }, reseal: true, refused: "unique id"},
		{name: "only a copy that says fixed", damage: func(f *testimage.VHDFile) { put32(f.Data, 60, 2); f.Data[f.Footer] = 'X' }, reseal: true, refused: "does not end in a footer"},

		{name: "fixed, checksum", fixed: fixed, damage: flip(trailer(200)), refused: "footer at byte 79360, checksum"},
		{name: "fixed, no footer", fixed: fixed, damage: func(f *testimage.VHDFile) { f.Data = f.Data[:f.Footer] }, refused: "does not end in a footer"},
		{name: "fixed, whose data begin with a damaged footer", fixed: fixed, damage: func(f *testimage.VHDFile) { copy(f.Data, "conectix") }, untouched: true},
		{name: "fixed, whose data begin with a fixed disk's footer", fixed: fixed, damage: func(f *testimage.VHDFile) {
			copy(f.Data, testimage.VHD{Fixed: true, Size: 512}.Build().Data[512:])
		}, untouched: true},
		{name: "dynamic, nothing wrong", fixed: dynamic, damage: func(*testimage.VHDFile) {}, untouched: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, runs, disk := small()
			v.Fixed = c.fixed
			f := v.Build(runs...)
			c.damage(f)
			if c.reseal {
				f.Seal()
			}
			img, err := open(f.Data)
			if c.refused != "" {
				if _, ok := errors.AsType[*diskimage.CorruptError](err); !ok || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("%v, want %q", err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.fixed {
				disk = f.Data[:len(disk)]
			}
			if !bytes.Equal(readAll(t, img), disk) {
				t.Error("the bytes differ")
			}
			damage := img.Damage()
			if _, ok := errors.AsType[*diskimage.CorruptError](damage); c.untouched != (damage == nil) || damage != nil && !ok {
				t.Errorf("damage: %v", damage)
			}
			if damage != nil && !strings.Contains(damage.Error(), c.damaged) {
				t.Errorf("damage %q lacks %q", damage, c.damaged)
			}
		})
	}
}

// A fixed disk that is longer than it says, as when it was shrunk in place: the first part is the disk.
func TestFixedLongerThanItsSize(t *testing.T) {
	v, runs, disk := small()
	v.Fixed = true
	f := v.Build(runs...)
	put64(f.Data, f.Footer+48, 10*block)
	f.Seal()
	got, err := readEverything(f.Data)
	if err != nil || !bytes.Equal(got, disk[:10*block]) {
		t.Errorf("%d bytes, or other ones; %v", len(got), err)
	}
}

// Too many blocks are refused before anything is allocated for them, whatever the file has room for.
func TestTooManyBlocks(t *testing.T) {
	const size = 8 << 30
	f := testimage.VHD{Size: 512, BlockSize: 512}.Build()
	for _, at := range []int64{0, f.Footer} {
		put64(f.Data, at+48, size)
	}
	put32(f.Data, f.Header+28, size/512)
	f.Seal()
	front, back := f.Data[:f.Footer], f.Data[f.Footer:]
	file := io.NewSectionReader(sparse{front, back}, 0, 1<<40)
	_, err := vhd.Open(file, 1<<40)
	if e, ok := errors.AsType[*diskimage.UnsupportedError](err); !ok || !strings.Contains(e.Reason, "16777216 blocks of 512 bytes") {
		t.Errorf("%v", err)
	}
}

// sparse is a file of 1 TiB with something at its beginning and at its end, and zeros between.
type sparse struct{ front, back []byte }

func (s sparse) ReadAt(p []byte, at int64) (int, error) {
	clear(p)
	if at < int64(len(s.front)) {
		copy(p, s.front[at:])
	}
	if end := at + int64(len(p)); end > 1<<40-512 {
		copy(p[len(p)-512:], s.back)
	}
	return len(p), nil
}

func TestShortFiles(t *testing.T) {
	f := testimage.VHD{Size: 512}.Build()
	for _, n := range []int{0, 1, 8, 100, 511, 512, 513, 1023, 1024, 1536} {
		if _, err := open(f.Data[:n]); err == nil {
			t.Errorf("the first %d bytes were opened", n)
		} else if _, ok := errors.AsType[*diskimage.CorruptError](err); !ok {
			t.Errorf("%d bytes: %v", n, err)
		}
		if _, err := open(f.Data[len(f.Data)-n:]); err == nil {
			t.Errorf("the last %d bytes were opened", n)
		} else if _, ok := errors.AsType[*diskimage.CorruptError](err); !ok {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
