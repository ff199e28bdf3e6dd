package detect_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// The rows of the table of refusals, and what is taken: VM Import's words, verbatim where they are known, and what to do. Each goes the way of an
// import: open, then read everything.
func TestVMImport(t *testing.T) {
	const (
		msgVMDK   = "ClientError: Disk validation failed [Unsupported VMDK File Format]"
		msgFormat = "ClientError: Disk validation failed [Unsupported specified file format]"
		footers   = "ClientError: Footers not identical"
		grain     = "ClientError: Uncompressed data has an invalid length"
		own       = "ClientError: Disk validation failed ["

		again      = "export the image again"
		toVMDK     = "`terraform-provider-ec2 convert --to vmdk SRC DST.vmdk`"
		qemu       = "`qemu-img convert -f vmdk -O vmdk -o subformat=streamOptimized SRC DST.vmdk`"
		descriptor = "`terraform-provider-ec2 convert --to vmdk DESCRIPTOR.vmdk DST.vmdk`"
		vmware     = "`vmware-vdiskmanager -r SRC -t 5 DST.vmdk`"
		hyperV     = "-DestinationPath DST.vhdx -VHDType Dynamic`"
		beside     = "put it beside SRC.avhdx and run `terraform-provider-ec2 convert --to vmdk SRC.avhdx DST.vmdk`"
		declare    = "correct the format, or leave it out"
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
	unknownRegion := func() []byte {
		f := testimage.VHDX{Size: 2 << 20}.Build()
		f.AddRegion("00112233-4455-6677-8899-AABBCCDDEEFF", 2<<20, 1<<20, 1)
		f.Sum()
		return f.Data
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
	text := func(createType, extent string) []byte {
		return []byte("# Disk DescriptorFile\nversion=1\ncreateType=\"" + createType + "\"\n" + extent + "\n")
	}
	for _, c := range []struct {
		name     string
		declared string
		data     []byte
		message  string // "" importable
		cure     string
	}{
		{"RAW", "", make([]byte, 4096), "", ""},
		{"RAW that is no whole sector", "RAW", make([]byte, 1000), "", ""},
		{"QCOW2 declared RAW", "RAW", place(4096, 0, "QFI\xfb\x00\x00\x00\x03"), "", ""},
		{"fixed VHD", "VHD", join(make([]byte, 4096), footer(2)), "", ""},
		{"fixed VHD, footer of 511 bytes", "VHD", vhd(testimage.VHD{Fixed: true, ShortFooter: true}, 0, 0), "", ""},
		{"dynamic VHD", "VHD", vhd(testimage.VHD{}, 0, 0), "", ""},
		{"dynamic VHDX", "", vhdx(testimage.VHDX{}), "", ""},
		{"fixed VHDX", "VHDX", vhdx(testimage.VHDX{Fixed: true}), "", ""},
		{"VHDX with sectors of 4096 bytes", "VHDX", vhdx(testimage.VHDX{LogicalSector: 4096}), "", ""},
		{"streamOptimized", "VMDK", build().Data, "", ""},

		{"RAW declared VHD (its footer is missing)", "VHD", make([]byte, 4096), msgFormat, declare},
		{"VHDX declared VMDK", "VMDK", vhdx(testimage.VHDX{}), msgFormat, declare},
		{"P20 gzip declared VMDK", "VMDK", place(64, 0, "\x1f\x8b\x08"), msgFormat, "`gzip -dc SRC > DST`"},

		{"VMDK with compressAlgorithm 0", "VMDK", stream(func(s *testimage.Stream) { s.Data[77] = 0 }), "ERROR: File uses unsupported compression algorithm 0", again},
		{"VMDK with a grain of a bad length", "VMDK", stream(func(s *testimage.Stream) {
			copy(s.Data[s.Grain[0]:], testimage.PackGrain(0, make([]byte, 100)))
		}), grain, again},
		{"VMDK with a damaged grain", "VMDK", stream(func(s *testimage.Stream) { s.Data[s.Grain[0]+12] ^= 0xff }), grain, again},
		{"VMDK of a bad version", "VMDK", put32(4, 7), own + "corrupt VMDK: header at byte 0, version = 7: versions 1 to 3 exist]", again},
		{"VMDK with a bad LBA", "VMDK", stream(func(s *testimage.Stream) { s.Data[s.Grain[0]] = 9 }),
			own + "corrupt VMDK: header of grain 0 at byte 1536, LBA = 9: the grain table says that this is the grain of sector 0]", again},
		{"VHD that lacks a block", "VHD", vhd(testimage.VHD{}, 1536+1, 0), footers, again},
		{"fixed VHD with a damaged footer", "VHD", join(make([]byte, 4096), damaged(footer(2), 99)), footers, again},
		{"damaged VHDX", "VHDX", place(4096, 0, "vhdxfile"),
			own + "corrupt VHDX: header section at byte 0: the file ends after 4096 of its 1048576 bytes: it was cut off]", again},
		{"damaged QCOW", "", place(4096, 0, "QFI\xfb\x00\x00\x00\x09"), msgFormat, again},

		{"OVA", "", tarHeader("vm.ovf", "ustar\x0000"), "ClientError: Disk validation failed [Unsupported OVA format]", "`tar -xf SRC`"},
		{"piece of a split disk", "VMDK", testimage.VMDK{Size: 4096, GrainSectors: 8, Descriptor: "-"}.BuildSparse().Data, msgVMDK, descriptor},
		{"sparse delta", "VMDK", testimage.VMDK{Size: 4096, GrainSectors: 8, Descriptor: "parentCID=1\nRW 8 SPARSE \"x\""}.BuildSparse().Data, msgVMDK, toVMDK},
		{"stream delta", "VMDK", stream(func(s *testimage.Stream) { copy(s.Data[bytes.Index(s.Data, []byte("ffffffff")):], "12345678") }), msgVMDK, toVMDK},
		{"stream of large grains", "VMDK", testimage.VMDK{Size: 4096, GrainSectors: 8192}.Build().Data, msgVMDK, qemu},
		{"unknown flags", "VMDK", put32(8, 0x70001), msgVMDK, vmware},
		{"two extents in one file", "VMDK", testimage.VMDK{Size: 4096, GrainSectors: 8, Descriptor: "RW 4 SPARSE \"x\"\nRW 4 SPARSE \"y\""}.BuildSparse().Data, msgVMDK, vmware},
		{"flat", "", text("monolithicFlat", "RW 8 FLAT \"x\" 0"), msgVMDK, toVMDK},
		{"flat with a hole", "", text("monolithicFlat", "RW 8 FLAT \"x\" 0\nRW 8 ZERO"), msgVMDK, toVMDK},
		{"flat, read-only", "", text("monolithicFlat", "RDONLY 8 FLAT \"x\" 0"), msgVMDK, toVMDK},
		{"split, flat", "", text("twoGbMaxExtentFlat", "RW 8 FLAT \"x\" 0"), msgVMDK, toVMDK},
		{"split, sparse", "", text("TwoGBMaxExtentSparse", "RW 8 SPARSE \"x\""), msgVMDK, toVMDK},
		{"ESXi flat", "", text("vmfs", "RW 8 VMFS \"x\""), msgVMDK, toVMDK},
		{"COWD", "", text("vmfsSparse", "RW 8 VMFSSPARSE \"x\""), msgVMDK, toVMDK},
		{"COWD with a parent", "", text("vmfsSparse", "parentCID=1\nRW 8 VMFSSPARSE \"x\""), msgVMDK, toVMDK},
		{"seSparse", "", text("seSparse", "RW 8 SESPARSE \"x\""), msgVMDK, toVMDK},
		{"a kind that qemu-img refuses", "", text("custom", "RW 8 FLAT \"x\" 0"), msgVMDK, toVMDK},
		{"a physical disk", "", text("fullDevice", "RW 8 FLAT \"/dev/sda\" 0"), msgVMDK, "`dd if=/dev/DEVICE of=DST.raw bs=1M`"},
		{"a raw device mapping", "", text("vmfsRDM", "RW 8 VMFSRDM \"x\""), msgVMDK, "`vmkfstools -i SRC -d thin DST.vmdk`"},
		{"extent of COWD", "VMDK", place(4096, 0, "COWD"), msgVMDK, descriptor},
		{"extent of seSparse", "VMDK", place(4096, 0, "\xbe\xba\xfe\xca\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00"), msgVMDK, descriptor},
		{"differencing VHD", "VHD", vhd(testimage.VHD{Parent: "base.vhd"}, 0, 0), footers, "put it beside SRC.vhd and run `terraform-provider-ec2 convert --to vmdk SRC.vhd DST.vmdk`"},
		{"differencing VHDX", "VHDX", vhdx(testimage.VHDX{Locator: testimage.VHDXLocator("", "base.vhdx")}), own + `it is differencing: it holds only what differs from its parent, "base.vhdx"]`, beside},
		{"VHDX with something unknown", "VHDX", unknownRegion(),
			own + "it has a region 00112233-4455-6677-8899-AABBCCDDEEFF that is not known here and must be understood to read it]", hyperV},
		{"QCOW2", "", place(4096, 0, "QFI\xfb\x00\x00\x00\x03"), msgFormat, "`qemu-img convert -f qcow2 -O vmdk -o subformat=streamOptimized SRC DST.vmdk`"},
		{"P20 gzip", "", place(64, 0, "\x1f\x8b\x08"), msgFormat, "`gzip -dc SRC > DST`"},
		{"ISO", "", place(40<<10, 32769, "CD001"), msgFormat, "declare the format RAW"},
		{"empty", "RAW", nil, msgFormat, "`ls -l SRC`"},

		{"VHD whose copy of the footer is damaged", "VHD", vhd(testimage.VHD{}, 99, 0), footers, toVMDK},
		{"VHD whose footer at the end is damaged", "VHD", vhd(testimage.VHD{}, 0, 99), footers, toVMDK},
		{"monolithicSparse", "VMDK", mono.BuildSparse(testimage.Run{Data: []byte("disk")}).Data, msgVMDK, toVMDK},
	} {
		img, err := detect.Open(bytes.NewReader(c.data), int64(len(c.data)), c.declared)
		if err == nil {
			_, err = io.Copy(io.Discard, io.NewSectionReader(img, 0, img.Size()))
		}
		v := detect.VMImport(img, err)
		switch {
		case c.message == "":
			if v != (detect.Verdict{Importable: true}) {
				t.Errorf("%s: %+v", c.name, v)
			}
		case v.Importable || v.StatusMessage != c.message || v.Reason == "" || !strings.Contains(v.Cure, c.cure):
			t.Errorf("%s: %+v, want %s, %s", c.name, v, c.message, c.cure)
		}
		if strings.Contains(v.Reason, v.Cure) && v.Cure != "" {
			t.Errorf("%s: the reason has the cure in it: %+v", c.name, v)
		}
	}
	if v := detect.VMImport(nil, errors.New("connection reset")); v.Importable || v.StatusMessage != own+"connection reset]" || v.Cure != "" {
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
		8 << 40:     "",
		8<<40 + 512: "ClientError: Disk validation failed [the disk is larger than 8 TiB, and ImportSnapshot takes no larger one]",
		17 << 40:    "ClientError: Disk validation failed [the disk is larger than 8 TiB, and ImportSnapshot takes no larger one]",
	} {
		img, err := detect.Open(zeroReader{}, size, "RAW")
		if err != nil {
			t.Fatal(err)
		}
		v := detect.VMImport(img, nil)
		if v.Importable != (want == "") || v.StatusMessage != want || (v.Reason == "") != v.Importable || (v.Cure == "") != v.Importable {
			t.Errorf("%d bytes: %+v", size, v)
		}
	}
	// What is wrong with the format comes first.
	if v := detect.VMImport(&detect.Image{Image: large{}, Format: detect.VMDK, SubFormat: "monolithicSparse"}, nil); !strings.Contains(v.StatusMessage, "Unsupported VMDK") {
		t.Errorf("%+v", v)
	}
}

// An image that is read with the files beside it is still none that VM Import takes: it sees one file.
func TestVMImportBeside(t *testing.T) {
	content := testimage.Run{Data: bytes.Repeat([]byte("disk"), 128)}
	base := testimage.VHD{ID: "the base of them ", Size: 4096}.Build(content).Data
	child := testimage.VHD{Relative: `.\base.vhd`, ParentID: "the base of them ", Size: 4096}.Build(content)
	for _, c := range []struct {
		name, base      string
		data            []byte
		message, reason string
		cure            string
	}{
		{
			"differencing VHD", string(base), child.Data,
			"ClientError: Footers not identical", "it is a differencing disk, and VM Import takes a disk in one file only",
			"convert it with `terraform-provider-ec2 convert --to vmdk SRC DST.vmdk`",
		},
		{
			"differencing VHD with a damaged parent", string(base[:1024]), child.Data,
			"ClientError: Footers not identical", `in the parent "base.vhd": corrupt VHD: footer`, "export the image again",
		},
		{
			"differencing VHD without its parent", "", child.Data,
			"ClientError: Footers not identical", `its parent is not beside it: there is no "base.vhd"`, "put it beside SRC.vhd and run",
		},
		{
			"differencing VHDX", string(testimage.VHDX{Size: 1 << 20}.Build(content).Data),
			testimage.VHDX{Size: 1 << 20, Locator: testimage.VHDXLocator("", "base.vhd")}.Build().Data,
			"ClientError: Disk validation failed [it is a differencing disk, and VM Import takes a disk in one file only]", "it is a differencing disk",
			"convert it with `terraform-provider-ec2 convert --to vmdk SRC DST.vmdk`",
		},
	} {
		img, err := detect.OpenBeside(bytes.NewReader(c.data), int64(len(c.data)), func(name string) (diskimage.File, error) {
			if name != "base.vhd" || c.base == "" {
				return nil, fs.ErrNotExist
			}
			return besideFile{strings.NewReader(c.base)}, nil
		})
		v := detect.VMImport(img, err)
		if v.Importable || v.StatusMessage != c.message || !strings.Contains(v.Reason, c.reason) || !strings.Contains(v.Cure, c.cure) {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
}

type besideFile struct{ *strings.Reader }

func (besideFile) Close() error { return nil }
