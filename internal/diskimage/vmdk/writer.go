package vmdk

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// The geometry that VMware's own tools write.
const (
	writtenGrain      = 128 * sectorSize
	writtenGTEs       = 512
	writtenOverHead   = 128 // sectors before the first grain
	writtenDescriptor = 20  // sectors
)

// WriteStreamOptimized writes the disk as a stream-optimized VMDK: from front to back without seeking, with the grain directory and the footer at
// the end, as ESXi exports it. Grains of zeros are left out. The same disk gives the same bytes. A VMDK counts its capacity in sectors: a disk whose
// size is no multiple of 512 becomes one of the next multiple, and what was added reads as zeros.
func WriteStreamOptimized(ctx context.Context, w io.Writer, img diskimage.Image) error {
	if img.Size() <= 0 || img.Size() > maxCapacityBytes {
		return fmt.Errorf("write a VMDK of %d bytes: it must have 1 byte to 64 TiB", img.Size())
	}
	s := newStream(w, img.Size())
	if err := s.begin(); err != nil {
		return err
	}
	next, end := int64(0), int64(0) // the first grain that is not yet decided, and where the last extent ended
	for e, err := range img.Extents() {
		if err != nil {
			return fmt.Errorf("find the data of the disk: %w", err)
		}
		if e.Length <= 0 || e.Offset < end || e.Offset > img.Size() || e.Length > img.Size()-e.Offset { // a grain may have been passed over
			return fmt.Errorf("find the data of the disk: extent %+v after offset %d in a disk of %d bytes: this is a bug of the format's reader",
				e, end, img.Size())
		}
		end = e.End()
		if e.Zero {
			continue
		}
		for g := max(next, e.Offset/writtenGrain); g*writtenGrain < e.End(); g++ {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := s.copyGrain(img, g); err != nil {
				return err
			}
			next = g + 1
		}
	}
	return s.end()
}

// stream is a VMDK that is being written.
type stream struct {
	w      io.Writer
	at     int64 // bytes written; always whole sectors between calls
	header header

	gd      []uint32
	gt      []uint32 // of gtIndex, not yet written
	gtIndex int64
	gtUsed  bool

	grain    []byte
	zeros    []byte
	packed   bytes.Buffer
	deflater *zlib.Writer
}

func newStream(w io.Writer, size int64) *stream {
	s := &stream{
		w: w, gt: make([]uint32, writtenGTEs), grain: make([]byte, writtenGrain), zeros: make([]byte, writtenGrain),
		header: header{
			version: 3, flags: flagNewlineTest | flagCompressed | flagMarkers, capacity: uint64(divUp(size, sectorSize)),
			grainSize: writtenGrain / sectorSize, descriptorOffset: 1, descriptorSize: writtenDescriptor, numGTEsPerGT: writtenGTEs,
			gdOffset: gdAtEnd, overHead: writtenOverHead, compressAlgo: compressionDeflate,
		},
	}
	s.gd = make([]uint32, s.header.gdEntries())
	s.deflater = zlib.NewWriter(&s.packed)
	return s
}

func (s *stream) begin() error {
	front := make([]byte, writtenOverHead*sectorSize)
	copy(front, s.header.encode())
	if n := copy(front[sectorSize:(1+writtenDescriptor)*sectorSize], describe(s.header.capacity)); n == writtenDescriptor*sectorSize {
		return errors.New("write the VMDK descriptor: it is too long")
	}
	return s.write(front)
}

func (s *stream) copyGrain(img diskimage.Image, grain int64) error {
	clear(s.grain)
	at := grain * writtenGrain
	b := s.grain[:min(writtenGrain, img.Size()-at)]
	if n, err := img.ReadAt(b, at); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read %d bytes of the disk at offset %d: %w", len(b), at, err)
	}
	if bytes.Equal(s.grain, s.zeros) {
		return nil
	}
	if err := s.openTable(grain / writtenGTEs); err != nil {
		return err
	}
	sector, err := s.sector()
	if err != nil {
		return err
	}
	s.gt[grain%writtenGTEs] = sector
	s.gtUsed = true

	s.packed.Reset()
	s.packed.Write(make([]byte, grainHeaderSize))
	s.deflater.Reset(&s.packed)
	if _, err := s.deflater.Write(s.grain); err != nil {
		return fmt.Errorf("compress grain %d: %w", grain, err)
	}
	if err := s.deflater.Close(); err != nil {
		return fmt.Errorf("compress grain %d: %w", grain, err)
	}
	b = s.packed.Bytes()
	binary.LittleEndian.PutUint64(b, uint64(grain)*s.header.grainSize)
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)-grainHeaderSize))
	return s.write(b)
}

