package cli_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// several is a disk in several files: the image, and one that it names.
type several struct {
	format, subFormat string
	image, beside     string
	content           map[string][]byte
}

// severalFiles are disks of disk(), one of each format.
func severalFiles() []several {
	raw := disk()
	size, half := int64(len(raw)), int64(mib)
	first, second := testimage.Run{Data: raw[:half]}, testimage.Run{Offset: half, Data: raw[half:]}
	parent := testimage.VHD{Size: size, ID: "the-parent-of-it"}.Build(first).Data
	flat := testimage.Descriptor{CreateType: "twoGbMaxExtentFlat", Extents: []string{`RW 2048 FLAT "disk-f001.vmdk" 0`, `RW 4097 FLAT "disk-f002.vmdk" 0`}}
	return []several{
		{"VMDK", "twoGbMaxExtentFlat", "disk.vmdk", "disk-f002.vmdk", map[string][]byte{
			"disk.vmdk": []byte(flat.String()), "disk-f001.vmdk": raw[:half], "disk-f002.vmdk": raw[half:],
		}},
		{"VHD", "differencing", "disk.vhd", "base.vhd", map[string][]byte{
			"disk.vhd": testimage.VHD{Size: size, Parent: "base.vhd", ParentID: "the-parent-of-it"}.Build(second).Data, "base.vhd": parent,
		}},
		{"VHDX", "differencing", "disk.avhdx", "base.vhdx", map[string][]byte{
			"disk.avhdx": testimage.VHDX{Size: size, Locator: testimage.VHDXLocator("", `.\base.vhdx`)}.Build(second).Data,
			"base.vhdx":  testimage.VHDX{Size: size}.Build(first).Data,
		}},
	}
}

func (s several) put(t *testing.T) (dir, image string) {
	t.Helper()
	dir = t.TempDir()
	for name, data := range s.content {
		write(t, dir, name, data)
	}
	return dir, filepath.Join(dir, s.image)
}

// A disk in several files is one disk: described, converted and verified whole, and refused by --strict with the cure.
func TestSeveralFiles(t *testing.T) {
	for _, s := range severalFiles() {
		t.Run(s.format, func(t *testing.T) {
			dir, image := s.put(t)
			for to, ending := range map[string]string{"raw": ".raw", "vmdk": ".vmdk"} {
				dst := filepath.Join(dir, "new"+ending)
				code, stdout, stderr := run(t, "convert", "--verify", "--to", to, image, dst)
				if code != 0 || !strings.Contains(stdout, sha256Of(disk())) {
					t.Errorf("to %s: exit code %d, stdout %q, stderr %q", to, code, stdout, stderr)
				}
			}
			if got, err := os.ReadFile(dir + "/new.raw"); err != nil || !bytes.Equal(got, disk()) {
				t.Errorf("not the disk: %v", err)
			}
			code, stdout, stderr := run(t, "inspect", "--json", "--sha256", image)
			var d struct {
				Format           string `json:"format"`
				SubFormat        string `json:"sub_format"`
				VirtualSizeBytes int64  `json:"virtual_size_bytes"`
				FileSizeBytes    int    `json:"file_size_bytes"`
				Importable       bool   `json:"importable"`
				Reason           string `json:"reason"`
				SHA256           string `json:"sha256"`
			}
			if err := json.Unmarshal([]byte(stdout), &d); code != 0 || err != nil {
				t.Fatalf("exit code %d, %v, stderr %q", code, err, stderr)
			}
			cure := "convert it with `terraform-provider-ec2 convert --to vmdk " + image + " NEW.vmdk`"
			if d.Format != s.format || d.SubFormat != s.subFormat || d.VirtualSizeBytes != int64(len(disk())) || d.FileSizeBytes != len(s.content[s.image]) ||
				d.Importable || !strings.HasSuffix(d.Reason, "; "+cure) || d.SHA256 != sha256Of(disk()) {
				t.Errorf("inspect: %s", stdout)
			}
			refused(t, 1, []string{"convert", "--strict", image, dir + "/strict.raw"}, "VM Import would refuse it", cure)
			refused(t, 1, []string{"convert", "--strict", "--to", "vmdk", image, dir + "/strict.vmdk"}, "VM Import would refuse it", "without --strict")
		})
	}
}

// What the image needs is not replaced by what is made of it.
func TestConvertOverItsOwnFiles(t *testing.T) {
	for _, s := range severalFiles() {
		t.Run(s.format, func(t *testing.T) {
			dir, image := s.put(t)
			must(t, os.Link(filepath.Join(dir, s.beside), dir+"/again"))
			before := files(t, dir)
			for _, dst := range []string{s.beside, "again"} {
				for _, flags := range [][]string{nil, {"--force"}, {"--force", "--to", "vmdk"}} {
					refused(t, 1, append([]string{"convert", image, filepath.Join(dir, dst)}, flags...), dst+" is a part of the image")
				}
			}
			if got := files(t, dir); got != before {
				t.Errorf("files: %s, before: %s", got, before)
			}
			for name, data := range s.content {
				if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, data) {
					t.Errorf("%s has changed: %v", name, err)
				}
			}
		})
	}
}

// An image of which a file is missing, or not to be opened, is still described, and the file is named.
func TestInspectIncomplete(t *testing.T) {
	for _, s := range severalFiles() {
		for name, c := range map[string]struct {
			do     func(t *testing.T, path string)
			reason string
			cure   string
		}{
			"missing":   {func(*testing.T, string) {}, "", ""},
			"a link":    {func(t *testing.T, path string) { must(t, os.Symlink("../elsewhere", path)) }, "it is a symbolic link", "put the file itself there"},
			"a link in": {func(t *testing.T, path string) { must(t, os.Symlink("moved", path)) }, "it is a symbolic link", "put the file itself there"},
			"directory": {func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o700)) }, "it is a directory", "put the file itself there"},
		} {
			t.Run(s.format+" "+name, func(t *testing.T) {
				dir, image := s.put(t)
				path := filepath.Join(dir, s.beside)
				must(t, os.Rename(path, filepath.Join(dir, "moved")))
				c.do(t, path)
				code, stdout, stderr := run(t, "inspect", "--json", image)
				if code != 0 || stderr != "" {
					t.Fatalf("exit code %d, stderr %q", code, stderr)
				}
				if !strings.HasPrefix(stdout, `{"format":"`+s.format+`","sub_format":"`+s.subFormat+`","virtual_size_bytes":null,`) ||
					!strings.Contains(stdout, `"importable":false,"reason":"`) || !strings.Contains(stdout, s.beside) || !strings.Contains(stdout, c.reason) ||
					!strings.Contains(stdout, cmp.Or(c.cure, "terraform-provider-ec2 convert --to vmdk "+image+" NEW.vmdk`")+`","sha256"`) || strings.Count(stdout, "put ") != 1 {
					t.Errorf("%s", stdout)
				}
				refused(t, 1, []string{"convert", image, dir + "/new.raw"}, s.beside, c.reason)
			})
		}
	}
}

// A parent that is damaged is a damaged image.
func TestInspectDamagedParent(t *testing.T) {
	for _, s := range severalFiles()[1:] {
		dir, image := s.put(t)
		data := bytes.Clone(s.content[s.beside])
		clear(data[len(data)-512:])  // a footer
		clear(data[192<<10:][:1024]) // a region table
		clear(data[256<<10:][:1024]) // and its copy
		clear(data[:512])
		copy(data, s.content[s.beside][:8])
		write(t, dir, s.beside, data)
		refused(t, 1, []string{"inspect", image}, "corrupt "+s.format, s.beside, "this file is damaged")
	}
}
