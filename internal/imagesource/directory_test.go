package imagesource

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func bucket(t *testing.T, files map[string]string) (*Opener, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bucket")
	for key, content := range files {
		name := filepath.Join(dir, filepath.FromSlash(key))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &Opener{Buckets: map[string]string{"b": dir}}, dir
}

func shut(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func readAll(t *testing.T, o *Object) string {
	t.Helper()
	got, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func TestDirectoryKeys(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("some of these names cannot exist there")
	}
	for _, key := range []string{"disk.raw", "dir/sub/disk.raw", "a%20b", "%2e%2e", "é 日本", "a?b#c", `a\b`, "..hidden", "a..b/c.."} {
		t.Run(key, func(t *testing.T) {
			o, _ := bucket(t, map[string]string{key: "content of " + key})
			obj, err := o.Open(t.Context(), Location{Bucket: "b", Key: key})
			if err != nil {
				t.Fatal(err)
			}
			defer shut(t, obj)
			if got := readAll(t, obj); got != "content of "+key {
				t.Errorf("read %q", got)
			}
			if obj.ETag() == "" || obj.VersionID() != "" {
				t.Errorf("etag %q, version %q", obj.ETag(), obj.VersionID())
			}
		})
	}
}

func TestDirectoryRefuses(t *testing.T) {
	o, dir := bucket(t, map[string]string{"in/disk": "x", "a b": "x"})
	outside := filepath.Join(filepath.Dir(dir), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{
		"absolute": outside, "relative": "../secret", "directory": "..", "dangling": "nowhere", "inside": "in/disk", "loop": "loop",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Skip("no symbolic links here:", err)
		}
	}
	for _, c := range []struct {
		key  string
		want error
	}{
		{"", ErrNotFound},
		{"missing", ErrNotFound},
		{"a%20b", ErrNotFound}, // never decoded
		{"in/disk/below", ErrNotFound},
		{"in//disk", ErrNotFound}, // other keys than in/disk
		{"./in/disk", ErrNotFound},
		{"in/../in/disk", ErrNotFound},
		{"in/disk/", ErrNotFound},
		{"in", ErrNotFound},
		{".", ErrNotFound},
		{"nul\x00byte", ErrNotFound},
		{strings.Repeat("long", 250), ErrNotFound},
		{"..", ErrOutside},
		{"../secret", ErrOutside},
		{"in/../../secret", ErrOutside},
		{outside, ErrOutside},
		{"/in/disk", ErrOutside},
		{"absolute", ErrOutside},
		{"relative", ErrOutside},
		{"directory/secret", ErrOutside},
		{"dangling", ErrNotFound},
	} {
		obj, err := o.Open(t.Context(), Location{Bucket: "b", Key: c.key})
		if err == nil {
			shut(t, obj)
		}
		if !errors.Is(err, c.want) {
			t.Errorf("key %q: got %v, want %v", c.key, err, c.want)
		}
	}
	if _, err := o.Open(t.Context(), Location{Bucket: "b", Key: "loop"}); err == nil {
		t.Error("a link to itself was opened")
	}
	obj, err := o.Open(t.Context(), Location{Bucket: "b", Key: "inside"})
	if err != nil {
		t.Fatalf("a link that stays inside: %v", err)
	}
	shut(t, obj)
}

func TestDirectorySpecialFiles(t *testing.T) {
	o, dir := bucket(t, map[string]string{"x": "x"})
	mkfifo(t, filepath.Join(dir, "fifo"))
	t.Chdir(dir) // the path of a socket may have some 100 bytes
	l, err := net.Listen("unix", "sock")
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, l)
	for _, c := range []struct{ key, says string }{{"fifo", "named pipe"}, {"sock", "socket"}, {".", "directory"}} {
		done := make(chan error, 1)
		go func() {
			_, err := o.Open(context.Background(), Location{Bucket: "b", Key: c.key})
			done <- err
		}()
		select {
		case err := <-done:
			if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", c.key, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("opening %s blocks", c.key)
		}
	}
	devices := &Opener{Buckets: map[string]string{"b": "/dev"}}
	if _, err := devices.Open(t.Context(), Location{Bucket: "b", Key: "zero"}); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "device") {
		t.Errorf("device: %v", err)
	}
}

