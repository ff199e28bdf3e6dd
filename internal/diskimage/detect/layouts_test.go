package detect_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// layout is an image that was made here, the disk that is in it, and how qemu-img has to be asked for that disk.
type layout struct {
	about     string
	files     files // the image, and what lies beside it
	disk      []byte
	format    detect.Format
	subFormat string
	qemu      []string // the options in front of the name of the image; "IMAGE" in them is that name
	authority string   // whom we follow, where qemu-img is wrong or cannot read it, which it then is not asked to
	dirty     bool     // qemu-img must replay the log before it reads the image
}

// files are the files of an image by name.
type files map[string][]byte

// imageName is the name of the image itself.
const imageName = "image"

func alone(data []byte) files { return files{imageName: data} }

// layoutKinds are dealt out in turn. The cheap ones come twice: the smallest VHDX is of some megabytes.
var layoutKinds = []func(*rand.Rand) layout{
	dynamicVHD, fixedVHD, dynamicVHDX, sparseVMDK, streamVMDK, flatVMDK, differencingVHD, splitVMDK, fixedVHDX, deltaVMDK, dynamicVHD, writtenVMDK, dirtyVHDX,
	sparseVMDK, streamVMDK, differencingVHDX, mixedVMDK, deltaVMDK, largeSectorVHDX,
}

func oneOf[T any](r *rand.Rand, choices ...T) T { return choices[r.IntN(len(choices))] }

func chance(r *rand.Rand, in int) bool { return r.IntN(in) == 0 }

// diskSize is a multiple of 512 of any other relation to unit, or just around a multiple of that.
func diskSize(r *rand.Rand, unit, limit int64) int64 {
	if chance(r, 3) {
		return max(512, (1+r.Int64N(max(1, limit/unit)))*unit+oneOf(r, int64(-512), 0, 512))
	}
	return 512 * (1 + r.Int64N(limit/512))
}

// content is runs of bytes, of bytes that are zero, and of what the image is to call zeros, with holes between; they are aligned to nothing.
func content(r *rand.Rand, size, longest int64) (runs []testimage.Run, disk []byte) {
	disk = make([]byte, size)
	if chance(r, 20) {
		return nil, disk
	}
	for at := r.Int64N(size); at < size && len(runs) < 40; {
		n := 1 + r.Int64N(min(size-at, longest))
		if chance(r, 3) {
			n = min(size-at, (n+511)/512*512)
		}
		if chance(r, 4) {
			runs = append(runs, testimage.Run{Offset: at, Zero: n})
		} else {
			b := disk[at : at+n]
			fill(r, b)
			runs = append(runs, testimage.Run{Offset: at, Data: bytes.Clone(b)})
		}
		at += n
		if !chance(r, 4) {
			at += r.Int64N(longest)
		}
	}
	return runs, disk
}

// fill writes noise, text that can be compressed, or zeros.
func fill(r *rand.Rand, b []byte) {
	switch r.IntN(4) {
	case 0:
	case 1:
		copy(b, bytes.Repeat(fmt.Appendf(nil, "%d ", r.IntN(1000)), len(b)/2+1))
	default:
		for k := range b {
			b[k] = byte(r.Uint32())
		}
	}
}

// shuffled is an order of count blocks: nil for the ascending one, any one, or a descending one.
func shuffled(r *rand.Rand, count int64) []int64 {
	order := make([]int64, count)
	for k := range order {
		order[k] = int64(k)
	}
	switch r.IntN(3) {
	case 0:
		return nil
	case 1:
		slices.Reverse(order)
	default:
		r.Shuffle(len(order), func(a, b int) { order[a], order[b] = order[b], order[a] })
	}
	return order
}

// The size of a VHD is the current size in its footer. Left to itself, qemu-img takes the geometry instead for all creators but a few, and loses the
// end of the disk or, with the geometry that testimage writes, all of it but a sector: here it is told to take the current size, or the creator is
// one of those few. It is always told that the image is a VHD, because it takes one without a footer in front for RAW.
//
// Two sound layouts are left to the tests of the vhd package, because qemu-img does not read them: blocks of less than 4 KiB, for which it counts
// no bitmap, and a last block that ends with the disk, which it calls truncated.
func vhdOptions(r *rand.Rand, v *testimage.VHD) []string {
	if v.Creator = oneOf(r, "win ", "qem2", "d2v ", "tap\x00", "vpc ", "vbox", "qemu", "\x00\x00\x00\x00"); slices.Contains([]string{"win ", "qem2", "d2v ", "tap\x00"}, v.Creator) {
		return []string{"-f", "vpc", "IMAGE"}
	}
	return []string{"--image-opts", "driver=vpc,force_size_calc=current_size,file.filename=IMAGE"}
}

