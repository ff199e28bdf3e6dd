// Package vhd reads VHD images (Microsoft "Virtual Hard Disk Image Format Specification" 1.0): fixed and dynamic disks. Differencing disks are
// refused with a *diskimage.UnsupportedError, since they need their parents.
package vhd

import (
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

const (
	subFormatFixed        = "fixed"
	subFormatDynamic      = "dynamic"
	subFormatDifferencing = "differencing"
)

// Image is a fixed or dynamic VHD. The file is read as needed; nothing is kept but what its headers say and a few parts of the BAT in use.
type Image struct {
	file   io.ReaderAt
	size   int64
	excess int64 // bytes of a fixed disk's file between the end of the disk and the footer
	damage error
	table  *table       // nil for a fixed disk
	idle   chan *window // between reads; unlike a sync.Pool it never holds more than it has room for
}

// maxIdle is how many readers at once find their windows again.
const maxIdle = 8

// OpenBeside is Open for an image that may name other files, which are opened through beside.
func OpenBeside(r io.ReaderAt, size int64, _ diskimage.Opener) (*Image, error) { return Open(r, size) }

// Open reads the headers and the whole BAT, once, to check it. r belongs to the caller.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	img, err := Look(r, size)
	if err != nil {
		return nil, err
	}
	if err := img.Check(); err != nil {
		return nil, err
	}
	return img, nil
}

// Look is Open without the BAT: what the headers and footers say. The image is not to be read before it was checked.
func Look(r io.ReaderAt, size int64) (*Image, error) {
	if size < 0 {
		return nil, fmt.Errorf("VHD image of %d bytes: the size cannot be negative", size)
	}
	f, err := readFooters(r, size)
	if err != nil {
		return nil, err
	}
	img := &Image{file: r, size: f.size, damage: f.damage}
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
	if f.diskType == typeDifferencing {
		return nil, refuseDifferencing(&h)
	}
	if img.table, err = newTable(r, &f, &h); err != nil {
		return nil, err
	}
	img.idle = make(chan *window, maxIdle)
	return img, nil
}

// Check reads the BAT of a dynamic disk and holds it against the file.
func (i *Image) Check() error {
	if i.table == nil {
		return nil
	}
	return i.table.check()
}

func readDynamicHeader(r io.ReaderAt, f *footers) (dynamicHeader, error) {
	if f.dataOffset < footerSize || f.end < headerSize || f.dataOffset > uint64(f.end-headerSize) {
		return dynamicHeader{}, &diskimage.CorruptError{
			Format: format, Structure: "footer", Field: "data offset", Offset: f.at, Value: f.dataOffset,
			Reason: fmt.Sprintf("a dynamic header there does not lie between the footers, at bytes 0 and %d", f.end),
		}
	}
	b, at := make([]byte, headerSize), int64(f.dataOffset)
	if err := readFull(r, b, at); err != nil {
		return dynamicHeader{}, fmt.Errorf("read the dynamic header of the VHD at byte %d: %w", at, err)
	}
	return parseDynamicHeader(b, at)
}

func refuseDifferencing(h *dynamicHeader) error {
	parent := "a parent"
	if h.parent != "" {
		parent = "its parent " + h.parent
	}
	return &diskimage.UnsupportedError{
		Format: format, SubFormat: subFormatDifferencing, Reason: "it is a differencing disk: it holds only what differs from " + parent,
		Cure: "make one disk of it and its parents with `Convert-VHD -Path SRC.vhd -DestinationPath DST.vhd -VHDType Dynamic` (PowerShell with Hyper-V) " +
			"or `VBoxManage clonemedium disk SRC.vhd DST.vhd --format VHD`; qemu-img would read as zeros what is in the parent",
	}
}

// Size is the current size of the footer.
func (i *Image) Size() int64 { return i.size }

// SubFormat is "fixed" or "dynamic".
func (i *Image) SubFormat() string {
	if i.table == nil {
		return subFormatFixed
	}
	return subFormatDynamic
}

