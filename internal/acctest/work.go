package acctest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Binary is the provider as users have it: EC2_PROVIDER_BINARY, else built here.
func Binary(t *testing.T) string {
	t.Helper()
	if os.Getenv("TF_ACC") == "" {
		t.Skip("acceptance tests run with TF_ACC set (make test-acc)")
	}
	if path := os.Getenv("EC2_PROVIDER_BINARY"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "terraform-provider-ec2")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "github.com/ec2-import-snapshot/terraform-provider-ec2")
	if printed, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the provider: %v\n%s", err, printed)
	}
	return path
}

// Work is a working directory as a user has one, with a real CLI that starts the real provider in it. It is for what the test framework does not
// know: relative paths, configurations of several files, for_each, the CLI's own commands.
type Work struct {
	Dir string

	t   *testing.T
	env []string
}

// NewWork makes an empty working directory for a binary of the provider.
func NewWork(t *testing.T, binary string) *Work {
	t.Helper()
	w := &Work{Dir: t.TempDir(), t: t}
	config := filepath.Join(t.TempDir(), "cli.tfrc")
	overrides := ""
	for _, host := range []string{"registry.terraform.io", "registry.opentofu.org"} {
		overrides += fmt.Sprintf("    \"%s/ec2-import-snapshot/ec2\" = %q\n", host, filepath.Dir(binary))
	}
	text := "provider_installation {\n  dev_overrides {\n" + overrides + "  }\n  direct {}\n}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "TF_") {
			w.env = append(w.env, entry)
		}
	}
	w.env = append(w.env, "TF_CLI_CONFIG_FILE="+config, "TF_INPUT=0", "TF_CLI_ARGS=-no-color", "CHECKPOINT_DISABLE=1")
	return w
}

// Write writes a file of the configuration.
func (w *Work) Write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.Dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// Run runs the CLI to the exit code that is wanted, and returns what it printed on stdout.
func (w *Work) Run(want int, args ...string) string {
	w.t.Helper()
	printed, _ := w.run(want, args...)
	return printed
}

// Fail runs the CLI to an exit code that is none of success, and returns what it printed on stderr.
func (w *Work) Fail(want int, args ...string) string {
	w.t.Helper()
	_, complaints := w.run(want, args...)
	return complaints
}

func (w *Work) run(want int, args ...string) (stdout, stderr string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), CLI(w.t), args...)
	cmd.Dir, cmd.Env = w.Dir, w.env
	var printed, complaints strings.Builder
	cmd.Stdout, cmd.Stderr = &printed, &complaints
	err := cmd.Run()
	code := 0
	if exit, failed := errors.AsType[*exec.ExitError](err); failed {
		code = exit.ExitCode()
	} else if err != nil {
		w.t.Fatal(err)
	}
	if code != want {
		w.t.Fatalf("%v ends with %d, want %d:\n%s\n%s", args, code, want, printed.String(), complaints.String())
	}
	return printed.String(), complaints.String()
}

// State are the objects in the state, by their addresses.
func (w *Work) State() map[string]map[string]any {
	w.t.Helper()
	var shown struct {
		Values struct {
			RootModule struct {
				Resources []struct {
					Address string
					Values  map[string]any
				}
			} `json:"root_module"`
		}
	}
	if err := json.Unmarshal([]byte(w.Run(0, "show", "-json")), &shown); err != nil {
		w.t.Fatal(err)
	}
	objects := map[string]map[string]any{}
	for _, r := range shown.Values.RootModule.Resources {
		objects[r.Address] = r.Values
	}
	return objects
}
