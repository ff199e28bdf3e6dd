package vmdk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// chained is the descriptor of a disk in one file that is a delta, or is not: parent is its name, empty for none.
func chained(cid, parentCID, parent string, sectors int64) string {
	return testimage.Descriptor{
		CreateType: "monolithicSparse", CID: cid, ParentCID: parentCID, ParentHint: parent, Extents: []string{fmt.Sprintf(`RW %d SPARSE "x.vmdk"`, sectors)},
	}.String()
}

// pair is a delta in one file of a base in one file, which is smaller, and its disk. The delta has grains of its own, zeros over the parent's bytes, and
// grains of the parent's.
func pair(change func(base, child *testimage.VMDK)) (files, []byte) {
	base := testimage.VMDK{Size: 20*4096 + 512, GrainSectors: 16, GTEs: 4, Descriptor: chained("abc", "ffffffff", "", 161)}
	child := testimage.VMDK{Size: 30 * 4096, GrainSectors: 8, GTEs: 3, Descriptor: chained("def", "ABC", "/vmfs/volumes/x/base.vmdk", 240)}
	change(&base, &child)
	disk := make([]byte, child.Size)
	content := pattern(int(base.Size)-4096, 1)
	copy(disk[4096:], content)
	baseFile := base.BuildSparse(testimage.Run{Offset: 4096, Data: content})
	own := []testimage.Run{{Offset: 2 * 4096, Data: pattern(2*4096, 2)}, {Offset: 7 * 4096, Zero: 3 * 4096}, {Offset: 19 * 4096, Data: pattern(3*4096, 3)}}
	for _, r := range own {
		copy(disk[r.Offset:], r.Data)
		clear(disk[r.Offset:][:r.Zero])
	}
	return files{"disk.vmdk": child.BuildSparse(own...).Data, "base.vmdk": baseFile.Data}, disk
}

