package vhdx_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhdx"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// Every VHDX of the corpus has the bytes that the manifest says. For the dirty ones, those are what the specification makes of their logs: qemu-img
// refuses them or replays the wrong part, other readers ignore the log.
func TestCorpus(t *testing.T) {
	seen := 0
	for _, row := range testimage.Corpus(t) {
		if row.Format != "VHDX" {
			continue
		}
		seen++
		t.Run(row.File, func(t *testing.T) {
			f, size := row.Open(t)
			img, err := vhdx.Open(f, size)
			if strings.HasPrefix(row.SubFormat, "differencing") {
				u, ok := errors.AsType[*diskimage.UnsupportedError](err)
				if !ok || u.SubFormat != "differencing" || !strings.Contains(u.Cure, "Merge-VHD") {
					t.Errorf("%v, want a differencing image refused", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want, _, _ := strings.Cut(row.SubFormat, ","); !strings.HasPrefix(want, img.SubFormat()) || img.Size() != row.VirtualSize {
				t.Errorf("%s of %d bytes, want %s of %d", img.SubFormat(), img.Size(), want, row.VirtualSize)
			}
			if sum, err := testimage.Sparse64K(img); err != nil || sum != row.Sparse64K {
				t.Errorf("sparse digest %s, %v, want %s", sum, err, row.Sparse64K)
			}
			if row.VirtualSize <= 256<<20 && !testing.Short() { // the sparse digest covers the larger ones
				if sum, err := convert.SHA256(t.Context(), img); err != nil || sum != row.SHA256 {
					t.Errorf("SHA-256 %s, %v, want %s", sum, err, row.SHA256)
				}
			}
		})
	}
	if seen < 16 {
		t.Errorf("only %d rows seen", seen)
	}
}
