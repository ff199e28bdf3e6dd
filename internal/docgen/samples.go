package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// sample is a file of one kind. The tables of formats are what the product makes of it.
type sample struct {
	format detect.Format
	kind   string // "" where the format has none; in parentheses the sub-format, where it is not the kind itself
	data   []byte
	needs  string // beside it, in words; "" where it is all of a disk
	beside besideFiles
}

const disk = 64 << 10

// samples are one of each kind. Those that are read hold the same disk.
func samples() []sample {
	content := testimage.Run{Data: []byte("disk")}
	flat := make([]byte, disk)
	copy(flat, content.Data)
	extent := testimage.VMDK{Size: disk, Descriptor: "-"}.BuildSparse(content).Data
	chain := func(d testimage.Descriptor) string {
		d.CreateType, d.Extents = "monolithicSparse", []string{`RW 128 SPARSE "disk.vmdk"`}
		return d.String()
	}
	base := testimage.VMDK{Size: disk, Descriptor: chain(testimage.Descriptor{CID: "12345678"})}.BuildSparse(content).Data
	delta := chain(testimage.Descriptor{CID: "87654321", ParentCID: "12345678", ParentHint: "base.vmdk"})
	described := func(kind, line string, data []byte) sample {
		text := testimage.Descriptor{CreateType: kind, Extents: []string{line}}.String()
		return sample{detect.VMDK, kind, []byte(text), "", besideFiles{"data.vmdk": data}}
	}
	needing := func(needs string, samples ...sample) []sample {
		for k := range samples {
			samples[k].needs = needs
		}
		return samples
	}
	all := []sample{
		{format: detect.RAW, data: flat},
		{format: detect.VHD, kind: "fixed", data: testimage.VHD{Fixed: true, Size: disk}.Build(content).Data},
		{format: detect.VHD, kind: "dynamic", data: testimage.VHD{Size: disk}.Build(content).Data},
		{
			detect.VHD, "differencing", testimage.VHD{Size: disk, Parent: "base.vhd", ParentID: "the-id-of-a-base"}.Build().Data,
			"its parent, and the parent's", besideFiles{"base.vhd": testimage.VHD{Size: disk, ID: "the-id-of-a-base"}.Build(content).Data},
		},
		{format: detect.VHDX, kind: "fixed", data: testimage.VHDX{Fixed: true, Size: disk}.Build(content).Data},
		{format: detect.VHDX, kind: "dynamic", data: testimage.VHDX{Size: disk}.Build(content).Data},
		{
			detect.VHDX, "differencing", testimage.VHDX{Size: disk, Locator: testimage.VHDXLocator("", "base.vhdx")}.Build().Data,
			"its parent, and the parent's", besideFiles{"base.vhdx": testimage.VHDX{Size: disk}.Build(content).Data},
		},
		{format: detect.VMDK, kind: "streamOptimized", data: testimage.VMDK{Layout: testimage.GDPatched, Size: disk}.Build(content).Data},
		{format: detect.VMDK, kind: "monolithicSparse", data: base},
		{
			detect.VMDK, "delta of another", testimage.VMDK{Size: disk, Descriptor: delta}.BuildSparse().Data,
			"the disk that it is a delta of", besideFiles{"base.vmdk": base},
		},
	}
	all = append(all, needing(
		"the files of its extents",
		described("monolithicFlat", `RW 128 FLAT "data.vmdk" 0`, flat),
		described("twoGbMaxExtentFlat", `RW 128 FLAT "data.vmdk" 0`, flat),
		described("twoGbMaxExtentSparse", `RW 128 SPARSE "data.vmdk"`, extent),
		described("vmfs", `RW 128 VMFS "data.vmdk"`, flat),
	)...)
	all = append(all, needing(
		"its extent, and the disk that it is a delta of, if it is one",
		described("vmfsSparse", `RW 128 VMFSSPARSE "data.vmdk"`, testimage.VMDK{Size: disk}.BuildCOWD(content).Data),
		described("seSparse", `RW 128 SESPARSE "data.vmdk"`, testimage.VMDK{Size: disk}.BuildSESparse(content).Data),
	)...)
	return append(
		all,
		sample{format: detect.VMDK, kind: "on a device", data: []byte(testimage.Descriptor{CreateType: "fullDevice", Extents: []string{`RW 128 FLAT "/dev/sdb" 0`}}.String())},
		sample{format: detect.VMDK, kind: "encrypted", data: []byte("# Disk DescriptorFile\nversion=4\ncreateType=\"monolithicFlat\"\nencryptionKeys=\"vmware:key/...\"\nRW 128 FLAT \"data.vmdk\" 0\n")},
		sample{format: detect.VMDK, kind: "extent of another (twoGbMaxExtentSparse)", data: extent},
		sample{format: detect.VMDK, kind: "extent of another (vmfsSparse)", data: magic(0, "COWD")},
		sample{format: detect.VMDK, kind: "extent of another (seSparse)", data: magic(0, "\xbe\xba\xfe\xca\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00")},
		sample{format: detect.OVA, data: tar("vm.ovf")},
		sample{format: detect.QCOW2, data: magic(0, "QFI\xfb\x00\x00\x00\x03")},
		sample{format: detect.QCOW, data: magic(0, "QFI\xfb\x00\x00\x00\x01")},
		sample{format: detect.QED, data: magic(0, "QED\x00")},
		sample{format: detect.VDI, data: magic(64, "\x7f\x10\xda\xbe")},
		sample{format: detect.Parallels, data: magic(0, "WithoutFreeSpace")},
		sample{format: detect.DMG, data: magic(disk-512, "koly")},
		sample{format: detect.ISO, data: magic(32769, "CD001")},
		sample{format: detect.GZIP, data: magic(0, "\x1f\x8b\x08")},
		sample{format: detect.BZIP2, data: magic(0, "BZh91AY&SY")},
		sample{format: detect.XZ, data: magic(0, "\xfd7zXZ\x00")},
		sample{format: detect.ZSTD, data: magic(0, "\x28\xb5\x2f\xfd")},
		sample{format: detect.LZ4, data: magic(0, "\x04\x22\x4d\x18")},
		sample{format: detect.LZMA, data: magic(0, "\x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00")},
		sample{format: detect.ZIP, data: magic(0, "PK\x03\x04")},
		sample{format: detect.SevenZip, data: magic(0, "7z\xbc\xaf\x27\x1c")},
		sample{format: detect.TAR, data: tar("disk.raw")},
		sample{format: detect.HTML, data: []byte("<!DOCTYPE html><html>")},
		sample{format: detect.XML, data: []byte("<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>")},
		sample{format: detect.Empty},
	)
}

