package sparse_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/sparse"
)

func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "volume.raw")
	const size = 1 << 40
	f, err := sparse.Create(path, size, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{1}, size/2); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() != size {
		t.Errorf("size %d", info.Size())
	}
	if used, ok := allocated(info); ok && used > 1<<20 {
		t.Errorf("a file with one byte in it occupies %d bytes: it is not sparse", used)
	}
	b := make([]byte, 3)
	if n, err := f.ReadAt(b, size-2); n != 2 || !errors.Is(err, io.EOF) || b[0] != 0 || b[1] != 0 {
		t.Errorf("the end reads as %v, %d, %v", b, n, err)
	}
}

// A file that exists is never touched; a failure leaves none behind.
func TestCreateRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "there")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sparse.Create(path, 1, 0o600); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "mine" {
		t.Errorf("the file is now %q, %v", b, err)
	}
	for name, size := range map[string]int64{"negative": -1, "huge": 1<<63 - 1} {
		path := filepath.Join(dir, name)
		if f, err := sparse.Create(path, size, 0o600); err == nil {
			f.Close()
			continue // some file systems do hold 8 EiB
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a file was left behind: %v", name, err)
		}
	}
	if _, err := sparse.Create(filepath.Join(dir, "absent", "x"), 1, 0o600); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a directory that is not there: %v", err)
	}
}

// What is written is there, where it was written, and nothing else takes room, whatever the file system is fastest with: in long pieces and short
// ones, on the edges of blocks and off them.
func TestWriteAt(t *testing.T) {
	const size, piece = 64 << 20, 256 << 10
	f, err := sparse.Create(filepath.Join(t.TempDir(), "volume.raw"), size, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := make([]byte, size)
	wrote, dice := int64(0), rand.NewChaCha8([32]byte{1})
	for k, off := range []int64{0, 4 << 20, 9<<20 + 4096, 20<<20 + 100, 40 << 20, 40<<20 + piece, size - piece} {
		n := []int64{piece, 64 << 10, 4096}[k%3]
		_, _ = dice.Read(want[off : off+n]) // so that no file system compresses it
		if m, err := f.WriteAt(want[off:off+n], off); err != nil || int64(m) != n {
			t.Fatalf("%d bytes at %d: %d, %v", n, off, m, err)
		}
		wrote += n
	}
	got := make([]byte, size)
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("something else is read than was written, %v", err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if used, ok := allocated(info); ok && (used < wrote || used > wrote+256<<10) || info.Size() != size {
		t.Errorf("a file of %d bytes occupies %d for %d", info.Size(), used, wrote)
	}
	if _, err := f.WriteAt(want[:piece], -1); err == nil {
		t.Error("written in front of the file")
	}
}
