package vhdx_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhdx"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// Every structure, damaged. Checksums are made right again, so that each row is refused for what it names.
func TestDamaged(t *testing.T) {
	const h2, r1 = testimage.VHDXHeader2, testimage.VHDXRegion1
	unknown := "DEADBEEF-0000-0000-0000-000000000001"
	bat := func(f *testimage.VHDXFile) int64 { return f.Region(testimage.VHDXBATRegion) }
	meta := func(f *testimage.VHDXFile) int64 { return f.Region(testimage.VHDXMetadataRegion) }
	for _, c := range []struct {
		name   string
		damage func(f *testimage.VHDXFile)
		want   string // "unsupported..." for what is sound
	}{
		{"identifier", func(f *testimage.VHDXFile) { f.Data[0] = 'V' }, "file type identifier at byte 0, Signature"},
		{"empty", func(f *testimage.VHDXFile) { f.Data = nil }, "header section at byte 0: the file ends after 0 of its 1048576 bytes"},
		{"cut off in the header section", func(f *testimage.VHDXFile) { f.Data = f.Data[:mib-1] }, "header section at byte 0: the file ends after 1048575"},
		{"cut off behind it", func(f *testimage.VHDXFile) { f.Data = f.Data[:mib] }, "header at byte 131072, LogOffset = 1048576: a log of 1048576 bytes there does not fit"},
		{"cut off in the BAT", func(f *testimage.VHDXFile) { f.Data = f.Data[:f.BAT+8] }, "FileOffset of region " + testimage.VHDXBATRegion},
		{"cut off in a block", func(f *testimage.VHDXFile) { f.Data = f.Data[:f.Block[5]+mib-1] }, "BAT at byte 3145768, FileOffsetMB of block 5 = 6"},

		{"header version", func(f *testimage.VHDXFile) { f.Put16(h2+66, 2) }, "header at byte 131072, Version = 2"},
		{"log version of a dirty file", func(f *testimage.VHDXFile) { f.Put16(h2+64, 1); f.SetLogGUID(logGUID) }, "LogVersion = 1"},
		{"log of no length in a dirty file", func(f *testimage.VHDXFile) { f.Put32(h2+68, 0); f.SetLogGUID(logGUID) }, "LogLength = 0"},
		{"log length", func(f *testimage.VHDXFile) { f.Put32(h2+68, mib-4096) }, "LogLength = 1044480"},
		{"log in the header section", func(f *testimage.VHDXFile) { f.Put64(h2+72, 0) }, "LogOffset = 0"},
		{"log at no MiB", func(f *testimage.VHDXFile) { f.Put64(h2+72, mib+4096) }, "LogOffset = 1052672"},
		{"log behind the end", func(f *testimage.VHDXFile) { f.Put64(h2+72, 1<<40) }, "LogOffset = 1099511627776"},
		{"log far behind the end", func(f *testimage.VHDXFile) { f.Put64(h2+72, 1<<63) }, "LogOffset = 4611686018427387904"},
		{"log of 4 GiB", func(f *testimage.VHDXFile) { f.Put32(h2+68, 0xfff00000) }, "does not fit into the file"},
		{"log over the metadata", func(f *testimage.VHDXFile) { f.Put64(h2+72, uint64(f.Metadata)) }, "overlaps"},
		{"log over a block", func(f *testimage.VHDXFile) { f.Put64(h2+72, uint64(f.Block[1])) }, "FileOffsetMB of block 1 = 5: it overlaps the log"},

		{"regions: count", func(f *testimage.VHDXFile) { f.Put32(r1+8, 2048) }, "region table at byte 196608, EntryCount = 2048"},
		{"regions: none", func(f *testimage.VHDXFile) { f.Put32(r1+8, 0) }, "it lacks the BAT or the metadata"},
		{"regions: no BAT", func(f *testimage.VHDXFile) { at := bat(f); f.Put64(at, 1); f.Put32(at+28, 0) }, "lacks the BAT"},
		{"regions: unknown, required", func(f *testimage.VHDXFile) { f.AddRegion(unknown, f.Block[1], mib, 1) }, "unsupported VHDX: it has a region " + unknown},
		{"regions: twice", func(f *testimage.VHDXFile) { f.AddRegion(testimage.VHDXBATRegion, f.Block[1], mib, 1) }, "it is there twice"},
		{"regions: BAT in the header section", func(f *testimage.VHDXFile) { f.Put64(bat(f)+16, 0) }, "FileOffset of region 2DC27766-F623-4200-9D64-115E9BFD4A08 = 0"},
		{"regions: BAT at no MiB", func(f *testimage.VHDXFile) { f.Put64(bat(f)+16, 3*mib+512) }, "FileOffset of region 2DC27766"},
		{"regions: BAT behind the end", func(f *testimage.VHDXFile) { f.Put64(bat(f)+16, 1<<40) }, "does not fit into the file"},
		{"regions: BAT far behind the end", func(f *testimage.VHDXFile) { f.Put64(bat(f)+16, 1<<63+1<<30) }, "does not fit into the file"},
		{"regions: BAT of no length", func(f *testimage.VHDXFile) { f.Put32(bat(f)+24, 0) }, "Length of region 2DC27766-F623-4200-9D64-115E9BFD4A08 = 0"},
		{"regions: BAT of 512 bytes", func(f *testimage.VHDXFile) { f.Put32(bat(f)+24, 512) }, "Length of region 2DC27766-F623-4200-9D64-115E9BFD4A08 = 512"},
		{"regions: BAT of 4 GiB", func(f *testimage.VHDXFile) { f.Put32(bat(f)+24, 0xfff00000) }, "does not fit into the file"},
		{"regions: BAT over the metadata", func(f *testimage.VHDXFile) { f.Put64(bat(f)+16, uint64(f.Metadata)) }, "overlaps"},
		{"regions: metadata over the log", func(f *testimage.VHDXFile) { f.Put64(meta(f)+16, uint64(f.Log)) }, "overlaps"},
		{"regions: unknown over a block", func(f *testimage.VHDXFile) { f.AddRegion(unknown, f.Block[1], mib, 0) }, "it overlaps region " + unknown},

		{"metadata: signature", func(f *testimage.VHDXFile) { f.Data[f.Metadata] = 'M' }, "metadata table at byte 2097152, Signature"},
		{"metadata: count", func(f *testimage.VHDXFile) { f.Put16(f.Metadata+10, 2048) }, "EntryCount = 2048"},
		{"metadata: none", func(f *testimage.VHDXFile) { f.Put16(f.Metadata+10, 0) }, "it lacks the item " + testimage.VHDXFileParameters},
		{"metadata: no disk id", func(f *testimage.VHDXFile) { f.Put64(f.ItemEntry(testimage.VHDXDiskID)+24, 3) }, "it lacks the item " + testimage.VHDXDiskID},
		{"metadata: unknown, required", func(f *testimage.VHDXFile) { f.AddItem(unknown, 4, nil) }, "unsupported VHDX: it has a metadata item " + unknown},
		{"metadata: incomplete file", func(f *testimage.VHDXFile) { f.AddItem("71CC85F0-1B69-4E28-9558-C3BF83AE75D3", 4, nil) }, "its creation was interrupted"},
		{"metadata: twice", func(f *testimage.VHDXFile) { f.AddItem(testimage.VHDXVirtualSize, 6, make([]byte, 8)) }, "it is there twice"},
		{"metadata: length", func(f *testimage.VHDXFile) { f.Put32(f.ItemEntry(testimage.VHDXVirtualSize)+20, 4) }, "= 4: it must be 8"},
		{"metadata: length 0", func(f *testimage.VHDXFile) { f.Put32(f.ItemEntry(testimage.VHDXVirtualSize)+20, 0) }, "= 0: it must be 8"},
		{"metadata: in the table", func(f *testimage.VHDXFile) { f.Put32(f.ItemEntry(testimage.VHDXVirtualSize)+16, 64<<10-8) }, "Offset of item " + testimage.VHDXVirtualSize},
		{"metadata: over the end", func(f *testimage.VHDXFile) { f.Put32(f.ItemEntry(testimage.VHDXVirtualSize)+16, mib-4) }, "Offset of item " + testimage.VHDXVirtualSize},
		{"metadata: far away", func(f *testimage.VHDXFile) { f.Put32(f.ItemEntry(testimage.VHDXVirtualSize)+16, 1<<32-4) }, "Offset of item " + testimage.VHDXVirtualSize},
		{"metadata: long item", func(f *testimage.VHDXFile) {
			f.AddItem(testimage.VHDXParentLocator, 4, nil)
			f.Put32(f.ItemEntry(testimage.VHDXParentLocator)+20, 2*mib)
		}, "no item is longer"},

		{"block size 0", func(f *testimage.VHDXFile) { f.Put32(f.Item(testimage.VHDXFileParameters), 0) }, "metadata at byte 2162688, BlockSize = 0"},
		{"block size of 512 KiB", func(f *testimage.VHDXFile) { f.Put32(f.Item(testimage.VHDXFileParameters), mib/2) }, "BlockSize = 524288"},
		{"block size of 3 MiB", func(f *testimage.VHDXFile) { f.Put32(f.Item(testimage.VHDXFileParameters), 3*mib) }, "BlockSize = 3145728"},
		{"block size of 512 MiB", func(f *testimage.VHDXFile) { f.Put32(f.Item(testimage.VHDXFileParameters), 512*mib) }, "BlockSize = 536870912"},
		{"reserved flags", func(f *testimage.VHDXFile) { f.Put32(f.Item(testimage.VHDXFileParameters)+4, 4) }, "file parameters = 0x00000004"},
		{"disk of no size", func(f *testimage.VHDXFile) { f.Put64(f.Item(testimage.VHDXVirtualSize), 0) }, "VirtualDiskSize = 0"},
		{"disk of no whole sectors", func(f *testimage.VHDXFile) { f.Put64(f.Item(testimage.VHDXVirtualSize), 513) }, "VirtualDiskSize = 513"},
		{"disk of no whole sectors of 4096", func(f *testimage.VHDXFile) {
			f.Put64(f.Item(testimage.VHDXVirtualSize), 7*mib+512)
			f.Put32(f.Item(testimage.VHDXLogicalSector), 4096)
		}, "VirtualDiskSize = 7340544"},
		{"disk of 2^64", func(f *testimage.VHDXFile) { f.Put64(f.Item(testimage.VHDXVirtualSize), 1<<64-512) }, "VirtualDiskSize = 18446744073709551104"},
		{"logical sector", func(f *testimage.VHDXFile) { f.Put32(f.Item(testimage.VHDXLogicalSector), 1024) }, "LogicalSectorSize = 1024"},
		{"physical sector", func(f *testimage.VHDXFile) { f.Put32(f.Item(testimage.VHDXPhysicalSector), 0) }, "PhysicalSectorSize = 0"},
		{"disk too large for the BAT", func(f *testimage.VHDXFile) { f.Put64(f.Item(testimage.VHDXVirtualSize), 1<<40) }, "BAT at byte 3145728: a disk of 1099511627776 bytes"},

		{"reserved bits of an entry", func(f *testimage.VHDXFile) { f.SetEntry(2, 8) }, "entry of block 2 = 0x0000000000000008: reserved bits"},
		{"block behind the end", func(f *testimage.VHDXFile) { f.SetEntry(2, 1<<40|data) }, "FileOffsetMB of block 2 = 1048576"},
		{"block far behind the end", func(f *testimage.VHDXFile) { f.SetEntry(2, 1<<64-mib|data) }, "FileOffsetMB of block 2"},
		{"block in the header section", func(f *testimage.VHDXFile) { f.SetEntry(2, data) }, "FileOffsetMB of block 2 = 0"},
		{"block over the log", func(f *testimage.VHDXFile) { f.SetEntry(2, mib|data) }, "FileOffsetMB of block 2 = 1: it overlaps the log"},
		{"block over the metadata", func(f *testimage.VHDXFile) { f.SetEntry(2, 2*mib|data) }, "it overlaps the metadata"},
		{"block over the BAT", func(f *testimage.VHDXFile) { f.SetEntry(2, 3*mib|data) }, "it overlaps the BAT"},
		{"block over another", func(f *testimage.VHDXFile) { f.SetEntry(2, uint64(f.Block[1])|data) }, "BAT at byte 3145744, FileOffsetMB of block 2 = 5: it overlaps another block"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, runs, _ := small()
			f := v.Build(runs...)
			c.damage(f)
			if len(f.Data) >= mib {
				f.Sum()
			}
			_, err := open(f)
			prefix := "corrupt VHDX: "
			if strings.HasPrefix(c.want, "unsupported") {
				prefix = ""
			}
			if err == nil || !strings.HasPrefix(err.Error(), prefix) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// Blocks of more than 1 MiB may overlap anywhere.
func TestOverlapInsideBlock(t *testing.T) {
	v := testimage.VHDX{Size: 16 * mib, BlockSize: 4 * mib}
	for _, shift := range []int64{-1, 0, 1, 3} {
		f := v.Build(testimage.Run{Data: pattern(4*mib, 1)})
		f.Data = append(f.Data, make([]byte, 4*mib)...)
		f.SetEntry(1, uint64(f.Block[0]+shift*mib)|data)
		want := "it overlaps another block"
		if shift < 0 {
			want = "it overlaps the BAT"
		}
		if _, err := open(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d MiB behind another: %v, want %q", shift, err, want)
		}
	}
}

// What does not concern the reader, or what there is a copy of, is no reason to refuse.
func TestTolerated(t *testing.T) {
	const (
		h1, h2 = testimage.VHDXHeader1, testimage.VHDXHeader2
		r1, r2 = testimage.VHDXRegion1, testimage.VHDXRegion2
	)
	unknown := "DEADBEEF-0000-0000-0000-000000000001"
	for name, change := range map[string]func(f *testimage.VHDXFile){
		"first header damaged":               func(f *testimage.VHDXFile) { f.Data[h1+9] ^= 1 },
		"second header damaged":              func(f *testimage.VHDXFile) { f.Data[h2+9] ^= 1 },
		"second header is of another format": func(f *testimage.VHDXFile) { f.Data[h2] ^= 1; f.Put16(h2+66, 9); f.Sum() },
		"older header is of a newer version": func(f *testimage.VHDXFile) {
			f.Put16(h1+66, 9)
			f.Sum()
		},
		"first header is the current one": func(f *testimage.VHDXFile) {
			f.Put64(h1+8, 9)
			f.Put64(h2+72, 0)
			f.Sum()
		},
		"equal headers, as Disk2VHD writes them":   func(f *testimage.VHDXFile) { copy(f.Data[h1:h1+4096], f.Data[h2:]) },
		"sequence number beyond 2^63":              func(f *testimage.VHDXFile) { f.Put64(h2+8, 1<<63+1); f.Put16(h1+66, 9); f.Sum() },
		"first region table damaged":               func(f *testimage.VHDXFile) { f.Data[r1+99] ^= 1 }, // qemu and dissect only read the first
		"first region table is of another format":  func(f *testimage.VHDXFile) { f.Data[r1] ^= 1; f.Sum() },
		"second region table damaged":              func(f *testimage.VHDXFile) { f.Data[r2+99] ^= 1 },
		"second region table holds something else": func(f *testimage.VHDXFile) { f.Put32(r2+8, 0); f.Sum() },
		"no log":                             func(f *testimage.VHDXFile) { f.Put32(h2+68, 0); f.Put64(h2+72, 77); f.Sum() },
		"log version of a clean file":        func(f *testimage.VHDXFile) { f.Put16(h2+64, 1); f.Sum() },
		"garbage in the log of a clean file": func(f *testimage.VHDXFile) { copy(f.Data[f.Log:], pattern(mib, 5)) },
		"unknown region that need not be understood": func(f *testimage.VHDXFile) {
			f.Data = append(f.Data, make([]byte, mib)...)
			f.AddRegion(unknown, int64(len(f.Data))-mib, mib, 0)
			f.Sum()
		},
		"unknown item that need not be understood": func(f *testimage.VHDXFile) { f.AddItem(unknown, 0, []byte("x")) }, // dissect fails on it
		"item of a user": func(f *testimage.VHDXFile) { f.AddItem(unknown, 1, []byte("x")) },
		"item of a user with the identifier of a known one": func(f *testimage.VHDXFile) { f.AddItem(testimage.VHDXVirtualSize, 1, []byte("x")) },
		"CHS parameters":                  func(f *testimage.VHDXFile) { f.AddItem("DA02D7BC-3D3A-423C-AC88-2A36AB21479B", 4, make([]byte, 8)) },
		"garbage behind the BAT":          func(f *testimage.VHDXFile) { copy(f.Data[f.BAT+64:f.BAT+mib], pattern(mib, 6)) },
		"something behind the last block": func(f *testimage.VHDXFile) { f.Data = append(f.Data, pattern(700, 7)...) },
	} {
		t.Run(name, func(t *testing.T) {
			v, runs, disk := small()
			f := v.Build(runs...)
			change(f)
			if !bytes.Equal(readAll(t, mustOpen(t, f)), disk) {
				t.Error("the bytes differ")
			}
		})
	}
}

// Which header is the current one: the specification says the one with the larger number; of two with the same number that differ, neither is
// (openvmm takes the first, qemu refuses).
func TestHeaders(t *testing.T) {
	const h1, h2 = testimage.VHDXHeader1, testimage.VHDXHeader2
	for _, c := range []struct {
		name   string
		change func(f *testimage.VHDXFile)
		want   string
	}{
		{"both damaged", func(f *testimage.VHDXFile) { f.Data[h1+9] ^= 1; f.Data[h2+9] ^= 1 }, "neither of the two has the right signature and checksum"},
		{"the same number, and they differ", func(f *testimage.VHDXFile) { f.Put64(h1+8, 8); f.Data[h1+20] = 1; f.Sum() }, "SequenceNumber = 8: the two headers bear the same number but differ"},
		{"the larger number is in the first", func(f *testimage.VHDXFile) { f.Put64(h1+8, 9); f.Put16(h1+66, 5); f.Sum() }, "header at byte 65536, Version = 5"},
		{"the larger number is in the second", func(f *testimage.VHDXFile) { f.Put16(h1+66, 6); f.Put16(h2+66, 5); f.Sum() }, "header at byte 131072, Version = 5"},
		{"both region tables damaged", func(f *testimage.VHDXFile) {
			f.Data[testimage.VHDXRegion1+99] ^= 1
			f.Data[testimage.VHDXRegion2+99] ^= 1
		}, "region tables at byte 196608: neither of the two has the right signature and checksum"},
	} {
		v, runs, _ := small()
		f := v.Build(runs...)
		c.change(f)
		if _, err := open(f); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// A differencing image alone is refused, whatever its blocks are, with what to do; qemu reads none.
func TestDifferencing(t *testing.T) {
	v, runs, _ := small()
	for _, fixed := range []bool{false, true} { // the flag of fixed images means nothing with a parent
		v.Locator, v.Fixed = testimage.VHDXLocator("", "base.vhdx"), fixed
		_, err := open(v.Build(runs...))
		e, ok := errors.AsType[*diskimage.UnsupportedError](err)
		if !ok || e.Format != "VHDX" || e.SubFormat != "differencing" || !strings.Contains(e.Cure, "`terraform-provider-ec2 convert --to vmdk SRC.avhdx") {
			t.Errorf("%v", err)
		}
	}
}

// A dirty file with a log that is too large to be read is sound, but not read.
func TestHugeLog(t *testing.T) {
	f := testimage.VHDX{Size: mib}.Build()
	f.Put64(testimage.VHDXHeader2+72, 1<<30)
	f.SetLogGUID(logGUID)
	f.Put32(testimage.VHDXHeader2+68, 256*mib)
	f.Sum()
	if _, err := vhdx.Open(sparse{f.Data}, 1<<40); err == nil || !strings.Contains(err.Error(), "the log holds no sequence") {
		t.Errorf("%v", err)
	}
	f.Put32(testimage.VHDXHeader2+68, 257*mib)
	f.Sum()
	_, err := vhdx.Open(sparse{f.Data}, 1<<40)
	if e, ok := errors.AsType[*diskimage.UnsupportedError](err); !ok || !strings.Contains(e.Cure, "Mount-VHD") {
		t.Errorf("%v", err)
	}
	if _, err := vhdx.Open(sparse{f.Data}, 1<<62); err == nil || !strings.Contains(err.Error(), "unsupported VHDX: the file is 4611686018427387904 bytes long") {
		t.Errorf("%v", err)
	}
}

// sparse is a file that goes on with zeros.
type sparse struct{ b []byte }

func (s sparse) ReadAt(p []byte, at int64) (int, error) {
	clear(p)
	if at < int64(len(s.b)) {
		copy(p, s.b[at:])
	}
	return len(p), nil
}
