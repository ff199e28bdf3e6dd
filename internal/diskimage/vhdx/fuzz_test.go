package vhdx_test

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vhdx"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// change is bytes put at a place of a file, as the fuzzer has them.
func change(at int64, b ...byte) []byte {
	return append([]byte{byte(at), byte(at >> 8), byte(at >> 16), byte(len(b))}, b...)
}

// changed is an image with changes. The checksums are made right again or not: the fuzzer would hardly get past them by itself.
func changed(f *testimage.VHDXFile, sums bool, changes []byte) *testimage.VHDXFile {
	f = &testimage.VHDXFile{Data: slices.Clone(f.Data), Log: mib, LogSize: mib}
	for len(changes) > 4 {
		at := int64(changes[0]) | int64(changes[1])<<8 | int64(changes[2])<<16
		n := min(int(changes[3]), len(changes)-4)
		copy(f.Data[at%int64(len(f.Data)):], changes[4:4+n])
		changes = changes[4+n:]
	}
	if sums {
		f.Sum()
		f.SumLog()
	}
	return f
}

// hold checks what holds of any image: the reader ends, stays inside the disk, keeps its promises about extents, and its errors have a type.
func hold(t *testing.T, img *vhdx.Image, err error) {
	if err != nil {
		typed(t, err)
		return
	}
	end, seen := int64(0), 0
	for e, err := range img.Extents() {
		if err != nil {
			t.Fatalf("the BAT was checked, but %v", err)
		}
		if e.Length <= 0 || e.Offset < end || e.End() > img.Size() {
			t.Fatalf("extent %+v after %d in a disk of %d bytes", e, end, img.Size())
		}
		end = e.End()
		if seen++; seen > 16 {
			break
		}
		b := make([]byte, min(e.Length, 64<<10))
		if n, err := img.ReadAt(b, e.Offset); err != nil || n != len(b) {
			t.Fatalf("ReadAt: %d of %d bytes, %v", n, len(b), err)
		}
		if e.Zero && len(bytes.Trim(b, "\x00")) > 0 {
			t.Fatalf("explicit zeros %+v read as something else", e)
		}
	}
}

func typed(t *testing.T, err error) {
	t.Helper()
	_, corrupt := errors.AsType[*diskimage.CorruptError](err)
	_, unsupported := errors.AsType[*diskimage.UnsupportedError](err)
	if !corrupt && !unsupported {
		t.Fatalf("error of type %T: %v", err, err)
	}
}

// FuzzOpen changes images in a few places: headers, region tables, metadata, BAT, log.
func FuzzOpen(f *testing.F) {
	v, runs, _ := small()
	clean := v.Build(runs...)
	wrapped, _ := dirty(f)
	bases := []*testimage.VHDXFile{clean, wrapped, testimage.VHDX{Size: 3 * mib, Fixed: true, LogicalSector: 4096}.Build()}
	f.Add(uint8(0), true, []byte{})
	f.Add(uint8(1), true, []byte{})
	f.Add(uint8(2), false, []byte{})
	f.Add(uint8(0), true, change(clean.Entry(2), 6, 0, 16))
	f.Add(uint8(0), true, change(clean.Item(testimage.VHDXVirtualSize), 0, 2, 0, 0, 0, 0, 0, 0))
	f.Add(uint8(0), true, change(clean.Region(testimage.VHDXBATRegion)+16, 0, 0, 32))
	f.Add(uint8(0), true, change(clean.ItemEntry(testimage.VHDXFileParameters)+16, 0, 0, 1, 0))
	f.Add(uint8(0), true, change(clean.Item(testimage.VHDXFileParameters)+4, 2))
	f.Add(uint8(1), true, change(wrapped.Log+wrapped.LogSize-8192+8, 0, 16))
	f.Add(uint8(1), true, change(wrapped.Log+wrapped.LogSize-8192+64, []byte("zero")...))
	f.Add(uint8(1), true, change(testimage.VHDXHeader2+68, 0, 0, 32))
	f.Fuzz(func(t *testing.T, base uint8, sums bool, changes []byte) {
		img, err := open(changed(bases[int(base)%len(bases)], sums, changes))
		hold(t, img, err)
	})
}

