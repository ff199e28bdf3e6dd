package vmdk

import (
	"fmt"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// maxChecked is how many grain tables that store nothing are passed over for one that does: the tables of 16 GiB in the usual geometry.
const maxChecked = 512

// Check tells whether a file was cut off, for one who only looked at it. A footer is the end of its stream. Where there is none, every entry of the
// last grain table that stores a grain must lead into the file, and the grain that lies last must be there as a whole. All other tables are checked
// when the disk is opened or read.
func (i *Image) Check() error {
	for _, d := range i.chain {
		for k := range d.parts {
			if e, ok := d.parts[k].extent.(*sparse); ok && !e.ended {
				if err := e.checkEnd(); err != nil {
					return i.chain.blame(d, &d.parts[k], err)
				}
			}
		}
	}
	return nil
}

func (e *sparse) checkEnd() error {
	var c cursor
	for index, passed := e.entries-1, 0; index >= 0 && passed < maxChecked; index-- {
		there, err := e.load(&c, index)
		if err != nil {
			return err
		}
		if !there {
			if c.noTables {
				index = c.first
			}
			continue
		}
		passed++
		if stores, err := e.checkTable(&c); stores || err != nil {
			return err
		}
	}
	return nil
}

// checkTable looks at the grain table at hand, and tells whether it stores a grain.
func (e *sparse) checkTable(c *cursor) (stores bool, err error) {
	last, place := int64(0), int64(-1)
	for grain := c.index * e.perTable; grain < min((c.index+1)*e.perTable, e.grains); grain++ {
		k, at, err := e.decode(c, grain)
		if err != nil {
			return true, err
		}
		if k == stored && at > place {
			last, place = grain, at
		}
	}
	if place < 0 || !e.compressed {
		return place >= 0, nil
	}
	head := make([]byte, grainHeaderSize)
	if err := diskimage.ReadFull(e.file, head, place); err != nil {
		return true, fmt.Errorf("read grain %d of the VMDK at byte %d: %w", last, place, err)
	}
	_, err = e.packedEnd(head, last, place)
	return true, err
}
