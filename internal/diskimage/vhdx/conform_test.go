package vhdx_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhdx"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

func TestConform(t *testing.T) {
	v, runs, disk := small()
	one := func(v testimage.VHDX) map[string][]byte { return map[string][]byte{"disk.vhdx": v.Build(runs...).Data} }
	fixed, large, scattered := v, v, v
	fixed.Fixed, large.LogicalSector = true, 4096
	scattered.BlockSize, scattered.Order = 2*mib, []int64{3, 0, 1, 2}
	lost, _ := dirty(t)
	for _, c := range []struct {
		name  string
		files map[string][]byte
		disk  []byte
		units []int64
	}{
		{"dynamic", one(v), disk, []int64{512, mib}},
		{"scattered", one(scattered), disk, []int64{2 * mib}},
		{"fixed", one(fixed), disk, []int64{mib}},
		{"sectors of 4096 bytes", one(large), disk, []int64{4096, mib}},
		{"dirty", map[string][]byte{"disk.vhdx": lost.Data}, disk, []int64{4096, mib}},
		conformChain("differencing", 512, 3),
		conformChain("differencing, sectors of 4096 bytes", 4096, 2),
	} {
		t.Run(c.name, func(t *testing.T) {
			testimage.Conform(t, testimage.Case{
				Files: c.files, Image: "disk.vhdx", Disk: c.disk, Units: c.units,
				Open: func(r io.ReaderAt, size int64, beside diskimage.Opener) (diskimage.Image, error) {
					return vhdx.OpenBeside(r, size, beside)
				},
			})
		})
	}
}

func sized(b []byte, size int64) []byte {
	return append(bytes.Clone(b), make([]byte, max(0, size-int64(len(b))))...)[:size]
}

// conformChain is a chain whose first and last files were not closed cleanly. Each child is a bit larger than its parent, and has sectors and whole blocks of its
// own, and zeros, over what its parent has.
func conformChain(name string, sector int64, children int) (c struct {
	name  string
	files map[string][]byte
	disk  []byte
	units []int64
},
) {
	c.name, c.files, c.units = name, map[string][]byte{}, []int64{sector, mib, 2 * mib}
	c.disk = make([]byte, 5*mib)
	content := pattern(3*mib+8192, 1)
	copy(c.disk[mib:], content)
	root := testimage.VHDX{Size: 5 * mib, LogicalSector: sector, ID: id(0)}.Build(testimage.Run{Offset: mib, Data: content})
	root.SetLogGUID(logGUID)
	root.WriteLog(0, entry(root, 1, 0, lost(root, root.BAT), lost(root, root.Block[2]+4096)).Bytes())
	c.files["0.vhdx"] = root.Data
	for k := 1; k <= children; k++ {
		v := testimage.VHDX{
			Size: int64(5+k)*mib + int64(k)*sector, BlockSize: int64(1+k%2) * mib, LogicalSector: sector, ID: id(k),
			Locator: testimage.VHDXLocator(id(k-1), fmt.Sprintf(`.\%d.vhdx`, k-1)),
		}
		at := int64(k)*mib + 7*sector
		runs := []testimage.Run{
			{Offset: at, Data: pattern(int(3*sector), uint64(10*k))},
			{Offset: at + 5*sector, Zero: sector},
			{Offset: int64(4-k) * mib, Zero: mib + sector},
			{Offset: 4 * mib, Data: pattern(mib, uint64(k))},
			{Offset: v.Size - sector, Data: pattern(int(sector), uint64(k))},
		}
		c.disk = sized(c.disk, v.Size)
		for _, r := range runs {
			clear(c.disk[r.Offset : r.Offset+r.Zero])
		}
		for _, r := range runs {
			copy(c.disk[r.Offset:], r.Data)
		}
		file, f := fmt.Sprintf("%d.vhdx", k), v.Build(runs...)
		if k == children {
			file = "disk.vhdx"
			f.SetLogGUID(logGUID)
			f.WriteLog(8192, entry(f, 5, 8192, lost(f, f.BAT), lost(f, f.Bitmap[0]), lost(f, f.BitmapEntry(0))).Bytes())
		}
		c.files[file] = f.Data
	}
	return c
}