// Damage is what is wrong with the footer of a dynamic disk that was passed over because its copy is sound; nil where both are. The disk is
// complete all the same, but VM Import refuses such a file.
func (i *Image) Damage() error { return i.damage }

// Warnings tell what was passed over.
func (i *Image) Warnings() (texts []string) {
	if i.damage != nil {
		texts = append(texts, fmt.Sprintf("one of its two footers is damaged, and the other one was followed: %v", i.damage))
	}
	if i.excess > 0 {
		texts = append(texts, fmt.Sprintf("its footer says that the disk has %d bytes: %d more in front of the footer were left out", i.size, i.excess))
	}
	return texts
}

// Close does nothing: the reader belongs to the caller.
func (i *Image) Close() error { return nil }

// ReadAt reads the virtual disk.
func (i *Image) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read the VHD at offset %d: it is negative", off)
	}
	if off >= i.size {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), i.size-off)]
	var n int
	var err error
	if i.table == nil {
		n, err = i.readFixed(want, off)
	} else {
		n, err = i.readDynamic(want, off)
	}
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (i *Image) readFixed(want []byte, off int64) (int, error) {
	if err := readFull(i.file, want, off); err != nil {
		return 0, fmt.Errorf("read %d bytes of the VHD at byte %d: %w", len(want), off, err)
	}
	return len(want), nil
}

// readDynamic ignores the bitmaps: in a dynamic disk the bits of sectors that were never written are clear, or not, and their bytes are zeros.
func (i *Image) readDynamic(want []byte, off int64) (int, error) {
	w := i.takeWindow()
	defer i.giveBack(w)
	t := i.table
	n := 0
	for n < len(want) {
		index, in := (off+int64(n))/t.blockSize, (off+int64(n))%t.blockSize
		part := want[n:min(int64(len(want)), int64(n)+t.blockSize-in)]
		at, err := t.lookup(w, index)
		if err != nil {
			return n, err
		}
		if at == 0 {
			clear(part)
		} else if err := readFull(i.file, part, at+t.bitmap+in); err != nil {
			return n, fmt.Errorf("read block %d of the VHD at byte %d: %w", index, at+t.bitmap+in, err)
		}
		n += len(part)
	}
	return n, nil
}

func (i *Image) takeWindow() *window {
	select {
	case w := <-i.idle:
		return w
	default:
		return newWindow()
	}
}

func (i *Image) giveBack(w *window) {
	select {
	case i.idle <- w:
	default:
	}
}

// Extents yields a fixed disk as one run, and of a dynamic one the blocks that are stored.
func (i *Image) Extents() iter.Seq2[diskimage.Extent, error] {
	if i.table == nil {
		return func(yield func(diskimage.Extent, error) bool) { yield(diskimage.Extent{Length: i.size}, nil) }
	}
	return func(yield func(diskimage.Extent, error) bool) {
		t, w, run := i.table, newWindow(), diskimage.Extent{}
		for index := range t.blocks {
			at, err := t.lookup(w, index)
			if err != nil {
				if run.Length == 0 || yield(run, nil) {
					yield(diskimage.Extent{}, err)
				}
				return
			}
			start := index * t.blockSize
			switch {
			case at == 0:
				continue
			case run.Length == 0 || run.End() != start:
				if run.Length > 0 && !yield(run, nil) {
					return
				}
				run = diskimage.Extent{Offset: start}
			}
			run.Length += min(t.blockSize, t.size-start)
		}
		if run.Length > 0 {
			yield(run, nil)
		}
	}
}

// readFull reads all of p: an image that ends earlier than its length said is an error of the source, not of the format.
func readFull(r io.ReaderAt, p []byte, at int64) error {
	if len(p) == 0 {
		return nil
	}
	n, err := r.ReadAt(p, at)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	default:
		return err
	}
}
