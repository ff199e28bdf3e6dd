//go:build unix

package localec2

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// trap puts two images into a bucket, and all around them what a caller must not get at.
func trap(t testing.TB, bucket string) {
	t.Helper()
	secret := filepath.Join(filepath.Dir(bucket), "secret")
	for path, data := range map[string][]byte{
		secret: pattern(4096, 2), filepath.Join(bucket, "disk.img"): pattern(4096, 1), filepath.Join(bucket, "dir", "below.img"): pattern(4096, 1),
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		"link": secret, "relative": "../secret", "up": "..", "root": "/", "null": "/dev/null", "zero": "/dev/zero", "memory": "/proc/self/mem",
		"loop": "loop", "dangling": "nowhere", "within": "dir/below.img",
	} {
		if err := os.Symlink(target, filepath.Join(bucket, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(bucket, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := net.Listen("unix", filepath.Join(bucket, "socket")); err == nil { // the path may be too long for one
		t.Cleanup(func() { _ = l.Close() })
	}
}

// tree lists what is below a directory, the data directory aside.
func tree(t testing.TB, root string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "data" {
			return filepath.SkipDir
		}
		found = append(found, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestHostileKeys: no bucket, key or URL leads out of a bucket, to anything that is no file, or makes the endpoint wait.
func TestHostileKeys(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	trap(t, h.bucket)
	root := filepath.Dir(h.bucket)
	long := strings.Repeat(strings.Repeat("l", 127)+"/", 7) + strings.Repeat("l", 128)
	h.put(t, long, pattern(512, 1))
	h.put(t, long+"l", pattern(512, 1)) // a file, but no key on S3
	before := tree(t, root)
	secret := filepath.Join(root, "secret")

	keys := []string{
		"..", "../", ".", "./", "/", "//", "../secret", "./../secret", "dir/../../secret", "dir/../disk.img", "./disk.img", "/disk.img", "//disk.img",
		"dir//below.img", "disk.img/", "disk.img/.", "disk.img/..", "disk.img/../disk.img", "disk.img\x00", "disk.img\x00.raw", "\x00", " ", "disk.img ",
		secret, "/" + secret, "/etc/passwd", "/proc/self/environ", "/dev/zero", "~/secret", "~root/.profile", "$HOME/secret",
		`..\secret`, `dir\..\..\secret`, `\etc\passwd`, `C:\Windows\win.ini`, "C:/Windows/win.ini", "C:disk.img", `\\server\share\x`, `\\.\PhysicalDrive0`, `\\?\C:\x`,
		"CON", "NUL", "nul.img", "AUX", "COM1", "LPT1", "CONIN$", "disk.img::$DATA", "disk.img.", "disk.img ",
		"%2e%2e/secret", "..%2fsecret", "%2E%2E%2Fsecret", "..%c0%afsecret", "%64isk.img", "disk%2Eimg", "．．/secret", "..／secret", "disk.img%00",
		"link", "relative", "up", "up/secret", "up/bucket/disk.img", "root/etc/passwd", "null", "zero", "memory", "loop", "dangling", "fifo", "socket", "dir", "dir/",
		long + "l", strings.Repeat("a", maxKey), strings.Repeat("a", maxKey+1), strings.Repeat("a/", maxKey/2-1) + "b", strings.Repeat("../", 300) + "etc/passwd", "DISK.IMG", "absent",
		"disk.img\n", "disk.img\r\nSet-Cookie: a=b", "\u202egmi.ksid", "disk.img?versionId=1", "disk.img#x", "*", "d?sk.img", "[d]isk.img", "'; DROP TABLE tasks; --",
	}
	var requests [][]string
	for _, key := range keys {
		requests = append(requests, []string{"DiskContainer.UserBucket.S3Bucket", "images", "DiskContainer.UserBucket.S3Key", key})
		requests = append(requests, []string{"DiskContainer.Url", "s3://images/" + key})
		if !strings.ContainsAny(key, "?#") { // they end the key of an https URL
			requests = append(requests, []string{"DiskContainer.Url", "https://images.s3.us-east-1.amazonaws.com/" + key},
				[]string{"DiskContainer.Url", "https://s3.amazonaws.com/images/" + key})
		}
	}
	for _, bucket := range []string{"", ".", "..", "/", "../bucket", "bucket", "images/", "images/..", "/images", "Images", "images\x00", "%69mages", " images", strings.Repeat("b", 300), root, h.bucket} {
		requests = append(requests, []string{"DiskContainer.UserBucket.S3Bucket", bucket, "DiskContainer.UserBucket.S3Key", "disk.img"},
			[]string{"DiskContainer.Url", "s3://" + bucket + "/disk.img"})
	}
	for _, url := range []string{
		"", "x", "s3:", "s3:/", "s3://", "s3://images", "s3://images/", "s3:///images/disk.img", "s3:/images/disk.img", "s3//images/disk.img", "://images/disk.img", "s3a://images/disk.img",
		"file://" + secret, "FILE://" + secret, "http://images.s3.amazonaws.com/disk.img", "ftp://h/disk.img", "data:,x", "javascript:1", "https:", "https://", "https:///disk.img",
		"https://169.254.169.254/latest/meta-data/", "https://[::1]/x", "https://localhost/x", "https://0/x", "https://h:99999/x", "https://h/\x7f", "https://%zz/x",
		"https://images.s3.us-east-1.amazonaws.com@evil.example/disk.img", "https://images.s3.us-east-1.amazonaws.com.evil.example/disk.img",
		"https://.s3.amazonaws.com/disk.img", "https://..s3.amazonaws.com/disk.img", "https://../images.s3.amazonaws.com/disk.img", "https://s3.amazonaws.com/images",
		"https://images.s3.amazonaws.com/", "https://images.s3.amazonaws.com", "https://images.s3.amazonaws.com:0/../secret", "s3://images@x/disk.img", "s3://images:80/disk.img",
	} {
		requests = append(requests, []string{"DiskContainer.Url", url})
	}

	started := time.Now()
	for _, pairs := range requests {
		status, body, header := h.post(t, append([]string{"Action", "ImportSnapshot"}, pairs...)...)
		code, err := wellFormed(status, header, []byte(body))
		if err != nil {
			t.Errorf("%q: %v\n%.1000s", pairs, err, body)
		} else if code == "" {
			t.Errorf("%q was taken:\n%s", pairs, body)
		}
		if len(body) > 8000 {
			t.Errorf("%.100q: an answer of %d bytes", pairs, len(body))
		}
		if header.Get("Set-Cookie") != "" {
			t.Errorf("%q: a header of the caller's: %v", pairs, header)
		}
	}
	if took := time.Since(started); took > 30*time.Second {
		t.Errorf("%d requests took %s: something waited", len(requests), took)
	}
	if after := tree(t, root); !slices.Equal(before, after) {
		t.Errorf("the files were\n%v\nand are\n%v", before, after)
	}
	if _, err := os.Stat(h.config.DataDir); !os.IsNotExist(err) {
		t.Errorf("refused imports made a data directory: %v", err)
	}

	// What is no trick works, link within the bucket included.
	for _, key := range []string{"disk.img", "dir/below.img", "within", long} {
		for _, pairs := range [][]string{
			{"DiskContainer.UserBucket.S3Bucket", "images", "DiskContainer.UserBucket.S3Key", key}, {"DiskContainer.Url", "S3://images/" + key},
			{"DiskContainer.Url", "https://images.S3.us-east-1.amazonaws.com/" + key + "?X-Amz-Signature=0"}, {"DiskContainer.Url", "https://s3.us-east-1.amazonaws.com/images/" + key + "#x"},
		} {
			status, body, _ := h.post(t, append([]string{"Action", "ImportSnapshot"}, pairs...)...)
			if status != http.StatusOK {
				t.Errorf("%q: %d %s", pairs, status, body)
			}
		}
	}
}
