package vmdk

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// What turns a disk that is not read here, or not without the files beside it, into one that is. Type 5 of VMware's own tool, which comes with
// Workstation and Fusion, is stream-optimized.
const (
	ownCure        = "convert it with `terraform-provider-ec2 convert --to vmdk SRC DST.vmdk`"
	descriptorCure = "take the small .vmdk file that names this one, with all its files beside it, and " +
		"convert that with `terraform-provider-ec2 convert --to vmdk DESCRIPTOR.vmdk DST.vmdk`"
	qemuCure   = "convert it with `qemu-img convert -f vmdk -O vmdk -o subformat=streamOptimized SRC DST.vmdk`"
	vmwareCure = "convert it with VMware's `vmware-vdiskmanager -r SRC -t 5 DST.vmdk`"
	deviceCure = "copy the device itself: `dd if=/dev/DEVICE of=DST.raw bs=1M`"
	esxCure    = "copy the disk on the ESXi host with `vmkfstools -i SRC -d thin DST.vmdk`, and export the copy"
)

// kinds are the kinds of disks that begin with a descriptor, by createType in lower case, and how VMware spells them. It is the lines of the extents
// that say how such a disk is read, so a kind that is not here is as good as one that is.
var kinds = map[string]struct {
	name   string
	device string // the cure of a disk whose data are on a device
}{
	"monolithicflat":              {"monolithicFlat", ""},
	"twogbmaxextentflat":          {"twoGbMaxExtentFlat", ""},
	"twogbmaxextentsparse":        {"twoGbMaxExtentSparse", ""},
	"vmfs":                        {"vmfs", ""},
	"vmfsthin":                    {"vmfsThin", ""},
	"vmfssparse":                  {"vmfsSparse", ""},
	"sesparse":                    {"seSparse", ""},
	"custom":                      {custom, ""},
	"streamoptimized":             {custom, ""}, // kinds of disks in one file
	"monolithicsparse":            {custom, ""},
	"fulldevice":                  {"fullDevice", deviceCure},
	"partitioneddevice":           {"partitionedDevice", deviceCure},
	"vmfsrawdevicemap":            {"vmfsRawDeviceMap", esxCure},
	"vmfsrdm":                     {"vmfsRDM", esxCure},
	"vmfspassthroughrawdevicemap": {"vmfsPassthroughRawDeviceMap", esxCure},
	"vmfsrdmp":                    {"vmfsRDMP", esxCure},
	"vmfsraw":                     {"vmfsRaw", esxCure},
}

const custom = "custom"

// delta is the sub-format of a disk of a kind, which may be a delta.
func (d *descriptor) delta(kind string) string {
	if d.isDelta() {
		return strings.TrimSpace(kind + " delta")
	}
	return kind
}

// kind is the sub-format of a disk that begins with the descriptor; empty where it does not say.
func (d *descriptor) kind() (name, device string) {
	if k, ok := kinds[strings.ToLower(d.createType)]; ok {
		return k.name, k.device
	}
	return d.createType, ""
}

// refuseEncrypted is for a disk of an encrypted virtual machine: its grains are there, but not the bytes that the machine saw.
func (d *descriptor) refuseEncrypted(name string) error {
	if !d.encrypted {
		return nil
	}
	return &diskimage.UnsupportedError{
		Format: format, SubFormat: d.delta(name), Reason: "it is encrypted by VMware, and its keys are not in it",
		Cure: "remove the encryption of the virtual machine in VMware, and take the disk after that",
	}
}

// refuseAlone is for a descriptor whose files must not be opened.
func (d *descriptor) refuseAlone() error {
	name, _ := d.kind()
	const reason = "it is only the descriptor of a disk whose data are in other files"
	if d.isDelta() {
		return &diskimage.UnsupportedError{
			Format: format, SubFormat: d.delta(name), Reason: reason + ", and a delta of another disk (" + d.parent() + ")",
			Cure: "keep it together with those files and the other disk's, and " + ownCure,
		}
	}
	return &diskimage.UnsupportedError{Format: format, SubFormat: name, Reason: reason, Cure: "keep it together with those files and " + ownCure}
}

// refuseDelta is for a disk whose parent must not be opened.
func (d *disk) refuseDelta() error {
	return &diskimage.UnsupportedError{
		Format: format, SubFormat: d.subFormat,
		Reason: "it is a delta of another disk (" + d.link.parent() + "), and holds only what differs from it",
		Cure:   "keep it together with that disk and " + ownCure,
	}
}

// refuseExtentAlone knows the extents that are no disks.
func refuseExtentAlone(magic magic) error {
	e := &diskimage.UnsupportedError{Format: format, Cure: descriptorCure}
	switch magic {
	case isCOWD:
		e.SubFormat, e.Reason = "vmfsSparse", "it is an ESX delta extent (COWD) without the disk it belongs to"
	case isSESparse:
		e.SubFormat, e.Reason = "seSparse", "it is an ESXi delta extent (seSparse) without the disk it belongs to"
	default:
		e.SubFormat, e.Reason = "twoGbMaxExtentSparse", "it has no descriptor: it is one piece of a disk that is spread over several files"
	}
	return e
}

// checkAlone compares the descriptor of a disk in one file with the header, which governs it. A stream needs none: its flags say that it is a disk.
// What it names is never opened: the extent is the file itself (CVE-2022-47951).
func (h *hosted) checkAlone() error {
	d := &h.link
	switch {
	case !h.header.compressed() && d.createType == "" && len(d.lines) == 0:
		return refuseExtentAlone(isHosted)
	case len(d.lines) > 1: // qemu-img takes the one file for the whole disk
		return &diskimage.UnsupportedError{
			Format: format, SubFormat: d.createType, Reason: "its descriptor spreads the disk over several files", Cure: vmwareCure,
		}
	case d.sectors > h.header.capacity:
		return &diskimage.CorruptError{
			Format: format, Structure: "descriptor", Field: "extent sectors", Offset: h.textAt, Value: d.sectors,
			Reason: "the header has a capacity of only " + strconv.FormatUint(h.header.capacity, 10),
		}
	}
	return nil
}

// namesFor are the files that a name in the descriptor of a disk may mean, or why there is none. None is outside the image's directory (CVE-2022-47951).
func (d *disk) namesFor(foreign string) (names []string, reason string) {
	if len(foreign) > maxText { // it was not kept
		return nil, fmt.Sprintf("no path is longer than %d bytes", maxText)
	}
	if names = diskimage.NamesBeside(path.Dir(d.name), foreign); names == nil {
		return nil, "it names no file"
	}
	return names, ""
}
