package vmdk_test

import (
	"bytes"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// benchmarked are a stream and a sparse disk of 32 MiB, half of it data of which half is noise, in runs of 2 MiB.
func benchmarked() map[string][]byte {
	const size, length = 32 << 20, 2 << 20
	v := testimage.VMDK{Size: size, Redundant: true, Layout: testimage.GDInFront}
	var runs []testimage.Run
	for at := int64(0); at < size; at += 2 * length {
		runs = append(runs, testimage.Run{Offset: at, Data: append(pattern(length/2, uint64(at)+1), bytes.Repeat([]byte("not noise. "), length)[:length/2]...)})
	}
	return map[string][]byte{"streamOptimized": v.Build(runs...).Data, "monolithicSparse": v.BuildSparse(runs...).Data}
}

// BenchmarkOpen is what is done before the first byte of a disk is read.
func BenchmarkOpen(b *testing.B) {
	for name, file := range benchmarked() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := open(file); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkExtents(b *testing.B) {
	for name, file := range benchmarked() {
		b.Run(name, func(b *testing.B) {
			img, err := open(file)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range img.Extents() {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkReadAt reads in the converter's chunks.
func BenchmarkReadAt(b *testing.B) {
	for name, file := range benchmarked() {
		b.Run(name, func(b *testing.B) {
			img, err := open(file)
			if err != nil {
				b.Fatal(err)
			}
			p := make([]byte, 256<<10)
			b.SetBytes(img.Size())
			b.ReportAllocs()
			for b.Loop() {
				for off := int64(0); off < img.Size(); off += int64(len(p)) {
					if _, err := img.ReadAt(p, off); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
