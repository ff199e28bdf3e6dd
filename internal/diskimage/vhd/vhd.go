// Package vhd reads VHD images (Microsoft "Virtual Hard Disk Image Format Specification" 1.0): fixed, dynamic and differencing disks. Those that
// differ from a parent are refused with a *diskimage.UnsupportedError where the parent cannot be opened beside them.
package vhd

import (
	"errors"
	"fmt"
	"io"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

const (
	subFormatFixed        = "fixed"
	subFormatDynamic      = "dynamic"
	subFormatDifferencing = "differencing"
)

// Image is an open VHD. The file is read as needed; nothing is kept but what its headers say and a few parts of the BAT and of the bitmaps in use.
type Image struct {
	file   io.ReaderAt
	size   int64
	id     [16]byte
	excess int64 // bytes of a fixed disk's file between the end of the disk and the footer
	damage error
	table  *table       // nil for a fixed disk
	idle   chan *window // between reads; unlike a sync.Pool it never holds more than it has room for

	origin *origin // of a differencing disk: what it differs from
	parent *parent // the same, opened
}

// maxIdle is how many readers at once find their windows again.
const maxIdle = 8

// Open reads the headers and the whole BAT, once, to check it. r belongs to the caller.
func Open(r io.ReaderAt, size int64) (*Image, error) { return OpenBeside(r, size, nil) }

// OpenBeside is Open, and the disks that a differencing disk differs from are opened through beside. Close closes them.
func OpenBeside(r io.ReaderAt, size int64, beside diskimage.Opener) (*Image, error) {
	img, err := look(r, size)
	if err != nil {
		return nil, err
	}
	if img.origin != nil && beside == nil {
		return nil, img.origin.refuseAlone()
	}
	var c checked
	if err := img.check(&c); err != nil {
		return nil, err
	}
	if err := img.openParents(beside, &c); err != nil {
		return nil, errors.Join(err, img.Close())
	}
	return img, nil
}

// Look is Open without the BAT: what the headers and footers say. The image is not to be read before it was checked.
func Look(r io.ReaderAt, size int64) (*Image, error) {
	img, err := look(r, size)
	if err == nil && img.origin != nil {
		return nil, img.origin.refuseAlone()
	}
	return img, err
}

func look(r io.ReaderAt, size int64) (*Image, error) {
	if size < 0 {
		return nil, fmt.Errorf("VHD image of %d bytes: the size cannot be negative", size)
	}
	f, err := readFooters(r, size)
	if err != nil {
		return nil, err
	}
	img := &Image{file: r, size: f.size, id: f.id, damage: f.damage}
	if f.diskType == typeFixed {
		if f.size > f.end {
			return nil, &diskimage.CorruptError{
				Format: format, Structure: "footer", Field: "current size", Offset: f.end, Value: f.size,
				Reason: fmt.Sprintf("only %d bytes lie in front of the footer of this fixed disk: the file was cut off, or damaged", f.end),
			}
		}
		img.excess = f.end - f.size
		return img, nil
	}
	h, err := readDynamicHeader(r, &f)
	if err != nil {
		return nil, err
	}
	if img.table, err = newTable(r, &f, &h); err != nil {
		return nil, err
	}
	if f.diskType == typeDifferencing {
		img.origin = &origin{dynamicHeader: h, file: r, headerAt: int64(f.dataOffset), end: f.end}
	}
	img.idle = make(chan *window, maxIdle)
	return img, nil
}

// Check reads the BAT and holds it against the file.
func (i *Image) Check() error { return i.check(new(checked)) }

func (i *Image) check(c *checked) error {
	if i.table == nil {
		return nil
	}
	return i.table.check(c)
}

func readDynamicHeader(r io.ReaderAt, f *footers) (dynamicHeader, error) {
	if f.dataOffset < footerSize || f.end < headerSize || f.dataOffset > uint64(f.end-headerSize) {
		return dynamicHeader{}, &diskimage.CorruptError{
			Format: format, Structure: "footer", Field: "data offset", Offset: f.at, Value: f.dataOffset,
			Reason: fmt.Sprintf("a dynamic header there does not lie between the footers, at bytes 0 and %d", f.end),
		}
	}
	b, at := make([]byte, headerSize), int64(f.dataOffset)
	if err := diskimage.ReadFull(r, b, at); err != nil {
		return dynamicHeader{}, fmt.Errorf("read the dynamic header of the VHD at byte %d: %w", at, err)
	}
	return parseDynamicHeader(b, at)
}

// Size is the current size of the footer.
func (i *Image) Size() int64 { return i.size }

// SubFormat is "fixed", "dynamic" or "differencing".
func (i *Image) SubFormat() string {
	if i.table == nil {
		return subFormatFixed
	}
	return i.table.subFormat()
}

// Damage is what is wrong with the footer of a dynamic or differencing disk that was passed over because its copy is sound; nil where both are. The
// disk is complete all the same, but VM Import refuses such a file.
func (i *Image) Damage() error { return i.damage }

// Warnings tell what was passed over, in the disk and in those that it differs from.
func (i *Image) Warnings() (texts []string) {
	if i.damage != nil {
		texts = append(texts, fmt.Sprintf("one of its two footers is damaged, and the other one was followed: %v", i.damage))
	}
	if i.excess > 0 {
		texts = append(texts, fmt.Sprintf("its footer says that the disk has %d bytes: %d more in front of the footer were left out", i.size, i.excess))
	}
	if i.parent != nil {
		for _, text := range i.parent.Warnings() {
			texts = append(texts, fmt.Sprintf("its parent %q: %s", i.parent.name, text))
		}
	}
	return texts
}

// Close closes the disks that were opened beside this one. Its own reader belongs to the caller.
func (i *Image) Close() error {
	if i.parent == nil || i.parent.file == nil {
		return nil
	}
	file := i.parent.file
	i.parent.file = nil
	return errors.Join(i.parent.Close(), file.Close())
}
