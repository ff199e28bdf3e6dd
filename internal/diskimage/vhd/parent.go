package vhd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// origin is what a differencing disk says of the disk that it differs from.
type origin struct {
	dynamicHeader

	file     io.ReaderAt
	headerAt int64
	end      int64 // of the headers and data in the file
}

// parent is the disk that another one differs from.
type parent struct {
	*Image

	file diskimage.File
	name string
}

// What to do with a differencing disk. qemu-img would read as zeros what is in the parent.
const (
	besideCure = "put it beside SRC.vhd and run `terraform-provider-ec2 convert --to vmdk SRC.vhd DST.vmdk`"
	mergeCure  = "merge it with its parents where it was made: `Convert-VHD -Path SRC.vhd -DestinationPath DST.vhd -VHDType Dynamic` (PowerShell with Hyper-V)"
)

// openParents opens the disks that a differencing disk differs from, one behind the other, to the first that differs from none. What it has opened
// is closed by Close, after an error too.
func (i *Image) openParents(beside diskimage.Opener, c *checked) error {
	chain := []*Image{i}
	for disk, name := i, ""; disk.origin != nil; {
		if err := disk.openParent(beside, path.Dir(name), chain, c); err != nil {
			if name == "" {
				return err
			}
			return in(name, err)
		}
		disk, name = disk.parent.Image, disk.parent.name
		chain = append(chain, disk)
	}
	return nil
}

// openParent opens the disk that the last one of a chain, which is in the directory dir, differs from.
func (i *Image) openParent(beside diskimage.Opener, dir string, chain []*Image, c *checked) error {
	o := i.origin
	switch known := func(disk *Image) bool { return disk.id == o.parentID }; {
	case slices.ContainsFunc(chain, known):
		return &diskimage.CorruptError{
			Format: format, Structure: "dynamic header", Field: "parent unique id", Offset: o.headerAt, Value: fmt.Sprintf("%x", o.parentID),
			Reason: "the disk differs from itself, or from one that differs from it",
		}
	case len(chain) == maxChain:
		return unsupported(fmt.Sprintf("its chain of parents is longer than the %d disks that are followed", maxChain), mergeCure)
	}
	names, err := o.names(dir)
	if err != nil {
		return err
	}
	name, file, err := beside.First(names, func(string) bool { return false }) // the disks are known by their ids
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return o.refuseMissing(names)
	case err != nil:
		return fmt.Errorf("open the parent %s of the VHD: %w", diskimage.Quote(name), err)
	}
	disk, err := look(file, file.Size())
	if err == nil && disk.id != o.parentID {
		err = unsupported(
			fmt.Sprintf("it differs from the disk with the unique id %x, and %q beside it is another one, with the id %x", o.parentID, name, disk.id),
			"find the one that it differs from; "+besideCure)
		return errors.Join(err, file.Close())
	}
	if err == nil {
		err = disk.check(c)
	}
	if err != nil {
		return errors.Join(in(name, err), file.Close())
	}
	i.parent = &parent{disk, file, name}
	return nil
}

// in says in which of the files it is that something is wrong.
func in(name string, err error) error {
	if u, ok := errors.AsType[*diskimage.UnsupportedError](err); ok { // whose reason is shown without what is around it
		in := *u
		in.Reason = fmt.Sprintf("in its parent %q: %s", name, u.Reason)
		return &in
	}
	return fmt.Errorf("in the parent %q: %w", name, err)
}

func unsupported(reason, cure string) error {
	return &diskimage.UnsupportedError{Format: format, SubFormat: subFormatDifferencing, Reason: reason, Cure: cure}
}

// refuseAlone is the answer where no other file is opened.
func (o *origin) refuseAlone() error {
	name := "a parent"
	if o.parentName != "" {
		name = fmt.Sprintf("its parent %q", o.parentName)
	}
	return unsupported("it is a differencing disk: it holds only what differs from "+name, besideCure)
}

func (o *origin) refuseMissing(names []string) error {
	if len(names) == 0 {
		return unsupported("it is a differencing disk, and it does not name the disk that it differs from", mergeCure)
	}
	return unsupported("it is a differencing disk, and its parent is not beside it: there is no "+diskimage.AnyOf(names), besideCure)
}

// names are the names of files that may be the disk's parent, the best first: that of the relative locator, then that of the header. The disk is in the
// directory dir.
func (o *origin) names(dir string) (names []string, err error) {
	relative, err := o.relativeName()
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Concat(diskimage.NamesBeside(dir, relative), diskimage.NamesBeside(dir, o.parentName)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// relativeName is the name in the first locator of a relative path; empty where there is none.
func (o *origin) relativeName() (string, error) {
	for n, l := range o.locators {
		if string(l.code[:]) != locatorRelative || l.length == 0 {
			continue
		}
		corrupt := func(field string, value any, reason string) error {
			return &diskimage.CorruptError{
				Format: format, Structure: fmt.Sprintf("parent locator %d", n), Field: field, Offset: o.headerAt + locatorsAt + int64(n)*locatorSize, Value: value, Reason: reason,
			}
		}
		switch {
		case l.length > maxName:
			return "", corrupt("data length", l.length, fmt.Sprintf("a name has at most %d bytes", maxName))
		case int64(l.length) > o.end || l.offset > uint64(o.end-int64(l.length)):
			return "", corrupt("data offset", l.offset, fmt.Sprintf("a name of %d bytes there does not end before byte %d", l.length, o.end))
		}
		b := make([]byte, l.length)
		if err := diskimage.ReadFull(o.file, b, int64(l.offset)); err != nil {
			return "", fmt.Errorf("read the name of the parent of the VHD at byte %d: %w", l.offset, err)
		}
		return decodeName(b, binary.LittleEndian), nil
	}
	return "", nil
}
