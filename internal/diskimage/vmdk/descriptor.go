package vmdk

import (
	"bufio"
	"bytes"
	"regexp"
	"strconv"
	"strings"
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
	partial    bool   // some extents are not plain files that can be written; qemu-img skips those, and so shortens the disk
}

// kindWord is what every createType looks like.
var kindWord = regexp.MustCompile(`^[A-Za-z0-9]{1,32}$`)

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
		if sectors, plain, ok := parseExtentLine(line); ok {
			d.extents++
			d.partial = d.partial || !plain
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
			// It is shown to people, on terminals too: what is no word is no kind.
			if kindWord.MatchString(value) {
				d.createType = value
			}
		case "parentcid":
			d.parentCID = strings.ToLower(value)
		case "parentfilenamehint":
			d.parentHint = value
		}
	}
	return d
}

// parseExtentLine reads `ACCESS SECTORS TYPE ...` and leaves the rest of the line alone.
func parseExtentLine(line string) (sectors uint64, plain, ok bool) {
	f := strings.Fields(line)
	if len(f) < 3 {
		return 0, false, false
	}
	access := strings.ToUpper(f[0])
	switch access {
	case "RW", "RDONLY", "NOACCESS":
	default:
		return 0, false, false
	}
	n, err := strconv.ParseUint(f[1], 10, 64)
	return n, access == "RW" && !strings.EqualFold(f[2], "ZERO"), err == nil
}