func TestDelta(t *testing.T) {
	f, disk := pair(func(_, _ *testimage.VMDK) {})
	img, err := f.open()
	if err != nil {
		t.Fatal(err)
	}
	if img.SubFormat() != "monolithicSparse delta" {
		t.Errorf("it is a %s", img.SubFormat())
	}
	testimage.Conform(t, testimage.Case{Files: f, Image: "disk.vmdk", Disk: disk, Units: []int64{4096, 8192}, Open: openBeside})
	var got []diskimage.Extent
	for e, err := range img.Extents() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	want := []diskimage.Extent{{Offset: 0, Length: 7 * 4096}, {Offset: 7 * 4096, Length: 3 * 4096, Zero: true}, {Offset: 10 * 4096, Length: 12 * 4096}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	_, err = vmdk.Open(bytes.NewReader(f["disk.vmdk"]), int64(len(f["disk.vmdk"])))
	if u, ok := errors.AsType[*diskimage.UnsupportedError](err); !ok || u.SubFormat != "monolithicSparse delta" ||
		!strings.Contains(u.Cure, "`terraform-provider-ec2 convert --to vmdk SRC DST.vmdk`") {
		t.Errorf("alone: %v", err)
	}
}

// A parent may be of any kind: a stream, a disk in several files, and a disk that was in use, of which a warning tells.
func TestParentKinds(t *testing.T) {
	f, disk := pair(func(_, _ *testimage.VMDK) {})
	content := disk[:20*4096+512] // of which the child has what it changed
	stream := testimage.VMDK{Layout: testimage.GDAtEnd, Size: int64(len(content)), GrainSectors: 8, Descriptor: chained("ABC", "ffffffff", "", 161)}.Build(testimage.Run{Data: content})
	stream.Data[stream.Footer+72] = 1
	for name, base := range map[string]files{
		"stream":        {"base.vmdk": stream.Data},
		"several files": {"base.vmdk": []byte(testimage.Descriptor{CreateType: "vmfs", CID: "abc", Extents: []string{`RW 161 VMFS "base-flat.vmdk"`}}.String()), "base-flat.vmdk": content},
	} {
		maps.Copy(f, base)
		checkRefusal(t, f, disk, "")
		img, err := f.open()
		if err != nil {
			t.Fatal(err)
		}
		if w := img.Warnings(); name == "stream" && (len(w) != 1 || !strings.Contains(w[0], `its parent "base.vmdk": it was not closed`)) || name != "stream" && len(w) > 0 {
			t.Errorf("%s: warnings %q", name, w)
		}
	}
}

// The name of a parent is a path on the machine where the delta was made, or of any: where the file is not below, its last part counts.
func TestParentNames(t *testing.T) {
	for _, hint := range []string{"base.vmdk", "../base.vmdk", "/vmfs/volumes/5e/vm/base.vmdk", `C:\VMs\base.vmdk`, `..\vm\base.vmdk`, `\\host\share\base.vmdk`, "sub/base.vmdk", `sub\base.vmdk`, "./base.vmdk", "C:base.vmdk"} {
		f, disk := pair(func(_, child *testimage.VMDK) { child.Descriptor = chained("def", "abc", hint, 240) })
		img, err := f.open()
		if err != nil {
			t.Errorf("%s: %v", hint, err)
		} else if !bytes.Equal(readAll(t, img), disk) {
			t.Errorf("%s: other bytes", hint)
		}
		if strings.HasPrefix(hint, "sub") {
			f["sub/base.vmdk"], f["base.vmdk"] = f["base.vmdk"], pattern(4096, 1)
			checkRefusal(t, f, disk, "")
		}
	}
}

// The names in a file of a directory below are relative to that one; files that were copied beside the image are found too.
func TestNamesBelow(t *testing.T) {
	for _, c := range []struct{ hint, extent, base, data string }{
		{"base.vmdk", "base-flat.vmdk", "sub/base.vmdk", "sub/base-flat.vmdk"},
		{"../base.vmdk", `..\base-flat.vmdk`, "base.vmdk", "base-flat.vmdk"},
		{"low/base.vmdk", "base-flat.vmdk", "sub/low/base.vmdk", "sub/low/base-flat.vmdk"},
		{"/vmfs/base.vmdk", "/vmfs/base-flat.vmdk", "base.vmdk", "base-flat.vmdk"},
		{"/vmfs/base.vmdk", "/vmfs/base-flat.vmdk", "sub/base.vmdk", "base-flat.vmdk"},
	} {
		f, disk := pair(func(_, child *testimage.VMDK) { child.Descriptor = chained("def", "abc", c.hint, 240) })
		base, err := vmdk.Open(bytes.NewReader(f["base.vmdk"]), int64(len(f["base.vmdk"])))
		if err != nil {
			t.Fatal(err)
		}
		data := readAll(t, base)
		f["sub/middle.vmdk"] = f["disk.vmdk"]
		delete(f, "base.vmdk")
		f[c.base] = []byte(testimage.Descriptor{CreateType: "vmfs", CID: "abc", Extents: []string{fmt.Sprintf(`RW 161 VMFS "%s"`, c.extent)}}.String())
		f[c.data] = data
		f["disk.vmdk"] = testimage.VMDK{Size: 240 * 512, GrainSectors: 8, Descriptor: chained("ff", "def", "sub/middle.vmdk", 240)}.BuildSparse().Data
		checkRefusal(t, f, disk, "")
	}
}

func TestDeltaRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(base, child *testimage.VMDK)
		files  func(f files)
		want   string
	}{
		{"no hint", func(_, c *testimage.VMDK) { c.Descriptor = chained("def", "abc", "", 240) }, nil, `parentFileNameHint = "": it names no file`},
		{"a hint of a directory", func(_, c *testimage.VMDK) { c.Descriptor = chained("def", "abc", "/vmfs/", 240) }, nil, "it names no file"},
		{"a hint of above", func(_, c *testimage.VMDK) { c.Descriptor = chained("def", "abc", "/vmfs/..", 240) }, nil, `parentFileNameHint = "/vmfs/..": it names no file`},
		{"missing", nil, func(f files) { delete(f, "base.vmdk") },
			`unsupported VMDK (monolithicSparse delta): the disk that it is a delta of, "base.vmdk", is not there; put that file beside SRC under that name, and convert it`},
		{"another CID", func(b, _ *testimage.VMDK) { b.Descriptor = chained("abd", "ffffffff", "", 161) }, nil,
			`unsupported VMDK (monolithicSparse delta): it is a delta of the disk with the CID "abc", and "base.vmdk" has the CID "abd": ` +
				"it is another disk, or was written to after the delta was made; put the disk that it was made on beside SRC, as it was then"},
		{"no CID", func(b, _ *testimage.VMDK) { b.Descriptor = "RW 161 SPARSE \"x\"" }, nil, `has the CID ""`},
		{"a CID that is no number", func(b, c *testimage.VMDK) {
			b.Descriptor, c.Descriptor = chained("xyz", "ffffffff", "", 161), chained("def", "xyz", "base.vmdk", 240)
		}, nil, `has the CID "xyz"`},
		{"itself", func(_, c *testimage.VMDK) { c.Descriptor = chained("abc", "abc", "disk.vmdk", 240) }, nil,
			`parent "disk.vmdk": corrupt VMDK: descriptor at byte 512, parentFileNameHint = "disk.vmdk": the parent is a delta of itself: the chain comes back to "disk.vmdk"`},
		{"a circle of two", func(b, _ *testimage.VMDK) { b.Descriptor = chained("abc", "def", "disk.vmdk", 161) }, nil, "the parent is a delta of itself"},
		{"a damaged parent", nil, func(f files) { f["base.vmdk"][4] = 9 }, `parent "base.vmdk": corrupt VMDK: header at byte 0, version = 9`},
		{"a damaged table of a parent", nil, func(f files) { put32(f["base.vmdk"], 56, 5) }, `parent "base.vmdk": `},
		{"a parent that is a piece", func(b, _ *testimage.VMDK) { b.Descriptor = "-" }, nil, `unsupported VMDK (monolithicSparse delta): in its parent "base.vmdk": it has no descriptor`},
		{"a parent that is no VMDK", nil, func(f files) { f["base.vmdk"] = pattern(4096, 1) }, `parent "base.vmdk": corrupt VMDK`},
		{"a parent of nothing", nil, func(f files) { f["base.vmdk"] = nil }, `parent "base.vmdk": corrupt VMDK`},
		{"a parent on a device", nil, func(f files) { f["base.vmdk"] = described("vmfsRDM", `RW 8 VMFSRDM "x"`) }, `unsupported VMDK (monolithicSparse delta): in its parent "base.vmdk": it is only the descriptor of a disk whose data are on a device`},
		{"an extent of a parent", nil, func(f files) {
			v := testimage.VMDK{Size: 161 * 512, GrainSectors: 8, Descriptor: "parentCID=1234\nRW 161 SPARSE \"x\""}
			f["base.vmdk"] = []byte(testimage.Descriptor{CreateType: "custom", CID: "abc", Extents: []string{`RW 161 SPARSE "s"`}}.String())
			f["s"] = v.BuildSparse().Data
		}, `unsupported VMDK (monolithicSparse delta): in its parent "base.vmdk": in its extent "s": it is a delta of its own`},
		{"a parent whose own is missing", func(b, _ *testimage.VMDK) { b.Descriptor = chained("abc", "12", "gone", 161) }, nil,
			`unsupported VMDK (monolithicSparse delta): in its parent "base.vmdk": the disk that it is a delta of, "gone", is not there`},
		{"a parent with a name of elsewhere", nil, func(f files) { f["base.vmdk"] = described("vmfs", `RW 8 VMFS "/etc/passwd"`) },
			`in its parent "base.vmdk": a file with its data, "passwd", is not there`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.change == nil {
				c.change = func(_, _ *testimage.VMDK) {}
			}
			f, disk := pair(c.change)
			if c.files != nil {
				c.files(f)
			}
			checkRefusal(t, f, disk, c.want)
		})
	}
}

