package vmdk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// long is a file that goes on with zeros as far as a test wants, without being there.
type long struct {
	data  []byte
	size  int64
	reads int64
	bytes int64

	runs  [][2]int64 // what is stored; nil: all
	asked int
}

func (l *long) NextData(off int64) (start, end int64, err error) {
	l.asked++
	if l.runs == nil {
		return off, l.size, nil
	}
	for _, r := range l.runs {
		if off < r[1] {
			return max(off, r[0]), r[1], nil
		}
	}
	return 0, 0, io.EOF
}

func (l *long) ReadAt(p []byte, at int64) (int, error) {
	l.reads++
	l.bytes += int64(len(p))
	clear(p)
	if at < int64(len(l.data)) {
		copy(p, l.data[at:])
	}
	return len(p), nil
}

func (l *long) Size() int64  { return l.size }
func (l *long) Close() error { return nil }

// bounded opens an image that is refused, or walked: neither memory nor reading follows what it claims.
func bounded(t *testing.T, l *long, beside diskimage.Opener, maxBytes int64) error {
	t.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	img, err := vmdk.OpenBeside(l, l.size, beside)
	if err == nil {
		for _, err = range img.Extents() {
		}
	}
	runtime.ReadMemStats(&after)
	if total := after.TotalAlloc - before.TotalAlloc; total > raced*64<<20 {
		t.Errorf("allocated %d MiB in all, more than 64", total>>20)
	}
	if l.bytes > maxBytes {
		t.Errorf("%d reads of %d bytes, more than %d", l.reads, l.bytes, maxBytes)
	}
	if err != nil {
		typed(t, err)
	}
	return err
}

// Descriptors that are full of lines.
func TestLongDescriptors(t *testing.T) {
	fill := func(line string) []byte {
		return []byte("createType=\"custom\"\nparentCID=ffffffff\n" + strings.Repeat(line+"\n", (1<<20-100)/(len(line)+1)))
	}
	for _, c := range []struct{ line, want string }{
		{"RW 1 ZERO", "more than 4096 extents"},
		{`RW 1 FLAT "a" 0`, "more than 4096 extents"},
		{"RW", "more than 4096 extents"},
		{"x", "neither a comment"},
		{"", "there is none"},
		{"a=b", "there is none"},
	} {
		data := fill(c.line)
		opened := 0
		beside := func(string) (diskimage.File, error) { opened++; return nil, fs.ErrNotExist }
		err := bounded(t, &long{data: data, size: int64(len(data))}, beside, 4<<20)
		if err == nil || !strings.Contains(err.Error(), c.want) || opened > 0 {
			t.Errorf("%q: %v, %d files opened", c.line, err, opened)
		}
	}
}

