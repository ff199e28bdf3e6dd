package cli

import (
	"cmp"
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"
)

// terminalWidth is how many columns w has, if it is a terminal that lines can be drawn on.
func terminalWidth(w io.Writer) (columns int, terminal bool) {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return 0, false
	}
	columns, _, err := term.GetSize(int(f.Fd())) //nolint:gosec // a file descriptor is a small number
	return columns, err == nil
}

// speaksUTF8 says whether the locale can show more than ASCII (POSIX: LC_ALL, then the category, then LANG). Go's output to a Windows console is
// Unicode whatever its code page.
func speaksUTF8() bool {
	if runtime.GOOS == "windows" {
		return true
	}
	locale := strings.ToLower(cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG")))
	return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
}
