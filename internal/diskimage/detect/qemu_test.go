package detect_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
)

// shortRuns is how many layouts are tried where EC2_LAYOUT_RUNS says no other number.
const shortRuns = 60

// TestLayouts holds images of all kinds that are read here against the disks that were put into them, and against qemu-img: an image that testimage
// builds is read and converted here, and by qemu-img, whose output, raw or in a format that it writes, is read here again. All must be that disk. So
// the builders are no fiction of the readers', and no reader one of the builders'. Where qemu-img is wrong, or reads nothing, the layout says so, and
// whom it follows.
//
//	EC2_LAYOUT_RUNS  how many layouts; each costs a run of qemu-img, or two for a log to be replayed, of about 20 ms
//	EC2_LAYOUT_SEED  repeats the layouts of an earlier run
func TestLayouts(t *testing.T) {
	qemu, noQEMU := exec.LookPath("qemu-img")
	runs := layoutSetting(t, "EC2_LAYOUT_RUNS", shortRuns)
	seed := layoutSetting(t, "EC2_LAYOUT_SEED", rand.Uint64()>>32)
	t.Logf("EC2_LAYOUT_SEED=%d repeats these layouts", seed)
	for n := range runs {
		t.Run(strconv.FormatUint(n, 10), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, n))
			l := layoutKinds[n%uint64(len(layoutKinds))](r)
			to := anyTarget(r)
			dir := t.TempDir()
			seen := make([]byte, len(l.disk)+maxGeometryTail)
			checkOurs(t, dir, r, l, seen)
			if noQEMU == nil && l.authority == "" {
				compareWithQEMU(t, qemu, dir, r, l, to, seen)
			}
			if t.Failed() {
				t.Logf("EC2_LAYOUT_SEED=%d, layout %d: %s %s of %d bytes, %s; then %s", seed, n, l.format, l.subFormat, len(l.disk), l.about, strings.Join(to.options, " "))
			}
		})
	}
	if noQEMU != nil {
		t.Skip("no qemu-img: the layouts are compared with what was put into them only; it comes with qemu-utils")
	}
}

func layoutSetting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// checkOurs reads and converts the image here. Its files are in dir afterwards.
func checkOurs(t *testing.T, dir string, r *rand.Rand, l layout, seen []byte) {
	t.Helper()
	for name, data := range l.files {
		if err := writeSparse(filepath.Join(dir, name), data); err != nil {
			t.Fatal(err)
		}
	}
	image := l.files[imageName]
	img, err := detect.OpenBeside(bytes.NewReader(image), int64(len(image)), l.files.open)
	if err != nil {
		t.Errorf("ours: %v", err)
		return
	}
	defer img.Close()
	if img.Format != l.format || img.SubFormat != l.subFormat {
		t.Errorf("ours is a %s %s", img.Format, img.SubFormat)
	}
	checkDisk(t, "ours", r, img, l.disk, seen)
	converted := make(buffer, len(l.disk))
	if _, err := convert.Copy(t.Context(), converted, img, convert.Options{}); err != nil {
		t.Errorf("convert: %v", err)
	} else if !bytes.Equal(converted, l.disk) {
		t.Errorf("what is converted is not the disk, from byte %d on", firstDifference(converted, l.disk))
	}
}

// buffer is written at its offsets, beyond its end by none.
type buffer []byte

func (b buffer) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(b)) || copy(b[off:], p) < len(p) {
		return 0, fmt.Errorf("%d bytes at %d, of %d", len(p), off, len(b))
	}
	return len(p), nil
}

func (f files) open(name string) (diskimage.File, error) {
	data, ok := f[name]
	if !ok {
		return nil, fmt.Errorf("%q: %w", name, fs.ErrNotExist)
	}
	return openedFile{bytes.NewReader(data)}, nil
}

type openedFile struct{ *bytes.Reader }

func (openedFile) Close() error { return nil }

// compareWithQEMU lets qemu-img convert the image in dir.
func compareWithQEMU(t *testing.T, qemu, dir string, r *rand.Rand, l layout, to target, seen []byte) {
	t.Helper()
	run := func(args ...string) bool {
		out, err := exec.CommandContext(t.Context(), qemu, args...).CombinedOutput()
		if err != nil {
			t.Errorf("qemu-img %s: %v: %s", strings.Join(args, " "), err, out)
		}
		return err == nil
	}
	image, other := filepath.Join(dir, imageName), filepath.Join(dir, "other")
	if l.dirty && !run("check", "-q", "-r", "all", "-f", "vhdx", image) {
		return
	}
	args := append([]string{"convert", "-t", "unsafe"}, to.options...)
	for _, o := range l.qemu {
		args = append(args, strings.ReplaceAll(o, "IMAGE", image))
	}
	if !run(append(args, other)...) {
		return
	}
	f, err := os.Open(other)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	back, err := detect.Open(f, info.Size(), to.declared)
	if err != nil {
		t.Errorf("qemu-img's: %v", err)
		return
	}
	if back.Format != to.format || back.SubFormat != to.subFormat {
		t.Errorf("qemu-img's is a %s %s", back.Format, back.SubFormat)
	}
	disk := l.disk
	if to.geometry {
		// The footer holds the geometry's size, rounded up, as the current size too: the disk grows by some zeros.
		size, err := geometrySize(f, info.Size())
		if err != nil || size < int64(len(disk)) || size > int64(len(disk))+maxGeometryTail {
			t.Errorf("qemu-img wrote a geometry of %d bytes for %d, %v", size, len(disk), err)
			return
		}
		disk = append(disk, make([]byte, size-int64(len(disk)))...)
	}
	checkDisk(t, "qemu-img's", r, back, disk, seen)
}

