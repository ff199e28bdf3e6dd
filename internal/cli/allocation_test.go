package cli

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

func TestMap(t *testing.T) {
	const kib, mib = 1 << 10, 1 << 20
	ascii := shades{'.', '-', '+', '*', '#'}
	type run = diskimage.Extent
	for _, c := range []struct {
		name    string
		size    int64
		columns int
		extents []run
		rows    string // separated by blanks
		each    string
	}{
		{"nothing", 16 * mib, 4, nil, ".... ....", "2.0 MiB"},
		{"everything", 16 * mib, 4, []run{{Length: 16 * mib}}, "#### ####", "2.0 MiB"},
		{"one byte of a cell, one that lacks one", 16 * mib, 4, []run{{Offset: 2*mib - 1, Length: 1}, {Offset: 4*mib + 1, Length: 4*mib - 1}}, "-.*# ....", "2.0 MiB"},
		{"a third, two thirds", 12 * kib * 8, 4, []run{{Length: 4 * kib}, {Offset: 12 * kib, Length: 8 * kib}}, "+*.. ....", "12 KiB"},
		{"across cells", 16 * mib, 4, []run{{Offset: mib, Length: 9 * mib}}, "+### #...", "2.0 MiB"},
		{"explicit zeros are no data", 16 * mib, 4, []run{{Length: 16 * mib, Zero: true}}, ".... ....", "2.0 MiB"},
		{"a last cell that is short", 10*kib + 1, 4, []run{{Offset: 8 * kib, Length: 2*kib + 1}}, "..#", "4.0 KiB"},
		{"one sector", 512, 4, []run{{Length: 512}}, "#", "4.0 KiB"},
		{"a disk of no bytes", 0, 4, nil, "", "4.0 KiB"},
		{"cells of whole pages", 9 * 4 * kib, 4, nil, ".... .", "8.0 KiB"},
		{"the largest disk", 1<<63 - 1, 4, []run{{Length: 1<<63 - 1}}, "#### ####", "1.0 EiB"},
	} {
		a := newAllocation(c.size, c.columns)
		data := int64(0)
		for _, e := range c.extents {
			a.add(e)
			if !e.Zero {
				data += e.Length
			}
		}
		if got := strings.Join(a.rows(ascii), " "); got != c.rows || a.total != data {
			t.Errorf("%s: %q with %d bytes, want %q with %d", c.name, got, a.total, c.rows, data)
		}
		if got, want := a.legend(ascii), "each "+c.each+": . no data, -+* some, # all data"; got != want {
			t.Errorf("%s: legend %q, want %q", c.name, got, want)
		}
	}
}

// Any disk fits into its rows, and no byte of data is lost or counted twice.
func TestMapOfAnyDisk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(0, 1<<46).Draw(t, "size")
		columns := 1 << rapid.IntRange(4, 8).Draw(t, "columns")
		a := newAllocation(size, columns)
		for at := rapid.Int64Range(0, size).Draw(t, "first"); at < size; {
			e := diskimage.Extent{Offset: at, Length: rapid.Int64Range(1, size-at).Draw(t, "length")}
			a.add(e)
			at = e.End() + rapid.Int64Range(0, 1<<40).Draw(t, "hole")
		}
		sum := int64(0)
		for k, n := range a.data {
			sum += n
			if length := min(a.cell, size-int64(k)*a.cell); n < 0 || n > length {
				t.Errorf("cell %d of %d bytes has %d", k, length, n)
			}
		}
		if sum != a.total {
			t.Errorf("the cells have %d bytes of %d", sum, a.total)
		}
		rows := a.rows(shades{'.', '-', '+', '*', '#'})
		if len(rows) > 2 || a.cell%4096 != 0 {
			t.Errorf("%d rows, cells of %d bytes", len(rows), a.cell)
		}
		for _, r := range rows {
			if len(r) > columns {
				t.Errorf("a row of %d characters, %d are there", len(r), columns)
			}
		}
	})
}

func TestLocale(t *testing.T) {
	for _, c := range []struct {
		all, ctype, lang string
		want             bool
	}{
		{"", "", "de_DE.UTF-8", true},
		{"", "", "C.utf8", true},
		{"", "", "C", false},
		{"", "", "", false},
		{"C", "", "de_DE.UTF-8", false},
		{"", "de_DE.ISO-8859-1", "de_DE.UTF-8", false},
		{"en_US.UTF-8", "C", "C", true},
	} {
		t.Setenv("LC_ALL", c.all)
		t.Setenv("LC_CTYPE", c.ctype)
		t.Setenv("LANG", c.lang)
		if got := speaksUTF8(); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
		if shades := mapShades(); (shades[4] == '█') != c.want {
			t.Errorf("%+v: %c", c, shades[4])
		}
	}
	if got := mapWidth(&bytes.Buffer{}); got != 64 {
		t.Errorf("%d columns elsewhere than on a terminal", got)
	}
}
