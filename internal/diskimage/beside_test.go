package diskimage_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// One rule for every name in an image, of an extent and of a parent, in all formats.
func TestNamesBeside(t *testing.T) {
	for _, c := range []struct {
		dir, foreign string
		want         []string
	}{
		{".", "x.vmdk", []string{"x.vmdk"}},
		{".", "./x.vmdk", []string{"x.vmdk"}},
		{".", "sub/x.vmdk", []string{"sub/x.vmdk", "x.vmdk"}},
		{".", `sub\x.vmdk`, []string{"sub/x.vmdk", "x.vmdk"}},
		{".", "./sub//./x.vmdk", []string{"sub/x.vmdk", "x.vmdk"}},
		{".", "sub/../x.vmdk", []string{"x.vmdk"}},
		{".", "../x.vmdk", []string{"x.vmdk"}},
		{".", "../../etc/shadow", []string{"shadow"}},
		{".", "a/../../etc/shadow", []string{"shadow"}},
		{".", "/etc/shadow", []string{"shadow"}},
		{".", "/vmfs/volumes/5e/vm/x.vmdk", []string{"x.vmdk"}},
		{".", `C:\VMs\x.vmdk`, []string{"x.vmdk"}},
		{".", "C:x.vmdk", []string{"x.vmdk"}},
		{".", `\\host\share\x.vmdk`, []string{"x.vmdk"}},
		{".", `\\?\C:\VMs\x.vmdk`, []string{"x.vmdk"}},
		{".", "https://host/x.vmdk", []string{"x.vmdk"}},
		{".", "file:///etc/shadow", []string{"shadow"}},
		{".", "at 10:30.vmdk", []string{"at 10:30.vmdk"}},
		{".", "größe \u3000.vmdk", []string{"größe \u3000.vmdk"}},
		{".", "\xe4.vmdk", []string{"\xe4.vmdk"}}, // in another encoding
		{".", "..x", []string{"..x"}},
		{"sub", "x", []string{"sub/x", "x"}},
		{"sub", "../x", []string{"x", "sub/x"}},
		{"sub", "../../x", []string{"sub/x", "x"}},
		{"sub", "/x", []string{"sub/x", "x"}},
		{"sub", "low/x", []string{"sub/low/x", "sub/x", "x"}},
		{".", "", nil},
		{".", ".", nil},
		{".", "..", nil},
		{".", "a/..", nil},
		{".", "/", nil},
		{".", "/vmfs/", nil},
		{".", `C:\`, nil},
		{".", "C:", nil},
		{".", "a\x00.vmdk", nil},
		{".", "a\x00/b.vmdk", nil},
		{".", "a\x1b[2J.vmdk", nil},
	} {
		if got := diskimage.NamesBeside(c.dir, c.foreign); !slices.Equal(got, c.want) {
			t.Errorf("%q in %q: %q, want %q", c.foreign, c.dir, got, c.want)
		}
	}
}

// Whatever a name is, what comes of it is at most three relative paths that stay inside, and are of one file each.
func TestAnyNameStaysInside(t *testing.T) {
	part := rapid.SampledFrom([]string{"..", ".", "", "a", "b.vmdk", "C:", "nbd:x", "\x00", "\xff", "é"})
	separator := rapid.SampledFrom([]string{"/", `\`, "//"})
	rapid.Check(t, func(t *rapid.T) {
		name := part.Draw(t, "first")
		for range rapid.IntRange(0, 6).Draw(t, "parts") {
			name += separator.Draw(t, "separator") + part.Draw(t, "part")
		}
		dir := rapid.SampledFrom([]string{".", "sub", "sub/low"}).Draw(t, "dir")
		names := diskimage.NamesBeside(dir, name)
		if len(names) > 3 {
			t.Fatalf("%q: %q", name, names)
		}
		for _, n := range names {
			if valid := strings.ToValidUTF8(n, "?"); !fs.ValidPath(valid) || n == "." || strings.ContainsAny(n, "\\\x00") {
				t.Fatalf("%q: %q", name, n)
			}
		}
	})
}

func TestOpenFirst(t *testing.T) {
	broken := errors.New("broken")
	var asked []string
	opener := diskimage.Opener(func(name string) (diskimage.File, error) {
		asked = append(asked, name)
		if name == "broken" {
			return nil, broken
		}
		return nil, fs.ErrNotExist
	})
	known := func(name string) bool { return name == "known" }
	for _, c := range []struct {
		names, asked []string
		name         string
		err          error
	}{
		{[]string{"a", "b"}, []string{"a", "b"}, "", fs.ErrNotExist},
		{[]string{"a", "broken", "b"}, []string{"a", "broken"}, "broken", broken},
		{[]string{"a", "known", "b"}, []string{"a"}, "known", nil},
		{nil, nil, "", fs.ErrNotExist},
	} {
		asked = nil
		name, file, err := opener.First(c.names, known)
		if name != c.name || file != nil || !errors.Is(err, c.err) || !slices.Equal(asked, c.asked) {
			t.Errorf("%q: %q, %v, %v after %q", c.names, name, file, err, asked)
		}
	}
}
