package detect_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// What VM Import says, verbatim where its words are known. Each row goes the way of an import: open, then read everything.
func TestVMImport(t *testing.T) {
	const (
		vmdk   = "ClientError: Disk validation failed [Unsupported VMDK File Format]"
		format = "ClientError: Disk validation failed [Unsupported specified file format]"
		own    = "ClientError: Disk validation failed [corrupt VMDK: "
	)
	// vhd is a dynamic disk of one block. Its footers are damaged at a byte, if that is not 0.
	vhd := func(v testimage.VHD, front, end int64) []byte {
		v.Size = 4096
		f := v.Build(testimage.Run{Data: []byte("disk")})
		if front > 0 {
			f.Data[front] ^= 1
		}
		if end > 0 {
			f.Data[f.Footer+end] ^= 1
		}
		return f.Data
	}
	mono := testimage.VMDK{Size: 4096, GrainSectors: 8}
	vhdx := func(v testimage.VHDX) []byte {
		v.Size = 2 << 20
		return v.Build(testimage.Run{Data: []byte("disk")}).Data
	}
	build := func() *testimage.Stream {
		return testimage.VMDK{Layout: testimage.GDPatched, Size: 64 << 10}.Build(testimage.Run{Data: bytes.Repeat([]byte("disk"), 16<<10)})
	}
	stream := func(damage func(s *testimage.Stream)) []byte {
		s := build()
		damage(s)
		return s.Data
	}
	put32 := func(at int, v uint32) []byte {
		return stream(func(s *testimage.Stream) { binary.LittleEndian.PutUint32(s.Data[at:], v) })
	}
	for _, c := range []struct {
		name     string
		declared string
		data     []byte
		want     string // "" importable
	}{
		{"streamOptimized", "VMDK", build().Data, ""},
		{"RAW", "", make([]byte, 4096), ""},
		{"RAW that is no whole sector", "RAW", make([]byte, 1000), ""},
		{"QCOW2 declared RAW", "RAW", place(4096, 0, "QFI\xfb\x00\x00\x00\x03"), ""},
		{"fixed VHD", "VHD", join(make([]byte, 4096), footer(2)), ""},
		{"fixed VHD, footer of 511 bytes", "VHD", vhd(testimage.VHD{Fixed: true, ShortFooter: true}, 0, 0), ""},
		{"dynamic VHD", "VHD", vhd(testimage.VHD{}, 0, 0), ""},
		{"dynamic VHDX", "", vhdx(testimage.VHDX{}), ""},
		{"fixed VHDX", "VHDX", vhdx(testimage.VHDX{Fixed: true}), ""},
		{"VHDX with sectors of 4096 bytes", "VHDX", vhdx(testimage.VHDX{LogicalSector: 4096}), ""},
		{"differencing VHDX", "VHDX", vhdx(testimage.VHDX{Parent: true}), "ClientError: Disk validation failed [it is differencing: it holds only what differs from a parent]"},
		{"damaged VHDX", "VHDX", place(4096, 0, "vhdxfile"), "ClientError: Disk validation failed [corrupt VHDX: header section at byte 0: " +
			"the file ends after 4096 of its 1048576 bytes: it was cut off]"},
		{"monolithicSparse", "VMDK", mono.BuildSparse(testimage.Run{Data: []byte("disk")}).Data, vmdk},
		{"piece of a split disk", "VMDK", testimage.VMDK{Size: 4096, GrainSectors: 8, Descriptor: "-"}.BuildSparse().Data, vmdk},
		{"descriptor alone", "", []byte("# Disk DescriptorFile\ncreateType=\"monolithicFlat\"\nRW 8 FLAT \"x\""), vmdk},
		{"COWD", "VMDK", place(4096, 0, "COWD"), vmdk},
		{"a delta", "VMDK", stream(func(s *testimage.Stream) { copy(s.Data[bytes.Index(s.Data, []byte("ffffffff")):], "12345678") }), vmdk},
		{"differencing VHD", "VHD", vhd(testimage.VHD{Parent: "base.vhd"}, 0, 0), "ClientError: Footers not identical"},
		{"VHD whose copy of the footer is damaged", "VHD", vhd(testimage.VHD{}, 99, 0), "ClientError: Footers not identical"},
		{"VHD whose footer at the end is damaged", "VHD", vhd(testimage.VHD{}, 0, 99), "ClientError: Footers not identical"},
		{"VHD that lacks a block", "VHD", vhd(testimage.VHD{}, 1536+1, 0), "ClientError: Footers not identical"},
		{"damaged VHD", "VHD", join(make([]byte, 4096), damaged(footer(2), 99)), "ClientError: Footers not identical"},
		{"QCOW2", "", place(4096, 0, "QFI\xfb\x00\x00\x00\x03"), format},
		{"P20 gzip", "", place(64, 0, "\x1f\x8b\x08"), format},
		{"gzip declared VMDK", "VMDK", place(64, 0, "\x1f\x8b\x08"), format},
		{"RAW declared VHD", "VHD", make([]byte, 4096), format},
		{"empty", "RAW", nil, format},
		{"ISO", "", place(40<<10, 32769, "CD001"), format},
		{"OVA", "", tarHeader("vm.ovf", "ustar\x0000"), "ClientError: Disk validation failed [Unsupported OVA format]"},
		{"compressAlgorithm 0", "VMDK", stream(func(s *testimage.Stream) { s.Data[77] = 0 }), "ERROR: File uses unsupported compression algorithm 0"},
		{"grain of a bad length", "VMDK", stream(func(s *testimage.Stream) {
			copy(s.Data[s.Grain[0]:], testimage.PackGrain(0, make([]byte, 100)))
		}), "ClientError: Uncompressed data has an invalid length"},
		{"damaged grain", "VMDK", stream(func(s *testimage.Stream) { s.Data[s.Grain[0]+12] ^= 0xff }), "ClientError: Uncompressed data has an invalid length"},
		{"bad version", "VMDK", put32(4, 7), own + "header at byte 0, version = 7: versions 1 to 3 exist]"},
		{"bad LBA", "VMDK", stream(func(s *testimage.Stream) { s.Data[s.Grain[0]] = 9 }), own + "header of grain 0"},
	} {
		img, err := detect.Open(bytes.NewReader(c.data), int64(len(c.data)), c.declared)
		if err == nil {
			_, err = io.Copy(io.Discard, io.NewSectionReader(img, 0, img.Size()))
		}
		v := detect.VMImport(img, err)
		if c.want == "" {
			if v != (detect.Verdict{Importable: true}) {
				t.Errorf("%s: %+v", c.name, v)
			}
			continue
		}
		if v.Importable || !strings.HasPrefix(v.StatusMessage, c.want) || v.Reason == "" || v.Cure == "" && !strings.HasPrefix(c.name, "bad") {
			t.Errorf("%s: %+v, want %s", c.name, v, c.want)
		}
		if !strings.HasPrefix(c.want, own) && v.StatusMessage != c.want {
			t.Errorf("%s: %q is not verbatim", c.name, v.StatusMessage)
		}
	}
	if v := detect.VMImport(nil, errors.New("connection reset")); v.Importable || !strings.Contains(v.StatusMessage, "connection reset") {
		t.Errorf("an error of the source: %+v", v)
	}
}

