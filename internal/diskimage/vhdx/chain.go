package vhdx

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// maxChain is of how many files an image may consist. Hyper-V makes at most 50 checkpoints.
const maxChain = 64

// What makes one disk of a differencing one.
const (
	besideCure = "put it beside SRC.avhdx and run `terraform-provider-ec2 convert --to vmdk SRC.avhdx DST.vmdk`"
	mergeCure  = "make one disk of it and its parents with `Convert-VHD -Path SRC.avhdx -DestinationPath DST.vhdx -VHDType Dynamic` " +
		"(PowerShell with Hyper-V)"
)

// follow opens the parents, up to the one that has none.
func (i *Image) follow(beside diskimage.Opener, used *budget) error {
	for l := i.layers[0]; l.meta.hasParent; l = i.layers[len(i.layers)-1] {
		if len(i.layers) == maxChain {
			return &diskimage.UnsupportedError{
				Format: format, SubFormat: differencing, Reason: fmt.Sprintf("it has more than %d parents", maxChain-1), Cure: mergeCure,
			}
		}
		loc, err := l.readLocator()
		if err != nil {
			return l.blame(err)
		}
		if err := i.openParent(l, &loc, beside, used); err != nil {
			return err
		}
	}
	return nil
}

// openParent opens the first file of those that a locator names that is there.
func (i *Image) openParent(child *layer, loc *locator, beside diskimage.Opener, used *budget) error {
	names := loc.names(path.Dir(child.name))
	if beside == nil {
		return missing(child, names, false)
	}
	name, file, err := beside.First(names, func(name string) bool {
		return slices.ContainsFunc(i.layers, func(l *layer) bool { return l.name == name })
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing(child, names, true)
	case err != nil:
		return fmt.Errorf("open the parent %s: %w", diskimage.Quote(name), err)
	case file == nil:
		return child.blame(corrupt("parent locator", "path", loc.at, diskimage.Quote(name), "the parents form a circle: a disk cannot be its own parent"))
	}
	i.files = append(i.files, file)
	parent, err := openLayer(file, file.Size(), used)
	if err != nil {
		return (&layer{name: name}).blame(err)
	}
	parent.name = name
	i.layers = append(i.layers, parent)
	return child.match(loc, parent)
}

// match holds a parent against what its child says of it: a parent that was written to since is not the one that the child differs from.
func (l *layer) match(loc *locator, parent *layer) error {
	if id := readGUID(parent.header.dataWrite[:]); !slices.Contains(loc.linkage, id) {
		e := &diskimage.UnsupportedError{
			Format: format, SubFormat: differencing, Cure: "find the disk that it was made on, as it was then; " + besideCure,
			Reason: fmt.Sprintf("it differs from the disk with the DataWriteGuid %s, and that of %s is %s: it is another disk, or was written to since",
				loc.linkage[0], diskimage.Quote(parent.name), id),
		}
		if l.name != "" {
			e.Reason = fmt.Sprintf("in %s: %s", l.called(), e.Reason)
		}
		return e
	}
	if own := parent.meta.logicalSector; own != l.meta.logicalSector {
		return l.blame(corrupt("metadata", "LogicalSectorSize", l.regions.metadata.at, l.meta.logicalSector,
			fmt.Sprintf("its parent %q has sectors of %d bytes", parent.name, own)))
	}
	return nil
}

// missing is the refusal of an image whose parent cannot be had.
func missing(child *layer, names []string, looked bool) error {
	e := &diskimage.UnsupportedError{Format: format, SubFormat: differencing, Cure: besideCure}
	e.Reason = "it is differencing: it holds only what differs from its parent"
	if child.name != "" {
		e.Reason = fmt.Sprintf("%s is differencing too: it holds only what differs from its own", child.called())
	}
	switch where := diskimage.AnyOf(names); {
	case len(names) == 0:
		e.Reason += ", and says nowhere what the parent's file is called"
		e.Cure = mergeCure
	case looked:
		e.Reason += ", and there is no " + where + " beside it"
	default:
		e.Reason += ", " + where
	}
	return e
}