// openTable writes the table at hand when the stream has come to the grains of another one.
func (s *stream) openTable(index int64) error {
	if index == s.gtIndex {
		return nil
	}
	if err := s.closeTable(); err != nil {
		return err
	}
	s.gtIndex = index
	return nil
}

func (s *stream) closeTable() error {
	if !s.gtUsed {
		return nil
	}
	if err := s.marker(markerGrainTable, writtenGTEs*4/sectorSize); err != nil {
		return err
	}
	sector, err := s.sector()
	if err != nil {
		return err
	}
	s.gd[s.gtIndex] = sector
	if err := s.write(encodeEntries(s.gt)); err != nil {
		return err
	}
	clear(s.gt)
	s.gtUsed = false
	return nil
}

func (s *stream) end() error {
	if err := s.closeTable(); err != nil {
		return err
	}
	gd := encodeEntries(s.gd)
	if err := s.marker(markerGrainDirectory, divUp(int64(len(gd)), sectorSize)); err != nil {
		return err
	}
	sector, err := s.sector()
	if err != nil {
		return err
	}
	if err := s.write(gd); err != nil {
		return err
	}
	footer := s.header
	footer.gdOffset = uint64(sector)
	if err := s.marker(markerFooter, 1); err != nil {
		return err
	}
	if err := s.write(footer.encode()); err != nil {
		return err
	}
	return s.marker(markerEOS, 0)
}

// marker announces sectors of metadata.
func (s *stream) marker(kind uint32, sectors int64) error {
	b := make([]byte, sectorSize)
	binary.LittleEndian.PutUint64(b, uint64(sectors))
	binary.LittleEndian.PutUint32(b[12:], kind)
	return s.write(b)
}

// sector is where the stream is. Tables have 32 bits for it.
func (s *stream) sector() (uint32, error) {
	n := s.at / sectorSize
	if n > 1<<32-1 {
		return 0, errors.New("write the VMDK: it grows beyond 2 TiB of compressed data, more than the format can hold")
	}
	return uint32(n), nil
}

// write fills up to a whole sector.
func (s *stream) write(b []byte) error {
	for _, part := range [][]byte{b, s.zeros[:(sectorSize-len(b)%sectorSize)%sectorSize]} {
		n, err := s.w.Write(part)
		if err != nil {
			return fmt.Errorf("write the VMDK at byte %d: %w", s.at, err)
		}
		s.at += int64(n)
	}
	return nil
}

func (h *header) encode() []byte {
	b := make([]byte, sectorSize)
	le := binary.LittleEndian
	copy(b, magicHosted)
	le.PutUint32(b[4:], h.version)
	le.PutUint32(b[8:], h.flags)
	le.PutUint64(b[12:], h.capacity)
	le.PutUint64(b[20:], h.grainSize)
	le.PutUint64(b[28:], h.descriptorOffset)
	le.PutUint64(b[36:], h.descriptorSize)
	le.PutUint32(b[44:], h.numGTEsPerGT)
	le.PutUint64(b[48:], h.rgdOffset)
	le.PutUint64(b[56:], h.gdOffset)
	le.PutUint64(b[64:], h.overHead)
	copy(b[73:], newlineTest)
	le.PutUint16(b[77:], h.compressAlgo)
	return b
}

func encodeEntries(entries []uint32) []byte {
	b := make([]byte, 4*len(entries))
	for i, e := range entries {
		binary.LittleEndian.PutUint32(b[4*i:], e)
	}
	return b
}

// describe is the descriptor. fffffffe is the CID that VMware gives a disk that was never written to.
func describe(capacity uint64) string {
	return fmt.Sprintf(`# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RW %d SPARSE "disk.vmdk"

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.geometry.cylinders = "%d"
ddb.geometry.heads = "255"
ddb.geometry.sectors = "63"
ddb.virtualHWVersion = "4"
`, capacity, min(max(capacity/(255*63), 1), 65535))
}
