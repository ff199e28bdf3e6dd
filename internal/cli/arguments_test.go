package cli_test

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// Names are bytes, and stay them: through JSON, as kong reads arguments, \xe9 would become U+FFFD, and --force would replace the file of that name.
func TestNamesAreBytes(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("names have to be Unicode here")
	}
	for _, name := range []string{"caf\xe9.raw", "a\nb\x1b[31m.raw"} {
		dir := t.TempDir()
		src := write(t, dir, "src", testimage.StreamOptimized(testimage.GDAtEnd, disk()))
		other := write(t, dir, "caf\ufffd.raw", []byte("precious"))
		code, stdout, stderr := run(t, "convert", "--force", src, dir+"/"+name)
		if got, err := os.ReadFile(dir + "/" + name); code != 0 || err != nil || len(got) != len(disk()) {
			t.Errorf("%q: exit code %d, %d bytes, %v: %s", name, code, len(got), err, stderr)
		}
		if kept, err := os.ReadFile(other); string(kept) != "precious" {
			t.Errorf("%q: another file holds %d bytes, %v", name, len(kept), err)
		}
		if code, more, stderr := run(t, "inspect", dir+"/"+name); code != 0 || !strings.Contains(more, `image       "`) {
			t.Errorf("%q: inspect: exit code %d, %s%s", name, code, more, stderr)
		} else {
			stdout += strings.SplitAfter(more, "\n")[0]
		}
		if strings.Contains(stdout, "\x1b") || !utf8.ValidString(stdout) || strings.Count(stdout, "\n") != 2 {
			t.Errorf("%q: it goes to the terminal as it is: %q", name, stdout)
		}
	}
}
