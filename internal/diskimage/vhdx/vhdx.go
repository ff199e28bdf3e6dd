// Package vhdx reads fixed, dynamic and differencing VHDX images ([MS-VHDX], "Virtual Hard Disk v2 (VHDX) File Format"), those that were not closed
// cleanly included: their log is replayed in memory. Where the specification leaves a question open, Microsoft's own reader (microsoft/openvmm,
// vm/devices/storage/vhdx) decides.
package vhdx

import (
	"errors"
	"fmt"
	"io"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// Image is a VHDX with the parents that it differs from. The files are read as needed; nothing is kept but the headers, the places that the logs
// overwrite, and a few windows into the tables.
type Image struct {
	layers []*layer         // the image, its parent, the parent's parent
	files  []diskimage.File // the parents'
	idle   chan *reader     // between reads; unlike a sync.Pool it never holds more than it has room for
}

// maxIdle is how many readers at once find their windows again.
const maxIdle = 8

// Open reads the headers, replays the log in memory and checks the whole BAT. r belongs to the caller. A differencing image is refused with a
// *diskimage.UnsupportedError.
func Open(r io.ReaderAt, size int64) (*Image, error) { return OpenBeside(r, size, nil) }

// OpenBeside is Open for an image that may be differencing: its parents are opened through beside, and closed with the image.
func OpenBeside(r io.ReaderAt, size int64, beside diskimage.Opener) (*Image, error) {
	i, err := look(r, size, beside)
	if err != nil {
		return nil, err
	}
	if err := i.Check(); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

// Look is Open without the BAT: what the headers, the log and the metadata say. The image is not to be read before it was checked.
func Look(r io.ReaderAt, size int64) (*Image, error) { return look(r, size, nil) }

func look(r io.ReaderAt, size int64, beside diskimage.Opener) (*Image, error) {
	var used budget
	top, err := openLayer(r, size, &used)
	if err != nil {
		return nil, err
	}
	i := &Image{layers: []*layer{top}, idle: make(chan *reader, maxIdle)}
	if err := i.follow(beside, &used); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

// Check looks every entry of the BATs up once, so that a damaged one is refused before a byte of the disk is read.
func (i *Image) Check() error {
	var taken bitset // for one after the other
	for _, l := range i.layers {
		if err := l.check(&taken); err != nil {
			return l.blame(err)
		}
	}
	return nil
}

// Size is the virtual size in bytes.
func (i *Image) Size() int64 { return i.layers[0].meta.size }

// SubFormat is "fixed", "dynamic" or "differencing".
func (i *Image) SubFormat() string {
	switch m := &i.layers[0].meta; {
	case m.hasParent:
		return differencing
	case m.fixed:
		return "fixed"
	default:
		return "dynamic"
	}
}

const differencing = "differencing"

// Warnings tell of logs that were replayed here, and of large sectors.
func (i *Image) Warnings() (texts []string) {
	for _, l := range i.layers {
		if l.source.over != nil {
			texts = append(texts, l.called()+" was not closed cleanly: what was written last is in its log, which not all readers replay")
		}
	}
	if sector := i.layers[0].meta.logicalSector; sector != 512 {
		texts = append(texts, fmt.Sprintf("its sectors have %d bytes, and those of an EBS volume 512: a partition table that counts in them is not found there", sector))
	}
	return texts
}

// Close closes the parents. The image's own file belongs to the caller.
func (i *Image) Close() error {
	var errs []error
	for _, f := range i.files {
		errs = append(errs, f.Close())
	}
	i.files = nil
	return errors.Join(errs...)
}
