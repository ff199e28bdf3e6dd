package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/sparse"
)

const (
	diskSize = 1536 << 20
	diskData = 544 << 20 // of which there must be at least 512 MiB
)

// writeDisk fills a part of a sparse disk with files of this machine, sources and programs, in pieces as a file system would have them. The same
// machine gives the same disk.
func writeDisk(t *testing.T, path string) (data int64) {
	t.Helper()
	files, total := machineFiles(t)
	if total < 512<<20 {
		t.Skipf("there are only %d MiB of files to make a disk of", total>>20)
	}
	f, err := sparse.Create(path, diskSize, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	content := &concatenation{names: files}
	r := rand.New(rand.NewPCG(1, 2))
	buf := make([]byte, 4<<20)
	for at := int64(0); ; {
		piece := buf[:min((1+r.Int64N(1<<10))<<12, diskSize-at)]
		n, err := io.ReadFull(content, piece)
		_, werr := f.WriteAt(piece[:n], at)
		if data += int64(n); werr != nil {
			t.Fatal(werr)
		}
		if err != nil || data >= diskData {
			break
		}
		// A hole as large as keeps the data spread over all of the disk.
		left := diskSize - at - int64(n) - (diskData - data)
		at += int64(n) + min(left, r.Int64N(2*int64(n)*left/max(1, diskData-data)+1)&^4095)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return data
}

// machineFiles are the files, from several places in turn and at most a third of what is needed from each.
func machineFiles(t *testing.T) (names []string, total int64) {
	t.Helper()
	modules, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{runtime.GOROOT(), strings.TrimSpace(string(modules)), "/usr/bin", "/usr/lib"} { //nolint:staticcheck // the toolchain in use
		taken := int64(0)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil //nolint:nilerr // what cannot be read is left out
			}
			info, err := d.Info()
			if err != nil || info.Size() == 0 {
				return nil //nolint:nilerr // as above
			}
			names = append(names, path)
			if taken += info.Size(); taken >= diskData/3 {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		total += taken
	}
	return names, total
}

// concatenation reads one file after the other.
type concatenation struct {
	names []string
	f     *os.File
}

func (c *concatenation) Read(p []byte) (int, error) {
	for {
		if c.f == nil {
			if len(c.names) == 0 {
				return 0, io.EOF
			}
			var err error
			if c.f, err = os.Open(c.names[0]); err != nil {
				return 0, err
			}
			c.names = c.names[1:]
		}
		n, err := c.f.Read(p)
		if err == nil {
			return n, nil
		}
		_ = c.f.Close()
		if c.f = nil; !errors.Is(err, io.EOF) {
			return n, err
		}
	}
}

// sameContent compares two files without reading what neither stores.
func sameContent(t *testing.T, one, other string) {
	t.Helper()
	var files [2]sparse.File
	var sizes [2]int64
	for k, path := range []string{one, other} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[k], sizes[k] = sparse.File{File: f}, fileSize(t, path)
	}
	if sizes[0] != sizes[1] {
		t.Fatalf("%s has %d bytes, %s %d", one, sizes[0], other, sizes[1])
	}
	var bufs [2][1 << 20]byte
	for _, mapped := range files {
		for off := int64(0); ; {
			start, end, err := mapped.NextData(off)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for at := max(start, off); at < end; {
				n := min(int64(len(bufs[0])), end-at)
				for k, f := range files {
					if _, err := f.ReadAt(bufs[k][:n], at); err != nil && !errors.Is(err, io.EOF) {
						t.Fatal(err)
					}
				}
				if !bytes.Equal(bufs[0][:n], bufs[1][:n]) {
					t.Fatalf("%s and %s differ between %s", one, other, fmt.Sprintf("bytes %d and %d", at, at+n))
				}
				at += n
			}
			off = end
		}
	}
}
