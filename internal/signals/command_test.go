//go:build linux

package signals

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

const (
	// patience is when a command counts as hung; a busy machine takes its time.
	patience = 3 * time.Minute

	// glance is how often a condition is looked at that nobody tells of.
	glance = 2 * time.Millisecond
)

// command is one run of the CLI, in a process group of its own, which its provider shares.
type command struct {
	t      *testing.T
	cmd    *exec.Cmd
	begun  time.Time
	done   chan struct{} // closed when the CLI has ended
	output string        // a file: a pipe would stay open as long as any child lives
}

// start runs the CLI with these arguments.
func (s *site) start(args ...string) *command {
	s.t.Helper()
	out, err := os.CreateTemp(s.dir, "output-*.txt")
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	c := &command{t: s.t, cmd: exec.Command(workshop.cli, args...), done: make(chan struct{}), output: out.Name()}
	c.cmd.Dir, c.cmd.Env = s.dir, workshop.env
	c.cmd.Stdout, c.cmd.Stderr = out, out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.begun = time.Now()
	if err := c.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.end)
	go func() {
		_ = c.cmd.Wait() // the code is in ProcessState
		close(c.done)
	}()
	return c
}

// end lets nothing of the command outlive the test.
func (c *command) end() {
	select {
	case <-c.done:
	default:
		_ = c.cmd.Process.Kill()
		<-c.done
	}
	for _, pid := range c.providers() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// wait returns the exit code, -1 where a signal ended the CLI, and all that it has printed.
func (c *command) wait() (code int, output string) {
	c.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
		c.t.Fatalf("%v has not ended after %s:\n%s", c.cmd.Args[1:], patience, c.printed())
	}
	return c.cmd.ProcessState.ExitCode(), c.printed()
}

func (c *command) printed() string {
	text, err := os.ReadFile(c.output)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

// until waits for a condition, and reports false where the command ends first.
func (c *command) until(condition func() bool) bool {
	c.t.Helper()
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-c.done:
			return false
		case <-deadline.C:
			c.t.Fatalf("%v does not get on:\n%s", c.cmd.Args[1:], c.printed())
		}
	}
	return true
}

// pause waits for d, and reports false where the command ends first.
func (c *command) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.done:
		return false
	}
}

// send sends a signal to the CLI, or to its group as a terminal does. The command may have ended just before.
func (c *command) send(sig syscall.Signal, group bool) {
	c.t.Helper()
	var err error
	if group {
		err = syscall.Kill(-c.cmd.Process.Pid, sig)
	} else {
		err = c.cmd.Process.Signal(sig) // never another process that has got the same number
	}
	if err != nil {
		c.t.Logf("%s came too late: %v", sig, err)
	}
}

// providers are the provider's live processes in the group of this CLI, which no process of others can be in.
func (c *command) providers() []int {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		c.t.Fatal(err)
	}
	var pids []int
	for _, name := range names {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // ended in the meantime
		}
		// pid (name) state ppid pgrp ...; the name may hold anything.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 3 || string(fields[2]) != strconv.Itoa(c.cmd.Process.Pid) {
			continue
		}
		if exe, err := os.Readlink(filepath.Join(filepath.Dir(name), "exe")); err == nil && exe == workshop.provider {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			if err != nil {
				c.t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// killProvider kills the provider as soon as one runs, and reports false where the CLI ends without.
func (c *command) killProvider() bool {
	return c.until(func() bool {
		pids := c.providers()
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				c.t.Logf("kill -9 of the provider came too late: %v", err)
			}
		}
		return len(pids) > 0
	})
}

// gone waits until no provider of this CLI is left: one that outlives its CLI would hold files and tasks.
func (c *command) gone() {
	c.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for len(c.providers()) > 0 {
		select {
		case <-ticker.C:
		case <-deadline.C:
			c.t.Fatalf("a provider outlives its CLI: %v", c.providers())
		}
	}
}
