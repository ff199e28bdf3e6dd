//go:build linux

package signals

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestByHand: who types the name of the binary gets its usage, not the plugin library's word that it is not meant to be executed.
func TestByHand(t *testing.T) {
	t.Parallel()
	ready(t)
	cmd := exec.Command(workshop.provider)
	name, _, _ := strings.Cut(cookie, "=")
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, name+"=") })
	out, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 2 || !strings.Contains(string(out), "inspect") || !strings.Contains(string(out), `--help"`) {
		t.Errorf("%v: %s", err, out)
	}
}
