package cli

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// decodeString keeps an argument as it was given. kong's own mapper sends it through JSON, where each byte that is no UTF-8 becomes U+FFFD: that may
// be the name of another file.
func decodeString(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("string")
	if err != nil {
		return errors.New("its value is missing")
	}
	target.SetString(token.String())
	return nil
}

// fileName is the path of a file as the user named it. A message quotes it where it would break the line or act on the terminal.
type fileName string

func (n fileName) String() string {
	if name := string(n); !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return string(n)
}

// check refuses what is no name. An image is read and written at any place, which a pipe cannot do.
func (n fileName) check(what string) error {
	switch n {
	case "":
		return usageError{fmt.Errorf("%s is empty: name a file", what)}
	case "-":
		return usageError{fmt.Errorf("%s is -, but a disk image is no stream here: name a file (./- where that is its name)", what)}
	}
	return nil
}
