package vhd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhd"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// folder is the files beside an image. It notes the names that it is asked for, and how many of its files are open.
type folder struct {
	files map[string][]byte
	asked []string
	left  int
}

func (d *folder) open(name string) (diskimage.File, error) {
	d.asked = append(d.asked, name)
	data, ok := d.files[name]
	if !ok {
		return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
	}
	d.left++
	return &besideFile{bytes.NewReader(data), d}, nil
}

type besideFile struct {
	*bytes.Reader

	dir *folder
}

func (f *besideFile) Close() error {
	f.dir.left--
	return nil
}

// id is a unique id that shows what it is of.
func id(name string) string { return fmt.Sprintf("%-16.16s", name) }

// chain is three disks of other block sizes: base (fixed or dynamic), child of it, and grand of that. Each is larger than its parent.
func chain(fixed bool) (files map[string][]byte, disk []byte) {
	base := testimage.VHD{ID: id("base"), Fixed: fixed, Size: 9*block + 512, BlockSize: block}
	child := testimage.VHD{ID: id("child"), ParentID: id("base"), Relative: `.\base.vhd`, Parent: `C:\VMs\base.vhd`, Size: 13*block + 1024, BlockSize: 2 * block}
	grand := testimage.VHD{ID: id("grand"), ParentID: id("child"), Parent: "child.vhd", Size: 20 * block, BlockSize: 1024}
	layers := [][]testimage.Run{
		{{Offset: 0, Data: pattern(3*block, 1)}, {Offset: 8 * block, Data: pattern(block+512, 2)}},
		{{Offset: 512, Data: pattern(512, 3)}, {Offset: block, Zero: 1024}, {Offset: 9 * block, Data: pattern(block, 4)}, {Offset: 13 * block, Data: pattern(1024, 5)}},
		{{Offset: 1536, Data: pattern(2048, 6)}, {Offset: 13*block + 512, Zero: 512}, {Offset: 19 * block, Data: pattern(block, 7)}},
	}
	disk = make([]byte, grand.Size)
	for _, runs := range layers {
		for _, r := range runs {
			clear(disk[r.Offset : r.Offset+r.Zero])
			copy(disk[r.Offset:], r.Data)
		}
	}
	return map[string][]byte{
		"base.vhd": base.Build(layers[0]...).Data, "child.vhd": child.Build(layers[1]...).Data, "grand.vhd": grand.Build(layers[2]...).Data,
	}, disk
}

func TestConformDifferencing(t *testing.T) {
	for _, fixed := range []bool{true, false} {
		t.Run(fmt.Sprintf("fixed base %v", fixed), func(t *testing.T) {
			files, disk := chain(fixed)
			testimage.Conform(t, testimage.Case{Files: files, Image: "grand.vhd", Disk: disk, Units: []int64{512, 1024, block, 2 * block}, Open: openBeside})
		})
	}
}

// Whose a sector is stands in the bitmap, the most significant bit first; an absent block is the parent's; and what lies behind the parent is zeros.
func TestExtentsOfAChain(t *testing.T) {
	files, disk := chain(false)
	d := &folder{files: files}
	data := files["grand.vhd"]
	img, err := vhd.OpenBeside(bytes.NewReader(data), int64(len(data)), d.open)
	if err != nil {
		t.Fatal(err)
	}
	if img.SubFormat() != "differencing" || img.Size() != int64(len(disk)) || img.Warnings() != nil {
		t.Errorf("%s of %d bytes, %v", img.SubFormat(), img.Size(), img.Warnings())
	}
	want := []diskimage.Extent{
		{Offset: 0, Length: 3 * block},
		{Offset: 8 * block, Length: 2 * block},
		{Offset: 13 * block, Length: 1024},
		{Offset: 19 * block, Length: block},
	}
	var got []diskimage.Extent
	for e, err := range img.Extents() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	if !slices.Equal(got, want) {
		t.Errorf("extents %v, want %v", got, want)
	}
	if err := img.Close(); err != nil || d.left != 0 {
		t.Errorf("Close: %v; %d files are open", err, d.left)
	}
}

