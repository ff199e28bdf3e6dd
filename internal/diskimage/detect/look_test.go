package detect_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

var errTable = errors.New("the table is out of reach")

// without cannot read the bytes from one place to another.
type without struct {
	io.ReaderAt
	from, to int64
}

func (w without) ReadAt(p []byte, off int64) (int, error) {
	if off < w.to && off+int64(len(p)) > w.from {
		return 0, errTable
	}
	return w.ReaderAt.ReadAt(p, off)
}

// TestLookWithoutTables: what headers and footers say is known without the tables, and that those were out of reach says nothing against the image.
func TestLookWithoutTables(t *testing.T) {
	const size = 40 << 30
	noise := make([]byte, 1<<20)
	for k := range noise {
		noise[k] = byte(k * k >> 7 * k)
	}
	run := testimage.Run{Data: noise}
	vhd := testimage.VHD{Size: size}.Build(run)
	vhdx := testimage.VHDX{Size: size}.Build(run)
	vmdk := testimage.VMDK{Layout: testimage.GDPatched, Size: size}.Build(run)
	for _, c := range []struct {
		name, sub string
		data      []byte
		from, to  int64 // of a part of the tables behind the head of 64 KiB
	}{
		{"VHD", "dynamic", vhd.Data, 70 << 10, 71 << 10},
		{"VHDX", "dynamic", vhdx.Data, vhdx.BAT, vhdx.BAT + 8},
		{"VMDK", "streamOptimized", vmdk.Data, vmdk.GT[0], vmdk.GT[0] + 4},
	} {
		r := without{bytes.NewReader(c.data), c.from, c.to}
		img, err := detect.Look(r, int64(len(c.data)), "")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if string(img.Format) != c.name || img.SubFormat != c.sub || img.Size() != size || !detect.VMImport(img, nil).Importable {
			t.Errorf("%s: %s %s of %d bytes", c.name, img.Format, img.SubFormat, img.Size())
		}
		if err := img.Check(); !errors.Is(err, errTable) {
			t.Errorf("%s: checked with %v", c.name, err)
		}
		if _, err := detect.Open(r, int64(len(c.data)), ""); c.name != "VMDK" && !errors.Is(err, errTable) {
			t.Errorf("%s: opened with %v", c.name, err)
		}
	}
}

// TestCheckCut (P19): a file that was cut off is told by its tables, where neither a footer nor a header tells.
func TestCheckCut(t *testing.T) {
	const size = 8 << 20
	noise := make([]byte, 3<<20)
	for k := range noise {
		noise[k] = byte(k * k >> 7 * k)
	}
	run := testimage.Run{Offset: 2 << 20, Data: noise}
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"VMDK with its tables in front":                         {testimage.VMDK{Layout: testimage.GDInFront, Size: size}.Build(run).Data, "cut off"},
		"VMDK with its tables in front, and nothing at its end": {testimage.VMDK{Layout: testimage.GDInFront, Size: 2 << 30}.Build(run).Data, "cut off"},
		"VMDK with its tables at the end":                       {testimage.VMDK{Layout: testimage.GDPatched, Size: size}.Build(run).Data, "cut off"},
		"VMDK, not compressed":                                  {testimage.VMDK{Size: size}.BuildSparse(run).Data, "cut off"},
		"VHDX":                                                  {testimage.VHDX{Size: size}.Build(run).Data, "cut off"},
	} {
		for _, missing := range []int{0, 1024, len(c.data) / 3} {
			cut := c.data[:len(c.data)-missing]
			img, err := detect.Look(bytes.NewReader(cut), int64(len(cut)), "")
			if err == nil {
				err = img.Check()
			}
			var corrupt *diskimage.CorruptError
			if missing == 0 && err != nil || missing > 0 && (!errors.As(err, &corrupt) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%s without its last %d bytes: %v", name, missing, err)
			}
		}
	}
}

// TestCheckCorpus: nothing is held against a sound image, and a cut one is never taken for a sound one of its kind.
func TestCheckCorpus(t *testing.T) {
	checked := 0
	for _, row := range testimage.Corpus(t) {
		if row.Format == "detect" || strings.Contains(row.ExpectStrict, "unsupported") {
			continue
		}
		t.Run(row.File, func(t *testing.T) {
			f, size := row.Open(t)
			whole, openErr := detect.Open(f, size, "")
			img, err := detect.Look(f, size, "")
			if err == nil {
				err = img.Check()
			}
			if fmt.Sprint(err) != fmt.Sprint(openErr) {
				t.Fatalf("looked at: %v; opened: %v", err, openErr)
			}
			if err == nil && (img.Size() != whole.Size() || img.SubFormat != whole.SubFormat) {
				t.Errorf("looked at: %d bytes, %s; opened: %d, %s", img.Size(), img.SubFormat, whole.Size(), whole.SubFormat)
			}
			checked++
		})
	}
	if checked < 50 {
		t.Errorf("only %d images", checked)
	}
}