func dynamicVHD(r *rand.Rand) layout {
	v := testimage.VHD{
		BlockSize: oneOf[int64](r, 4<<10, 8<<10, 64<<10, 512<<10, 2<<20), Slack: oneOf[int64](r, 0, 0, 1, 700), Gap: oneOf[int64](r, 0, 0, 1, 9), ShortFooter: chance(r, 8),
	}
	v.Size = diskSize(r, v.BlockSize, 1<<20)
	v.Order = shuffled(r, (v.Size+v.BlockSize-1)/v.BlockSize)
	l := layout{qemu: vhdOptions(r, &v), format: detect.VHD, subFormat: "dynamic"}
	l.about = fmt.Sprintf("%+v", v)
	runs, disk := content(r, v.Size, 64<<10)
	l.files, l.disk = alone(v.Build(runs...).Data), disk
	return l
}

func fixedVHD(r *rand.Rand) layout {
	v := testimage.VHD{Fixed: true, Size: diskSize(r, 1<<20, 1<<20), ShortFooter: chance(r, 4)}
	l := layout{qemu: vhdOptions(r, &v), format: detect.VHD, subFormat: "fixed"}
	l.about = fmt.Sprintf("%+v", v)
	runs, disk := content(r, v.Size, 64<<10)
	l.files, l.disk = alone(v.Build(runs...).Data), disk
	return l
}

func anyVHDX(r *rand.Rand, fixed bool) (*testimage.VHDXFile, layout) {
	v := testimage.VHDX{Fixed: fixed, BlockSize: oneOf[int64](r, 1<<20, 1<<20, 1<<20, 2<<20, 4<<20), LogSize: oneOf[int64](r, 1<<20, 1<<20, 1<<20, 3<<20)}
	v.Size = diskSize(r, min(v.BlockSize, 2<<20), 3<<20)
	v.Order = shuffled(r, (v.Size+v.BlockSize-1)/v.BlockSize)
	l := layout{qemu: []string{"-f", "vhdx", "IMAGE"}, format: detect.VHDX, subFormat: "dynamic", about: fmt.Sprintf("%+v", v)}
	if fixed {
		l.subFormat = "fixed"
	}
	runs, disk := content(r, v.Size, oneOf[int64](r, 20<<10, 1<<20))
	f := v.Build(runs...)
	l.files, l.disk = alone(f.Data), disk
	return f, l
}

func dynamicVHDX(r *rand.Rand) layout {
	_, l := anyVHDX(r, false)
	return l
}

func fixedVHDX(r *rand.Rand) layout {
	_, l := anyVHDX(r, true)
	return l
}

// largeSectorVHDX has logical sectors of 4096 bytes.
func largeSectorVHDX(r *rand.Rand) layout {
	v := testimage.VHDX{Fixed: chance(r, 4), BlockSize: oneOf[int64](r, 1<<20, 1<<20, 2<<20, 8<<20), LogicalSector: 4096}
	v.Size = (diskSize(r, 1<<20, 3<<20) + 4095) / 4096 * 4096
	v.Order = shuffled(r, (v.Size+v.BlockSize-1)/v.BlockSize)
	l := layout{
		format: detect.VHDX, subFormat: "dynamic", about: fmt.Sprintf("%+v", v),
		authority: "[MS-VHDX] 2.6.2.4, as openvmm, libvhdi and 7-Zip read it: qemu-img knows only sectors of 512 bytes",
	}
	if v.Fixed {
		l.subFormat = "fixed"
	}
	runs, disk := content(r, v.Size, oneOf[int64](r, 20<<10, 1<<20))
	l.files, l.disk = alone(v.Build(runs...).Data), disk
	return l
}

