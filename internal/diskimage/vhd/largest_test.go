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