func TestDirectoryForbidden(t *testing.T) {
	if os.Geteuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("nothing is forbidden to this user")
	}
	o, dir := bucket(t, map[string]string{"x": "x"})
	if err := os.Chmod(filepath.Join(dir, "x"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Open(t.Context(), Location{Bucket: "b", Key: "x"}); !errors.Is(err, ErrForbidden) {
		t.Error(err)
	}
}

func TestDirectoryMissing(t *testing.T) {
	o := &Opener{Buckets: map[string]string{"b": "no/such/directory"}}
	_, err := o.Open(t.Context(), Location{Bucket: "b", Key: "x"})
	if !errors.Is(err, ErrNoBucket) || !strings.Contains(err.Error(), "no/such/directory") {
		t.Error(err)
	}
}

func TestDirectoryChanged(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, file string){
		"truncated": func(t *testing.T, file string) {
			if err := os.Truncate(file, 2); err != nil {
				t.Fatal(err)
			}
		},
		"grown": func(t *testing.T, file string) {
			if err := os.Truncate(file, 1<<20); err != nil {
				t.Fatal(err)
			}
		},
		"rewritten with the same size": func(t *testing.T, file string) {
			if err := os.WriteFile(file, []byte("CONTENT"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(file, time.Time{}, time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, dir := bucket(t, map[string]string{"x": "content"})
			obj, err := o.Open(t.Context(), Location{Bucket: "b", Key: "x"})
			if err != nil {
				t.Fatal(err)
			}
			defer shut(t, obj)
			if got := readAll(t, obj); got != "content" {
				t.Fatal(got)
			}
			change(t, filepath.Join(dir, "x"))
			if _, err := obj.ReadAt(make([]byte, 4), 1); !errors.Is(err, ErrChanged) {
				t.Errorf("got %v", err)
			}
			again, err := o.Open(t.Context(), Location{Bucket: "b", Key: "x"})
			if err != nil {
				t.Fatal(err)
			}
			defer shut(t, again)
			if again.ETag() == obj.ETag() {
				t.Error("the changed file has the same ETag")
			}
		})
	}
}

func TestDirectoryReplacedByRename(t *testing.T) {
	o, dir := bucket(t, map[string]string{"x": "old", "y": "new and longer"})
	obj, err := o.Open(t.Context(), Location{Bucket: "b", Key: "x"})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, obj)
	if err := os.Rename(filepath.Join(dir, "y"), filepath.Join(dir, "x")); err != nil {
		t.Skip("this system does not replace open files:", err)
	}
	if got := readAll(t, obj); got != "old" || obj.Remote() {
		t.Errorf("read %q, remote: %v", got, obj.Remote())
	}
}

func TestReadAtContract(t *testing.T) {
	o, _ := bucket(t, map[string]string{"x": "0123456789"})
	obj, err := o.Open(t.Context(), Location{Bucket: "b", Key: "x"})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, obj)
	checkReadAt(t, obj, []byte("0123456789"))
}

// checkReadAt compares a reader with the content it must have, at all the edges.
func checkReadAt(t *testing.T, r io.ReaderAt, content []byte) {
	t.Helper()
	size := int64(len(content))
	want := bytes.NewReader(content)
	for _, off := range []int64{0, 1, size / 2, size - 1, size, size + 1} {
		for _, n := range []int64{0, 1, 3, size, size + 5} {
			p, q := make([]byte, n), make([]byte, n)
			got, err := r.ReadAt(p, off)
			expected, wantErr := want.ReadAt(q, off)
			if n == 0 {
				wantErr = nil
			}
			if got != expected || !errors.Is(err, wantErr) || !bytes.Equal(p[:got], q[:expected]) {
				t.Errorf("ReadAt(%d bytes, %d) = %d, %v; want %d, %v", n, off, got, err, expected, wantErr)
			}
		}
	}
	if _, err := r.ReadAt(make([]byte, 1), -1); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("negative offset: %v", err)
	}
}

// The holes of a file are known through the bucket, as far as the system knows them; a file that was written to, or cut, has none.
func TestDirectoryHoles(t *testing.T) {
	o, dir := bucket(t, map[string]string{"x": "content"})
	const size = 1 << 30
	if err := os.Truncate(filepath.Join(dir, "x"), size); err != nil {
		t.Fatal(err)
	}
	obj, err := o.Open(t.Context(), Location{Bucket: "b", Key: "x"})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, obj)
	start, end, err := obj.NextData(0)
	if err != nil || start != 0 || end < int64(len("content")) || runtime.GOOS == "linux" && end > 1<<20 {
		t.Errorf("from %d to %d, %v", start, end, err)
	}
	if _, _, err := obj.NextData(size); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	if err := os.Truncate(filepath.Join(dir, "x"), 1); err != nil {
		t.Fatal(err)
	}
	for _, off := range []int64{0, size / 2} {
		if start, end, err := obj.NextData(off); !errors.Is(err, ErrChanged) {
			t.Errorf("of a file that was cut, behind %d: from %d to %d, %v", off, start, end, err)
		}
	}
}

func TestDirectoryCancelled(t *testing.T) {
	o, _ := bucket(t, map[string]string{"x": "content"})
	ctx, cancel := context.WithCancelCause(t.Context())
	obj, err := o.Open(ctx, Location{Bucket: "b", Key: "x"})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, obj)
	why := errors.New("the user said stop")
	cancel(why)
	if _, err := obj.ReadAt(make([]byte, 1), 0); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	if _, _, err := obj.NextData(0); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}
