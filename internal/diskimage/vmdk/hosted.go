package vmdk

import (
	"fmt"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// hosted is a hosted sparse extent with the text that may be inside.
type hosted struct {
	extent *sparse
	header header
	link   descriptor
	textAt int64 // where the text is in the file
}

// openHosted reads the headers and the descriptor of a hosted sparse extent, which are in its own file; the descriptor is not judged.
func openHosted(f *file, head []byte) (hosted, error) {
	h, err := parseHeader(head, "header", 0)
	if err != nil {
		return hosted{}, err
	}
	if h.subFormat() == compressedOnly {
		return hosted{}, &diskimage.UnsupportedError{
			Format: format, SubFormat: compressedOnly, Reason: "its grains are compressed but carry no markers, which no known tool writes", Cure: qemuCure,
		}
	}
	switch {
	case h.gdOffset == gdAtEnd:
		h, err = readFooter(f, f.size, h)
	case h.compressed():
		h.unended, err = endsWithFooter(f, f.size)
	}
	if err != nil {
		return hosted{}, err
	}
	link, at, err := readEmbedded(f, &h)
	if err != nil {
		return hosted{}, err
	}
	if err := h.checkPlaces(f.size); err != nil {
		return hosted{}, err
	}
	return hosted{h.extent(f), h, link, at}, nil
}

// extent is what the tables of a hosted sparse extent mean.
func (h *header) extent(f *file) *sparse {
	e := newSparse(f, h.size(), h.grainBytes(), int64(h.numGTEsPerGT), 4)
	e.directory, e.compressed, e.ended = int64(h.gdOffset)*sectorSize, h.compressed(), h.footed
	if h.hasRedundantGD() {
		e.redundant = int64(h.rgdOffset) * sectorSize
	}
	e.tableAt = func(entry uint64) (int64, string) {
		if entry != 0 && entry < h.descriptorOffset+h.descriptorSize {
			return 0, "it points into the descriptor"
		}
		return int64(entry) * sectorSize, ""
	}
	first, zeroGrains := h.firstGrain(), h.flags&flagZeroGrainGTE != 0
	behind := "the header or the descriptor"
	if !h.compressed() {
		behind = fmt.Sprintf("the header, the descriptor or the tables, which end at sector %d", first)
	}
	e.grainAt = func(entry uint64) (kind, int64, string) {
		switch {
		case entry == gteAbsent:
			return absent, 0, ""
		case entry == gteZeroGrain && zeroGrains:
			return zeros, 0, ""
		case entry == gteZeroGrain:
			return absent, 0, "1 means a grain of zeros, but the header's flags do not allow such entries"
		case entry < first:
			return absent, 0, "it points into " + behind
		}
		return stored, int64(entry) * sectorSize, ""
	}
	return e
}

// firstGrain is the first sector where a grain may be. In a stream each grain has its place in the disk with it, so overHead is not needed as proof.
func (h *header) firstGrain() uint64 {
	first := h.descriptorOffset + h.descriptorSize
	if !h.compressed() {
		first = max(first, h.overHead)
	}
	return first
}

// checkPlaces holds the header's own places against the length of the file.
func (h *header) checkPlaces(size int64) error {
	corrupt := func(field string, value uint64, reason string) error {
		return &diskimage.CorruptError{Format: format, Structure: "header", Field: field, Value: value, Reason: reason}
	}
	sectors := uint64(size) / sectorSize
	if h.overHead > sectors {
		return corrupt("overHead", h.overHead, fmt.Sprintf("the file has only %d sectors: it was cut off", sectors))
	}
	if h.gdOffset == 0 {
		return corrupt("gdOffset", h.gdOffset, "there is no grain directory")
	}
	if !inFile(h.gdOffset, 4*h.gdEntries(), size) {
		return corrupt("gdOffset", h.gdOffset,
			fmt.Sprintf("a grain directory of %d entries there does not fit into the file of %d bytes: it was cut off, or the header is wrong",
				h.gdEntries(), size))
	}
	if h.hasRedundantGD() && !inFile(h.rgdOffset, 4*h.gdEntries(), size) {
		return corrupt("rgdOffset", h.rgdOffset,
			fmt.Sprintf("a grain directory of %d entries there does not fit into the file of %d bytes", h.gdEntries(), size))
	}
	return nil
}

// hasRedundantGD: some writers set the flag, or the offset, alone.
func (h *header) hasRedundantGD() bool {
	return h.flags&flagRedundantGD != 0 && h.rgdOffset != 0 && h.rgdOffset != gdAtEnd
}

// warnings tell of a disk that was in use, and of a stream that was cut short behind everything that is of the disk.
func (h *header) warnings() (texts []string) {
	if h.unclean {
		texts = append(texts, inUse)
	}
	if h.unended {
		texts = append(texts, "it ends without the end-of-stream marker: its last 512 bytes are missing, none of which are of the disk")
	}
	return texts
}

const inUse = "it was not closed by the virtual machine that used it, or was copied while one did: what was written last may be missing or half there"

// readEmbedded is the descriptor in the file of a hosted sparse extent, and where it is; nothing where there is none.
func readEmbedded(f *file, h *header) (descriptor, int64, error) {
	if h.descriptorOffset == 0 || h.descriptorSize == 0 {
		return descriptor{}, 0, nil
	}
	if h.descriptorSize > uint64(f.size)/sectorSize || !inFile(h.descriptorOffset, int64(h.descriptorSize)*sectorSize, f.size) {
		return descriptor{}, 0, &diskimage.CorruptError{
			Format: format, Structure: "header", Field: "descriptorOffset", Value: h.descriptorOffset,
			Reason: fmt.Sprintf("a descriptor of %d sectors there does not fit into the file of %d bytes", h.descriptorSize, f.size),
		}
	}
	at := int64(h.descriptorOffset) * sectorSize
	text := make([]byte, min(int64(h.descriptorSize)*sectorSize, maxDescriptorBytes))
	if err := diskimage.ReadFull(f, text, at); err != nil {
		return descriptor{}, 0, fmt.Errorf("read the VMDK descriptor at byte %d: %w", at, err)
	}
	return parseDescriptor(text, at), at, nil
}
