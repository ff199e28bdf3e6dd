package provider_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

const examples = "../../examples"

// exampleChecks are what each directory of examples/ must do; a directory without a row fails the test.
var exampleChecks = map[string]func(t *testing.T, w *acctest.Work){
	"local": func(t *testing.T, w *acctest.Work) {
		applies(t, w, map[string]string{"volume_size": "1", "volume_sha256": `"` + sha256Of(disk()) + `"`, "source_format": `"VMDK streamOptimized"`})
	},
	"local-arguments": func(t *testing.T, w *acctest.Work) {
		applies(t, w, map[string]string{"owner_id": `"111122223333"`, "encrypted": "true"})
	},
	"serve": func(t *testing.T, w *acctest.Work) {
		data := filepath.Join(w.Dir, "data")
		endpoint := acctest.Serve(t, "--data-dir", data, "--bucket", "images="+filepath.Join(w.Dir, "images"))
		applies(t, w, nil, "-var=endpoint="+endpoint)
	},
	"module-test": func(t *testing.T, w *acctest.Work) {
		if printed := w.Run(0, "test"); !strings.Contains(printed, "1 passed, 0 failed") {
			t.Errorf("the test printed\n%s", printed)
		}
	},
	"module-test/tests": func(*testing.T, *acctest.Work) {}, // run by the module above it
	"provider":          func(_ *testing.T, w *acctest.Work) { w.Run(0, "validate") },

	// What needs hashicorp/aws, which is not here, and fragments of the documentation.
	"aws":                           wellFormed,
	"aws-cross-account":             wellFormed,
	"resources/ec2_import_snapshot": wellFormed,
}

// TestAccExamples applies what is in examples/ as a newcomer would: a copy, an image in ./images, the variables' defaults.
func TestAccExamples(t *testing.T) {
	onlyOnce(t)
	binary := acctest.Binary(t)
	found := map[string]bool{}
	err := filepath.WalkDir(examples, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			dir, _ := filepath.Rel(examples, filepath.Dir(path))
			found[filepath.ToSlash(dir)] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir := range found {
		if exampleChecks[dir] == nil {
			t.Errorf("examples/%s has no row in the table of this test", dir)
		}
	}
	for dir, check := range exampleChecks {
		t.Run(dir, func(t *testing.T) {
			if !found[dir] {
				t.Fatal("no such directory of examples/")
			}
			w := acctest.NewWork(t, binary)
			t.Parallel()
			cli <- struct{}{}
			defer func() { <-cli }()
			if err := os.CopyFS(w.Dir, os.DirFS(filepath.Join(examples, filepath.FromSlash(dir)))); err != nil {
				t.Fatal(err)
			}
			w.Write("images/disk.vmdk", string(vmdk()))
			check(t, w)
		})
	}
}

// applies takes an example through its life: apply, outputs, an empty plan, destroy, which leaves no volume.
func applies(t *testing.T, w *acctest.Work, outputs map[string]string, variables ...string) {
	t.Helper()
	printed := w.Run(0, append([]string{"apply", "-auto-approve"}, variables...)...)
	for name, value := range outputs {
		if !regexp.MustCompile(`(?m)^` + name + ` = ` + regexp.QuoteMeta(value) + `$`).MatchString(printed) {
			t.Errorf("output %s is not %s:\n%s", name, value, printed)
		}
	}
	volumes := volumesBelow(t, w.Dir)
	if len(volumes) != 1 {
		t.Fatalf("the volumes are %v", volumes)
	}
	if err := sameBytes(volumes[0], disk()); err != nil {
		t.Error(err)
	}
	w.Run(0, append([]string{"plan", "-detailed-exitcode"}, variables...)...)
	w.Run(0, append([]string{"destroy", "-auto-approve"}, variables...)...)
	if left := volumesBelow(t, w.Dir); len(left) > 0 {
		t.Errorf("the destroy has left %v", left)
	}
}

// volumesBelow are the volumes of whichever data directory an example has.
func volumesBelow(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*", "volumes", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// wellFormed is what can be said of a configuration whose providers are not here: it is HCL, in its usual form.
func wellFormed(_ *testing.T, w *acctest.Work) { w.Run(0, "fmt", "-check", "-recursive") }
