package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/sparse"
)

// imageFile is an open regular file. It knows its holes.
type imageFile struct {
	sparse.File

	info fs.FileInfo // when it was opened
}

func (f imageFile) Size() int64 { return f.info.Size() }

// openImageFile opens a regular file. Its kind is looked at before it is opened, because opening a pipe waits for its other end.
func openImageFile(path string) (imageFile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return imageFile{}, withoutPath(err)
	}
	switch {
	case info.IsDir():
		return imageFile{}, errors.New("it is a directory, not an image file")
	case !info.Mode().IsRegular():
		return imageFile{}, fmt.Errorf("it is %s, not a regular file: copy its bytes into one first", kind(info.Mode()))
	}
	file, err := os.Open(path) //nolint:gosec // the user names the file
	if err != nil {
		return imageFile{}, withoutPath(err)
	}
	if info, err = file.Stat(); err != nil {
		return imageFile{}, errors.Join(withoutPath(err), file.Close())
	}
	return imageFile{sparse.File{File: file}, info}, nil
}

// source is the image that a command works on, with what is opened beside it.
type source struct {
	imageFile

	path   string
	beside *directory
}

func openSource(path string) (*source, error) {
	file, err := openImageFile(path)
	if err != nil {
		return nil, err
	}
	return &source{imageFile: file, path: path, beside: &directory{path: path, image: file.info}}, nil
}

// open opens the disk inside, with the files that the image names.
func (s *source) open() (*detect.Image, error) {
	return detect.OpenBeside(s, s.Size(), s.beside.open)
}

// openAlone opens the disk inside if it needs no other file. It is for an image with another file beside it that is there, but could not be opened: what to
// do is in the error of that, so the one of the image has no cure.
func (s *source) openAlone() (*detect.Image, error) {
	img, err := detect.Open(s, s.Size(), "")
	if u, ok := errors.AsType[*diskimage.UnsupportedError](err); ok {
		alone := *u
		alone.Cure = ""
		return nil, &alone
	}
	return img, err
}

// isOneOf says whether a file is the image, or one that it named.
func (s *source) isOneOf(info fs.FileInfo) bool {
	if os.SameFile(s.info, info) {
		return true
	}
	for _, opened := range s.beside.opened {
		if os.SameFile(opened.info, info) {
			return true
		}
	}
	return false
}

func (s *source) Close() error { return errors.Join(s.beside.Close(), s.imageFile.Close()) }

var (
	_ diskimage.File    = imageFile{}
	_ diskimage.DataMap = (*source)(nil)
)

// warn tells what the reader of an image passed over, and what its name says against it.
func warn(env environment, path fileName, img *detect.Image) {
	for _, text := range img.Doubts(string(path)) {
		_, _ = fmt.Fprintf(env.stderr, "warning: %s: %s\n", path, text)
	}
}

// kind says what a file is.
func kind(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "a file"
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
