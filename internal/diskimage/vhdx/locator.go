package vhdx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// locator is what a differencing file says of its parent ([MS-VHDX] 2.6.2.6): what it is known by, and where it was.
type locator struct {
	at      int64      // in the file
	linkage []guidText // the parent's DataWriteGuid is one of them
	paths   []string   // all that it says, as Windows writes them, the best first
}

// The keys of a locator (2.6.2.6.3).
const (
	linkageKey  = "parent_linkage"
	linkage2Key = "parent_linkage2"
	relativeKey = "relative_path"
	volumeKey   = "volume_path"
	absoluteKey = "absolute_win32_path"
)

// pathKeys in the order in which they are to be tried.
var pathKeys = []string{relativeKey, volumeKey, absoluteKey}

// readLocator reads the parent locator. Its caller knows that there is one.
func (l *layer) readLocator() (locator, error) {
	b := make([]byte, l.meta.locator.length) // 1 MiB at most
	if err := l.source.read(b, l.meta.locator.at, "parent locator"); err != nil {
		return locator{}, err
	}
	loc := locator{at: l.meta.locator.at}
	bad := func(field string, value any, reason string) error {
		return corrupt("parent locator", field, loc.at, value, reason)
	}
	le := binary.LittleEndian
	if len(b) < locatorHeaderSize {
		return loc, bad("", nil, fmt.Sprintf("it has %d bytes, and its header alone %d", len(b), locatorHeaderSize))
	}
	if id := readGUID(b); id != locatorType {
		return loc, &diskimage.UnsupportedError{
			Format: format, SubFormat: differencing, Reason: fmt.Sprintf("its parent is not another VHDX, but of the type %s, which is not known here", id), Cure: mergeCure,
		}
	}
	count := int(le.Uint16(b[18:]))
	if count*locatorEntrySize > len(b)-locatorHeaderSize {
		return loc, bad("KeyValueCount", count, fmt.Sprintf("so many entries do not fit into its %d bytes", len(b)))
	}
	values := map[string]string{}
	for k := range count {
		e := b[locatorHeaderSize+k*locatorEntrySize:]
		key, ok := part(b, le.Uint32(e), le.Uint16(e[8:]))
		value, ok2 := part(b, le.Uint32(e[4:]), le.Uint16(e[10:]))
		if !ok || !ok2 {
			return loc, bad(fmt.Sprintf("entry %d", k), nil, fmt.Sprintf("its key or its value is not whole UTF-16 inside the %d bytes of the locator", len(b)))
		}
		name, known := locatorKeys[string(key)]
		if _, twice := values[name]; known && twice {
			return loc, bad(name, nil, "it is there twice")
		}
		if known {
			values[name] = utf16Text(value)
		}
	}
	for _, key := range []string{linkageKey, linkage2Key} {
		value, ok := values[key]
		if !ok {
			continue
		}
		id, ok := parseGUID(value)
		if !ok {
			return loc, bad(key, fmt.Sprintf("%.80q", value), "it is no GUID")
		}
		loc.linkage = append(loc.linkage, id)
	}
	if _, ok := values[linkageKey]; !ok {
		return loc, bad("", nil, "it lacks "+linkageKey+", by which the parent is known")
	}
	for _, key := range pathKeys {
		if value, ok := values[key]; ok {
			loc.paths = append(loc.paths, value)
		}
	}
	return loc, nil
}

// locatorKeys are the keys as the file has them. All others are passed over without a look at how long they are.
var locatorKeys = func() map[string]string {
	keys := map[string]string{}
	for _, key := range append([]string{linkageKey, linkage2Key}, pathKeys...) {
		var b []byte
		for _, c := range utf16.Encode([]rune(key)) {
			b = binary.LittleEndian.AppendUint16(b, c)
		}
		keys[string(b)] = key
	}
	return keys
}()

// part is a string of a locator.
func part(b []byte, at uint32, length uint16) ([]byte, bool) {
	if uint64(at)+uint64(length) > uint64(len(b)) || length%2 != 0 {
		return nil, false
	}
	return b[at:][:length], true
}

func utf16Text(b []byte) string {
	units := make([]uint16, len(b)/2)
	for k := range units {
		units[k] = binary.LittleEndian.Uint16(b[2*k:])
	}
	return string(utf16.Decode(units))
}

// parseGUID reads the text form, with braces or without.
func parseGUID(text string) (guidText, bool) {
	text = strings.ToUpper(strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}"))
	pattern := []byte("00000000-0000-0000-0000-000000000000")
	shape := bytes.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'A' && r <= 'F' {
			return '0'
		}
		return r
	}, []byte(text))
	return guidText(text), bytes.Equal(shape, pattern)
}

// names are the files that may be the parent, as paths from the image's directory; dir is that of the file with the locator.
func (loc *locator) names(dir string) (names []string) {
	for _, p := range loc.paths {
		for _, name := range diskimage.NamesBeside(dir, p) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}