// A parent is found by the name of its relative locator, then by that of the header. Paths are reduced: none leaves the directory.
func TestParentNames(t *testing.T) {
	for _, c := range []struct {
		relative, header string
		asked            []string
	}{
		{`.\base.vhd`, `C:\VMs\base.vhd`, []string{"base.vhd"}},
		{`base.vhd`, `other.vhd`, []string{"base.vhd", "other.vhd"}},
		{``, `base.vhd`, []string{"base.vhd"}},
		{``, `C:\VMs\base.vhd`, []string{"base.vhd"}},
		{``, `C:base.vhd`, []string{"base.vhd"}},
		{``, `\\server\share\base.vhd`, []string{"base.vhd"}},
		{``, `\\?\C:\base.vhd`, []string{"base.vhd"}},
		{``, `/etc/passwd`, []string{"passwd"}},
		{`.\old\base.vhd`, ``, []string{"old/base.vhd", "base.vhd"}},
		{`./old//./base.vhd`, ``, []string{"old/base.vhd", "base.vhd"}},
		{`..\base.vhd`, ``, []string{"base.vhd"}},
		{`..\..\etc\shadow`, `..`, []string{"shadow"}},
		{`a\..\..\b.vhd`, ``, []string{"b.vhd"}},
		{`a\..\b.vhd`, ``, []string{"b.vhd"}},
		{`\b.vhd`, ``, []string{"b.vhd"}},
		{`..`, `бaзa.vhd`, []string{"бaзa.vhd"}},
		{`.`, `x\..`, nil},
		{`\\`, `C:`, nil},
		{`C:\`, `D:`, nil},
		{"a.vhd\x00..\\b.vhd", ``, []string{"a.vhd"}},
		{strings.Repeat("x", 32<<10), strings.Repeat("y", 256), []string{strings.Repeat("x", 32<<10), strings.Repeat("y", 256)}},
	} {
		v, runs, _ := small()
		v.Relative, v.Parent, v.ParentID = c.relative, c.header, id("base")
		f := v.Build(runs...)
		d := &folder{}
		_, err := vhd.OpenBeside(bytes.NewReader(f.Data), int64(len(f.Data)), d.open)
		if !slices.Equal(d.asked, c.asked) {
			t.Errorf("%q, %q: asked for %q, want %q", c.relative, c.header, d.asked, c.asked)
		}
		e, ok := errors.AsType[*diskimage.UnsupportedError](err)
		if !ok || e.SubFormat != "differencing" {
			t.Fatalf("%q, %q: %v", c.relative, c.header, err)
		}
		for _, name := range c.asked {
			if !strings.Contains(e.Reason, diskimage.Quote(name)) || !strings.Contains(e.Cure, "beside SRC.vhd and run") {
				t.Errorf("%q, %q: %v", c.relative, c.header, err)
			}
		}
		if c.asked == nil && !strings.Contains(e.Reason, "does not name") {
			t.Errorf("%q, %q: %v", c.relative, c.header, err)
		}
	}
}

// The names in a parent are relative to its own directory, which may be one below the image's; files that were copied into one are found too. No name
// leaves the image's directory.
func TestNamesOfParentsInDirectories(t *testing.T) {
	build := func(own, parent, relative string) []byte {
		return testimage.VHD{ID: id(own), ParentID: id(parent), Relative: relative, Size: 1024, BlockSize: 512}.Build().Data
	}
	disk := pattern(1024, 1)
	base := testimage.VHD{ID: id("base"), Fixed: true, Size: 1024}.Build(testimage.Run{Data: disk}).Data
	other := testimage.VHD{ID: id("other"), Fixed: true, Size: 1024}.Build().Data
	for _, c := range []struct {
		relative, at, decoy string
		asked               []string
	}{
		{`.\base.vhd`, "sub/base.vhd", "base.vhd", []string{"sub/base.vhd"}},
		{`.\base.vhd`, "base.vhd", "", []string{"sub/base.vhd", "base.vhd"}},
		{`old\base.vhd`, "sub/old/base.vhd", "old/base.vhd", []string{"sub/old/base.vhd"}},
		{`old\base.vhd`, "base.vhd", "", []string{"sub/old/base.vhd", "sub/base.vhd", "base.vhd"}},
		{`..\base.vhd`, "base.vhd", "sub/base.vhd", []string{"base.vhd"}},
		{`..\old\base.vhd`, "old/base.vhd", "base.vhd", []string{"old/base.vhd"}},
		{`..\..\base.vhd`, "sub/base.vhd", "", []string{"sub/base.vhd"}},
		{`C:\VMs\base.vhd`, "sub/base.vhd", "base.vhd", []string{"sub/base.vhd"}},
	} {
		d := &folder{files: map[string][]byte{c.decoy: other, c.at: base, "sub/mid.vhd": build("mid", "base", c.relative)}}
		child := build("child", "mid", `.\sub\mid.vhd`)
		img, err := vhd.OpenBeside(bytes.NewReader(child), int64(len(child)), d.open)
		if err != nil {
			t.Errorf("%q: %v", c.relative, err)
			continue
		}
		if !bytes.Equal(readAll(t, img), disk) {
			t.Errorf("%q: other bytes", c.relative)
		}
		if want := append([]string{"sub/mid.vhd"}, c.asked...); !slices.Equal(d.asked, want) {
			t.Errorf("%q: asked for %q, want %q", c.relative, d.asked, want)
		}
	}
}

// Without an opener no name is followed; what the disk lacks and what to do are said all the same. qemu and dissect read it as if the parent were zeros.
func TestDifferencingAlone(t *testing.T) {
	for parent, want := range map[string]string{
		`C:\VMs\бaзa.vhd`:        `it is a differencing disk: it holds only what differs from its parent "C:\\VMs\\бaзa.vhd"; put it beside`,
		"a\"\n\x1b[31m":          `its parent "a\"\n\x1b[31m"; put it beside`,
		strings.Repeat("x", 256): `its parent "` + strings.Repeat("x", 256) + `"; put it beside`,
		"":                       `only what differs from a parent; put it beside`,
	} {
		v, runs, _ := small()
		v.Parent, v.Relative = parent, "base.vhd"
		f := v.Build(runs...)
		for name, open := range map[string]func(io.ReaderAt, int64) (*vhd.Image, error){"Open": vhd.Open, "Look": vhd.Look} {
			img, err := open(bytes.NewReader(f.Data), int64(len(f.Data)))
			e, ok := errors.AsType[*diskimage.UnsupportedError](err)
			if img != nil || !ok || e.SubFormat != "differencing" || !strings.Contains(err.Error(), want) ||
				!strings.Contains(e.Cure, "`terraform-provider-ec2 convert --to vmdk SRC.vhd DST.vmdk`") {
				t.Errorf("%s of %q: %v", name, parent, err)
			}
		}
	}
}

// What is wrong with a chain is said, with the file that it is in, and nothing stays open.
func TestChainsRefused(t *testing.T) {
	type built = map[string]*testimage.VHDFile
	change := func(name string, do func(f *testimage.VHDFile)) func(built) {
		return func(b built) { do(b[name]); b[name].Seal() }
	}
	remove := func(name string) func(built) { return func(b built) { delete(b, name) } }
	const corrupt, unsupported = true, false
	for _, c := range []struct {
		name    string
		damage  func(built)
		corrupt bool
		want    []string
	}{
		{"no parent", remove("child.vhd"), unsupported, []string{`its parent is not beside it: there is no "child.vhd"`, "put it beside SRC.vhd and run"}},
		{"no parent of the parent", remove("base.vhd"), unsupported, []string{`in its parent "child.vhd": it is a differencing disk`, `there is no "base.vhd"`}},
		{"another disk under the name", change("base.vhd", func(f *testimage.VHDFile) { f.Data[f.Footer+68]++; f.Data[f.Copy+68]++ }), unsupported,
			[]string{`in its parent "child.vhd": it differs from the disk with the unique id 62617365`, `"base.vhd" beside it is another one, with the id 63617365`}},
		{"parent of itself", change("grand.vhd", func(f *testimage.VHDFile) { copy(f.Data[f.Header+40:], id("grand")) }), corrupt,
			[]string{"dynamic header at byte 512, parent unique id = 6772616e64", "differs from itself"}},
		{"parent of its child", change("child.vhd", func(f *testimage.VHDFile) { copy(f.Data[f.Header+40:], id("grand")) }), corrupt,
			[]string{`in the parent "child.vhd": corrupt VHD: dynamic header at byte 512, parent unique id`, "differs from itself"}},
		{"the parent's footers differ", change("base.vhd", func(f *testimage.VHDFile) { put64(f.Data, 48, 512) }), corrupt,
			[]string{`in the parent "child.vhd": in the parent "base.vhd": corrupt VHD: footer at byte`, "its copy at byte 0 says 512"}},
		{"the parent's table", change("child.vhd", func(f *testimage.VHDFile) { put32(f.Data, f.BAT, 0) }), corrupt,
			[]string{`in the parent "child.vhd": corrupt VHD: block allocation table at byte 2048, entry 0 = 0`}},
		{"the parent is no VHD", func(b built) { b["base.vhd"].Data = make([]byte, 4096) }, corrupt, []string{`in the parent "base.vhd": corrupt VHD: footer`}},
		{"the parent is empty", func(b built) { b["base.vhd"].Data = nil }, corrupt, []string{`in the parent "base.vhd": corrupt VHD: footer`}},
		{"the locator's name is in the footer", change("child.vhd", func(f *testimage.VHDFile) { put64(f.Data, f.Header+592, uint64(f.Footer-1)) }), corrupt,
			[]string{"parent locator 0 at byte 1088, data offset = ", "a name of 20 bytes there does not end before byte"}},
		{"the locator's offset overflows", change("child.vhd", func(f *testimage.VHDFile) { put64(f.Data, f.Header+592, 1<<64-1) }), corrupt,
			[]string{"parent locator 0 at byte 1088, data offset = 18446744073709551615"}},
		{"the locator's name is longer than the file", change("child.vhd", func(f *testimage.VHDFile) { put32(f.Data, f.Header+584, 65000) }), corrupt,
			[]string{"parent locator 0 at byte 1088, data offset = 1536: a name of 65000 bytes"}},
		{"the locator's name is longer than any", change("child.vhd", func(f *testimage.VHDFile) { put32(f.Data, f.Header+584, 1<<32-1) }), corrupt,
			[]string{"parent locator 0 at byte 1088, data length = 4294967295"}},
		{"the child's own table", change("grand.vhd", func(f *testimage.VHDFile) { put32(f.Data, f.BAT, 1) }), corrupt, []string{"corrupt VHD: block allocation table"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := built{}
			for name, data := range mustChain() {
				f := testimage.VHDFile{Data: data, Footer: int64(len(data) - 512), Header: 512, BAT: 2048}
				if name == "grand.vhd" {
					f.BAT = 1536
				}
				b[name] = &f
			}
			c.damage(b)
			d := &folder{files: map[string][]byte{}}
			for name, f := range b {
				d.files[name] = f.Data
			}
			data := d.files["grand.vhd"]
			img, err := vhd.OpenBeside(bytes.NewReader(data), int64(len(data)), d.open)
			if img != nil || err == nil {
				t.Fatal("opened as if it were sound")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			typed(t, err)
			if _, ok := errors.AsType[*diskimage.CorruptError](err); ok != c.corrupt {
				t.Errorf("error of type %T", err)
			}
			if d.left != 0 {
				t.Errorf("%d files are open", d.left)
			}
		})
	}
}

func mustChain() map[string][]byte {
	files, _ := chain(false)
	return files
}

// An error of opening that is not "it is not there" is passed on: no other name is tried, and nothing is read as zeros.
func TestOpenerErrors(t *testing.T) {
	files := mustChain()
	broken := errors.New("it is a symbolic link")
	d := &folder{files: files}
	data := files["grand.vhd"]
	_, err := vhd.OpenBeside(bytes.NewReader(data), int64(len(data)), func(name string) (diskimage.File, error) {
		if name == "base.vhd" {
			return nil, broken
		}
		return d.open(name)
	})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), `open the parent "base.vhd"`) || d.left != 0 {
		t.Errorf("%v; %d files are open", err, d.left)
	}
}

// What was passed over in a parent is told, with its name.
func TestWarningsOfParents(t *testing.T) {
	files := mustChain()
	files["base.vhd"] = files["base.vhd"][:len(files["base.vhd"])-512]
	d := &folder{files: files}
	data := files["grand.vhd"]
	img, err := vhd.OpenBeside(bytes.NewReader(data), int64(len(data)), d.open)
	if err != nil {
		t.Fatal(err)
	}
	if w := img.Warnings(); len(w) != 1 || !strings.HasPrefix(w[0], `its parent "child.vhd": its parent "base.vhd": one of its two footers is damaged`) || img.Damage() != nil {
		t.Errorf("warnings %q, damage %v", w, img.Damage())
	}
}

// 64 disks are followed, one more is not.
func TestLongChains(t *testing.T) {
	for _, n := range []int{64, 65} {
		files := map[string][]byte{}
		for k := range n {
			v := testimage.VHD{ID: id(fmt.Sprint(k)), Size: int64(n) * 512, BlockSize: 512}
			if k > 0 {
				v.ParentID, v.Relative = id(fmt.Sprint(k-1)), fmt.Sprint(k-1)
			}
			files[fmt.Sprint(k)] = v.Build(testimage.Run{Offset: int64(k) * 512, Data: bytes.Repeat([]byte{byte(k + 1)}, 512)}).Data
		}
		d := &folder{files: files}
		data := files[fmt.Sprint(n-1)]
		img, err := vhd.OpenBeside(bytes.NewReader(data), int64(len(data)), d.open)
		if n > 64 {
			e, ok := errors.AsType[*diskimage.UnsupportedError](err)
			if !ok || !strings.Contains(e.Reason, "longer than the 64 disks") || d.left != 0 {
				t.Errorf("%d disks: %v; %d files are open", n, err, d.left)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for k, b := range readAll(t, img) {
			if b != byte(k/512+1) {
				t.Fatalf("%d disks: byte %d is %d", n, k, b)
			}
		}
		if err := img.Close(); err != nil || d.left != 0 {
			t.Errorf("Close: %v; %d files are open", err, d.left)
		}
	}
}

// A disk, also one under others, stores what its file does: a sparse file costs nothing where it is a hole, a part of a block of a dynamic disk too.
func TestInASparseFile(t *testing.T) {
	base := testimage.VHD{ID: id("base"), Fixed: true, Size: 64 << 10}.Build(testimage.Run{Offset: 8192, Data: pattern(4096, 1)}, testimage.Run{Offset: 32 << 10, Data: pattern(8192, 2)})
	child := testimage.VHD{ParentID: id("base"), Relative: "base", Size: 128 << 10, BlockSize: 8192}.Build(testimage.Run{Offset: 12 << 10, Data: pattern(512, 3)})
	dynamic := testimage.VHD{Size: 128 << 10, BlockSize: 64 << 10}.Build(testimage.Run{Offset: 20 << 10, Data: pattern(100, 4)}, testimage.Run{Offset: 100 << 10, Data: pattern(20<<10, 5)})
	for _, c := range []struct {
		name string
		data []byte
		want []diskimage.Extent
	}{
		// The data of the blocks begin at byte 2560 of the file and, behind a bitmap, at 68608. Their first and last pages hold a bitmap, or the headers or the footer.
		{"dynamic", dynamic.Data, []diskimage.Extent{{Length: 1536}, {Offset: 17920, Length: 4096}, {Offset: 62976, Length: 3584}, {Offset: 99328, Length: 24576}, {Offset: 128000, Length: 3072}}},
		{"alone", base.Data, []diskimage.Extent{{Offset: 8192, Length: 4096}, {Offset: 32 << 10, Length: 8192}}},
		{"under a child", child.Data, []diskimage.Extent{{Offset: 8192, Length: 4096 + 512}, {Offset: 32 << 10, Length: 8192}}},
	} {
		img, err := vhd.OpenBeside(withHoles{bytes.NewReader(c.data)}, int64(len(c.data)), func(string) (diskimage.File, error) {
			return withHoles{bytes.NewReader(base.Data)}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []diskimage.Extent
		for e, err := range img.Extents() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: extents %v, want %v", c.name, got, c.want)
		}
	}
}

// Blocks are stored where the file stores them: one large hole costs nothing, whatever the table says of it. A hole that is the child's is not its parent's.
func TestBlocksInASparseFile(t *testing.T) {
	const size, block = 2 << 20, 64 << 10
	v := testimage.VHD{ID: id("base"), Size: size, BlockSize: block}
	for k := range int64(size / block) {
		v.Order = append(v.Order, 7*k%(size/block))
	}
	child := testimage.VHD{ParentID: id("base"), Relative: "base", Size: size, BlockSize: 2 * block}
	own := []testimage.Run{{Offset: 4 * block, Zero: 2 * block}, {Offset: 30 * block, Data: pattern(512, 3)}}
	base := v.Build(testimage.Run{Zero: size}, testimage.Run{Offset: 5 * block, Data: pattern(block, 1)}, testimage.Run{Offset: 8*block + 1024, Data: pattern(512, 2)})
	over := child.Build(own...)
	stored := func(f *testimage.VHDFile, block, at int64) bool { // of the sector at a place of the disk
		start := (f.Block[at/block] + 512 + at%block) / 4096 * 4096
		return !bytes.Equal(f.Data[start:min(start+4096, int64(len(f.Data)))], make([]byte, min(4096, int64(len(f.Data))-start)))
	}
	isOwn := func(at int64) bool { return at/block == 4 || at/block == 5 || at == 30*block }
	for _, c := range []struct {
		name   string
		data   []byte
		stored func(at int64) bool
	}{
		{"alone", base.Data, func(at int64) bool { return stored(base, block, at) }},
		{"under a child", over.Data, func(at int64) bool {
			if isOwn(at) {
				return stored(over, 2*block, at)
			}
			return stored(base, block, at)
		}},
	} {
		img, err := vhd.OpenBeside(withHoles{bytes.NewReader(c.data)}, int64(len(c.data)), func(string) (diskimage.File, error) {
			return withHoles{bytes.NewReader(base.Data)}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got, all := make([]bool, size/512), int64(0)
		for e, err := range img.Extents() {
			if err != nil {
				t.Fatal(err)
			}
			all += e.Length
			for at := e.Offset; at < e.End(); at += 512 {
				got[at/512] = true
			}
		}
		for k := range got {
			if at := int64(k) * 512; got[k] != c.stored(at) {
				t.Errorf("%s: that the sector at byte %d is stored is %v", c.name, at, got[k])
			}
		}
		if all == 0 || all >= size/4 {
			t.Errorf("%s: %d bytes are stored", c.name, all)
		}
	}

	asked := 0 // of a file without holes, once for each walk
	img, err := vhd.Open(noHoles{bytes.NewReader(base.Data), &asked}, int64(len(base.Data)))
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range img.Extents() {
		if err != nil || e != (diskimage.Extent{Length: size}) {
			t.Error(e, err)
		}
	}
	if asked != 1 {
		t.Errorf("the map of a file without holes was asked %d times", asked)
	}
}

// An error inside a parent says in which.
func TestExtentsOfAParentThatFails(t *testing.T) {
	files := mustChain()
	d := &folder{files: files}
	data := files["grand.vhd"]
	broken := errors.New("connection reset")
	var base *failing
	img, err := vhd.OpenBeside(bytes.NewReader(data), int64(len(data)), func(name string) (diskimage.File, error) {
		f, err := d.open(name)
		if name == "base.vhd" && err == nil {
			base = &failing{File: f}
			f = base
		}
		return f, err
	})
	if err != nil {
		t.Fatal(err)
	}
	base.err = broken
	for _, err := range img.Extents() {
		if err != nil && (!errors.Is(err, broken) || !strings.HasPrefix(err.Error(), `in the parent "child.vhd": in the parent "base.vhd": read the block allocation table`)) {
			t.Error(err)
		}
		if err != nil {
			return
		}
	}
	t.Error("no error")
}

// failing is a file that fails where there is an err.
type failing struct {
	diskimage.File

	err error
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.File.ReadAt(p, off)
}

// noHoles is a file that has none, and counts how often it is asked.
type noHoles struct {
	*bytes.Reader

	asked *int
}

func (f noHoles) NextData(int64) (start, end int64, err error) {
	*f.asked++
	return 0, f.Size(), nil
}

// withHoles is a file that stores the pages of 4 KiB that are not all zeros.
type withHoles struct{ *bytes.Reader }

func (f withHoles) Close() error { return nil }

func (f withHoles) NextData(off int64) (start, end int64, err error) {
	for page := make([]byte, 4096); off < f.Size(); off += 4096 - off%4096 {
		start = off - off%4096
		if n, _ := f.ReadAt(page, start); !bytes.Equal(page[:n], make([]byte, n)) {
			return start, start + int64(n), nil
		}
	}
	return 0, 0, io.EOF
}
