package vmdk_test

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
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// files are the files of a disk by name; the image is "disk.vmdk".
type files map[string][]byte

func (f files) opener() diskimage.Opener {
	return func(name string) (diskimage.File, error) {
		data, ok := f[name]
		if !ok {
			return nil, fmt.Errorf("%q: %w", name, fs.ErrNotExist)
		}
		return inMemory{bytes.NewReader(data)}, nil
	}
}

func (f files) open() (*vmdk.Image, error) {
	image := f["disk.vmdk"]
	return vmdk.OpenBeside(bytes.NewReader(image), int64(len(image)), f.opener())
}

// holey is a file with a map of its holes: pages of zeros.
type holey struct{ inMemory }

func (h holey) NextData(off int64) (start, end int64, err error) {
	const page = 512
	isHole := func(at int64) bool {
		b := make([]byte, page)
		n, _ := h.ReadAt(b, at)
		return n == 0 || bytes.Equal(b[:n], make([]byte, n))
	}
	start = off - off%page
	for ; start < h.Size() && isHole(start); start += page {
	}
	if start >= h.Size() {
		return 0, 0, io.EOF
	}
	for end = start; end < h.Size() && !isHole(end); end += page {
	}
	return start, min(end, h.Size()), nil
}

type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

func openBeside(r io.ReaderAt, size int64, beside diskimage.Opener) (diskimage.Image, error) {
	return vmdk.OpenBeside(r, size, beside)
}

// described makes the descriptor.
func described(createType string, extents ...string) []byte {
	return []byte(testimage.Descriptor{CreateType: createType, Extents: extents}.String())
}

// several is a disk of a subformat in several files.
type several struct {
	sub   string
	files files
	disk  []byte
	units []int64
}

// every sub-format whose disk is in several files.
func everySeveral() []several {
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	a, b := pattern(40<<10, 1), pattern(20<<10+512, 2)
	flat := several{"monolithicFlat", files{"disk.vmdk": described("monolithicFlat", `RW 80 FLAT "disk-flat.vmdk" 0`), "disk-flat.vmdk": a}, a, []int64{512}}
	twoFlat := several{
		"twoGbMaxExtentFlat",
		files{
			"disk.vmdk":      described("twoGbMaxExtentFlat", `RW 80 FLAT "disk-f001.vmdk" 0`, `RW 41 FLAT "disk-f002.vmdk" 0`),
			"disk-f001.vmdk": a, "disk-f002.vmdk": b,
		},
		join(a, b), []int64{40 << 10},
	}
	vmfs := several{"vmfs", files{"disk.vmdk": described("VMFS", `RW 80 VMFS "disk-flat.vmdk"`), "disk-flat.vmdk": a}, a, []int64{512}}

	mixed := several{
		"custom",
		files{
			"disk.vmdk": described("custom", `RDONLY 10 FLAT "a b.vmdk" 70`, "RW 7 ZERO", `NOACCESS 5 FLAT "/dev/sda" 0`, `rw 41 flat "b=.vmdk" 0 "uuid" "device"`,
				`RW 319 SPARSE "s.vmdk"`, `RW 80 FLAT "a b.vmdk" 80`),
			"a b.vmdk": join(a, a), "b=.vmdk": b,
		},
		nil, []int64{512, 10 * 512, 4096},
	}
	v := testimage.VMDK{Layout: testimage.GDAtEnd, Size: 39*4096 + 3584, GrainSectors: 8, GTEs: 16, Descriptor: "-"} // 319 sectors
	runs := []testimage.Run{{Data: pattern(4096, 4)}, {Offset: 3*4096 + 512, Data: pattern(2*4096, 5)}, {Offset: 8 * 4096, Zero: 8192}, {Offset: 39 * 4096, Data: pattern(3584, 6)}}
	disk := make([]byte, v.Size)
	for _, r := range runs {
		copy(disk[r.Offset:], r.Data)
	}
	mixed.files["s.vmdk"] = v.Build(runs...).Data
	mixed.disk = join(a[70*512:], make([]byte, 12*512), b, disk, a)

	second := testimage.VMDK{Size: 20*8192 + 512, GrainSectors: 16, Descriptor: "-", Redundant: true}
	sparse := several{
		"twoGbMaxExtentSparse",
		files{
			"disk.vmdk":      described("twoGbMaxExtentSparse", `RW 319 SPARSE "disk-s001.vmdk"`, `RW 320 SPARSE "disk-s002.vmdk"`), // of 321
			"disk-s001.vmdk": v.BuildSparse(runs...).Data,
			"disk-s002.vmdk": second.BuildSparse(testimage.Run{Offset: 8192, Data: a}).Data,
		},
		join(disk, make([]byte, 8192), a, make([]byte, 19*8192-len(a))), []int64{4096, 8192},
	}
	return []several{flat, twoFlat, vmfs, mixed, sparse}
}

