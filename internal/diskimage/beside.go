package diskimage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// File is a file that an image named.
type File interface {
	io.ReaderAt
	io.Closer

	// Size is the length in bytes.
	Size() int64
}

// Opener opens a file beside an image by a name from NamesBeside. The name is an attacker's. An Opener gives regular files inside the image's own
// directory only, each of them once, whatever names it has, and fs.ErrNotExist for what is not there. A nil Opener follows no name at all: an image
// that needs another file is refused then.
type Opener func(name string) (File, error)

// First opens the first of some names that is there, and says which; fs.ErrNotExist where none is. A name that is known is there and not opened again:
// the file is nil then.
func (o Opener) First(names []string, known func(name string) bool) (name string, file File, err error) {
	for _, name := range names {
		if known(name) {
			return name, nil, nil
		}
		file, err := o(name)
		if !errors.Is(err, fs.ErrNotExist) {
			return name, file, err
		}
	}
	return "", nil, fs.ErrNotExist
}

// NamesBeside reduces a name in an image, an extent's or a parent's, to those that may be opened in and below the image's own directory, as
// slash-separated paths from there, the best first; nothing where it names no file. dir is the directory of the file that has the name in it. What is
// relative and stays in the image's directory is the file there. Of all others, which are paths on another machine, and of what was copied into one
// directory, the last part counts: beside the file with the name in it, then beside the image.
func NamesBeside(dir, foreign string) (names []string) {
	slashed := strings.ReplaceAll(foreign, `\`, "/")
	if len(slashed) > 1 && slashed[1] == ':' && isLetter(slashed[0]) { // a drive
		slashed = "/" + slashed[2:]
	}
	above, last := path.Split(slashed)
	// An error shows the name, and no file system takes the zero byte.
	if last == "" || last == "." || last == ".." || strings.ContainsFunc(slashed, unicode.IsControl) {
		return nil
	}
	if own := path.Join(dir, slashed); !path.IsAbs(slashed) && !strings.Contains(above, ":") && own != ".." && !strings.HasPrefix(own, "../") {
		names = append(names, own)
	}
	for _, name := range []string{path.Join(dir, last), last} {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// AnyOf shows names to people.
func AnyOf(names []string) string {
	quoted := make([]string, len(names))
	for k, name := range names {
		quoted[k] = Quote(name)
	}
	return strings.Join(quoted, " or ")
}

// Quote quotes a text of a file for people, as far as a path of Windows goes: errors go into logs, and are no place for a MiB.
func Quote(text string) string {
	const most = 260
	quoted := fmt.Sprintf("%.*q", most, text)
	if utf8.RuneCountInString(text) > most {
		quoted += " (cut)"
	}
	return quoted
}
