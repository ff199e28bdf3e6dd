package vhdx

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

const format = "VHDX"

// Constants of [MS-VHDX], "Virtual Hard Disk v2 (VHDX) File Format"; the numbers are its sections. Everything is little-endian.
const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
	tib = 1 << 40

	fileSignature = "vhdxfile" // 2.2.1

	headerSectionSize = mib // 2.2: identifier, headers and region tables; all else is behind it, aligned to 1 MiB

	headerSignature = "head" // 2.2.2
	headerSize      = 4 * kib
	header1Offset   = 64 * kib
	header2Offset   = 128 * kib

	regionSignature    = "regi" // 2.2.3
	regionTableSize    = 64 * kib
	regionTable1Offset = 192 * kib
	regionTable2Offset = 256 * kib
	regionEntrySize    = 32
	maxRegions         = 2047
	batRegion          = guidText("2DC27766-F623-4200-9D64-115E9BFD4A08")
	metadataRegion     = guidText("8B7CA206-4790-4B9A-B8FE-575F050F886E")

	logSector          = 4 * kib // 2.3.1
	logEntrySignature  = "loge"
	logEntryHeaderSize = 64
	logDescriptorSize  = 32
	logZeroSignature   = "zero"
	logPageSignature   = "desc"
	logDataSignature   = "data"
	logLeadingBytes    = 8
	logTrailingBytes   = 4
	loggableOffset     = regionTable1Offset // the headers are written directly, never through the log

	checksumOffset = 4 // in the header, the region table and the log entry alike

	metadataSignature  = "metadata" // 2.6.1
	metadataTableSize  = 64 * kib
	metadataEntrySize  = 32
	maxMetadataItems   = 2047
	maxMetadataItem    = mib
	fileParametersItem = guidText("CAA16737-FA36-4D43-B3B6-33F0AA44E76B") // 2.6.2.1
	virtualSizeItem    = guidText("2FA54224-CD1B-4876-B211-5DBED83BF4B8") // 2.6.2.2
	virtualDiskIDItem  = guidText("BECA12AB-B2E6-4523-93EF-C309E000C746") // 2.6.2.3
	logicalSectorItem  = guidText("8141BF1D-A96F-4709-BA47-F233A8FAAB5F") // 2.6.2.4
	physicalSectorItem = guidText("CDA348C7-445D-4471-9CC9-E9885251C556") // 2.6.2.5
	parentLocatorItem  = guidText("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C") // 2.6.2.6

	locatorType       = guidText("B04AEFB7-D19E-4A81-B789-25B8E9445913") // 2.6.2.6.1
	locatorHeaderSize = 20
	locatorEntrySize  = 12

	// Not in the specification, but in microsoft/openvmm, vhdx/src/format.rs.
	chsParametersItem  = guidText("DA02D7BC-3D3A-423C-AC88-2A36AB21479B")
	pmemLabelItem      = guidText("10E1AE8A-4B7E-4169-A40F-CD70DE928393")
	incompleteFileItem = guidText("71CC85F0-1B69-4E28-9558-C3BF83AE75D3") // there while a file is being created

	minBlockSize          = mib
	maxBlockSize          = 256 * mib
	maxVirtualSize        = 64 * tib
	sectorsPerBitmapBlock = 1 << 23 // 2.4
)

// States of a payload block, 2.5.1.1.
const (
	blockNotPresent       = 0
	blockUndefined        = 1
	blockZero             = 2
	blockUnmapped         = 3
	blockUnmappedDraft    = 5 // unmapped in the draft 0.95 of the specification, as Windows 8 previews wrote it
	blockFullyPresent     = 6
	blockPartiallyPresent = 7

	batStateMask    = 0x7
	batReservedMask = 0xffff8
	batOffsetShift  = 20
)

// Caps. What the file claims is held against the file's size and against one of these before it is used. Together they keep one open image, while
// it is opened and while it is read, below 64 MiB.
const (
	// maxFileSize is twice the largest disk: room for every block and for all structures. One bit per MiB of it, 16 MiB, finds blocks that overlap.
	maxFileSize = 128 * tib

	// maxLogSize is of the logs of an image and all its parents that were not closed cleanly, together. Windows and all tools write logs of 1 MiB, if
	// not asked for another size; microsoft/openvmm takes 1 GiB, which is too much to look through, where it is a hole of a sparse file, in a second.
	maxLogSize = 256 * mib

	// maxLogWrites is four times the pages of 4 KiB that logs of maxLogSize can hold; only zero descriptors, of 32 bytes each, can make more: a log
	// bomb. A write costs 40 bytes here and at most twice 16 in the overlay, 18 MiB in all; a page's content stays in the file's log.
	maxLogWrites = 4 * maxLogSize / logSector
)

// guidText is a GUID as the specification prints it.
type guidText string

// readGUID reads the binary form, whose first three fields are little-endian.
func readGUID(b []byte) guidText {
	le := binary.LittleEndian
	return guidText(fmt.Sprintf("%08X-%04X-%04X-%X-%X", le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), b[8:10], b[10:16]))
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	noChecksum [4]byte
)

// checksum is the CRC-32C of b with the checksum field taken for zero.
func checksum(b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b[:checksumOffset])
	sum = crc32.Update(sum, castagnoli, noChecksum[:])
	return crc32.Update(sum, castagnoli, b[checksumOffset+4:])
}

func corrupt(structure, field string, at int64, value any, reason string) error {
	return &diskimage.CorruptError{Format: format, Structure: structure, Field: field, Offset: at, Value: value, Reason: reason}
}

func divUp(a, b int64) int64 { return (a + b - 1) / b }
