package vhdx

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sort"
)

// replayLog lays the writes of the log over the file ([MS-VHDX] 2.3.3). It comes before everything behind the headers, because the log may hold
// the region tables, the metadata and the BAT: a reader that ignores it gets a wrong disk that looks sound.
func replayLog(s *source, h *header) error {
	r := &ring{s: s, at: h.logOffset, length: h.logLength, guid: h.logGUID}
	entries, err := r.entries()
	if err != nil {
		return err
	}
	active := activeSequence(entries, r.length)
	if len(active) == 0 {
		return corrupt("log", "", r.at, nil, fmt.Sprintf("the header says that the file was not closed cleanly (LogGuid %s), "+
			"but the log holds no sequence of entries to replay", h.logGUID))
	}
	var writes []write
	var p promise
	for _, k := range active {
		if writes, p, err = r.writes(writes, &entries[k]); err != nil {
			return err
		}
	}
	if p.flushed > uint64(s.size) {
		return corrupt("log entry", "FlushedFileOffset", r.at+entries[active[len(active)-1]].at, p.flushed,
			fmt.Sprintf("the file is only %d bytes long: it was cut off", s.size))
	}
	s.over, s.end = newOverlay(writes), max(s.size, int64(p.last))
	return nil
}

// promise is what an entry says about the length of the file.
type promise struct {
	flushed uint64 // it was at least this long, on the disk
	last    uint64 // it has to be this long, for all that is in it
}

// ring is the log: a ring of sectors of 4 KiB, in which an entry may wrap.
type ring struct {
	s      *source
	at     int64 // in the file
	length int64
	guid   guidText

	window      []byte // sectors are read together
	windowStart int64
}

// entry is what the search has to know of a valid entry (2.3.1.1).
type entry struct {
	at, length  int64 // in the ring
	tail        int64 // where in the ring the oldest entry begins that was needed when this one was written
	sequence    uint64
	descriptors uint32
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
		if err := r.s.read(r.window, r.at+start, "log"); err != nil {
			return nil, err
		}
		r.windowStart = start
	}
	return r.window[at-r.windowStart:][:logSector], nil
}

// entries finds every valid entry, ordered by place. No sector inside a valid entry begins like an entry, so that they never overlap, and a log
// made of beginnings only costs no more than one pass: each attempt ends at the next beginning.
func (r *ring) entries() ([]entry, error) {
	var found []entry
	for at := int64(0); at < r.length; {
		e, valid, err := r.entry(at)
		if err != nil {
			return nil, err
		}
		if !valid {
			at += logSector
			continue
		}
		found = append(found, e)
		at += e.length
	}
	return found, nil
}

// entry looks at the place for an entry that was written completely: the checksum holds, and every sector and descriptor bears its sequence
// number. What is not valid is no error: writing it was interrupted, or it is of an earlier use of the log.
func (r *ring) entry(at int64) (e entry, valid bool, err error) {
	b, err := r.sector(at)
	if err != nil {
		return e, false, err
	}
	le := binary.LittleEndian
	if string(b[:4]) != logEntrySignature || readGUID(b[32:]) != r.guid {
		return e, false, nil
	}
	e = entry{
		at:          at,
		length:      int64(le.Uint32(b[8:])),
		tail:        int64(le.Uint32(b[12:])),
		sequence:    le.Uint64(b[16:]),
		descriptors: le.Uint32(b[24:]),
	}
	if e.length%logSector != 0 || e.length < e.descriptorBytes() || e.length > r.length || e.tail%logSector != 0 || e.sequence == 0 {
		return e, false, nil
	}
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
		for _, d := range e.descriptorsIn(b, in) {
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

// descriptorsIn cuts the sector at the place in the entry into its descriptors.
func (e *entry) descriptorsIn(b []byte, in int64) [][]byte {
	end := min(logEntryHeaderSize+int64(e.descriptors)*logDescriptorSize-in, logSector)
	begin := max(0, logEntryHeaderSize-in)
	var found [][]byte
	for ; begin < end; begin += logDescriptorSize {
		found = append(found, b[begin:][:logDescriptorSize])
	}
	return found
}

// activeSequence gives the entries to replay, by index, in order. A sequence is valid entries one behind the other in the ring, with consecutive numbers; it
// counts if the tail that its last entry names begins an entry of it; of several, the one whose last entry has the largest number is active, and
// is replayed from that tail on (2.3.2). qemu compares the first entries and ignores the tail, and loses writes of a log that wraps; this follows
// the specification and microsoft/openvmm, vhdx/src/log.rs.
func activeSequence(entries []entry, length int64) []int32 {
	at := func(place int64) int32 { // the entry that begins there, or -1
		k := sort.Search(len(entries), func(k int) bool { return entries[k].at >= place })
		if k == len(entries) || entries[k].at != place {
			return -1
		}
		return int32(k)
	}
	next := make([]int32, len(entries))
	continues := make([]bool, len(entries))
	for k := range entries {
		e := &entries[k]
		n := at((e.at + e.length) % length)
		if n >= 0 && entries[n].sequence != e.sequence+1 {
			n = -1
		}
		if next[k] = n; n >= 0 {
			continues[n] = true
		}
	}
	tail, last := int32(-1), int32(-1)
	for first := range entries {
		if continues[first] {
			continue
		}
		end := int32(first)
		for next[end] >= 0 {
			end = next[end]
		}
		oldest := at(entries[end].tail)
		for k := int32(first); k >= 0 && oldest >= 0; k = next[k] {
			if k == oldest && (last < 0 || entries[end].sequence > entries[last].sequence) {
				tail, last = oldest, end
			}
		}
	}
	var active []int32
	for k := tail; k >= 0; k = next[k] {
		active = append(active, k)
	}
	return active
}

// writes appends the writes of an entry.
func (r *ring) writes(to []write, e *entry) ([]write, promise, error) {
	le := binary.LittleEndian
	var p promise
	page := e.at + e.descriptorBytes() // in the ring, where the next data sector is
	for in := int64(0); in < e.descriptorBytes(); in += logSector {
		b, err := r.sector(e.at + in)
		if err != nil {
			return nil, p, err
		}
		if in == 0 {
			p = promise{flushed: le.Uint64(b[48:]), last: le.Uint64(b[56:])}
			if p.last > maxFileSize {
				return nil, p, corrupt("log entry", "LastFileOffset", r.at+e.at, p.last, fmt.Sprintf("no VHDX file is longer than %d bytes", int64(maxFileSize)))
			}
		}
		for _, d := range e.descriptorsIn(b, in) {
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
			if reason := r.badTarget(start, length, p.last); reason != "" {
				return nil, p, corrupt("log entry", "FileOffset", r.at+e.at, start, reason)
			}
			if len(to) == maxLogWrites {
				return nil, p, corrupt("log", "", r.at, nil, fmt.Sprintf("it holds more than %d writes, which only a crafted one does", maxLogWrites))
			}
			w.start, w.end = int64(start), int64(start+length)
			to = append(to, w)
		}
	}
	return to, p, nil
}

// badTarget refuses a write that no writer logs. The entry's checksum holds, so that it was not damaged on the way: the file is crafted, or a
// writer is broken.
func (r *ring) badTarget(start, length, last uint64) string {
	bound := max(uint64(r.s.size), last)
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
