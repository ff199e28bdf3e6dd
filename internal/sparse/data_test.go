package sparse_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/sparse"
)

// What NextData passes over reads as zeros, and on a system that has maps of files a hole of 1 TiB is passed over.
func TestNextData(t *testing.T) {
	const size = 1 << 40
	created, err := sparse.Create(filepath.Join(t.TempDir(), "volume"), size, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer created.Close()
	written := []int64{0, size / 2, size - 4096}
	for _, at := range written {
		if _, err := created.WriteAt([]byte{1}, at); err != nil {
			t.Fatal(err)
		}
	}
	f := sparse.File{File: created.File}
	stored, found := int64(0), 0
	for off := int64(0); ; {
		start, end, err := f.NextData(off)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || end <= max(start, off) || end > size {
			t.Fatalf("behind %d: from %d to %d, %v", off, start, end, err)
		}
		for _, at := range written {
			if max(start, off) <= at && at < end {
				found++
			}
		}
		stored += end - max(start, off)
		off = end
	}
	if found != len(written) {
		t.Errorf("%d of %d bytes that were written lie in what is stored", found, len(written))
	}
	if (runtime.GOOS == "linux" || runtime.GOOS == "darwin") && stored > 1<<20 {
		t.Errorf("%d bytes are said to be stored", stored)
	}
	if start, end, err := f.NextData(size - 1); runtime.GOOS == "linux" && (start != size-1 || end != size || err != nil) {
		t.Errorf("inside of a run: from %d to %d, %v", start, end, err)
	}
	for _, off := range []int64{size, size + 1} {
		if start, end, err := f.NextData(off); !errors.Is(err, io.EOF) {
			t.Errorf("at the end: from %d to %d, %v", start, end, err)
		}
	}
}

// A file that cannot be asked is an error, and not a hole.
func TestNextDataOfClosedFile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "volume"))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if start, end, err := (sparse.File{File: f}).NextData(0); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("from %d to %d, %v", start, end, err)
	}
}

// BenchmarkNextData walks over a file of many runs.
func BenchmarkNextData(b *testing.B) {
	const runs, distance = 1000, 1 << 20
	created, err := sparse.Create(filepath.Join(b.TempDir(), "volume"), runs*distance, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer created.Close()
	for k := range int64(runs) {
		if _, err := created.WriteAt([]byte{1}, k*distance); err != nil {
			b.Fatal(err)
		}
	}
	f := sparse.File{File: created.File}
	for b.Loop() {
		for off := int64(0); ; {
			_, end, err := f.NextData(off)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			off = end
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/runs, "ns/run")
}
