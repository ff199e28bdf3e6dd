// Package raw reads RAW images: the file is the disk.
package raw

import (
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// Image is a RAW image.
type Image struct {
	file io.ReaderAt
	size int64
}

// Open takes size bytes of r as they are. The length is kept, multiple of a sector or not.
func Open(r io.ReaderAt, size int64) (diskimage.Image, error) {
	if size < 0 {
		return nil, fmt.Errorf("RAW image of %d bytes: the size cannot be negative", size)
	}
	return &Image{file: r, size: size}, nil
}

// Size is the length of the file.
func (i *Image) Size() int64 { return i.size }

// ReadAt reads the file.
func (i *Image) ReadAt(p []byte, off int64) (int, error) {
	n, err := io.NewSectionReader(i.file, 0, i.size).ReadAt(p, off)
	if errors.Is(err, io.EOF) && off >= 0 && off < i.size && int64(n) < min(int64(len(p)), i.size-off) {
		err = io.ErrUnexpectedEOF // the file is shorter than it was: that is not the end of the disk
	}
	return n, err
}

// Extents yields what the file stores, where it knows its holes, and else the whole file as one run, in which the converter finds the zeros.
func (i *Image) Extents() iter.Seq2[diskimage.Extent, error] {
	return diskimage.StoredRuns(i.file, 0, i.size)
}

// Warnings tell of a last sector that is not whole.
func (i *Image) Warnings() []string {
	if rest := i.Size() % 512; rest != 0 {
		return []string{fmt.Sprintf("its size of %d bytes is no multiple of 512, so its last sector is not whole: perhaps it was cut off (a VMDK of it ends in %d zeros more)", i.Size(), 512-rest)}
	}
	return nil
}

// Close does nothing: the reader belongs to the caller.
func (i *Image) Close() error { return nil }
