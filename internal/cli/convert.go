package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/sparse"
)

type convertCommand struct {
	Source      fileName `arg:"" name:"SRC" help:"The image file."`
	Destination fileName `arg:"" name:"DST" help:"The file to write."`
	To          string   `enum:"raw,vmdk" default:"raw" placeholder:"raw|vmdk" help:"raw: a sparse file as long as the disk. vmdk: stream-optimized, as VM Import takes it (${default})."`
	Strict      bool     `help:"Refuse what VM Import refuses."`
	Verify      bool     `help:"Read DST again and compare it with SRC."`
	Force       bool     `help:"Replace DST, if it is a regular file and no part of SRC. Its mode stays."`
	JSON        bool     `name:"json" help:"Print one JSON object."`
}

// Help is the part of `convert --help` below its summary.
func (convertCommand) Help() string {
	return `The format of SRC is told by its content, never by its name. Of a disk in several files, SRC is the descriptor or the newest difference; extents and parents are read too, regular files in SRC's own directory or below, through no link. DST is written under a temporary name beside it and renamed when it is complete: a failure before that leaves no file behind. It is not synced to the disk: run sync before you delete SRC. Killed outright (kill -9), it leaves DST as it was and the temporary file, .convert-*.partial, beside it: remove that yourself, because no later run can know that nobody is writing it.

--verify reads both again, compares the disks byte by byte, and gives the SHA-256 of the whole disk in DST: a VMDK counts in sectors, so where the length of a raw SRC is no multiple of 512 it has up to 511 zeros more. ` + hashingCost + `

Examples:

  terraform-provider-ec2 convert disk.vhdx disk.raw
  terraform-provider-ec2 convert --to vmdk --verify disk.vmdk upload.vmdk
  terraform-provider-ec2 convert --to vmdk snapshot.avhdx upload.vmdk        # its parents are beside it
  terraform-provider-ec2 convert --to vmdk split.vmdk upload.vmdk            # split-s001.vmdk and so on are beside it
  terraform-provider-ec2 convert --strict --json disk.vhd disk.raw`
}

// hashingCost is for the help of what hashes.
const hashingCost = "Hashing takes some 15 minutes for each TiB of the disk, whatever it holds: holes are not read, but hashed as zeros."

// conversion is what was converted.
type conversion struct {
	Format           string  `json:"format"` // this and the next two of SRC
	SubFormat        *string `json:"sub_format"`
	VirtualSizeBytes int64   `json:"virtual_size_bytes"`
	WrittenBytes     int64   `json:"written_bytes"` // without holes; of a VMDK the whole file
	SHA256           *string `json:"sha256"`        // of the disk in DST, if it was verified
}

// Run converts SRC to DST.
func (c *convertCommand) Run(env environment) error {
	done, err := c.convert(env)
	if err != nil && env.ctx.Err() != nil {
		err = fmt.Errorf("%w; nothing was written to %s", err, c.Destination)
	}
	if err != nil {
		return fmt.Errorf("convert %s: %w", c.Source, err)
	}
	if c.JSON {
		err = printJSON(env.stdout, done)
	} else {
		err = done.print(env.stdout, c.Destination)
	}
	if err != nil { // DST stays: it may have taken hours
		return fmt.Errorf("%s is complete, but the result could not be printed: %w", c.Destination, err)
	}
	return nil
}

func (d conversion) print(w io.Writer, name fileName) error {
	_, err := fmt.Fprintf(w, "%s: %s, %s of data written from %s\n",
		name, bytesText(d.VirtualSizeBytes), bytesText(d.WrittenBytes), formatName(d.Format, d.SubFormat))
	if err == nil && d.SHA256 != nil {
		_, err = fmt.Fprintf(w, "verified: SHA-256 %s of the disk\n", *d.SHA256)
	}
	return err
}

