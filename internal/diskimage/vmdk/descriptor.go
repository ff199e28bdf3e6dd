package vmdk

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// descriptor is the text of a disk: what it is made of, and whether it is a delta of another disk.
type descriptor struct {
	createType string
	encoding   string
	cid        string
	parentCID  string
	parentHint string
	encrypted  bool
	lines      []extentLine
	sectors    uint64 // sum over the extent lines; does not overflow
	strange    int64  // where the first line is that is none of a descriptor; -1: there is none
}

// extentLine is `ACCESS SECTORS TYPE "FILE" OFFSET`. The last two may be missing. The name is an attacker's, and has the bytes that are in the file:
// descriptors are in UTF-8, or in the encoding of the system that the disk comes from, as its file names are. Where it has no blank, the quotes may be
// missing too.
type extentLine struct {
	at      int64 // where it is in the file
	access  string
	sectors uint64
	kind    string
	name    string
	offset  uint64 // sectors
}

const noParent = "ffffffff"

// kindWord is what every createType looks like.
var kindWord = regexp.MustCompile(`^[A-Za-z0-9]{1,32}$`)

// parseDescriptor reads the text that is at a place in a file. It is lenient about what it does not need: lines end in LF or CRLF, the last one may
// lack its newline, blanks and case do not matter, quotes are optional, the text ends at the first NUL, and the first line is not always
// "# Disk DescriptorFile" (VMDKstream).
func parseDescriptor(text []byte, at int64) descriptor {
	if i := bytes.IndexByte(text, 0); i >= 0 {
		text = text[:i]
	}
	if marked := bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")); len(marked) < len(text) {
		text, at = marked, at+3
	}
	d := descriptor{strange: -1}
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		d.parseLine(strings.TrimSpace(string(line)), at)
		at += int64(len(text) - len(rest))
		text = rest
	}
	return d
}

func (d *descriptor) parseLine(line string, at int64) {
	if line == "" || line[0] == '#' {
		return
	}
	if e, isExtent, ok := parseExtentLine(line, at); isExtent {
		if !ok && d.strange < 0 {
			d.strange = at
		}
		if len(d.lines) <= maxExtents {
			d.lines = append(d.lines, e)
		}
		if d.sectors += e.sectors; d.sectors < e.sectors {
			d.sectors = 1<<64 - 1
		}
		return
	}
	key, value, ok := strings.Cut(line, "=")
	if !ok && d.strange < 0 {
		d.strange = at
	}
	value = keep(strings.Trim(strings.TrimSpace(value), `"`))
	switch strings.ToLower(strings.TrimSpace(key)) {
	case "createtype":
		// It is shown to people, on terminals too: what is no word is no kind.
		if kindWord.MatchString(value) {
			d.createType = value
		}
	case "encoding":
		d.encoding = value
	case "cid":
		d.cid = strings.ToLower(value)
	case "parentcid":
		d.parentCID = strings.ToLower(value)
	case "parentfilenamehint":
		d.parentHint = value
	case "encryptionkeys":
		d.encrypted = true
	case "ddb.iofilters": // of ESXi
		d.encrypted = d.encrypted || strings.Contains(strings.ToLower(value), "vmcrypt")
	}
}

// maxText is how much of a value of a descriptor is kept, in bytes: the longest path of Linux, which is where ESX has its own from.
const maxText = 4096

// keep keeps a part of a line, and not the line with it. Of a text that is too long a byte more is kept, and no file has its name.
func keep(text string) string { return strings.Clone(text[:min(len(text), maxText+1)]) }

// parseExtentLine tells a line of an extent by its first word, and whether it has all that such a line needs.
func parseExtentLine(line string, at int64) (e extentLine, isExtent, ok bool) {
	before, quoted, isQuoted := strings.Cut(line, `"`)
	f := strings.Fields(before)
	if len(f) == 0 {
		return e, false, false
	}
	e.at, e.access = at, keep(strings.ToUpper(f[0]))
	switch e.access {
	case "RW", "RDONLY", "NOACCESS":
	default:
		return e, false, false
	}
	if len(f) < 3 || isQuoted && len(f) > 3 {
		return e, true, false
	}
	e.kind = keep(strings.ToUpper(f[2]))
	n, err := strconv.ParseUint(f[1], 10, 64)
	if err != nil {
		return e, true, false
	}
	e.sectors = n
	rest := f[3:]
	if isQuoted {
		name, after, closed := strings.Cut(quoted, `"`)
		if !closed {
			return e, true, false
		}
		e.name, rest = keep(name), strings.Fields(after)
	} else if len(rest) > 0 {
		e.name, rest = keep(rest[0]), rest[1:]
	}
	if len(rest) > 0 { // a partition's and a device's names may follow
		if e.offset, err = strconv.ParseUint(rest[0], 10, 64); err != nil {
			return e, true, false
		}
	}
	return e, true, true
}

func (d *descriptor) isDelta() bool { return d.parentCID != "" && d.parentCID != noParent }

// parent names the disk that this one is a delta of, for people.
func (d *descriptor) parent() string {
	parent := "parentCID " + diskimage.Quote(d.parentCID)
	if d.parentHint != "" {
		parent = diskimage.Quote(d.parentHint) + ", " + parent
	}
	return parent
}
