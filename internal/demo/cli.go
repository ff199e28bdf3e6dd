package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// taskDuration is how long the simulated import takes at least: long enough for several lines of progress.
const taskDuration = 5 * time.Second

// cli is terraform or tofu in one directory.
type cli struct {
	path, config, dir string
}

// commandError is a command that failed, with all that it said.
type commandError struct {
	command, output string
	err             error
}

func (e *commandError) Error() string { return fmt.Sprintf("%s: %v", e.command, e.err) }
func (e *commandError) Unwrap() error { return e.err }

// show decides what a line of the CLI's output becomes on the terminal: "" hides it.
type show func(line string) string

func quiet(string) string { return "" }

var timestamp = regexp.MustCompile(`^\d{4}-\d\d-\d\dT[0-9:.+Z-]+ \[(TRACE|DEBUG|INFO|WARN|ERROR)\]`)

var field = regexp.MustCompile(`(task_id|status|progress|message|elapsed)=("[^"]*"|\S+)`)

// taskLine is a line of the provider's log about the task, shortened; "" for any other.
func taskLine(line string) string {
	if !timestamp.MatchString(line) || !strings.Contains(line, "import task ") {
		return ""
	}
	values := map[string]string{}
	for _, m := range field.FindAllStringSubmatch(line, -1) {
		values[m[1]] = strings.Trim(m[2], `"`)
	}
	parts := []string{values["status"]}
	if values["progress"] != "" {
		parts = append(parts, values["progress"]+"%")
	}
	if values["message"] != "" {
		parts = append(parts, values["message"])
	}
	return fmt.Sprintf("%s: %s (%s)", values["task_id"], strings.Join(parts, ", "), values["elapsed"])
}

func showApply(line string) string {
	if shown := taskLine(line); shown != "" {
		return shown
	}
	if timestamp.MatchString(line) {
		return ""
	}
	if strings.HasPrefix(line, "ec2_import_snapshot.") || strings.HasPrefix(line, "Apply complete!") {
		return line
	}
	return ""
}

func showDestroy(line string) string {
	if strings.HasPrefix(line, "ec2_import_snapshot.") || strings.HasPrefix(line, "Destroy complete!") {
		return line
	}
	return ""
}

// run runs one command of the CLI. The provider's log comes with its standard error.
func (c *cli) run(ctx context.Context, show show, args ...string) (string, error) {
	// Not exec.CommandContext: an interrupt reaches the CLI by the terminal, and a killed CLI could not keep its state.
	cmd := exec.Command(c.path, args...) //nolint:noctx // See above.
	cmd.Dir = c.dir
	cmd.Env = c.environment()
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in

	var all strings.Builder
	var reading sync.WaitGroup
	reading.Go(func() {
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			line := lines.Text()
			if !timestamp.MatchString(line) {
				all.WriteString(line + "\n")
			}
			if shown := show(line); shown != "" {
				say(shown)
			}
		}
		// A line longer than the buffer: the rest must be read all the same, or the CLI blocks.
		_, _ = io.Copy(io.Discard, out)
	})
	err := cmd.Run()
	_ = in.Close()
	reading.Wait()

	if err != nil {
		return all.String(), &commandError{command: filepath.Base(c.path) + " " + args[0], output: all.String(), err: err}
	}
	if err := ctx.Err(); err != nil {
		return all.String(), errors.New("interrupted")
	}
	return all.String(), nil
}

// environment is the caller's without what would reach AWS, another configuration or another provider.
func (c *cli) environment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "AWS_") && !strings.HasPrefix(e, "TF_") && !strings.HasPrefix(e, "EC2_LOCAL_") {
			env = append(env, e)
		}
	}
	return append(env, "TF_CLI_CONFIG_FILE="+c.config, "TF_IN_AUTOMATION=1", "TF_LOG_PROVIDER=INFO", "CHECKPOINT_DISABLE=1")
}

// outputs are the root outputs that are strings; the others are left out.
func (c *cli) outputs(ctx context.Context) (map[string]string, error) {
	cmd := exec.CommandContext(ctx, c.path, "output", "-json", "-no-color")
	cmd.Dir, cmd.Env = c.dir, c.environment()
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("reading the outputs: %w", err)
	}
	var values map[string]struct{ Value any }
	if err := json.Unmarshal(text, &values); err != nil {
		return nil, fmt.Errorf("reading the outputs: %w", err)
	}
	out := map[string]string{}
	for name, v := range values {
		if s, ok := v.Value.(string); ok {
			out[name] = s
		}
	}
	return out, nil
}

// emptyPlan is an error unless a second plan changes nothing: exit code 0 of -detailed-exitcode, and the CLI's own words.
func (c *cli) emptyPlan(ctx context.Context, variables []string) error {
	text, err := c.run(ctx, quiet, append([]string{"plan", "-detailed-exitcode", "-input=false", "-no-color"}, variables...)...)
	if err != nil {
		return fmt.Errorf("the second plan is not empty: %w", err)
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "No changes.") {
			say(strings.TrimSpace(line))
			return nil
		}
	}
	return errors.New("the second plan exits 0 but does not say \"No changes\":\n" + text)
}

// copyConfiguration copies the configuration files of an example, not what an init there may have left.
func copyConfiguration(to, from string) error {
	files, err := filepath.Glob(filepath.Join(from, "*.tf"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no configuration in %s; run `make demo` in the repository's root", from)
	}
	if err := os.MkdirAll(to, 0o750); err != nil {
		return err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(file)), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
