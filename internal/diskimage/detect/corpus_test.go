package detect_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// detectWants is what the files of corpus/detect are, by the end of their names.
var detectWants = map[string]detect.Format{
	"d.html": detect.HTML, "d.iso": detect.ISO, "d.ova": detect.OVA, "d.parallels": detect.Parallels, "d.qcow": detect.QCOW, "d.qcow2": detect.QCOW2,
	"d.qed": detect.QED, "d.raw.bz2": detect.BZIP2, "d.raw.gz": detect.GZIP, "d.raw.xz": detect.XZ, "d.raw.zst": detect.ZSTD, "d.tar": detect.TAR,
	"d.vdi": detect.VDI, "d.vmdk.descriptor-only.vmdk": detect.VMDK, "d.xml": detect.XML, "d.zip": detect.ZIP, "empty.raw": detect.Empty,
	"raw_starting_KDMV_text.raw": detect.RAW, "raw_with_conectix_inside.raw": detect.RAW,
}

// Every image of the corpus is recognised; what is read has the bytes that the manifest says; what is refused is refused by name.
func TestCorpus(t *testing.T) {
	for _, row := range testimage.Corpus(t) {
		t.Run(row.File, func(t *testing.T) {
			if testing.Short() && strings.Contains(row.File, "zerofilled") {
				t.Skip("unpacks to 264 MB")
			}
			f, size := row.Open(t)
			got, err := detect.Detect(f, size)
			if strings.Contains(row.File, "badsum") {
				if _, ok := errors.AsType[*diskimage.CorruptError](err); !ok || got != detect.VHD {
					t.Fatalf("Detect: %s, %v, want a corrupt VHD", got, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("Detect: %v", err)
			}
			want := detect.Format(row.Format)
			if row.Format == "detect" {
				var ok bool
				if want, ok = detectWants[row.SubFormat]; !ok {
					t.Fatalf("no expectation for %s", row.SubFormat)
				}
			}
			if got != want {
				t.Fatalf("detected %s, want %s", got, want)
			}

			img, err := detect.Open(f, size, "")
			verdict := detect.VMImport(img, err)
			accept := !strings.HasPrefix(row.ExpectStrict, "refuse")
			if verdict.Importable != accept {
				t.Errorf("importable %v, the manifest says %q (%+v)", verdict.Importable, row.ExpectStrict, verdict)
			}
			if wrong, ok := strings.CutPrefix(row.SHA256, "WRONG-IF-PRODUCED:"); ok && err == nil {
				if sum, err := convert.SHA256(t.Context(), img); err == nil && sum == wrong {
					t.Error("produced what a broken reader produces")
				}
			}
			if !readHere(row) {
				if _, ok := errors.AsType[*diskimage.UnsupportedError](err); !ok {
					t.Errorf("Open: %v, want an UnsupportedError", err)
				}
				return
			}
			if err != nil {
				t.Fatalf("Open: %v", err)
			}
			if img.SubFormat != subFormat(row) {
				t.Errorf("sub-format %q, want %q", img.SubFormat, subFormat(row))
			}
			if img.Size() != row.VirtualSize {
				t.Errorf("size %d, want %d", img.Size(), row.VirtualSize)
			}
			if row.Sparse64K != "-" {
				if sum, err := testimage.Sparse64K(img); err != nil || sum != row.Sparse64K {
					t.Errorf("sparse digest %s, %v, want %s", sum, err, row.Sparse64K)
				}
			}
			if row.VirtualSize < 1<<30 {
				if sum, err := convert.SHA256(t.Context(), img); err != nil || sum != row.SHA256 {
					t.Errorf("SHA-256 %s, %v, want %s", sum, err, row.SHA256)
				}
			}
		})
	}
}

// readHere: images that are one file and need no parent.
func readHere(row testimage.Row) bool {
	switch row.Format {
	case "detect":
		return detectWants[row.SubFormat] == detect.RAW
	case "VHD", "VHDX":
		return !strings.HasPrefix(row.SubFormat, "differencing")
	case "VMDK":
		sub := subFormat(row)
		return sub == "streamOptimized" || sub == "monolithicSparse" && !strings.Contains(row.SubFormat, "delta")
	default:
		return row.Format == "RAW"
	}
}

// subFormat is the first word of the manifest's description.
func subFormat(row testimage.Row) string {
	switch row.Format {
	case "VHD", "VHDX", "VMDK":
		return strings.TrimRight(strings.Fields(row.SubFormat)[0], ",")
	default:
		return ""
	}
}
