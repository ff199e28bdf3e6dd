package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	diskfs "github.com/diskfs/go-diskfs"
	diskdisk "github.com/diskfs/go-diskfs/disk"
	"github.com/diskfs/go-diskfs/filesystem"
	"github.com/diskfs/go-diskfs/partition/gpt"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/raw"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
)

const (
	diskSize     = 64 << 20
	sectorSize   = 512
	firstSector  = 2048
	lastSector   = diskSize/sectorSize - firstSector
	ballastBytes = 8 << 20
	greeting     = "Hello from inside the snapshot.\n"
)

// disk is the image to import and what is known of its content.
type disk struct {
	path     string
	size     int64  // of the disk, not of the image file
	sha256   string // of the disk
	greeting string // content of hello.txt; empty where the disk is the user's own
}

// makeDisk writes a small disk as a streamOptimized VMDK: a GPT with one FAT32 partition, in it hello.txt and a file of some size. Its digest
// is taken from the raw disk, before our own VMDK writer and reader had their hands on it.
func makeDisk(ctx context.Context, dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	rawPath := filepath.Join(dir, "disk.raw")
	if err := writeFilesystem(rawPath); err != nil {
		return nil, fmt.Errorf("making a disk with a filesystem: %w", err)
	}
	sum, err := fileSHA256(rawPath)
	if err != nil {
		return nil, err
	}
	d := &disk{path: filepath.Join(dir, "disk.vmdk"), size: diskSize, sha256: sum, greeting: greeting}
	stored, err := writeVMDK(ctx, d.path, rawPath)
	if err != nil {
		return nil, fmt.Errorf("writing it as a VMDK: %w", err)
	}
	if err := os.Remove(rawPath); err != nil {
		return nil, err
	}
	say(fmt.Sprintf("%s with a GPT, a FAT32 partition and in it hello.txt", mebibytes(diskSize)))
	fact("image", fmt.Sprintf("%s (VMDK streamOptimized, %s)", relative(d.path), mebibytes(stored)))
	fact("SHA-256", d.sha256+" of the raw disk")
	return d, nil
}

// openDisk takes a disk of the user's own. Its digest is read by the same code that the import uses, except for a RAW image, which is its own digest.
func openDisk(ctx context.Context, path string) (*disk, error) {
	// The bucket is the image's directory, and a bucket does not follow a link out of itself.
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("your image: %w", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("your image: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("your image: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("your image: %s is not a regular file", path)
	}
	img, err := detect.Open(f, info.Size(), "")
	if verdict := detect.VMImport(img, err); !verdict.Importable {
		return nil, fmt.Errorf("your image %s is none that VM Import takes: %s", path, verdict.For(path))
	}
	if err != nil {
		return nil, fmt.Errorf("your image: %w", err)
	}
	defer img.Close()
	d := &disk{path: path, size: img.Size()}
	if d.sha256, err = convert.SHA256(ctx, img, convert.Options{}); err != nil {
		return nil, fmt.Errorf("reading your image: %w", err)
	}
	fact("image", fmt.Sprintf("%s (%s, %s)", relative(path), strings.TrimSpace(string(img.Format)+" "+img.SubFormat), mebibytes(info.Size())))
	fact("disk", mebibytes(d.size))
	fact("SHA-256", d.sha256+" of the disk in it")
	return d, nil
}

// compare reads the volume by itself, not through the provider, and holds it against the disk.
func (d *disk) compare(volume, reported string) error {
	info, err := os.Stat(volume)
	if err != nil {
		return fmt.Errorf("the snapshot's volume: %w", err)
	}
	if info.Size() != d.size {
		return fmt.Errorf("the volume has %d bytes, the disk %d", info.Size(), d.size)
	}
	sum, err := fileSHA256(volume)
	if err != nil {
		return err
	}
	if sum != d.sha256 {
		return fmt.Errorf("the volume's SHA-256 is %s, the disk's %s", sum, d.sha256)
	}
	if reported != sum {
		return fmt.Errorf("the provider reports SHA-256 %q, the volume's is %s", reported, sum)
	}
	say("yes: the volume's SHA-256, computed anew, is the disk's")
	if d.greeting == "" {
		return nil
	}
	found, err := readGreeting(volume)
	if err != nil {
		return fmt.Errorf("reading hello.txt out of the volume: %w", err)
	}
	if found != d.greeting {
		return fmt.Errorf("hello.txt in the volume says %q, not %q", found, d.greeting)
	}
	say(fmt.Sprintf("hello.txt, read from the volume's filesystem: %q", strings.TrimSpace(found)))
	return nil
}

// writeFilesystem makes the raw disk.
func writeFilesystem(path string) (err error) {
	d, err := diskfs.Create(path, diskSize, sectorSize)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	table := &gpt.Table{
		LogicalSectorSize: sectorSize, PhysicalSectorSize: sectorSize, ProtectiveMBR: true,
		Partitions: []*gpt.Partition{{Index: 1, Start: firstSector, End: lastSector, Type: gpt.MicrosoftBasicData, Name: "demo"}},
	}
	if err := d.Partition(table); err != nil {
		return err
	}
	fat, err := d.CreateFilesystem(diskdisk.FilesystemSpec{Partition: 1, FSType: filesystem.TypeFat32, VolumeLabel: "DEMO"})
	if err != nil {
		return err
	}
	if err := writeFile(fat, "/hello.txt", strings.NewReader(greeting)); err != nil {
		return err
	}
	// Bytes that do not compress, so that there is something to import; the same at every run.
	ballast := io.LimitReader(rand.NewChaCha8(sha256.Sum256([]byte("ballast"))), ballastBytes)
	return writeFile(fat, "/ballast.bin", ballast)
}

func writeFile(fat filesystem.FileSystem, name string, content io.Reader) error {
	f, err := fat.OpenFile(name, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return fmt.Errorf("creating %s: %w", name, err)
	}
	if _, err := io.Copy(f, content); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return f.Close()
}

func writeVMDK(ctx context.Context, path, rawPath string) (size int64, err error) {
	source, err := os.Open(rawPath)
	if err != nil {
		return 0, err
	}
	defer source.Close()
	img, err := raw.Open(source, diskSize)
	if err != nil {
		return 0, err
	}
	defer img.Close()
	target, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if err := convert.Stream(ctx, vmdk.NewWriter(target), img, convert.Options{}); err != nil {
		return 0, err
	}
	info, err := target.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func readGreeting(volume string) (string, error) {
	d, err := diskfs.Open(volume, diskfs.WithOpenMode(diskfs.ReadOnly))
	if err != nil {
		return "", err
	}
	defer func() { _ = d.Close() }()
	fat, err := d.GetFilesystem(1)
	if err != nil {
		return "", err
	}
	content, err := fs.ReadFile(fat, "hello.txt")
	return string(content), err
}

func fileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