// A chain of 64 disks is read, one of 65 is not.
func TestChainDepth(t *testing.T) {
	for _, depth := range []int{64, 65} {
		f, disk := files{}, make([]byte, 65*4096)
		for k := range depth {
			v := testimage.VMDK{Size: int64(len(disk)), GrainSectors: 8, GTEs: 8, Descriptor: chained(fmt.Sprint(k), "ffffffff", "", 520)}
			if k > 0 {
				v.Descriptor = chained(fmt.Sprint(k), fmt.Sprint(k-1), fmt.Sprint("disk", k-1, ".vmdk"), 520)
			}
			r := testimage.Run{Offset: int64(k) * 4096, Data: pattern(4096, uint64(k))}
			copy(disk[r.Offset:], r.Data)
			f[fmt.Sprint("disk", k, ".vmdk")] = v.BuildSparse(r).Data
		}
		f["disk.vmdk"] = f[fmt.Sprint("disk", depth-1, ".vmdk")]
		if depth == 65 {
			checkRefusal(t, f, disk, "a chain of more than 64 disks")
			continue
		}
		checkRefusal(t, f, disk, "")
	}
}

// anyExtent is a part of a disk in any kind of file: of the grains of disk in keep, which are units of 4 KiB or more.
func anyExtent(t *rapid.T, name string, disk []byte, keep func(grain int64) (stored, zero bool)) (line string, data []byte) {
	size := int64(len(disk))
	kind := rapid.SampledFrom([]string{"SPARSE", "SPARSE", "stream", "VMFSSPARSE", "SESPARSE"}).Draw(t, "kind")
	v := testimage.VMDK{
		Size: size, GrainSectors: rapid.SampledFrom([]int64{8, 16, 128}).Draw(t, "grain"), GTEs: rapid.Int64Range(1, 20).Draw(t, "entries"),
		Redundant: rapid.Bool().Draw(t, "redundant"), ShortLast: rapid.Bool().Draw(t, "short"), Descriptor: "-",
		Layout: rapid.SampledFrom(testimage.Layouts).Draw(t, "layout"),
	}
	switch kind {
	case "VMFSSPARSE":
		v.GrainSectors = rapid.SampledFrom([]int64{1, 2, 8}).Draw(t, "grain")
	case "SESPARSE":
		v.GrainSectors = 8
	}
	unit := v.GrainSectors * 512
	var runs []testimage.Run
	for g := range (size + unit - 1) / unit {
		v.Order = append(v.Order, g)
		stored, zero := keep(g * unit)
		switch part := disk[g*unit : min(size, (g+1)*unit)]; {
		case zero && kind != "VMFSSPARSE":
			runs = append(runs, testimage.Run{Offset: g * unit, Zero: int64(len(part))})
			clear(part)
		case stored:
			copy(part, pattern(len(part), rapid.Uint64().Draw(t, "seed")))
			runs = append(runs, testimage.Run{Offset: g * unit, Data: part})
		}
	}
	if rapid.Bool().Draw(t, "shuffled") {
		rand.New(rand.NewPCG(1, uint64(size))).Shuffle(len(v.Order), func(a, b int) { v.Order[a], v.Order[b] = v.Order[b], v.Order[a] })
	}
	switch kind {
	case "stream":
		kind, data = "SPARSE", v.Build(runs...).Data
	case "SPARSE":
		data = v.BuildSparse(runs...).Data
	case "VMFSSPARSE":
		data = v.BuildCOWD(runs...).Data
	default:
		data = v.BuildSESparse(runs...).Data
	}
	return fmt.Sprintf(`RW %d %s "%s"`, size/512, kind, name), data
}