// magic is a file with s at an offset.
func magic(at int, s string) []byte {
	b := make([]byte, disk)
	copy(b[at:], s)
	return b
}

// tar is the beginning of an archive.
func tar(first string) []byte {
	b := magic(257, "ustar\x0000")
	copy(b, first)
	return b
}

// besideFiles are files in the directory of an image, by their name.
type besideFiles map[string][]byte

func (b besideFiles) open(name string) (diskimage.File, error) {
	data, there := b[name]
	if !there {
		return nil, fs.ErrNotExist
	}
	return besideFile{bytes.NewReader(data)}, nil
}

type besideFile struct{ *bytes.Reader }

func (besideFile) Close() error { return nil }

// alone opens the sample as who must not look beside it: the preflight of an import, the local backend.
func (s sample) alone() (*detect.Image, error) {
	img, err := detect.Open(bytes.NewReader(s.data), int64(len(s.data)), "")
	if _, unsupported := errors.AsType[*diskimage.UnsupportedError](err); err != nil && !unsupported {
		return nil, err
	}
	return img, err
}

// read says whether the disk inside is read, with what is beside it.
func (s sample) read() (bool, error) {
	img, err := detect.OpenBeside(bytes.NewReader(s.data), int64(len(s.data)), s.beside.open)
	if _, unsupported := errors.AsType[*diskimage.UnsupportedError](err); unsupported {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer img.Close() //nolint:errcheck // it holds nothing
	content, err := io.ReadAll(io.NewSectionReader(img, 0, img.Size()))
	if err == nil && !bytes.Equal(content[:min(4, len(content))], []byte("disk")) {
		err = errors.New("it is read as another disk")
	}
	return true, err
}
