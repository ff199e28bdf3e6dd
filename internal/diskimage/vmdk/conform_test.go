package vmdk_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// The disks in one file; those in several are in TestSeveralFiles, TestESX and TestDelta.
func TestConform(t *testing.T) {
	v := testimage.VMDK{Size: 39*8192 + 3584, GrainSectors: 16, GTEs: 5, Redundant: true, ShortLast: true}
	runs := []testimage.Run{
		{Offset: 0, Data: pattern(8192, 1)}, {Offset: 3*8192 + 512, Data: pattern(2*8192, 2)}, {Offset: 8 * 8192, Zero: 2 * 8192},
		{Offset: 10 * 8192, Data: make([]byte, 8192)}, {Offset: 39 * 8192, Data: pattern(3584, 3)},
	}
	disk := make([]byte, v.Size)
	for _, r := range runs {
		copy(disk[r.Offset:], r.Data)
	}
	conform := func(name string, s *testimage.Stream) {
		t.Run(name, func(t *testing.T) {
			testimage.Conform(t, testimage.Case{Files: files{"disk.vmdk": s.Data}, Disk: disk, Units: []int64{8192}, Open: openBeside})
		})
	}
	conform("monolithicSparse", v.BuildSparse(runs...))
	for _, layout := range testimage.Layouts {
		v.Layout = layout
		conform("streamOptimized "+layout.String(), v.Build(runs...))
	}
}

// footed is a whole stream with a footer in place of its end, as VMDKstream writes it, before the end-of-stream marker.
func footed(stream []byte) []byte {
	marker := make([]byte, 512)
	put64(marker, 0, 1)
	put32(marker, 12, 3)
	return slices.Concat(stream[:len(stream)-512], marker, stream[:512])
}

// What a disk is read in spite of is told.
func TestWarnings(t *testing.T) {
	const inUse = "it was not closed by the virtual machine"
	for _, c := range []struct {
		name   string
		layout testimage.Layout
		damage func(s *testimage.Stream)
		want   string // empty: nothing
	}{
		{"sound", testimage.GDAtEnd, func(*testimage.Stream) {}, ""},
		{"in use, by the header alone", testimage.GDAtEnd, func(s *testimage.Stream) { s.Data[72] = 1 }, inUse},
		{"in use, by the footer alone", testimage.GDAtEnd, func(s *testimage.Stream) { s.Data[s.Footer+72] = 1 }, inUse},
		{"in use", testimage.GDPatched, func(s *testimage.Stream) { s.Data[72] = 1 }, inUse},
		{"without its end", testimage.GDAtEnd, func(s *testimage.Stream) { s.Data = s.Data[:len(s.Data)-512] }, "it ends without the end-of-stream marker"},
		{"a footer that the header does not need", testimage.GDPatched, func(s *testimage.Stream) { s.Data = append(footed(s.Data), make([]byte, 512)...) }, ""},
		{"and no end behind it", testimage.GDPatched, func(s *testimage.Stream) { s.Data = footed(s.Data) }, "it ends without the end-of-stream marker"},
		{"without its end, and without a footer", testimage.GDPatched, func(s *testimage.Stream) { s.Data = s.Data[:len(s.Data)-512] }, ""},
		{"without its end, tables in front, which qemu-img writes so", testimage.GDInFront, func(s *testimage.Stream) { s.Data = s.Data[:len(s.Data)-512] }, ""},
	} {
		v, runs, _ := small(c.layout)
		s := v.Build(runs...)
		c.damage(s)
		img, err := open(s.Data)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if w := img.Warnings(); c.want == "" && len(w) > 0 || c.want != "" && (len(w) != 1 || !strings.HasPrefix(w[0], c.want)) {
			t.Errorf("%s: warnings %q", c.name, w)
		}
	}
}
