package vhdx_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhdx"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// What is wrong with a child, with its parent, or with what they say of each other. Whatever it is: no file stays open.
func TestDamagedChain(t *testing.T) {
	const loc = "parent locator at byte 2162728"
	put := func(at int64, b ...byte) func(*testimage.VHDXFile, *directory) {
		return func(f *testimage.VHDXFile, _ *directory) { copy(f.Data[f.Item(testimage.VHDXParentLocator)+at:], b) }
	}
	base := func(damage func(f *testimage.VHDXFile)) func(*testimage.VHDXFile, *directory) {
		return func(_ *testimage.VHDXFile, d *directory) {
			f := testimage.VHDX{Size: 8 * mib, ID: id(1)}.Build(testimage.Run{Data: pattern(mib, 1)})
			damage(f)
			f.Sum()
			d.files["base.vhdx"] = f.Data
		}
	}
	bitmap := func(entry uint64) func(*testimage.VHDXFile, *directory) {
		return func(f *testimage.VHDXFile, _ *directory) { f.Put64(f.BitmapEntry(0), entry) }
	}
	for _, c := range []struct {
		name   string
		damage func(f *testimage.VHDXFile, d *directory)
		want   string
	}{
		{"locator: none", func(f *testimage.VHDXFile, _ *directory) { f.Put32(f.ItemEntry(testimage.VHDXParentLocator)+24, 1) }, "metadata table at byte 2097152: it lacks the item " + testimage.VHDXParentLocator},
		{"locator: empty", func(f *testimage.VHDXFile, _ *directory) { f.Put32(f.ItemEntry(testimage.VHDXParentLocator)+20, 0) }, "it has 0 bytes, and its header alone 20"},
		{"locator: short", func(f *testimage.VHDXFile, _ *directory) { f.Put32(f.ItemEntry(testimage.VHDXParentLocator)+20, 19) }, loc + ": it has 19 bytes"},
		{"locator: type", put(0, 1), "its parent is not another VHDX, but of the type B04AEF01-D19E-4A81-B789-25B8E9445913"},
		{"locator: count", put(18, 0xff, 0xff), loc + ", KeyValueCount = 65535"},
		{"locator: no entries", put(18, 0, 0), loc + ": it lacks parent_linkage"},
		{"locator: key outside", put(20, 0xff, 0xff, 0xff, 0xff), loc + ", entry 0: its key or its value is not whole UTF-16 inside"},
		{"locator: value outside", put(32+4, 0xff, 0xff, 0xff, 0x7f), loc + ", entry 1"},
		{"locator: key over the end", put(32+8, 0xfe, 0xff), loc + ", entry 1"},
		{"locator: odd key", put(20+8, 27), loc + ", entry 0"},
		{"locator: odd value", put(20+10, 75), loc + ", entry 0"},
		{"locator: another key", put(44, 'P'), loc + ": it lacks parent_linkage"},
		{"locator: no GUID", put(44+28, '['), loc + `, parent_linkage = "[00000001-1111-2222-3333-abcdefabcdef}": it is no GUID`},
		{"locator: no digit", put(44+28+2, 'G'), loc + `, parent_linkage = "{G0000001-1111-2222-3333-abcdefabcdef}": it is no GUID`},
		{"locator: twice", put(32, 44, 0, 0, 0, 72, 0, 0, 0, 28, 0, 76, 0), loc + ", parent_linkage: it is there twice"},

		{"parent: another disk", base(func(f *testimage.VHDXFile) { f.Data[testimage.VHDXHeader2+32] = 9 }), "unsupported VHDX (differencing): it differs from the disk with the DataWriteGuid 00000001-1111-2222-3333-ABCDEFABCDEF, " +
			`and that of "base.vhdx" is 00000009-1111-2222-3333-ABCDEFABCDEF: it is another disk, or was written to since; find the disk that it was made on, as it was then; put it beside SRC.avhdx`},
		{"parent: other sectors", func(_ *testimage.VHDXFile, d *directory) {
			d.files["base.vhdx"] = testimage.VHDX{Size: mib, ID: id(1), LogicalSector: 4096}.Build().Data
		}, `metadata at byte 2097152, LogicalSectorSize = 512: its parent "base.vhdx" has sectors of 4096 bytes`},
		{"parent: no VHDX", func(_ *testimage.VHDXFile, d *directory) { d.files["base.vhdx"] = make([]byte, 2*mib) }, `the parent "base.vhdx": corrupt VHDX: file type identifier`},
		{"parent: empty", func(_ *testimage.VHDXFile, d *directory) { d.files["base.vhdx"] = nil }, `the parent "base.vhdx": corrupt VHDX: header section`},
		{"parent: damaged", base(func(f *testimage.VHDXFile) { f.SetEntry(0, 4) }), `the parent "base.vhdx": corrupt VHDX: BAT at byte 3145728, state of block 0 = 4`},
		{"parent: cut off", base(func(f *testimage.VHDXFile) { f.Data = f.Data[:len(f.Data)-1] }), `the parent "base.vhdx": corrupt VHDX: BAT at byte 3145728, FileOffsetMB of block 0`},
		{"parent: not read here", base(func(f *testimage.VHDXFile) { f.AddRegion(testimage.VHDXDiskID, 2*mib, mib, 1) }),
			`unsupported VHDX (differencing): its parent "base.vhdx" is not read here: it has a region`},
		{"bitmap: none", bitmap(0), "BAT at byte 3178496, state of the sector bitmap of chunk 0 = 0: block 2 is partially present, so that there must be one"},
		{"bitmap: none, but an old place", bitmap(5 * mib), "block 2 is partially present"},
		{"bitmap: partially present", bitmap(5*mib | 7), "state of the sector bitmap of chunk 0 = 7: a sector bitmap is there or not"},
		{"bitmap: zero", bitmap(5*mib | 2), "state of the sector bitmap of chunk 0 = 2"},
		{"bitmap: reserved bits", bitmap(5*mib | 8 | 6), "entry of the sector bitmap of chunk 0 = 0x000000000050000e: reserved bits"},
		{"bitmap: in the header section", bitmap(6), "FileOffsetMB of the sector bitmap of chunk 0 = 0: the block is said to be present"},
		{"bitmap: behind the end", bitmap(1<<40 | 6), "FileOffsetMB of the sector bitmap of chunk 0 = 1048576: the block there does not fit"},
		{"bitmap: over the end", func(f *testimage.VHDXFile, _ *directory) { f.Data = f.Data[:len(f.Data)-1] }, "FileOffsetMB of the sector bitmap of chunk 0 = 5: the block there does not fit"},
		{"bitmap: over a block", bitmap(4*mib | 6), "FileOffsetMB of the sector bitmap of chunk 0 = 4: it overlaps another block"},
		{"bitmap: over the BAT", bitmap(3*mib | 6), "FileOffsetMB of the sector bitmap of chunk 0 = 3: it overlaps the BAT"},
		{"BAT that ends with the last block", func(f *testimage.VHDXFile, _ *directory) { // a disk of 128 GiB has 1 MiB of blocks' entries and 256 bytes of bitmaps'
			f.Put64(f.Item(testimage.VHDXVirtualSize), 128<<30)
		}, "BAT at byte 3145728: a disk of 137438953472 bytes in blocks of 1048576 needs 1048832 bytes, the region has 1048576"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, d, _ := child(testimage.VHDX{}, testimage.Run{Offset: 2 * mib, Data: pattern(512, 2)})
			c.damage(f, d)
			_, err := openBeside(f, d)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			typed(t, err)
			if d.open != 0 {
				t.Errorf("%d files are open", d.open)
			}
		})
	}
}

