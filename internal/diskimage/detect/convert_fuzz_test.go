package detect_test

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/raw"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// FuzzConvert converts whatever opens: the volume is the disk that ReadAt shows, byte for byte, its digest that of the image, and the VMDK made of it
// holds it, too; or all of them fail.
func FuzzConvert(f *testing.F) {
	const most = 1 << 20 // what is written and hashed in one run
	runs := []testimage.Run{{Offset: 512, Data: []byte("the beginning of a disk")}, {Offset: 70 << 10, Data: bytes.Repeat([]byte("grain "), 3000)}}
	f.Add([]byte("a disk of no multiple of a sector"))
	f.Add(testimage.StreamOptimized(testimage.GDInFront, bytes.Repeat([]byte("x"), 200<<10)))
	f.Add(testimage.VMDK{Layout: testimage.GDAtEnd, Size: 128 << 10, GrainSectors: 16}.Build(runs...).Data)
	f.Add(testimage.VMDK{Size: 128 << 10, GrainSectors: 8}.BuildSparse(runs...).Data)
	f.Add(testimage.VHD{Size: 128 << 10, BlockSize: 4096}.Build(runs...).Data)
	f.Add(testimage.VHD{Size: 96 << 10, Fixed: true}.Build(runs...).Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		img, err := detect.Open(bytes.NewReader(data), int64(len(data)), "")
		if err != nil || img.Size() > most {
			return
		}
		want, readErr := io.ReadAll(io.NewSectionReader(img, 0, img.Size()))

		volume := make(buffer, img.Size())
		written, err := convert.Copy(t.Context(), volume, img, convert.Options{})
		if (err == nil) != (readErr == nil) {
			t.Fatalf("converted: %v; read: %v", err, readErr)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(volume, want) {
			t.Fatal("the volume is not the disk")
		}
		if written > int64(len(want)) {
			t.Fatalf("%d bytes were written to a volume of %d", written, len(want))
		}

		var packed bytes.Buffer
		if err := convert.Stream(t.Context(), vmdk.NewWriter(&packed), img, convert.Options{}); err != nil {
			t.Fatal(err)
		}
		back, err := vmdk.Open(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
		if err != nil {
			t.Fatal(err)
		}
		same(t, img, back)
		disk, err := raw.Open(bytes.NewReader(volume), img.Size())
		if err != nil {
			t.Fatal(err)
		}
		same(t, img, disk)
	})
}

// same compares two disks by what is converted of them.
func same(t *testing.T, img, copied diskimage.Image) {
	t.Helper()
	sum, err := convert.Compare(context.Background(), img, copied, convert.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if of, err := convert.SHA256(t.Context(), img, convert.Options{}); err != nil || copied.Size() == img.Size() && of != sum {
		t.Fatalf("digests %s and %s, %v", of, sum, err)
	}
}
