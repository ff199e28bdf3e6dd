package vhdx

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"iter"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// replayLog lays the writes of the log over the file ([MS-VHDX] 2.3.3). It comes before everything behind the headers, because the log may hold
// the region tables, the metadata and the BAT: a reader that ignores it gets a wrong disk that looks sound.
func replayLog(s *source, h *header, used *budget) error {
	if used.log += h.logLength; used.log > maxLogSize {
		return &diskimage.UnsupportedError{
			Format: format, Reason: fmt.Sprintf("it was not closed cleanly, and with its log %d bytes of logs would have to be replayed, more than are here", used.log),
			Cure: replayCure,
		}
	}
	r := &ring{s: s, at: h.logOffset, length: h.logLength, guid: h.logGUID}
	active, found, err := r.activeSequence()
	if err != nil {
		return err
	}
	if !found {
		return corrupt("log", "", r.at, nil, fmt.Sprintf("the header says that the file was not closed cleanly (LogGuid %s), "+
			"but the log holds no sequence of entries to replay", readGUID(h.logGUID[:])))
	}
	total := int64(0)
	for e, err := range r.replayed(active) {
		if err != nil {
			return err
		}
		total += int64(e.descriptors)
		if used.writes += int64(e.descriptors); used.writes > maxLogWrites {
			return corrupt("log", "", r.at, nil, fmt.Sprintf("it holds more than %d writes, which only a crafted one does", maxLogWrites))
		}
	}
	writes := make([]write, 0, total)
	var last entry
	for e, err := range r.replayed(active) {
		if err != nil {
			return err
		}
		if e.fileEnd > maxFileSize {
			return corrupt("log entry", "LastFileOffset", r.at+e.at, e.fileEnd, fmt.Sprintf("no VHDX file is longer than %d bytes", int64(maxFileSize)))
		}
		if writes, err = r.writes(writes, &e); err != nil {
			return err
		}
		last = e
	}
	if last.flushed > uint64(s.size) {
		return corrupt("log entry", "FlushedFileOffset", r.at+last.at, last.flushed, fmt.Sprintf("the file is only %d bytes long: it was cut off", s.size))
	}
	s.over, s.end = newOverlay(writes), max(s.size, int64(last.fileEnd))
	return nil
}

// replayCure: Windows replays the log when it attaches the disk. qemu-img does too (`check -r all`), but not all of a log that wraps.
const replayCure = "have Hyper-V replay the log: `Mount-VHD -Path SRC.vhdx -NoDriveLetter; Dismount-VHD -Path SRC.vhdx` (PowerShell)"

// sequence is valid entries one behind the other in the ring, with consecutive numbers (2.3.2).
type sequence struct {
	start, end  int64  // in the ring; the end may be behind the ring's, where the sequence wraps
	first, last uint64 // sequence numbers
	tail        int64  // of the last entry
	replay      int64  // from where on it is replayed: the tail, counted like start and end
}

// activeSequence finds the sequence to replay: of those in which the tail that the last entry names begins an entry, the one whose last entry has
// the largest number. qemu compares the first entries and ignores the tail, and so loses writes of a log that wraps; this follows the
// specification and microsoft/openvmm, vhdx/src/log.rs. What is kept while the ring is searched does not grow with it, and no sector inside a
// valid entry begins like an entry: each attempt ends at the next beginning, so that a log made of beginnings costs no more than any other.
func (r *ring) activeSequence() (active sequence, found bool, err error) {
	consider := func(q *sequence) error {
		if q == nil || found && q.last <= active.last {
			return nil
		}
		ok, err := r.findTail(q)
		if ok {
			active, found = *q, true
		}
		return err
	}
	var first, current *sequence // first waits until the end: the sequence that wraps may go on in it
	for at := int64(0); at < r.length; {
		e, valid, err := r.entry(at)
		if err != nil {
			return active, false, err
		}
		if !valid {
			at += logSector
			continue
		}
		if current == nil || current.end != at || current.last+1 != e.sequence {
			if first == nil {
				first = current
			} else if err := consider(current); err != nil {
				return active, false, err
			}
			current = &sequence{start: at, first: e.sequence}
		}
		at += e.length
		current.end, current.last, current.tail = at, e.sequence, e.tail
	}
	if first != nil && current.end == first.start+r.length && current.last+1 == first.first {
		current.end, current.last, current.tail = first.end+r.length, first.last, first.tail
		first = nil
	}
	if err := consider(first); err != nil {
		return active, false, err
	}
	return active, found, consider(current)
}

