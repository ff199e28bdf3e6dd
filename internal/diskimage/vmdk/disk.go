package vmdk

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// disk is one disk of a chain: its extents, one behind the other. A disk in one file has one.
type disk struct {
	name      string // of the file that it begins with; empty for the one that the caller opened
	subFormat string
	parts     []part
	size      int64
	link      descriptor // what it says of itself and of its parent
	textAt    int64      // where it says that, in the file
	warnings  []string
}

// part is the place of an extent in its disk, in bytes.
type part struct {
	extent

	name          string // of its file; empty where that is the disk's own, or there is none
	start, length int64
}

func (d *disk) add(e extent, name string, length int64) {
	d.parts = append(d.parts, part{e, name, d.size, length})
	d.size += length
}

// find is the extent at an offset inside the disk.
func (d *disk) find(off int64) *part {
	if len(d.parts) == 1 {
		return &d.parts[0]
	}
	k, here := slices.BinarySearchFunc(d.parts, off, func(p part, off int64) int {
		return int(min(max(p.start-off, -1), 1))
	})
	if !here {
		k--
	}
	return &d.parts[k]
}

// disks are the disk itself, the one that it is a delta of, and so on.
type disks []*disk

// blame says which file an error is of, where there are several: part p of a disk is.
func (c disks) blame(d *disk, p *part, err error) error {
	if p.name != "" {
		err = in("extent", p.name, d.subFormat, err)
	}
	return c.inDisk(d.name, err)
}

// inDisk says of which disk an error is, by the name of its file.
func (c disks) inDisk(name string, err error) error {
	if name == "" {
		return err
	}
	return in("parent", name, c[0].subFormat, err)
}

// in says in which file of a disk of a sub-format it is that something is wrong.
func in(what, name, subFormat string, err error) error {
	if u, ok := errors.AsType[*diskimage.UnsupportedError](err); ok { // whose reason is shown without what is around it
		in := *u
		in.SubFormat, in.Reason = subFormat, fmt.Sprintf("in its %s %s: %s", what, diskimage.Quote(name), u.Reason)
		return &in
	}
	return fmt.Errorf("%s %s: %w", what, diskimage.Quote(name), err)
}
