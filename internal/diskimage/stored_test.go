package diskimage_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// mapped is a source with runs of data; after them its map fails with err.
type mapped struct {
	io.ReaderAt

	runs []diskimage.Extent
	err  error
}

func (m mapped) NextData(off int64) (start, end int64, err error) {
	for _, r := range m.runs {
		if r.End() > off {
			return r.Offset, r.End(), nil
		}
	}
	return 0, 0, m.err
}

func TestStoredRuns(t *testing.T) {
	type run = diskimage.Extent
	broken := errors.New("broken")
	whole := strings.NewReader(strings.Repeat("x", 100))
	m := mapped{whole, []run{{Offset: 0, Length: 10}, {Offset: 20, Length: 10}, {Offset: 40, Length: 5}}, io.EOF}
	failing := m
	failing.err = broken
	for _, c := range []struct {
		name        string
		r           io.ReaderAt
		off, length int64
		want        []run
		err         error
	}{
		{"no map", strings.NewReader(""), 3, 7, []run{{Offset: 3, Length: 7}}, nil},
		{"no map, empty", strings.NewReader(""), 3, 0, nil, nil},
		{"all", m, 0, 100, m.runs, nil},
		{"cut at both ends", m, 5, 20, []run{{Offset: 5, Length: 5}, {Offset: 20, Length: 5}}, nil},
		{"in a hole", m, 12, 8, nil, nil},
		{"behind the last", m, 45, 8, nil, nil},
		{"behind the end", m, 45, 56, nil, io.ErrUnexpectedEOF},
		{"a hole, and the end", m, 30, 71, m.runs[2:], io.ErrUnexpectedEOF},
		{"the map fails", failing, 0, 100, m.runs, broken},
		{"the map stands still", mapped{nil, nil, nil}, 0, 1, nil, errAny},
	} {
		var got []run
		var err error
		for r, e := range diskimage.StoredRuns(c.r, c.off, c.length) {
			if err = e; err == nil {
				got = append(got, r)
			}
		}
		if !slices.Equal(got, c.want) || (err == nil) != (c.err == nil) || c.err != nil && !errors.Is(c.err, errAny) && !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

// asked counts how often a map is asked.
type asked struct {
	mapped

	times int
}

func (a *asked) NextData(off int64) (start, end int64, err error) {
	a.times++
	return a.mapped.NextData(off)
}

func TestStoredRun(t *testing.T) {
	whole := strings.NewReader(strings.Repeat("x", 50))
	a := &asked{mapped: mapped{whole, []diskimage.Extent{{Offset: 0, Length: 10}, {Offset: 20, Length: 10}}, io.EOF}}
	var s diskimage.StoredRun
	for _, c := range []struct {
		at     int64
		stored bool
		end    int64
		times  int // that the map was asked
	}{
		{0, true, 10, 1},
		{9, true, 10, 1},
		{10, false, 20, 2},
		{19, false, 20, 2},
		{25, true, 30, 3},
		{24, true, 30, 4}, // in front of what is known
		{30, false, 50, 5},
		{49, false, 50, 5},
	} {
		stored, end, err := s.Find(a, c.at, 50)
		if stored != c.stored || end != c.end || err != nil || a.times != c.times {
			t.Errorf("%d: %v to %d, %v, after %d questions; want %+v", c.at, stored, end, err, a.times, c)
		}
	}
	if _, _, err := s.Find(a, 30, 51); err != nil {
		t.Errorf("a hole that is known: %v", err)
	}
	if _, _, err := s.Find(a, 50, 51); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("behind the end: %v", err)
	}
	var plain diskimage.StoredRun
	if stored, end, err := plain.Find(whole, 7, 50); !stored || end != 50 || err != nil {
		t.Errorf("without a map: %v to %d, %v", stored, end, err)
	}
}

var errAny = errors.New("any error")
