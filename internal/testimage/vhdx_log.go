package testimage

import (
	"encoding/binary"
	"slices"
)

// SetLogGUID says in both headers that the log has to be replayed: the file was not closed cleanly.
func (f *VHDXFile) SetLogGUID(id string) {
	copy(f.Data[VHDXHeader1+48:], VHDXGUID(id))
	copy(f.Data[VHDXHeader2+48:], VHDXGUID(id))
	f.Sum()
}

// VHDXWrite is one write in a log: a page of 4 KiB, or a range of zeros.
type VHDXWrite struct {
	Offset uint64
	Page   []byte
	Zero   uint64
}

// Page is a write of what is in the file now.
func (f *VHDXFile) Page(at int64) VHDXWrite {
	at -= at % 4096
	return VHDXWrite{Offset: uint64(at), Page: slices.Clone(f.Data[at : at+4096])}
}

// VHDXLogEntry describes an entry of the log ([MS-VHDX] 2.3.1).
type VHDXLogEntry struct {
	GUID          string
	Sequence      uint64
	Tail          int64 // in the log
	Flushed, Last int64
	Writes        []VHDXWrite
}

// Bytes makes the entry. SumVHDXLogEntry makes its checksum right again after a change.
func (e VHDXLogEntry) Bytes() []byte {
	le := binary.LittleEndian
	b := make([]byte, (64+32*len(e.Writes)+4095)/4096*4096)
	copy(b, "loge")
	le.PutUint32(b[12:], uint32(e.Tail))
	le.PutUint64(b[16:], e.Sequence)
	le.PutUint32(b[24:], uint32(len(e.Writes)))
	copy(b[32:], VHDXGUID(e.GUID))
	le.PutUint64(b[48:], uint64(e.Flushed))
	le.PutUint64(b[56:], uint64(e.Last))
	for k, w := range e.Writes {
		d := b[64+32*k:]
		le.PutUint64(d[16:], w.Offset)
		le.PutUint64(d[24:], e.Sequence)
		if w.Page == nil {
			copy(d, "zero")
			le.PutUint64(d[8:], w.Zero)
			continue
		}
		copy(d, "desc")
		copy(d[4:], w.Page[4092:])
		copy(d[8:], w.Page[:8])
		sector := slices.Clone(w.Page)
		copy(sector, "data")
		le.PutUint32(sector[4:], uint32(e.Sequence>>32))
		le.PutUint32(sector[4092:], uint32(e.Sequence))
		b = append(b, sector...)
	}
	le.PutUint32(b[8:], uint32(len(b)))
	SumVHDXLogEntry(b)
	return b
}

// SumVHDXLogEntry makes the checksum of an entry right.
func SumVHDXLogEntry(entry []byte) { sumVHDX(entry) }

// WriteLog puts bytes into the log, which is a ring, and returns where they end.
func (f *VHDXFile) WriteLog(at int64, b []byte) int64 {
	for len(b) > 0 {
		at %= f.LogSize
		n := copy(f.Data[f.Log+at:f.Log+f.LogSize], b)
		b, at = b[n:], at+int64(n)
	}
	return at % f.LogSize
}

// SumLog makes the checksums of all entries in the log right, as far as their lengths make sense.
func (f *VHDXFile) SumLog() {
	log := f.Data[f.Log : f.Log+f.LogSize]
	for at := int64(0); at < f.LogSize; at += 4096 {
		length := int64(binary.LittleEndian.Uint32(log[at+8:]))
		if string(log[at:at+4]) == "loge" && length >= 4096 && length <= f.LogSize {
			e := slices.Clone(slices.Concat(log[at:], log)[:length])
			SumVHDXLogEntry(e)
			f.WriteLog(at, e[:4096])
		}
	}
}
