package detect_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// changes are what a disk of size bytes has that its parent has not: runs of whole units, and the disk that they make of the parent's. Behind the
// parent there are zeros. A unit that is changed in part has the rest from the parent, as writers copy it.
func changes(r *rand.Rand, parent []byte, size, unit int64, zeros bool) (runs []testimage.Run, disk []byte) {
	disk = make([]byte, size)
	copy(disk, parent)
	if chance(r, 15) {
		return nil, disk
	}
	longest := max(1, (64<<10)/unit)
	for at := r.Int64N(longest) * unit; at < size && len(runs) < 40; at += r.Int64N(longest) * unit {
		n := min(size-at, (1+r.Int64N(longest))*unit)
		if zeros && chance(r, 3) {
			clear(disk[at : at+n])
			runs = append(runs, testimage.Run{Offset: at, Zero: n})
		} else {
			in := r.Int64N(n)
			fill(r, disk[at+in:at+in+1+r.Int64N(n-in)])
			runs = append(runs, testimage.Run{Offset: at, Data: bytes.Clone(disk[at : at+n])})
		}
		at += n
	}
	return runs, disk
}

// differencingVHD is a chain of two to four disks, whose sizes and block sizes differ.
func differencingVHD(r *rand.Rand) layout {
	l := layout{
		files: files{}, format: detect.VHD, subFormat: "differencing",
		authority: "the VHD specification, as VirtualBox (VHD.cpp), libvhdi and 7-Zip read it: for qemu-img what is in the parent is zeros",
	}
	depth := 2 + r.IntN(3)
	for k := range depth {
		v := testimage.VHD{
			ID: fmt.Sprintf("disk %11d", k), BlockSize: oneOf[int64](r, 512, 4<<10, 64<<10, 2<<20), Gap: oneOf[int64](r, 0, 0, 3), ShortFooter: chance(r, 8), ShortLast: chance(r, 4),
		}
		name := fmt.Sprintf("disk %d.vhd", k)
		if k == depth-1 {
			name = imageName
		}
		if k == 0 {
			v.Fixed = chance(r, 3)
		} else {
			parent := fmt.Sprintf("disk %d.vhd", k-1)
			v.ParentID, v.Parent = fmt.Sprintf("disk %11d", k-1), `C:\VMs\`+parent
			if chance(r, 2) {
				v.Relative = `.\` + parent
			}
		}
		v.Size = diskSize(r, v.BlockSize, 512<<10)
		if !v.Fixed {
			v.Order = shuffled(r, (v.Size+v.BlockSize-1)/v.BlockSize)
		}
		l.tell(v)
		var runs []testimage.Run
		if k == 0 {
			runs, l.disk = content(r, v.Size, 64<<10)
		} else {
			runs, l.disk = changes(r, l.disk[:min(v.Size, int64(len(l.disk)))], v.Size, 512, true)
		}
		l.files[name] = v.Build(runs...).Data
	}
	return l
}

// differencingVHDX is a disk with a parent, or with two.
func differencingVHDX(r *rand.Rand) layout {
	l := layout{
		files: files{}, format: detect.VHDX, subFormat: "differencing",
		authority: "[MS-VHDX] 2.5.1.1 and 2.6.2.6, as openvmm reads it: qemu-img supports no parent",
	}
	ids := []string{"11111111-0000-0000-0000-000000000000", "22222222-0000-0000-0000-000000000000", "33333333-0000-0000-0000-000000000000"}
	names := []string{"base.vhdx", "child.avhdx", imageName}
	first, sector := r.IntN(2), oneOf[int64](r, 512, 512, 4096)
	for k := first; k < len(names); k++ {
		v := testimage.VHDX{ID: ids[k], BlockSize: oneOf[int64](r, 1<<20, 1<<20, 2<<20), LogicalSector: sector}
		v.Size = (diskSize(r, 1<<20, 2<<20) + sector - 1) / sector * sector
		v.Order = shuffled(r, (v.Size+v.BlockSize-1)/v.BlockSize)
		var runs []testimage.Run
		if k == first {
			v.Fixed = chance(r, 3)
			runs, l.disk = content(r, v.Size, oneOf[int64](r, 20<<10, 1<<20))
		} else {
			v.Locator = testimage.VHDXLocator(ids[k-1], `.\`+names[k-1])
			runs, l.disk = changes(r, l.disk[:min(v.Size, int64(len(l.disk)))], v.Size, sector, true)
		}
		l.tell(v)
		l.files[names[k]] = v.Build(runs...).Data
	}
	return l
}

// described makes the image the descriptor of a disk.
func (l *layout) described(d testimage.Descriptor) {
	l.format, l.files[imageName] = detect.VMDK, []byte(d.String())
	l.about += strings.Join(d.Extents, ", ")
}

// flatVMDK is a disk as it is, in one file or several, or in several parts of one.
func flatVMDK(r *rand.Rand) layout {
	l := layout{files: files{}, qemu: []string{"-f", "vmdk", "IMAGE"}, subFormat: oneOf(r, "monolithicFlat", "twoGbMaxExtentFlat", "vmfs")}
	d := testimage.Descriptor{CreateType: l.subFormat}
	parts := 1
	if l.subFormat == "twoGbMaxExtentFlat" {
		parts += r.IntN(4)
	}
	for k := range parts {
		size := diskSize(r, 64<<10, 512<<10)
		_, disk := content(r, size, 64<<10)
		l.disk = append(l.disk, disk...)
		name := fmt.Sprintf("disk-f%03d.vmdk", k+1)
		switch {
		case l.subFormat == "vmfs":
			d.Extents = append(d.Extents, fmt.Sprintf("RW %d VMFS %q", size/512, name))
			l.files[name] = disk
		case k > 0 && chance(r, 3): // behind the one before, in its file
			name = fmt.Sprintf("disk-f%03d.vmdk", k)
			if l.files[name] == nil {
				name = "disk-f001.vmdk"
			}
			d.Extents = append(d.Extents, fmt.Sprintf("RW %d FLAT %q %d", size/512, name, len(l.files[name])/512))
			l.files[name] = append(l.files[name], disk...)
		default:
			before := oneOf(r, 0, 0, r.IntN(100))
			d.Extents = append(d.Extents, fmt.Sprintf("RW %d FLAT %q %d", size/512, name, before))
			l.files[name] = append(make([]byte, 512*before), disk...)
		}
	}
	l.described(d)
	return l
}

// splitVMDK is a disk in several sparse files. All but the last are of whole grains, as all writers make them, or of any size.
func splitVMDK(r *rand.Rand) layout {
	l := layout{files: files{}, qemu: []string{"-f", "vmdk", "IMAGE"}, subFormat: "twoGbMaxExtentSparse"}
	if chance(r, 4) {
		l.authority = "the sectors of the descriptor's lines: where an extent ends inside a grain, qemu-img reads on in that grain instead of the next extent"
	}
	l.split(r, make([]byte, diskSize(r, 64<<10, 2<<20)), testimage.Descriptor{CreateType: l.subFormat, CID: "12345678"})
	return l
}

// split makes sparse extents of a disk that has changes to what parent holds.
func (l *layout) split(r *rand.Rand, parent []byte, d testimage.Descriptor) {
	l.disk = nil
	for len(parent) > 0 {
		v := anyVMDK(r)
		grain := v.GrainSectors * 512
		v.Descriptor = oneOf(r, "-", "\x00")
		if l.authority == "" {
			v.Size = (v.Size + grain - 1) / grain * grain
		}
		v.Size = min(int64(len(parent)), v.Size)
		v.Order = shuffled(r, (v.Size+grain-1)/grain)
		runs, disk := changes(r, parent[:v.Size], v.Size, grain, true)
		parent, l.disk = parent[v.Size:], append(l.disk, disk...)
		name := fmt.Sprintf("%s-s%03d.vmdk", d.CID, len(d.Extents)+1)
		d.Extents = append(d.Extents, fmt.Sprintf("RW %d SPARSE %q", v.Size/512, name))
		l.files[name] = v.BuildSparse(runs...).Data
		v.Descriptor = ""
		l.tell(v)
	}
	l.described(d)
}

// tell adds what an image was built from to what is said of the layout.
func (l *layout) tell(v any) {
	if text := fmt.Sprintf("%+v", v); len(text) > 300 {
		l.about += text[:300] + "... "
	} else {
		l.about += text + " "
	}
}

// deltaVMDK is a disk that is a delta of another, or of a delta of it.
func deltaVMDK(r *rand.Rand) layout {
	l := layout{files: files{}, qemu: []string{"-f", "vmdk", "IMAGE"}}
	size := diskSize(r, 64<<10, 1<<20)
	hosted := chance(r, 2) // Workstation's disks; ESX's otherwise
	runs, disk := content(r, size, 64<<10)
	if hosted {
		v := anyVMDK(r)
		v.Size = size
		l.files["base.vmdk"] = v.BuildSparse(runs...).Data
	} else {
		l.files["base.vmdk"] = []byte(testimage.Descriptor{CreateType: "vmfs", CID: "12345678", Extents: []string{fmt.Sprintf(`RW %d VMFS "base-flat.vmdk"`, size/512)}}.String())
		l.files["base-flat.vmdk"] = disk
	}
	l.disk = disk
	parent, parentCID := "base.vmdk", "12345678"
	for k := range 1 + r.IntN(2) {
		if k > 0 {
			l.files["delta.vmdk"] = l.files[imageName]
			parent, parentCID = "delta.vmdk", "a0000000"
		}
		d := testimage.Descriptor{CID: fmt.Sprintf("a000000%d", k), ParentCID: parentCID, ParentHint: parent}
		name := d.CID + "-delta.vmdk"
		v := testimage.VMDK{Size: size}
		switch kind := r.IntN(2); {
		case hosted && kind == 0:
			v = anyVMDK(r)
			v.Size = size
			d.CreateType, d.Extents = "monolithicSparse", []string{fmt.Sprintf("RW %d SPARSE %q", size/512, imageName)}
			v.Descriptor = d.String()
			v.Order = shuffled(r, (size+v.GrainSectors*512-1)/(v.GrainSectors*512))
			runs, l.disk = changes(r, l.disk, size, v.GrainSectors*512, true)
			l.files[imageName] = v.BuildSparse(runs...).Data
			l.format = detect.VMDK
		case hosted:
			d.CreateType = "twoGbMaxExtentSparse"
			l.split(r, l.disk, d)
		case kind == 0:
			v.GrainSectors = oneOf[int64](r, 1, 1, 8, 128)
			v.Order = shuffled(r, (size+v.GrainSectors*512-1)/(v.GrainSectors*512))
			d.CreateType, d.Extents = "vmfsSparse", []string{fmt.Sprintf("RW %d VMFSSPARSE %q", size/512, name)}
			runs, l.disk = changes(r, l.disk, size, v.GrainSectors*512, false)
			l.files[name] = v.BuildCOWD(runs...).Data
			l.described(d)
		default:
			v.Order = shuffled(r, (size+4095)/4096)
			d.CreateType, d.Extents = "seSparse", []string{fmt.Sprintf("RW %d SESPARSE %q", size/512, name)}
			runs, l.disk = changes(r, l.disk, size, 4096, true)
			l.files[name] = v.BuildSESparse(runs...).Data
			l.described(d)
		}
		l.subFormat = d.CreateType + " delta"
		v.Descriptor = ""
		l.tell(v)
	}
	return l
}

// mixedVMDK has extents of all kinds, of any length, with those that are zeros, are read only or may not be read.
func mixedVMDK(r *rand.Rand) layout {
	l := layout{
		files: files{}, subFormat: "twoGbMaxExtentSparse",
		authority: "the words of the Virtual Disk Format 5.0: qemu-img passes over what is not RW, and over ZERO, and so shifts the disk",
	}
	d := testimage.Descriptor{CreateType: l.subFormat}
	for k := range 2 + r.IntN(6) {
		name, access := fmt.Sprintf("part %d.vmdk", k), oneOf(r, "RW", "RW", "RDONLY")
		size := diskSize(r, 64<<10, 256<<10)
		runs, disk := content(r, size, 32<<10)
		switch r.IntN(4) {
		case 0:
			clear(disk)
			d.Extents = append(d.Extents, fmt.Sprintf("%s %d ZERO", access, size/512))
		case 1:
			l.files[name] = bytes.Clone(disk)
			clear(disk)
			d.Extents = append(d.Extents, fmt.Sprintf("NOACCESS %d FLAT %q 0", size/512, name))
		case 2:
			v := anyVMDK(r)
			v.Size = size
			if chance(r, 2) {
				l.files[name] = v.Build(runs...).Data
			} else {
				l.files[name] = v.BuildSparse(runs...).Data
			}
			d.Extents = append(d.Extents, fmt.Sprintf("%s %d SPARSE %q", access, size/512, name))
		default:
			l.files[name] = bytes.Clone(disk)
			d.Extents = append(d.Extents, fmt.Sprintf("%s %d FLAT %q 0", access, size/512, name))
		}
		l.disk = append(l.disk, disk...)
	}
	l.described(d)
	return l
}
