//go:build linux

package signals

import (
	"bufio"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// cookie is what a CLI tells a provider by, from the plugin protocol: without it the binary would say that it is no program to be started by hand.
const cookie = "TF_PLUGIN_MAGIC_COOKIE=d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"

// TestOrphan: a CLI that is killed after it has started its provider, and before it has connected, leaves nobody who would ever connect.
func TestOrphan(t *testing.T) {
	t.Parallel()
	ready(t)
	// The shell stands for the CLI: it starts the provider, reads its handshake no further than the pipe, and is killed.
	c := &command{t: t, cmd: exec.Command("sh", "-c", `"$1" & wait`, "sh", workshop.provider), done: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), cookie)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	handshake, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.end)
	go func() {
		_, _ = c.cmd.Process.Wait() // not of cmd, which would close the pipe: that ends the provider, too
		close(c.done)
	}()
	if line, err := bufio.NewReader(handshake).ReadString('\n'); err != nil {
		t.Fatalf("the provider has not offered its address: %q, %v", line, err)
	}
	if len(c.providers()) != 1 {
		t.Fatalf("providers: %v", c.providers())
	}
	c.send(syscall.SIGKILL, false)
	c.gone()
}
