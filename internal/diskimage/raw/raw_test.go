package raw_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/raw"
)

// The file is the disk, as long as it is, whatever a sector is.
func TestRaw(t *testing.T) {
	for _, size := range []int64{0, 1, 511, 512, 1000} {
		data := bytes.Repeat([]byte{7}, int(size))
		img, err := raw.Open(bytes.NewReader(append(data, 1, 2, 3)), size)
		if err != nil {
			t.Fatal(err)
		}
		if img.Size() != size {
			t.Errorf("size %d, want %d", img.Size(), size)
		}
		got := make([]byte, size+2)
		if n, err := img.ReadAt(got, 0); int64(n) != size || err != io.EOF || !bytes.Equal(got[:n], data) { //nolint:errorlint // io.ReaderAt promises the value itself
			t.Errorf("%d bytes: ReadAt = %d, %v", size, n, err)
		}
		var extents []diskimage.Extent
		for e, err := range img.Extents() {
			if err != nil {
				t.Fatal(err)
			}
			extents = append(extents, e)
		}
		if size == 0 && len(extents) != 0 || size > 0 && (len(extents) != 1 || extents[0] != diskimage.Extent{Length: size}) {
			t.Errorf("%d bytes: extents %v", size, extents)
		}
	}
	if _, err := raw.Open(bytes.NewReader(nil), -1); err == nil {
		t.Error("a negative size was taken")
	}
}
