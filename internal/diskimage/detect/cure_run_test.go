package detect_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
)

// The command that a refusal quotes, run as it is by a shell on a file of that kind, gives the disk.
func TestCuresOfForeignFormats(t *testing.T) {
	for _, c := range []struct {
		format detect.Format
		tools  string
		make   string // makes such a file "$1" of disk.raw
		gives  string // the file that has the disk then
	}{
		{detect.QCOW, "qemu-img", `qemu-img convert -f raw -O qcow disk.raw "$1"`, "NEW.vmdk"},
		{detect.QCOW2, "qemu-img", `qemu-img convert -f raw -O qcow2 disk.raw "$1"`, "NEW.vmdk"},
		{detect.QED, "qemu-img", `qemu-img convert -f raw -O qed disk.raw "$1"`, "NEW.vmdk"},
		{detect.VDI, "qemu-img", `qemu-img convert -f raw -O vdi disk.raw "$1"`, "NEW.vmdk"},
		{detect.Parallels, "qemu-img", `qemu-img convert -f raw -O parallels disk.raw "$1"`, "NEW.vmdk"},
		{detect.GZIP, "gzip", `gzip -c disk.raw > "$1"`, "NEW"},
		{detect.BZIP2, "bzip2", `bzip2 -c disk.raw > "$1"`, "NEW"},
		{detect.XZ, "xz", `xz -c disk.raw > "$1"`, "NEW"},
		{detect.LZMA, "xz", `xz --format=lzma -c disk.raw > "$1"`, "NEW"},
		{detect.ZSTD, "zstd", `zstd -q -c disk.raw > "$1"`, "NEW"},
		{detect.LZ4, "lz4", `lz4 -q -c disk.raw > "$1"`, "NEW"},
		{detect.ZIP, "zip unzip", `zip -q - disk.raw > "$1" && rm disk.raw`, "disk.raw"},
		{detect.SevenZip, "7z", `7z a -bd -t7z archive.7z disk.raw && mv archive.7z "$1" && rm disk.raw`, "disk.raw"},
		{detect.TAR, "tar", `tar -cf "$1" disk.raw && rm disk.raw`, "disk.raw"},
		{detect.OVA, "tar", `touch vm.ovf && mv disk.raw disk.vmdk && tar -cf "$1" vm.ovf disk.vmdk && rm disk.vmdk`, "disk.vmdk"},
	} {
		t.Run(string(c.format), func(t *testing.T) {
			for _, tool := range strings.Fields(c.tools) {
				if _, err := exec.LookPath(tool); err != nil {
					t.Skipf("no %s", tool)
				}
			}
			t.Parallel()
			disk := bytes.Repeat([]byte("one disk "), 1<<20/9+1)[:1<<20]
			dir, name := t.TempDir(), "it's an image"
			if err := os.WriteFile(filepath.Join(dir, "disk.raw"), disk, 0o600); err != nil {
				t.Fatal(err)
			}
			shell := func(line string) {
				command := exec.CommandContext(t.Context(), "sh", "-e", "-c", line, "sh", name)
				command.Dir = dir
				if out, err := command.CombinedOutput(); err != nil {
					t.Fatalf("%s: %v: %s", line, err, out)
				}
			}
			shell(c.make)
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := detect.Detect(bytes.NewReader(data), int64(len(data))); got != c.format || err != nil {
				t.Fatalf("it is taken for %s, %v", got, err)
			}
			_, refusal := detect.Open(bytes.NewReader(data), int64(len(data)), "")
			verdict := detect.VMImport(nil, refusal).For(name)
			quoted := regexp.MustCompile("`(.*)`").FindStringSubmatch(verdict.Cure)
			if verdict.Importable || quoted == nil {
				t.Fatalf("%v: %+v", refusal, verdict)
			}
			shell(quoted[1])
			if data, err = os.ReadFile(filepath.Join(dir, c.gives)); err != nil {
				t.Fatal(err)
			}
			img, err := detect.Open(bytes.NewReader(data), int64(len(data)), "")
			if err != nil {
				t.Fatal(err)
			}
			defer img.Close()
			if v := detect.VMImport(img, nil); !v.Importable {
				t.Errorf("VM Import would not take %s: %s", c.gives, v)
			}
			if got, err := io.ReadAll(io.NewSectionReader(img, 0, img.Size())); err != nil || !bytes.Equal(got, disk) {
				t.Errorf("%s has another disk: %v", c.gives, err)
			}
			if c.gives != "NEW.vmdk" {
				return
			}
			shell(regexp.MustCompile("`(.*)`").FindStringSubmatch(detect.Verdict{Cure: detect.ToRAW(detect.VMImport(nil, refusal).Cure)}.For(name).Cure)[1])
			if got, err := os.ReadFile(filepath.Join(dir, "NEW.raw")); err != nil || !bytes.Equal(got, disk) {
				t.Errorf("NEW.raw is not the disk: %v", err)
			}
		})
	}
}
