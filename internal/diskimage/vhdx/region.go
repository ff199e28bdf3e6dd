package vhdx

import (
	"encoding/binary"
	"fmt"
	"sort"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// span is a part of the file that a structure has to itself.
type span struct {
	what   string
	at     int64
	length int64
}

func (p span) end() int64 { return p.at + p.length }

// regions are the places of the structures whose places are not fixed.
type regions struct {
	bat, metadata span
	all           []span // with the header section, the log and regions that are not known; ordered, not overlapping
}

// readRegions takes the first region table, or the second where the first is damaged ([MS-VHDX] 2.2.3; microsoft/openvmm, vhdx/src/region.rs; qemu
// only ever reads the first).
func readRegions(s *source, h *header) (regions, error) {
	b := make([]byte, regionTableSize)
	for _, at := range []int64{regionTable1Offset, regionTable2Offset} {
		if err := s.read(b, at, "region table"); err != nil {
			return regions{}, err
		}
		if string(b[:4]) == regionSignature && binary.LittleEndian.Uint32(b[checksumOffset:]) == checksum(b) {
			return parseRegions(b, at, s.end, h)
		}
	}
	return regions{}, corrupt("region tables", "", regionTable1Offset, nil,
		"neither of the two has the right signature and checksum: the file is damaged")
}

func parseRegions(b []byte, tableAt, end int64, h *header) (regions, error) {
	le := binary.LittleEndian
	count := le.Uint32(b[8:])
	if count > maxRegions {
		return regions{}, corrupt("region table", "EntryCount", tableAt, count, fmt.Sprintf("at most %d entries fit", maxRegions))
	}
	r := regions{all: []span{{what: "the header section", length: headerSectionSize}}}
	if h.logLength > 0 {
		r.all = append(r.all, span{what: "the log", at: h.logOffset, length: h.logLength})
	}
	seen := map[guidText]bool{}
	for k := range int64(count) {
		e := b[16+k*regionEntrySize:][:regionEntrySize]
		id, offset, length, flags := readGUID(e), le.Uint64(e[16:]), int64(le.Uint32(e[24:])), le.Uint32(e[28:])
		at := tableAt + 16 + k*regionEntrySize
		bad := func(field string, value any, reason string) error {
			return corrupt("region table", fmt.Sprintf("%s of region %s", field, id), at, value, reason)
		}
		p := span{what: "region " + string(id)}
		switch id {
		case batRegion:
			p.what = "the BAT"
		case metadataRegion:
			p.what = "the metadata"
		default:
			if flags&1 != 0 {
				return r, &diskimage.UnsupportedError{
					Format: format, Reason: fmt.Sprintf("it has a region %s that is not known here and must be understood to read it", id), Cure: convertCure,
				}
			}
		}
		switch {
		case seen[id]:
			return r, bad("Guid", nil, "it is there twice")
		case offset%mib != 0 || offset < headerSectionSize:
			return r, bad("FileOffset", offset, "it must be a multiple of 1 MiB, behind the header section")
		case length%mib != 0 || length == 0:
			return r, bad("Length", length, "it must be a multiple of 1 MiB")
		case offset > uint64(end) || length > end-int64(offset):
			return r, bad("FileOffset", offset, fmt.Sprintf("a region of %d bytes there does not fit into the file of %d bytes", length, end))
		}
		seen[id] = true
		p.at, p.length = int64(offset), length
		r.all = append(r.all, p)
		switch id {
		case batRegion:
			r.bat = p
		case metadataRegion:
			r.metadata = p
		default: // checked for place and overlap only
		}
	}
	if !seen[batRegion] || !seen[metadataRegion] {
		return r, corrupt("region table", "", tableAt, nil, "it lacks the BAT or the metadata, and no disk is without them")
	}
	sort.Slice(r.all, func(a, b int) bool { return r.all[a].at < r.all[b].at })
	for k := 1; k < len(r.all); k++ {
		if a, b := r.all[k-1], r.all[k]; a.end() > b.at {
			return r, corrupt("region table", "", tableAt, nil, fmt.Sprintf("%s, at byte %d, overlaps %s, at byte %d", a.what, a.at, b.what, b.at))
		}
	}
	return r, nil
}

// convertCure: Windows reads what is not read here.
const convertCure = "convert it with `Convert-VHD -Path SRC.vhdx -DestinationPath DST.vhdx -VHDType Dynamic` (PowerShell with Hyper-V)"