func (c *convertCommand) convert(env environment) (conversion, error) {
	if err := cmp.Or(c.Source.check("SRC"), c.Destination.check("DST")); err != nil {
		return conversion{}, err
	}
	src, err := openSource(string(c.Source))
	if err != nil {
		return conversion{}, err
	}
	defer src.Close() //nolint:errcheck // it was only read
	img, err := src.open()
	if err != nil {
		return conversion{}, c.explain(err)
	}
	defer img.Close() //nolint:errcheck // its files were only read
	perm, err := c.checkDestination(src)
	if err != nil {
		return conversion{}, err
	}
	warn(env, c.Source, img)
	if err := c.checkImportable(env, img); err != nil {
		return conversion{}, err
	}

	temporary := filepath.Join(filepath.Dir(string(c.Destination)), ".convert-"+rand.Text()[:12]+".partial")
	done := conversion{Format: string(img.Format), SubFormat: orNull(img.SubFormat), VirtualSizeBytes: img.Size()}
	if done.WrittenBytes, err = c.write(env, temporary, perm, img); err != nil {
		return done, src.blame(c.explain(err))
	}
	if c.Verify {
		sum, err := c.verify(env, temporary, img)
		if err != nil {
			return done, errors.Join(src.blame(c.explain(err)), discard(temporary))
		}
		done.SHA256 = &sum
	}
	if err := src.changed(); err != nil {
		return done, errors.Join(err, discard(temporary))
	}
	if err := putInPlace(temporary, string(c.Destination), c.Force, os.Link); err != nil {
		return done, errors.Join(fmt.Errorf("put it in place as %s: %w", c.Destination, withoutPath(err)), discard(temporary))
	}
	return done, nil
}

// explain adds to the error of a reader what makes of SRC what was asked for.
func (c *convertCommand) explain(err error) error {
	if u, ok := errors.AsType[*diskimage.UnsupportedError](err); ok && c.To == "raw" {
		toRAW := *u
		toRAW.Cure = detect.ToRAW(u.Cure)
		err = &toRAW
	}
	return explain(err, string(c.Source))
}

// checkImportable refuses, with --strict, what VM Import refuses, and otherwise warns of a VMDK that is made for it in vain.
func (c *convertCommand) checkImportable(env environment, img *detect.Image) error {
	before := detect.VMImport(img, nil).For(string(c.Source))
	after := before
	if c.To == "vmdk" {
		after = detect.VMImportConverted(img)
	}
	switch {
	case c.Strict && !after.Importable:
		return fmt.Errorf("VM Import would refuse it: %s", after)
	case c.Strict && !before.Importable:
		return fmt.Errorf("VM Import would refuse it: %s; without --strict it is converted to what VM Import takes", before.Reason)
	case c.To == "vmdk" && !after.Importable:
		_, _ = fmt.Fprintf(env.stderr, "warning: %s: VM Import will refuse %s: %s\n", c.Source, c.Destination, after)
	}
	return nil
}

// The modes that DST is written with. What replaces another file is for no eyes but the owner's until it gets that one's mode.
const (
	created   fs.FileMode = 0o644
	replacing fs.FileMode = 0o600
)

// checkDestination refuses, before any work, a DST that must not be replaced. It gives the mode to write the file with.
func (c *convertCommand) checkDestination(src *source) (perm fs.FileMode, err error) {
	there, err := os.Lstat(string(c.Destination))
	if errors.Is(err, fs.ErrNotExist) {
		return created, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look at %s: %w", c.Destination, withoutPath(err))
	}
	target, err := os.Stat(string(c.Destination)) // behind a link
	switch {
	case err == nil && os.SameFile(src.info, target):
		return 0, fmt.Errorf("%s is the image itself: name another file", c.Destination)
	case err == nil && src.isOneOf(target):
		return 0, fmt.Errorf("%s is a part of the image, which needs it: name another file", c.Destination)
	case !there.Mode().IsRegular():
		return 0, fmt.Errorf("%s is %s, which is never replaced: name another file", c.Destination, kind(there.Mode()))
	case !c.Force:
		return 0, fmt.Errorf("%s exists: name another file, or replace it with --force", c.Destination)
	}
	return replacing, nil
}

