package detect

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// plainName needs no quotes in a shell.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_./+@%:,=-]+$`)

// The lines of a cure that make a VMDK for VM Import, where the same program makes a raw disk too.
var (
	ourVMDK  = regexp.MustCompile("convert --to vmdk ([^ `]+) DST\\.vmdk")
	qemuVMDK = regexp.MustCompile("-O vmdk -o subformat=streamOptimized ([^ `]+) DST\\.vmdk")
)

// ToRAW makes of a cure, before it is made For a name, the one for somebody who wants a raw disk and not what VM Import takes.
func ToRAW(cure string) string {
	return qemuVMDK.ReplaceAllString(ourVMDK.ReplaceAllString(cure, "convert $1 DST.raw"), "-O raw $1 DST.raw")
}

// For is the verdict of a file by its name: the lines of its cure name it where they have SRC, and the file that they make is NEW. A name that cannot
// be shown on one line is left out.
func (v Verdict) For(name string) Verdict {
	if name == "" || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return v
	}
	if strings.HasPrefix(name, "-") { // which would be an option
		name = "./" + name
	}
	if !plainName.MatchString(name) {
		name = "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
	}
	v.Cure = strings.NewReplacer("SRC.avhdx", name, "SRC.vhdx", name, "SRC.vhd", name, "SRC", name, "DST", "NEW").Replace(v.Cure)
	return v
}