func TestSeveralFiles(t *testing.T) {
	for _, c := range everySeveral() {
		t.Run(c.sub, func(t *testing.T) {
			img, err := c.files.open()
			if err != nil {
				t.Fatal(err)
			}
			if img.SubFormat() != c.sub {
				t.Errorf("it is a %s", img.SubFormat())
			}
			testimage.Conform(t, testimage.Case{Files: c.files, Image: "disk.vmdk", Disk: c.disk, Units: c.units, Open: openBeside})

			alone, err := vmdk.Open(bytes.NewReader(c.files["disk.vmdk"]), int64(len(c.files["disk.vmdk"])))
			if u, ok := errors.AsType[*diskimage.UnsupportedError](err); !ok || u.SubFormat != c.sub || !strings.Contains(u.Cure, "`terraform-provider-ec2 convert --to vmdk SRC DST.vmdk`") {
				t.Errorf("alone it is %v, %v", alone, err)
			}
		})
	}
}

// What a line says is zeros is zeros, and no file is opened for it.
func TestZeroExtents(t *testing.T) {
	img, err := files{"disk.vmdk": described("monolithicFlat", "RW 8 ZERO", `RW 8 FLAT "a" 0`, `NOACCESS 4 FLAT "../gone"`, "RDONLY 4 ZERO"), "a": pattern(4096, 1)}.open()
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
	want := []diskimage.Extent{{Offset: 0, Length: 4096, Zero: true}, {Offset: 4096, Length: 4096}, {Offset: 8192, Length: 4096, Zero: true}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

// A sparse file's holes cost nothing.
func TestFlatHoles(t *testing.T) {
	f := files{"disk.vmdk": described("twoGbMaxExtentFlat", `RW 1000000 FLAT "a" 8`, `RW 8 FLAT "b" 0`)}
	mapped := &mappedFile{size: 1000008 * 512, runs: [][2]int64{{0, 8192}, {1 << 20, 2 << 20}, {512000000, 512004096}}}
	img, err := vmdk.OpenBeside(bytes.NewReader(f["disk.vmdk"]), int64(len(f["disk.vmdk"])), func(name string) (diskimage.File, error) {
		if name == "a" {
			return mapped, nil
		}
		return inMemory{bytes.NewReader(pattern(4096, 1))}, nil
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
	want := []diskimage.Extent{{Offset: 0, Length: 4096}, {Offset: 1<<20 - 4096, Length: 1 << 20}, {Offset: 512000000 - 4096, Length: 4096 + 4096}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	b := bytes.Repeat([]byte{0xaa}, 1<<20)
	if _, err := img.ReadAt(b, 8192); err != nil || len(bytes.Trim(b[:1<<20-12288], "\x00")) > 0 || !bytes.Equal(b[1<<20-12288:], bytes.Repeat([]byte{1}, 12288)) {
		t.Errorf("%v, or other bytes", err)
	}
	// What is known of one place says nothing of those before it.
	for _, at := range []int64{400 << 20, 8192, 1 << 20, 0} {
		if _, err := img.ReadAt(b[:4096], at); err != nil || !bytes.Equal(b[:4096], bytes.Repeat([]byte{map[bool]byte{true: 1}[at == 1<<20 || at == 0]}, 4096)) {
			t.Errorf("read at %d: %v, or other bytes", at, err)
		}
	}
	mapped.err = errors.New("broken")
	for _, err = range img.Extents() {
	}
	if !errors.Is(err, mapped.err) {
		t.Errorf("with a broken map: %v", err)
	}
}

// A table that begins in a hole is not all hole.
func TestTableHalfInHole(t *testing.T) {
	v := testimage.VMDK{Size: 4096 * 512}
	s := v.BuildCOWD(testimage.Run{Offset: v.Size - 512, Data: pattern(512, 1)})
	f := withESX("vmfsSparse", "VMFSSPARSE", s.Data, int(v.Size))
	img, err := vmdk.OpenBeside(bytes.NewReader(f["disk.vmdk"]), int64(len(f["disk.vmdk"])), func(name string) (diskimage.File, error) {
		return holey{inMemory{bytes.NewReader(f[name])}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if b := readAll(t, img); !bytes.Equal(b[v.Size-512:], pattern(512, 1)) || len(bytes.Trim(b[:v.Size-512], "\x00")) > 0 {
		t.Error("other bytes")
	}
}

// A table that is a hole is compared with its copy as the zeros that it is, whatever was at hand before.
func TestZeroedTableInHole(t *testing.T) {
	v := testimage.VMDK{Size: 256 * 4096, GrainSectors: 8, GTEs: 128, Redundant: true}
	s := v.BuildSparse(testimage.Run{Data: pattern(int(v.Size), 1)})
	clear(s.Data[s.GT[1] : s.GT[1]+512])
	_, err := vmdk.Open(holey{inMemory{bytes.NewReader(s.Data)}}, int64(len(s.Data)))
	if err == nil || !strings.Contains(err.Error(), "entry of grain 128 = 0: the redundant table has a grain there") {
		t.Error(err)
	}
}

// mappedFile has ones in its runs.
type mappedFile struct {
	size int64
	runs [][2]int64
	err  error
}

func (f *mappedFile) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	for _, r := range f.runs {
		for at := max(off, r[0]); at < min(off+int64(len(p)), r[1]); at++ {
			p[at-off] = 1
		}
	}
	return len(p), nil
}

func (f *mappedFile) NextData(off int64) (start, end int64, err error) {
	for _, r := range f.runs {
		if off < r[1] {
			return max(r[0], off), r[1], f.err
		}
	}
	return 0, 0, io.EOF
}

func (f *mappedFile) Size() int64  { return f.size }
func (f *mappedFile) Close() error { return nil }

// An extent's name is a path on the machine where the disk was made, or of any: where the file is not below, its last part counts.
func TestExtentNames(t *testing.T) {
	data, other := pattern(8192, 1), pattern(8192, 2)
	for _, name := range []string{
		"a", "./a", "sub/a", `sub\a`, "../a", "../../x/a", "/vmfs/volumes/5e/vm/a", "c:a", `C:\VMs\a`, `..\a`, `\\host\share\a`, "https://host/a",
	} {
		for k, f := range []files{{"a": data}, {"sub/a": data, "a": other}} {
			if k == 1 && name != "sub/a" && name != `sub\a` {
				continue
			}
			f["disk.vmdk"] = described("custom", `RW 7 FLAT "`+name+`" 0`, `RW 9 FLAT "`+name+`" 7`)
			img, err := f.open()
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if !bytes.Equal(readAll(t, img), data) {
				t.Errorf("%s: other bytes", name)
			}
		}
	}
}

// Each row is a disk in several files that is refused; want is in the error, and none reads as if it were sound.
func TestSeveralRefusals(t *testing.T) {
	v := testimage.VMDK{Size: 8192, GrainSectors: 8}
	sparse := v.BuildSparse(testimage.Run{Data: pattern(8192, 1)}).Data
	v.Descriptor = "parentCID=1234\nRW 16 SPARSE \"x\""
	delta := v.BuildSparse(testimage.Run{Data: pattern(4096, 1)}).Data
	one := func(line string) files {
		return files{"disk.vmdk": described("custom", line), "a": pattern(8192, 1), "s": sparse}
	}
	self := []byte(testimage.Descriptor{CreateType: "vmfs", Extents: []string{`RW 1 VMFS "self"`}}.String())
	self = append(self, make([]byte, 512)...)
	for _, c := range []struct {
		name  string
		files files
		want  string
	}{
		{"absolute (CVE-2022-47951)", one(`RW 1 FLAT "/etc/passwd" 0`), `unsupported VMDK (custom): a file with its data, "passwd", is not there`},
		{"above (CVE-2022-47951)", one(`RW 1 FLAT "../../etc/shadow" 0`), `unsupported VMDK (custom): a file with its data, "shadow", is not there`},
		{"below", one(`RW 1 FLAT "sub/b" 0`), `unsupported VMDK (custom): a file with its data, "sub/b" or "b", is not there; put that file beside SRC`},
		{"a directory", one(`RW 1 FLAT ".." 0`), `extent = "..": it names no file`},
		{"a path of a directory", one(`RW 1 FLAT "/vmfs/" 0`), `extent = "/vmfs/": it names no file`},
		{"a zero byte", one("RW 1 FLAT \"a\x00b\" 0"), `neither a comment, nor an extent`},
		{"a control character", one("RW 1 FLAT \"a\x1b[2J\" 0"), `extent = "a\x1b[2J": it names no file`},
		{"one file by two names", files{"disk.vmdk": described("custom", `RW 8 FLAT "a" 0`, `RW 8 FLAT "/vmfs/a" 7`), "a": pattern(8192, 1)}, "another extent has the same part"},
		{"no name", one(`RW 1 FLAT`), "it names no file"},
		{"an empty name", one(`RW 1 FLAT "" 0`), "it names no file"},
		{"missing", one(`RW 1 FLAT "b" 0`), `unsupported VMDK (custom): a file with its data, "b", is not there; put that file beside SRC`},
		{"missing, in another encoding", one("RW 1 FLAT \"b\xe4\" 0"), `"b\xe4", is not there (the bytes of the name are taken as they are; the descriptor says that its encoding is "UTF-8")`},
		{"flat file too short", one(`RW 17 FLAT "a" 0`), `in its extent "a": 17 sectors from sector 0 on do not fit into the 8192 bytes that it has: it was cut off, or is another one; copy that file again`},
		{"flat file too short from an offset", one(`RW 16 FLAT "a" 1`), "16 sectors from sector 1 on do not fit"},
		{"offset that overflows", one(`RW 1 FLAT "a" 36028797018963967`), "do not fit"},
		{"offset beyond 64 bits", one(`RW 1 FLAT "a" 99999999999999999999`), "neither a comment, nor an extent"},
		{"the same part twice", files{"disk.vmdk": described("custom", `RW 8 FLAT "a" 0`, `RW 8 FLAT "a" 7`), "a": pattern(8192, 1)}, "another extent has the same part"},
		{"the same sparse file twice", files{"disk.vmdk": described("custom", `RW 16 SPARSE "s"`, `RW 16 SPARSE "s"`), "s": sparse}, "another extent has the same part"},
		{"sparse and flat", files{"disk.vmdk": described("custom", `RW 16 SPARSE "s"`, `RW 1 FLAT "s" 0`), "s": sparse}, "another extent has the same part"},
		{"the descriptor itself", files{"disk.vmdk": self, "self": self}, "it is the descriptor itself"},
		{"the descriptor itself, sparse", files{"disk.vmdk": described("custom", `RW 1 SPARSE "self"`), "self": described("custom", `RW 1 SPARSE "self"`)}, "it is the descriptor itself"},
		{"another descriptor", files{"disk.vmdk": described("custom", `RW 1 SPARSE "d"`), "d": self}, "this is no sparse extent"},
		{"capacity below the line (qemu-img goes by the header)", one(`RW 17 SPARSE "s"`), `in its extent "s": it should have 17 sectors, and its header has a capacity of only 16: it was cut off, or is another one; copy that file again`},
		{"an extent that is a delta itself", files{"disk.vmdk": described("custom", `RW 16 SPARSE "s"`), "s": delta}, `unsupported VMDK (custom): in its extent "s": it is a delta of its own`},
		{"a damaged extent", files{"disk.vmdk": described("custom", `RW 16 SPARSE "s"`), "s": append([]byte("KDMV\x09"), sparse[5:]...)}, `extent "s": corrupt VMDK: header at byte 0, version = 9`},
		{"a truncated extent", files{"disk.vmdk": described("custom", `RW 16 SPARSE "s"`), "s": sparse[:100]}, `extent "s": corrupt VMDK: header at byte 0: the file ends after 100`},
		{"an empty extent file", files{"disk.vmdk": described("custom", `RW 16 SPARSE "s"`), "s": nil}, `extent "s": corrupt VMDK`},
		{"no extents", files{"disk.vmdk": described("monolithicFlat")}, "extents: there is none"},
		{"an extent of nothing", one(`RW 0 FLAT "a" 0`), "an extent of nothing"},
		{"sectors that are no number", one(`RW x FLAT "a" 0`), "neither a comment, nor an extent"},
		{"a negative size", one(`RW -8 FLAT "a" 0`), "neither a comment, nor an extent"},
		{"a name of two words without quotes", one(`RW 8 FLAT a b 0`), "neither a comment, nor an extent"},
		{"a quote in the middle", one(`RW 8 FLAT a "b" 0`), "neither a comment, nor an extent"},
		{"a name without an end", one(`RW 8 FLAT "a`), "neither a comment, nor an extent"},
		{"an offset that is no number", one(`RW 8 FLAT "a" x`), "neither a comment, nor an extent"},
		{"access that is not known", one(`WO 8 FLAT "a" 0`), "neither a comment, nor an extent"},
		{"a kind that is not known", one(`RW 8 VSANSPARSE "a"`), `of the type "VSANSPARSE", which is on a device, or not known here`},
		{"a raw device mapping", one(`RW 8 VMFSRDM "a"`), "on a device"},
		{"more than 64 TiB", one("RW 137438953473 ZERO"), "more than 64 TiB"},
		{"sectors that overflow", files{"disk.vmdk": described("custom", "RW 18446744073709551615 ZERO", "RW 8 ZERO")}, "more than 64 TiB"},
		{"4097 extents", files{"disk.vmdk": described("custom", slices.Repeat([]string{"RW 8 ZERO"}, 4097)...)}, "more than 4096 extents"},
		{"a device", files{"disk.vmdk": described("fullDevice", `RW 8 FLAT "a" 0`), "a": pattern(8192, 1)}, "whose data are on a device"},
	} {
		t.Run(c.name, func(t *testing.T) {
			img, err := c.files.open()
			if err == nil {
				t.Fatalf("opened: %d bytes", img.Size())
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q lacks %q", err, c.want)
			}
			typed(t, err)
		})
	}
}

// What an encrypted virtual machine wrote is not the disk that it saw.
func TestEncrypted(t *testing.T) {
	for _, line := range []string{`encryptionKeys="vmware:key/list/(pair/..."`, `ddb.iofilters = "vmwarevmcrypt"`} {
		f := files{"disk.vmdk": []byte("createType=\"vmfs\"\n" + line + "\nRW 8 VMFS \"a\"\n"), "a": pattern(4096, 1)}
		checkRefusal(t, f, nil, "unsupported VMDK (vmfs): it is encrypted by VMware")
		if _, err := open(f["disk.vmdk"]); err == nil || !strings.Contains(err.Error(), "it is encrypted") {
			t.Errorf("alone: %v", err)
		}
		v := testimage.VMDK{Size: 4096, GrainSectors: 8, Descriptor: "createType=\"monolithicSparse\"\n" + line}
		checkRefusal(t, files{"disk.vmdk": v.BuildSparse().Data}, nil, "unsupported VMDK (monolithicSparse): it is encrypted by VMware")
	}
}

// What is sound and unusual.
func TestSeveralAccepted(t *testing.T) {
	data := pattern(8192, 1)
	for name, text := range map[string]string{
		"CRLF":                   "# Disk DescriptorFile\r\nversion=1\r\ncreateType=\"custom\"\r\nRW 16 FLAT \"a\" 0\r\n",
		"no newline at the end":  "version=1\ncreateType=custom\nRW 16 FLAT \"a\" 0",
		"blanks and case":        "  version = 4 \n\tCreateType = \"Custom\" \n Rw  16\tFlat  \"a\"  0  \n",
		"UTF-8 mark":             "\xef\xbb\xbf# Disk DescriptorFile\ncreateType=\"CUSTOM\"\nRW 16 FLAT \"a\" 0\n",
		"NUL and what is behind": "createType=\"custom\"\nRW 16 FLAT \"a\" 0\n\x00RW 16 FLAT \"b\" 0\n",
		"no quotes":              "createType=custom\nRW 7 FLAT a 0\nRW 9 FLAT a 7",
		"no quotes, no offset":   "createType=custom\nRW 16 FLAT a\n",
		"no offset":              "createType=\"custom\"\nRW 16 FLAT \"a\"\n",
		"two parts of a file":    "createType=\"custom\"\nRW 7 FLAT \"a\" 0\nRW 9 FLAT \"a\" 7\n",
		"in a comment":           "createType=\"custom\"\n# RW 16 FLAT \"b\" 0\n#createType=\"fullDevice\"\nRW 16 FLAT \"a\" 0\n",
		"a kind of one file":     "createType=\"streamOptimized\"\nRW 16 FLAT \"a\" 0\n",
	} {
		img, err := files{"disk.vmdk": []byte(text), "a": data}.open()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if img.SubFormat() != "custom" || !bytes.Equal(readAll(t, img), data) {
			t.Errorf("%s: it is a %s, or has other bytes", name, img.SubFormat())
		}
	}
}
