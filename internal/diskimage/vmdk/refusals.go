package vmdk

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// What turns a disk that is not read here into one that is. qemu-img reads most kinds, but not all of them rightly; type 5 of VMware's own tool,
// which comes with Workstation and Fusion, is stream-optimized.
const (
	qemuCure       = "convert it with `qemu-img convert -f vmdk -O vmdk -o subformat=streamOptimized SRC DST.vmdk`"
	descriptorCure = "take the small .vmdk file that names this one, with all its files beside it, and " +
		"convert that with `qemu-img convert -f vmdk -O vmdk -o subformat=streamOptimized DESCRIPTOR.vmdk DST.vmdk`"
	vmwareCure = "convert it with VMware's `vmware-vdiskmanager -r SRC -t 5 DST.vmdk`"
	deviceCure = "copy the device itself: `dd if=/dev/DEVICE of=DST.raw bs=1M`"
	esxCure    = "copy the disk on the ESXi host with `vmkfstools -i SRC -d thin DST.vmdk`, and export the copy"
)

// descriptorKinds are the kinds of disks that begin with a descriptor, by createType in lower case. qemu-img refuses those that it does not know.
var descriptorKinds = map[string]struct{ reason, cure string }{
	"monolithicflat":              {elsewhere, besideCure},
	"twogbmaxextentflat":          {elsewhere, besideCure},
	"twogbmaxextentsparse":        {elsewhere, besideCure},
	"vmfs":                        {elsewhere, besideCure},
	"vmfssparse":                  {elsewhere, besideCure},
	"sesparse":                    {elsewhere, besideCure},
	"fulldevice":                  {onDevice, deviceCure},
	"partitioneddevice":           {onDevice, deviceCure},
	"vmfsrawdevicemap":            {onDevice, esxCure},
	"vmfsrdm":                     {onDevice, esxCure},
	"vmfspassthroughrawdevicemap": {onDevice, esxCure},
	"vmfsrdmp":                    {onDevice, esxCure},
	"vmfsraw":                     {onDevice, esxCure},
}

const (
	elsewhere  = "it is only the descriptor of a disk whose data are in other files"
	onDevice   = "it is only the descriptor of a disk whose data are on a device"
	besideCure = "keep it together with those files and " + qemuCure
)

// refuseOtherKinds knows the VMDK files that do not begin with a hosted sparse header.
func refuseOtherKinds(r io.ReaderAt, size int64, head []byte) error {
	switch {
	case len(head) >= 4 && string(head[:4]) == magicHosted:
		return nil
	case len(head) >= 4 && string(head[:4]) == magicCOWD:
		return &diskimage.UnsupportedError{
			Format: format, SubFormat: "vmfsSparse", Reason: "it is an ESX delta extent (COWD) without the disk it belongs to", Cure: descriptorCure,
		}
	case len(head) >= len(magicSESparse) && string(head[:len(magicSESparse)]) == magicSESparse:
		return &diskimage.UnsupportedError{
			Format: format, SubFormat: "seSparse", Reason: "it is an ESXi delta extent (seSparse) without the disk it belongs to", Cure: descriptorCure,
		}
	}
	text := make([]byte, min(size, maxDescriptorBytes))
	if err := readFull(r, text, 0); err != nil {
		return fmt.Errorf("read the VMDK descriptor: %w", err)
	}
	d := parseDescriptor(text)
	if d.createType == "" && d.extents == 0 {
		return &diskimage.CorruptError{
			Format: format, Structure: "header", Field: "magicNumber", Value: fmt.Sprintf("%q", head[:min(len(head), 4)]),
			Reason: "this is neither a sparse extent nor a descriptor",
		}
	}
	e := &diskimage.UnsupportedError{Format: format, SubFormat: d.createType, Reason: elsewhere, Cure: vmwareCure}
	if kind, ok := descriptorKinds[strings.ToLower(d.createType)]; ok {
		e.Reason, e.Cure = kind.reason, kind.cure
	}
	switch {
	case e.Reason == onDevice:
	case d.isDelta():
		e.Reason, e.Cure = elsewhere+", and a delta of another disk ("+d.parent()+")", "keep it together with those files and the other disk's, and "+qemuCure
	case d.partial && e.Cure == besideCure:
		e.Reason += ", some parts of it being read-only, without access or not stored at all"
		e.Cure = vmwareCure + "; qemu-img would leave those parts out"
	}
	return e
}

// check compares the embedded descriptor with the header that governs the file. A stream needs none: its flags say that it is a disk.
func (d descriptor) check(h *header, at int64) error {
	if d.isDelta() {
		return &diskimage.UnsupportedError{
			Format: format, SubFormat: h.subFormat() + " delta",
			Reason: "it is a delta of another disk (" + d.parent() + "), and holds only what differs from it",
			Cure:   "keep it together with that disk and " + qemuCure,
		}
	}
	if !h.compressed() && d.createType == "" && d.extents == 0 {
		return &diskimage.UnsupportedError{
			Format: format, SubFormat: "twoGbMaxExtentSparse",
			Reason: "it has no descriptor: it is one piece of a disk that is spread over several files", Cure: descriptorCure,
		}
	}
	if d.extents > 1 { // qemu-img takes the one file for the whole disk
		return &diskimage.UnsupportedError{
			Format: format, SubFormat: d.createType, Reason: "its descriptor spreads the disk over several files", Cure: vmwareCure,
		}
	}
	if d.sectors > h.capacity {
		return &diskimage.CorruptError{
			Format: format, Structure: "descriptor", Field: "extent sectors", Offset: at, Value: d.sectors,
			Reason: "the header has a capacity of only " + strconv.FormatUint(h.capacity, 10),
		}
	}
	return nil
}

func (d descriptor) isDelta() bool { return d.parentCID != "" && d.parentCID != noParent }

// parent names the disk that this one is a delta of, for people.
func (d descriptor) parent() string {
	parent := "parentCID " + strconv.Quote(d.parentCID)
	if d.parentHint != "" {
		parent = strconv.Quote(d.parentHint) + ", " + parent
	}
	return parent
}
