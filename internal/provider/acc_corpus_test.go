package provider_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// hashable is the largest volume that is hashed whole; of larger ones, only what is not a hole.
const hashable = 300 << 20

// TestAccCorpus imports every image of the corpus that is one file, in one apply, and compares each volume with the manifest. strict is off for the
// sake of those that VM Import refuses and the readers here take.
func TestAccCorpus(t *testing.T) {
	onlyOnce(t)
	w := acctest.NewWork(t, acctest.Binary(t))
	t.Parallel()
	l := acctest.NewLocal(t)
	rows := map[string]testimage.Row{}
	for _, row := range testimage.Corpus(t) {
		if readable(row) {
			rows[row.File] = row
			lay(t, l, row)
		}
	}
	if len(rows) < 50 {
		t.Fatalf("only %d images of the corpus are one file", len(rows))
	}
	keys := slices.Sorted(maps.Keys(rows))
	cli <- struct{}{}
	defer func() { <-cli }()
	w.Write("main.tf", "terraform {\n  required_providers {\n    ec2 = { source = \"ec2-import-snapshot/ec2\" }\n  }\n}\n"+
		l.Provider("strict = false", "")+fmt.Sprintf("resource \"ec2_import_snapshot\" \"image\" {\n  for_each = toset([\n    %s\n  ])\n"+
		"  disk_container = { user_bucket = { s3_bucket = \"images\", s3_key = each.key } }\n}\n", quoted(keys)))
	w.Run(0, "apply", "-auto-approve")
	state := w.State()
	for _, key := range keys {
		row, object := rows[key], state[fmt.Sprintf("ec2_import_snapshot.image[%q]", key)]
		source, _ := object["source"].(map[string]any)
		accepted := !strings.HasPrefix(row.ExpectStrict, "refuse")
		if source["importable"] != accepted || row.Format != "detect" && source["format"] != row.Format {
			t.Errorf("%s: source is %v, the manifest says %s, %s", key, source, row.Format, row.ExpectStrict)
		}
		path, _ := object["volume_path"].(string)
		if err := sameDisk(path, row); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	w.Run(0, "plan", "-detailed-exitcode")
	w.Run(0, "destroy", "-auto-approve")
	if left := l.Strays(t); len(left) > 0 {
		t.Errorf("the destroy has left %v", left)
	}
}

func quoted(texts []string) string {
	return `"` + strings.Join(texts, "\",\n    \"") + `"`
}

// readable: an image that is one file and whole. What VM Import refuses of those are VMDKs that are not stream-optimized.
func readable(row testimage.Row) bool {
	accepted := !strings.HasPrefix(row.ExpectStrict, "refuse")
	return accepted || row.Format == "VMDK" && strings.Contains(row.ExpectStrict, "not stream-optimized")
}

// lay puts an image into the bucket: a link to the unpacked file, which is sparse, where it can be one.
func lay(t *testing.T, l acctest.Local, row testimage.Row) {
	t.Helper()
	f, _ := row.Open(t)
	name := filepath.Join(l.Images, filepath.FromSlash(row.File))
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(f.Name(), os.TempDir()) && os.Link(f.Name(), name) == nil {
		return
	}
	to, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = io.Copy(to, f); err == nil {
		err = to.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// sameDisk compares a volume with the digests of the manifest.
func sameDisk(path string, row testimage.Row) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != row.VirtualSize {
		return fmt.Errorf("the volume has %d bytes, the disk %d", info.Size(), row.VirtualSize)
	}
	if row.VirtualSize <= hashable && row.SHA256 != "-" {
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return err
		}
		if sum := fmt.Sprintf("%x", h.Sum(nil)); sum != row.SHA256 {
			return fmt.Errorf("SHA-256 %s, want %s", sum, row.SHA256)
		}
		return nil
	}
	if runtime.GOOS != "linux" {
		return nil // nobody says where the holes are
	}
	data, err := dataOf(f, info.Size())
	if err != nil {
		return err
	}
	if sum := data.Sparse64K(info.Size()); sum != row.Sparse64K {
		return fmt.Errorf("digest of the data %s, want %s", sum, row.Sparse64K)
	}
	return nil
}

// dataOf is what a sparse file has that is not a hole, as the file system tells.
func dataOf(f *os.File, size int64) (*testimage.Chunks, error) {
	const data, hole = 3, 4 // lseek(2), on Linux
	found := &testimage.Chunks{}
	for end := int64(0); end < size; {
		at, err := f.Seek(end, data)
		if errors.Is(err, syscall.ENXIO) {
			break
		}
		if err == nil {
			end, err = f.Seek(at, hole)
		}
		if err == nil {
			_, err = io.Copy(io.NewOffsetWriter(found, at), io.NewSectionReader(f, at, end-at))
		}
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// TestAccCorpusRefused: what VM Import refuses is refused in its words, each on its own resource.
func TestAccCorpusRefused(t *testing.T) {
	onlyOnce(t)
	l := acctest.NewLocal(t)
	refused := map[string]string{
		"gen/q_mono.vmdk.gz":                   `Unsupported\s+VMDK\s+File\s+Format`,
		"vmdk/dfvfs_ext2.vmdk.gz":              `Unsupported\s+VMDK\s+File\s+Format`,
		"vhd/dfvfs_image-badsum.vhd.bz2":       `ClientError`,
		"vhd/dfvfs_fat-differential.vhd.bz2":   `(?i)differencing|parent`,
		"syn/vhdx_chain/grand.avhdx.bz2":       `(?i)differencing|parent`,
		"detect/d.qcow2.gz":                    `QCOW2`,
		"detect/d.vdi.gz":                      `VDI`,
		"detect/d.ova.gz":                      `OVA`,
		"detect/empty.raw":                     `(?i)empty`,
		"detect/d.vmdk.descriptor-only.vmdk":   `(?i)descriptor`,
		"vmdk/twoGb/twoGbMaxExtentSparse.vmdk": `(?i)extent|descriptor|split`,
	}
	var config strings.Builder
	labels := map[string]string{}
	for _, row := range testimage.Corpus(t) {
		if refused[row.File] == "" {
			continue
		}
		lay(t, l, row)
		label := regexp.MustCompile(`\W+`).ReplaceAllString(row.File, "_")
		labels[label] = refused[row.File]
		config.WriteString(snapshotNamed(label, fmt.Sprintf("disk_container = { url = \"s3://images/%s\" }", row.File)))
	}
	if len(labels) != len(refused) {
		t.Fatalf("the corpus has %d of the %d images", len(labels), len(refused))
	}
	saw := false
	accCase(t, resource.TestCase{
		ProtoV6ProviderFactories: acctest.Providers(),
		ErrorCheck: func(err error) error {
			saw = true
			text := err.Error()
			for label, says := range labels {
				about := aboutResource(text, label)
				if !strings.HasPrefix(about, "Error: Image Not Importable") || !regexp.MustCompile(says).MatchString(about) ||
					!strings.Contains(about, "Cause: ") || !strings.Contains(about, "Cure: ") {
					t.Errorf("the error of %s does not say %q with cause and cure:\n%s", label, says, about)
				}
			}
			return nil
		},
		Steps: []resource.TestStep{{Config: l.Provider("", "") + config.String()}},
	})
	if os.Getenv(resource.EnvTfAcc) != "" && !saw {
		t.Error("all the images are taken")
	}
	if left := l.Strays(t); len(left) > 0 {
		t.Errorf("the refused imports have left %v", left)
	}
}