// Any chain of disks in any extents reads as its model does: an array that each disk writes to.
func TestAnyChain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, disk := files{}, []byte(nil)
		depth := rapid.IntRange(1, 3).Draw(t, "disks")
		for k := range depth {
			d := testimage.Descriptor{CreateType: "custom", CID: fmt.Sprint(k)}
			if k > 0 {
				d.ParentCID, d.ParentHint = fmt.Sprint(k-1), fmt.Sprintf("disk%d.vmdk", k-1)
			}
			parent := disk
			disk = nil
			for e := range rapid.IntRange(1, 4).Draw(t, "extents") {
				length := 512 * rapid.SampledFrom([]int64{1, 8, 9, 100, 500}).Draw(t, "sectors")
				part := make([]byte, length)
				if len(disk) < len(parent) {
					copy(part, parent[len(disk):])
				}
				name := fmt.Sprintf("disk%d-%d.vmdk", k, e)
				var line string
				switch rapid.IntRange(0, 5).Draw(t, "what") {
				case 0:
					line = fmt.Sprintf("RDONLY %d ZERO", length/512)
					clear(part)
				case 1:
					at := rapid.Int64Range(0, 3).Draw(t, "offset")
					copy(part, pattern(len(part), uint64(e)))
					line = fmt.Sprintf(`RW %d FLAT "%s" %d`, length/512, name, at)
					f[name] = append(bytes.Repeat([]byte{0xee}, int(at*512)), part...)
				default:
					line, f[name] = anyExtent(t, name, part, func(int64) (stored, zero bool) {
						n := rapid.IntRange(0, 3).Draw(t, "grain")
						return n == 0, n == 1
					})
				}
				d.Extents = append(d.Extents, line)
				disk = append(disk, part...)
			}
			f[fmt.Sprintf("disk%d.vmdk", k)] = []byte(d.String())
		}
		f["disk.vmdk"] = f[fmt.Sprintf("disk%d.vmdk", depth-1)]
		beside, own := f.opener(), io.ReaderAt(bytes.NewReader(f["disk.vmdk"]))
		if rapid.Bool().Draw(t, "holes are known") {
			beside = func(name string) (diskimage.File, error) { return holey{inMemory{bytes.NewReader(f[name])}}, nil }
			own = holey{inMemory{bytes.NewReader(f["disk.vmdk"])}}
		}
		img, err := vmdk.OpenBeside(own, int64(len(f["disk.vmdk"])), beside)
		if err != nil {
			t.Fatal(err)
		}
		seen, end := make([]byte, len(disk)), int64(0)
		for e, err := range img.Extents() {
			if err != nil || e.Offset < end || e.End() > img.Size() {
				t.Fatalf("%+v after %d, %v", e, end, err)
			}
			end = e.End()
			if _, err := img.ReadAt(seen[e.Offset:end], e.Offset); err != nil {
				t.Fatal(err)
			}
			if e.Zero && len(bytes.Trim(seen[e.Offset:end], "\x00")) > 0 {
				t.Fatalf("%+v is not zeros", e)
			}
		}
		if img.Size() != int64(len(disk)) || !bytes.Equal(seen, disk) {
			t.Fatalf("%d bytes of %d, or other ones", img.Size(), len(disk))
		}
		off := rapid.Int64Range(0, img.Size()-1).Draw(t, "from")
		b := bytes.Repeat([]byte{0xaa}, int(rapid.Int64Range(1, img.Size()-off).Draw(t, "length")))
		if _, err := img.ReadAt(b, off); err != nil || !bytes.Equal(b, disk[off:off+int64(len(b))]) {
			t.Fatalf("read at %d: %v, or other bytes", off, err)
		}
	})
}
