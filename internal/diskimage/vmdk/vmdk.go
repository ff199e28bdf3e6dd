// Package vmdk reads VMDK images (VMware "Virtual Disk Format 5.0") that are one sparse file: stream-optimized, as ESXi, ovftool, AWS VM Export,
// open-vmdk and qemu-img write them, in all their layouts, and monolithicSparse, as Workstation and qemu-img do. It writes the former. The other kinds of
// VMDK are told apart and refused with a *diskimage.UnsupportedError.
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

// Image is a VMDK in one sparse file. The file is read as needed; nothing is kept but the header and a few tables in use.
type Image struct {
	file     io.ReaderAt
	fileSize int64
	header   header
	idle     chan *scratch // between reads; unlike a sync.Pool it never holds more than it has room for
}

// maxIdle is how many readers at once find their buffers again.
const maxIdle = 8

// OpenBeside is Open for an image that may name other files, which are opened through beside.
func OpenBeside(r io.ReaderAt, size int64, _ diskimage.Opener) (*Image, error) { return Open(r, size) }

// Open reads the headers. r belongs to the caller.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	head := make([]byte, min(size, sectorSize))
	if err := readFull(r, head, 0); err != nil {
		return nil, fmt.Errorf("read the VMDK header: %w", err)
	}
	if err := refuseOtherKinds(r, size, head); err != nil {
		return nil, err
	}
	h, err := parseHeader(head, "header", 0)
	if err != nil {
		return nil, err
	}
	if h.subFormat() == compressedOnly {
		return nil, &diskimage.UnsupportedError{
			Format: format, SubFormat: compressedOnly, Reason: "its grains are compressed but carry no markers, which no known tool writes", Cure: qemuCure,
		}
	}
	if h.gdOffset == gdAtEnd {
		if h, err = readFooter(r, size, h); err != nil {
			return nil, err
		}
	}
	if err := checkEmbeddedDescriptor(r, size, &h); err != nil {
		return nil, err
	}
	if err := checkPlaces(size, &h); err != nil {
		return nil, err
	}
	return &Image{file: r, fileSize: size, header: h, idle: make(chan *scratch, maxIdle)}, nil
}

// Size is the capacity of the header in bytes.
func (i *Image) Size() int64 { return i.header.size() }

// SubFormat is "streamOptimized" or "monolithicSparse".
func (i *Image) SubFormat() string { return i.header.subFormat() }

// Warnings tell of a disk that was in use, and of a stream that was cut short behind everything that is of the disk.
func (i *Image) Warnings() (texts []string) {
	if i.header.unclean {
		texts = append(texts, "it was not closed by the virtual machine that used it, or was copied while one did: what was written last may be missing or half there")
	}
	if i.header.unended {
		texts = append(texts, "it ends without the end-of-stream marker: its last 512 bytes are missing, none of which are of the disk")
	}
	return texts
}

// Close does nothing: the reader belongs to the caller.
func (i *Image) Close() error { return nil }

// checkPlaces holds the header's own places against the length of the file.
func checkPlaces(size int64, h *header) error {
	corrupt := func(field string, value uint64, reason string) error {
		return &diskimage.CorruptError{Format: format, Structure: "header", Field: field, Value: value, Reason: reason}
	}
	sectors := uint64(size) / sectorSize
	if h.overHead > sectors {
		return corrupt("overHead", h.overHead, fmt.Sprintf("the file has only %d sectors: it was cut off", sectors))
	}
	if h.gdOffset == 0 {
		return corrupt("gdOffset", h.gdOffset, "there is no grain directory")
	}
	if !inFile(h.gdOffset, 4*h.gdEntries(), size) {
		return corrupt("gdOffset", h.gdOffset,
			fmt.Sprintf("a grain directory of %d entries there does not fit into the file of %d bytes: it was cut off, or the header is wrong",
				h.gdEntries(), size))
	}
	if h.hasRedundantGD() && !inFile(h.rgdOffset, 4*h.gdEntries(), size) {
		return corrupt("rgdOffset", h.rgdOffset,
			fmt.Sprintf("a grain directory of %d entries there does not fit into the file of %d bytes", h.gdEntries(), size))
	}
	return nil
}

// hasRedundantGD: some writers set the flag, or the offset, alone.
func (h *header) hasRedundantGD() bool {
	return h.flags&flagRedundantGD != 0 && h.rgdOffset != 0 && h.rgdOffset != gdAtEnd
}

func checkEmbeddedDescriptor(r io.ReaderAt, size int64, h *header) error {
	if h.descriptorOffset == 0 || h.descriptorSize == 0 {
		return descriptor{}.check(h, 0)
	}
	length := int64(maxDescriptorBytes)
	if h.descriptorSize <= maxDescriptorBytes/sectorSize {
		length = int64(h.descriptorSize) * sectorSize
	}
	if !inFile(h.descriptorOffset, length, size) {
		return &diskimage.CorruptError{
			Format: format, Structure: "header", Field: "descriptorOffset", Value: h.descriptorOffset,
			Reason: fmt.Sprintf("a descriptor of %d sectors there does not fit into the file of %d bytes", h.descriptorSize, size),
		}
	}
	at := int64(h.descriptorOffset) * sectorSize
	text := make([]byte, length)
	if err := readFull(r, text, at); err != nil {
		return fmt.Errorf("read the VMDK descriptor at byte %d: %w", at, err)
	}
	return parseDescriptor(text).check(h, at)
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

// readFull reads all of p: an image that ends earlier than its length said is an error of the source, not of the format.
func readFull(r io.ReaderAt, p []byte, at int64) error {
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
