package acctest

import (
	"bufio"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/cli"
)

// Serve runs `serve` with these arguments, on a free port of this machine and in this process, until the test ends. It returns the URL.
func Serve(t testing.TB, args ...string) string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	stdout, writer := io.Pipe()
	done := make(chan int, 1)
	var stderr strings.Builder // of the goroutine until it is done
	go func() {
		code := cli.Run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...), writer, &stderr)
		_ = writer.Close()
		done <- code
	}()
	t.Cleanup(func() {
		stop()
		if code := <-done; code != 0 {
			t.Errorf("serve %q: exit code %d\n%s", args, code, stderr.String())
		}
	})
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		t.Fatalf("serve %q is not listening; it printed %q", args, line)
	}
	return url
}
