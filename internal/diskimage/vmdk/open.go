package vmdk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
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
	seen := map[string]bool{}
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
		if f, err = o.parent(d, seen); err != nil {
			return o.chain.inDisk(d.name, err)
		}
	}
}

// parent opens the file that a delta names as its parent. The name is often a path on the machine where it was made: only its last part counts.
func (o *opening) parent(d *disk, seen map[string]bool) (*file, error) {
	if o.beside == nil {
		return nil, d.refuseDelta()
	}
	corrupt := func(reason string) error {
		return &diskimage.CorruptError{
			Format: format, Structure: "descriptor", Field: "parentFileNameHint", Offset: d.textAt, Value: quote(d.link.parentHint), Reason: reason,
		}
	}
	if len(d.link.parentHint) > maxText {
		return nil, corrupt(tooLong)
	}
	name := d.link.parentHint[strings.LastIndexAny(d.link.parentHint, `/\`)+1:]
	if reason := checkName(name); reason != "" {
		return nil, corrupt(reason)
	}
	if seen[name] {
		return nil, corrupt("the parent is a delta of itself: the chain comes back to it")
	}
	if len(o.chain) == maxChain {
		return nil, &diskimage.UnsupportedError{
			Format: format, SubFormat: d.subFormat, Reason: fmt.Sprintf("it is the end of a chain of more than %d disks", maxChain), Cure: vmwareCure,
		}
	}
	seen[name] = true
	return o.file(d, name, "the disk that it is a delta of")
}

// file opens a file beside the image.
func (o *opening) file(d *disk, name, what string) (*file, error) {
	f, err := o.beside(name)
	if errors.Is(err, fs.ErrNotExist) {
		e := &diskimage.UnsupportedError{
			Format: format, SubFormat: d.subFormat, Reason: fmt.Sprintf("%s, %s, is not there", what, quote(name)), Cure: "put that file beside SRC under that name, and " + ownCure,
		}
		if !utf8.ValidString(name) {
			e.Reason += fmt.Sprintf(" (the bytes of the name are taken as they are; the descriptor says that its encoding is %s)", quote(d.link.encoding))
		}
		return nil, e
	}
	if err != nil {
		return nil, fmt.Errorf("open %s, %s: %w", what, quote(name), err)
	}
	o.opened = append(o.opened, f)
	return &file{f, f.Size(), name}, nil
}

// checkParent: a parent that was written to after the delta was made fits it no longer.
func (d *disk) checkParent(parent *disk) error {
	if want, err := strconv.ParseUint(d.link.parentCID, 16, 32); err == nil {
		if have, err := strconv.ParseUint(parent.link.cid, 16, 32); err == nil && have == want {
			return nil
		}
	}
	return &diskimage.CorruptError{
		Format: format, Structure: "descriptor", Field: "parentCID", Offset: d.textAt, Value: quote(d.link.parentCID),
		Reason: fmt.Sprintf("%s has the CID %s: it is another disk, or was written to after the delta was made; take it as it was then", quote(parent.name), quote(parent.link.cid)),
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
