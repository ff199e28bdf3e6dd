package imagesource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/sparse"
)

// openFile opens a key of a bucket that is a directory. os.Root keeps every name and every symbolic link inside it.
func openFile(ctx context.Context, l Location, dir string) (*Object, error) {
	name, err := fileName(l.Key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l, err)
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: bucket %q is mapped to the directory %s, which does not exist: create it, or correct the mapping",
			l, ErrNoBucket, l.Bucket, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: cannot open the directory of bucket %q: %w", l, l.Bucket, err)
	}
	defer root.Close() // the opened file does not need it
	// Looking before opening: opening a device can do things, and opening a FIFO would wait for a writer.
	info, err := root.Stat(name)
	if err != nil {
		return nil, fileError(l, dir, err)
	}
	if err := regular(l, info); err != nil {
		return nil, err
	}
	// O_NONBLOCK, and the second look, cover a file that was swapped for a FIFO in between.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fileError(l, dir, err)
	}
	info, err = f.Stat()
	if err == nil {
		err = regular(l, info)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	r := &fileReader{ctx: ctx, file: f, location: l, size: info.Size(), modified: info.ModTime()}
	etag := strconv.FormatInt(r.size, 16) + "-" + strconv.FormatInt(r.modified.UnixNano(), 16)
	return &Object{ReaderAt: r, size: r.size, etag: etag, close: f.Close}, nil
}

// fileName turns a key into a file name. A key is a string, not a path: of several keys that would mean one file ("a//b", "./a/b") the plain one
// is that file's key, and the others name nothing.
func fileName(key string) (string, error) {
	if key == "" {
		return "", fmt.Errorf("%w: the key is empty", ErrNotFound)
	}
	if clean := path.Clean(key); path.IsAbs(key) || clean == ".." || strings.HasPrefix(clean, "../") {
		return "", fmt.Errorf("%w: write the key relative to the directory and without dot-dot", ErrOutside)
	}
	name, err := filepath.Localize(key)
	if err != nil {
		return "", fmt.Errorf("%w: no file can have the key %q", ErrNotFound, key)
	}
	return name, nil
}

func fileError(l Location, dir string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG):
		return fmt.Errorf("%s: %w: the directory %s of bucket %q has no file %s: copy the image there, or correct the key",
			l, ErrNotFound, dir, l.Bucket, l.Key)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w: make the file readable: %w", l, ErrForbidden, err)
	case strings.Contains(err.Error(), "path escapes from parent"): // os exports no value for it
		return fmt.Errorf("%s: %w: a symbolic link leads out of %s: copy the image into it", l, ErrOutside, dir)
	}
	return fmt.Errorf("%s: cannot open it in %s: %w", l, dir, err)
}

func regular(l Location, info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	what := "a special file"
	switch mode := info.Mode(); {
	case mode.IsDir():
		what = "a directory"
	case mode&fs.ModeNamedPipe != 0:
		what = "a named pipe"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	}
	return fmt.Errorf("%s: %w: it is %s, and only regular files can be images: copy the bytes into a file", l, ErrNotFound, what)
}

// fileReader compares size and modification time after each read: one fstat, so a file that is rewritten in place is noticed (within the clock
// of the file system). A file that is replaced by rename is not: the old one stays readable and whole.
type fileReader struct {
	ctx      context.Context
	file     *os.File
	location Location
	size     int64
	modified time.Time
}

func (r *fileReader) ReadAt(p []byte, off int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, fmt.Errorf("%s: %w", r.location, context.Cause(r.ctx))
	}
	n, end := checkRange(len(p), off, r.size)
	if n == 0 {
		return 0, end
	}
	n, err := r.file.ReadAt(p[:n], off)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("%s: %w", r.location, err)
	}
	if changed := r.unchanged(); changed != nil {
		return 0, changed
	}
	if err != nil { // the file ended in between
		return 0, r.changed()
	}
	return n, end
}

// NextData gives the runs that the file stores.
func (r *fileReader) NextData(off int64) (start, end int64, err error) {
	if err := r.ctx.Err(); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", r.location, context.Cause(r.ctx))
	}
	start, end, err = sparse.File{File: r.file}.NextData(off)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, fmt.Errorf("%s: %w", r.location, err)
	}
	if changed := r.unchanged(); changed != nil {
		return 0, 0, changed
	}
	return start, end, err
}

// unchanged is an error if the file is not as it was opened.
func (r *fileReader) unchanged() error {
	info, err := r.file.Stat()
	if err != nil {
		return fmt.Errorf("%s: %w", r.location, err)
	}
	if info.Size() != r.size || !info.ModTime().Equal(r.modified) {
		return r.changed()
	}
	return nil
}

func (r *fileReader) changed() error {
	return fmt.Errorf("%s: %w: it was written to since it was opened: import again when nothing writes to it", r.location, ErrChanged)
}
