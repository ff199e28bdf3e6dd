package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
)

// openImageFile opens a regular file. Its kind is looked at before it is opened, because opening a pipe waits for its other end.
func openImageFile(path string) (*os.File, int64, error) {
	if path == "" {
		return nil, 0, usageError{errors.New("the name of the image is empty")}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, withoutPath(err)
	}
	switch {
	case info.IsDir():
		return nil, 0, errors.New("it is a directory, not an image file")
	case !info.Mode().IsRegular():
		return nil, 0, fmt.Errorf("it is %s, not a regular file: copy its bytes into one first", kind(info.Mode()))
	}
	file, err := os.Open(path) //nolint:gosec // the user names the file
	if err != nil {
		return nil, 0, withoutPath(err)
	}
	if info, err = file.Stat(); err != nil {
		return nil, 0, errors.Join(withoutPath(err), file.Close())
	}
	return file, info.Size(), nil
}

// warn tells what the reader of an image passed over.
func warn(env environment, path string, img *detect.Image) {
	for _, text := range img.Warnings() {
		_, _ = fmt.Fprintf(env.stderr, "warning: %s: %s\n", path, text)
	}
}

// kind says what a file is that is no regular one.
func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "something special"
}

// withoutPath drops the path from an error of the operating system, where the message names it already.
func withoutPath(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		return l.Err
	}
	return err
}
