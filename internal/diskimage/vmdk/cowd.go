package vmdk

import (
	"encoding/binary"
	"fmt"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// Constants of "COWDisk", the sparse extent of ESX ("Virtual Disk Format 5.0", ESX Server sparse extents). Little-endian.
const (
	cowdHeaderSize   = 2048
	cowdTableEntries = 4096

	cowdInconsistent = 1 << 2 // flags
)

// openCOWD reads the header of an extent of ESX. Its grains are mostly single sectors, and none is said to be zeros.
func openCOWD(f *file) (*sparse, []string, error) {
	corrupt := func(field string, value any, reason string) (*sparse, []string, error) {
		return nil, nil, &diskimage.CorruptError{Format: format, Structure: "COWD header", Field: field, Value: value, Reason: reason}
	}
	if f.size < cowdHeaderSize {
		return corrupt("", nil, fmt.Sprintf("the file ends after %d of its %d bytes", f.size, cowdHeaderSize))
	}
	b := make([]byte, sectorSize)
	if err := diskimage.ReadFull(f, b, 0); err != nil {
		return nil, nil, fmt.Errorf("read the COWD header: %w", err)
	}
	le := binary.LittleEndian
	version, flags, capacity, grain := le.Uint32(b[4:]), le.Uint32(b[8:]), le.Uint32(b[12:]), le.Uint32(b[16:])
	directory, entries := le.Uint32(b[20:]), le.Uint32(b[24:])
	if version != 1 {
		return corrupt("version", version, "only version 1 exists")
	}
	if capacity == 0 {
		return corrupt("capacity", capacity, "the extent would be empty")
	}
	if grain == 0 || grain&(grain-1) != 0 || grain > maxPlainGrain/sectorSize {
		return corrupt("grainSize", grain, fmt.Sprintf("it must be a power of two, of %d sectors at most", maxPlainGrain/sectorSize))
	}
	e := newSparse(f, int64(capacity)*sectorSize, int64(grain)*sectorSize, cowdTableEntries, 4)
	e.directory = int64(directory) * sectorSize
	e.tableAt = func(entry uint64) (int64, string) {
		if entry != 0 && entry < cowdHeaderSize/sectorSize {
			return 0, "it points into the header"
		}
		return int64(entry) * sectorSize, ""
	}
	e.grainAt = func(entry uint64) (kind, int64, string) {
		switch {
		case entry == 0:
			return absent, 0, ""
		case entry < cowdHeaderSize/sectorSize:
			return absent, 0, "it points into the header"
		}
		return stored, int64(entry) * sectorSize, ""
	}
	switch {
	case e.directory < cowdHeaderSize:
		return corrupt("gdOffset", directory, "it points into the header")
	case int64(entries) < e.entries:
		return corrupt("numGDEntries", entries, fmt.Sprintf("a capacity of %d sectors needs %d", capacity, e.entries))
	case !within(e.directory, 4*e.entries, f.size):
		return corrupt("gdOffset", directory, fmt.Sprintf("a grain directory of %d entries there does not fit into the file of %d bytes: it was cut off",
			e.entries, f.size))
	}
	if flags&cowdInconsistent != 0 {
		return e, []string{inUse}, nil
	}
	return e, nil, nil
}