// FuzzChain changes the files of a chain of three, of which the last has to be replayed. No file stays open.
func FuzzChain(f *testing.F) {
	c := conformChain("", 512, 2)
	file := func(name string) *testimage.VHDXFile { return &testimage.VHDXFile{Data: c.files[name]} }
	child, middle, base := file("disk.vhdx"), file("1.vhdx"), file("0.vhdx")
	const metadata, bat = 2 * mib, 3 * mib
	child.Metadata = metadata
	locator := child.Item(testimage.VHDXParentLocator)
	f.Add(true, []byte{}, []byte{}, []byte{})
	f.Add(true, change(bat, 7), []byte{}, []byte{})
	f.Add(true, change(bat, 0), change(bat, 1), change(bat, 2))
	f.Add(true, change(locator+18, 1), []byte{}, []byte{})
	f.Add(true, change(locator+20, 0, 1, 0, 0, 0, 1, 0, 0, 28, 0, 4, 0), []byte{}, []byte{})
	f.Add(true, []byte{}, change(locator+44+28+76+26, '2'), []byte{})
	f.Add(true, []byte{}, []byte{}, change(testimage.VHDXHeader2+48, 0))
	f.Add(false, []byte{}, []byte{}, change(testimage.VHDXHeader2+40, 1))
	f.Add(true, change(bat+8*4096, 6, 0, 0x40), []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, sums bool, one, two, three []byte) {
		d := &directory{files: map[string][]byte{"1.vhdx": changed(middle, sums, two).Data, "0.vhdx": changed(base, sums, three).Data}}
		first := changed(child, sums, one)
		d.files["2.vhdx"] = first.Data
		img, err := openBeside(first, d)
		hold(t, img, err)
		if img != nil {
			err = img.Close()
		}
		if d.open != 0 {
			t.Fatalf("%d files are open; %v", d.open, err)
		}
	})
}

// FuzzLocator makes the whole parent locator. Whatever it is, a name that leaves the directory is not asked for.
func FuzzLocator(f *testing.F) {
	for _, pairs := range [][][2]string{
		testimage.VHDXLocator("", `.\base.vhdx`),
		testimage.VHDXLocator("", `..\sub\base.vhdx`),
		append(testimage.VHDXLocator("", `C:\a\..\b.vhdx`), [2]string{"parent_linkage2", "{}"}, [2]string{"volume_path", `\\?\Volume{}\v.vhdx`}),
		{{"absolute_win32_path", `C:\base.vhdx`}},
		testimage.VHDXLocator("", `.\at 10:30.vhdx`),
	} {
		f.Add(testimage.VHDXLocatorItem(pairs))
	}
	f.Add(testimage.VHDXLocatorItem(nil))
	base := testimage.VHDX{Size: mib}.Build(testimage.Run{Data: pattern(512, 1)})
	child := testimage.VHDX{Size: mib, Locator: [][2]string{}}.Build()
	f.Fuzz(func(t *testing.T, item []byte) {
		item = item[:min(len(item), 64<<10)]
		file := &testimage.VHDXFile{Data: slices.Clone(child.Data), Metadata: child.Metadata}
		at := file.Item(testimage.VHDXParentLocator)
		copy(file.Data[at:], item)
		file.Put32(file.ItemEntry(testimage.VHDXParentLocator)+20, uint32(len(item)))
		d := &directory{}
		img, err := vhdx.OpenBeside(bytes.NewReader(file.Data), int64(len(file.Data)), func(name string) (diskimage.File, error) {
			if !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00") {
				t.Fatalf("%q was asked for", name)
			}
			d.files = map[string][]byte{name: base.Data}
			return d.opener(name)
		})
		hold(t, img, err)
	})
}
