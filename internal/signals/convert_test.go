//go:build linux

package signals

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// anImage is a RAW image whose data don't compress.
func anImage(t *testing.T) (path string, content []byte) {
	t.Helper()
	content = make([]byte, 32<<20)
	rand.New(rand.NewSource(1)).Read(content)
	path = filepath.Join(t.TempDir(), "image.raw")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, content
}

// A conversion that is ended on the way leaves nothing behind, whoever ends it; one whose messages nobody reads goes on. kill -9 leaves the temporary
// file, nothing under the final name, and the next conversion is as good as ever: it may not know that the file is nobody's.
func TestConvertSignals(t *testing.T) {
	built(t)
	image, content := anImage(t)
	// nohup has SIGHUP ignored, which children inherit; a signal that is caught here is the default there.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	kill := func(h *held) error { return h.cmd.Process.Kill() }
	send := func(s os.Signal) func(*held) error {
		return func(h *held) error {
			defer h.settle() // what is left of the conversion takes no longer than a signal that is on its way
			return h.cmd.Process.Signal(s)
		}
	}
	for _, c := range []struct {
		name string
		do   func(*held) error
		code int
		left string
		says string
	}{
		{"SIGINT", send(syscall.SIGINT), 1, "", "interrupt"},
		{"SIGTERM", send(syscall.SIGTERM), 1, "", "terminated"},
		{"SIGHUP, of a terminal that was closed", send(syscall.SIGHUP), 1, "", "hangup"},
		{"kill -9", kill, -1, `\.convert-\w+\.partial`, ""},
		{"stderr closed", func(h *held) error { return h.stderr.Close() }, 0, "disk", ""},
	} {
		for _, to := range []string{"raw", "vmdk"} {
			t.Run(c.name+" to "+to, func(t *testing.T) {
				dir := t.TempDir()
				args := []string{"convert", "--to", to, image, filepath.Join(dir, "disk")}
				code, stdout, stderr := hold(t, dir, args...).then(c.do)
				if code != c.code || !strings.Contains(stderr, c.says) || c.code != 0 && stdout != "" {
					t.Errorf("exit code %d, want %d\n%s%s", code, c.code, stdout, stderr)
				}
				if left := names(t, dir); !regexp.MustCompile("^" + c.left + "$").MatchString(left) {
					t.Errorf("left behind: %q, want %q", left, c.left)
				}
				if c.code >= 0 {
					return
				}
				cmd := exec.CommandContext(t.Context(), workshop.provider, "convert", "--verify", image, filepath.Join(dir, "disk"))
				cmd.Env = workshop.env
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("the next conversion: %v\n%s", err, out)
				}
				if got, err := os.ReadFile(filepath.Join(dir, "disk")); err != nil || !bytes.Equal(got, content) {
					t.Errorf("the next conversion is not the disk: %v", err)
				}
				if left := names(t, dir); !regexp.MustCompile("^" + c.left + " disk$").MatchString(left) {
					t.Errorf("left behind then: %q", left)
				}
			})
		}
	}
}

// held is a conversion that stands still on its way: nobody reads what it says, and there is no room for its first message.
type held struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout bytes.Buffer
	stderr *os.File // to be read
	full   int      // bytes that are not its own
}

// hold starts a conversion into a directory and waits until it is under way.
func hold(t *testing.T, dir string, args ...string) *held {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	room, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, room)); err != nil {
		t.Fatal(err)
	}
	h := &held{t: t, cmd: exec.CommandContext(t.Context(), workshop.provider, args...), stderr: r, full: room}
	h.cmd.Env, h.cmd.Stdout, h.cmd.Stderr = workshop.env, &h.stdout, w
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	for ticker := time.NewTicker(glance); !strings.Contains(names(t, dir), ".partial"); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("%v is not under way after %s", args, patience)
		}
	}
	return h
}

// settle waits until the conversion has done what it can while it is held: no signal is on its way to it, and none of its threads has work.
func (h *held) settle() {
	h.t.Helper()
	deadline, ticker := time.Now().Add(patience), time.NewTicker(glance)
	defer ticker.Stop()
	for idle := 0; idle < 5; <-ticker.C {
		idle++
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", h.cmd.Process.Pid))
		if err != nil || len(threads) == 0 {
			h.t.Fatalf("the threads of the conversion: %v", err)
		}
		for _, name := range threads {
			if status, err := os.ReadFile(name); err == nil && !restful.Match(status) {
				idle = 0
			}
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("the conversion does something %s after its signal", patience)
		}
	}
}

// restful is the status of a thread that sleeps and has no signal pending, of its own or of its process.
var restful = regexp.MustCompile(`(?s)\nState:\tS.*\nSigPnd:\t0+\nShdPnd:\t0+\n`)

// then does something to the conversion, lets it go on and waits for its end.
func (h *held) then(do func(*held) error) (code int, stdout, stderr string) {
	h.t.Helper()
	if err := do(h); err != nil {
		h.t.Fatal(err)
	}
	said, err := io.ReadAll(h.stderr)
	if err != nil && !errors.Is(err, os.ErrClosed) {
		h.t.Fatal(err)
	}
	err = h.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatal(err)
	}
	return h.cmd.ProcessState.ExitCode(), h.stdout.String(), string(said[min(h.full, len(said)):])
}

// names are the files in a directory.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// Where there is no room, the message says which file had none and what helps, and what was there is as it was.
func TestConvertNoRoom(t *testing.T) {
	built(t)
	image, _ := anImage(t)
	for _, c := range []struct {
		name, script, says, cure string
	}{
		// A file system of 4 MiB, in a namespace of the script's own.
		{
			"full disk", `exec unshare -rm sh -c 'mount -t tmpfs -o size=4m none "$1" && cd "$1" && echo old > old && shift && "$@"; code=$?; ls -A; exit $code' sh "$@"`,
			"no space left on device", "free space there, or name a DST on another file system",
		},
		{
			"limit of 8192 or 4096 KiB for a file", `ulimit -f 8192; cd "$1" && echo old > old && shift && "$@"; code=$?; ls -A; exit $code`,
			"file too large", "raise the limit",
		},
	} {
		for _, to := range []string{"raw", "vmdk"} {
			for _, dst := range []string{"disk", "old"} {
				t.Run(c.name+" to "+to+", "+dst, func(t *testing.T) {
					dir := t.TempDir()
					if out, err := exec.CommandContext(t.Context(), "unshare", "-rm", "mount", "-t", "tmpfs", "none", dir).CombinedOutput(); err != nil && c.name == "full disk" {
						t.Skipf("no file system of its own here: %v %s", err, out)
					}
					cmd := exec.CommandContext(t.Context(), "sh", "-c", c.script, "sh", dir, workshop.provider, "convert", "--force", "--to", to, image, dst)
					cmd.Env = workshop.env
					var stdout, stderr bytes.Buffer
					cmd.Stdout, cmd.Stderr = &stdout, &stderr
					err := cmd.Run()
					if cmd.ProcessState.ExitCode() != 1 || stdout.String() != "old\n" {
						t.Errorf("%v, stdout and files: %q", err, stdout.String())
					}
					for _, want := range []string{image, "write " + dst + ": ", c.says, c.cure} {
						if !strings.Contains(stderr.String(), want) {
							t.Errorf("%q does not say %q", stderr.String(), want)
						}
					}
				})
			}
		}
	}
}
