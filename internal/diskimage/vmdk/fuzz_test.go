package vmdk_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// Whatever bytes a reader is fed, it ends, stays inside the disk, keeps its promises about extents, its errors have a type, and no file stays open.
func exercise(t *testing.T, f files) {
	t.Helper()
	left := 0
	defer func() {
		if left != 0 {
			t.Fatalf("%d files are open", left)
		}
	}()
	img, err := vmdk.OpenBeside(bytes.NewReader(f["disk.vmdk"]), int64(len(f["disk.vmdk"])), func(name string) (diskimage.File, error) {
		file, err := f.opener()(name)
		if err != nil {
			return nil, err
		}
		left++
		return counted{file, &left}, nil
	})
	if err != nil {
		typed(t, err)
		return
	}
	end, seen := int64(0), 0
	for e, err := range img.Extents() {
		if err != nil {
			typed(t, err)
			break
		}
		if e.Length <= 0 || e.Offset < end || e.End() > img.Size() {
			t.Fatalf("extent %+v after %d in a disk of %d bytes", e, end, img.Size())
		}
		if end < e.Offset {
			checkZeros(t, img, diskimage.Extent{Offset: end, Length: e.Offset - end})
		}
		end = e.End()
		if seen++; seen > 16 {
			break
		}
		if e.Zero {
			checkZeros(t, img, e)
			continue
		}
		b := make([]byte, min(e.Length, 64<<10))
		if n, err := img.ReadAt(b, e.Offset); err != nil {
			typed(t, err)
		} else if n != len(b) {
			t.Fatalf("ReadAt: %d of %d bytes without an error", n, len(b))
		}
	}
	if err := img.Close(); err != nil {
		t.Fatal(err)
	}
}

// counted is one of the files that are open.
type counted struct {
	diskimage.File

	left *int
}

func (c counted) Close() error {
	*c.left--
	return c.File.Close()
}

// checkZeros reads both ends of what must read as zeros.
func checkZeros(t *testing.T, img io.ReaderAt, e diskimage.Extent) {
	t.Helper()
	b := make([]byte, min(e.Length, 4096))
	for _, at := range []int64{e.Offset, e.End() - int64(len(b))} {
		if _, err := img.ReadAt(b, at); err != nil {
			typed(t, err)
		} else if len(bytes.Trim(b, "\x00")) > 0 {
			t.Fatalf("%+v reads as something else than zeros", e)
		}
	}
}

func typed(t *testing.T, err error) {
	t.Helper()
	_, corrupt := errors.AsType[*diskimage.CorruptError](err)
	_, unsupported := errors.AsType[*diskimage.UnsupportedError](err)
	if !corrupt && !unsupported {
		t.Fatalf("error of type %T: %v", err, err)
	}
}

// tiny are disks in one file, each with every kind of grain.
func tiny() (out [][]byte) {
	runs := []testimage.Run{{Data: pattern(4096, 1)}, {Offset: 4096, Zero: 4096}, {Offset: 5 * 4096, Data: pattern(512, 2)}}
	for _, layout := range testimage.Layouts {
		v := testimage.VMDK{Layout: layout, Size: 5*4096 + 512, GrainSectors: 8, GTEs: 2, Redundant: true}
		out = append(out, v.Build(runs...).Data)
	}
	for _, redundant := range []bool{true, false} {
		v := testimage.VMDK{Size: 5*4096 + 512, GrainSectors: 8, GTEs: 2, Redundant: redundant, ShortLast: redundant}
		out = append(out, v.BuildSparse(runs...).Data)
	}
	return out
}

// FuzzOpen feeds foreign bytes as a disk in one file: headers, footers and tables.
func FuzzOpen(f *testing.F) {
	for _, data := range tiny() {
		f.Add(data)
	}
	f.Add([]byte("# Disk DescriptorFile\nversion=1\ncreateType=\"monolithicFlat\"\nRW 2048 FLAT \"x-flat.vmdk\" 0\n"))
	f.Add([]byte("COWD\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		exercise(t, files{"disk.vmdk": data})
		if img, err := vmdk.Look(bytes.NewReader(data), int64(len(data))); err != nil {
			typed(t, err)
		} else if err := img.Check(); err != nil {
			typed(t, err)
		}
	})
}