// A bitmap that no block asks for is checked all the same, and a chunk whose bitmap would be in a part of the BAT without any entry is missed.
func TestBitmapEntries(t *testing.T) {
	f, d, _ := child(testimage.VHDX{})
	f.Put64(f.BitmapEntry(0), 3*mib|6)
	if _, err := openBeside(f, d); err == nil || !strings.Contains(err.Error(), "it overlaps the BAT") {
		t.Errorf("%v", err)
	}
	f, d, _ = child(testimage.VHDX{})
	f.Put64(f.BitmapEntry(0), 3*mib|5)
	if _, err := openBeside(f, d); err == nil || !strings.Contains(err.Error(), "state of the sector bitmap of chunk 0 = 5") {
		t.Errorf("%v", err)
	}
	f, d, _ = child(testimage.VHDX{LogicalSector: 4096}, testimage.Run{Data: pattern(4096, 1)}) // the bitmap's entry is the 32769th
	f.Put64(f.BitmapEntry(0), 0)
	if _, err := openBeside(f, d); err == nil || !strings.Contains(err.Error(), "block 0 is partially present, so that there must be one") {
		t.Errorf("%v", err)
	}
}

// Which files are looked for: what the relative path names where that does not leave the directory, and the last element of every path.
func TestParentNames(t *testing.T) {
	const volume = `\\?\Volume{26A21BDA-A627-11D7-9931-806E6F6E6963}\disks\v.vhdx`
	for _, c := range []struct {
		locator [][2]string
		want    []string
	}{
		{[][2]string{{"relative_path", `base.vhdx`}}, []string{"base.vhdx"}},
		{[][2]string{{"relative_path", `.\base.vhdx`}}, []string{"base.vhdx"}},
		{[][2]string{{"relative_path", `./base.vhdx`}}, []string{"base.vhdx"}},
		{[][2]string{{"relative_path", `.\sub\base.vhdx`}}, []string{"sub/base.vhdx", "base.vhdx"}},
		{[][2]string{{"relative_path", `sub\..\base.vhdx`}}, []string{"base.vhdx"}},
		{[][2]string{{"relative_path", `..\base.vhdx`}}, []string{"base.vhdx"}},
		{[][2]string{{"relative_path", `..\..\..\etc\passwd`}}, []string{"passwd"}},
		{[][2]string{{"relative_path", `/etc/passwd`}}, []string{"passwd"}},
		{[][2]string{{"relative_path", `\\server\share\base.vhdx`}}, []string{"base.vhdx"}},
		{[][2]string{{"relative_path", `C:\disks\base.vhdx`}}, []string{"base.vhdx"}},
		{[][2]string{{"relative_path", `C:base.vhdx`}}, []string{"base.vhdx"}},
		{[][2]string{{"relative_path", `https://h.example/base.vhdx`}}, []string{"base.vhdx"}},
		{[][2]string{{"absolute_win32_path", `\\?\C:\disks\base.vhdx`}}, []string{"base.vhdx"}},
		{[][2]string{{"absolute_win32_path", `C:\a.vhdx`}, {"volume_path", volume}, {"relative_path", `r.vhdx`}}, []string{"r.vhdx", "v.vhdx", "a.vhdx"}},
		{[][2]string{{"absolute_win32_path", `C:\r.vhdx`}, {"relative_path", `..\disks\r.vhdx`}}, []string{"r.vhdx"}},
		{[][2]string{{"relative_path", `..`}, {"absolute_win32_path", `C:\`}, {"volume_path", `.`}}, nil},
		{[][2]string{{"relative_path", ``}}, nil},
		{[][2]string{{"relative_path", "a\x00b.vhdx"}}, nil},
		{[][2]string{{"relative_path", "a\x1b[2Jb.vhdx"}}, nil},
		{[][2]string{{"relative_path", "\u3000 10:30.vhdx"}}, []string{"\u3000 10:30.vhdx"}},
		{[][2]string{{"relative_path", "größe \U0001F4BE.vhdx"}}, []string{"größe \U0001F4BE.vhdx"}},
		{[][2]string{{"Relative_Path", "no.vhdx"}, {"x", "no.vhdx"}}, nil},
		{nil, nil},
	} {
		f, _, _ := child(testimage.VHDX{Locator: append(testimage.VHDXLocator(id(1), "")[:1:1], c.locator...)})
		d := &directory{}
		_, err := openBeside(f, d)
		if !slices.Equal(d.asked, c.want) {
			t.Errorf("%q: looked for %q, want %q", c.locator, d.asked, c.want)
		}
		e, ok := errors.AsType[*diskimage.UnsupportedError](err)
		if !ok || e.Format != "VHDX" || e.SubFormat != "differencing" {
			t.Errorf("%q: %v", c.locator, err)
			continue
		}
		for _, name := range c.want {
			if !strings.Contains(e.Reason, fmt.Sprintf("%q", name)) || !strings.Contains(e.Cure, "put it beside SRC.avhdx and run `terraform-provider-ec2 convert --to vmdk SRC.avhdx DST.vmdk`") {
				t.Errorf("%q: %v", c.locator, err)
			}
		}
		if c.want == nil && (!strings.Contains(e.Reason, "says nowhere what the parent's file is called") || !strings.Contains(e.Cure, "Convert-VHD -Path SRC.avhdx")) {
			t.Errorf("%q: %v", c.locator, err)
		}
	}
}

// The names in a parent are relative to its own directory, and the parent of a parent that is not there is named too.
func TestParentOfParent(t *testing.T) {
	f, d, disk := child(testimage.VHDX{Locator: testimage.VHDXLocator(id(3), `sub\middle.avhdx`)}, testimage.Run{Offset: 512, Data: pattern(512, 8)})
	middle := testimage.VHDX{Size: 8 * mib, ID: id(3), Locator: testimage.VHDXLocator(id(1), `..\base.vhdx`)}.Build(testimage.Run{Offset: 5 * mib, Zero: mib})
	d.files["sub/middle.avhdx"] = middle.Data
	clear(disk[5*mib : 6*mib])
	img, err := openBeside(f, d)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readAll(t, img), disk) {
		t.Error("the bytes differ")
	}
	want := []diskimage.Extent{{Length: 5 * mib}, {Offset: 5 * mib, Length: mib, Zero: true}, {Offset: 6 * mib, Length: 2 * mib}}
	if got := extents(t, img); !slices.Equal(got, want) {
		t.Errorf("extents %v, want %v", got, want)
	}
	if err := img.Close(); err != nil || d.open != 0 {
		t.Errorf("Close: %v, and %d files are open", err, d.open)
	}
	delete(d.files, "base.vhdx")
	_, err = openBeside(f, d)
	const text = `its parent "sub/middle.avhdx" is differencing too: it holds only what differs from its own, and there is no "base.vhdx" or "sub/base.vhdx" beside it`
	if e, ok := errors.AsType[*diskimage.UnsupportedError](err); !ok || e.Reason != text || d.open != 0 {
		t.Errorf("%v; %d files are open", err, d.open)
	}
}

// parent_linkage2 is another way to know the parent.
func TestParentLinkage2(t *testing.T) {
	f, d, disk := child(testimage.VHDX{Locator: append(testimage.VHDXLocator(id(7), "base.vhdx"), [2]string{"parent_linkage2", id(1)})})
	img, err := openBeside(f, d)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readAll(t, img), disk) {
		t.Error("the bytes differ")
	}
}

// Disks that are their own parents, at once or over others, and chains without end.
func TestCircles(t *testing.T) {
	self := testimage.VHDX{Size: mib, ID: id(1), Locator: testimage.VHDXLocator(id(1), "self.vhdx")}.Build()
	d := &directory{files: map[string][]byte{"self.vhdx": self.Data}}
	if _, err := openBeside(self, d); err == nil || !strings.Contains(err.Error(), `parent locator at byte 2162728, path = "self.vhdx": the parents form a circle`) || d.open != 0 {
		t.Errorf("%v; %d files are open", err, d.open)
	}
	one := testimage.VHDX{Size: mib, ID: id(1), Locator: testimage.VHDXLocator(id(2), "two.vhdx")}.Build()
	two := testimage.VHDX{Size: mib, ID: id(2), Locator: testimage.VHDXLocator(id(1), `.\one.vhdx`)}.Build()
	d = &directory{files: map[string][]byte{"one.vhdx": one.Data, "two.vhdx": two.Data}}
	if _, err := openBeside(one, d); err == nil || !strings.Contains(err.Error(), "the parents form a circle") || d.open != 0 || len(d.asked) != 2 {
		t.Errorf("%v; %d files are open, %q", err, d.open, d.asked)
	}
	for length, want := range map[int]string{64: "", 65: "unsupported VHDX (differencing): it has more than 63 parents"} {
		d := &directory{files: map[string][]byte{}}
		var first *testimage.VHDXFile
		for k := length - 1; k >= 0; k-- {
			v := testimage.VHDX{Size: mib}
			if k < length-1 {
				v.Locator = testimage.VHDXLocator("", fmt.Sprintf("%d.vhdx", k+1))
			}
			first = v.Build(testimage.Run{Offset: int64(k) * 512, Data: pattern(512, uint64(k))})
			d.files[fmt.Sprintf("%d.vhdx", k)] = first.Data
		}
		img, err := openBeside(first, d)
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) || d.open != 0 {
				t.Errorf("%d files: %v; %d are open", length, err, d.open)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%d files: %v", length, err)
		}
		for k, got := range slices.Collect(slices.Chunk(readAll(t, img)[:length*512], 512)) {
			if !bytes.Equal(got, pattern(512, uint64(k))) {
				t.Errorf("%d files: the sector of file %d differs", length, k)
			}
		}
	}
}

// The logs of all files of a chain together are held against the caps: a chain of bombs is no larger than one.
func TestChainOfLogs(t *testing.T) {
	zeros := func(f *testimage.VHDXFile, entries int) {
		f.SetLogGUID(logGUID)
		writes := slices.Repeat([]testimage.VHDXWrite{{Offset: uint64(f.BAT) + mib, Zero: 4096}}, 126)
		at := int64(0)
		for k := range entries {
			at = f.WriteLog(at, entry(f, uint64(k+1), 0, writes...).Bytes())
		}
	}
	base := testimage.VHDX{Size: mib, LogSize: 8 * mib, ID: id(1)}.Build(testimage.Run{Data: pattern(mib, 1)})
	f := testimage.VHDX{Size: mib, LogSize: 8 * mib, Locator: testimage.VHDXLocator(id(1), "base.vhdx")}.Build(testimage.Run{Data: pattern(mib, 2)})
	zeros(base, 1200)
	zeros(f, 800)
	d := &directory{files: map[string][]byte{"base.vhdx": base.Data}}
	if _, err := openBeside(f, d); err != nil {
		t.Fatal(err)
	}
	zeros(f, 1200)
	if _, err := openBeside(f, d); err == nil || !strings.Contains(err.Error(), `the parent "base.vhdx": corrupt VHDX: log at byte 1048576: it holds more than 262144 writes`) || d.open != 1 {
		t.Errorf("%v; %d files are open", err, d.open)
	}
	if _, err := vhdx.Open(bytes.NewReader(base.Data), int64(len(base.Data))); err != nil {
		t.Errorf("alone: %v", err)
	}
	base.Put32(testimage.VHDXHeader2+68, 255*mib)
	base.Put64(testimage.VHDXHeader2+72, 1<<30)
	base.SetLogGUID(logGUID)
	f = testimage.VHDX{Size: mib, LogSize: 2 * mib, Locator: testimage.VHDXLocator(id(1), "base.vhdx")}.Build(testimage.Run{Data: pattern(512, 2)})
	zeros(f, 1)
	_, err := vhdx.OpenBeside(bytes.NewReader(f.Data), int64(len(f.Data)), func(string) (diskimage.File, error) { return holes{base.Data}, nil })
	if err == nil || !strings.Contains(err.Error(), `its parent "base.vhdx" is not read here: it was not closed cleanly, and with its log 269484032 bytes of logs would have to be replayed`) {
		t.Errorf("%v", err)
	}
}
