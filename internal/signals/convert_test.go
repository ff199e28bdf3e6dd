//go:build linux

package signals

import (
	"bufio"
	"errors"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// TestConvertSignals: a conversion that is ended on the way leaves nothing behind, whoever ends it; one whose messages nobody reads goes on.
func TestConvertSignals(t *testing.T) {
	ready(t)
	image := filepath.Join(t.TempDir(), "image.raw")
	data := make([]byte, 96<<20)
	rand.New(rand.NewSource(1)).Read(data)
	if err := os.WriteFile(image, data, 0o600); err != nil {
		t.Fatal(err)
	}
	// nohup has SIGHUP ignored, which children inherit; a signal that is caught here is the default there.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	for _, c := range []struct {
		name string
		do   func(p *os.Process, stderr io.Closer) error
		code int
		left string
	}{
		{"SIGINT", func(p *os.Process, _ io.Closer) error { return p.Signal(syscall.SIGINT) }, 1, ""},
		{"SIGTERM", func(p *os.Process, _ io.Closer) error { return p.Signal(syscall.SIGTERM) }, 1, ""},
		{"SIGHUP, of a terminal that was closed", func(p *os.Process, _ io.Closer) error { return p.Signal(syscall.SIGHUP) }, 1, ""},
		{"stderr closed", func(_ *os.Process, stderr io.Closer) error { return stderr.Close() }, 0, "disk.vmdk"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.CommandContext(t.Context(), workshop.provider, "convert", "--to", "vmdk", image, filepath.Join(dir, "disk.vmdk"))
			cmd.Env = workshop.env
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			reader := bufio.NewReader(stderr)
			first, err := reader.ReadString('\n') // from here on it is under way
			if err != nil {
				t.Fatalf("%q, %v", first, err)
			}
			if err := c.do(cmd.Process, stderr); err != nil {
				t.Fatal(err)
			}
			rest, _ := io.ReadAll(reader)
			err = cmd.Wait()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) || cmd.ProcessState.ExitCode() != c.code {
				t.Errorf("%v, want exit code %d\n%s%s", err, c.code, first, rest)
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			left := ""
			for _, e := range entries {
				left += e.Name()
			}
			if left != c.left {
				t.Errorf("left behind: %q, want %q", left, c.left)
			}
		})
	}
}
