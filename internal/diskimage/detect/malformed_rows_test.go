package detect_test

import (
	"fmt"
	"slices"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// malformed is a good image, what is wrong with it afterwards, and where a *diskimage.CorruptError says that it is. Where there is no structure, it is
// a *diskimage.UnsupportedError, with the field in its reason.
type malformed struct {
	name             string
	good             func() *sample
	damage           damage // nothing where the image was made so
	format           detect.Format
	structure, field string
}

func malformedImages() (all []malformed) {
	good := func() *sample { return nil }
	format := detect.VHD
	add := func(name string, d damage, structure, field string) {
		all = append(all, malformed{name, good, d, format, structure, field})
	}

	good = func() *sample { return sampleVHD(testimage.VHD{}) }
	footers32 := func(at int64, v uint32) damage { return both(put32("footer", at, v), put32("copy", at, v)) }
	footers64 := func(at int64, v uint64) damage { return both(put64("footer", at, v), put64("copy", at, v)) }
	add("dynamic, format version 2", footers32(12, 0x00020000), "footer", "file format version")
	for _, kind := range []uint32{0, 1, 5, 6} {
		add(fmt.Sprintf("dynamic, disk type %d", kind), footers32(60, kind), "footer", "disk type")
	}
	add("dynamic that says fixed", footers32(60, 2), "footer", "current size")
	add("dynamic of no size", footers64(48, 0), "footer", "current size")
	add("dynamic of 1000 bytes", footers64(48, 1000), "footer", "current size")
	add("dynamic above 2040 GiB", footers64(48, 2040<<30+512), "footer", "current size")
	add("dynamic of 2^63 bytes", footers64(48, 1<<63), "footer", "current size")
	add("footers: both damaged", both(flip("footer", 100), flip("copy", 100)), "footer", "checksum")
	add("footers of two sizes", put64("copy", 48, 4096), "footer", "current size")
	add("footers of two types", put32("copy", 60, 4), "footer", "disk type")
	add("footers of two disks", text("copy", 68, "X"), "footer", "unique id")
	add("footers of two headers", put64("copy", 16, 1024), "footer", "data offset")
	add("header in the footer", footers64(16, 0), "footer", "data offset")
	add("header at no sector", footers64(16, 511), "footer", "data offset")
	add("header behind the end", footers64(16, 1<<40), "footer", "data offset")
	add("header at 2^64-512", footers64(16, 1<<64-512), "footer", "data offset")
	add("header that is none", text("header", 0, "X"), "dynamic header", "cookie")
	add("header checksum", flip("header", 900), "dynamic header", "checksum")
	add("header version 2", put32("header", 24, 0x00020000), "dynamic header", "header version")
	for _, size := range []uint32{0, 256, 3000, 1<<32 - 1} {
		add(fmt.Sprintf("blocks of %d bytes", size), put32("header", 32, size), "dynamic header", "block size")
	}
	add("blocks of 2 GiB", put32("header", 32, 1<<31), "block allocation table", "entry 0")
	add("table of no entries", put32("header", 28, 0), "dynamic header", "max table entries")
	add("table of an entry too few", put32("header", 28, 19), "dynamic header", "max table entries")
	add("table of 4 billion entries", put32("header", 28, 1<<32-1), "dynamic header", "table offset")
	add("table in the footer in front", put64("header", 16, 0), "dynamic header", "table offset")
	add("table behind the end", put64("header", 16, 1<<40), "dynamic header", "table offset")
	add("table at 2^64-16", put64("header", 16, 1<<64-16), "dynamic header", "table offset")
	add("table over the header", put64("header", 16, 1535), "dynamic header", "table offset")
	add("block in the footer in front", put32("BAT", 0, 0), "block allocation table", "entry 0")
	add("block in the table", put32("BAT", 0, 3), "block allocation table", "entry 0")
	add("block behind the end", put32("BAT", 16, 1<<31), "block allocation table", "entry 4")
	add("blocks over each other", damage{do: func(s *sample) { copy(s.at("BAT", 4), s.at("BAT", 0)[:4]) }}, "block allocation table", "")
	add("last block cut off", damage{do: func(s *sample) {
		data, from := s.files[imageName], s.places["last block"]+2048
		s.files[imageName] = slices.Delete(data, int(from), len(data)-512)
		put32("BAT", 4*19, uint32(from/512-3)).do(s)
	}, unsealed: true}, "block allocation table", "entry 19")
	good = func() *sample { return sampleVHD(testimage.VHD{Fixed: true}) }
	add("fixed that says dynamic", put32("footer", 60, 3), "footer", "data offset")
	add("fixed, format version 2", put32("footer", 12, 0x00020000), "footer", "file format version")
	add("fixed with a damaged footer", flip("footer", 200), "footer", "checksum")
	add("fixed, shorter than its size", put64("footer", 48, 20*4096), "footer", "current size")
	add("fixed of 2^64-512 bytes", put64("footer", 48, 1<<64-512), "footer", "current size")
	good = func() *sample {
		s := sampleVHD(testimage.VHD{Parent: `C:\base.vhd`, ParentID: "fedcba9876543210"})
		s.files["base.vhd"] = testimage.VHD{Size: 4096, ID: "fedcba9876543210"}.Build().Data
		return s
	}
	add("differencing without its parent", missing("base.vhd"), "", `there is no "base.vhd"`)
	add("differencing from itself", text("header", 40, "0123456789abcdef"), "dynamic header", "parent unique id")

	format = detect.VHDX
	good = func() *sample { return sampleVHDX(nil, nil) }
	add("cut off in the header section", cut("log", -1), "header section", "")
	add("cut off behind it", cut("log", 0), "header", "LogOffset")
	add("cut off in the BAT", cut("BAT", 8), "region table", "FileOffset of region "+testimage.VHDXBATRegion)
	add("cut off in a block", cut("block 1", 1<<20-1), "BAT", "FileOffsetMB of block 1")
	add("headers: both damaged", both(flip("header", 9), flip("older header", 9)), "headers", "")
	add("headers that differ", both(put64("older header", 8, 8), text("older header", 20, "x")), "headers", "SequenceNumber")
	add("header version", put16("header", 66, 2), "header", "Version")
	add("log of no whole MiB", put32("header", 68, 1<<20-4096), "header", "LogLength")
	add("log of 4 GiB", put32("header", 68, 0xfff00000), "header", "LogOffset")
	for _, at := range []uint64{0, 1<<20 + 4096, 1 << 40, 1 << 63} {
		add(fmt.Sprintf("log at %d", at), put64("header", 72, at), "header", "LogOffset")
	}
	add("log over the metadata", put64("header", 72, 2<<20), "region table", "")
	add("regions: both tables damaged", both(flip("regions", 99), flip("second regions", 99)), "region tables", "")
	add("regions: 2048", put32("regions", 8, 2048), "region table", "EntryCount")
	add("regions: none", put32("regions", 8, 0), "region table", "")
	add("regions: one that must be understood", both(put32("regions", 8, 3), put32("regions", 16+64+28, 1)), "", "it has a region 00000000")
	add("regions: BAT in the header section", put64("BAT region", 16, 0), "region table", "FileOffset of region "+testimage.VHDXBATRegion)
	add("regions: BAT at no MiB", put64("BAT region", 16, 3<<20+512), "region table", "FileOffset of region "+testimage.VHDXBATRegion)
	add("regions: BAT behind the end", put64("BAT region", 16, 1<<40), "region table", "FileOffset of region "+testimage.VHDXBATRegion)
	add("regions: BAT of no length", put32("BAT region", 24, 0), "region table", "Length of region "+testimage.VHDXBATRegion)
	add("regions: BAT over the metadata", put64("BAT region", 16, 2<<20), "region table", "")
	add("metadata: signature", text("metadata", 0, "M"), "metadata table", "Signature")
	add("metadata: 2048 items", put16("metadata", 10, 2048), "metadata table", "EntryCount")
	add("metadata: no items", put16("metadata", 10, 0), "metadata table", "")
	add("metadata: no disk id", put32("disk id entry", 24, 3), "metadata table", "")
	add("metadata: one that must be understood", both(text("disk id entry", 0, "\xff"), put32("disk id entry", 24, 4)), "", "it has a metadata item BECA12FF")
	add("metadata: size of 4 bytes", put32("size entry", 20, 4), "metadata table", "Length of item "+testimage.VHDXVirtualSize)
	add("metadata: size in the table", put32("size entry", 16, 64<<10-8), "metadata table", "Offset of item "+testimage.VHDXVirtualSize)
	add("metadata: size far away", put32("size entry", 16, 1<<32-4), "metadata table", "Offset of item "+testimage.VHDXVirtualSize)
	for _, size := range []uint32{0, 512 << 10, 3 << 20, 512 << 20} {
		add(fmt.Sprintf("blocks of %d bytes", size), put32("parameters", 0, size), "metadata", "BlockSize")
	}
	add("reserved flags", put32("parameters", 4, 4), "metadata", "file parameters")
	for _, size := range []uint64{0, 513, 1<<64 - 512} {
		add(fmt.Sprintf("disk of %d bytes", size), put64("size", 0, size), "metadata", "VirtualDiskSize")
	}
	add("sectors of 1024 bytes", put32("logical sector", 0, 1024), "metadata", "LogicalSectorSize")
	add("physical sectors of none", put32("physical sector", 0, 0), "metadata", "PhysicalSectorSize")
	add("disk too large for its BAT", put64("size", 0, 1<<40), "BAT", "")
	add("reserved bits of an entry", put64("BAT", 16, 8), "BAT", "entry of block 2")
	add("block of state 4", put64("BAT", 16, 4), "BAT", "state of block 2")
	add("block in the header section", put64("BAT", 16, 6), "BAT", "FileOffsetMB of block 2")
	add("block over the log", put64("BAT", 16, 1<<20|6), "BAT", "FileOffsetMB of block 2")
	add("block over the BAT", put64("BAT", 16, 3<<20|6), "BAT", "FileOffsetMB of block 2")
	add("block over another", put64("BAT", 16, 5<<20|6), "BAT", "FileOffsetMB of block 2")
	add("block behind the end", put64("BAT", 16, 1<<60|6), "BAT", "FileOffsetMB of block 2")
	for _, c := range []struct {
		name, structure, field string
		change                 func(f *testimage.VHDXFile, e *testimage.VHDXLogEntry)
	}{
		{"dirty, log version 1", "header", "LogVersion", func(f *testimage.VHDXFile, _ *testimage.VHDXLogEntry) { f.Put16(testimage.VHDXHeader2+64, 1) }},
		{"dirty, no log", "header", "LogLength", func(f *testimage.VHDXFile, _ *testimage.VHDXLogEntry) { f.Put32(testimage.VHDXHeader2+68, 0) }},
		{"dirty, log of another use", "log", "", func(_ *testimage.VHDXFile, e *testimage.VHDXLogEntry) { e.GUID = testimage.VHDXDiskID }},
		{"dirty, shorter than the log says", "log entry", "FlushedFileOffset", func(_ *testimage.VHDXFile, e *testimage.VHDXLogEntry) { e.Flushed += 1 << 20; e.Last += 1 << 20 }},
		{"dirty, write into the header", "log entry", "FileOffset", func(f *testimage.VHDXFile, e *testimage.VHDXLogEntry) { e.Writes = append(e.Writes, f.Page(0)) }},
		{"dirty, zeros of 2^63", "log entry", "FileOffset", func(f *testimage.VHDXFile, e *testimage.VHDXLogEntry) {
			e.Writes = append(e.Writes, testimage.VHDXWrite{Offset: uint64(f.BAT), Zero: 1 << 63})
		}},
	} {
		good = func() *sample { return sampleVHDX(nil, dirtyLog(c.change)) }
		add(c.name, damage{}, c.structure, c.field)
	}
	good = func() *sample {
		s := sampleVHDX(testimage.VHDXLocator("", `.\base.vhdx`), nil)
		s.files["base.vhdx"] = testimage.VHDX{Size: 1 << 20}.Build().Data
		return s
	}
	add("differencing without its parent", missing("base.vhdx"), "", `there is no "base.vhdx"`)

	format = detect.VMDK
	good = func() *sample {
		return sampleVMDK(testimage.VMDK{Layout: testimage.GDPatched}, testimage.VMDK.Build)
	}
	add("stream, version 0", put32("header", 4, 0), "header", "version")
	add("stream, version 4", put32("header", 4, 4), "header", "version")
	add("stream, unknown flag", put32("header", 8, 0x70005), "", "unknown incompatible flags 0x00040000")
	add("stream, markers without compression", put32("header", 8, 0x20005), "header", "flags")
	add("stream, compression without markers", put32("header", 8, 0x10005), "", "no markers")
	add("stream, compression 2", put16("header", 77, 2), "header", "compressAlgorithm")
	add("stream, text-mode transfer", text("header", 73, "\n \n\n"), "header", "newline test")
	add("stream of no sectors", put64("header", 12, 0), "header", "capacity")
	for _, sectors := range []uint64{64<<40/512 + 1, 1 << 63} {
		add(fmt.Sprintf("stream of %d sectors", sectors), put64("header", 12, sectors), "", "more than 64 TiB")
	}
	add("stream, capacity beyond the directory", put64("header", 12, 1<<35), "header", "gdOffset")
	for _, sectors := range []uint64{0, 4, 96} {
		add(fmt.Sprintf("stream, grains of %d sectors", sectors), put64("header", 20, sectors), "header", "grainSize")
	}
	for _, sectors := range []uint64{8192, 1 << 63} {
		add(fmt.Sprintf("stream, grains of %d sectors", sectors), put64("header", 20, sectors), "", "sectors large")
	}
	for _, entries := range []uint32{0, 513, 1<<32 - 1} {
		add(fmt.Sprintf("stream, %d entries per table", entries), put32("header", 44, entries), "header", "numGTEsPerGT")
	}
	add("stream, overHead", put64("header", 64, 1<<20), "header", "overHead")
	for _, at := range []uint64{0, 1 << 30, 1<<55 + 3} {
		add(fmt.Sprintf("stream, directory at sector %d", at), put64("header", 56, at), "header", "gdOffset")
	}
	add("stream, descriptor behind the end", put64("header", 28, 1<<40), "header", "descriptorOffset")
	add("stream, GTE 1 without its flag", put32("header", 8, 0x30001), "grain table", "entry of grain 3")
	add("stream, table behind the end", put32("GD", 0, 1<<30), "grain directory", "entry 0")
	add("stream, grain behind the end", put32("GT", 0, 1<<20), "grain table", "entry of grain 0")
	add("stream, grain in the header", put32("GT", 0, 0x2), "grain table", "entry of grain 0")
	add("stream, grain of another sector", put64("grain 1", 0, 0), "header of grain 1", "LBA")
	add("stream, grain of no bytes", put32("grain 0", 8, 0), "header of grain 0", "compressed size")
	add("stream, grain of 4 GiB", put32("grain 0", 8, 1<<32-1), "header of grain 0", "compressed size")
	add("stream, grain cut off", put32("grain 0", 8, 1000), "compressed grain 0", "")
	add("stream, zlib header", text("grain 0", 12, "\xff"), "compressed grain 0", "")
	add("stream, deflate data", text("grain 0", 12+2, "\xff\xff\xff\xff"), "compressed grain 0", "")
	add("stream, grain that is too long", text("grain 0", 0, "\x00\x00\x00\x00\x00\x00\x00\x00"+packed(64<<10+1)), "compressed grain 0", "uncompressed length")
	add("stream, grain of 16 MiB", text("grain 0", 0, "\x00\x00\x00\x00\x00\x00\x00\x00"+packed(16<<20)), "compressed grain 0", "uncompressed length")
	add("stream, grain that is too short", text("grain 0", 0, "\x00\x00\x00\x00\x00\x00\x00\x00"+packed(64<<10-512)), "compressed grain 0", "uncompressed length")
	good = func() *sample { return sampleVMDK(testimage.VMDK{}, testimage.VMDK.Build) }
	add("stream, no footer", text("footer", 0, "X"), "footer", "")
	add("stream, cut off before the footer", cut("footer", 0), "footer", "")
	add("stream, footer of another capacity", put64("footer", 12, 5000), "footer", "capacity")
	add("stream, footer of another grain", put64("footer", 20, 64), "footer", "grainSize")
	add("stream, footer that points to itself", put64("footer", 56, 1<<64-1), "footer", "gdOffset")
	good = func() *sample {
		return sampleVMDK(testimage.VMDK{Redundant: true}, testimage.VMDK.BuildSparse)
	}
	add("sparse, compression without its flag", put16("header", 77, 1), "header", "compressAlgorithm")
	add("sparse, directory at the end", put64("header", 56, 1<<64-1), "header", "gdOffset")
	add("sparse, redundant directory behind the end", put64("header", 48, 1<<40), "header", "rgdOffset")
	add("sparse, table of the directory lost", put32("GD", 0, 0), "grain directory", "entry 0")
	add("sparse, grain lost", put32("GT", 0, 0), "grain table", "entry of grain 0")
	add("sparse, last grain cut off", cut("last grain", 3583), "grain table", "entry of grain 39")
	add("sparse, grain in the tables", damage{do: func(s *sample) { put32("GT", 0, uint32(s.places["GT"]/512)).do(s) }}, "grain table", "entry of grain 0")
	good = func() *sample {
		s := sampleVMDK(testimage.VMDK{Descriptor: "parentCID=12345678\nparentFileNameHint=\"base.vmdk\"\nRW 4999 SPARSE \"x\""}, testimage.VMDK.BuildSparse)
		s.files["base.vmdk"] = testimage.VMDK{Size: 1 << 20}.BuildSparse().Data
		return s
	}
	add("delta without its parent", missing("base.vmdk"), "", `"base.vmdk", is not there`)
	good = func() *sample {
		return sampleVMDK(testimage.VMDK{Descriptor: "parentCID=12345678\nparentFileNameHint=\"/vmfs/..\"\nRW 4999 SPARSE \"x\""}, testimage.VMDK.BuildSparse)
	}
	add("delta of a directory", damage{}, "descriptor", "parentFileNameHint")
	good = sampleFlat
	add("extent that is missing", missing("b"), "", `"b", is not there`)
	for _, name := range []string{"/etc/shadow", "../shadow", `..\shadow`, "a/../../shadow", `C:\shadow`, `\\host\share\shadow`, "file:///etc/shadow"} {
		add("extent outside: "+name, lines(`RW 8 FLAT "`+name+`" 0`), "", `, "shadow", is not there`)
	}
	for _, name := range []string{"..", "sub/..", "/vmfs/", "a\x1b[2J"} {
		add("extent of no file: "+name, lines(`RW 8 FLAT "`+name+`" 0`), "descriptor", "extent")
	}
	add("extent longer than its file", lines(`RW 17 FLAT "a" 0`), "", `in its extent "a": 17 sectors from sector 0 on do not fit`)
	add("extent at 2^55 sectors", lines(`RW 1 FLAT "a" 36028797018963967`), "", "do not fit")
	add("two extents of the same bytes", lines(`RW 8 FLAT "a" 0`, `RW 8 FLAT "a" 7`), "descriptor", "extent")
	add("extent of nothing", lines(`RW 0 FLAT "a" 0`), "descriptor", "extent sectors")
	add("extent of 2^64 sectors", lines("RW 18446744073709551615 ZERO", `RW 8 FLAT "a" 0`), "", "more than 64 TiB")
	add("4097 extents", lines(slices.Repeat([]string{"RW 8 ZERO"}, 4097)...), "", "more than 4096 extents")
	add("no extents", lines(), "descriptor", "extents")
	add("line that is none", lines(`RW x FLAT "a" 0`), "descriptor", "line")
	add("extent on a device", lines(`RW 8 VMFSRDM "a"`), "", "on a device")
	return all
}

// packed is a compressed grain of zeros, of which the sector is left out.
func packed(n int) string { return string(testimage.PackGrain(0, make([]byte, n))[8:]) }
