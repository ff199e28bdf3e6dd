package vmdk

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// A stream that was written without seeking ends so: footer marker, footer, end-of-stream marker, one sector each.
const (
	footerAt       = 2 * sectorSize // before the end
	footerTailSize = 3 * sectorSize
)

// readFooter finds the header that has the real gdOffset, for a header that says "grain directory at the end".
func readFooter(r io.ReaderAt, size int64, head header) (header, error) {
	if !head.compressed() {
		return header{}, &diskimage.CorruptError{
			Format: format, Structure: "header", Field: "gdOffset", Value: fmt.Sprintf("0x%x", head.gdOffset),
			Reason: "only a compressed stream has its grain directory at the end",
		}
	}
	at, footer, err := findFooter(r, size)
	if err != nil {
		return header{}, err
	}
	h, err := parseHeader(footer, "footer", at)
	if err != nil {
		return header{}, err
	}
	corrupt := func(field string, value, want any) error {
		return &diskimage.CorruptError{
			Format: format, Structure: "footer", Field: field, Offset: at, Value: value, Reason: fmt.Sprintf("the header at byte 0 says %v", want),
		}
	}
	switch {
	case h.capacity != head.capacity:
		return header{}, corrupt("capacity", h.capacity, head.capacity)
	case h.grainSize != head.grainSize:
		return header{}, corrupt("grainSize", h.grainSize, head.grainSize)
	case h.numGTEsPerGT != head.numGTEsPerGT:
		return header{}, corrupt("numGTEsPerGT", h.numGTEsPerGT, head.numGTEsPerGT)
	case h.subFormat() != head.subFormat():
		return header{}, corrupt("flags", fmt.Sprintf("0x%08x", h.flags), fmt.Sprintf("0x%08x", head.flags))
	case h.gdOffset == gdAtEnd:
		return header{}, &diskimage.CorruptError{
			Format: format, Structure: "footer", Field: "gdOffset", Offset: at, Value: fmt.Sprintf("0x%x", h.gdOffset),
			Reason: "the footer must say where the grain directory is",
		}
	}
	h.footed, h.unended, h.unclean = true, at+footerAt > size, h.unclean || head.unclean
	return h, nil
}

// findFooter looks two sectors before the end, then behind trailing zeros, which uploads and block devices add. The end-of-stream marker is
// all zeros itself, so a stream that lacks it is found the same way; nothing of the disk is missing then.
func findFooter(r io.ReaderAt, size int64) (at int64, footer []byte, err error) {
	missing := &diskimage.CorruptError{
		Format: format, Structure: "footer", Offset: max(0, size-footerAt),
		Reason: "the header says that the grain directory is at the end, but no footer is there: the file was cut off",
	}
	tail := make([]byte, min(size, footerTailSize+maxFooterPadding))
	start := size - int64(len(tail))
	if err := diskimage.ReadFull(r, tail, start); err != nil {
		return 0, nil, fmt.Errorf("read the end of the VMDK: %w", err)
	}
	sectorAt := func(at int64) []byte {
		if at < start || at < 2*sectorSize || at%sectorSize != 0 || at+sectorSize > size {
			return nil
		}
		return tail[at-start : at-start+sectorSize]
	}
	isFooter := func(at int64) bool {
		f, m := sectorAt(at), sectorAt(at-sectorSize)
		return f != nil && m != nil && isFooter(m, f)
	}
	if at = size - footerAt; isFooter(at) {
		return at, sectorAt(at), nil
	}
	last := len(tail) - 1
	for last >= 0 && tail[last] == 0 {
		last--
	}
	if last < 0 {
		return 0, nil, missing
	}
	// The last byte of a footer that is not zero is in the middle of its sector: the low byte of compressAlgorithm.
	if at = (start + int64(last)) / sectorSize * sectorSize; isFooter(at) {
		return at, sectorAt(at), nil
	}
	return 0, nil, missing
}

// isFooter is of two sectors one behind the other.
func isFooter(marker, footer []byte) bool {
	return string(footer[:4]) == magicHosted && binary.LittleEndian.Uint32(marker[8:]) == 0 && binary.LittleEndian.Uint32(marker[12:]) == markerFooter
}

// endsWithFooter tells whether a stream ends with a footer that its header does not need (VMDKstream), so that the end-of-stream marker behind it is
// missing. Of a stream without any footer that cannot be told: qemu-img (7.2) writes no marker behind a last grain that does not compress, and VMware's
// tools write nothing else behind the grains.
func endsWithFooter(r io.ReaderAt, size int64) (bool, error) {
	if size%sectorSize != 0 || size < 3*sectorSize {
		return false, nil
	}
	tail := make([]byte, 2*sectorSize)
	if err := diskimage.ReadFull(r, tail, size-int64(len(tail))); err != nil {
		return false, fmt.Errorf("read the end of the VMDK: %w", err)
	}
	return isFooter(tail[:sectorSize], tail[sectorSize:]), nil
}
