package diskimage

import (
	"fmt"
	"strings"
)

// CorruptError says that the bytes of an image contradict its format. Such a file is refused: what cannot be resolved is never read as zeros.
type CorruptError struct {
	Format    string // upper-case name of the format, "VMDK"
	Structure string // "header", "grain table 3"
	Field     string // the field that is wrong; empty where the structure as a whole is
	Offset    int64  // where the structure is in the file, in bytes
	Value     any    // what was found; nil where no single value is to blame
	Reason    string // what is wrong with it
}

func (e *CorruptError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "corrupt %s: %s at byte %d", e.Format, e.Structure, e.Offset)
	if e.Field != "" {
		b.WriteString(", " + e.Field)
	}
	if e.Value != nil {
		fmt.Fprintf(&b, " = %v", e.Value)
	}
	b.WriteString(": " + e.Reason)
	return b.String()
}

// UnsupportedError says that an image is what it claims to be, but that it is not read here.
type UnsupportedError struct {
	Format    string // upper-case name of the format, "QCOW2"
	SubFormat string // "monolithicSparse"; empty where it means nothing
	Reason    string // why it is not read
	Cure      string // what to do instead; empty where nothing can be done
}

func (e *UnsupportedError) Error() string {
	var b strings.Builder
	b.WriteString("unsupported " + e.Format)
	if e.SubFormat != "" {
		b.WriteString(" (" + e.SubFormat + ")")
	}
	b.WriteString(": " + e.Reason)
	if e.Cure != "" {
		b.WriteString("; " + e.Cure)
	}
	return b.String()
}
