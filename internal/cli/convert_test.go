package cli_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/cli"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

func sha256Of(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestConvertToRAW(t *testing.T) {
	dir, raw := t.TempDir(), disk()
	src, dst := write(t, dir, "src", testimage.StreamOptimized(testimage.GDInFront, raw)), filepath.Join(dir, "dst")
	code, stdout, stderr := run(t, "convert", "--json", "--verify", src, dst)
	want := `{"format":"VMDK","sub_format":"streamOptimized","virtual_size_bytes":3146240,"written_bytes":1151488,"sha256":"` + sha256Of(raw) + `"}` + "\n"
	if code != 0 || stdout != want {
		t.Errorf("exit code %d, stderr %q, stdout\n%swant\n%s", code, stderr, stdout, want)
	}
	if got, err := os.ReadFile(dst); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("the file is not the disk: %v", err)
	}
	if got := files(t, dir); got != "dst src" {
		t.Errorf("files: %s", got)
	}
}

// A RAW image keeps its length; a VMDK counts in sectors, so the rest of the last one is zeros there.
func TestConvertOddLength(t *testing.T) {
	dir, raw := t.TempDir(), disk()[:100_001]
	src := write(t, dir, "src", raw)
	for to, want := range map[string][]byte{"raw": raw, "vmdk": append(bytes.Clone(raw), make([]byte, 100_352-100_001)...)} {
		dst := filepath.Join(dir, to)
		code, stdout, stderr := run(t, "convert", "--to", to, "--verify", src, dst)
		if code != 0 || !strings.Contains(stdout, sha256Of(want)) || !strings.Contains(stderr, "warning: "+src+": its size of 100001 bytes") {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", to, code, stdout, stderr)
		}
		f, err := os.Open(dst)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, _ := f.Stat()
		img, err := detect.Open(f, info.Size(), to)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(io.NewSectionReader(img, 0, img.Size())); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v, which are not the image's", to, len(got), err)
		}
	}
}

