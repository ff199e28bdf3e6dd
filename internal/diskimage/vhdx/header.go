package vhdx

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// header is the current one of the two headers ([MS-VHDX] 2.2.2): it says whether there is a log to replay, and where.
type header struct {
	at         int64
	sequence   uint64
	dataWrite  [16]byte // changes with the content of the disk: what a child knows its parent by
	logGUID    [16]byte
	logVersion uint16
	version    uint16
	logLength  int64
	logOffset  int64
}

// dirty tells whether the log holds writes that never reached their places.
func (h *header) dirty() bool { return h.logGUID != [16]byte{} }

// readHeader takes the valid header with the larger sequence number.
func readHeader(s *source) (header, error) {
	if s.size < headerSectionSize {
		return header{}, corrupt("header section", "", 0, nil,
			fmt.Sprintf("the file ends after %d of its %d bytes: it was cut off", s.size, headerSectionSize))
	}
	identifier := make([]byte, len(fileSignature))
	if err := s.read(identifier, 0, "file type identifier"); err != nil {
		return header{}, err
	}
	if string(identifier) != fileSignature {
		return header{}, corrupt("file type identifier", "Signature", 0, fmt.Sprintf("%q", identifier), `it must be "vhdxfile"`)
	}
	first, second := make([]byte, headerSize), make([]byte, headerSize)
	if err := s.read(first, header1Offset, "first header"); err != nil {
		return header{}, err
	}
	if err := s.read(second, header2Offset, "second header"); err != nil {
		return header{}, err
	}
	one, oneValid := parseHeader(first, header1Offset)
	two, twoValid := parseHeader(second, header2Offset)
	current := one
	switch {
	case !oneValid && !twoValid:
		return header{}, corrupt("headers", "", header1Offset, nil, "neither of the two has the right signature and checksum: the file is damaged")
	case oneValid && twoValid && one.sequence == two.sequence:
		// Disk2VHD writes two equal ones.
		if !bytes.Equal(first, second) {
			return header{}, corrupt("headers", "SequenceNumber", header1Offset, one.sequence,
				"the two headers bear the same number but differ, so that neither is the current one")
		}
	case !oneValid || twoValid && two.sequence > one.sequence:
		current = two
	}
	return current, current.check(s.size)
}

func parseHeader(b []byte, at int64) (h header, valid bool) {
	le := binary.LittleEndian
	if string(b[:4]) != headerSignature || le.Uint32(b[checksumOffset:]) != checksum(b) {
		return header{}, false
	}
	h = header{
		at:         at,
		sequence:   le.Uint64(b[8:]),
		dataWrite:  [16]byte(b[32:48]),
		logGUID:    [16]byte(b[48:64]),
		logVersion: le.Uint16(b[64:]),
		version:    le.Uint16(b[66:]),
		logLength:  int64(le.Uint32(b[68:])),
		logOffset:  int64(min(le.Uint64(b[72:]), 1<<62)), // stays out of every file
	}
	return h, true
}

func (h *header) check(size int64) error {
	bad := func(field string, value any, reason string) error {
		return corrupt("header", field, h.at, value, reason)
	}
	switch {
	case h.version != 1:
		return bad("Version", h.version, "only version 1 exists")
	case h.dirty() && h.logVersion != 0:
		return bad("LogVersion", h.logVersion, "only version 0 exists, and there is a log to replay")
	case h.logLength == 0 && h.dirty():
		return bad("LogLength", h.logLength, fmt.Sprintf("there is a log to replay (LogGuid %s), but no room for it", readGUID(h.logGUID[:])))
	case h.logLength == 0:
		return nil
	case h.logLength%mib != 0:
		return bad("LogLength", h.logLength, "it must be a multiple of 1 MiB")
	case h.logOffset < headerSectionSize || h.logOffset%mib != 0:
		return bad("LogOffset", h.logOffset, "it must be a multiple of 1 MiB, behind the header section")
	case h.logOffset > size-h.logLength:
		return bad("LogOffset", h.logOffset, fmt.Sprintf("a log of %d bytes there does not fit into the file of %d bytes", h.logLength, size))
	}
	return nil
}
