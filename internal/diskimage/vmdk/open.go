package vmdk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// opening is an image on its way.
type opening struct {
	chain   disks
	opened  []io.Closer
	beside  diskimage.Opener // nil: no name is followed
	extents int              // in all disks so far
	entries int64            // of the directories of the extents so far
}

// open opens the disk in a file, and those that it is a delta of.
func (o *opening) open(f *file) error {
	for {
		d, err := o.disk(f)
		if err != nil {
			return o.chain.inDisk(f.name, err)
		}
		o.chain = append(o.chain, d)
		if child := len(o.chain) - 2; child >= 0 {
			if err := o.chain[child].checkParent(d); err != nil {
				return o.chain.inDisk(o.chain[child].name, err)
			}
		}
		if !d.link.isDelta() {
			return nil
		}
		if f, err = o.parent(d); err != nil {
			return o.chain.inDisk(d.name, err)
		}
	}
}

// parent opens the file that a delta names as its parent.
func (o *opening) parent(d *disk) (*file, error) {
	if o.beside == nil {
		return nil, d.refuseDelta()
	}
	corrupt := func(reason string) error {
		return &diskimage.CorruptError{
			Format: format, Structure: "descriptor", Field: "parentFileNameHint", Offset: d.textAt, Value: diskimage.Quote(d.link.parentHint), Reason: reason,
		}
	}
	names, reason := d.namesFor(d.link.parentHint)
	if reason != "" {
		return nil, corrupt(reason)
	}
	if len(o.chain) == maxChain {
		return nil, &diskimage.UnsupportedError{
			Format: format, SubFormat: d.subFormat, Reason: fmt.Sprintf("it is the end of a chain of more than %d disks", maxChain), Cure: vmwareCure,
		}
	}
	known := func(name string) bool {
		return slices.ContainsFunc(o.chain, func(d *disk) bool { return d.name == name })
	}
	name, f, err := o.file(d, names, known, "the disk that it is a delta of")
	if err == nil && f == nil {
		return nil, corrupt("the parent is a delta of itself: the chain comes back to " + diskimage.Quote(name))
	}
	return f, err
}

// file opens a file beside the image, by the first of its names that is there; nil where that is a known one.
func (o *opening) file(d *disk, names []string, known func(string) bool, what string) (string, *file, error) {
	name, f, err := o.beside.First(names, known)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e := &diskimage.UnsupportedError{
			Format: format, SubFormat: d.subFormat, Reason: fmt.Sprintf("%s, %s, is not there", what, diskimage.AnyOf(names)),
			Cure: "put that file beside SRC under that name, and " + ownCure,
		}
		if !utf8.ValidString(names[0]) {
			e.Reason += fmt.Sprintf(" (the bytes of the name are taken as they are; the descriptor says that its encoding is %s)", diskimage.Quote(d.link.encoding))
		}
		return "", nil, e
	case err != nil:
		return name, nil, fmt.Errorf("open %s, %s: %w", what, diskimage.Quote(name), err)
	case f == nil:
		return name, nil, nil
	}
	o.opened = append(o.opened, f)
	return name, &file{f, f.Size(), name}, nil
}

// checkParent: a parent that was written to after the delta was made fits it no longer.
func (d *disk) checkParent(parent *disk) error {
	if want, err := strconv.ParseUint(d.link.parentCID, 16, 32); err == nil {
		if have, err := strconv.ParseUint(parent.link.cid, 16, 32); err == nil && have == want {
			return nil
		}
	}
	return &diskimage.UnsupportedError{
		Format: format, SubFormat: d.subFormat,
		Reason: fmt.Sprintf("it is a delta of the disk with the CID %s, and %s has the CID %s: it is another disk, or was written to after the delta was made",
			diskimage.Quote(d.link.parentCID), diskimage.Quote(parent.name), diskimage.Quote(parent.link.cid)),
		Cure: "put the disk that it was made on beside SRC, as it was then, and " + ownCure,
	}
}

// disk opens the disk that begins with a file.
func (o *opening) disk(f *file) (*disk, error) {
	head := make([]byte, min(f.size, sectorSize))
	if err := diskimage.ReadFull(f, head, 0); err != nil {
		return nil, fmt.Errorf("read the VMDK header: %w", err)
	}
	switch m := magicOf(head); m {
	case isHosted:
		return o.oneFile(f, head)
	case isCOWD, isSESparse:
		return nil, refuseExtentAlone(m)
	case isOther:
	}
	text := make([]byte, min(f.size, maxDescriptorBytes))
	if err := diskimage.ReadFull(f, text, 0); err != nil {
		return nil, fmt.Errorf("read the VMDK descriptor: %w", err)
	}
	d := parseDescriptor(text, 0)
	if d.createType == "" && len(d.lines) == 0 {
		return nil, &diskimage.CorruptError{
			Format: format, Structure: "header", Field: "magicNumber", Value: fmt.Sprintf("%q", head[:min(len(head), 4)]),
			Reason: "this is neither a sparse extent nor a descriptor",
		}
	}
	return o.described(f, text, d)
}

// oneFile is a disk that has its one extent and its descriptor in one file.
func (o *opening) oneFile(f *file, head []byte) (*disk, error) {
	h, err := openHosted(f, head)
	if err != nil {
		return nil, err
	}
	if err := h.link.refuseEncrypted(h.header.subFormat()); err != nil {
		return nil, err
	}
	if err := h.checkAlone(); err != nil {
		return nil, err
	}
	d := &disk{name: f.name, subFormat: h.link.delta(h.header.subFormat()), link: h.link, textAt: h.textAt, warnings: h.header.warnings()}
	d.add(h.extent, "", h.extent.size)
	if err := o.count(d); err != nil {
		return nil, err
	}
	return d, o.countEntries(d, h.extent)
}

// count holds the number of extents against its cap.
func (o *opening) count(d *disk) error {
	if o.extents += max(len(d.parts), len(d.link.lines)); o.extents > maxExtents {
		return &diskimage.UnsupportedError{
			Format: format, SubFormat: d.subFormat, Reason: fmt.Sprintf("it has more than %d extents", maxExtents), Cure: vmwareCure,
		}
	}
	return nil
}

// countEntries holds the entries of the directories of all extents together against their cap: what each claims is looked at once for each of them.
func (o *opening) countEntries(d *disk, e *sparse) error {
	if o.entries += e.entries; o.entries > maxGDEntries {
		return &diskimage.UnsupportedError{
			Format: format, SubFormat: d.subFormat, Reason: fmt.Sprintf("with it, the image has more than %d grain tables", maxGDEntries), Cure: vmwareCure,
		}
	}
	return nil
}
