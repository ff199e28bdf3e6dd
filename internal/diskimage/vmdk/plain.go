package vmdk

import "fmt"

// readPlain reads a disk whose grains are stored as they are. What lies together in the file is read together: writers fill a file from front to
// back, so a disk of small grains is often one run.
func (i *Image) readPlain(s *scratch, want []byte, off int64) (n int, err error) {
	for n < len(want) {
		at, length, err := i.plainRun(&s.tables, off+int64(n), int64(len(want)-n))
		if err != nil {
			return n, err
		}
		part := want[n : int64(n)+length]
		if at < 0 {
			clear(part)
		} else if err := readFull(i.file, part, at); err != nil {
			return n, fmt.Errorf("read %d bytes of grains of the VMDK at byte %d: %w", length, at, err)
		}
		n += len(part)
	}
	return n, nil
}

// plainRun is where the disk's bytes from off on are in the file, and how many of them, limit at most, lie there together. at is -1 where the disk
// reads as zeros.
func (i *Image) plainRun(t *tables, off, limit int64) (at, length int64, err error) {
	size := i.header.grainBytes()
	for length < limit {
		grain, in := (off+length)/size, (off+length)%size
		sector, err := i.grainEntry(t, grain)
		if err != nil {
			return 0, 0, err
		}
		next := int64(-1)
		if sector != gteAbsent && sector != gteZeroGrain {
			next = int64(sector)*sectorSize + in
		}
		switch {
		case length == 0:
			at = next
		case at < 0 != (next < 0), at >= 0 && next != at+length:
			return at, length, nil
		}
		length += min(size-in, limit-length)
	}
	return at, length, nil
}