// findTail tells whether the tail that the last entry names begins an entry of the sequence.
func (r *ring) findTail(q *sequence) (bool, error) {
	for at := q.start; at < q.end; {
		e, err := r.again(at)
		if err != nil {
			return false, err
		}
		if at%r.length == q.tail {
			q.replay = at
			return true, nil
		}
		at += e.length
	}
	return false, nil
}

// replayed yields the entries of a sequence from the tail on.
func (r *ring) replayed(q sequence) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		for at := q.replay; at < q.end; {
			e, err := r.again(at)
			if !yield(e, err) || err != nil {
				return
			}
			at += e.length
		}
	}
}

// again reads the header of an entry that was found to be valid.
func (r *ring) again(at int64) (entry, error) {
	b, err := r.sector(at)
	if err != nil {
		return entry{}, err
	}
	e, ok := r.parse(b, at%r.length)
	if !ok {
		return e, corrupt("log entry", "", r.at+at%r.length, nil, "it changed while it was read")
	}
	return e, nil
}

// ring is the log: a ring of sectors of 4 KiB, in which an entry may wrap.
type ring struct {
	s      *source
	at     int64 // in the file
	length int64
	guid   [16]byte

	window      []byte // sectors are read together
	windowStart int64
}

// sector gives a sector of the ring; it is valid until the next call.
func (r *ring) sector(at int64) ([]byte, error) {
	at %= r.length
	if r.window == nil || at < r.windowStart || at >= r.windowStart+int64(len(r.window)) {
		start := at - at%mib // a log is a multiple of 1 MiB long
		if r.window == nil {
			r.window = make([]byte, mib)
		}
		r.windowStart = -mib
		if err := r.s.read(r.window, r.at+start, "log (the disk was not closed cleanly, and what was written last is there)"); err != nil {
			return nil, err
		}
		r.windowStart = start
	}
	return r.window[at-r.windowStart:][:logSector], nil
}

// entry is the header of an entry (2.3.1.1).
type entry struct {
	at, length  int64 // in the ring
	tail        int64 // where in the ring the oldest entry begins that was still needed when this one was written
	sequence    uint64
	descriptors uint32
	flushed     uint64 // the file was at least this long, on the disk
	fileEnd     uint64 // the file has to be this long for all that is in it
}

// parse checks what the sector with the header can show.
func (r *ring) parse(b []byte, at int64) (e entry, ok bool) {
	le := binary.LittleEndian
	if string(b[:4]) != logEntrySignature || [16]byte(b[32:48]) != r.guid {
		return e, false
	}
	e = entry{
		at:          at,
		length:      int64(le.Uint32(b[8:])),
		tail:        int64(le.Uint32(b[12:])),
		sequence:    le.Uint64(b[16:]),
		descriptors: le.Uint32(b[24:]),
		flushed:     le.Uint64(b[48:]),
		fileEnd:     le.Uint64(b[56:]),
	}
	return e, e.length%logSector == 0 && e.length >= e.descriptorBytes() && e.length <= r.length && e.sequence != 0
}

