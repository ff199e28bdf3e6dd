package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// sample is a file of one kind. The table of formats is what the product says of it.
type sample struct {
	format detect.Format
	kind   string // "" where the format has none
	data   []byte
}

const disk = 64 << 10

func samples() []sample {
	content := testimage.Run{Data: []byte("disk")}
	stream := testimage.VMDK{Layout: testimage.GDPatched, Size: disk}.Build(content).Data
	delta := bytes.Replace(stream, []byte("parentCID=ffffffff"), []byte("parentCID=12345678"), 1)
	return []sample{
		{detect.RAW, "", make([]byte, disk)},
		{detect.VHD, "fixed", testimage.VHD{Fixed: true, Size: disk}.Build(content).Data},
		{detect.VHD, "dynamic", testimage.VHD{Size: disk}.Build(content).Data},
		{detect.VHD, "differencing", testimage.VHD{Size: disk, Parent: "base.vhd"}.Build(content).Data},
		{detect.VHDX, "fixed", testimage.VHDX{Fixed: true, Size: disk}.Build(content).Data},
		{detect.VHDX, "dynamic", testimage.VHDX{Size: disk}.Build(content).Data},
		{detect.VHDX, "differencing", testimage.VHDX{Size: disk, Locator: testimage.VHDXLocator("", "base.vhdx")}.Build(content).Data},
		{detect.VMDK, "streamOptimized", stream},
		{detect.VMDK, "monolithicSparse", testimage.VMDK{Size: disk}.BuildSparse(content).Data},
		{detect.VMDK, "delta of another", delta},
		{detect.VMDK, "descriptor, data in other files", []byte("# Disk DescriptorFile\nversion=1\ncreateType=\"twoGbMaxExtentSparse\"\nRW 128 SPARSE \"disk-s001.vmdk\"\n")},
		{detect.COWD, "ESX delta extent", magic(0, "COWD")},
		{detect.SESparse, "ESXi delta extent", magic(0, "\xbe\xba\xfe\xca\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00")},
		{detect.OVA, "", tar("vm.ovf")},
		{detect.QCOW2, "", magic(0, "QFI\xfb\x00\x00\x00\x03")},
		{detect.QCOW, "", magic(0, "QFI\xfb\x00\x00\x00\x01")},
		{detect.QED, "", magic(0, "QED\x00")},
		{detect.VDI, "", magic(64, "\x7f\x10\xda\xbe")},
		{detect.Parallels, "", magic(0, "WithoutFreeSpace")},
		{detect.DMG, "", magic(disk-512, "koly")},
		{detect.ISO, "", magic(32769, "CD001")},
		{detect.GZIP, "", magic(0, "\x1f\x8b\x08")},
		{detect.BZIP2, "", magic(0, "BZh91AY&SY")},
		{detect.XZ, "", magic(0, "\xfd7zXZ\x00")},
		{detect.ZSTD, "", magic(0, "\x28\xb5\x2f\xfd")},
		{detect.LZ4, "", magic(0, "\x04\x22\x4d\x18")},
		{detect.LZMA, "", magic(0, "\x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00")},
		{detect.ZIP, "", magic(0, "PK\x03\x04")},
		{detect.SevenZip, "", magic(0, "7z\xbc\xaf\x27\x1c")},
		{detect.TAR, "", tar("disk.raw")},
		{detect.HTML, "", []byte("<!DOCTYPE html><html>")},
		{detect.XML, "", []byte("<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>")},
		{detect.Empty, "", nil},
	}
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

// formats is the table of what VM Import, and this provider, make of each kind of file.
func formats(context.Context) (string, error) {
	t := newTable("file", "VM Import", "read here", "why not, and what to do")
	missing := map[detect.Format]bool{}
	for f := range detect.Formats() {
		missing[f] = true
	}
	var names []string // of the samples before, with the same judgement
	var before judgement
	for _, s := range samples() {
		delete(missing, s.format)
		j, err := s.judge()
		if err != nil {
			return "", fmt.Errorf("sample of %s: %w", s.name(), err)
		}
		if j != before && names != nil {
			t.row(append([]string{strings.Join(names, "; ")}, before[:]...)...)
			names = nil
		}
		names, before = append(names, s.name()), j
	}
	t.row(append([]string{strings.Join(names, "; ")}, before[:]...)...)
	for f := range missing {
		return "", fmt.Errorf("there is no sample of %s", f)
	}
	return t.String(), nil
}

func (s sample) name() string {
	name := "`" + string(s.format) + "`"
	if s.kind != "" {
		name += ", " + s.kind
	}
	return name
}

// judgement is a row of the table without the name.
type judgement [3]string

func (s sample) judge() (judgement, error) {
	r, size := bytes.NewReader(s.data), int64(len(s.data))
	switch got, err := detect.Detect(r, size); {
	case err != nil:
		return judgement{}, err
	case got != s.format:
		return judgement{}, fmt.Errorf("it is taken for %s", got)
	}
	img, err := detect.Open(r, size, "")
	if _, unsupported := errors.AsType[*diskimage.UnsupportedError](err); err != nil && !unsupported {
		return judgement{}, err
	}
	read := "no"
	if err == nil {
		if _, err := io.Copy(io.Discard, io.NewSectionReader(img, 0, img.Size())); err != nil {
			return judgement{}, err
		}
		read = "yes"
	}
	verdict := detect.VMImport(img, err)
	if verdict.Importable {
		return judgement{"takes it", read, ""}, nil
	}
	return judgement{"refuses it: `" + verdict.StatusMessage + "`", read, verdict.Reason + "; " + verdict.Cure}, nil
}
