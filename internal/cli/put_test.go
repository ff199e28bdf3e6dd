package cli

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// The same without --force on file systems with hard links and without.
func TestPutWithoutForce(t *testing.T) {
	for name, link := range map[string]func(old, new string) error{
		"hard links":    os.Link,
		"no hard links": func(string, string) error { return errors.New("operation not permitted") },
	} {
		for _, there := range []bool{false, true} {
			dir := t.TempDir()
			temporary, destination := filepath.Join(dir, "temporary"), filepath.Join(dir, "destination")
			put(t, temporary, "ours")
			want := "ours"
			if there {
				put(t, destination, "theirs")
				want = "theirs"
			}
			err := putInPlace(temporary, destination, false, link)
			if got, readErr := os.ReadFile(destination); (err != nil) != there || readErr != nil || string(got) != want {
				t.Errorf("%s, there %v: %v; it holds %q, %v", name, there, err, got, readErr)
			}
			if _, left := os.Lstat(temporary); (left == nil) != there { // who called it removes it after an error
				t.Errorf("%s, there %v: the temporary file: %v", name, there, left)
			}
		}
	}
}