// Texts of any length are cut where they are shown, and no path has more than 4 KiB.
func TestLongTexts(t *testing.T) {
	const n = 200 << 10
	for _, c := range []struct{ text, want string }{
		{"parentCID=1\nparentFileNameHint=\"x" + strings.Repeat("\x01", n) + "\"\nRW 8 FLAT \"a\"", "(cut): no path is longer than 4096 bytes"},
		{"parentCID=1\nparentFileNameHint=\"x" + strings.Repeat("/", n) + "b\"\nRW 8 FLAT \"a\"", "(cut): no path is longer than 4096 bytes"},
		{"parentCID=" + strings.Repeat("1", n) + "\nparentFileNameHint=\"p\"\nRW 8 FLAT \"a\"", `11" (cut), and "p" has the CID ""`},
		{"parentCID=1\nparentFileNameHint=\"q\"\nRW 8 FLAT \"a\"", `"q" has the CID "222`},
		{"encoding=" + strings.Repeat("\x01", n) + "\nRW 8 FLAT \"\xff\"", `\x01" (cut))`},
		{"RW 8 FLAT \"" + strings.Repeat("x", n) + "\"", `xx" (cut): no path is longer than 4096 bytes`},
		{"RW 8 FLAT \"" + strings.Repeat("x", 300) + "\"", `xx" (cut), is not there`},
		{"RW 8 FLAT \"/" + strings.Repeat("x", 300) + "\"", `xx" (cut), is not there`},
		{"RW 8 FLAT \"broken" + strings.Repeat("x", 300) + "\"", `xx" (cut): it is broken`},
		{"RW 8 " + strings.Repeat("\x01", n) + " \"a\"", `\x01" (cut), which is on a device`},
		{"RW 9 FLAT \"a\"" + strings.Repeat(" ", n), `in its extent "a": 9 sectors from sector 0 on do not fit`},
	} {
		beside := func(name string) (diskimage.File, error) {
			of := map[string]string{"a": strings.Repeat("\x00", 4096), "p": "createType=\"vmfs\"\nRW 8 FLAT \"a\"", "q": "CID=" + strings.Repeat("2", n) + "\nRW 8 FLAT \"a\""}
			data, ok := of[name]
			if strings.HasPrefix(name, "broken") {
				return nil, errors.New("it is broken")
			}
			if !ok {
				return nil, fs.ErrNotExist
			}
			return &long{data: []byte(data), size: int64(len(data))}, nil
		}
		data := []byte("createType=\"vmfs\"\n" + c.text + "\n")
		_, err := vmdk.OpenBeside(bytes.NewReader(data), int64(len(data)), beside)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 4000 {
			t.Errorf("%.80q: %.2000v, want %q", c.text, err, c.want)
		}
		if _, err := open(data); err == nil || len(err.Error()) > 4000 {
			t.Errorf("alone: %.80q: %.2000v", c.text, err)
		}
	}
}

// What is kept of each disk of a chain does not keep its text.
func TestMemoryOfChain(t *testing.T) {
	live := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, most := live(), int64(0)
	_, err := vmdk.OpenBeside(link(0), link(0).Size(), func(name string) (diskimage.File, error) {
		var k int
		if _, err := fmt.Sscan(name, &k); err != nil {
			return &long{size: 512}, nil //nolint:nilerr // the last of the chain is no number
		}
		most = max(most, live()-before)
		return link(k), nil
	})
	if err == nil || !strings.Contains(err.Error(), "more than 64 disks") || most > 4<<20 {
		t.Errorf("%d KiB live, %.2000v", most>>10, err)
	}
}

// link is a disk of a long chain with a long text, which is made when it is read.
type link int

func (k link) text() []byte {
	pad := strings.Repeat("/", 300<<10)
	return fmt.Appendf(nil, "CID=%d\nparentCID=%d\nencoding=x%s\nparentFileNameHint=%d\nRW 1 FLAT \"a\" 0 %s\n", k, k+1, pad, k+1, pad)
}

func (k link) ReadAt(p []byte, at int64) (int, error) { return bytes.NewReader(k.text()).ReadAt(p, at) }
func (k link) Size() int64                            { return int64(len(k.text())) }
func (link) Close() error                             { return nil }

// What was opened is closed when opening fails in the middle, and with the image.
func TestClose(t *testing.T) {
	f, _ := pair(func(_, _ *testimage.VMDK) {})
	f["c.vmdk"] = pattern(4096, 1)
	f["base.vmdk"] = []byte(testimage.Descriptor{CreateType: "custom", CID: "abc", Extents: []string{`RW 8 FLAT "c.vmdk" 0`, `RW 8 FLAT "gone.vmdk" 0`}}.String())
	left := 0
	beside := func(name string) (diskimage.File, error) {
		file, err := f.opener()(name)
		if err != nil {
			return nil, err
		}
		left++
		return closing{counted{file, &left}}, nil
	}
	image := bytes.NewReader(f["disk.vmdk"])
	if _, err := vmdk.OpenBeside(image, image.Size(), beside); err == nil || !strings.Contains(err.Error(), `"gone.vmdk", is not there`) || left != 0 {
		t.Errorf("%v; %d files are open", err, left)
	}
	f["gone.vmdk"] = f["c.vmdk"]
	img, err := vmdk.OpenBeside(image, image.Size(), beside)
	if err != nil || left != 3 {
		t.Fatalf("%v; %d files are open", err, left)
	}
	if err := img.Close(); !errors.Is(err, errClosing) || left != 0 {
		t.Errorf("%v; %d files are open", err, left)
	}
	if err := img.Close(); err != nil || left != 0 {
		t.Errorf("closed again: %v, %d", err, left)
	}
}