// dirtyVHDX was not closed cleanly: pages of its tables and blocks are only in the log, and garbage is in their places. Entries of an older use of
// the log may be there too. qemu-img ranks sequences by their first entries and ignores the tail, and so loses writes of a log that wraps; and it
// overlooks a sequence that begins where an older one ends. Only logs that it reads as the specification says are made here, the others are left to
// the tests of the vhdx package.
func dirtyVHDX(r *rand.Rand) layout {
	const guid, foreign = "3D05A4E5-1A3C-4A71-9A51-6BB7B3DB7A11", "11111111-2222-3333-4444-555555555555"
	f, l := anyVHDX(r, chance(r, 3))
	f.SetLogGUID(guid)
	whole := int64(len(f.Data))
	targets := []int64{testimage.VHDXRegion1, testimage.VHDXRegion2 + 4096, f.Metadata, f.Metadata + 64<<10, f.BAT}
	for _, at := range f.Block {
		for range 6 {
			targets = append(targets, at+r.Int64N(256)*4096)
		}
	}
	slices.Sort(targets)
	targets = slices.Compact(targets)
	r.Shuffle(len(targets), func(a, b int) { targets[a], targets[b] = targets[b], targets[a] })
	targets = targets[:1+r.IntN(len(targets))]

	sequence := 1 + r.Uint64N(1<<40)
	start := r.Int64N(20) * 4096
	at := start
	if chance(r, 2) { // an older sequence, in front of the active one, or of another use of the log
		old := testimage.VHDXLogEntry{
			GUID: oneOf(r, guid, foreign), Sequence: max(2, sequence) - 1 - r.Uint64N(max(1, sequence/2)), Tail: 0, Flushed: whole, Last: whole,
			Writes: []testimage.VHDXWrite{{Offset: uint64(f.BAT), Page: bytes.Repeat([]byte{0xee}, 4096)}},
		}
		if old.Sequence+1 < sequence {
			start = f.WriteLog(0, old.Bytes())
			start += (1 + r.Int64N(20)) * 4096
			at = start
		}
	}
	for len(targets) > 0 {
		n := 1 + r.IntN(len(targets))
		e := testimage.VHDXLogEntry{GUID: guid, Sequence: sequence, Tail: start, Flushed: whole, Last: whole}
		for _, to := range targets[:n] {
			w := f.Page(to)
			if bytes.Equal(w.Page, make([]byte, 4096)) {
				w = testimage.VHDXWrite{Offset: uint64(to), Zero: 4096}
			}
			if chance(r, 5) { // written twice: the later one counts
				e.Writes = append(e.Writes, testimage.VHDXWrite{Offset: uint64(to), Page: bytes.Repeat([]byte{0xdd}, 4096)})
			}
			e.Writes = append(e.Writes, w)
			copy(f.Data[to:], bytes.Repeat([]byte{0xcc}, 4096)) // torn
		}
		at = f.WriteLog(at, e.Bytes())
		targets, sequence = targets[n:], sequence+1
	}
	if chance(r, 2) { // an entry that was torn itself
		torn := testimage.VHDXLogEntry{GUID: guid, Sequence: sequence, Tail: start, Flushed: whole, Last: whole, Writes: []testimage.VHDXWrite{f.Page(f.BAT)}}.Bytes()
		f.WriteLog(at, torn[:4096])
	}
	l.dirty = true
	return l
}

func anyVMDK(r *rand.Rand) testimage.VMDK {
	v := testimage.VMDK{
		GrainSectors: oneOf[int64](r, 8, 16, 128, 128, 2048), GTEs: oneOf[int64](r, 1, 7, 16, 512, 512), ShortLast: chance(r, 2), Layout: oneOf(r, testimage.Layouts...),
		Redundant: chance(r, 2),
	}
	v.Size = diskSize(r, v.GrainSectors*512, 1<<20)
	return v
}

func sparseVMDK(r *rand.Rand) layout {
	v := anyVMDK(r)
	v.Order = shuffled(r, (v.Size+v.GrainSectors*512-1)/(v.GrainSectors*512))
	l := layout{qemu: []string{"-f", "vmdk", "IMAGE"}, format: detect.VMDK, subFormat: "monolithicSparse", about: fmt.Sprintf("%+v", v)}
	runs, disk := content(r, v.Size, 64<<10)
	l.files, l.disk = alone(v.BuildSparse(runs...).Data), disk
	return l
}

func streamVMDK(r *rand.Rand) layout {
	v := anyVMDK(r)
	l := layout{qemu: []string{"-f", "vmdk", "IMAGE"}, format: detect.VMDK, subFormat: "streamOptimized", about: fmt.Sprintf("%+v", v)}
	runs, disk := content(r, v.Size, 64<<10)
	l.files, l.disk = alone(v.Build(runs...).Data), disk
	return l
}

// writtenVMDK is what our own writer makes of a disk of any length.
func writtenVMDK(r *rand.Rand) layout {
	size := diskSize(r, 64<<10, 1<<20) - oneOf(r, 0, 0, r.Int64N(512))
	runs, disk := content(r, size, 64<<10)
	img := inMemory{bytes.NewReader(disk), nil}
	for _, run := range runs {
		img.extents = append(img.extents, diskimage.Extent{Offset: run.Offset, Length: max(run.Zero, int64(len(run.Data))), Zero: run.Zero > 0})
	}
	var file bytes.Buffer
	if err := convert.Stream(context.Background(), vmdk.NewWriter(&file), img, convert.Options{}); err != nil {
		panic(err)
	}
	return layout{
		qemu: []string{"-f", "vmdk", "IMAGE"}, format: detect.VMDK, subFormat: "streamOptimized", about: fmt.Sprintf("written here, %d bytes", size),
		files: alone(file.Bytes()), disk: append(disk, make([]byte, (512-size%512)%512)...),
	}
}

// inMemory is a disk with a map of extents.
type inMemory struct {
	*bytes.Reader

	extents []diskimage.Extent
}

func (m inMemory) Extents() iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		for _, e := range m.extents {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (m inMemory) Close() error { return nil }
