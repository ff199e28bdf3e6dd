package cli_test

import (
	"bytes"
	"errors"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/cli"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

const mib = 1 << 20

// run is one command line, to its end.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = cli.Run(t.Context(), args, &out, &err)
	return code, out.String(), err.String()
}

// refused runs a command line that must fail with this code: nothing on stdout, and all of these words on stderr.
func refused(t *testing.T, code int, args []string, words ...string) {
	t.Helper()
	got, stdout, stderr := run(t, args...)
	if got != code || stdout != "" {
		t.Errorf("%q: exit code %d, stdout %q, want %d and nothing", args, got, stdout, code)
	}
	for _, w := range words {
		if !strings.Contains(stderr, w) {
			t.Errorf("%q: %q does not say %q", args, stderr, w)
		}
	}
}

func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// disk is 3 MiB and a bit, with a hole and a run of data that no block size divides.
func disk() []byte {
	d := make([]byte, 3*mib+512)
	r := rand.New(rand.NewSource(1))
	r.Read(d[:100_000])
	r.Read(d[2*mib+5:])
	return d
}

// files are the names in a directory.
func files(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestWrongUsage(t *testing.T) {
	for _, c := range []struct {
		name  string
		args  []string
		words []string
	}{
		{"no such command", []string{"inspekt"}, []string{"inspekt", "--help"}},
		{"no image", []string{"inspect"}, []string{"<IMAGE>", "inspect --help"}},
		{"two images", []string{"inspect", "a", "b"}, []string{"b"}},
		{"no such flag", []string{"inspect", "--jason", "a"}, []string{"--jason"}},
		{"one file", []string{"convert", "a"}, []string{"<DST>", "convert --help"}},
		{"no such format", []string{"convert", "--to", "qcow2", "a", "b"}, []string{"qcow2", "vmdk"}},
		{"a bucket without a directory", []string{"serve", "--bucket", "images"}, []string{"--bucket", "images", "NAME=DIR"}},
		{"a bucket twice", []string{"serve", "--bucket", "a=/", "--bucket", "a=/tmp"}, []string{"--bucket a", "twice"}},
		{"an S3 endpoint that is no URL", []string{"serve", "--s3-endpoint", "localhost:4566"}, []string{"--s3-endpoint", "localhost:4566", "http://"}},
		{"a simulation that is none", []string{"serve", "--simulate", "speed=3"}, []string{"speed", "task_duration"}},
		{"a duration that is none", []string{"serve", "--simulate", "task_duration=3"}, []string{"task_duration", "3"}},
		{"a duration before now", []string{"serve", "--simulate", "task_duration=-3s"}, []string{"task_duration", "negative"}},
		{"no name of an image", []string{"inspect", ""}, []string{"empty"}},
		{"no name of SRC", []string{"convert", "", "b"}, []string{"empty"}},
		{"no name of DST", []string{"convert", "a", ""}, []string{"DST", "empty"}},
		{"stdin", []string{"inspect", "-"}, []string{"IMAGE is -", "./-"}},
		{"stdin for SRC", []string{"convert", "-", "b"}, []string{"SRC is -"}},
		{"stdout for DST", []string{"convert", "a", "-"}, []string{"DST is -"}},
		{"a name like a flag", []string{"inspect", "-x.vmdk"}, []string{"unknown flag -x", "./-NAME"}},
		{"a flag without its value", []string{"serve", "--listen"}, []string{"--listen: its value is missing"}},
		{"no name of the data directory", []string{"serve", "--data-dir", ""}, []string{"--data-dir is empty"}},
		{"no address", []string{"serve", "--listen", ""}, []string{"--listen", "127.0.0.1:4599"}},
		{"a port alone, which would be all addresses", []string{"serve", "--listen", ":4599"}, []string{"--listen", "0.0.0.0"}},
		{"an address alone", []string{"serve", "--listen", "127.0.0.1"}, []string{"--listen", "127.0.0.1:4599"}},
		{"no such port", []string{"serve", "--listen", "127.0.0.1:65536"}, []string{"65536"}},
		{"neither true nor false", []string{"serve", "--simulate", "encryption_by_default=maybe"}, []string{"encryption_by_default", "maybe"}},
		{"a log format that is none", []string{"serve", "--log-format", "xml"}, []string{"xml", "json", "serve --help"}},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, 2, c.args, c.words...) })
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"inspect", "--help"}, {"convert", "-h"}, {"serve", "--help"}} {
		code, stdout, stderr := run(t, args...)
		if code != 0 || stderr != "" {
			t.Errorf("%q: exit code %d, stderr %q", args, code, stderr)
		}
		example := "Examples:\n\n    terraform-provider-ec2 " + args[0] + " "
		if len(args) > 1 && !strings.Contains(stdout, example) {
			t.Errorf("%q shows no example:\n%s", args, stdout)
		}
	}
}

// Help that somebody has seen enough of (`--help | head`) is no failure, and no usage that is wrong; what cannot be written is a failure.
func TestHelpClosedStdout(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"convert", "--help"}} {
		var stderr bytes.Buffer
		if code := cli.Run(t.Context(), args, closed{}, &stderr); code != 0 || stderr.Len() > 0 {
			t.Errorf("%q to a closed pipe: exit code %d, stderr %q", args, code, stderr.String())
		}
		stderr.Reset()
		if code := cli.Run(t.Context(), args, full{}, &stderr); code != 1 || stderr.String() != "terraform-provider-ec2: no space left on device\n" {
			t.Errorf("%q to a full disk: exit code %d, stderr %q", args, code, stderr.String())
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// Every image of the corpus, with the files that belong to it: described as the manifest says, and converted to its disk.
func TestCorpus(t *testing.T) {
	for _, row := range testimage.Corpus(t) {
		t.Run(row.File, func(t *testing.T) {
			path := row.Restore(t)
			inspectCorpus(t, row, path)
			if row.Format != "detect" && row.VirtualSize < 1<<30 {
				convertCorpus(t, row, path)
			}
		})
	}
}
