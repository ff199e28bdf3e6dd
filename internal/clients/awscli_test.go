package clients

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// shell is where a user types aws commands: a home directory without configuration, and what serve tells to export.
type shell struct {
	*site
	python string
	env    []string
	names  map[string]string // ids as the expected output calls them
}

func newShell(t *testing.T, args ...string) *shell {
	t.Helper()
	python := acctest.ClientsPython(t)
	s := newSite(t, args...)
	return &shell{site: s, python: python, env: s.clientEnvironment(), names: map[string]string{}}
}

// clientEnvironment is complete: nothing of the machine's AWS configuration is read. Instance metadata would be waited for.
func (s *site) clientEnvironment() []string {
	s.t.Helper()
	home := s.t.TempDir()
	empty := filepath.Join(home, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return append(cleanEnvironment(), "HOME="+home, "AWS_CONFIG_FILE="+empty, "AWS_SHARED_CREDENTIALS_FILE="+empty, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ACCESS_KEY_ID="+account, "AWS_SECRET_ACCESS_KEY=secret", "AWS_DEFAULT_REGION="+region,
		"AWS_ENDPOINT_URL_EC2="+s.url, "AWS_ENDPOINT_URL_STS="+s.url, "AWS_PAGER=", "LC_ALL=C.UTF-8", "PYTHONUTF8=1")
}

// run runs python; an aws command is one of its modules.
func (s *shell) run(args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), s.python, args...)
	cmd.Env, cmd.Dir = s.env, s.t.TempDir()
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	if e := cmd.Run(); e != nil && cmd.ProcessState == nil {
		s.t.Fatal(e)
	}
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

// aws runs a command that has to succeed, and returns what it prints.
func (s *shell) aws(args ...string) string {
	s.t.Helper()
	code, stdout, stderr := s.run(append([]string{"-m", "awscli"}, args...)...)
	if code != 0 || stderr != "" {
		s.t.Fatalf("aws %q: exit code %d\n%s%s", args, code, stdout, stderr)
	}
	return stdout
}

// refused runs a command that has to fail, and compares what it says.
func (s *shell) refused(want string, args ...string) {
	s.t.Helper()
	code, stdout, stderr := s.run(append([]string{"-m", "awscli"}, args...)...)
	if got := s.named(strings.TrimSpace(stderr)); code == 0 || stdout != "" || got != want {
		s.t.Errorf("aws %q: exit code %d, stdout %q\n got %s\nwant %s", args, code, stdout, got, want)
	}
}

// read takes one value out of an answer.
func (s *shell) read(answer string, path ...string) string {
	s.t.Helper()
	var v any
	if err := json.Unmarshal([]byte(answer), &v); err != nil {
		s.t.Fatalf("%v: %s", err, answer)
	}
	for _, name := range path {
		if list, ok := v.([]any); ok && len(list) == 1 {
			v = list[0]
		}
		object, _ := v.(map[string]any)
		v = object[name]
	}
	text, ok := v.(string)
	if !ok {
		s.t.Fatalf("no text at %q of %s", path, answer)
	}
	return text
}

var timestamp = regexp.MustCompile(`20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z`)

// named replaces what differs from run to run.
func (s *shell) named(text string) string {
	for id, name := range s.names {
		text = strings.ReplaceAll(text, id, name)
	}
	return timestamp.ReplaceAllString(text, "TIME")
}

// want compares an answer, all of it, with the one expected.
func (s *shell) want(answer, want string) {
	s.t.Helper()
	if got, want := indented(s.t, s.named(answer)), indented(s.t, want); got != want {
		s.t.Errorf("the answer is\n%s\nwant\n%s", got, want)
	}
}

// indented is JSON in one form: keys sorted.
func indented(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// file writes a file for a file:// argument.
func (s *shell) file(content string) string {
	s.t.Helper()
	name := filepath.Join(s.t.TempDir(), "argument.json")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return "file://" + name
}

// hasten lets the CLI's waiter look 3 times, a second apart, instead of 40 times in ten minutes.
func (s *shell) hasten() {
	s.t.Helper()
	models := s.t.TempDir()
	script, err := filepath.Abs(filepath.Join("testdata", "quick_waiters.py"))
	if err != nil {
		s.t.Fatal(err)
	}
	if code, _, stderr := s.run(script, models); code != 0 {
		s.t.Fatal(stderr)
	}
	s.env = append(s.env, "AWS_DATA_PATH="+models)
}
