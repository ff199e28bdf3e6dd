package main

import (
	"context"
	"strings"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/importtask"
)

// taskFailures is the table of what a failed import says.
func taskFailures(context.Context) (string, error) {
	t := newTable("what the message holds", "cause", "cure")
	for f := range importtask.TaskFailures() {
		t.row(quoted(f.Texts, ", "), f.Cause, f.Cure)
	}
	return t.String(), nil
}

// callFailures is the table of how a call fails.
func callFailures(context.Context) (string, error) {
	t := newTable("error", "cause", "cure")
	for f := range importtask.CallFailures() {
		var signs []string
		if len(f.Codes) > 0 {
			signs = append(signs, quoted(f.Codes, ", "))
		}
		if len(f.Texts) > 0 {
			signs = append(signs, "“"+strings.Join(f.Texts, "” and “")+"”")
		}
		if f.Sign != "" {
			signs = append(signs, f.Sign)
		}
		t.row(strings.Join(signs, " with "), f.Cause, f.Cure)
	}
	return t.String(), nil
}

func quoted(texts []string, separator string) string {
	return "`" + strings.Join(texts, "`"+separator+"`") + "`"
}

// table is a table of Markdown.
type table struct{ text strings.Builder }

func newTable(columns ...string) *table {
	t := &table{}
	t.row(columns...)
	t.text.WriteString("|" + strings.Repeat("---|", len(columns)) + "\n")
	return t
}

func (t *table) row(cells ...string) {
	for _, c := range cells {
		t.text.WriteString("| " + strings.ReplaceAll(c, "|", `\|`) + " ")
	}
	t.text.WriteString("|\n")
}

func (t *table) String() string { return t.text.String() }