var errClosing = errors.New("it was read only")

type closing struct{ counted }

func (c closing) Close() error { return errors.Join(c.counted.Close(), errClosing) }

// Nothing is allocated for a grain, in any kind of extent or in a chain.
func TestAllocations(t *testing.T) {
	scattered := func(v testimage.VMDK) []testimage.Run {
		var runs []testimage.Run
		unit := v.GrainSectors * 512
		for at := int64(0); at+unit <= v.Size; at += 2 * unit {
			runs = append(runs, testimage.Run{Offset: at, Data: pattern(int(unit), 1)})
		}
		return runs
	}
	const parent = "parentCID=1\nparentFileNameHint=\"base.vmdk\"\ncreateType=\"monolithicSparse\"\n"
	for name, make := range map[string]func(grains int64) files{
		"monolithicSparse": func(n int64) files {
			v := testimage.VMDK{Size: n * 4096, GrainSectors: 8}
			return files{"disk.vmdk": v.BuildSparse(scattered(v)...).Data}
		},
		"streamOptimized": func(n int64) files {
			v := testimage.VMDK{Size: n * 4096, GrainSectors: 8}
			return files{"disk.vmdk": v.Build(scattered(v)...).Data}
		},
		"vmfsSparse": func(n int64) files {
			v := testimage.VMDK{Size: n * 512, GrainSectors: 1}
			return withESX("vmfsSparse", "VMFSSPARSE", v.BuildCOWD(scattered(v)...).Data, int(v.Size))
		},
		"seSparse": func(n int64) files {
			v := testimage.VMDK{Size: n * 4096, GrainSectors: 8}
			return withESX("seSparse", "SESPARSE", v.BuildSESparse(scattered(v)...).Data, int(v.Size))
		},
		"delta of a flat disk": func(n int64) files {
			v := testimage.VMDK{Size: n * 4096, GrainSectors: 8, Descriptor: parent}
			return files{
				"disk.vmdk": v.BuildSparse(scattered(v)...).Data,
				"base.vmdk": []byte(testimage.Descriptor{CreateType: "vmfs", CID: "1", Extents: []string{fmt.Sprintf(`RW %d VMFS "flat"`, n*8)}}.String()),
				"flat":      pattern(int(n*4096), 1),
			}
		},
	} {
		var allocated [2]float64
		for k, grains := range []int64{64, 1024} {
			img, err := make(grains).open()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			buf := bytes.Repeat([]byte{0}, int(img.Size()))
			allocated[k] = testing.AllocsPerRun(10, func() {
				for e, err := range img.Extents() {
					if err != nil {
						t.Fatal(err)
					}
					if _, err := img.ReadAt(buf[:e.Length], e.Offset); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
		if allocated[1] > allocated[0]+10 {
			t.Errorf("%s: %v allocations for 64 grains, %v for 1024", name, allocated[0], allocated[1])
		}
	}
}

// A line may have less than the extent. Its last grain is as long as that of the extent, in a stream too.
func TestPartOfExtent(t *testing.T) {
	v := testimage.VMDK{Size: 319 * 512, GrainSectors: 8, GTEs: 16, Descriptor: "-", ShortLast: true}
	disk := pattern(int(v.Size), 1)
	for _, layout := range testimage.Layouts {
		v.Layout = layout
		for _, data := range [][]byte{v.Build(testimage.Run{Data: disk}).Data, v.BuildSparse(testimage.Run{Data: disk}).Data} {
			for _, sectors := range []int{1, 8, 128, 129, 313, 318} {
				checkRefusal(t, files{"disk.vmdk": described("custom", fmt.Sprintf(`RW %d SPARSE "s"`, sectors)), "s": data}, disk[:sectors*512], "")
			}
		}
	}
}
