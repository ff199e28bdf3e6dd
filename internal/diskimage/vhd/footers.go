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

// candidate is a place where a footer should be.
type candidate struct {
	footer

	at    int64
	wrong error // nil for a sound footer
}

func (c candidate) sound() bool { return c.wrong == nil }

func (c candidate) fixed() bool { return c.sound() && c.diskType == typeFixed }

// readFooters decides which footer rules. A fixed disk has one, at the end. The others have a copy at byte 0, which rules where the one at the end
// is damaged or missing: a writer that died while it appended a block leaves such a file. Two sound ones must agree, or nobody knows the disk.
func readFooters(r io.ReaderAt, size int64) (footers, error) {
	trailer, err := readTrailer(r, size)
	if err != nil {
		return footers{}, err
	}
	front := make([]byte, min(size, footerSize))
	if err := diskimage.ReadFull(r, front, 0); err != nil {
		return footers{}, fmt.Errorf("read the beginning of the VHD: %w", err)
	}
	copied := candidate{}
	copied.footer, copied.wrong = parseFooter(front, 0)
	f := footers{footer: trailer.footer, at: trailer.at, end: trailer.at}
	switch {
	case trailer.fixed() && (!copied.sound() || copied.fixed()):
		return f, nil // what is at byte 0 are the disk's own bytes
	case trailer.sound() && copied.sound():
		return f, agree(trailer, copied)
	case trailer.sound():
		f.damage = copied.wrong
		return f, nil
	case copied.sound() && !copied.fixed():
		f.footer, f.at, f.damage = copied.footer, copied.at, trailer.wrong
		return f, nil
	case !copied.sound() && hasCookie(front) && trailer.at == size: // two of them are wrong, and only this one is there
		return footers{}, copied.wrong
	default:
		return footers{}, trailer.wrong
	}
}

// readTrailer reads the footer at the end, of 512 bytes or of 511. A file that has none has it behind its end.
func readTrailer(r io.ReaderAt, size int64) (candidate, error) {
	tail := make([]byte, min(size, footerSize))
	if err := diskimage.ReadFull(r, tail, size-int64(len(tail))); err != nil {
		return candidate{}, fmt.Errorf("read the end of the VHD: %w", err)
	}
	c := candidate{at: size, wrong: &diskimage.CorruptError{
		Format: format, Structure: "footer", Offset: max(0, size-footerSize),
		Reason: "the file does not end in a footer: it was cut off, or something follows it",
	}}
	if short := tail[max(0, len(tail)-shortFooterSize):]; hasCookie(tail) {
		c.at = size - int64(len(tail))
		c.footer, c.wrong = parseFooter(tail, c.at)
	} else if hasCookie(short) {
		c.at = size - int64(len(short))
		c.footer, c.wrong = parseFooter(append(short, 0), c.at)
	}
	return c, nil
}

func hasCookie(b []byte) bool {
	return len(b) >= len(footerCookie) && string(b[:len(footerCookie)]) == footerCookie
}

// agree compares what decides about the content of the disk.
func agree(trailer, copied candidate) error {
	conflict := func(field string, value, want any) error {
		return &diskimage.CorruptError{
			Format: format, Structure: "footer", Field: field, Offset: trailer.at, Value: value, Reason: fmt.Sprintf("its copy at byte 0 says %v, and both are sound", want),
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
