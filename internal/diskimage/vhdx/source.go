package vhdx

import (
	"fmt"
	"io"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// source is the file as it would be after its log was replayed: the writes that the log holds lie over the file's own bytes.
type source struct {
	file io.ReaderAt
	size int64 // of the file
	end  int64 // of the file after the replay, which may make it longer
	over *overlay
}

// read fills p from the offset at; what names the structure in errors. The caller has held the range against end.
func (s *source) read(p []byte, at int64, what string) error {
	if err := s.readFull(p, at); err != nil {
		return fmt.Errorf("read the VHDX %s at byte %d: %w", what, at, err)
	}
	return nil
}

func (s *source) readFull(p []byte, at int64) error {
	if s.over == nil {
		return s.readFile(p, at)
	}
	for len(p) > 0 {
		w, end := s.over.find(at)
		n := min(int64(len(p)), end-at)
		var err error
		switch {
		case w == nil:
			err = s.readFile(p[:n], at)
		case w.zero():
			clear(p[:n])
		default:
			err = s.readPage(p[:n], at, w)
		}
		if err != nil {
			return err
		}
		p, at = p[n:], at+n
	}
	return nil
}

// readFile reads the file's own bytes. Where the replay makes the file longer, the new part is zeros.
func (s *source) readFile(p []byte, at int64) error {
	if at < 0 || int64(len(p)) > s.end-at {
		return io.ErrUnexpectedEOF
	}
	inside := max(0, min(int64(len(p)), s.size-at))
	clear(p[inside:])
	return diskimage.ReadFull(s.file, p[:inside], at)
}

// readPage reads a part of a page that is in the log. The log keeps the first 8 and the last 4 bytes of a page in its descriptor ([MS-VHDX]
// 2.3.1.3), because their places in the data sector serve to tell torn writes.
func (s *source) readPage(p []byte, at int64, w *write) error {
	in := at - w.start
	if err := s.readFile(p, w.data+in); err != nil {
		return err
	}
	if in < logLeadingBytes {
		copy(p, w.leading[in:])
	}
	if tail := int64(logSector - logTrailingBytes); in+int64(len(p)) > tail {
		from := max(in, tail)
		copy(p[from-in:], w.trailing[from-tail:])
	}
	return nil
}

// stored finds the first bytes of a part of the file that may be something else than zeros: that the file does not store as a hole, or a page that the
// log writes. It goes on behind need only as far as that costs no more: a log may have many ranges of zeros, which are not to be gone through again for
// each block between them. Where it has found nothing, both results are how far it went.
func (s *source) stored(at, need, end int64) (from, to int64, err error) {
	for at < need {
		until := end
		if s.over != nil {
			w, next := s.over.find(at)
			until = min(next, end)
			switch {
			case w == nil:
			case w.zero():
				at = until
				continue
			default:
				return at, until, nil
			}
		}
		for e, err := range diskimage.StoredRuns(s.file, at, min(until, s.size)-at) {
			if err != nil {
				return 0, 0, fmt.Errorf("find the holes of the VHDX file behind byte %d: %w", at, err)
			}
			return e.Offset, e.End(), nil
		}
		at = until
	}
	return at, at, nil
}
