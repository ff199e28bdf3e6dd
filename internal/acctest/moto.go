package acctest

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// motoProgram starts moto_server on a free port, and ends when its standard input does: not even a killed test leaves it behind.
const motoProgram = `
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
from moto.server import main
main(["-H", "127.0.0.1", "-p", "0"])
`

// ClientsPython is the interpreter that has the aws CLI, boto3 and moto. The test is skipped where there is none.
func ClientsPython(t testing.TB) string {
	t.Helper()
	python := os.Getenv("EC2_CLIENTS_PYTHON")
	if python == "" {
		t.Skip("EC2_CLIENTS_PYTHON is not set: no aws CLI, boto3 and moto; run make .bin/clients/ready and set it to .bin/clients/bin/python")
	}
	return python
}

// Moto runs moto_server, an S3 that is none of ours, until the test ends, and returns its URL. It takes any keys, but no unsigned requests.
func Moto(t testing.TB) string {
	t.Helper()
	const patience = 2 * time.Minute // python reads some thousand files first
	log := &announced{pattern: regexp.MustCompile(`Running on (http://127\.0\.0\.1:[0-9]+)`), found: make(chan string, 1)}
	cmd := exec.Command(ClientsPython(t), "-c", motoProgram)
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "AWS_") && !strings.HasPrefix(entry, "MOTO_") && !strings.HasPrefix(entry, "PYTHON") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	cmd.Stdout, cmd.Stderr = log, log
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start moto_server: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in ProcessState
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("moto_server printed:\n%s", log.text())
		}
	})
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case url := <-log.found:
		// The port is bound by now; the first call waits for the rest.
		res, err := http.Get(url + "/moto-api/")
		if err != nil {
			t.Fatalf("moto_server does not answer: %v", err)
		}
		_ = res.Body.Close()
		return url
	case <-ended:
		t.Fatalf("moto_server ended: %v\n%s", cmd.ProcessState, log.text())
	case <-timer.C:
		t.Fatalf("moto_server is not ready after %s:\n%s", patience, log.text())
	}
	return ""
}

// announced keeps what a process prints, and hands out the first group of the first match of a pattern.
type announced struct {
	pattern *regexp.Regexp
	found   chan string

	mu   sync.Mutex
	all  bytes.Buffer
	done bool
}

func (a *announced) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all.Write(p)
	if !a.done {
		if m := a.pattern.FindSubmatch(a.all.Bytes()); m != nil {
			a.done = true
			a.found <- string(m[1])
		}
	}
	return len(p), nil
}

func (a *announced) text() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all.String()
}
