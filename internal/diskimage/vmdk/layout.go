package vmdk

import (
	"encoding/binary"
	"fmt"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

const format = "VMDK"

// Constants of VMware's "Virtual Disk Format 5.0" (hosted sparse extents and stream-optimized compressed sparse extents). Little-endian.
const (
	sectorSize = 512

	magicHosted   = "KDMV"
	magicCOWD     = "COWD"
	magicSESparse = "\xbe\xba\xfe\xca\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00" // 0xCAFEBABE, 0x0000000200000001

	flagNewlineTest  = 1 << 0
	flagRedundantGD  = 1 << 1
	flagZeroGrainGTE = 1 << 2
	flagCompressed   = 1 << 16
	flagMarkers      = 1 << 17
	incompatibleMask = 0xffff_0000 &^ uint32(flagCompressed|flagMarkers) // unknown flags in the upper half forbid reading

	compressionNone    = 0
	compressionDeflate = 1

	gdAtEnd = 0xffff_ffff_ffff_ffff // gdOffset: the real one is in the footer

	gteAbsent    = 0
	gteZeroGrain = 1 // only with flagZeroGrainGTE

	markerEOS            = 0
	markerGrainTable     = 1
	markerGrainDirectory = 2
	markerFooter         = 3

	grainHeaderSize = 12 // LBA u64, compressed size u32

	newlineTest = "\n \r\n"
)

// Caps. A length that the file claims is checked against the file's size and one of these before it is used.
const (
	maxGrainTableEntries = 512     // what every writer uses; a table is then at most 2 KiB
	maxGrainBytes        = 2 << 20 // of a compressed grain; every writer uses 64 KiB; bounds memory per worker
	maxPlainGrain        = 1 << 30 // of one that is not, and needs no memory; as qemu has it
	maxDescriptorBytes   = 1<<20 - 1
	maxCapacityBytes     = 64 << 40 // the largest EBS volume
	maxGDEntries         = 32 << 20 // in all extents; 64 TiB in the usual geometry are 2 million; bounds the time spent on directories without tables
	maxExtents           = 4096     // in all disks of a chain; a disk of 8 TiB in pieces of 2 GiB
	maxChain             = 64       // disks
	maxFooterPadding     = 64 << 10 // zeros behind the end of the stream, as object stores and block devices leave them
)

// magic is what a file begins with.
type magic int

const (
	isOther magic = iota
	isHosted
	isCOWD
	isSESparse
)

func magicOf(head []byte) magic {
	begins := func(magic string) bool { return len(head) >= len(magic) && string(head[:len(magic)]) == magic }
	switch {
	case begins(magicHosted):
		return isHosted
	case begins(magicCOWD):
		return isCOWD
	case begins(magicSESparse):
		return isSESparse
	default:
		return isOther
	}
}

// header is the 512-byte header of a hosted sparse extent, and its footer, which is a copy with the real gdOffset. The fields are not aligned.
type header struct {
	version          uint32
	flags            uint32
	capacity         uint64 // sectors
	grainSize        uint64 // sectors
	descriptorOffset uint64 // sectors
	descriptorSize   uint64 // sectors
	numGTEsPerGT     uint32
	rgdOffset        uint64 // sectors
	gdOffset         uint64 // sectors
	overHead         uint64 // sectors
	unclean          bool   // uncleanShutdown
	footed           bool   // it is a footer
	unended          bool   // the file ends with a footer
	compressAlgo     uint16
}

// fieldCompressAlgorithm names the header field in errors; VM Import has words of its own for it.
const fieldCompressAlgorithm = "compressAlgorithm"

// parseHeader checks everything that can be known from the 512 bytes alone.
func parseHeader(b []byte, structure string, at int64) (header, error) {
	corrupt := func(field string, value any, reason string) error {
		return &diskimage.CorruptError{Format: format, Structure: structure, Field: field, Offset: at, Value: value, Reason: reason}
	}
	if len(b) < sectorSize {
		return header{}, corrupt("", nil, fmt.Sprintf("the file ends after %d of its %d bytes", len(b), sectorSize))
	}
	if string(b[:4]) != magicHosted {
		return header{}, corrupt("magicNumber", fmt.Sprintf("%q", b[:4]), `it must be "KDMV"`)
	}
	le := binary.LittleEndian
	h := header{
		version:          le.Uint32(b[4:]),
		flags:            le.Uint32(b[8:]),
		capacity:         le.Uint64(b[12:]),
		grainSize:        le.Uint64(b[20:]),
		descriptorOffset: le.Uint64(b[28:]),
		descriptorSize:   le.Uint64(b[36:]),
		numGTEsPerGT:     le.Uint32(b[44:]),
		rgdOffset:        le.Uint64(b[48:]),
		gdOffset:         le.Uint64(b[56:]),
		overHead:         le.Uint64(b[64:]),
		unclean:          b[72] != 0,
		compressAlgo:     le.Uint16(b[77:]),
	}
	// 2 allows grains of zeros; 3 is of streams, and of disks with changed block tracking, which reads like 1 (VMware KB 2064959).
	if h.version < 1 || h.version > 3 {
		return h, corrupt("version", h.version, "versions 1 to 3 exist")
	}
	if h.flags&flagNewlineTest != 0 && string(b[73:77]) != newlineTest {
		return h, corrupt("newline test", fmt.Sprintf("% x", b[73:77]),
			"it must be 0a 20 0d 0a: the file went through a text-mode transfer, and not through a binary one")
	}
	if bad := h.flags & incompatibleMask; bad != 0 {
		return h, &diskimage.UnsupportedError{
			Format: format, Reason: fmt.Sprintf("its header has unknown incompatible flags 0x%08x", bad),
			Cure: vmwareCure,
		}
	}
	if h.flags&flagMarkers != 0 && !h.compressed() {
		return h, corrupt("flags", fmt.Sprintf("0x%08x", h.flags), "markers without compression")
	}
	want := uint16(compressionNone)
	if h.compressed() {
		want = compressionDeflate
	}
	if h.compressAlgo != want {
		return h, corrupt(fieldCompressAlgorithm, h.compressAlgo, fmt.Sprintf("the flags 0x%08x call for %d", h.flags, want))
	}
	switch g := h.grainSize; {
	case g < 8 || g&(g-1) != 0:
		return h, corrupt("grainSize", g, "it must be a power of two of at least 8 sectors")
	case g > h.maxGrain()/sectorSize:
		return h, &diskimage.UnsupportedError{
			Format: format, SubFormat: h.subFormat(),
			Reason: fmt.Sprintf("its grains are %d sectors large, %d is the most that is read here", g, h.maxGrain()/sectorSize),
			Cure:   qemuCure,
		}
	}
	if h.numGTEsPerGT < 1 || h.numGTEsPerGT > maxGrainTableEntries {
		return h, corrupt("numGTEsPerGT", h.numGTEsPerGT, fmt.Sprintf("it must be 1 to %d", maxGrainTableEntries))
	}
	switch {
	case h.capacity == 0:
		return h, corrupt("capacity", h.capacity, "the disk would be empty")
	case h.capacity > maxCapacityBytes/sectorSize:
		return h, &diskimage.UnsupportedError{
			Format: format, SubFormat: h.subFormat(),
			Reason: fmt.Sprintf("the disk claims %d sectors, more than 64 TiB, the largest EBS volume", h.capacity),
			Cure:   "shrink the disk in the system that it comes from",
		}
	case h.gdEntries() > maxGDEntries:
		return h, corrupt("numGTEsPerGT", h.numGTEsPerGT,
			fmt.Sprintf("a disk of %d sectors would need %d grain tables, more than %d", h.capacity, h.gdEntries(), maxGDEntries))
	}
	return h, nil
}

func (h *header) maxGrain() uint64 {
	if h.compressed() {
		return maxGrainBytes
	}
	return maxPlainGrain
}

const compressedOnly = "compressed without markers"

// subFormat goes by the flags: createType in the descriptor lies (AWS VM Export writes monolithicSparse over a compressed stream).
func (h *header) subFormat() string {
	switch {
	case !h.compressed():
		return monolithicSparse
	case h.flags&flagMarkers == 0:
		return compressedOnly
	default:
		return StreamOptimized
	}
}

func (h *header) compressed() bool { return h.flags&flagCompressed != 0 }

func (h *header) size() int64 { return int64(h.capacity) * sectorSize }

func (h *header) grainBytes() int64 { return int64(h.grainSize) * sectorSize }

func (h *header) grains() int64 { return divUp(h.size(), h.grainBytes()) }

// gdEntries is the length of the grain directory.
func (h *header) gdEntries() int64 { return divUp(h.grains(), int64(h.numGTEsPerGT)) }

func divUp(a, b int64) int64 { return (a + b - 1) / b }
