package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/cli"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// An image that something else writes to, or cuts off, while it is converted is no image that was converted, whether or not the bytes that were read
// happen to be good.
func TestConvertChangedSource(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"shrinks":      func(path string) error { return os.Truncate(path, mib) },
		"is emptied":   func(path string) error { return os.Truncate(path, 0) },
		"grows":        func(path string) error { return writeInto(path, os.O_APPEND, 0) },
		"is rewritten": func(path string) error { return writeInto(path, 0, 2*mib+100) },
	} {
		for format, image := range map[string][]byte{"raw": disk(), "vmdk": testimage.StreamOptimized(testimage.GDInFront, disk())} {
			for _, args := range [][]string{nil, {"--to", "vmdk"}, {"--verify"}} {
				t.Run(fmt.Sprintf("%s %s %v", format, name, args), func(t *testing.T) {
					dir := t.TempDir()
					src := write(t, dir, "src", image)
					must(t, os.Chtimes(src, time.Time{}, time.Now().Add(-time.Hour))) // else all is in one tick of the file system's clock
					said := &onProgress{do: func() { must(t, change(src)) }}
					var stdout bytes.Buffer
					code := cli.Run(t.Context(), append([]string{"convert", src, dir + "/dst"}, args...), &stdout, said)
					const words = "src: it was written to since it was opened: try again when nothing writes to it"
					if code != 1 || stdout.Len() > 0 || !strings.Contains(said.String(), words) || files(t, dir) != "src" {
						t.Errorf("exit code %d, stdout %q, stderr %q, files: %s", code, stdout.String(), said.String(), files(t, dir))
					}
				})
			}
		}
	}
}

// The same of a file that the image names.
func TestConvertChangedExtent(t *testing.T) {
	dir := t.TempDir()
	src := write(t, dir, "src.vmdk", []byte("# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 6144 FLAT \"src-flat.vmdk\" 0\n"))
	flat := write(t, dir, "src-flat.vmdk", disk()[:3*mib])
	must(t, os.Chtimes(flat, time.Time{}, time.Now().Add(-time.Hour)))
	said := &onProgress{do: func() { must(t, writeInto(flat, 0, 5)) }}
	var stdout bytes.Buffer
	code := cli.Run(t.Context(), []string{"convert", src, dir + "/dst"}, &stdout, said)
	const words = "\"src-flat.vmdk\", which it names, was written to since it was opened"
	if code != 1 || stdout.Len() > 0 || !strings.Contains(said.String(), words) || files(t, dir) != "src-flat.vmdk src.vmdk" {
		t.Errorf("exit code %d, stdout %q, stderr %q, files: %s", code, stdout.String(), said.String(), files(t, dir))
	}
}

// A digest of bytes of two versions is that of no disk.
func TestInspectChangedSource(t *testing.T) {
	flat := []byte("# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 6144 FLAT \"flat\" 0\n")
	for name, c := range map[string]struct {
		src     []byte
		change  func(dir string) error
		subject string
	}{
		"shrinks":                {disk(), func(dir string) error { return os.Truncate(dir+"/src", mib) }, "it was"},
		"is rewritten":           {disk(), func(dir string) error { return writeInto(dir+"/src", 0, 2*mib+100) }, "it was"},
		"an extent is rewritten": {flat, func(dir string) error { return writeInto(dir+"/flat", 0, 5) }, `"flat", which it names, was`},
		"nothing":                {flat, nil, ""},
	} {
		for _, args := range [][]string{nil, {"--json"}} {
			t.Run(fmt.Sprint(name, args), func(t *testing.T) {
				dir := t.TempDir()
				for _, path := range []string{write(t, dir, "src", c.src), write(t, dir, "flat", disk()[:3*mib])} {
					must(t, os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)))
				}
				said := &onProgress{do: func() {
					if c.change != nil {
						must(t, c.change(dir))
					}
				}}
				var stdout bytes.Buffer
				code := cli.Run(t.Context(), append([]string{"inspect", "--sha256", dir + "/src"}, args...), &stdout, said)
				if c.change == nil {
					if code != 0 || stdout.Len() == 0 {
						t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout.String(), said.String())
					}
					return
				}
				words := "src: " + c.subject + " written to since it was opened: try again when nothing writes to it"
				if code != 1 || stdout.Len() > 0 || !strings.Contains(said.String(), words) {
					t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout.String(), said.String())
				}
			})
		}
	}
}

// A file that replaces the image under its name is another one: what was opened stays whole.
func TestConvertReplacedSource(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("an open file can't be replaced there")
	}
	dir := t.TempDir()
	src, next := write(t, dir, "src", disk()), write(t, dir, "next", []byte("something else"))
	said := &onProgress{do: func() { must(t, os.Rename(next, src)) }}
	if code := cli.Run(t.Context(), []string{"convert", src, dir + "/dst"}, &bytes.Buffer{}, said); code != 0 {
		t.Fatalf("exit code %d, stderr %q", code, said.String())
	}
	if got, err := os.ReadFile(filepath.Join(dir, "dst")); err != nil || !bytes.Equal(got, disk()) {
		t.Errorf("not the disk: %v", err)
	}
}

