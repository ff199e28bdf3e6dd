//go:build unix

package cli

import (
	"strings"
	"syscall"
	"testing"
)

// Opening a pipe would wait for its other end.
func TestPipeBeside(t *testing.T) {
	dir, src := imageIn(t)
	if err := syscall.Mkfifo(dir+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := src.beside.open("pipe"); err == nil || !strings.Contains(err.Error(), "it is a named pipe, not a regular file") {
		t.Errorf("%v", err)
	}
}
