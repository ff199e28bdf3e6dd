package vmdk

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// Constants of the seSparse extents of ESXi. VMware has not published the format; this follows qemu's block/vmdk.c, and is as strict. Little-endian.
const (
	sesparseVolatileMagic = 0xcafe_cafe
	sesparseGrain         = 8  // sectors
	sesparseTable         = 64 // sectors
	sesparseTableEntries  = sesparseTable * sectorSize / 8

	sesparseTablePresent = 0x1000_0000 // upper half of an entry of the directory
)

// Places of sizes and offsets in the constant header, in bytes.
const (
	sesparseVolatile  = 80
	sesparseDirectory = 128
	sesparseTables    = 144
	sesparseGrains    = 192
	sesparseEnd       = 208 // all that is behind is zero
)

// openSESparse reads the headers of an extent of ESXi.
func openSESparse(f *file) (*sparse, []string, error) {
	b := make([]byte, sectorSize)
	corrupt := func(structure, field string, at int64, value any, reason string) error {
		return &diskimage.CorruptError{Format: format, Structure: structure, Field: field, Offset: at, Value: value, Reason: reason}
	}
	if f.size < sectorSize {
		return nil, nil, corrupt("seSparse header", "", 0, nil, fmt.Sprintf("the file ends after %d of its %d bytes", f.size, sectorSize))
	}
	if err := diskimage.ReadFull(f, b, 0); err != nil {
		return nil, nil, fmt.Errorf("read the seSparse header: %w", err)
	}
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	for _, want := range []struct {
		field string
		at    int
		value uint64
	}{{"grainSize", 24, sesparseGrain}, {"grainTableSize", 32, sesparseTable}, {"flags", 40, 0}} {
		if v := u64(want.at); v != want.value {
			return nil, nil, &diskimage.UnsupportedError{
				Format: format, SubFormat: "seSparse", Reason: fmt.Sprintf("its header has %s = %d, only %d is known", want.field, v, want.value), Cure: esxCure,
			}
		}
	}
	if !allZero(b[48:sesparseVolatile]) || !allZero(b[sesparseEnd:]) {
		return nil, nil, &diskimage.UnsupportedError{
			Format: format, SubFormat: "seSparse", Reason: "its header has values where only zeros are known", Cure: esxCure,
		}
	}
	capacity := u64(16)
	switch {
	case capacity == 0:
		return nil, nil, corrupt("seSparse header", "capacity", 0, capacity, "the extent would be empty")
	case capacity > maxCapacityBytes/sectorSize:
		return nil, nil, corrupt("seSparse header", "capacity", 0, capacity, "it is more than 64 TiB, the most that the format can hold")
	}
	// A part of the file is an offset and a size, both in sectors.
	part := func(field string, at int, needed uint64) (offset int64, size uint64, err error) {
		from, size := u64(at), u64(at+8)
		if size < needed {
			return 0, 0, corrupt("seSparse header", "size of the "+field, 0, size, fmt.Sprintf("it must be %d sectors at least", needed))
		}
		if from == 0 || !inFile(from, int64(needed)*sectorSize, f.size) {
			return 0, 0, corrupt("seSparse header", "offset of the "+field, 0, from,
				fmt.Sprintf("%d sectors there do not fit into the file of %d bytes: it was cut off, or damaged", needed, f.size))
		}
		return int64(from) * sectorSize, size, nil
	}
	e := newSparse(f, int64(capacity)*sectorSize, sesparseGrain*sectorSize, sesparseTableEntries, 8)
	volatile, _, err := part("volatile header", sesparseVolatile, 1)
	if err != nil {
		return nil, nil, err
	}
	if e.directory, _, err = part("grain directory", sesparseDirectory, uint64(divUp(8*e.entries, sectorSize))); err != nil {
		return nil, nil, err
	}
	tables, tablesSize, err := part("grain tables", sesparseTables, 0)
	if err != nil {
		return nil, nil, err
	}
	grains, grainsSize, err := part("grains", sesparseGrains, 0)
	if err != nil {
		return nil, nil, err
	}
	e.tableAt = func(entry uint64) (int64, string) {
		index := entry & 0xffff_ffff
		switch {
		case entry == 0:
			return 0, ""
		case entry>>32 != sesparseTablePresent:
			return 0, "its upper half must be 0x10000000"
		case index >= tablesSize/sesparseTable:
			return 0, fmt.Sprintf("there is room for %d grain tables", tablesSize/sesparseTable)
		}
		return tables + int64(index)*sesparseTable*sectorSize, ""
	}
	e.grainAt = func(entry uint64) (kind, int64, string) {
		switch entry >> 60 {
		case 0:
			if entry != 0 {
				return absent, 0, "an entry that is absent must be 0"
			}
			return absent, 0, ""
		case 1, 2: // unmapped by the guest; zeros
			return zeros, 0, ""
		case 3:
			index := entry>>48&0xfff | entry<<16>>4
			if index >= grainsSize/sesparseGrain {
				return absent, 0, fmt.Sprintf("there is room for %d grains", grainsSize/sesparseGrain)
			}
			index = min(index, uint64(f.size)/(sesparseGrain*sectorSize)+1) // which is behind the file too, and does not overflow
			return stored, grains + int64(index)*sesparseGrain*sectorSize, ""
		}
		return absent, 0, "its type must be 0 to 3"
	}
	return e, nil, checkVolatile(f, volatile)
}

// checkVolatile refuses an extent whose journal was not replayed: what the journal holds is missing in the tables.
func checkVolatile(f *file, at int64) error {
	b := make([]byte, sectorSize)
	if err := diskimage.ReadFull(f, b, at); err != nil {
		return fmt.Errorf("read the volatile header of seSparse at byte %d: %w", at, err)
	}
	le := binary.LittleEndian
	if m := le.Uint64(b); m != sesparseVolatileMagic {
		return &diskimage.CorruptError{
			Format: format, Structure: "seSparse volatile header", Field: "magic", Offset: at, Value: fmt.Sprintf("0x%x", m), Reason: "it must be 0xcafecafe",
		}
	}
	if le.Uint64(b[24:]) != 0 {
		return &diskimage.UnsupportedError{
			Format: format, SubFormat: "seSparse",
			Reason: "it was not closed: its journal holds changes that are not in its tables, and is not read here", Cure: esxCure,
		}
	}
	if !allZero(b[32:]) {
		return &diskimage.UnsupportedError{
			Format: format, SubFormat: "seSparse", Reason: "its volatile header has values where only zeros are known", Cure: esxCure,
		}
	}
	return nil
}

func allZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }
