package detect

import (
	"errors"
	"fmt"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhd"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
)

// VM Import's words, verbatim (VM Import/Export user guide, troubleshooting; reports of users).
const (
	msgVMDK       = "ClientError: Disk validation failed [Unsupported VMDK File Format]"
	msgFormat     = "ClientError: Disk validation failed [Unsupported specified file format]"
	msgOVA        = "ClientError: Disk validation failed [Unsupported OVA format]"
	msgFooters    = "ClientError: Footers not identical"
	msgGrain      = "ClientError: Uncompressed data has an invalid length"
	msgAlgorithm  = "ERROR: File uses unsupported compression algorithm %d"
	msgOurReasons = "ClientError: Disk validation failed [%s]" // where no real text is known: its form with our words
)

// Verdict is what VM Import says of an image.
type Verdict struct {
	Importable    bool
	StatusMessage string // VM Import's words; empty when importable
	Reason        string // why not, for people; empty when importable
	Cure          string // what to do; may be empty
}

// VMImport judges an image as VM Import would: img from Open, or nil with the error of Open or of a later read.
func VMImport(img *Image, err error) Verdict {
	if err == nil {
		if disk, ok := img.Image.(*vhd.Image); ok && disk.Damage() != nil { // it can be read, but has not two sound footers
			return VMImport(nil, disk.Damage())
		}
		v := formatVerdict(img.Format, img.SubFormat)
		if v.Importable && img.Size() > maxSize {
			v = sizeVerdict(img.Size())
		}
		return v
	}
	if u, ok := errors.AsType[*diskimage.UnsupportedError](err); ok {
		v := formatVerdict(Format(u.Format), u.SubFormat)
		if u.Format == string(VMDK) && v.Importable { // stream-optimized, but a delta or of a geometry that no known tool writes
			v = Verdict{StatusMessage: msgVMDK}
		}
		if u.Format == string(VHD) && v.Importable { // of a geometry that no known tool writes
			v = Verdict{StatusMessage: fmt.Sprintf(msgOurReasons, u.Reason)}
		}
		if u.Format == string(VHDX) { // it needs a parent, or a reader that knows what is not known here; no words of VM Import are known for either
			v = Verdict{StatusMessage: fmt.Sprintf(msgOurReasons, u.Reason)}
		}
		if !v.Importable {
			v.Reason, v.Cure = u.Reason, u.Cure
		}
		return v
	}
	v := Verdict{Reason: err.Error(), StatusMessage: fmt.Sprintf(msgOurReasons, err)}
	if _, ok := errors.AsType[*MismatchError](err); ok {
		v.StatusMessage = msgFormat
		v.Cure = "correct the format, or leave it out so that EC2 detects it"
		return v
	}
	if c, ok := errors.AsType[*diskimage.CorruptError](err); ok {
		v.Cure = "export the image again from its source and upload it again"
		algorithm, badCompression := vmdk.IsBadCompression(err)
		switch {
		case badCompression:
			v.StatusMessage = fmt.Sprintf(msgAlgorithm, algorithm)
		case vmdk.IsBadGrain(err):
			v.StatusMessage = msgGrain
		case c.Format == string(VHD):
			v.StatusMessage = msgFooters
		}
	}
	return v
}

// maxSize is the largest disk that ImportSnapshot takes. VM Import/Export takes disks of less than 16 TiB, but above 8 TiB only with a manifest
// of their parts, which ImportSnapshot has no member for (VM Import/Export user guide, requirements for resources). Its words are not known.
const maxSize = 8 << 40

func sizeVerdict(size int64) Verdict {
	reason := fmt.Sprintf("the disk has %d bytes, and more than %d (8 TiB) cannot be imported with ImportSnapshot", size, int64(maxSize))
	return Verdict{
		StatusMessage: fmt.Sprintf(msgOurReasons, reason), Reason: reason,
		Cure: "shrink the disk in the system that it comes from, or split its content over several disks",
	}
}

// formatVerdict is the table of formats. It is about what VM Import takes, not about what is read here.
func formatVerdict(f Format, sub string) Verdict {
	switch f {
	case RAW:
		return Verdict{Importable: true}
	case VMDK:
		if sub == vmdk.StreamOptimized {
			return Verdict{Importable: true}
		}
		return Verdict{
			StatusMessage: msgVMDK, Reason: "VM Import takes stream-optimized VMDKs only",
			Cure: "convert it with `qemu-img convert -O vmdk -o subformat=streamOptimized SRC DST.vmdk`",
		}
	case VHD, VHDX:
		if sub != differencing {
			return Verdict{Importable: true}
		}
		return Verdict{StatusMessage: msgFooters, Reason: "VM Import takes no differencing images"}
	case OVA:
		return Verdict{StatusMessage: msgOVA, Reason: "ImportSnapshot takes one disk, not an appliance"}
	default:
		return Verdict{StatusMessage: msgFormat, Reason: "VM Import does not take " + string(f) + " images"}
	}
}
