package detect_test

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// recognised is what the files of corpus/detect are, by what the manifest calls them, and the line that makes something of them.
var recognised = map[string]struct {
	format detect.Format
	cure   string
}{
	"d.html":                       {detect.HTML, "`head -c 500 SRC`"},
	"d.iso":                        {detect.ISO, "declare the format RAW"},
	"d.ova":                        {detect.OVA, "`tar -xf SRC`"},
	"d.parallels":                  {detect.Parallels, "`qemu-img convert -f parallels -O vmdk -o subformat=streamOptimized SRC DST.vmdk`"},
	"d.qcow":                       {detect.QCOW, "`qemu-img convert -f qcow -O vmdk -o subformat=streamOptimized SRC DST.vmdk`"},
	"d.qcow2":                      {detect.QCOW2, "`qemu-img convert -f qcow2 -O vmdk -o subformat=streamOptimized SRC DST.vmdk`"},
	"d.qed":                        {detect.QED, "`qemu-img convert -f qed -O vmdk -o subformat=streamOptimized SRC DST.vmdk`"},
	"d.raw.bz2":                    {detect.BZIP2, "`bzip2 -dc SRC > DST`"},
	"d.raw.gz":                     {detect.GZIP, "`gzip -dc SRC > DST`"},
	"d.raw.xz":                     {detect.XZ, "`xz -dc SRC > DST`"},
	"d.raw.zst":                    {detect.ZSTD, "`zstd -dc SRC > DST`"},
	"d.tar":                        {detect.TAR, "`tar -xf SRC`"},
	"d.vdi":                        {detect.VDI, "`qemu-img convert -f vdi -O vmdk -o subformat=streamOptimized SRC DST.vmdk`"},
	"d.vmdk.descriptor-only.vmdk":  {detect.VMDK, "keep it together with those files and convert it with `terraform-provider-ec2 convert --to vmdk SRC DST.vmdk`"},
	"d.xml":                        {detect.XML, "`head -c 500 SRC`"},
	"d.zip":                        {detect.ZIP, "`unzip SRC`"},
	"empty.raw":                    {detect.Empty, "`ls -l SRC`"},
	"raw_starting_KDMV_text.raw":   {detect.RAW, ""},
	"raw_with_conectix_inside.raw": {detect.RAW, ""},
}

