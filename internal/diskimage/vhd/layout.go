package vhd

import (
	"encoding/binary"
	"fmt"
	"unicode/utf16"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

const format = "VHD"

// Constants of Microsoft's "Virtual Hard Disk Image Format Specification" 1.0. Big-endian.
const (
	sectorSize = 512

	// "Hard Disk Footer Format".
	footerSize       = 512
	shortFooterSize  = 511 // before Virtual PC 2004; the byte that is missing is a zero
	footerCookie     = "conectix"
	footerChecksumAt = 64
	typeFixed        = 2 // 0, 1, 5 and 6 are reserved or deprecated
	typeDynamic      = 3
	typeDifferencing = 4

	// "Dynamic Disk Header Format".
	headerSize       = 1024
	headerCookie     = "cxsparse"
	headerChecksumAt = 36
	locatorsAt       = 576
	locatorSize      = 24
	locatorCount     = 8
	locatorRelative  = "W2ru" // a relative path of Windows, UTF-16, little-endian

	majorVersion = 1 // of the footer and of the dynamic header: the upper half of 0x00010000

	// "Block Allocation Table and Data Blocks".
	batEntrySize = 4
	batAbsent    = 0xffff_ffff
)

// Caps. A length that the file claims is checked against the file's size and one of these before it is used.
const (
	maxFixed  = 64 << 40   // more than any writer's: Azure exports its largest disks, of 32 TiB, as fixed VHDs, though Hyper-V stops at 2040 GiB
	maxSize   = 2040 << 30 // the largest with a table: its entries, of 32 bits, are sectors of the file
	maxBlocks = 4 << 20    // a disk of the largest size in blocks of 512 KiB, the smallest in use; bounds time and memory of checking them
	maxName   = 64 << 10   // bytes of a path: Windows has at most 32,767 UTF-16 units
	maxChain  = 64         // a differencing disk and the disks that it differs from
)

// footer is what is needed of the hard disk footer. Cylinders, heads and sectors are not: the geometry rounds the size down, and some writers
// leave it zero (hcsshim). Nor is the creator: readers that choose between the two sizes by its name lose the end of disks (qemu).
type footer struct {
	size       int64  // "current size", the virtual size; "original size" may differ
	dataOffset uint64 // of the dynamic header; fixed disks mostly have all ones
	diskType   uint32
	id         [16]byte
}

// CheckFooter tells whether the 512 bytes found at an offset of a file are a sound footer.
func CheckFooter(b []byte, at int64) error {
	_, err := parseFooter(b, at)
	return err
}

// parseFooter checks everything that can be known from the 512 bytes alone.
func parseFooter(b []byte, at int64) (footer, error) {
	corrupt := func(field string, value any, reason string) error {
		return &diskimage.CorruptError{Format: format, Structure: "footer", Field: field, Offset: at, Value: value, Reason: reason}
	}
	if len(b) < footerSize {
		return footer{}, corrupt("", nil, fmt.Sprintf("the file ends after %d of its %d bytes", len(b), footerSize))
	}
	b = b[:footerSize]
	if string(b[:8]) != footerCookie {
		return footer{}, corrupt("cookie", fmt.Sprintf("%q", b[:8]), `it must be "conectix"`)
	}
	be := binary.BigEndian
	if got, want := be.Uint32(b[footerChecksumAt:]), checksum(b, footerChecksumAt); got != want {
		return footer{}, corrupt("checksum", fmt.Sprintf("0x%08x", got), fmt.Sprintf("the bytes call for 0x%08x", want))
	}
	if version := be.Uint32(b[12:]); version>>16 != majorVersion {
		return footer{}, corrupt("file format version", fmt.Sprintf("0x%08x", version), "the major version must be 1")
	}
	f := footer{dataOffset: be.Uint64(b[16:]), diskType: be.Uint32(b[60:]), id: [16]byte(b[68:84])}
	if f.diskType < typeFixed || f.diskType > typeDifferencing {
		return footer{}, corrupt("disk type", f.diskType, "2 fixed, 3 dynamic and 4 differencing exist")
	}
	most := uint64(maxSize)
	if f.diskType == typeFixed {
		most = maxFixed
	}
	switch size := be.Uint64(b[48:]); {
	case size == 0:
		return footer{}, corrupt("current size", size, "the disk would be empty")
	case size%sectorSize != 0:
		return footer{}, corrupt("current size", size, "it must be a multiple of 512")
	case size > most:
		return footer{}, corrupt("current size", size, fmt.Sprintf("a VHD of this type has at most %d bytes", most))
	default:
		f.size = int64(size)
	}
	return f, nil
}

// checksum is the complement of the sum of all bytes but those of the field itself.
func checksum(b []byte, field int) uint32 {
	sum := uint32(0)
	for i, c := range b {
		if i < field || i >= field+4 {
			sum += uint32(c)
		}
	}
	return ^sum
}

// dynamicHeader is the header of dynamic and differencing disks.
type dynamicHeader struct {
	batOffset uint64
	entries   uint32 // of the BAT; may be more than there are blocks
	blockSize uint32

	// Of a differencing disk's parent. Its timestamp is not looked at: Windows leaves it zero.
	parentID   [16]byte
	parentName string
	locators   [locatorCount]locator
}

// locator says where the file has a name of the parent, and in what form. Its "data space" is left out: the specification has sectors there, but
// Hyper-V and Virtual PC write bytes, or more.
type locator struct {
	code   [4]byte
	length uint32
	offset uint64
}

// parseDynamicHeader checks everything that can be known from the 1024 bytes alone.
func parseDynamicHeader(b []byte, at int64) (dynamicHeader, error) {
	corrupt := func(field string, value any, reason string) error {
		return &diskimage.CorruptError{Format: format, Structure: "dynamic header", Field: field, Offset: at, Value: value, Reason: reason}
	}
	if len(b) < headerSize {
		return dynamicHeader{}, corrupt("", nil, fmt.Sprintf("the file ends after %d of its %d bytes", len(b), headerSize))
	}
	b = b[:headerSize]
	if string(b[:8]) != headerCookie {
		return dynamicHeader{}, corrupt("cookie", fmt.Sprintf("%q", b[:8]), `it must be "cxsparse"`)
	}
	be := binary.BigEndian
	if got, want := be.Uint32(b[headerChecksumAt:]), checksum(b, headerChecksumAt); got != want {
		return dynamicHeader{}, corrupt("checksum", fmt.Sprintf("0x%08x", got), fmt.Sprintf("the bytes call for 0x%08x", want))
	}
	if version := be.Uint32(b[24:]); version>>16 != majorVersion {
		return dynamicHeader{}, corrupt("header version", fmt.Sprintf("0x%08x", version), "the major version must be 1")
	}
	h := dynamicHeader{
		batOffset: be.Uint64(b[16:]), entries: be.Uint32(b[28:]), blockSize: be.Uint32(b[32:]),
		parentID: [16]byte(b[40:56]), parentName: decodeName(b[64:64+512], be),
	}
	for n := range h.locators {
		l := b[locatorsAt+n*locatorSize:]
		h.locators[n] = locator{code: [4]byte(l[:4]), length: be.Uint32(l[8:]), offset: be.Uint64(l[16:])}
	}
	if s := h.blockSize; s < sectorSize || s&(s-1) != 0 {
		return dynamicHeader{}, corrupt("block size", s, "it must be a power of two of at least 512")
	}
	return h, nil
}

// decodeName decodes UTF-16 up to the first NUL.
func decodeName(b []byte, order binary.ByteOrder) string {
	var units []uint16
	for ; len(b) >= 2; b = b[2:] {
		u := order.Uint16(b)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}
