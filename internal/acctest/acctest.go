// Package acctest is what acceptance tests share: the CLI to run, the provider under test, images, and an EC2 endpoint that can be disturbed.
package acctest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/provider"
)

// Providers serves the provider in the test's process.
func Providers() map[string]func() (tfprotov6.ProviderServer, error) {
	return map[string]func() (tfprotov6.ProviderServer, error){"ec2": providerserver.NewProtocol6WithError(provider.New("test"))}
}

// CLI is the path of terraform or tofu: TF_ACC_TERRAFORM_PATH, else the one on PATH. The test ends where there is none.
func CLI(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("TF_ACC_TERRAFORM_PATH"), "terraform", "tofu"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	t.Fatal("no terraform or tofu: set TF_ACC_TERRAFORM_PATH, or run the tests by make test-acc, which builds OpenTofu")
	return ""
}

// Isolate keeps the machine's own AWS and Terraform settings out of a test, but for the former where AWS is what is tested.
func Isolate() {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if onAWS && strings.HasPrefix(name, "AWS_") {
			continue
		}
		if strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "TF_AWS_") || strings.HasPrefix(name, "EC2_LOCAL_") || name == "TF_APPEND_USER_AGENT" {
			if err := os.Unsetenv(name); err != nil {
				panic(err)
			}
		}
	}
	// Unset, the CLI would read the one in the home directory.
	if err := os.Setenv("TF_CLI_CONFIG_FILE", os.DevNull); err != nil {
		panic(err)
	}
}

// Local is a local backend of one test: its bucket and data directories, and the provider block that names them.
type Local struct {
	Images  string // directory of the bucket "images"
	DataDir string
}

// NewLocal makes the directories of a local backend; the data directory is left to the backend to make.
func NewLocal(t *testing.T) Local {
	t.Helper()
	dir := t.TempDir()
	l := Local{Images: filepath.Join(dir, "images"), DataDir: filepath.Join(dir, "data")}
	if err := os.Mkdir(l.Images, 0o750); err != nil {
		t.Fatal(err)
	}
	return l
}

// Put writes an object of the bucket.
func (l Local) Put(t *testing.T, key string, content []byte) {
	t.Helper()
	name := filepath.Join(l.Images, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Provider is the provider block; more goes into local, and block beside it.
func (l Local) Provider(more, block string) string {
	return fmt.Sprintf("provider \"ec2\" {\n  local = {\n    data_dir = %q\n    buckets  = { images = %q }\n%s\n  }\n%s\n}\n", l.DataDir, l.Images, more, block)
}

// Strays are the files of the data directory that belong to no snapshot: what a clean end must not leave.
func (l Local) Strays(t *testing.T, volumes ...string) []string {
	t.Helper()
	kept := map[string]bool{}
	for _, v := range volumes {
		kept[filepath.Clean(v)] = true
	}
	var strays []string
	for _, sub := range []string{"volumes", "locks"} {
		entries, err := os.ReadDir(filepath.Join(l.DataDir, sub))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if name := filepath.Join(l.DataDir, sub, entry.Name()); !kept[name] {
				strays = append(strays, name)
			}
		}
	}
	return strays
}
