package vmdk_test

import (
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// Whatever is read of a disk, once a reader has its buffers it allocates nothing: a disk has millions of grains.
func TestAllocations(t *testing.T) {
	v, runs, disk := small(testimage.GDAtEnd)
	for name, data := range map[string][]byte{"compressed": v.Build(runs...).Data, "plain": v.BuildSparse(runs...).Data} {
		img, err := open(data)
		if err != nil {
			t.Fatal(err)
		}
		for what, at := range map[string]int64{"whole grains": 0, "parts of grains": 1000} {
			b := make([]byte, int64(len(disk))-at)
			if n := testing.AllocsPerRun(10, func() {
				if _, err := img.ReadAt(b, at); err != nil {
					t.Error(err)
				}
			}); n != 0 {
				t.Errorf("%s, %s: %v allocations for %d grains", name, what, n, len(disk)/grain)
			}
		}
	}
}
