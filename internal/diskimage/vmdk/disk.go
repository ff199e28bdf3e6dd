package vmdk

import (
	"fmt"
	"slices"
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

// blame says which file an error is of, where there are several.
func (d *disk) blame(p *part, err error) error {
	if p.name != "" {
		err = fmt.Errorf("extent %s: %w", quote(p.name), err)
	}
	return d.blameParent(err)
}

func (d *disk) blameParent(err error) error {
	if d.name != "" {
		return fmt.Errorf("parent %s: %w", quote(d.name), err)
	}
	return err
}
