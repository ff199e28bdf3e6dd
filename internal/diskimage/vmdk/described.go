package vmdk

import (
	"bytes"
	"fmt"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// described is a disk whose extents are in the files that the descriptor in f names.
func (o *opening) described(f *file, text []byte, link descriptor) (*disk, error) {
	name, device := link.kind()
	d := &disk{name: f.name, subFormat: link.delta(name), link: link}
	if device != "" {
		return nil, &diskimage.UnsupportedError{
			Format: format, SubFormat: name, Reason: "it is only the descriptor of a disk whose data are on a device", Cure: device,
		}
	}
	if err := link.refuseEncrypted(name); err != nil {
		return nil, err
	}
	if o.beside == nil {
		return nil, link.refuseAlone()
	}
	if err := o.count(d); err != nil {
		return nil, err
	}
	if err := link.check(); err != nil {
		return nil, err
	}
	s := described{opening: o, disk: d, own: f, text: text, files: map[string]*extentFile{}}
	for _, line := range link.lines {
		if err := s.add(line); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// check refuses a descriptor that does not say what the whole disk is made of. A line that is passed over would shift all that is behind it.
func (d *descriptor) check() error {
	corrupt := func(field string, at int64, value any, reason string) error {
		return &diskimage.CorruptError{Format: format, Structure: "descriptor", Field: field, Offset: at, Value: value, Reason: reason}
	}
	switch {
	case d.strange >= 0:
		return corrupt("line", d.strange, nil, "it is neither a comment, nor an extent, nor a value")
	case len(d.lines) == 0:
		return corrupt("extents", 0, nil, "there is none")
	case d.sectors > maxCapacityBytes/sectorSize:
		return &diskimage.UnsupportedError{
			Format: format, SubFormat: d.createType,
			Reason: fmt.Sprintf("the disk claims %d sectors, more than 64 TiB, the largest EBS volume", d.sectors),
			Cure:   "shrink the disk in the system that it comes from",
		}
	}
	for _, e := range d.lines {
		if e.sectors == 0 {
			return corrupt("extent sectors", e.at, e.sectors, "an extent of nothing")
		}
	}
	return nil
}

// described is a disk on its way that consists of several files.
type described struct {
	*opening

	disk  *disk
	own   *file // the descriptor's
	text  []byte
	files map[string]*extentFile
	moved bool // a file was not where its name leads
}

// extentFile is a file that a descriptor names, and the ranges of it that the disk has so far.
type extentFile struct {
	*file

	taken []fileRange
}

type fileRange struct{ from, to int64 }

// add adds the extent of a line.
func (s *described) add(line extentLine) error {
	length := int64(line.sectors) * sectorSize
	isFlat := line.kind == "FLAT" || line.kind == "VMFS"
	switch {
	case line.access == "NOACCESS" || line.kind == "ZERO":
		s.disk.add(nothing{}, "", length)
		return nil
	case !isFlat && line.kind != "SPARSE" && line.kind != "VMFSSPARSE" && line.kind != "SESPARSE":
		return &diskimage.UnsupportedError{
			Format: format, SubFormat: s.disk.subFormat, Cure: esxCure,
			Reason: fmt.Sprintf("it has an extent of the type %s, which is on a device, or not known here", diskimage.Quote(line.kind)),
		}
	}
	f, err := s.named(line)
	if err != nil {
		return err
	}
	var e extent
	if isFlat {
		e, err = s.flat(f, line, length)
	} else {
		e, err = s.sparse(f, line)
	}
	if err != nil {
		return err
	}
	s.disk.add(e, f.name, length)
	return nil
}

func (line *extentLine) corrupt(field string, value any, reason string) error {
	return &diskimage.CorruptError{Format: format, Structure: "descriptor", Field: field, Offset: line.at, Value: value, Reason: reason}
}

// named is the file of a line. Several lines may have parts of one file, which is opened once.
func (s *described) named(line extentLine) (*extentFile, error) {
	refuse := func(reason string) error { return line.corrupt("extent", diskimage.Quote(line.name), reason) }
	names, reason := s.disk.namesFor(line.name)
	if reason != "" {
		return nil, refuse(reason)
	}
	name, opened, err := s.file(s.disk, names, func(name string) bool { return s.files[name] != nil }, "a file with its data")
	if err != nil {
		return nil, err
	}
	if opened == nil {
		return s.files[name], nil
	}
	if opened.size == s.own.size {
		first := make([]byte, len(s.text))
		if err := diskimage.ReadFull(opened, first, 0); err != nil {
			return nil, fmt.Errorf("extent %s: %w", diskimage.Quote(name), err)
		}
		if bytes.Equal(first, s.text) {
			return nil, refuse("it is the descriptor itself")
		}
	}
	if name != names[0] && !s.moved { // an extent has no id, as a parent has
		s.moved = true
		s.disk.warnings = append(s.disk.warnings, fmt.Sprintf("its extent %s is not there, and %s is taken in its place: see that it is of the same disk",
			diskimage.Quote(names[0]), diskimage.Quote(name)))
	}
	f := &extentFile{file: opened}
	s.files[name] = f
	return f, nil
}

// refuseFile is for a file with less in it than the descriptor says: nothing is wrong with the descriptor.
func (s *described) refuseFile(f *extentFile, reason string) error {
	return &diskimage.UnsupportedError{
		Format: format, SubFormat: s.disk.subFormat, Reason: fmt.Sprintf("in its extent %s: %s: it was cut off, or is another one", diskimage.Quote(f.name), reason),
		Cure: "copy that file again from where it comes from, and " + ownCure,
	}
}

func (s *described) flat(f *extentFile, line extentLine, length int64) (extent, error) {
	if line.offset > uint64(f.size)/sectorSize || length > f.size-int64(line.offset)*sectorSize {
		return nil, s.refuseFile(f, fmt.Sprintf("%d sectors from sector %d on do not fit into the %d bytes that it has", line.sectors, line.offset, f.size))
	}
	at := int64(line.offset) * sectorSize
	return flat{f.file, at}, f.take(line, at, at+length)
}

// take refuses a part of a file that the disk has already: no writer makes such disks, and one small file would be a disk of any size. It is the opener
// that knows a file by other names too.
func (f *extentFile) take(line extentLine, from, to int64) error {
	for _, r := range f.taken {
		if from < r.to && r.from < to {
			return line.corrupt("extent", diskimage.Quote(line.name), "another extent has the same part of the file")
		}
	}
	f.taken = append(f.taken, fileRange{from, to})
	return nil
}

// sparse is an extent that says itself what it is: the words of the line are not asked.
func (s *described) sparse(f *extentFile, line extentLine) (extent, error) {
	e, warnings, err := s.openSparse(f.file)
	if err != nil {
		return nil, in("extent", f.name, s.disk.subFormat, err)
	}
	for _, w := range warnings {
		s.disk.warnings = append(s.disk.warnings, fmt.Sprintf("%s: %s", diskimage.Quote(f.name), w))
	}
	if capacity := uint64(e.size) / sectorSize; capacity < line.sectors {
		return nil, s.refuseFile(f, fmt.Sprintf("it should have %d sectors, and its header has a capacity of only %d", line.sectors, capacity))
	}
	if err := f.take(line, 0, f.size); err != nil {
		return nil, err
	}
	e.use(int64(line.sectors) * sectorSize)
	return e, s.countEntries(s.disk, e)
}

func (s *described) openSparse(f *file) (*sparse, []string, error) {
	head := make([]byte, min(f.size, sectorSize))
	if err := diskimage.ReadFull(f, head, 0); err != nil {
		return nil, nil, fmt.Errorf("read the header: %w", err)
	}
	magic := magicOf(head)
	if (magic == isCOWD || magic == isSESparse) && s.disk.link.parentCID == "" {
		return nil, nil, &diskimage.CorruptError{
			Format: format, Structure: "descriptor", Field: "parentCID",
			Reason: "it is missing, and extents of this kind mostly hold what differs from a parent: what they lack would be made up",
		}
	}
	switch magic {
	case isHosted:
		h, err := openHosted(f, head)
		if err != nil {
			return nil, nil, err
		}
		if h.link.isDelta() && h.link.parentCID != s.disk.link.parentCID {
			return nil, nil, &diskimage.UnsupportedError{
				Format: format, SubFormat: h.link.delta(h.header.subFormat()), Reason: "it is a delta of its own (" + h.link.parent() + ")", Cure: vmwareCure,
			}
		}
		return h.extent, h.header.warnings(), nil
	case isCOWD:
		return openCOWD(f)
	case isSESparse:
		return openSESparse(f)
	default:
		return nil, nil, &diskimage.CorruptError{
			Format: format, Structure: "header", Field: "magicNumber", Value: fmt.Sprintf("%q", head[:min(len(head), 4)]),
			Reason: "this is no sparse extent",
		}
	}
}
