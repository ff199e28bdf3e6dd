package vmdk_test

import (
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