// Every image of the corpus is recognised; what is read has the bytes that the manifest says, through the converter; what is refused is refused by
// name and with a cure; and VM Import takes what the manifest says it takes. It sees the image alone: what belongs beside it is for the command line.
func TestCorpus(t *testing.T) {
	for _, row := range testimage.Corpus(t) {
		t.Run(row.File, func(t *testing.T) {
			t.Parallel()
			image := row.Restore(t)
			f, size := mustOpen(t, image)
			want := formatOf(t, row)
			got, err := detect.Detect(f, size)
			if got != want || err != nil && unreadable(row) != isDamaged {
				t.Fatalf("detected %s, %v, want %s", got, err, want)
			}

			alone, err := detect.Open(f, size, "")
			verdict := detect.VMImport(alone, err)
			if accept := !strings.HasPrefix(row.ExpectStrict, "refuse"); verdict.Importable != accept {
				t.Errorf("importable %v, the manifest says %q (%+v)", verdict.Importable, row.ExpectStrict, verdict)
			}
			if complete := verdict.StatusMessage != "" && verdict.Reason != "" && verdict.Cure != ""; complete == verdict.Importable {
				t.Errorf("%+v", verdict)
			}
			if cure := recognised[row.SubFormat].cure; !strings.Contains(verdict.Cure, cure) {
				t.Errorf("the cure is %q, want %q", verdict.Cure, cure)
			}
			why := unreadable(row)
			if why == "" && needsOthers(row) {
				checkRefused(t, row, want, isUnsupported, err)
			} else {
				checkRefused(t, row, want, why, err)
			}

			img, err := detect.OpenBeside(f, size, testimage.Beside(t, image))
			checkRefused(t, row, want, why, err)
			if err != nil {
				return
			}
			if img.Format != want || img.SubFormat != subFormat(row) || img.Size() != row.VirtualSize {
				t.Errorf("%s %q of %d bytes, want %s %q of %d", img.Format, img.SubFormat, img.Size(), want, subFormat(row), row.VirtualSize)
			}
			checkContent(t, row, img)
			if err := img.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

// formatOf is what the manifest says that the image is.
func formatOf(t *testing.T, row testimage.Row) detect.Format {
	t.Helper()
	if row.Format != "detect" {
		return detect.Format(row.Format)
	}
	known, ok := recognised[row.SubFormat]
	if !ok {
		t.Fatalf("no expectation for %s", row.SubFormat)
	}
	return known.format
}

// checkRefused holds an error of opening against why there should be one.
func checkRefused(t *testing.T, row testimage.Row, format detect.Format, why string, err error) {
	t.Helper()
	switch why {
	case isDamaged:
		if c, ok := errors.AsType[*diskimage.CorruptError](err); !ok || c.Format != row.Format {
			t.Fatalf("%v, want a CorruptError of a %s", err, row.Format)
		}
	case isUnsupported:
		if u, ok := errors.AsType[*diskimage.UnsupportedError](err); !ok || u.Format != string(format) || u.Cure == "" {
			t.Fatalf("%v, want an UnsupportedError of a %s with a cure", err, format)
		}
	default:
		if err != nil {
			t.Fatalf("it is not read: %v", err)
		}
	}
}

// checkContent converts the disk. The sparse digest covers every byte of it; the converter's own SHA-256 is compared for all but the largest.
func checkContent(t *testing.T, row testimage.Row, img diskimage.Image) {
	t.Helper()
	if row.Sparse64K != "-" {
		var copied testimage.Chunks
		if _, err := convert.Copy(t.Context(), &copied, img, convert.Options{}); err != nil {
			t.Errorf("convert: %v", err)
		}
		if sum := copied.Sparse64K(img.Size()); sum != row.Sparse64K {
			t.Errorf("sparse digest %s, want %s", sum, row.Sparse64K)
		}
	}
	if row.VirtualSize <= 64<<20 {
		if sum, err := convert.SHA256(t.Context(), img, convert.Options{}); err != nil || sum != row.SHA256 {
			t.Errorf("SHA-256 %s, %v, want %s", sum, err, row.SHA256)
		}
	} else if row.Sparse64K == "-" {
		t.Error("nothing was compared")
	}
}

const (
	isDamaged     = "damaged"
	isUnsupported = "unsupported" // a foreign file, or one whose parent is nowhere
)

// unreadable is why an image is not read even with the files beside it that belong to it; empty where it is read.
func unreadable(row testimage.Row) string {
	switch {
	case strings.Contains(row.File, "badsum"):
		return isDamaged
	case row.Format == "detect" && recognised[row.SubFormat].format != detect.RAW, strings.HasPrefix(row.SHA256, "WRONG-IF-PRODUCED"):
		return isUnsupported
	}
	return ""
}

// needsOthers: an image in several files, or one that differs from a parent.
func needsOthers(row testimage.Row) bool {
	switch sub := subFormat(row); row.Format {
	case "VHD", "VHDX":
		return sub == "differencing"
	case "VMDK":
		return sub != "streamOptimized" && sub != "monolithicSparse" || strings.Contains(row.SubFormat, "delta")
	}
	return false
}

// subFormat is the first word of the manifest's description.
func subFormat(row testimage.Row) string {
	word := strings.TrimRight(strings.Fields(row.SubFormat)[0], ",:")
	switch {
	case row.Format == "VMDK" && strings.Contains(row.SubFormat, " delta"):
		return word + " delta"
	case row.Format == "VMDK" && word == "flat":
		return "monolithicFlat"
	case row.Format == "VHD", row.Format == "VHDX", row.Format == "VMDK":
		return word
	default:
		return ""
	}
}

// Every cure is a line that somebody can run. Those whose program is on this machine are run here on the images of the corpus, and what comes of them
// is something that VM Import takes, with the disk that the manifest says.
func TestCures(t *testing.T) {
	rows := testimage.Corpus(t)
	inside := disksInside(t, rows)
	ran, absent := map[string]int{}, map[string]int{}
	for _, row := range rows {
		if !strings.HasPrefix(row.ExpectStrict, "refuse") {
			continue
		}
		t.Run(row.File, func(t *testing.T) {
			image := row.Restore(t)
			img, err := openFile(t, image)
			for _, quoted := range regexp.MustCompile("`[^`]+`").FindAllString(detect.VMImport(img, err).Cure, -1) {
				line := strings.Trim(quoted, "`")
				program, _, _ := strings.Cut(line, " ")
				if !runCure(t, row, line, image) {
					absent[program]++
					continue
				}
				ran[program]++
				switch {
				case program == "ls", program == "head", row.SubFormat == "d.vmdk.descriptor-only.vmdk": // they make nothing
				case row.Format == "detect":
					checkCured(t, image, inside)
				default:
					checkCured(t, image, row.SHA256)
				}
			}
		})
	}
	t.Logf("ran %v; not on this machine: %v", ran, absent)
	if ran["terraform-provider-ec2"] == 0 {
		t.Error("nothing was converted here")
	}
}

// disksInside is the SHA-256 of the disk that is in all files of corpus/detect.
func disksInside(t *testing.T, rows []testimage.Row) string {
	t.Helper()
	i := slices.IndexFunc(rows, func(r testimage.Row) bool { return r.SubFormat == "d.raw.gz" })
	f, _ := rows[i].Open(t)
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, z); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// runCure runs a line where its program is here. terraform-provider-ec2 is this program: what it would do is done, in fewer words.
func runCure(t *testing.T, row testimage.Row, line, image string) bool {
	t.Helper()
	dir, name := filepath.Split(image)
	program, _, _ := strings.Cut(line, " ")
	if program == "terraform-provider-ec2" {
		return convertHere(t, row, line, image)
	}
	if _, err := exec.LookPath(program); err != nil {
		return false
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(line, "SRC", name)) //nolint:gosec // our own lines, on names of the corpus
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if alone := strings.Contains(name, "descriptor-only"); (err != nil) != alone { // the files that it names are not there
		t.Errorf("%s: %v: %s", line, err, out)
	}
	return true
}

// convertHere does what the line says, where there is everything that the image needs.
func convertHere(t *testing.T, row testimage.Row, line, image string) bool {
	t.Helper()
	f, size := mustOpen(t, image)
	img, err := detect.OpenBeside(f, size, testimage.Beside(t, image))
	if unreadable(row) != "" {
		checkRefused(t, row, formatOf(t, row), unreadable(row), err)
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	file, err := os.Create(filepath.Join(filepath.Dir(image), line[strings.LastIndex(line, " ")+1:]))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(line, "--to vmdk") {
		err = convert.Stream(t.Context(), vmdk.NewWriter(file), img, convert.Options{})
	} else {
		_, err = convert.Copy(t.Context(), file, img, convert.Options{})
		err = errors.Join(err, file.Truncate(img.Size()))
	}
	if err := errors.Join(err, file.Close()); err != nil {
		t.Errorf("%s: %v", line, err)
	}
	return true
}

// checkCured looks at what a line has left beside the image.
func checkCured(t *testing.T, image, digest string) {
	t.Helper()
	found := 0
	for _, name := range []string{"DST", "DST.vmdk", "DST.raw", "small.raw", "disk1.vmdk"} {
		img, err := openFile(t, filepath.Join(filepath.Dir(image), name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		found++
		if v := detect.VMImport(img, err); !v.Importable {
			t.Errorf("%s: %+v", name, v)
		} else if sum, err := convert.SHA256(t.Context(), img, convert.Options{}); err != nil || sum != digest {
			t.Errorf("%s: SHA-256 %s, %v, want %s", name, sum, err, digest)
		}
	}
	if found == 0 {
		t.Error("nothing came of it")
	}
}

// openFile opens an image alone, as VM Import sees it.
func openFile(t *testing.T, name string) (*detect.Image, error) {
	t.Helper()
	if _, err := os.Stat(name); err != nil {
		return nil, err
	}
	f, size := mustOpen(t, name)
	return detect.Open(f, size, "")
}

func mustOpen(t *testing.T, name string) (*os.File, int64) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return f, info.Size()
}
