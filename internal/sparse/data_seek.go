//go:build linux || darwin

package sparse

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// nextData asks with lseek, which reads nothing.
func nextData(f *os.File, off int64) (start, end int64, err error) {
	start, err = f.Seek(off, unix.SEEK_DATA)
	if errors.Is(err, syscall.ENXIO) { // there is none, or the file ends in front of it
		return 0, 0, io.EOF
	}
	if err == nil {
		end, err = f.Seek(start, unix.SEEK_HOLE)
	}
	if err != nil || start < off || end <= start { // a file system without a map, or with one that something is wrong with
		return wholeFile(f, off)
	}
	return start, end, nil
}
