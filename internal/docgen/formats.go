package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
)

// formatsRead is the table of the kinds of images that are read.
func formatsRead(context.Context) (string, error) {
	return formatTable(true, "image", "beside it", "written", "VM Import", "why not, and what to do")
}

// formatsRefused is the table of the kinds of files that are recognised, and not read.
func formatsRefused(context.Context) (string, error) {
	return formatTable(false, "file", "VM Import", "why not, and what to do")
}

// formatTable puts samples with the same judgement into one row.
func formatTable(read bool, columns ...string) (string, error) {
	t := newTable(columns...)
	missing := map[detect.Format]bool{}
	for f := range detect.Formats() {
		missing[f] = true
	}
	var names []string
	var before row
	flush := func() {
		if names != nil {
			t.row(append([]string{strings.Join(names, "; ")}, before[5-len(columns):]...)...)
		}
	}
	for _, s := range samples() {
		delete(missing, s.format)
		isRead, r, err := s.judge()
		if err != nil {
			return "", fmt.Errorf("sample of %s: %w", s.name(), err)
		}
		if isRead != read {
			continue
		}
		if r != before {
			flush()
			names = nil
		}
		names, before = append(names, s.name()), r
	}
	flush()
	for f := range missing {
		return "", fmt.Errorf("there is no sample of %s", f)
	}
	return t.String(), nil
}

func (s sample) name() string {
	name := "`" + string(s.format) + "`"
	if s.kind != "" {
		name += ", " + s.kind
	}
	return name
}

// row is what is beside an image, how it is written, what VM Import does with it, and why not.
type row [4]string

// written are the kinds that convert writes, by the flag that asks for them.
var written = map[string]string{"`RAW`": "`convert`, sparse", "`VMDK`, streamOptimized": "`convert --to vmdk`"}

func (s sample) judge() (read bool, r row, err error) {
	switch got, err := detect.Detect(bytes.NewReader(s.data), int64(len(s.data))); {
	case err != nil:
		return false, r, err
	case got != s.format:
		return false, r, fmt.Errorf("it is taken for %s", got)
	}
	if read, err = s.read(); err != nil {
		return read, r, err
	}
	img, refused := s.alone()
	if read && (refused == nil) != (s.needs == "") {
		return read, r, fmt.Errorf("it needs %q beside it, and alone: %w", s.needs, refused)
	}
	if err := s.checkReported(img, refused); err != nil {
		return read, r, err
	}
	verdict := detect.VMImport(img, refused)
	r = row{s.needs, written[s.name()], "takes it", ""}
	if !verdict.Importable {
		r[2], r[3] = "`"+verdict.StatusMessage+"`", verdict.String()
	}
	return read, r, nil
}

// checkReported holds the words for a sample against those that inspect has for it.
func (s sample) checkReported(img *detect.Image, refused error) error {
	var format, subFormat string
	if u, ok := errors.AsType[*diskimage.UnsupportedError](refused); ok {
		format, subFormat = u.Format, u.SubFormat
	} else {
		format, subFormat = string(img.Format), img.SubFormat
	}
	_, said, there := strings.Cut(strings.TrimSuffix(s.kind, ")"), "(")
	if format != string(s.format) || there && said != subFormat {
		return fmt.Errorf("inspect says format %s, sub_format %s", format, subFormat)
	}
	return nil
}
