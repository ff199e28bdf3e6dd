package convert_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
)

// One byte is enough, wherever it is: in data of both, in a hole of the disk or of its copy, and behind the end of the disk.
func TestCompareFindsDifferences(t *testing.T) {
	const size = 3 << 20
	disk := make([]byte, size)
	copy(disk, noise(1<<20))
	copy(disk[2<<20:], noise(1<<20-100))
	data := []diskimage.Extent{{Length: 1 << 20}, {Offset: 2 << 20, Length: 1 << 20}}
	all := []diskimage.Extent{{Length: size}}
	for _, c := range []struct {
		name       string
		at         int64 // -1: nowhere
		img, other []diskimage.Extent
	}{
		{"the same", -1, data, data},
		{"the same, the copy without holes", -1, data, all},
		{"the same, the disk without holes", -1, all, data},
		{"the first byte", 0, data, data},
		{"in data", 2<<20 + 300<<10 + 1, data, data},
		{"the last byte", size - 1, data, data},
		{"in a hole of the disk", 3 << 19, data, all},
		{"data lost", 5, data, data[1:]},
	} {
		changed := bytes.Clone(disk)
		switch {
		case c.name == "data lost":
			clear(changed[:1<<20])
		case c.at >= 0:
			changed[c.at]++
		}
		img, other := &image{disk: disk, extents: c.img, whole: true}, &image{disk: changed, extents: c.other, whole: true}
		sum, err := convert.Compare(t.Context(), img, other, convert.Options{})
		if c.at < 0 {
			if want, _ := convert.SHA256(t.Context(), img, convert.Options{}); err != nil || sum != want {
				t.Errorf("%s: %s, %v", c.name, sum, err)
			}
			continue
		}
		d, ok := errors.AsType[*convert.DifferenceError](err)
		if !ok || sum != "" || c.name != "data lost" && d.Offset != c.at || disk[d.Offset] == changed[d.Offset] {
			t.Errorf("%s: %q, %v", c.name, sum, err)
		}
	}
}

// A VMDK counts in sectors: what it has more than the disk must be zeros, and less than a sector.
func TestCompareLengths(t *testing.T) {
	disk := noise(1000)
	img := &image{disk: disk, extents: []diskimage.Extent{{Length: 1000}}}
	for _, c := range []struct {
		more int
		last byte
		want string // in the error; empty: none
	}{{0, 0, ""}, {24, 0, ""}, {511, 0, ""}, {24, 1, "byte 1023 "}, {512, 0, "1512"}, {-1, 0, "999"}} {
		longer := append(bytes.Clone(disk), make([]byte, 600)...)[:1000+c.more]
		if c.last != 0 {
			longer[len(longer)-1] = c.last
		}
		other := &image{disk: longer, extents: []diskimage.Extent{{Length: int64(len(longer))}}}
		sum, err := convert.Compare(t.Context(), img, other, convert.Options{})
		if c.want == "" {
			if want, _ := convert.SHA256(t.Context(), other, convert.Options{}); err != nil || sum != want {
				t.Errorf("%d bytes more: %s, %v", c.more, sum, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.want) || sum != "" {
			t.Errorf("%d bytes more: %q, %v", c.more, sum, err)
		}
	}
}

func TestCompareFailures(t *testing.T) {
	broken := errors.New("broken")
	whole := []diskimage.Extent{{Length: 20 << 20}}
	good := &image{disk: noise(20 << 20), extents: whole}
	bad := []*image{
		{err: broken, extents: []diskimage.Extent{{Length: 1 << 20}}},
		{err: broken},
		{err: broken, broken: 11 << 20, extents: whole},
	}
	for k, img := range bad {
		img.disk = good.disk
		if k < 2 {
			img.whole = true
		}
		for _, disks := range [][2]diskimage.Image{{img, good}, {good, img}} {
			if sum, err := convert.Compare(t.Context(), disks[0], disks[1], convert.Options{}); !errors.Is(err, broken) || sum != "" {
				t.Errorf("%d: %q, %v", k, sum, err)
			}
		}
	}
	cause := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	calls := 0
	sum, err := convert.Compare(ctx, good, good, convert.Options{Progress: func(int64, int64) {
		if calls++; calls > 3 {
			cancel(cause)
		}
	}})
	if !errors.Is(err, cause) || sum != "" {
		t.Errorf("cancelled: %q, %v", sum, err)
	}
}
