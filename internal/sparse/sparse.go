// Package sparse makes files whose untouched parts occupy no space.
package sparse

import (
	"fmt"
	"io/fs"
	"os"
)

// Target is a new file to be written into.
type Target struct {
	*os.File

	room room
}

// WriteAt is that of the file, in the way in which its file system is fastest.
func (t *Target) WriteAt(p []byte, off int64) (int, error) {
	t.room.before(t.File, off, int64(len(p)))
	return t.File.WriteAt(p, off)
}

// Create makes a new file of size bytes that reads as zeros, and writes nothing into it. Its mode is perm, before the umask. A file that exists is
// refused. When Create fails it leaves no file behind.
func Create(path string, size int64, perm fs.FileMode) (*Target, error) {
	if size < 0 {
		return nil, fmt.Errorf("create %s: size %d is negative", path, size)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm) //nolint:gosec // the caller names the file
	if err != nil {
		return nil, err
	}
	err = markSparse(f)
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(path)
		return nil, fmt.Errorf("create %s with %d bytes: %w", path, size, err)
	}
	target := &Target{File: f}
	target.room.open(f)
	return target, nil
}

// NoRoom tells whether a write failed because the file system, or what the user may have of it, is full. A sparse file meets that when it is written to,
// not when it is made.
func NoRoom(err error) bool { return noRoom(err) }
