package vmdk

import (
	"bufio"
	"bytes"
	"strconv"
	"strings"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

const noParent = "ffffffff"

// descriptor is what of the text is needed to decide whether the disk can be read. The names of files in it are not even parsed: an image is
// untrusted, and in a sparse file with an embedded descriptor the extent is the file itself (CVE-2022-47951).
type descriptor struct {
	createType string
	parentCID  string
	parentHint string // a name for people only
	extents    int
	sectors    uint64 // sum over the extent lines
}

// parseDescriptor is lenient about what it does not need: lines end in LF or CRLF, the last one may lack its newline, blanks and case do not
// matter, quotes are optional, the text ends at the first NUL, and the first line is not always "# Disk DescriptorFile" (VMDKstream).
func parseDescriptor(text []byte) descriptor {
	if i := bytes.IndexByte(text, 0); i >= 0 {
		text = text[:i]
	}
	var d descriptor
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxDescriptorBytes+1)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if sectors, ok := parseExtentLine(line); ok {
			d.extents++
			d.sectors += sectors
			if d.sectors < sectors {
				d.sectors = 1<<64 - 1
			}
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "createtype":
			d.createType = value
		case "parentcid":
			d.parentCID = strings.ToLower(value)
		case "parentfilenamehint":
			d.parentHint = value
		}
	}
	return d
}

// parseExtentLine reads `ACCESS SECTORS TYPE ...` and leaves the rest of the line alone.
func parseExtentLine(line string) (sectors uint64, ok bool) {
	f := strings.Fields(line)
	if len(f) < 3 {
		return 0, false
	}
	switch strings.ToUpper(f[0]) {
	case "RW", "RDONLY", "NOACCESS":
	default:
		return 0, false
	}
	n, err := strconv.ParseUint(f[1], 10, 64)
	return n, err == nil
}

// check compares the embedded descriptor with the header that governs the file. A stream needs none: its flags say that it is a disk.
func (d descriptor) check(h *header, at int64) error {
	if d.parentCID != "" && d.parentCID != noParent {
		parent := "parentCID " + strconv.Quote(d.parentCID)
		if d.parentHint != "" {
			parent = strconv.Quote(d.parentHint) + ", " + parent
		}
		return &diskimage.UnsupportedError{
			Format: format, SubFormat: h.subFormat() + " delta",
			Reason: "it is a delta of another disk (" + parent + "), and holds only what differs from it",
			Cure:   "export the whole disk, without snapshots, as a stream-optimized VMDK",
		}
	}
	if !h.compressed() && d.createType == "" && d.extents == 0 {
		return &diskimage.UnsupportedError{
			Format: format, SubFormat: "twoGbMaxExtentSparse",
			Reason: "it has no descriptor: it is one piece of a disk that is spread over several files",
			Cure:   "go to the small .vmdk file that names all pieces, keep them together, and " + convertCure,
		}
	}
	if d.extents > 1 {
		return &diskimage.UnsupportedError{
			Format: format, SubFormat: d.createType, Reason: "its descriptor spreads the disk over several files",
			Cure: "export the disk as one stream-optimized VMDK",
		}
	}
	if d.sectors > h.capacity {
		return &diskimage.CorruptError{
			Format: format, Structure: "descriptor", Field: "extent sectors", Offset: at, Value: d.sectors,
			Reason: "the header has a capacity of only " + strconv.FormatUint(h.capacity, 10),
		}
	}
	return nil
}
