package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/dustin/go-humanize"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
)

type inspectCommand struct {
	Image  fileName `arg:"" name:"IMAGE" help:"The image file."`
	JSON   bool     `name:"json" help:"Print one JSON object."`
	SHA256 bool     `name:"sha256" help:"Hash the whole disk inside, holes included."`
}

// Help is the part of `inspect --help` below its summary.
func (inspectCommand) Help() string {
	return `The format is told by the content of the file, never by its name. Importable means that VM Import takes the file as it is; if not, the reason and the cure are printed. The map shows which parts of the disk carry data: holes of the file and blocks that it leaves out do not, stored zeros do. Extents and parents of the disk are read too: regular files in the directory of the image or below, through no link. The exit code is 0 whenever the file could be described, importable or not.

--sha256 gives the digest of the raw file that the disk would make. ` + hashingCost + `

Examples:

  terraform-provider-ec2 inspect disk.vmdk
  terraform-provider-ec2 inspect snapshot.avhdx
  terraform-provider-ec2 inspect --json disk.vmdk | jq -e .importable
  terraform-provider-ec2 inspect --sha256 disk.vhdx`
}

// description is what inspect finds out. Keys are always there, null where they mean nothing.
type description struct {
	Format           string  `json:"format"`
	SubFormat        *string `json:"sub_format"`
	VirtualSizeBytes *int64  `json:"virtual_size_bytes"`
	VolumeSizeGiB    *int64  `json:"volume_size_gib"`
	FileSizeBytes    int64   `json:"file_size_bytes"`
	AllocatedBytes   *int64  `json:"allocated_bytes"` // of the disk, those that the file holds data for
	Importable       bool    `json:"importable"`
	Reason           *string `json:"reason"` // why not, and the cure
	SHA256           *string `json:"sha256"` // of the disk

	allocation *allocation // nil where there is no disk
}

// Run describes the image.
func (c *inspectCommand) Run(env environment) error {
	d, err := c.describe(env)
	if err != nil {
		return fmt.Errorf("inspect %s: %w", c.Image, err)
	}
	if c.JSON {
		return printJSON(env.stdout, d)
	}
	return d.print(env.stdout, c.Image)
}

func (c *inspectCommand) describe(env environment) (description, error) {
	if err := c.Image.check("IMAGE"); err != nil {
		return description{}, err
	}
	src, err := openSource(string(c.Image))
	if err != nil {
		return description{}, err
	}
	defer src.Close() //nolint:errcheck // it was only read

	d := description{FileSizeBytes: src.Size()}
	img, err := src.open()
	incomplete := ""
	if _, ok := errors.AsType[besideError](err); ok { // what the image itself is can still be said
		if _, alone := src.openAlone(); alone != nil {
			incomplete, err = "; "+err.Error(), alone
		}
	}
	if foreign, ok := errors.AsType[*diskimage.UnsupportedError](err); ok && foreign.Format != string(detect.Empty) {
		d.Format, d.SubFormat = foreign.Format, orNull(foreign.SubFormat)
		verdict := detect.VMImport(nil, err)
		verdict.Reason += incomplete
		d.judge(verdict.For(string(c.Image)))
		return d, nil
	}
	if err != nil {
		return d, explain(err, string(c.Image))
	}
	defer img.Close() //nolint:errcheck // its files were only read
	warn(env, c.Image, img)

	virtual, gib := img.Size(), (img.Size()+(1<<30)-1)>>30
	d.Format, d.SubFormat, d.VirtualSizeBytes, d.VolumeSizeGiB = string(img.Format), orNull(img.SubFormat), &virtual, &gib
	d.allocation = newAllocation(virtual, mapWidth(env.stdout))
	if err := eachExtent(env.ctx, img, d.allocation.add); err != nil {
		return d, explain(err, string(c.Image))
	}
	d.AllocatedBytes = &d.allocation.total
	d.judge(detect.VMImport(img, nil).For(string(c.Image)))
	if c.SHA256 {
		progress := newProgress(env.stderr, "hashing")
		sum, err := convert.SHA256(env.ctx, img, convert.Options{Progress: progress.at})
		progress.done()
		if err != nil {
			return d, src.blame(explain(err, string(c.Image)))
		}
		if err := src.changed(); err != nil {
			return d, err
		}
		d.SHA256 = &sum
	}
	return d, nil
}

func eachExtent(ctx context.Context, img diskimage.Image, do func(diskimage.Extent)) error {
	for e, err := range img.Extents() {
		switch {
		case err != nil:
			return fmt.Errorf("find the data of the disk: %w", err)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		do(e)
	}
	return nil
}

func (d *description) judge(v detect.Verdict) {
	d.Importable = v.Importable
	if !v.Importable {
		d.Reason = orNull(v.String())
	}
}

// explain adds to the error of a reader what to do about it, by the name of the image.
func explain(err error, name string) error {
	if u, ok := errors.AsType[*diskimage.UnsupportedError](err); ok {
		named := *u
		named.Cure = detect.Verdict{Cure: u.Cure}.For(name).Cure
		if u.Format == string(detect.Empty) {
			return fmt.Errorf("%s; %s", named.Reason, named.Cure)
		}
		return &named
	}
	if _, corrupt := errors.AsType[*diskimage.CorruptError](err); !corrupt {
		return err
	}
	if v := detect.VMImport(nil, err).For(name); v.Cure != "" {
		return fmt.Errorf("%w; %s", err, v.Cure)
	}
	return err
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (d *description) print(w io.Writer, name fileName) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(what, format string, args ...any) {
		_, _ = fmt.Fprintf(table, "%s\t%s\n", what, fmt.Sprintf(format, args...))
	}
	row("image", "%s", name)
	row("format", "%s", formatName(d.Format, d.SubFormat))
	if d.VirtualSizeBytes != nil {
		row("disk", "%s, a volume of %d GiB", bytesText(*d.VirtualSizeBytes), *d.VolumeSizeGiB)
		row("with data", "%s", bytesText(*d.AllocatedBytes))
		shades, label := mapShades(), "map"
		for _, line := range d.allocation.rows(shades) {
			row(label, "%s", line)
			label = ""
		}
		row(label, "%s", d.allocation.legend(shades))
	}
	row("file", "%s", bytesText(d.FileSizeBytes))
	if d.Importable {
		row("importable", "yes, VM Import takes it as it is")
	} else {
		row("importable", "no: %s", *d.Reason)
	}
	if d.SHA256 != nil {
		row("SHA-256", "%s of the disk", *d.SHA256)
	}
	return table.Flush()
}

func formatName(format string, sub *string) string {
	if sub == nil {
		return format
	}
	return format + " " + *sub
}

// bytesText is a size for people, with the exact number where the unit hides it.
func bytesText(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%s (%d bytes)", humanize.IBytes(uint64(max(n, 0))), n)
}

func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
