package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/importtask"
)

// guide has every block, empty.
func guide() string {
	var text strings.Builder
	text.WriteString("# Guide\n\n")
	for _, name := range slices.Sorted(maps.Keys(blocks)) {
		text.WriteString(begin + name + beginEnd + end + "between {{ tffile \"x\" }}\n")
	}
	return text.String()
}

func TestBlocks(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "guide.md.tmpl")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func() string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}

	write(guide())
	if err := run(t.Context(), dir, true); err == nil || read() != guide() {
		t.Errorf("a check of a stale block: %v", err)
	}
	if err := run(t.Context(), dir, false); err != nil {
		t.Fatal(err)
	}
	made := read()
	for _, want := range []string{
		"# Guide\n", "between {{ tffile \"x\" }}\n",
		"| `VMDK`, streamOptimized |  | `convert --to vmdk` | takes it |  |\n",
		"| `VMDK`, monolithicSparse |  |  | `ClientError: Disk validation failed [Unsupported VMDK File Format]` | VM Import takes stream-optimized VMDKs only; ",
		"| `VHD`, differencing | its parent, and the parent's |  | `ClientError: Footers not identical` |",
		"| `QCOW2` | `ClientError: Disk validation failed [Unsupported specified file format]` | neither VM Import nor this provider reads this format; convert it with `qemu-img",
		"| `VMDK`, extent of another (vmfsSparse) | `ClientError: Disk validation failed [Unsupported VMDK File Format]` | it is an ESX delta extent (COWD) without",
		"| `unsupported vmdk file format` | The object is a VMDK, but not of the streamOptimized sub-format",
		"| `InvalidSnapshot.InUse` | An AMI still uses the snapshot. | Deregister the AMI first",
		"$ terraform-provider-ec2 convert --help\n", "--strict ",
	} {
		if !strings.Contains(made, want) {
			t.Errorf("%q is not in\n%s", want, made)
		}
	}
	if err := run(t.Context(), dir, true); err != nil {
		t.Errorf("a check of what was just made: %v", err)
	}
	if err := run(t.Context(), dir, false); err != nil || read() != made {
		t.Errorf("made twice: %v", err)
	}

	for name, text := range map[string]string{
		"a block that is not known":  begin + "weather" + beginEnd + end,
		"a block that does not end":  begin + "formats read" + beginEnd,
		"a block that is not closed": begin + "formats read",
		"blocks that are not there":  begin + "task failures" + beginEnd + end,
	} {
		write(text)
		if err := run(t.Context(), dir, false); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := run(t.Context(), t.TempDir(), false); err == nil {
		t.Error("no templates: no error")
	}
}

// The first column of the tables is what inspect says.
func TestTableAsReported(t *testing.T) {
	samples := samples()
	for _, s := range samples {
		img, err := s.alone()
		if err := s.checkReported(img, err); err != nil {
			t.Errorf("%s: %v", s.name(), err)
		}
		s.format += "X"
		if err := s.checkReported(img, err); err == nil {
			t.Errorf("%s: it may be called anything", s.name())
		}
	}
}

// TestQuotedCures: what the guides quote of a diagnostic, wrapped by the CLI, is still what the code says.
func TestQuotedCures(t *testing.T) {
	known := map[string]bool{}
	for f := range importtask.TaskFailures() {
		known[f.Cause], known[f.Cure] = true, true
	}
	for f := range importtask.CallFailures() {
		known[f.Cause], known[f.Cure] = true, true
	}
	for _, s := range samples() {
		verdict := detect.VMImport(s.alone())
		known[verdict.Reason], known[verdict.Cure] = true, true
		known[verdict.For("mono.vmdk").Cure] = true // the object that the guide imports
	}
	files, err := filepath.Glob("../../templates/guides/*.md.tmpl")
	if err != nil || len(files) == 0 {
		t.Fatalf("the guides: %q, %v", files, err)
	}
	quoted := regexp.MustCompile(`(?s)\n(?:Cause|Cure): (.*?)\n(?:\n|Cure: |` + "```" + `)`)
	found := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for rest := string(text); ; found++ {
			m := quoted.FindStringSubmatchIndex(rest)
			if m == nil {
				break
			}
			sentence := strings.ReplaceAll(rest[m[2]:m[3]], "\n", " ")
			if !known[sentence] {
				t.Errorf("%s quotes %q, which is no longer said", file, sentence)
			}
			rest = rest[m[3]:]
		}
	}
	if found < 5 {
		t.Errorf("%d causes and cures found", found)
	}
}
