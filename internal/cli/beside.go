package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/sparse"
)

// directory is what an image may name files in: its own directory, and what is below. The names are an attacker's (CVE-2022-47951: a VMDK whose
// extent is /etc/shadow), so os.Root holds them inside, only regular files are opened, and no symbolic link is followed, not even to a file of the
// same directory: what the image means to read is what is there under that name.
type directory struct {
	path  string      // of the image, as the user named it
	image fs.FileInfo // the image itself

	root   *os.Root // nil until the image names a file
	opened []imageFile
}

// besideError is why a file was not opened that an image names. It does not say which: that is in the words of the format around it.
type besideError struct{ error }

func (e besideError) Unwrap() error { return e.error }

// open is a diskimage.Opener. A name is a slash-separated path from the directory.
func (d *directory) open(name string) (diskimage.File, error) {
	file, err := d.openRegular(name)
	if err != nil {
		return nil, besideError{err}
	}
	d.opened = append(d.opened, file)
	return file, nil
}

func (d *directory) openRegular(name string) (imageFile, error) {
	// The names of files need not be in UTF-8, as the paths of this function do.
	if _, err := filepath.Localize(strings.ToValidUTF8(name, "_")); err != nil {
		return imageFile{}, errors.New("only files in the directory of the image and below are opened: put it beside the image, under a plain name")
	}
	local := filepath.FromSlash(name)
	if err := d.openRoot(); err != nil {
		return imageFile{}, err
	}
	info, err := d.look(local)
	if err != nil {
		return imageFile{}, err
	}
	// O_NONBLOCK, and the look at what was opened, cover a file that was swapped for a pipe or a link in between.
	file, err := d.root.OpenFile(local, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return imageFile{}, notOpened(err)
	}
	opened, err := file.Stat()
	if err == nil && !os.SameFile(info, opened) {
		err = errors.New("it was replaced while it was opened: try again")
	}
	if err == nil {
		err = d.refuseTwice(opened)
	}
	if err != nil {
		return imageFile{}, errors.Join(withoutPath(err), file.Close())
	}
	return imageFile{sparse.File{File: file}, opened}, nil
}

// openRoot opens the directory. Of an image that was named by a symbolic link it is the one that the file itself is in, because there are the files
// that were made with it; qemu-img would look beside the link.
func (d *directory) openRoot() error {
	if d.root != nil {
		return nil
	}
	real, err := filepath.EvalSymlinks(d.path)
	if err != nil {
		return fmt.Errorf("find the directory of the image: %w", err)
	}
	root, err := os.OpenRoot(filepath.Dir(real))
	if err != nil {
		return fmt.Errorf("open the directory of the image: %w", err)
	}
	if info, err := root.Lstat(filepath.Base(real)); err != nil || !os.SameFile(info, d.image) {
		return errors.Join(errors.New("the image has been replaced since it was opened: try again"), root.Close())
	}
	d.root = root
	return nil
}

// look is what a name leads to, without following a link at any of its elements.
func (d *directory) look(local string) (fs.FileInfo, error) {
	for at := range len(local) {
		if !os.IsPathSeparator(local[at]) {
			continue
		}
		info, err := d.root.Lstat(local[:at])
		if err != nil {
			return nil, notThere(err)
		}
		if !info.IsDir() {
			return nil, fmt.Errorf("%q in it is %s, not a directory, and links are not followed: put the directory itself there", filepath.ToSlash(local[:at]), kind(info.Mode()))
		}
	}
	info, err := d.root.Lstat(local)
	switch {
	case err != nil:
		return nil, notThere(err)
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, errors.New("it is a symbolic link, and links that an image names are not followed: put the file itself there")
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("it is %s, not a regular file: put the file itself there", kind(info.Mode()))
	case os.SameFile(info, d.image):
		return nil, errors.New("it is the image itself: rename the image, and put the file that it means there")
	}
	return info, nil
}

// refuseTwice refuses a file that the image has named already, by this name or, with hard links, by another: each extent and each disk of a chain is a
// file of its own, and one small file under thousands of names would be a disk of any size.
func (d *directory) refuseTwice(info fs.FileInfo) error {
	for _, other := range d.opened {
		if os.SameFile(other.info, info) {
			return fmt.Errorf("it is the same file as %q, which the image names too: copy it, so that each name has a file of its own", filepath.Base(other.Name()))
		}
	}
	return nil
}

func notThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG) {
		return fs.ErrNotExist
	}
	return notOpened(err)
}

// notOpened is why the operating system did not open a file that is there.
func notOpened(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: give yourself the right to read it", withoutPath(err))
	}
	return withoutPath(err)
}

// Close closes the directory; the opened files are their openers'.
func (d *directory) Close() error {
	if d.root == nil {
		return nil
	}
	return d.root.Close()
}