// entry looks at a place for an entry that was written completely: the checksum holds, and every sector and descriptor bears its sequence number.
// What is not valid is no error: writing it was interrupted, or it is of an earlier use of the log.
func (r *ring) entry(at int64) (e entry, valid bool, err error) {
	b, err := r.sector(at)
	if err != nil {
		return e, false, err
	}
	e, ok := r.parse(b, at)
	if !ok {
		return e, false, nil
	}
	le := binary.LittleEndian
	want, sum, pages := le.Uint32(b[checksumOffset:]), checksum(b), int64(0)
	for in := int64(0); in < e.length; in += logSector {
		if in > 0 {
			if b, err = r.sector(at + in); err != nil {
				return e, false, err
			}
			sum = crc32.Update(sum, castagnoli, b)
		}
		if in >= e.descriptorBytes() {
			number := uint64(le.Uint32(b[4:]))<<32 | uint64(le.Uint32(b[logSector-logTrailingBytes:]))
			if string(b[:4]) != logDataSignature || number != e.sequence {
				return e, false, nil
			}
			continue
		}
		for d := range e.descriptorsIn(b, in) {
			switch string(d[:4]) {
			case logPageSignature:
				pages++
			case logZeroSignature:
			default:
				return e, false, nil
			}
			if le.Uint64(d[24:]) != e.sequence {
				return e, false, nil
			}
		}
	}
	return e, sum == want && e.length == e.descriptorBytes()+pages*logSector, nil
}

// descriptorBytes is how long the header and the descriptors are, in whole sectors; the data sectors follow.
func (e *entry) descriptorBytes() int64 {
	return divUp(logEntryHeaderSize+int64(e.descriptors)*logDescriptorSize, logSector) * logSector
}

// descriptorsIn cuts a sector, at a place in the entry, into its descriptors.
func (e *entry) descriptorsIn(b []byte, in int64) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		end := min(logEntryHeaderSize+int64(e.descriptors)*logDescriptorSize-in, logSector)
		for at := max(0, logEntryHeaderSize-in); at < end; at += logDescriptorSize {
			if !yield(b[at:][:logDescriptorSize]) {
				return
			}
		}
	}
}

// writes appends the writes of an entry (2.3.1.2, 2.3.1.3).
func (r *ring) writes(to []write, e *entry) ([]write, error) {
	le := binary.LittleEndian
	page := e.at + e.descriptorBytes() // in the ring, where the next data sector is
	for in := int64(0); in < e.descriptorBytes(); in += logSector {
		b, err := r.sector(e.at + in)
		if err != nil {
			return nil, err
		}
		for d := range e.descriptorsIn(b, in) {
			start, length := le.Uint64(d[16:]), uint64(logSector)
			w := write{}
			if string(d[:4]) == logZeroSignature {
				if length = le.Uint64(d[8:]); length == 0 {
					continue
				}
			} else {
				w.data = r.at + page%r.length
				page += logSector
				copy(w.trailing[:], d[4:])
				copy(w.leading[:], d[8:])
			}
			if reason := r.badTarget(start, length, e.fileEnd); reason != "" {
				return nil, corrupt("log entry", "FileOffset", r.at+e.at, start, reason)
			}
			w.start, w.end = int64(start), int64(start+length)
			to = append(to, w)
		}
	}
	return to, nil
}

// badTarget refuses a write that no writer logs. The entry's checksum holds, so that it was not damaged on the way: the file is crafted, or a
// writer is broken.
func (r *ring) badTarget(start, length, fileEnd uint64) string {
	bound := max(uint64(r.s.size), fileEnd)
	switch {
	case start%logSector != 0 || length%logSector != 0:
		return fmt.Sprintf("a write of %d bytes there is not aligned to 4 KiB", length)
	case start < loggableOffset:
		return "the log does not write to the headers"
	case start > bound || length > bound-start:
		return fmt.Sprintf("a write of %d bytes there ends behind the file's end, %d", length, bound)
	case start < uint64(r.at+r.length) && start+length > uint64(r.at):
		return fmt.Sprintf("a write of %d bytes there would overwrite the log", length)
	}
	return ""
}