// A DST that somebody makes while the image is converted stays, unless it may be replaced.
func TestConvertDestinationAppears(t *testing.T) {
	for _, args := range [][]string{nil, {"--to", "vmdk"}, {"--verify"}} {
		for _, force := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v force=%v", args, force), func(t *testing.T) {
				dir := t.TempDir()
				src := write(t, dir, "src", disk())
				said := &onProgress{do: func() { write(t, dir, "dst", []byte("theirs")) }}
				args := append([]string{"convert", src, dir + "/dst"}, args...)
				if force {
					args = append(args, "--force")
				}
				code := cli.Run(t.Context(), args, &bytes.Buffer{}, said)
				got, err := os.ReadFile(dir + "/dst")
				if theirs := string(got) == "theirs"; err != nil || theirs == force || (code == 1) == force || files(t, dir) != "dst src" {
					t.Errorf("exit code %d, stderr %q, files: %s; DST has %d bytes, %v", code, said.String(), files(t, dir), len(got), err)
				}
				if !force && !strings.Contains(said.String(), "dst: it exists by now") {
					t.Errorf("stderr %q", said.String())
				}
			})
		}
	}
}

// A link that appears is replaced no more than one that was there.
func TestConvertLinkAppears(t *testing.T) {
	dir := t.TempDir()
	src, other := write(t, dir, "src", disk()), write(t, dir, "other", []byte("theirs"))
	said := &onProgress{do: func() { must(t, os.Symlink(other, dir+"/dst")) }}
	code := cli.Run(t.Context(), []string{"convert", "--force", src, dir + "/dst"}, &bytes.Buffer{}, said)
	if code != 1 || !strings.Contains(said.String(), "by now it is a symbolic link") || files(t, dir) != "dst other src" {
		t.Errorf("exit code %d, stderr %q, files: %s", code, said.String(), files(t, dir))
	}
}

// The file that replaces another one has no wider mode than that, neither while it is written nor when it is in place. Windows has no such modes.
func TestConvertKeepsTheMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no modes there")
	}
	probe := write(t, t.TempDir(), "probe", nil)
	must(t, os.Remove(probe))
	must(t, os.WriteFile(probe, nil, 0o644)) //nolint:gosec // it shows what the umask leaves of the mode of a new file
	fresh := mode(t, probe)
	for _, c := range []struct {
		name                   string
		before, then           os.FileMode // of DST when the conversion starts, and from its middle on; 0: it is not there, or stays as it is
		whileWritten, afterAll os.FileMode
	}{
		{"a new file", 0, 0, fresh, fresh},
		{"a secret", 0o600, 0, 0o600, 0o600},
		{"for a group", 0o640, 0, 0o600, 0o640},
		{"for all to write", 0o666, 0, 0o600, 0o666},
		{"read-only", 0o400, 0, 0o600, 0o400},
		{"not for the owner", 0o044, 0, 0o600, 0o044},
		{"one that became a secret", 0o644, 0o600, 0o600, 0o600},
		{"one that appeared", 0, 0o600, fresh, 0o600},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			src, dst := write(t, dir, "src", disk()), dir+"/dst"
			if c.before != 0 {
				must(t, os.Chmod(write(t, dir, "dst", []byte("old")), c.before))
			}
			said := &onProgress{do: func() {
				partial, err := filepath.Glob(dir + "/.convert-*.partial")
				if must(t, err); len(partial) != 1 || mode(t, partial[0]) != c.whileWritten {
					t.Errorf("while it is written: %q of mode %v, want %v", partial, mode(t, partial[0]), c.whileWritten)
				}
				if c.then == 0 {
					return
				}
				if c.before == 0 {
					write(t, dir, "dst", nil)
				}
				must(t, os.Chmod(dst, c.then))
			}}
			if code := cli.Run(t.Context(), []string{"convert", "--force", "--verify", src, dst}, &bytes.Buffer{}, said); code != 0 || mode(t, dst) != c.afterAll {
				t.Errorf("exit code %d, stderr %q; mode %v, want %v", code, said.String(), mode(t, dst), c.afterAll)
			}
		})
	}
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.Mode()
}

func writeInto(path string, flag int, at int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|flag, 0)
	if err != nil {
		return err
	}
	if flag == os.O_APPEND {
		_, err = f.WriteString("changed")
	} else {
		_, err = f.WriteAt([]byte("changed"), at)
	}
	return errors.Join(err, f.Close())
}

// onProgress does something once when a conversion or a hash says for the first time that it is under way.
type onProgress struct {
	bytes.Buffer

	do func()
}

func (o *onProgress) Write(b []byte) (int, error) {
	if (bytes.HasPrefix(b, []byte("converting: ")) || bytes.HasPrefix(b, []byte("hashing: "))) && o.do != nil {
		o.do()
		o.do = nil
	}
	return o.Buffer.Write(b)
}
