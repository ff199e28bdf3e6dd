package vmdk

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/inflate"
)

// structureGrainData begins the name of the structure in every error about the compressed data of a grain.
const structureGrainData = "compressed grain"

// firstRead is how much of a grain is fetched before its length is known. Most grains of a sparse disk fit.
const firstRead = 4096

// scratch is what one reader needs: the inflater's tables, a few KiB of tables for each disk of a chain, and about two grains where they are
// compressed, whatever the image claims.
type scratch struct {
	cursors []cursor // by depth

	grain      []byte  // the last grain that was needed in part
	grainOf    *sparse // whose it is; nil: none
	grainIndex int64
	packed     []byte
	inflater   inflate.Decoder
}

// room is b with a length of n.
func room(b []byte, n int64) []byte {
	if int64(cap(b)) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// packedBound is the longest compressed form of a grain that a sane writer leaves: deflate's stored blocks, with a margin.
func packedBound(grain int64) int64 { return grain + grain/1000 + 64 + sectorSize }

// readInGrain reads part of the grain at a place in the file, from off on in the extent.
func (e *sparse) readInGrain(s *scratch, off, at int64, part []byte) error {
	grain, in := off/e.grain, off%e.grain
	if int64(len(part)) == e.grain {
		return e.unpack(s, grain, at, part)
	}
	if e != s.grainOf || grain != s.grainIndex {
		s.grainOf, s.grain = nil, room(s.grain, e.grain)
		if err := e.unpack(s, grain, at, s.grain); err != nil {
			return err
		}
		s.grainOf, s.grainIndex = e, grain
	}
	copy(part, s.grain[in:])
	return nil
}

// unpack reads the grain at a place in the file into dst, which is a grain long.
func (e *sparse) unpack(s *scratch, grain, at int64, dst []byte) error {
	packed, err := e.readPacked(s, grain, at)
	if err != nil {
		return err
	}
	n, err := s.inflater.Zlib(dst, packed)
	corrupt := func(field string, value any, reason string) error {
		return &diskimage.CorruptError{
			Format: format, Structure: fmt.Sprintf("%s %d", structureGrainData, grain), Field: field, Offset: at, Value: value, Reason: reason,
		}
	}
	full := len(dst)
	rest := int(min(int64(full), e.size-grain*int64(full)))
	switch {
	case errors.Is(err, inflate.ErrTooLong):
		return corrupt("uncompressed length", nil, fmt.Sprintf("the data inflate to more than the %d bytes of a grain", full))
	case err != nil:
		return corrupt("", nil, fmt.Sprintf("the zlib data are damaged after %d bytes: %v", n, err))
	case n == full, n == rest: // the last grain of a disk is stored as a whole grain, or as what is left of the disk
		return nil
	}
	want := fmt.Sprintf("it must be %d", full)
	if rest != full {
		want += fmt.Sprintf(" or, at the end of the disk, %d", rest)
	}
	return corrupt("uncompressed length", n, want)
}

// readPacked reads the grain's own header and the compressed data behind it.
func (e *sparse) readPacked(s *scratch, grain, at int64) ([]byte, error) {
	s.packed = room(s.packed, grainHeaderSize+packedBound(e.grain))
	have := min(firstRead, int64(len(s.packed)), e.file.size-at) // at least grainHeaderSize, by decode
	if err := diskimage.ReadFull(e.file, s.packed[:have], at); err != nil {
		return nil, fmt.Errorf("read grain %d of the VMDK at byte %d: %w", grain, at, err)
	}
	end, err := e.packedEnd(s.packed, grain, at)
	if err != nil {
		return nil, err
	}
	if end > have {
		if err := diskimage.ReadFull(e.file, s.packed[have:end], at+have); err != nil {
			return nil, fmt.Errorf("read grain %d of the VMDK at byte %d: %w", grain, at, err)
		}
	}
	return s.packed[grainHeaderSize:end], nil
}

// packedEnd is how long a grain at a place in the file is there, with its own header, which b begins with.
func (e *sparse) packedEnd(b []byte, grain, at int64) (int64, error) {
	corrupt := func(field string, value any, reason string) (int64, error) {
		return 0, &diskimage.CorruptError{
			Format: format, Structure: fmt.Sprintf("header of grain %d", grain), Field: field, Offset: at, Value: value, Reason: reason,
		}
	}
	le := binary.LittleEndian
	if lba, want := le.Uint64(b), uint64(grain*e.grain/sectorSize); lba != want {
		return corrupt("LBA", lba, fmt.Sprintf("the grain table says that this is the grain of sector %d", want))
	}
	length := le.Uint32(b[8:])
	end := grainHeaderSize + int64(length)
	switch {
	case length == 0:
		return corrupt("compressed size", length, "this is a marker, not a grain")
	case end > grainHeaderSize+packedBound(e.grain):
		return corrupt("compressed size", length, fmt.Sprintf("a grain of %d bytes is never that long", e.grain))
	case end > e.file.size-at:
		return corrupt("compressed size", length, fmt.Sprintf("the file ends after %d bytes: it was cut off, or damaged", e.file.size-at))
	}
	return end, nil
}