// writeSparse leaves zeros out: most of a small VHDX is.
func writeSparse(name string, data []byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	zeros := make([]byte, 16<<10)
	for at := 0; at < len(data) && err == nil; at += len(zeros) {
		if b := data[at:min(len(data), at+len(zeros))]; !bytes.Equal(b, zeros[:len(b)]) {
			_, err = f.WriteAt(b, int64(at))
		}
	}
	return errors.Join(err, f.Truncate(int64(len(data))), f.Close())
}

// maxGeometryTail is what qemu-img adds at most to a small disk: less than a cylinder.
const maxGeometryTail = 17 * 16 * 512

// geometrySize is cylinders * heads * sectors of the footer at the end.
func geometrySize(f io.ReaderAt, size int64) (int64, error) {
	b := make([]byte, 4)
	_, err := f.ReadAt(b, size-512+56)
	return (int64(b[0])<<8 | int64(b[1])) * int64(b[2]) * int64(b[3]) * 512, err
}

// target is an image that qemu-img writes.
type target struct {
	options   []string
	format    detect.Format
	subFormat string
	geometry  bool
	declared  string // what a raw disk holds may look like anything
}

func anyTarget(r *rand.Rand) target {
	onOff := func() string { return oneOf(r, "on", "off") }
	var o []string
	if chance(r, 3) {
		o = append(o, "-S", oneOf(r, "0", "64k")) // zeros are written too, or in smaller or larger runs left out
	}
	outOfOrder := func() {
		if chance(r, 2) {
			o = append(o, "-W", "-m", "8") // blocks come as they are read: fragments
		}
	}
	switch r.IntN(10) {
	case 7, 8, 9:
		outOfOrder()
		return target{append(o, "-O", "raw"), detect.RAW, "", false, "RAW"}
	case 0, 1:
		outOfOrder()
		sub, force := oneOf(r, "dynamic", "fixed"), onOff()
		return target{append(o, "-O", "vpc", "-o", "subformat="+sub+",force_size="+force), detect.VHD, sub, force == "off", ""}
	case 2, 3:
		outOfOrder()
		// With block_state_zero=off and a dynamic disk, zeros that are written are left out: qemu-img warns of it, and it is no matter for a new file.
		sub := oneOf(r, "dynamic", "fixed")
		return target{append(o, "-O", "vhdx", "-o", fmt.Sprintf("subformat=%s,block_size=%dM,log_size=%dM,block_state_zero=%s",
			sub, oneOf(r, 1, 1, 2), oneOf(r, 1, 1, 3), onOff())), detect.VHDX, sub, false, ""}
	case 4, 5:
		outOfOrder()
		return target{append(o, "-O", "vmdk", "-o", fmt.Sprintf("subformat=monolithicSparse,zeroed_grain=%s,compat6=%s,adapter_type=%s",
			onOff(), onOff(), oneOf(r, "ide", "lsilogic"))), detect.VMDK, "monolithicSparse", false, ""}
	default:
		return target{append(o, "-O", "vmdk", "-o", "subformat=streamOptimized"), detect.VMDK, "streamOptimized", false, ""}
	}
}

// checkDisk reads the disk as a whole by its extents, and a part of it from any place on, into seen.
func checkDisk(t *testing.T, whose string, r *rand.Rand, img *detect.Image, disk, seen []byte) {
	t.Helper()
	if img.Size() != int64(len(disk)) {
		t.Errorf("%s has %d bytes, want %d", whose, img.Size(), len(disk))
		return
	}
	seen = seen[:len(disk)]
	clear(seen)
	end := int64(0)
	for e, err := range img.Extents() {
		if err != nil {
			t.Errorf("%s: %v", whose, err)
			return
		}
		if e.Length <= 0 || e.Offset < end || e.End() > img.Size() {
			t.Errorf("%s: extent %+v after %d", whose, e, end)
			return
		}
		end = e.End()
		if n, err := img.ReadAt(seen[e.Offset:e.End()], e.Offset); int64(n) != e.Length || err != nil {
			t.Errorf("%s: %+v: %d, %v", whose, e, n, err)
			return
		}
		if e.Zero && len(bytes.Trim(seen[e.Offset:e.End()], "\x00")) > 0 {
			t.Errorf("%s: explicit zeros %+v read as something else", whose, e)
		}
	}
	if !bytes.Equal(seen, disk) {
		t.Errorf("%s: what the extents hold is not the disk, from byte %d on", whose, firstDifference(seen, disk))
	}
	at := r.IntN(len(disk))
	b := seen[:1+r.IntN(min(len(disk)-at, 200<<10))]
	copy(b, bytes.Repeat([]byte{0xaa}, 4096))
	if n, err := img.ReadAt(b, int64(at)); n != len(b) || err != nil || !bytes.Equal(b, disk[at:at+n]) {
		t.Errorf("%s: ReadAt(%d bytes, %d) = %d, %v, or other bytes", whose, len(b), at, n, err)
	}
}

func firstDifference(a, b []byte) int {
	for k := range a {
		if a[k] != b[k] {
			return k
		}
	}
	return len(a)
}
