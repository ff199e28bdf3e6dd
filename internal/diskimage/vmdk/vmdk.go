// Package vmdk reads VMDK images (VMware "Virtual Disk Format 5.0"): disks in one sparse file, which are stream-optimized, as ESXi, ovftool, AWS VM
// Export, open-vmdk and qemu-img write them, in all their layouts, or monolithicSparse, as Workstation and qemu-img do; and, where it may open the
// files beside the image, disks in several files (flat, sparse, COWD and seSparse extents) and deltas of other disks. It writes the first.
package vmdk

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// StreamOptimized is the sub-format that is written here, and the only one that VM Import takes.
const StreamOptimized = "streamOptimized"

const monolithicSparse = "monolithicSparse"

// Image is a VMDK. Its files are read as needed; nothing is kept but the headers and a few tables in use.
type Image struct {
	chain  disks
	opened []io.Closer
	idle   chan *scratch // between reads; unlike a sync.Pool it never holds more than it has room for
}

// OpenBeside is Open for an image that may name other files: the extents of its disk, and the disk that it is a delta of. They are opened through
// beside, by names in the image's own directory only, and closed with the image.
func OpenBeside(r io.ReaderAt, size int64, beside diskimage.Opener) (*Image, error) {
	i, err := open(r, size, beside)
	if err != nil {
		return nil, err
	}
	if err := i.verify(); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

// Open opens a disk in one file. r belongs to the caller.
func Open(r io.ReaderAt, size int64) (*Image, error) { return OpenBeside(r, size, nil) }

// Look is Open by headers, footer and descriptor alone. Check holds the last tables against the file; no others are, and the disk must not be read.
func Look(r io.ReaderAt, size int64) (*Image, error) { return open(r, size, nil) }

func open(r io.ReaderAt, size int64, beside diskimage.Opener) (*Image, error) {
	if size < 0 {
		return nil, fmt.Errorf("VMDK image of %d bytes: the size cannot be negative", size)
	}
	o := opening{beside: beside}
	i := &Image{idle: make(chan *scratch, maxIdle)}
	err := o.open(&file{r, size, ""})
	i.chain, i.opened = o.chain, o.opened
	if err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

// Size is the sum of the extents, in bytes; of a disk in one file, the capacity in its header.
func (i *Image) Size() int64 { return i.chain[0].size }

// SubFormat is "streamOptimized" or "monolithicSparse", by the header, for a disk in one file, and the createType of the descriptor for one in several,
// empty where that has none. " delta" follows where the disk has a parent.
func (i *Image) SubFormat() string { return i.chain[0].subFormat }

// Warnings tell of a disk that was in use, and of a stream that was cut short behind everything that is of the disk.
func (i *Image) Warnings() (texts []string) {
	for _, d := range i.chain {
		for _, w := range d.warnings {
			if d.name != "" {
				w = fmt.Sprintf("its parent %s: %s", diskimage.Quote(d.name), w)
			}
			texts = append(texts, w)
		}
	}
	return texts
}

// Close closes the files that the image named. The one that was given to open it is the caller's.
func (i *Image) Close() (err error) {
	for _, f := range i.opened {
		err = errors.Join(err, f.Close())
	}
	i.opened = nil
	return err
}

// IsBadGrain tells whether err is about the compressed data of a grain, for which VM Import has words of its own.
func IsBadGrain(err error) bool {
	c, ok := errors.AsType[*diskimage.CorruptError](err)
	return ok && c.Format == format && strings.HasPrefix(c.Structure, structureGrainData)
}

// IsBadCompression tells whether err is about the header's compressAlgorithm, for which VM Import has words of its own.
func IsBadCompression(err error) (algorithm uint16, bad bool) {
	c, ok := errors.AsType[*diskimage.CorruptError](err)
	if !ok || c.Format != format || c.Field != fieldCompressAlgorithm {
		return 0, false
	}
	algorithm, bad = c.Value.(uint16)
	return algorithm, bad
}

// inFile tells whether length bytes at a sector lie in a file of size bytes. Both may be claims: nothing overflows.
func inFile(sector uint64, length, size int64) bool {
	if length < 0 || length > size {
		return false
	}
	return sector <= uint64(size-length)/sectorSize
}
