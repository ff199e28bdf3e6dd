package detect_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// place is a file of n bytes with s at an offset.
func place(n, at int, s string) []byte {
	b := make([]byte, n)
	copy(b[at:], s)
	return b
}

func kdmv(version uint32) []byte {
	b := place(4096, 0, "KDMV")
	binary.LittleEndian.PutUint32(b[4:], version)
	return b
}

// footer is a VHD footer with the right checksum, of a disk type.
func footer(kind uint32) []byte {
	b := make([]byte, 512)
	copy(b, "conectix")
	binary.BigEndian.PutUint32(b[12:], 0x00010000)
	binary.BigEndian.PutUint64(b[48:], 4096)
	binary.BigEndian.PutUint32(b[60:], kind)
	sum := uint32(0)
	for _, c := range b {
		sum += uint32(c)
	}
	binary.BigEndian.PutUint32(b[64:], ^sum)
	return b
}

func damaged(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// tarHeader is the header of a first member, old or ustar.
func tarHeader(name, magic string) []byte {
	b := make([]byte, 10240)
	copy(b, name)
	copy(b[100:], "0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00        ")
	copy(b[257:], magic)
	sum := 0
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// The rows are those of the magic table, and what must not be taken for one of them.
func TestDetect(t *testing.T) {
	seSparse := "\xbe\xba\xfe\xca\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00"
	for _, c := range []struct {
		name    string
		data    []byte
		want    detect.Format
		corrupt bool
	}{
		{"1 empty", nil, detect.Empty, false},
		{"2 VHDX", place(4096, 0, "vhdxfile"), detect.VHDX, false},
		{"3 VMDK version 1", kdmv(1), detect.VMDK, false},
		{"3 VMDK version 3", kdmv(3), detect.VMDK, false},
		{"3 VMDK version 0", kdmv(0), detect.VMDK, true},
		{"3 VMDK version 4", kdmv(4), detect.VMDK, true},
		{"3 VMDK of 6 bytes", []byte("KDMV\x01\x00"), detect.VMDK, true},
		{"3 not quite VMDK", place(4096, 0, "KDM\x00"), detect.RAW, false},
		{"4 COWD", place(4096, 0, "COWD"), detect.VMDK, false},
		{"5 seSparse", place(4096, 0, seSparse), detect.VMDK, false},
		{"5 CAFEBABE alone", place(4096, 0, seSparse[:8]), detect.RAW, false},
		{"6 descriptor", []byte("# Disk DescriptorFile\nversion=1\n"), detect.VMDK, false},
		{"6 descriptor of AWS", []byte("#Disk DescriptorFile\r\nversion=1\r\n"), detect.VMDK, false},
		{"6 descriptor in capitals, later", []byte("\xef\xbb\xbf\n# made by hand\n\n #  DISK   DESCRIPTORFILE \n"), detect.VMDK, false},
		{"6 descriptor without its comment", []byte("version = 1\nCID=1\ncreateType = \"vmfs\"\n"), detect.VMDK, false},
		{"6 descriptor filled up with NUL", join([]byte("version=1\ncreateType=\"vmfs\""), make([]byte, 400)), detect.VMDK, false},
		{"6 a NUL before", join(make([]byte, 1), []byte("# Disk DescriptorFile\n")), detect.RAW, false},
		{"6 a NUL between", []byte("version=1\n\x00createType=\"vmfs\"\n"), detect.RAW, false},
		{"6 other text", []byte("version=1\nname=x\n# Disk DescriptorFile\n"), detect.RAW, false},
		{"7 dynamic VHD", join(footer(3), make([]byte, 4096), footer(3)), detect.VHD, false},
		{"7 dynamic VHD, trailer damaged", join(footer(3), make([]byte, 4096), damaged(footer(3), 100)), detect.VHD, false},
		{"7 dynamic VHD, copy damaged", join(damaged(footer(3), 100), make([]byte, 4096), footer(3)), detect.VHD, false},
		{"7 dynamic VHD, both damaged", join(damaged(footer(3), 100), make([]byte, 4096), damaged(footer(3), 100)), detect.VHD, true},
		{"7 dynamic VHD cut off", join(footer(3), make([]byte, 4096)), detect.VHD, false},
		{"7 cookie of 20 bytes", place(20, 0, "conectix"), detect.VHD, true},
		{"8 fixed VHD", join(make([]byte, 4096), footer(2)), detect.VHD, false},
		{"8 fixed VHD of any size", join(make([]byte, 4099), footer(2)), detect.VHD, false},
		{"8 fixed VHD longer than 64 KiB", join(make([]byte, 100<<10), footer(2)), detect.VHD, false},
		{"8 footer of 511 bytes", join(make([]byte, 4096), footer(2)[:511]), detect.VHD, false},
		{"8 wrong checksum", join(make([]byte, 4096), damaged(footer(2), 100)), detect.VHD, true},
		{"8 disk type 5", join(make([]byte, 4096), footer(5)), detect.VHD, true},
		{"8 cookie inside", join(make([]byte, 4096), footer(2), make([]byte, 512)), detect.RAW, false},
		{"9 QCOW", place(4096, 0, "QFI\xfb\x00\x00\x00\x01"), detect.QCOW, false},
		{"9 QCOW2", place(4096, 0, "QFI\xfb\x00\x00\x00\x02"), detect.QCOW2, false},
		{"9 QCOW3", place(4096, 0, "QFI\xfb\x00\x00\x00\x03"), detect.QCOW2, false},
		{"9 QCOW version 4", place(4096, 0, "QFI\xfb\x00\x00\x00\x04"), detect.QCOW, true},
		{"9 QCOW of 5 bytes", []byte("QFI\xfb\x00"), detect.QCOW, true},
		{"10 VDI", place(4096, 64, "\x7f\x10\xda\xbe"), detect.VDI, false},
		{"11 QED", place(4096, 0, "QED\x00"), detect.QED, false},
		{"12 Parallels", place(4096, 0, "WithoutFreeSpace"), detect.Parallels, false},
		{"12 Parallels ext", place(4096, 0, "WithouFreSpacExt"), detect.Parallels, false},
		{"13 gzip", place(64, 0, "\x1f\x8b\x08"), detect.GZIP, false},
		{"13 bzip2", place(64, 0, "BZh91AY&SY"), detect.BZIP2, false},
		{"13 not bzip2", place(64, 0, "BZh01AY&SY"), detect.RAW, false},
		{"13 xz", place(64, 0, "\xfd7zXZ\x00"), detect.XZ, false},
		{"13 zstd", place(64, 0, "\x28\xb5\x2f\xfd"), detect.ZSTD, false},
		{"13 lz4", place(64, 0, "\x04\x22\x4d\x18"), detect.LZ4, false},
		{"13 zip", place(64, 0, "PK\x03\x04"), detect.ZIP, false},
		{"13 empty zip", place(64, 0, "PK\x05\x06"), detect.ZIP, false},
		{"13 7z", place(64, 0, "7z\xbc\xaf\x27\x1c"), detect.SevenZip, false},
		{"13 lzma of unknown size", place(64, 0, "\x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff"), detect.LZMA, false},
		{"13 lzma", place(64, 0, "\x5d\x00\x00\x00\x03\x00\x10\x00\x00\x00\x00\x00\x00"), detect.LZMA, false},
		{"13 not lzma: no size", place(64, 0, "\x5d\x00\x00\x80\x00"), detect.RAW, false},
		{"13 not lzma: odd dictionary", place(64, 0, "\x5d\x00\x00\x81\x10\xff\xff\xff\xff\xff\xff\xff\xff"), detect.RAW, false},
		{"14 tar", tarHeader("disk.raw", "ustar\x0000"), detect.TAR, false},
		{"14 old tar", tarHeader("disk.raw", ""), detect.TAR, false},
		{"14 OVA", tarHeader("vm.ovf", "ustar\x0000"), detect.OVA, false},
		{"14 old OVA", tarHeader("VM.OVF", ""), detect.OVA, false},
		{"14 not tar: wrong checksum", damaged(tarHeader("disk.raw", ""), 300), detect.RAW, false},
		{"15 ISO", place(40<<10, 32769, "CD001"), detect.ISO, false},
		{"16 DMG", place(4096, 4096-512, "koly"), detect.DMG, false},
		{"17 HTML", []byte("\r\n  <!DOCTYPE html><html>"), detect.HTML, false},
		{"17 HTML without a type", []byte("<HTML>"), detect.HTML, false},
		{"17 XML", []byte("<?xml version=\"1.0\"?><Error/>"), detect.XML, false},
		{"17 an error of S3", []byte("<Error><Code>NoSuchKey</Code></Error>"), detect.XML, false},
		{"18 MBR", place(4096, 510, "\x55\xaa"), detect.RAW, false},
		{"18 GPT", place(4096, 512, "EFI PART"), detect.RAW, false},
		{"18 LUKS", place(4096, 0, "LUKS\xba\xbe"), detect.RAW, false},
		{"19 zeros", make([]byte, 4096), detect.RAW, false},
		{"19 one byte", []byte{0}, detect.RAW, false},
	} {
		got, err := detect.Detect(bytes.NewReader(c.data), int64(len(c.data)))
		_, corrupt := errors.AsType[*diskimage.CorruptError](err)
		if got != c.want || corrupt != c.corrupt || err != nil && !corrupt {
			t.Errorf("%s: %s, %v; want %s, corrupt %v", c.name, got, err, c.want, c.corrupt)
		}
	}
}

// What is declared is held against the content; only RAW takes all.
func TestOpenDeclared(t *testing.T) {
	stream := testimage.StreamOptimized(testimage.GDAtEnd, bytes.Repeat([]byte("disk"), 1000))
	fixed := join(bytes.Repeat([]byte{1}, 4096), footer(2))
	short := fixed[:len(fixed)-1] // the footer has 511 bytes
	dynamic := testimage.VHD{Size: 5 << 20}.Build(testimage.Run{Data: []byte("disk")}).Data
	child := testimage.VHD{Size: 5 << 20, Parent: "base.vhd"}.Build().Data
	mono := testimage.VMDK{Size: 5 << 20}.BuildSparse(testimage.Run{Data: []byte("disk")}).Data
	sparse := testimage.VHDX{Size: 3 << 20}.Build(testimage.Run{Data: []byte("disk")}).Data
	raw := bytes.Repeat([]byte{1}, 1000)
	qcow := place(4096, 0, "QFI\xfb\x00\x00\x00\x03")
	for _, c := range []struct {
		declared string
		data     []byte
		format   detect.Format // opened as
		size     int64
		mismatch detect.Format // refused: detected
		other    string        // refused: with this in the error
	}{
		{"", raw, detect.RAW, 1000, "", ""},
		{"raw", raw, detect.RAW, 1000, "", ""},
		{"", stream, detect.VMDK, 4096, "", ""},
		{"vmdk", stream, detect.VMDK, 4096, "", ""},
		{"VMDK", stream, detect.VMDK, 4096, "", ""},
		{"RAW", stream, detect.RAW, int64(len(stream)), "", ""},
		{"RAW", fixed, detect.RAW, int64(len(fixed)), "", ""},
		{"RAW", qcow, detect.RAW, 4096, "", ""},
		{"RAW", kdmv(9), detect.RAW, 4096, "", ""},
		{"VMDK", raw, "", 0, detect.RAW, ""},
		{"VHD", raw, "", 0, detect.RAW, ""},
		{"VHDX", fixed, "", 0, detect.VHD, ""},
		{"VHD", stream, "", 0, detect.VMDK, ""},
		{"VHD", kdmv(9), "", 0, detect.VMDK, ""},
		{"VMDK", kdmv(9), "", 0, "", "corrupt VMDK"},
		{"", kdmv(9), "", 0, "", "corrupt VMDK"},
		{"VMDK", place(4096, 0, "COWD"), "", 0, "", "unsupported VMDK (vmfsSparse)"},
		{"", qcow, "", 0, "", "unsupported QCOW2"},
		{"VHD", fixed, detect.VHD, 4096, "", ""},
		{"", fixed, detect.VHD, 4096, "", ""},
		{"", short, detect.VHD, 4096, "", ""},
		{"vhd", dynamic, detect.VHD, 5 << 20, "", ""},
		{"", dynamic, detect.VHD, 5 << 20, "", ""},
		{"RAW", dynamic, detect.RAW, int64(len(dynamic)), "", ""},
		{"VHDX", dynamic, "", 0, detect.VHD, ""},
		{"", child, "", 0, "", "unsupported VHD (differencing): it is a differencing disk: it holds only what differs from its parent \"base.vhd\"; put it beside"},
		{"RAW", child, detect.RAW, int64(len(child)), "", ""},
		{"VHD", damaged(fixed, 4200), "", 0, "", "corrupt VHD: footer"},
		{"", mono, detect.VMDK, 5 << 20, "", ""},
		{"vmdk", mono, detect.VMDK, 5 << 20, "", ""},
		{"", sparse, detect.VHDX, 3 << 20, "", ""},
		{"vhdx", sparse, detect.VHDX, 3 << 20, "", ""},
		{"RAW", sparse, detect.RAW, int64(len(sparse)), "", ""},
		{"VHD", sparse, "", 0, detect.VHDX, ""},
		{"VHDX", place(4096, 0, "vhdxfile"), "", 0, "", "corrupt VHDX: header section"},
		{"", join(place(40<<10, 32769, "CD001")), "", 0, "", "unsupported ISO: "},
		{"", nil, "", 0, "", "unsupported EMPTY"},
		{"RAW", nil, "", 0, "", "unsupported EMPTY"},
		{"VMDK", nil, "", 0, "", "unsupported EMPTY"},
	} {
		img, err := detect.Open(bytes.NewReader(c.data), int64(len(c.data)), c.declared)
		mismatch, _ := errors.AsType[*detect.MismatchError](err)
		switch {
		case c.format != "":
			if err != nil || img.Format != c.format || img.Size() != c.size {
				t.Errorf("declared %q: %+v, %v; want %s of %d bytes", c.declared, img, err, c.format, c.size)
			}
		case c.mismatch != "":
			if mismatch == nil || mismatch.Detected != c.mismatch || string(mismatch.Declared) != c.declared {
				t.Errorf("declared %q: %v; want a mismatch with %s", c.declared, err, c.mismatch)
			}
		case err == nil || mismatch != nil || !strings.Contains(err.Error(), c.other):
			t.Errorf("declared %q: %v; want %q", c.declared, err, c.other)
		}
	}
}

// A source that fails, or ends before it should, is no verdict on the image.
func TestSourceErrors(t *testing.T) {
	broken := errors.New("connection reset")
	for _, r := range []failing{{0, broken}, {200<<10 - 1, broken}} {
		if _, err := detect.Detect(r, 200<<10); !errors.Is(err, broken) {
			t.Errorf("%v: %v", r, err)
		}
		if _, err := detect.Open(r, 200<<10, "VMDK"); !errors.Is(err, broken) {
			t.Errorf("%v: %v", r, err)
		}
	}
	if _, err := detect.Detect(bytes.NewReader(make([]byte, 100)), 200); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("shorter than it said: %v", err)
	}
	if _, err := detect.Detect(bytes.NewReader(nil), -1); err == nil {
		t.Error("a negative size was taken")
	}
}

type failing struct {
	at  int64
	err error
}

func (f failing) ReadAt(p []byte, at int64) (int, error) {
	if at <= f.at && f.at < at+int64(len(p)) {
		return 0, f.err
	}
	clear(p)
	return len(p), nil
}

// FuzzDetect: any bytes are some format, and opening them gives an image or an error with a type.
func FuzzDetect(f *testing.F) {
	f.Add([]byte{}, "")
	f.Add(testimage.StreamOptimized(testimage.GDInFront, []byte("x")), "vmdk")
	f.Add(join(footer(3), footer(3)), "VHD")
	f.Add(testimage.VHD{Size: 4096, BlockSize: 512}.Build(testimage.Run{Data: []byte("disk")}).Data, "")
	f.Add(testimage.VHD{Size: 512, Fixed: true}.Build().Data, "")
	f.Add(testimage.VMDK{Size: 4096, GrainSectors: 8}.BuildSparse(testimage.Run{Data: []byte("disk")}).Data, "")
	f.Add(tarHeader("a.ovf", "ustar")[:600], "raw")
	f.Add([]byte("version=1\ncreateType=\"vmfs\"\nRW 1 VMFS \"x\"\n"), "")
	f.Add(place(100, 0, "QFI\xfb\x00\x00\x00\x03"), "qcow2")
	f.Fuzz(func(t *testing.T, data []byte, declared string) {
		format, err := detect.Detect(bytes.NewReader(data), int64(len(data)))
		if format == "" {
			t.Fatalf("no format, %v", err)
		}
		img, err := detect.Open(bytes.NewReader(data), int64(len(data)), declared)
		verdict := detect.VMImport(img, err)
		if verdict.Importable == (verdict.StatusMessage != "") {
			t.Fatalf("verdict %+v", verdict)
		}
		if err == nil {
			if img.Size() == 0 {
				t.Fatal("an empty disk was opened")
			}
			return
		}
		_, corrupt := errors.AsType[*diskimage.CorruptError](err)
		_, unsupported := errors.AsType[*diskimage.UnsupportedError](err)
		_, mismatch := errors.AsType[*detect.MismatchError](err)
		if !corrupt && !unsupported && !mismatch {
			t.Fatalf("error of type %T: %v", err, err)
		}
	})
}

func TestFormats(t *testing.T) {
	seen := map[detect.Format]bool{}
	last := detect.Empty
	for f := range detect.Formats() {
		if seen[f] {
			t.Errorf("%s comes twice", f)
		}
		seen[f], last = true, f
	}
	if !seen[detect.VMDK] || !seen[detect.XML] || last != detect.RAW {
		t.Errorf("%v, and %s at the end", seen, last)
	}
}

// The name of a file says nothing for what is in it, but against it: a fixed VHD that was cut off has no mark left.
func TestDoubts(t *testing.T) {
	fixed := join(make([]byte, 4096), footer(2))
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"disk.vhd", fixed[:4096], "nothing in it is of a VHD, as its name says: it is taken as RAW, byte for byte"},
		{"a/DISK.VMDK", fixed[:4096], "nothing in it is of a VMDK"},
		{"disk.vhdx", fixed[:4000], "no multiple of 512"},
		{"disk.vhdx", fixed[:4000], "nothing in it is of a VHDX"},
		{"disk.vhd", fixed, ""},
		{"disk.vhdx", fixed, ""}, // it is an image, and which one is said
		{"disk.img", fixed[:4096], ""},
		{"disk.raw", fixed[:4096], ""},
		{"vhd", fixed[:4096], ""},
		{"", fixed[:4096], ""},
	} {
		img, err := detect.Open(bytes.NewReader(c.data), int64(len(c.data)), "")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(img.Doubts(c.name), "; "); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// What is read all the same is told.
func TestWarnings(t *testing.T) {
	dynamic := testimage.VHD{Size: 4096}.Build()
	dynamic.Data[99] ^= 1
	unclean := testimage.VMDK{Size: 4096, GrainSectors: 8}.BuildSparse()
	unclean.Data[72] = 1
	dirty, logGUID := testimage.VHDX{Size: 1 << 20}.Build(testimage.Run{Data: []byte("disk")}), "00112233-4455-6677-8899-AABBCCDDEEFF"
	dirty.SetLogGUID(logGUID)
	dirty.WriteLog(0, testimage.VHDXLogEntry{
		GUID: logGUID, Sequence: 1, Flushed: int64(len(dirty.Data)), Last: int64(len(dirty.Data)), Writes: []testimage.VHDXWrite{dirty.Page(dirty.Block[0])},
	}.Bytes())
	unended := testimage.VMDK{Layout: testimage.GDAtEnd, Size: 4096, GrainSectors: 8}.Build().Data
	unended = unended[:len(unended)-512]
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"RAW", make([]byte, 1024), ""},
		{"RAW that is no whole sector", make([]byte, 1000), "its size of 1000 bytes is no multiple of 512, so its last sector is not whole: perhaps it was cut off (a VMDK of it ends in 24 zeros more)"},
		{"dynamic VHD", testimage.VHD{Size: 4096}.Build().Data, ""},
		{"dynamic VHD, one footer damaged", dynamic.Data, "one of its two footers is damaged, and the other one was followed: corrupt VHD: footer at byte 0, checksum"},
		{"fixed VHD", join(make([]byte, 4096), footer(2)), ""},
		{"fixed VHD, longer than its footer says", join(make([]byte, 5120), footer(2)), "the disk has 4096 bytes: 1024 more in front of the footer were left out"},
		{"VHDX", testimage.VHDX{Size: 1 << 20}.Build().Data, ""},
		{"VHDX with a log", dirty.Data, "it was not closed cleanly"},
		{"VHDX with large sectors", testimage.VHDX{Size: 1 << 20, LogicalSector: 4096}.Build().Data, "its sectors have 4096 bytes, and those of an EBS volume 512"},
		{"VMDK", testimage.VMDK{Size: 4096, GrainSectors: 8}.BuildSparse().Data, ""},
		{"VMDK without its end", unended, "it ends without the end-of-stream marker"},
		{"VMDK with zeros behind its end", append(unended, make([]byte, 1024)...), ""},
		{"VMDK in use", unclean.Data, "it was not closed by the virtual machine that used it"},
	} {
		img, err := detect.Open(bytes.NewReader(c.data), int64(len(c.data)), "")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(img.Warnings(), "; "); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