// FuzzDescriptor feeds foreign text as the descriptor of sound files.
func FuzzDescriptor(f *testing.F) {
	f.Add(described("custom", `RW 8 FLAT "a" 0`, "RDONLY 8 ZERO", `RW 41 SPARSE "s"`, `NOACCESS 8 FLAT "/x" 0`, `RW 4 VMFS "a" 8`))
	f.Add([]byte("version=1\r\nCreateType = vmfs\r\nparentCID=0000000a\r\nparentFileNameHint=\"/x/base\"\r\nRW 41 SPARSE \"s\"\r\n"))
	f.Add([]byte("\xef\xbb\xbf#\nRW 9 FLAT \"a\" 99999999999\nRW 99999999999999 ZERO\n\x00RW 8 FLAT \"../a\""))
	sparse := tiny()[4]
	base := testimage.VMDK{Size: 5*4096 + 512, GrainSectors: 8, Descriptor: chained("a", "ffffffff", "", 41)}.BuildSparse(testimage.Run{Data: pattern(8192, 3)}).Data
	f.Fuzz(func(t *testing.T, text []byte) {
		exercise(t, files{"disk.vmdk": text, "a": pattern(8192, 1), "s": sparse, "base": base})
	})
}

// FuzzCOWD feeds foreign bytes as an extent of ESX.
func FuzzCOWD(f *testing.F) {
	for _, grain := range []int64{1, 8} {
		v := testimage.VMDK{Size: 20 * 512, GrainSectors: grain}
		f.Add(v.BuildCOWD(testimage.Run{Data: pattern(1024, 1)}, testimage.Run{Offset: v.Size - 700, Data: pattern(700, 2)}).Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		exercise(t, files{"disk.vmdk": described("vmfsSparse", `RW 20 VMFSSPARSE "x"`), "x": data})
	})
}

// FuzzSESparse feeds foreign bytes as an extent of ESXi.
func FuzzSESparse(f *testing.F) {
	v := testimage.VMDK{Size: 20 * 512}
	f.Add(v.BuildSESparse(testimage.Run{Data: pattern(4096, 1)}, testimage.Run{Offset: 4096, Zero: 4096}, testimage.Run{Offset: 8192, Data: pattern(2048, 2)}).Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		exercise(t, files{"disk.vmdk": described("seSparse", `RW 20 SESPARSE "x"`), "x": data})
	})
}

// FuzzFiles feeds foreign bytes as all files of a delta: its descriptor, an extent, its parent and a file of that.
func FuzzFiles(f *testing.F) {
	delta := []byte(testimage.Descriptor{
		CreateType: "custom", CID: "b", ParentCID: "a", ParentHint: "base", Extents: []string{`RW 41 SPARSE "a"`, `RW 8 FLAT "b" 0`},
	}.String())
	base := []byte(testimage.Descriptor{CreateType: "vmfs", CID: "a", Extents: []string{`RW 9 VMFS "b"`, "RW 8 ZERO"}}.String())
	for _, sparse := range tiny() {
		f.Add(delta, sparse, base, pattern(5000, 1))
	}
	v := testimage.VMDK{Size: 5*4096 + 512, GrainSectors: 8, Descriptor: chained("a", "ffffffff", "", 41)}
	f.Add(delta, v.BuildCOWD(testimage.Run{Data: pattern(1024, 1)}).Data, v.BuildSparse(testimage.Run{Offset: 100, Data: pattern(9000, 1)}).Data, pattern(4096, 2))
	twice := testimage.VMDK{Size: 5*4096 + 512, GrainSectors: 8, GTEs: 2}.BuildSparse(testimage.Run{Data: pattern(8192, 1)})
	copy(twice.Data[twice.GT[0]:twice.GT[0]+4], twice.Data[twice.GT[0]+4:])
	f.Add(delta, twice.Data, base, pattern(5000, 1))
	f.Fuzz(func(t *testing.T, image, a, base, b []byte) {
		exercise(t, files{"disk.vmdk": image, "a": a, "base": base, "b": b})
	})
}