// Nothing may be lost: an existing file is replaced on request only, and never the image or what is no file.
func TestConvertDestination(t *testing.T) {
	raw := disk()
	for _, c := range []struct {
		name  string
		make  func(t *testing.T, dir string) // makes DST
		force bool
		words []string // of the refusal; nil: it is written
	}{
		{"nothing there", func(*testing.T, string) {}, false, nil},
		{"nothing there, forced", func(*testing.T, string) {}, true, nil},
		{"a file", func(t *testing.T, dir string) { write(t, dir, "dst", []byte("old")) }, false, []string{"exists", "--force"}},
		{"a file, forced", func(t *testing.T, dir string) { write(t, dir, "dst", []byte("old")) }, true, nil},
		{"a directory, forced", func(t *testing.T, dir string) { must(t, os.Mkdir(dir+"/dst", 0o700)) }, true, []string{"a directory", "never replaced"}},
		{"a link to another file, forced", func(t *testing.T, dir string) {
			must(t, os.Symlink(write(t, dir, "other", []byte("old")), dir+"/dst"))
		}, true, []string{"a symbolic link", "never replaced"}},
		{"a link to nothing", func(t *testing.T, dir string) { must(t, os.Symlink(dir+"/none", dir+"/dst")) }, false, []string{"a symbolic link"}},
		{"a link to the image, forced", func(t *testing.T, dir string) { must(t, os.Symlink(dir+"/src", dir+"/dst")) }, true, []string{"the image itself"}},
		{"another name of the image, forced", func(t *testing.T, dir string) { must(t, os.Link(dir+"/src", dir+"/dst")) }, true, []string{"the image itself"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			src := write(t, dir, "src", testimage.StreamOptimized(testimage.GDAtEnd, raw))
			c.make(t, dir)
			before := files(t, dir)
			args := []string{"convert", src, dir + "/dst"}
			if c.force {
				args = append(args, "--force")
			}
			if c.words != nil {
				refused(t, 1, args, c.words...)
				if got := files(t, dir); got != before {
					t.Errorf("files: %s, before: %s", got, before)
				}
				if c.name == "a file" {
					if kept, err := os.ReadFile(dir + "/dst"); string(kept) != "old" {
						t.Errorf("the file holds %q, %v", kept, err)
					}
				}
				return
			}
			if code, _, stderr := run(t, args...); code != 0 {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			if got, err := os.ReadFile(dir + "/dst"); err != nil || !bytes.Equal(got, raw) || files(t, dir) != "dst src" {
				t.Errorf("not the disk, or not alone: %v, files: %s", err, files(t, dir))
			}
		})
	}
	t.Run("the image", func(t *testing.T) {
		src := write(t, t.TempDir(), "src", raw)
		refused(t, 1, []string{"convert", "--force", src, src}, "the image itself")
		if got, err := os.ReadFile(src); err != nil || !bytes.Equal(got, raw) {
			t.Errorf("the image has changed: %v", err)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What fails leaves no file behind, whenever it fails, and an old file as it was.
func TestConvertFails(t *testing.T) {
	good := testimage.StreamOptimized(testimage.GDAtEnd, disk())
	damaged := testimage.VMDK{Size: 4 * mib}.Build(testimage.Run{Offset: 0, Data: disk()[:mib]}, testimage.Run{Offset: 3 * mib, Data: disk()[:1000]})
	damaged.Data[damaged.Grain[48]+20] ^= 0xff // the last of 17 grains
	sparse := testimage.VMDK{Size: mib}.BuildSparse(testimage.Run{Offset: 0, Data: disk()[:1000]}).Data
	stopped, stop := context.WithCancelCause(t.Context())
	stop(errors.New("interrupt signal received"))
	for _, c := range []struct {
		name  string
		ctx   context.Context
		args  []string
		data  []byte
		words []string
	}{
		{"a damaged grain", t.Context(), nil, damaged.Data, []string{"corrupt VMDK", "grain", "export the image again"}},
		{"a damaged grain, to VMDK", t.Context(), []string{"--to", "vmdk"}, damaged.Data, []string{"corrupt VMDK", "grain"}},
		{"interrupted", stopped, nil, good, []string{"interrupt signal received; nothing was written to ", "/dst\n"}},
		{"interrupted, to VMDK", stopped, []string{"--to", "vmdk"}, good, []string{"interrupt signal received; nothing was written to ", "/dst\n"}},
		{"strict", t.Context(), []string{"--strict"}, sparse, []string{"VM Import would refuse it", "stream-optimized", "convert --to vmdk"}},
		{"strict, to VMDK", t.Context(), []string{"--strict", "--to", "vmdk"}, sparse, []string{"VM Import would refuse it", "without --strict"}},
		{"a foreign format", t.Context(), nil, append([]byte("QFI\xfb\x00\x00\x00\x03"), make([]byte, 1000)...), []string{"QCOW2", "nor this provider reads this format", "qemu-img convert -f qcow2 -O raw /", " NEW.raw`"}},
		{"a foreign format, to VMDK", t.Context(), []string{"--to", "vmdk"}, append([]byte("QFI\xfb\x00\x00\x00\x03"), make([]byte, 1000)...), []string{"QCOW2", "qemu-img convert -f qcow2 -O vmdk -o subformat=streamOptimized /", " NEW.vmdk`"}},
		{"an empty file", t.Context(), nil, nil, []string{"the file has no bytes"}},
	} {
		for _, force := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s force=%v", c.name, force), func(t *testing.T) {
				dir := t.TempDir()
				args := append([]string{"convert", write(t, dir, "src", c.data), dir + "/dst"}, c.args...)
				want := "src"
				if force {
					write(t, dir, "dst", []byte("old"))
					args, want = append(args, "--force"), "dst src"
				}
				var stdout, stderr bytes.Buffer
				if code := cli.Run(c.ctx, args, &stdout, &stderr); code != 1 || stdout.Len() > 0 {
					t.Errorf("exit code %d, stdout %q", code, stdout.String())
				}
				for _, w := range c.words {
					if !strings.Contains(stderr.String(), w) {
						t.Errorf("%q does not say %q", stderr.String(), w)
					}
				}
				if strings.Contains(stderr.String(), "write ") { // it is not DST that failed
					t.Errorf("it says %q", stderr.String())
				}
				if got := files(t, dir); got != want {
					t.Errorf("files: %s, want %s", got, want)
				}
				if old, _ := os.ReadFile(dir + "/dst"); force && string(old) != "old" {
					t.Errorf("the old file holds %d bytes of something else", len(old))
				}
			})
		}
	}
	t.Run("a directory that is not there", func(t *testing.T) {
		dir := t.TempDir()
		refused(t, 1, []string{"convert", write(t, dir, "src", good), dir + "/no/dst"}, dir+"/no/dst", "there is no directory "+dir+"/no;", "make it first")
	})
}

// A VMDK that VM Import takes in all but its size is made, with a warning.
func TestConvertTooLarge(t *testing.T) {
	dir := t.TempDir()
	const reason = "the disk is larger than 8 TiB, and ImportSnapshot takes no larger one; shrink the disk"
	large := write(t, dir, "large", testimage.VHDX{Size: 8<<40 + 512, BlockSize: 256 << 20}.Build().Data)
	code, _, stderr := run(t, "convert", "--to", "vmdk", large, dir+"/dst")
	if want := "warning: " + large + ": VM Import will refuse " + dir + "/dst: " + reason; code != 0 || !strings.Contains(stderr, want) {
		t.Errorf("exit code %d, stderr %q, want %q", code, stderr, want)
	}
	refused(t, 1, []string{"convert", "--strict", "--to", "vmdk", large, dir + "/strict"}, "VM Import would refuse it: "+reason)

	largest := write(t, dir, "largest", testimage.VHDX{Size: 8 << 40, BlockSize: 256 << 20}.Build().Data)
	if code, _, stderr := run(t, "convert", "--to", "vmdk", largest, dir+"/dst2"); code != 0 || strings.Contains(stderr, "warning") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
}

// An image that somebody writes into while it is read gives no file that was verified.
func TestConvertVerifies(t *testing.T) {
	for _, to := range []string{"raw", "vmdk"} {
		dir := t.TempDir()
		src := write(t, dir, "src", disk())
		var stdout bytes.Buffer
		stderr := &onLine{line: "converting: 100 %", do: func() {
			f, err := os.OpenFile(src, os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteAt([]byte("changed"), 2*mib+100)
			must(t, errors.Join(err, f.Close()))
		}}
		code := cli.Run(t.Context(), []string{"convert", "--verify", "--to", to, src, dir + "/dst"}, &stdout, stderr)
		if code != 1 || stdout.Len() > 0 || !strings.Contains(stderr.String(), "does not hold the same disk") || files(t, dir) != "src" {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q, files: %s", to, code, stdout.String(), stderr.String(), files(t, dir))
		}
	}
}

// onLine does something when a line is written that begins so.
type onLine struct {
	bytes.Buffer

	line string
	do   func()
}

func (o *onLine) Write(b []byte) (int, error) {
	if bytes.HasPrefix(b, []byte(o.line)) {
		o.do()
	}
	return o.Buffer.Write(b)
}

// A name that is as long as the file system takes one leaves no room for anything to be added.
func TestConvertLongName(t *testing.T) {
	dir := t.TempDir()
	dst := filepath.Join(dir, strings.Repeat("n", 255))
	if code, _, stderr := run(t, "convert", write(t, dir, "src", disk()), dst); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if got, err := os.ReadFile(dst); err != nil || !bytes.Equal(got, disk()) {
		t.Errorf("not the disk: %v", err)
	}
}

// An answer that nobody gets is a failure.
func TestClosedStdout(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "src", disk())
	for _, args := range [][]string{{"inspect", path}, {"inspect", "--json", path}, {"serve", "--listen", "127.0.0.1:0", "--data-dir", dir + "/data"}} {
		var stderr bytes.Buffer
		if code := cli.Run(t.Context(), args, closed{}, &stderr); code != 1 || !strings.Contains(stderr.String(), "broken pipe") {
			t.Errorf("%q: exit code %d, stderr %q", args, code, stderr.String())
		}
	}
}

// A conversion that cannot be told of was one all the same: its file stays, and the message says so.
func TestConvertClosedStdout(t *testing.T) {
	for _, args := range [][]string{nil, {"--json"}, {"--verify"}} {
		dir := t.TempDir()
		var stderr bytes.Buffer
		code := cli.Run(t.Context(), append([]string{"convert", write(t, dir, "src", disk()), dir + "/dst"}, args...), closed{}, &stderr)
		got, err := os.ReadFile(dir + "/dst")
		if code != 1 || !strings.Contains(stderr.String(), "dst is complete, but the result could not be printed: broken pipe") || !bytes.Equal(got, disk()) {
			t.Errorf("%q: exit code %d, stderr %q, DST of %d bytes, %v", args, code, stderr.String(), len(got), err)
		}
	}
}

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestConvertSaysHowFarItIs(t *testing.T) {
	dir := t.TempDir()
	src := write(t, dir, "src", testimage.StreamOptimized(testimage.GDAtEnd, disk()))
	for _, to := range []string{"raw", "vmdk"} {
		code, _, stderr := run(t, "convert", "--to", to, src, filepath.Join(dir, to))
		if lines := strings.Split(stderr, "\n"); code != 0 || len(lines) < 2 || !strings.HasPrefix(lines[len(lines)-2], "converting: 100 %") {
			t.Errorf("%s: exit code %d, stderr %q", to, code, stderr)
		}
	}
}

// convertCorpus converts an image to both kinds, where it is one file.
func convertCorpus(t *testing.T, row testimage.Row, path string) {
	t.Helper()
	for _, to := range []string{"raw", "vmdk"} {
		dst := filepath.Join(t.TempDir(), "dst")
		code, stdout, stderr := run(t, "convert", "--json", "--verify", "--to", to, path, dst)
		if code != 0 {
			if !unreadable(row) || stdout != "" || files(t, filepath.Dir(dst)) != "" {
				t.Errorf("convert --to %s: exit code %d, stdout %q, stderr %q", to, code, stdout, stderr)
			}
			continue
		}
		var done struct {
			SHA256 string `json:"sha256"`
		}
		if err := json.Unmarshal([]byte(stdout), &done); err != nil || done.SHA256 != row.SHA256 {
			t.Errorf("convert --to %s: %s, %v, the manifest says %s", to, stdout, err, row.SHA256)
		}
		strict, _, _ := run(t, "convert", "--strict", "--force", path, dst)
		if accept := !strings.HasPrefix(row.ExpectStrict, "refuse"); (strict == 0) != accept {
			t.Errorf("convert --strict: exit code %d, the manifest says %q", strict, row.ExpectStrict)
		}
	}
}

// unreadable: the corpus lacks the parent, or the image is damaged.
func unreadable(row testimage.Row) bool {
	return strings.Contains(row.ExpectStrict, "not available") || strings.Contains(row.ExpectStrict, "checksum wrong")
}
