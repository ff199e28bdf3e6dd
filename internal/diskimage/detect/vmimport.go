package detect

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhd"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
)

// Verdict is what VM Import says of an image.
type Verdict struct {
	Importable    bool
	StatusMessage string // VM Import's words; empty when importable
	Reason        string // why not, for people; empty when importable
	Cure          string // what to do; empty only where nothing can be done, or the image could not be read
}

// String is why VM Import would not take an image, and what to do; empty when importable.
func (v Verdict) String() string {
	if v.Cure == "" {
		return v.Reason
	}
	return v.Reason + "; " + v.Cure
}

// VM Import's words, verbatim (VM Import/Export user guide, troubleshooting; reports of users).
const (
	msgVMDK      = "ClientError: Disk validation failed [Unsupported VMDK File Format]"
	msgFormat    = "ClientError: Disk validation failed [Unsupported specified file format]"
	msgOVA       = "ClientError: Disk validation failed [Unsupported OVA format]"
	msgFooters   = "ClientError: Footers not identical"
	msgGrain     = "ClientError: Uncompressed data has an invalid length"
	msgAlgorithm = "ERROR: File uses unsupported compression algorithm %d"
	msgOur       = "ClientError: Disk validation failed [%s]" // where no real text is known: its form with our words
)

// What to do with SRC. What is read here is converted here.
const (
	toVMDK = "convert it with `terraform-provider-ec2 convert --to vmdk SRC DST.vmdk`"
	again  = "export the image again from where it comes from, or copy it again: this file is damaged"
	shrink = "shrink the disk in the system that it comes from, or split its content over several disks"
)

const inSeveralFiles = "it is a differencing disk, and VM Import takes a disk in one file only"

// maxSize is the largest disk that ImportSnapshot takes. VM Import/Export takes disks of less than 16 TiB, but above 8 TiB only with a manifest
// of their parts, which ImportSnapshot has no member for (VM Import/Export user guide, requirements for resources). Its words are not known.
const maxSize = 8 << 40

// state is how far an image was understood.
type state int

const (
	sound        state = iota
	contradicted       // its content is not of the format that was declared
	damaged
	unread      // recognised, but not read here
	unreachable // the source failed
)

// refusals is what VM Import refuses: it takes RAW, fixed and dynamic VHD and VHDX, and stream-optimized VMDK, each in one file. The first row that
// fits decides, and what fits none is importable. Where reason or cure are empty, the error has its own.
var refusals = []struct {
	state   state
	formats []Format              // nil: any
	when    func(*judgement) bool // nil: always
	message string
	reason  string
	cure    string
}{
	{contradicted, nil, nil, msgFormat, "", ""},
	{damaged, []Format{VMDK}, hasBadCompression, msgAlgorithm, "", again},
	{damaged, []Format{VMDK}, hasBadGrain, msgGrain, "", again},
	{damaged, []Format{VHD}, nil, msgFooters, "", again},
	{damaged, []Format{VMDK, VHDX}, nil, msgOur, "", again},
	{damaged, nil, nil, msgFormat, "", again},
	{unread, []Format{OVA}, nil, msgOVA, "", ""},
	{unread, []Format{VMDK}, nil, msgVMDK, "", ""}, // a delta, a piece of a disk, a descriptor, an extent of another kind
	{unread, []Format{VHD}, isDifferencing, msgFooters, "", ""},
	{unread, []Format{VHD, VHDX}, nil, msgOur, "", ""},
	{unread, nil, nil, msgFormat, "", ""},
	{unreachable, nil, nil, msgOur, "", ""},
	{sound, []Format{VHD}, hasDamagedFooter, msgFooters, "", toVMDK},
	{sound, []Format{VHD}, isDifferencing, msgFooters, inSeveralFiles, toVMDK},
	{sound, []Format{VHDX}, isDifferencing, msgOur, inSeveralFiles, toVMDK},
	{sound, []Format{VMDK}, isNotStream, msgVMDK, "VM Import takes stream-optimized VMDKs only", toVMDK},
	{sound, nil, isTooLarge, msgOur, "the disk is larger than 8 TiB, and ImportSnapshot takes no larger one", shrink},
}

// judgement is what the table is asked about.
type judgement struct {
	state     state
	format    Format
	subFormat string
	img       *Image // of what is sound
	err       error  // of what is not; of a sound VHD, what is wrong with one of its footers
}

func hasBadCompression(j *judgement) bool {
	_, bad := vmdk.IsBadCompression(j.err)
	return bad
}

func hasBadGrain(j *judgement) bool      { return vmdk.IsBadGrain(j.err) }
func isDifferencing(j *judgement) bool   { return j.subFormat == "differencing" }
func hasDamagedFooter(j *judgement) bool { return j.err != nil }
func isNotStream(j *judgement) bool      { return j.subFormat != vmdk.StreamOptimized }
func isTooLarge(j *judgement) bool       { return j.img.Size() > maxSize }

// VMImport judges an image as VM Import would: img from Open, or nil with the error of Open or of a later read.
func VMImport(img *Image, err error) Verdict {
	j, reason, cure := judge(img, err)
	for _, r := range refusals {
		if r.state != j.state || r.formats != nil && !slices.Contains(r.formats, j.format) || r.when != nil && !r.when(&j) {
			continue
		}
		v := Verdict{StatusMessage: r.message, Reason: cmp.Or(r.reason, reason), Cure: cmp.Or(r.cure, cure)}
		switch r.message {
		case msgOur:
			v.StatusMessage = fmt.Sprintf(msgOur, v.Reason)
		case msgAlgorithm:
			algorithm, _ := vmdk.IsBadCompression(err)
			v.StatusMessage = fmt.Sprintf(msgAlgorithm, algorithm)
		}
		return v
	}
	return Verdict{Importable: true}
}

// VMImportConverted judges the stream-optimized VMDK that is made of an image.
func VMImportConverted(img *Image) Verdict {
	return VMImport(&Image{Image: img.Image, Format: VMDK, SubFormat: vmdk.StreamOptimized}, nil)
}

// judge also gives the reason and the cure that the error has itself.
func judge(img *Image, err error) (j judgement, reason, cure string) {
	if err == nil {
		j = judgement{format: img.Format, subFormat: img.SubFormat, img: img}
		if disk, ok := img.Image.(*vhd.Image); ok && disk.Damage() != nil { // it can be read, but has not two sound footers
			j.err, reason = disk.Damage(), disk.Damage().Error()
		}
		return j, reason, ""
	}
	j = judgement{state: unreachable, err: err}
	if m, ok := errors.AsType[*MismatchError](err); ok {
		j.state = contradicted
		return j, m.reason(), m.cure()
	}
	if c, ok := errors.AsType[*diskimage.CorruptError](err); ok {
		j.state, j.format = damaged, Format(c.Format)
	}
	if u, ok := errors.AsType[*diskimage.UnsupportedError](err); ok {
		j.state, j.format, j.subFormat = unread, Format(u.Format), u.SubFormat
		return j, u.Reason, u.Cure
	}
	return j, err.Error(), ""
}
