// Package vhdx reads fixed and dynamic VHDX images ([MS-VHDX], "Virtual Hard Disk v2 (VHDX) File Format"), those that were not closed cleanly
// included: their log is replayed in memory. Where the specification leaves a question open, Microsoft's own reader (microsoft/openvmm,
// vm/devices/storage/vhdx) decides. Differencing images are refused with a *diskimage.UnsupportedError.
package vhdx

import (
	"fmt"
	"io"
	"iter"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// Image is a VHDX. The file is read as needed; nothing is kept but the headers, the places that the log overwrites, and a few windows into the BAT.
type Image struct {
	source  source
	regions regions
	meta    metadata
	idle    chan *window // between reads; unlike a sync.Pool it never holds more than it has room for
}

// maxIdle is how many readers at once find their windows again.
const maxIdle = 8

// OpenBeside is Open for an image that may name other files, which are opened through beside.
func OpenBeside(r io.ReaderAt, size int64, _ diskimage.Opener) (*Image, error) { return Open(r, size) }

// Open reads the headers, replays the log in memory and checks the whole BAT. r belongs to the caller.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	i, err := Look(r, size)
	if err != nil {
		return nil, err
	}
	if err := i.Check(); err != nil {
		return nil, err
	}
	return i, nil
}

// Look is Open without the BAT: what the headers, the log and the metadata say. The image is not to be read before it was checked.
func Look(r io.ReaderAt, size int64) (*Image, error) {
	if size > maxFileSize {
		return nil, &diskimage.UnsupportedError{
			Format: format, Reason: fmt.Sprintf("the file is %d bytes long, more than twice the largest disk", size), Cure: convertCure,
		}
	}
	i := &Image{source: source{file: r, size: size, end: size}, idle: make(chan *window, maxIdle)}
	h, err := readHeader(&i.source)
	if err != nil {
		return nil, err
	}
	if h.dirty() {
		if err := replayLog(&i.source, &h); err != nil {
			return nil, err
		}
	}
	if i.regions, err = readRegions(&i.source, &h); err != nil {
		return nil, err
	}
	if i.meta, err = readMetadata(&i.source, i.regions.metadata); err != nil {
		return nil, err
	}
	if i.meta.hasParent {
		return nil, &diskimage.UnsupportedError{
			Format: format, SubFormat: "differencing", Reason: "it is differencing: it holds only what differs from a parent", Cure: mergeCure,
		}
	}
	if need := 8 * i.meta.batEntries(); need > i.regions.bat.length {
		return nil, corrupt("BAT", "", i.regions.bat.at, nil,
			fmt.Sprintf("a disk of %d bytes in blocks of %d needs %d bytes, the region has %d", i.meta.size, i.meta.blockSize, need, i.regions.bat.length))
	}
	return i, nil
}

const mergeCure = "make one disk of it and its parents with `Convert-VHD -Path SRC.avhdx -DestinationPath DST.vhdx -VHDType Dynamic` " +
	"(PowerShell with Hyper-V)"

// Size is the virtual size in bytes.
func (i *Image) Size() int64 { return i.meta.size }

// SubFormat is "fixed" or "dynamic".
func (i *Image) SubFormat() string {
	if i.meta.fixed {
		return "fixed"
	}
	return "dynamic"
}

// Warnings tell of a log that was replayed here, and of large sectors.
func (i *Image) Warnings() (texts []string) {
	if i.source.over != nil {
		texts = append(texts, "it was not closed cleanly: what was written last is in its log, which not all readers replay")
	}
	if i.meta.logicalSector != 512 {
		texts = append(texts, fmt.Sprintf("its sectors have %d bytes, and those of an EBS volume 512: a partition table that counts in them is not found there", i.meta.logicalSector))
	}
	return texts
}

// Close does nothing: the reader belongs to the caller.
func (i *Image) Close() error { return nil }

// ReadAt reads the virtual disk. The bytes of a disk with sectors of 4096 bytes are given unchanged.
func (i *Image) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read the VHDX at offset %d: it cannot be negative", off)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if off >= i.Size() {
		return 0, io.EOF
	}
	w := i.takeWindow()
	defer i.putWindow(w)
	want := int(min(int64(len(p)), i.Size()-off))
	for n := 0; n < want; {
		at := off + int64(n)
		block, in := at/i.meta.blockSize, at%i.meta.blockSize
		piece := p[n:min(int64(want), int64(n)+i.meta.blockSize-in)]
		where, err := i.block(w, block)
		if err != nil {
			return n, err
		}
		if where.at == 0 {
			clear(piece)
		} else if err := i.source.read(piece, where.at+in, fmt.Sprintf("block %d", block)); err != nil {
			return n, err
		}
		n += len(piece)
	}
	if want < len(p) {
		return want, io.EOF
	}
	return want, nil
}

func (i *Image) takeWindow() *window {
	select {
	case w := <-i.idle:
		return w
	default:
		return newWindow()
	}
}

func (i *Image) putWindow(w *window) {
	select {
	case i.idle <- w:
	default:
	}
}

// Extents walks the BAT: runs of blocks that are stored, and runs of blocks in state ZERO.
func (i *Image) Extents() iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		w := i.takeWindow()
		defer i.putWindow(w)
		var run diskimage.Extent
		for block := range i.meta.blocks() {
			where, err := i.block(w, block)
			if err != nil {
				if run.Length == 0 || yield(run, nil) {
					yield(diskimage.Extent{}, err)
				}
				return
			}
			if where == (place{}) {
				continue
			}
			next := diskimage.Extent{Offset: block * i.meta.blockSize, Length: i.stored(block), Zero: where.zero}
			if run.Length > 0 && run.End() == next.Offset && run.Zero == next.Zero {
				run.Length += next.Length
				continue
			}
			if run.Length > 0 && !yield(run, nil) {
				return
			}
			run = next
		}
		if run.Length > 0 {
			yield(run, nil)
		}
	}
}
