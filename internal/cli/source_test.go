package cli_test

import (
	"strings"
	"testing"
)

// A fixed VHD that was cut off is RAW by all that is in it. Its name raises a doubt, for both commands, and no more than that.
func TestNameAgainstContent(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]string{"cut.vhd": "nothing in it is of a VHD, as its name says", "CUT.VMDK": "nothing in it is of a VMDK", "disk.raw": "", "disk": ""} {
		image := write(t, dir, name, disk())
		for _, args := range [][]string{{"inspect", "--json", image}, {"convert", "--json", image, image + ".new"}} {
			code, stdout, stderr := run(t, args...)
			warning := "warning: " + image + ": " + want
			if code != 0 || !strings.HasPrefix(stdout, `{"format":"RAW"`) || strings.Contains(stderr, warning) != (want != "") || want == "" && strings.Contains(stderr, "warning") {
				t.Errorf("%q: exit code %d, stdout %q, stderr %q", args, code, stdout, stderr)
			}
		}
	}
}
