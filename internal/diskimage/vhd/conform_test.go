package vhd_test

import (
	"io"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhd"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

func openBeside(r io.ReaderAt, size int64, beside diskimage.Opener) (diskimage.Image, error) {
	return vhd.OpenBeside(r, size, beside)
}

func TestConform(t *testing.T) {
	v, runs, disk := small()
	t.Run("dynamic", func(t *testing.T) {
		testimage.Conform(t, testimage.Case{
			Files: map[string][]byte{"disk.vhd": v.Build(runs...).Data}, Disk: disk, Units: []int64{512, block}, Open: openBeside,
		})
	})
	v.Fixed = true
	t.Run("fixed", func(t *testing.T) {
		testimage.Conform(t, testimage.Case{
			Files: map[string][]byte{"disk.vhd": v.Build(runs...).Data}, Disk: disk, Units: []int64{512}, Open: openBeside,
		})
	})
}
