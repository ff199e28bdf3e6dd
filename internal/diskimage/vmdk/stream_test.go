package vmdk_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// received is a stream-optimized VMDK as one takes it who can't seek, as a service does that it is uploaded to: from the specification ("Virtual Disk
// Format 5.0", Stream-Optimized Compressed Sparse Extents), sharing no code with the reader of this package, and checking all that may be checked.
type received struct {
	size   int64
	grains map[int64][]byte // by their number; 64 KiB each
}

// receive takes a stream as ESXi writes it.
func receive(r io.Reader) (*received, error) {
	s := &receiver{r: r, tables: map[uint32][]uint32{}, at: map[int64]uint32{}}
	s.grains = map[int64][]byte{}
	header, err := s.sectors(1)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	capacity, overhead := le.Uint64(header[12:]), le.Uint64(header[64:])
	wanted := "KDMV\x03\x00\x00\x00\x01\x00\x03\x00" + string(le.AppendUint64(nil, capacity)) + "\x80\x00\x00\x00\x00\x00\x00\x00" + // 64 KiB a grain
		"\x01\x00\x00\x00\x00\x00\x00\x00\x14\x00\x00\x00\x00\x00\x00\x00" + "\x00\x02\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\xff\xff\xff\xff\xff\xff\xff\xff" + "\x80\x00\x00\x00\x00\x00\x00\x00" + "\x00\x0a\x20\x0d\x0a\x01\x00"
	if got := header[:len(wanted)]; string(got) != wanted || len(bytes.Trim(header[len(wanted):], "\x00")) > 0 {
		return nil, fmt.Errorf("the header is %q", header)
	}
	s.size = int64(capacity) * 512
	descriptor, err := s.sectors(int64(overhead) - 1)
	if err != nil {
		return nil, err
	}
	if line := fmt.Sprintf("\nRW %d SPARSE \"", capacity); !bytes.Contains(descriptor, []byte(line)) || !bytes.HasPrefix(descriptor, []byte("# Disk DescriptorFile\n")) {
		return nil, fmt.Errorf("the descriptor has no line %q or no beginning: %q", line, descriptor)
	}
	for {
		more, err := s.block(header)
		if err != nil {
			return nil, fmt.Errorf("sector %d: %w", s.sector, err)
		}
		if !more {
			break
		}
	}
	if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil {
		return nil, fmt.Errorf("%d bytes behind the end, %w", len(rest), err)
	}
	return &s.received, nil
}

type receiver struct {
	received

	r      io.Reader
	sector uint32 // how many were taken
	last   int64  // the number of the last grain, and one
	at     map[int64]uint32
	tables map[uint32][]uint32

	directory   []uint32
	directoryAt uint32
	footer      bool
}

func (s *receiver) sectors(n int64) ([]byte, error) {
	b := make([]byte, 512*n)
	if _, err := io.ReadFull(s.r, b); err != nil {
		return nil, err
	}
	s.sector += uint32(n)
	return b, nil
}

// block takes a grain or a marker with what it announces.
func (s *receiver) block(header []byte) (more bool, err error) {
	here := s.sector
	b, err := s.sectors(1)
	if err != nil {
		return false, err
	}
	le := binary.LittleEndian
	value, size := le.Uint64(b), le.Uint32(b[8:])
	if size > 0 {
		return true, s.grain(here, value, size, b)
	}
	kind := le.Uint32(b[12:])
	if len(bytes.Trim(b[16:], "\x00")) > 0 {
		return false, errors.New("the marker holds something more")
	}
	content, err := s.sectors(int64(value))
	if err != nil {
		return false, err
	}
	switch kind {
	case 0:
		if !s.footer || value != 0 {
			return false, fmt.Errorf("the end of the stream, announcing %d, without a footer before it", value)
		}
		return false, nil
	case 1:
		s.tables[here+1] = entries(content[:4*512])
		return true, nil
	case 2:
		s.directory, s.directoryAt = entries(content), here+1
		return true, s.checkTables()
	case 3:
		want := bytes.Clone(header)
		le.PutUint64(want[56:], uint64(s.directoryAt))
		if s.footer = true; s.directory == nil || !bytes.Equal(content, want) {
			return false, fmt.Errorf("the footer is %q", content)
		}
		return true, nil
	}
	return false, fmt.Errorf("a marker of type %d", kind)
}

func (s *receiver) grain(here uint32, lba uint64, size uint32, first []byte) error {
	number := int64(lba) / 128
	if lba%128 != 0 || number < s.last || number*64<<10 >= s.size || s.directory != nil {
		return fmt.Errorf("a grain of LBA %d behind grain %d, in a disk of %d bytes", lba, s.last-1, s.size)
	}
	s.last = number + 1
	rest, err := s.sectors((12+int64(size)+511)/512 - 1)
	if err != nil {
		return err
	}
	b := append(first, rest...)
	if len(bytes.Trim(b[12+size:], "\x00")) > 0 {
		return errors.New("something behind the grain")
	}
	source := bytes.NewReader(b[12 : 12+size])
	inflater, err := zlib.NewReader(source)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(inflater)
	if err != nil || len(data) != 64<<10 || source.Len() > 0 || len(bytes.Trim(data, "\x00")) == 0 {
		return fmt.Errorf("grain %d: %d bytes, %d left over, %w", number, len(data), source.Len(), err)
	}
	s.at[number], s.grains[number] = here, data
	return nil
}

// checkTables holds the tables against the grains that have come: each is where it was, and nothing else is anywhere.
func (s *receiver) checkTables() error {
	grains, used := (s.size+64<<10-1)/(64<<10), 0
	for k, at := range s.directory {
		if at == 0 {
			continue
		}
		if int64(k)*512 >= grains {
			return fmt.Errorf("entry %d of the directory is behind the disk", k)
		}
		table, there := s.tables[at]
		if !there {
			return fmt.Errorf("entry %d of the directory is %d, where no table was", k, at)
		}
		delete(s.tables, at)
		for i, sector := range table {
			if sector != s.at[int64(k)*512+int64(i)] {
				return fmt.Errorf("grain %d is said to be at %d", k*512+i, sector)
			}
			if sector != 0 {
				used++
			}
		}
	}
	if len(s.tables) > 0 || used != len(s.at) || int64(len(s.directory)) < (grains+511)/512 {
		return fmt.Errorf("%d tables that the directory of %d has not; %d grains in tables of %d", len(s.tables), len(s.directory), used, len(s.at))
	}
	return nil
}

func entries(b []byte) []uint32 {
	e := make([]uint32, len(b)/4)
	for i := range e {
		e[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return e
}