type zeroReader struct{}

func (zeroReader) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// large is an image of which only the size matters.
type large struct{ diskimage.Image }

func (large) Size() int64 { return 9 << 40 }

// VM Import needs a manifest for a disk of more than 8 TiB, and ImportSnapshot has no member for one.
func TestVMImportSize(t *testing.T) {
	for size, want := range map[int64]string{
		8 << 40: "",
		8<<40 + 512: "ClientError: Disk validation failed [the disk has 8796093022720 bytes, and more than 8796093022208 (8 TiB) cannot be imported " +
			"with ImportSnapshot]",
		17 << 40: "ClientError: Disk validation failed [the disk has 18691697672192 bytes, and",
	} {
		img, err := detect.Open(zeroReader{}, size, "RAW")
		if err != nil {
			t.Fatal(err)
		}
		v := detect.VMImport(img, nil)
		if v.Importable != (want == "") || !strings.HasPrefix(v.StatusMessage, want) || (v.Reason == "") != v.Importable || (v.Cure == "") != v.Importable {
			t.Errorf("%d bytes: %+v", size, v)
		}
	}
	// What is wrong with the format comes first.
	if v := detect.VMImport(&detect.Image{Image: large{}, Format: detect.QCOW2}, nil); !strings.Contains(v.StatusMessage, "Unsupported specified file format") {
		t.Errorf("%+v", v)
	}
}
