package vmdk

import (
	"io"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// file is one of the files that an image is in.
type file struct {
	io.ReaderAt

	size int64
	name string // as a descriptor has it; empty for the one that the caller opened
}

// extent is a part of a disk, and how a file stores it.
type extent interface {
	// run is how the bytes from off on are stored, and how many of them, limit at most, are stored so together.
	run(c *cursor, off, limit int64) (run, error)

	// read reads into p the beginning of a stored run, which was found at off.
	read(s *scratch, r run, off int64, p []byte) error
}

type run struct {
	kind   kind
	file   *file // that has the bytes as they are; nil where it does not, or has none
	at     int64 // where it begins in the file, if it is stored
	length int64
}

type kind uint8

const (
	absent kind = iota // the bytes are those of the parent, or zeros where there is none
	zeros              // the bytes are zeros: the image says so
	stored
)

// flat is an extent whose bytes lie in a file as they are.
type flat struct {
	file *file
	at   int64 // where it begins
}

func (f flat) run(_ *cursor, off, limit int64) (run, error) {
	return run{stored, f.file, f.at + off, limit}, nil
}

func (f flat) read(_ *scratch, r run, _ int64, p []byte) error {
	return diskimage.ReadFull(f.file, p, r.at)
}

// nothing is an extent without a file, or one that must not be read: ZERO, NOACCESS.
type nothing struct{}

func (nothing) run(_ *cursor, _, limit int64) (run, error) {
	return run{kind: zeros, length: limit}, nil
}

func (nothing) read(*scratch, run, int64, []byte) error { return nil }

// storedRun is a run of a file that is known to be stored, or to be a hole.
type storedRun struct {
	file *file
	run  diskimage.StoredRun
}

// find looks whether a place in a file is stored, and how far that holds.
func (k *storedRun) find(f *file, at int64) (stored bool, end int64, err error) {
	if k.file != f {
		*k = storedRun{file: f}
	}
	return k.run.Find(f.ReaderAt, at, f.size)
}

// isHole tells whether a range of a file is known to be a hole as a whole.
func (k *storedRun) isHole(f *file, at, length int64) (bool, error) {
	stored, end, err := k.find(f, at)
	return err == nil && !stored && length <= end-at, err
}
