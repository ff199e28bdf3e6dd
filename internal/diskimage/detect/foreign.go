package detect

import "github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"

// foreign are the formats that are recognised and neither read here nor taken by VM Import: why, and what makes of such a file SRC something that is.
var foreign = map[Format]struct{ reason, cure string }{
	Empty:     {"the file has no bytes", "make the image again, or copy it again, and see with `ls -l SRC` that it has its bytes"},
	QCOW:      {otherHypervisor, qemuCure("qcow")},
	QCOW2:     {otherHypervisor, qemuCure("qcow2")},
	QED:       {otherHypervisor, qemuCure("qed")},
	VDI:       {otherHypervisor, qemuCure("vdi")},
	Parallels: {otherHypervisor, qemuCure("parallels")},
	DMG:       {otherHypervisor, qemuCure("dmg")},
	ISO: {"it is an optical disc, not a disk image",
		"if its bytes are to become the volume as they are, declare the format RAW; else install from it and import the disk installed to"},
	GZIP:     {compressed, decompressCure("gzip -dc SRC > DST")},
	BZIP2:    {compressed, decompressCure("bzip2 -dc SRC > DST")},
	XZ:       {compressed, decompressCure("xz -dc SRC > DST")},
	LZMA:     {compressed, decompressCure("xz --format=lzma -dc SRC > DST")},
	ZSTD:     {compressed, decompressCure("zstd -dc SRC > DST")},
	LZ4:      {compressed, decompressCure("lz4 -dc SRC > DST")},
	ZIP:      {compressed, unpackCure("unzip SRC", "the image")},
	SevenZip: {compressed, unpackCure("7z x SRC", "the image")},
	TAR:      {"it is an archive", unpackCure("tar -xf SRC", "the image")},
	OVA:      {"ImportSnapshot takes one disk, not an appliance", unpackCure("tar -xf SRC", "the disk, a .vmdk file,")},
	HTML:     {errorPage, lookCure},
	XML:      {errorPage, lookCure},
}

const (
	otherHypervisor = "neither VM Import nor this provider reads this format"
	compressed      = "it is compressed"
	errorPage       = "it is a text page, probably the error message of a download"
	lookCure        = "see with `head -c 500 SRC` what it says, and download the image again"
)

func qemuCure(from string) string {
	return "convert it with `qemu-img convert -f " + from + " -O vmdk -o subformat=streamOptimized SRC DST.vmdk`"
}

func decompressCure(line string) string {
	return "decompress it with `" + line + "` and take DST, the image inside"
}

func unpackCure(line, what string) string {
	return "unpack it with `" + line + "` and take " + what + " inside"
}

// refuseForeign says of a file that is recognised why it is not read, and what to do.
func refuseForeign(v *view, f Format) error {
	e := &diskimage.UnsupportedError{Format: string(f), Reason: foreign[f].reason, Cure: foreign[f].cure}
	if f == ISO && v.at(510, "\x55\xaa") {
		e.SubFormat = "hybrid"
	}
	return e
}
