package testimage

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// Row is one image of the corpus, as its MANIFEST.tsv describes it.
type Row struct {
	File         string // inside the corpus
	Format       string // "VMDK"; "detect" for files that are there to be recognised
	SubFormat    string
	VirtualSize  int64  // -1 where unknown
	SHA256       string // of the whole disk; of the file for "detect"
	Sparse64K    string // see Chunks.Sparse64K; "-" where there is none
	ExpectStrict string // "accept...", "refuse:..."

	dir string
}

// Corpus is the manifest of the corpus of real images: in $EC2_CORPUS_DIR, or beside the repository. Without a corpus the test is skipped.
func Corpus(t testing.TB) []Row {
	t.Helper()
	dir := corpusDir(t)
	text, err := os.ReadFile(filepath.Join(dir, "MANIFEST.tsv"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("no corpus of disk images in %s; set EC2_CORPUS_DIR", dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	rows := make([]Row, 0, len(lines))
	for n, line := range lines[1:] {
		f := strings.Split(line, "\t")
		if len(f) < 9 {
			t.Fatalf("MANIFEST.tsv, line %d: %d columns", n+2, len(f))
		}
		size, err := strconv.ParseInt(f[5], 10, 64)
		if err != nil {
			size = -1
		}
		rows = append(rows, Row{
			File: f[0], Format: f[1], SubFormat: f[2], VirtualSize: size, SHA256: f[6], Sparse64K: f[7], ExpectStrict: f[8], dir: dir,
		})
	}
	return rows
}

func corpusDir(t testing.TB) string {
	if dir := os.Getenv("EC2_CORPUS_DIR"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(filepath.Dir(dir), "shared", "corpus")
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the working directory")
		}
		dir = parent
	}
}

// Open opens the image, unpacked into a temporary file where the corpus keeps it compressed. What belongs beside it is not there.
func (r Row) Open(t testing.TB) (*os.File, int64) {
	t.Helper()
	name := filepath.Join(t.TempDir(), r.nameInside())
	r.restoreAs(t, name)
	f, err := os.Open(name) //nolint:gosec // in a directory of the test
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

// companions are files that an image of the corpus needs beside it, by the name that it has for them, where a folder of its own does not say it.
var companions = map[string]map[string]string{
	"vhd/govhd_win8-child.vhd.gz": {"win8.vhd": "vhd/govhd_win8.vhd.gz"},
}

// Restore puts the image, and what belongs beside it, unpacked into a temporary directory, and returns the path of the image there. Where a folder
// holds one disk in several files, all of them belong together.
func (r Row) Restore(t testing.TB) string {
	t.Helper()
	files := map[string]string{r.nameInside(): r.File}
	maps.Copy(files, companions[r.File])
	if folder := path.Dir(r.File); strings.Contains(folder, "/") {
		entries, err := os.ReadDir(filepath.Join(r.dir, filepath.FromSlash(folder)))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			one := r
			one.File = path.Join(folder, e.Name())
			files[one.nameInside()] = one.File
		}
	}
	to := t.TempDir()
	for name, file := range files {
		one := r
		one.File = file
		one.restoreAs(t, filepath.Join(to, name))
	}
	return filepath.Join(to, r.nameInside())
}

// nameInside is the name of the file before the corpus packed it.
func (r Row) nameInside() string {
	name := path.Base(r.File)
	if r.keptAsItIs() {
		return name
	}
	return strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".bz2")
}

func (r Row) restoreAs(t testing.TB, name string) {
	t.Helper()
	packed, err := os.Open(filepath.Join(r.dir, filepath.FromSlash(r.File)))
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	to, err := os.Create(name) //nolint:gosec // in a directory of the test
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(copySparse(to, r.unpacked(t, packed)), to.Close()); err != nil {
		t.Fatalf("unpack %s: %v", r.File, err)
	}
}

// Beside opens regular files in the directory of an image.
func Beside(t testing.TB, image string) diskimage.Opener {
	t.Helper()
	root, err := os.OpenRoot(filepath.Dir(image))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return func(name string) (diskimage.File, error) {
		f, err := root.Open(name)
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("%s is not a regular file", name)
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return besideFile{f, info.Size()}, nil
	}
}

type besideFile struct {
	*os.File

	size int64
}

func (f besideFile) Size() int64 { return f.size }

// keptAsItIs: in detect/ some files are to be recognised as compressed: their names say so twice.
func (r Row) keptAsItIs() bool { return r.Format == "detect" && path.Base(r.File) == r.SubFormat }

// unpacked reads the file as it was before the corpus packed it.
func (r Row) unpacked(t testing.TB, packed *os.File) io.Reader {
	t.Helper()
	if r.keptAsItIs() {
		return packed
	}
	switch path.Ext(r.File) {
	case ".gz":
		z, err := gzip.NewReader(packed)
		if err != nil {
			t.Fatalf("%s: %v", r.File, err)
		}
		return z
	case ".bz2":
		if program, err := exec.LookPath("bzip2"); err == nil {
			return piped(t, program, packed)
		}
		return bzip2.NewReader(packed)
	default:
		return packed
	}
}

// piped is what bzip2 makes of f. Under the race detector the package of the standard library takes a minute for what the program does in a second.
func piped(t testing.TB, program string, f *os.File) io.Reader {
	t.Helper()
	from, to := io.Pipe()
	cmd := exec.CommandContext(t.Context(), program, "-dc")
	cmd.Stdin, cmd.Stdout = f, to
	go func() { _ = to.CloseWithError(cmd.Run()) }()
	return from
}

// copySparse skips blocks of zeros: some images of the corpus unpack to hundreds of megabytes of them.
func copySparse(to *os.File, from io.Reader) error {
	buf, zeros := make([]byte, 64<<10), make([]byte, 64<<10)
	size := int64(0)
	for {
		n, err := io.ReadFull(from, buf)
		if n > 0 && !bytes.Equal(buf[:n], zeros[:n]) {
			if _, err := to.WriteAt(buf[:n], size); err != nil {
				return err
			}
		}
		size += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return to.Truncate(size)
		}
		if err != nil {
			return err
		}
	}
}

// Chunks is a new disk that keeps what is written to it, in chunks of 64 KiB. It may be as large as it likes.
type Chunks struct {
	mu     sync.Mutex
	chunks map[int64][]byte
}

const chunk = 64 << 10

// WriteAt writes as io.WriterAt has it.
func (c *Chunks) WriteAt(p []byte, off int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.chunks == nil {
		c.chunks = map[int64][]byte{}
	}
	for n := 0; n < len(p); {
		at := off + int64(n)
		start := at - at%chunk
		if c.chunks[start] == nil {
			c.chunks[start] = make([]byte, chunk)
		}
		n += copy(c.chunks[start][at-start:], p[n:])
	}
	return len(p), nil
}

// Sparse64K is the digest that the manifest has for disks too large to hash, of a disk of a size: of every chunk of 64 KiB that is not all zero, its
// offset (8 bytes, little-endian) and its bytes.
func (c *Chunks) Sparse64K(size int64) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := sha256.New()
	for _, at := range slices.Sorted(maps.Keys(c.chunks)) {
		b := c.chunks[at][:min(chunk, size-at)]
		if bytes.Equal(b, make([]byte, len(b))) {
			continue
		}
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(at)))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))
}
