package detect

import (
	"bytes"
	"encoding/binary"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhd"
)

// Format is what a file is, by its content: an upper-case name.
type Format string

// The formats that can be told apart.
const (
	Empty     Format = "EMPTY"
	RAW       Format = "RAW"
	VHD       Format = "VHD"
	VHDX      Format = "VHDX"
	VMDK      Format = "VMDK"
	QCOW      Format = "QCOW"
	QCOW2     Format = "QCOW2"
	QED       Format = "QED"
	VDI       Format = "VDI"
	Parallels Format = "PARALLELS"
	DMG       Format = "DMG"
	ISO       Format = "ISO"
	GZIP      Format = "GZIP"
	BZIP2     Format = "BZIP2"
	XZ        Format = "XZ"
	ZSTD      Format = "ZSTD"
	LZ4       Format = "LZ4"
	LZMA      Format = "LZMA"
	ZIP       Format = "ZIP"
	SevenZip  Format = "7Z"
	TAR       Format = "TAR"
	OVA       Format = "OVA"
	HTML      Format = "HTML"
	XML       Format = "XML"
)

// The parts of a file that magics are looked for in.
const (
	headSize = 64 << 10
	tailSize = 1536
)

// view is a file as the magics see it.
type view struct {
	size int64
	head []byte // the first 64 KiB
	tail []byte // the last 1536 bytes
}

func (v *view) at(offset int, magic string) bool {
	return offset >= 0 && len(v.head) >= offset+len(magic) && string(v.head[offset:offset+len(magic)]) == magic
}

// fromEnd compares at a place counted from the end of the file.
func (v *view) fromEnd(before int, magic string) bool {
	i := len(v.tail) - before
	return i >= 0 && i+len(magic) <= len(v.tail) && string(v.tail[i:i+len(magic)]) == magic
}

// magic is one row of the table. is says whether the file is of the format; an error is a file that has the magic but contradicts it.
type magic struct {
	format Format
	is     func(v *view) (bool, error)
}

// magics is asked in this order; what none of them knows is RAW. The order matters: a container may hold another's magic at a later place.
var magics = []magic{
	{Empty, func(v *view) (bool, error) { return v.size == 0, nil }},
	{VHDX, starts("vhdxfile")},
	{VMDK, isHostedSparse},
	{VMDK, starts("COWD")}, // a delta extent of ESX
	{VMDK, starts("\xbe\xba\xfe\xca\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00")}, // one of ESXi; CAFEBABE alone is also Java and Mach-O
	{VMDK, isDescriptor},
	{VHD, isVHD}, // at the end too: a fixed VHD has no header, and is not RAW
	{QCOW, isQCOW(1, 1)},
	{QCOW2, isQCOW(2, 3)},
	{VDI, func(v *view) (bool, error) { return v.at(64, "\x7f\x10\xda\xbe"), nil }},
	{QED, starts("QED\x00")},
	{Parallels, starts("WithoutFreeSpace", "WithouFreSpacExt")},
	{GZIP, starts("\x1f\x8b\x08")},
	{BZIP2, isBzip2},
	{XZ, starts("\xfd7zXZ\x00")},
	{ZSTD, starts("\x28\xb5\x2f\xfd")},
	{LZ4, starts("\x04\x22\x4d\x18")},
	{ZIP, starts("PK\x03\x04", "PK\x05\x06")},
	{SevenZip, starts("7z\xbc\xaf\x27\x1c")},
	{LZMA, isLZMA},
	{OVA, isTar(func(first string) bool { return strings.HasSuffix(strings.ToLower(first), ".ovf") })},
	{TAR, isTar(func(string) bool { return true })},
	{ISO, func(v *view) (bool, error) { return v.at(32769, "CD001"), nil }}, // a hybrid ISO (55 aa at 510) is one too; declared RAW it is taken
	{DMG, func(v *view) (bool, error) { return v.fromEnd(512, "koly"), nil }},
	{HTML, startsText("<!doctype html", "<html")}, // a download's error page
	{XML, startsText("<?xml", "<error>", "<!doctype")},
}

// Formats is every format that can be told apart, once, as the table has them; RAW is what remains.
func Formats() iter.Seq[Format] {
	return func(yield func(Format) bool) {
		seen := map[Format]bool{}
		for _, m := range append(slices.Clone(magics), magic{format: RAW}) {
			if !seen[m.format] && !yield(m.format) {
				return
			}
			seen[m.format] = true
		}
	}
}

// detectIn asks the table.
func detectIn(v *view) (Format, error) {
	for _, m := range magics {
		if is, err := m.is(v); is || err != nil {
			return m.format, err
		}
	}
	return RAW, nil
}

func starts(any ...string) func(*view) (bool, error) {
	return func(v *view) (bool, error) {
		for _, magic := range any {
			if v.at(0, magic) {
				return true, nil
			}
		}
		return false, nil
	}
}

// startsText compares after a byte order mark and blanks, in any case.
func startsText(any ...string) func(*view) (bool, error) {
	return func(v *view) (bool, error) {
		text := bytes.TrimLeft(bytes.TrimPrefix(v.head, []byte("\xef\xbb\xbf")), " \t\r\n")
		for _, magic := range any {
			if len(text) >= len(magic) && strings.EqualFold(string(text[:len(magic)]), magic) {
				return true, nil
			}
		}
		return false, nil
	}
}

