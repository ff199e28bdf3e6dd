package raw_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/raw"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

func TestConform(t *testing.T) {
	disk := bytes.Repeat([]byte("disk"), 100_001)
	testimage.Conform(t, testimage.Case{
		Files: map[string][]byte{"disk.raw": disk}, Disk: disk, Units: []int64{512, 4096},
		Open: func(r io.ReaderAt, size int64, _ diskimage.Opener) (diskimage.Image, error) { return raw.Open(r, size) },
	})
}
