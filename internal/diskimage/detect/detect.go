// Package detect tells by its content, never by its name, what a file is, and opens it with the format's reader. It also holds what VM Import
// takes and refuses.
package detect

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/raw"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhd"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhdx"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
)

// Image is an open disk image with what it is.
type Image struct {
	diskimage.Image

	Format    Format
	SubFormat string // "fixed", "dynamic", "monolithicSparse", "streamOptimized"; empty where the format has none
}

// Warnings are what the reader passed over, and what the user of the disk will want to know: the disk is complete all the same.
func (i *Image) Warnings() []string {
	if w, ok := i.Image.(interface{ Warnings() []string }); ok {
		return w.Warnings()
	}
	return nil
}

// Doubts are the warnings of an image whose format was not declared, and what the name of its file, or object, says against it. It is no proof: detection
// goes by content alone. But the one mark of a fixed VHD is at its end.
func (i *Image) Doubts(name string) []string {
	doubts := i.Warnings()
	extension := strings.ToUpper(strings.TrimPrefix(path.Ext(name), "."))
	if i.Format == RAW && slices.Contains([]Format{VHD, VHDX, VMDK}, Format(extension)) {
		doubts = append(doubts, fmt.Sprintf("nothing in it is of a %s, as its name says: it is taken as RAW, byte for byte. "+
			"A file that was cut off, or damaged at its beginning, looks like that", extension))
	}
	return doubts
}

// MismatchError says that a file is not of the format it was declared to be.
type MismatchError struct {
	Declared, Detected Format
}

func (e *MismatchError) Error() string {
	return e.reason() + "; " + e.cure()
}

func (e *MismatchError) reason() string {
	return fmt.Sprintf("the image was declared to be %s, but its content is %s", e.Declared, e.Detected)
}

// cure: where the content is something to be imported, only the declaration is wrong.
func (e *MismatchError) cure() string {
	if f, ok := foreign[e.Detected]; ok {
		return f.cure
	}
	return "correct the format, or leave it out so that it is detected"
}

// Detect looks at the first 64 KiB and the last 1536 bytes. An error is one of reading, or a *diskimage.CorruptError for a file that has the
// magic of a format but a wrong version or checksum; the format is then given too.
func Detect(r io.ReaderAt, size int64) (Format, error) {
	v, err := readEnds(r, size)
	if err != nil {
		return "", err
	}
	return detectIn(v)
}

func readEnds(r io.ReaderAt, size int64) (*view, error) {
	if size < 0 {
		return nil, fmt.Errorf("image of %d bytes: the size cannot be negative", size)
	}
	v := &view{size: size, head: make([]byte, min(size, headSize))}
	if err := diskimage.ReadFull(r, v.head, 0); err != nil {
		return nil, fmt.Errorf("read the beginning of the image: %w", err)
	}
	if size <= headSize {
		v.tail = v.head[max(0, size-tailSize):]
		return v, nil
	}
	v.tail = make([]byte, tailSize)
	if err := diskimage.ReadFull(r, v.tail, size-tailSize); err != nil {
		return nil, fmt.Errorf("read the end of the image: %w", err)
	}
	return v, nil
}

// Open opens size bytes of r, which stays the caller's. declared is the format the user gave, in any case, or empty. The content must agree with
// it (*MismatchError), except that RAW takes any bytes as they are, as EC2 does. What is recognised but not read here is a
// *diskimage.UnsupportedError.
func Open(r io.ReaderAt, size int64, declared string) (*Image, error) {
	return open(r, size, declared, openers{vhd.Open, vhdx.Open, vmdk.Open})
}

// OpenBeside is Open, by content alone, of an image that may name other files: the extents of its disk, or the disk that it differs from. They are
// opened through beside.
func OpenBeside(r io.ReaderAt, size int64, beside diskimage.Opener) (*Image, error) {
	return open(r, size, "", openers{
		func(r io.ReaderAt, size int64) (*vhd.Image, error) { return vhd.OpenBeside(r, size, beside) },
		func(r io.ReaderAt, size int64) (*vhdx.Image, error) { return vhdx.OpenBeside(r, size, beside) },
		func(r io.ReaderAt, size int64) (*vmdk.Image, error) { return vmdk.OpenBeside(r, size, beside) },
	})
}

// Look is Open by headers and footers alone, for one who will not read the disk, and whose reader may be slow, or give a part of the file only: what
// they say then stands, even where Check cannot be carried out.
func Look(r io.ReaderAt, size int64, declared string) (*Image, error) {
	return open(r, size, declared, openers{vhd.Look, vhdx.Look, vmdk.Look})
}

// Check holds the tables of an image from Look against the file, without reading the disk.
func (i *Image) Check() error {
	if c, ok := i.Image.(interface{ Check() error }); ok {
		return c.Check()
	}
	return nil
}

// openers are the readers' ways to open an image: with its tables or without, with the files beside it or without.
type openers struct {
	vhd  func(io.ReaderAt, int64) (*vhd.Image, error)
	vhdx func(io.ReaderAt, int64) (*vhdx.Image, error)
	vmdk func(io.ReaderAt, int64) (*vmdk.Image, error)
}

func open(r io.ReaderAt, size int64, declared string, o openers) (*Image, error) {
	want := Format(strings.ToUpper(declared))
	if want == RAW && size > 0 {
		return openRAW(r, size)
	}
	v, err := readEnds(r, size)
	if err != nil {
		return nil, err
	}
	got, err := detectIn(v)
	if want != "" && got != Empty && got != want {
		return nil, &MismatchError{Declared: want, Detected: got}
	}
	if err != nil {
		return nil, err
	}
	switch got {
	case RAW:
		return openRAW(r, size)
	case VHD:
		img, err := o.vhd(r, size)
		if err != nil {
			return nil, err
		}
		return &Image{Image: img, Format: VHD, SubFormat: img.SubFormat()}, nil
	case VHDX:
		img, err := o.vhdx(r, size)
		if err != nil {
			return nil, err
		}
		return &Image{Image: img, Format: VHDX, SubFormat: img.SubFormat()}, nil
	case VMDK:
		img, err := o.vmdk(r, size)
		if err != nil {
			return nil, err
		}
		return &Image{Image: img, Format: VMDK, SubFormat: img.SubFormat()}, nil
	default:
		return nil, refuseForeign(v, got)
	}
}

func openRAW(r io.ReaderAt, size int64) (*Image, error) {
	img, err := raw.Open(r, size)
	if err != nil {
		return nil, err
	}
	return &Image{Image: img, Format: RAW}, nil
}