func corruptHeader(f Format, field string, value any, reason string) error {
	return &diskimage.CorruptError{Format: string(f), Structure: "header", Field: field, Value: value, Reason: reason}
}

func isHostedSparse(v *view) (bool, error) {
	if !v.at(0, "KDMV") {
		return false, nil
	}
	if len(v.head) < 8 {
		return true, corruptHeader(VMDK, "", nil, "the file ends inside it")
	}
	if version := binary.LittleEndian.Uint32(v.head[4:]); version < 1 || version > 3 {
		return true, corruptHeader(VMDK, "version", version, "versions 1 to 3 exist")
	}
	return true, nil
}

// isDescriptor: after a byte order mark, blank lines and comments, "# Disk DescriptorFile" in any case and spacing, or the lines version= and
// createType=. It is text, so a NUL before them, but not padding behind them, speaks against it.
func isDescriptor(v *view) (bool, error) {
	text := bytes.TrimPrefix(v.head, []byte("\xef\xbb\xbf"))
	if i := bytes.IndexByte(text, 0); i >= 0 {
		text = text[:i]
	}
	comments := true // still before the first line that is neither blank nor a comment
	var version, createType bool
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte("\n"))
		squeezed := strings.ToLower(strings.Join(strings.Fields(string(line)), ""))
		switch {
		case comments && strings.HasPrefix(squeezed, "#"):
			if strings.TrimLeft(squeezed, "#") == "diskdescriptorfile" {
				return true, nil
			}
			continue
		case squeezed == "":
			continue
		}
		comments = false
		version = version || strings.HasPrefix(squeezed, "version=")
		createType = createType || strings.HasPrefix(squeezed, "createtype=")
		if version && createType {
			return true, nil
		}
	}
	return false, nil
}

func isQCOW(from, to uint32) func(*view) (bool, error) {
	return func(v *view) (bool, error) {
		if !v.at(0, "QFI\xfb") {
			return false, nil
		}
		if len(v.head) < 8 {
			return true, corruptHeader(QCOW, "", nil, "the file ends inside it")
		}
		version := binary.BigEndian.Uint32(v.head[4:])
		if version < 1 || version > 3 {
			return true, corruptHeader(QCOW, "version", version, "versions 1 to 3 exist")
		}
		return version >= from && version <= to, nil
	}
}

func isBzip2(v *view) (bool, error) {
	return v.at(0, "BZh") && len(v.head) > 3 && v.head[3] >= '1' && v.head[3] <= '9' && v.at(4, "1AY&SY"), nil
}

// isLZMA is weak, as the format has no magic: the usual properties byte, a dictionary that encoders make, and a size that is unknown or sane.
func isLZMA(v *view) (bool, error) {
	if !v.at(0, "\x5d\x00\x00") || len(v.head) < 13 {
		return false, nil
	}
	dictionary, size := binary.LittleEndian.Uint32(v.head[1:]), binary.LittleEndian.Uint64(v.head[5:])
	top := dictionary &^ (dictionary >> 1) // a power of two, or one and a half of it
	saneDictionary := dictionary >= 1<<12 && (top&(top-1) == 0)
	return saneDictionary && (size == 1<<64-1 || size > 0 && size < 1<<48), nil
}

// isTar knows ustar by its magic and the older format by its checksum. first is asked about the name of the first member.
func isTar(first func(name string) bool) func(*view) (bool, error) {
	return func(v *view) (bool, error) {
		if len(v.head) < 512 || !v.at(257, "ustar") && !oldTar(v.head[:512]) {
			return false, nil
		}
		name, _, _ := bytes.Cut(v.head[:100], []byte{0})
		return first(string(name)), nil
	}
}

func oldTar(header []byte) bool {
	field := strings.Trim(string(header[148:156]), " \x00")
	want, err := strconv.ParseInt(field, 8, 64)
	if err != nil || header[0] == 0 {
		return false
	}
	sum := int64(8 * ' ') // the field itself counts as blanks
	for i, b := range header {
		if i < 148 || i >= 156 {
			sum += int64(b)
		}
	}
	return sum == want
}

// isVHD takes a sound footer at either end: of 512 bytes or, before Virtual PC 2004, of 511, whose last one, a zero, is missing. A cookie without one
// is a damaged VHD, never RAW.
func isVHD(v *view) (bool, error) {
	const cookie, size = "conectix", 512
	var first error
	for _, c := range []struct {
		is     bool
		footer func() []byte
		at     int64
	}{
		{v.fromEnd(size, cookie), func() []byte { return v.tail[len(v.tail)-size:] }, v.size - size},
		{v.fromEnd(size-1, cookie), func() []byte { return append(bytes.Clone(v.tail[len(v.tail)-size+1:]), 0) }, v.size - size + 1},
		{v.at(0, cookie), func() []byte { return v.head[:min(len(v.head), size)] }, 0},
	} {
		if !c.is {
			continue
		}
		err := vhd.CheckFooter(c.footer(), c.at)
		if err == nil {
			return true, nil
		}
		if first == nil {
			first = err
		}
	}
	return first != nil, first
}
