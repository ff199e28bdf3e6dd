package clients

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/cli"
)

// What `convert --to vmdk` writes is read by libvmdk, which shares nothing with it: disks of one grain table and of several, of whole grains, sectors and
// bytes, with data that compress, data that don't, and none.
func TestLibvmdk(t *testing.T) {
	t.Parallel()
	python := acctest.ClientsPython(t)
	const grain, mib = 64 << 10, 1 << 20
	dir := t.TempDir()
	var images []string
	want := ""
	for k, size := range []int{1, 512, grain, grain + 1, 3*mib + 1000, 32 * mib, 70*mib + 512, 33 * mib} {
		content := make([]byte, size)
		dice := rand.NewChaCha8([32]byte{byte(k)})
		if k < 7 { // the last one stays empty
			for _, at := range []int{0, 2*mib + 100, 32*mib - 100, size - 70_000} {
				if 0 <= at && at < size {
					text := content[at:min(size, at+2*grain)]
					copy(text, strings.Repeat("words that compress ", 5000))
					_, _ = dice.Read(text[min(len(text), 90_000):]) // never fails
					text[0]++
				}
			}
		}
		raw := filepath.Join(dir, fmt.Sprintf("%d.raw", k))
		if err := os.WriteFile(raw, content, 0o600); err != nil {
			t.Fatal(err)
		}
		images = append(images, filepath.Join(dir, fmt.Sprintf("%d.vmdk", k)))
		convertToVMDK(t, raw, images[k])
		content = append(content, make([]byte, (512-size%512)%512)...)
		want += fmt.Sprintf("%d %x\n", len(content), sha256.Sum256(content))
	}
	cmd := exec.CommandContext(t.Context(), python, append([]string{filepath.Join("testdata", "libvmdk_read.py")}, images...)...)
	cmd.Env = cleanEnvironment()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	got, err := cmd.Output()
	if err != nil || string(got) != want {
		t.Errorf("libvmdk: %v\n%s\nread\n%swant\n%s", err, stderr.String(), got, want)
	}
}

// convertToVMDK runs the binary that EC2_PROVIDER_BINARY names, as a user does, else its code in this process.
func convertToVMDK(t *testing.T, raw, image string) {
	t.Helper()
	args := []string{"convert", "--to", "vmdk", raw, image}
	if binary := os.Getenv("EC2_PROVIDER_BINARY"); binary != "" {
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Env = cleanEnvironment()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("convert: %v\n%s", err, out)
		}
		return
	}
	var stdout, stderr strings.Builder
	if code := cli.Run(t.Context(), args, &stdout, &stderr); code != 0 {
		t.Fatalf("convert: exit code %d\n%s", code, stderr.String())
	}
}
