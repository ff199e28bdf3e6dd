package vhd

import (
	"fmt"
	"io"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// footers is what the two ends of a file say.
type footers struct {
	footer

	at     int64 // where the footer is that rules
	end    int64 // no data of the disk lie at or behind it: where the footer at the end begins, or the end of a file that has none
	damage error // what is wrong with the other footer; nil where there is nothing to say against it
}

// readFooters decides which footer rules. A fixed disk has one, at the end. The others have a copy at byte 0, which rules where the one at the end
// is damaged or missing: a writer that died while it appended a block leaves such a file. Two sound ones must agree, or nobody knows the disk.
func readFooters(r io.ReaderAt, size int64) (footers, error) {
	trailer, end, trailerErr, err := readTrailer(r, size)
	if err != nil {
		return footers{}, err
	}
	front := make([]byte, min(size, footerSize))
	if err := readFull(r, front, 0); err != nil {
		return footers{}, fmt.Errorf("read the beginning of the VHD: %w", err)
	}
	copied, copyErr := parseFooter(front, 0)
	switch {
	case trailerErr == nil && trailer.diskType == typeFixed && (copyErr != nil || copied.diskType == typeFixed):
		return footers{footer: trailer, at: end, end: end}, nil // what is at byte 0 are the disk's own bytes
	case trailerErr == nil && copyErr != nil:
		return footers{footer: trailer, at: end, end: end, damage: copyErr}, nil
	case trailerErr == nil:
		return footers{footer: trailer, at: end, end: end}, agree(trailer, copied, end)
	case copyErr == nil && copied.diskType != typeFixed:
		return footers{footer: copied, end: end, damage: trailerErr}, nil
	case copyErr != nil && hasCookie(front) && end == size: // two of them are wrong, and only this one is there
		return footers{}, copyErr
	default:
		return footers{}, trailerErr
	}
}

// readTrailer reads the footer at the end, of 512 bytes or of 511. trailerErr is what is wrong with it.
func readTrailer(r io.ReaderAt, size int64) (f footer, end int64, trailerErr, err error) {
	tail := make([]byte, min(size, footerSize))
	if err := readFull(r, tail, size-int64(len(tail))); err != nil {
		return footer{}, 0, nil, fmt.Errorf("read the end of the VHD: %w", err)
	}
	if hasCookie(tail) {
		end = size - int64(len(tail))
		f, trailerErr = parseFooter(tail, end)
		return f, end, trailerErr, nil
	}
	if short := tail[max(0, len(tail)-shortFooterSize):]; hasCookie(short) {
		end = size - int64(len(short))
		f, trailerErr = parseFooter(append(short, 0), end)
		return f, end, trailerErr, nil
	}
	return footer{}, size, &diskimage.CorruptError{
		Format: format, Structure: "footer", Offset: max(0, size-footerSize),
		Reason: "the file does not end in a footer: it was cut off, or something follows it",
	}, nil
}

func hasCookie(b []byte) bool {
	return len(b) >= len(footerCookie) && string(b[:len(footerCookie)]) == footerCookie
}

// agree compares what decides about the content of the disk.
func agree(trailer, copied footer, at int64) error {
	conflict := func(field string, value, want any) error {
		return &diskimage.CorruptError{
			Format: format, Structure: "footer", Field: field, Offset: at, Value: value, Reason: fmt.Sprintf("its copy at byte 0 says %v, and both are sound", want),
		}
	}
	switch {
	case trailer.diskType != copied.diskType:
		return conflict("disk type", trailer.diskType, copied.diskType)
	case trailer.size != copied.size:
		return conflict("current size", trailer.size, copied.size)
	case trailer.dataOffset != copied.dataOffset:
		return conflict("data offset", trailer.dataOffset, copied.dataOffset)
	case trailer.id != copied.id:
		return conflict("unique id", fmt.Sprintf("%x", trailer.id), fmt.Sprintf("%x", copied.id))
	}
	return nil
}
