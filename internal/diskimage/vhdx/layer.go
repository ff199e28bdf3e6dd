package vhdx

import (
	"errors"
	"fmt"
	"io"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// layer is one VHDX file: the image, or one of its parents.
type layer struct {
	name    string // of a parent's file; empty for the image
	source  source
	header  header
	regions regions
	meta    metadata
	empty   bitset // of the BAT's windows: those that check found to hold no entry at all
}

// budget is what the logs of an image and all its parents have taken so far of the caps: a chain costs no more to refuse than one file.
type budget struct {
	log    int64 // bytes
	writes int64
}

// openLayer reads everything but the BAT.
func openLayer(r io.ReaderAt, size int64, used *budget) (*layer, error) {
	if size > maxFileSize {
		return nil, &diskimage.UnsupportedError{
			Format: format, Reason: fmt.Sprintf("the file is %d bytes long, more than twice the largest disk", size), Cure: convertCure,
		}
	}
	l := &layer{source: source{file: r, size: size, end: size}}
	var err error
	if l.header, err = readHeader(&l.source); err != nil {
		return nil, err
	}
	if l.header.dirty() {
		if err := replayLog(&l.source, &l.header, used); err != nil {
			return nil, err
		}
	}
	if l.regions, err = readRegions(&l.source, &l.header); err != nil {
		return nil, err
	}
	if l.meta, err = readMetadata(&l.source, l.regions.metadata); err != nil {
		return nil, err
	}
	if need := 8 * l.meta.batEntries(); need > l.regions.bat.length {
		return nil, corrupt("BAT", "", l.regions.bat.at, nil,
			fmt.Sprintf("a disk of %d bytes in blocks of %d needs %d bytes, the region has %d", l.meta.size, l.meta.blockSize, need, l.regions.bat.length))
	}
	return l, nil
}

// called names the file in a sentence.
func (l *layer) called() string {
	if l.name == "" {
		return "it"
	}
	return fmt.Sprintf("its parent %q", l.name)
}

// blame says in an error which file of the chain it is about. Windows merges what is not read here.
func (l *layer) blame(err error) error {
	if l.name == "" || err == nil {
		return err
	}
	if u, ok := errors.AsType[*diskimage.UnsupportedError](err); ok {
		return &diskimage.UnsupportedError{Format: format, SubFormat: differencing, Reason: l.called() + " is not read here: " + u.Reason, Cure: mergeCure}
	}
	return fmt.Errorf("the parent %q: %w", l.name, err)
}

// bitset grows as far as it is asked to.
type bitset []uint64

// reset gives n clear bits.
func (s *bitset) reset(n int64) {
	words := divUp(n, 64)
	if int64(cap(*s)) < words {
		*s = make(bitset, words)
	}
	*s = (*s)[:words]
	clear(*s)
}

func (s bitset) has(n int64) bool { return n/64 < int64(len(s)) && s[n/64]&(1<<(n%64)) != 0 }

func (s bitset) add(n int64) { s[n/64] |= 1 << (n % 64) }

// take sets the bits from one to the one before end, a word at a time, and tells whether none of them was set.
func (s bitset) take(from, end int64) bool {
	free := true
	for from < end {
		next := min(end, from-from%64+64)
		mask := ^uint64(0) << (from % 64) & (^uint64(0) >> (63 - (next-1)%64))
		free = free && s[from/64]&mask == 0
		s[from/64] |= mask
		from = next
	}
	return free
}
