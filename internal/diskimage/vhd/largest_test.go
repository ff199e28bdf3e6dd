package vhd_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhd"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// largestFile is a VHD of 2040 GiB in blocks of 512 KiB, all of which are stored, one behind the other. Its data are zeros.
type largestFile struct {
	front, footer []byte
	blocks        int64
}

func largest(own, parent string) *largestFile {
	const size, block = 2040 << 30, 512 << 10
	v := testimage.VHD{ID: own, Size: 512, BlockSize: block}
	if parent != "" {
		v.Relative, v.ParentID = parent, id(parent)
	}
	f := v.Build()
	for _, at := range []int64{f.Copy, f.Footer} {
		put64(f.Data, at+48, size)
	}
	put32(f.Data, f.Header+28, size/block)
	f.Seal()
	return &largestFile{front: f.Data[:f.BAT], footer: f.Data[f.Footer:], blocks: size / block}
}

func (f *largestFile) tableEnd() int64 { return int64(len(f.front)) + 4*f.blocks }
func (f *largestFile) dataEnd() int64  { return f.tableEnd() + f.blocks*(512+512<<10) }
func (f *largestFile) Size() int64     { return f.dataEnd() + 512 }
func (f *largestFile) Close() error    { return nil }

// ReadAt of a part of the table begins and ends between two entries.
func (f *largestFile) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	front := int64(len(f.front))
	switch end := off + int64(len(p)); {
	case off < front:
		copy(p, f.front[off:])
	case off < f.tableEnd():
		for at := range int64(len(p) / 4) {
			index := (off-front)/4 + at
			binary.BigEndian.PutUint32(p[4*at:], uint32((f.tableEnd()+index*(512+512<<10))/512))
		}
	case end > f.dataEnd():
		copy(p[max(0, f.dataEnd()-off):], f.footer)
	}
	return len(p), nil
}

// A chain costs no more than its largest disk may: more blocks than that are refused, before there is memory for them.
func TestChainOfTooManyBlocks(t *testing.T) {
	child, base := largest(id("child"), "base"), largest(id("base"), "")
	for _, f := range []*largestFile{base, child} {
		img, err := vhd.OpenBeside(f, f.Size(), func(name string) (diskimage.File, error) {
			if name != "base" {
				return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
			}
			return base, nil
		})
		if f == base && (err != nil || img.Size() != 2040<<30) {
			t.Errorf("alone: %v", err)
		}
		if e, ok := errors.AsType[*diskimage.UnsupportedError](err); f == child && (!ok || !strings.Contains(e.Reason, "store more than 4194304 blocks")) {
			t.Errorf("with a parent: %v", err)
		}
	}
}

// Azure exports its largest disks, of up to 32 TiB, as fixed VHDs, which need no table.
func TestFixedBeyondATable(t *testing.T) {
	const size = 32 << 40
	f := testimage.VHD{Size: 512, Fixed: true}.Build()
	put64(f.Data, f.Footer+48, size)
	f.Seal()
	file := &endOfZeros{f.Data[f.Footer:], size + 512}
	img, err := vhd.Open(file, file.size)
	if err != nil {
		t.Fatal(err)
	}
	if img.Size() != size {
		t.Errorf("%d bytes", img.Size())
	}
	if n, err := img.ReadAt(make([]byte, 512), size-512); n != 512 {
		t.Errorf("the last sector: %d bytes, %v", n, err)
	}
	for e, err := range img.Extents() {
		if err != nil || e != (diskimage.Extent{Length: size}) {
			t.Errorf("%v, %v", e, err)
		}
	}
}

// endOfZeros is a file of zeros with something at its end.
type endOfZeros struct {
	end  []byte
	size int64
}

func (f *endOfZeros) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if from := f.size - int64(len(f.end)); off+int64(len(p)) > from {
		copy(p[max(0, from-off):], f.end[max(0, off-from):])
	}
	return len(p), nil
}
