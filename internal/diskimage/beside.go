package diskimage

import "io"

// File is a file that an image named.
type File interface {
	io.ReaderAt
	io.Closer

	// Size is the length in bytes.
	Size() int64
}

// Opener opens a file beside an image by the name that the image gives: an extent of its disk, or the disk that it differs from. The name is an
// attacker's. An Opener gives regular files inside the image's own directory only, each of them once, whatever names it has, and fs.ErrNotExist for
// what is not there. A nil Opener follows no name at all: an image that needs another file is refused then.
type Opener func(name string) (File, error)