// write makes the file at path, which is gone again if it fails, and says how many bytes of data it holds.
func (c *convertCommand) write(env environment, path string, perm fs.FileMode, img diskimage.Image) (written int64, err error) {
	length := img.Size()
	if c.To == "vmdk" {
		length = 0 // it grows
	}
	f, err := sparse.Create(path, length, perm)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("write %s: there is no directory %s; make it first", c.Destination, fileName(filepath.Dir(path)))
	}
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", c.Destination, roomCure(withoutPath(err)))
	}
	show := newProgress(env.stderr, "converting")
	if c.To == "vmdk" {
		written, err = writeVMDK(env.ctx, f, img, show)
	} else {
		target := writerAt{f}
		if perm == replacing {
			target.WriterAt = f.File // ext4 saves what replaces a file from a crash (mount option auto_da_alloc), but not where room was made for it
		}
		written, err = convert.Copy(env.ctx, target, img, convert.Options{Progress: show.at})
	}
	show.done()
	if err = errors.Join(err, writeFailed(f.Close())); err != nil {
		if _, ours := errors.AsType[writeError](err); ours {
			err = fmt.Errorf("write %s: %w", c.Destination, roomCure(err))
		}
		return 0, errors.Join(err, discard(path))
	}
	return written, nil
}

func writeVMDK(ctx context.Context, f io.Writer, img diskimage.Image, show *progress) (int64, error) {
	counted := &countedWriter{w: f}
	err := convert.Stream(ctx, vmdk.NewWriter(counted), img, convert.Options{Progress: show.at})
	return counted.n, err
}

// writeError is what went wrong with DST, not with the image. It does not name the file, which has a temporary name.
type writeError struct{ error }

func (e writeError) Unwrap() error { return e.error }

func writeFailed(err error) error {
	if err == nil {
		return nil
	}
	return writeError{withoutPath(err)}
}

type writerAt struct{ io.WriterAt }

func (w writerAt) WriteAt(b []byte, off int64) (int, error) {
	n, err := w.WriterAt.WriteAt(b, off)
	return n, writeFailed(err)
}

type countedWriter struct {
	w io.Writer
	n int64
}

func (c *countedWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, writeFailed(err)
}

// verify reads the file at path as an image and compares its disk with that of img. It gives the digest of the one in the file.
func (c *convertCommand) verify(env environment, path string, img diskimage.Image) (string, error) {
	f, err := openImageFile(path)
	if err != nil {
		return "", err
	}
	defer f.Close()   //nolint:errcheck // it was only read
	declared := "RAW" // whatever its first bytes look like
	if c.To == "vmdk" {
		declared = "VMDK"
	}
	copied, err := detect.Open(f, f.Size(), declared)
	if err != nil {
		return "", fmt.Errorf("read %s again: %w", c.Destination, err)
	}
	defer copied.Close() //nolint:errcheck // it holds nothing but the file

	show := newProgress(env.stderr, "verifying")
	sum, err := convert.Compare(env.ctx, img, copied, convert.Options{Progress: show.at})
	show.done()
	if d, ok := errors.AsType[*convert.DifferenceError](err); ok {
		return "", fmt.Errorf("%s does not hold the same disk: %w; nothing was kept, try again on another file system", c.Destination, d)
	}
	return sum, err
}

// putInPlace renames the complete file. What it replaces leaves it its mode. Without force, what has appeared in its place since stays.
func putInPlace(temporary, destination string, force bool, link func(old, new string) error) error {
	if !force {
		if err := link(temporary, destination); err == nil {
			if err := os.Remove(temporary); err != nil {
				return errors.Join(err, os.Remove(destination)) // what failed leaves no file
			}
			return nil
		} else if errors.Is(err, fs.ErrExist) {
			return errors.New("it exists by now")
		}
		// The file system has no hard links.
		if _, err := os.Lstat(destination); !errors.Is(err, fs.ErrNotExist) {
			return errors.New("it exists by now")
		}
	} else if there, err := os.Lstat(destination); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	} else if err == nil {
		if !there.Mode().IsRegular() {
			return fmt.Errorf("by now it is %s, which is never replaced", kind(there.Mode()))
		}
		if err := setMode(temporary, there.Mode().Perm()); err != nil {
			return err
		}
	}
	return os.Rename(temporary, destination)
}

// discard removes a temporary file; that it is gone, with its directory, is no further error.
func discard(temporary string) error {
	if err := os.Remove(temporary); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// setMode leaves alone what has the mode already: a file system without modes may refuse to set one.
func setMode(path string, perm fs.FileMode) error {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() == perm {
		return err
	}
	return os.Chmod(path, perm)
}
