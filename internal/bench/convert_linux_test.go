package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

const convertRuns = 5 // of each program, in turns; their median counts

// kinds are the images that are converted, and how qemu-img makes and reads them.
var kinds = []struct {
	name   string
	format string // as qemu-img calls it
	create []string
}{
	{"VMDK streamOptimized", "vmdk", []string{"-o", "subformat=streamOptimized"}},
	{"VMDK monolithicSparse", "vmdk", []string{"-o", "subformat=monolithicSparse"}},
	{"VMDK monolithicFlat", "vmdk", []string{"-o", "subformat=monolithicFlat"}},
	{"VMDK twoGbMaxExtentSparse", "vmdk", []string{"-o", "subformat=twoGbMaxExtentSparse"}},
	{"VMDK twoGbMaxExtentFlat", "vmdk", []string{"-o", "subformat=twoGbMaxExtentFlat"}},
	{"VHD dynamic", "vpc", []string{"-o", "subformat=dynamic,force_size=on"}},
	{"VHD fixed", "vpc", []string{"-o", "subformat=fixed,force_size=on"}},
	{"VHDX dynamic", "vhdx", []string{"-o", "subformat=dynamic"}},
	{"VHDX fixed", "vhdx", []string{"-o", "subformat=fixed"}},
	{"RAW", "raw", nil},
}

// TestConvert compares conversions with those of qemu-img on the same images in the same run: to a sparse volume, in qemu-img's default setting and
// in its fastest, and to what VM Import takes.
func TestConvert(t *testing.T) {
	c := newComparison(t)
	disk := filepath.Join(c.dir, "disk.raw")
	data := writeDisk(t, disk)
	t.Logf("%d MiB of files of this machine in a disk of %d MiB; %s", data>>20, diskSize>>20, c.machine())

	rows := [][]string{{"image", "ours s", "qemu s", "ratio", "-m16 -W s", "ratio", "our CPU s", "qemu's", "-m16 -W", "our RSS"}}
	for _, k := range kinds {
		dir := filepath.Join(c.dir, "image") // of one or several files
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		src := filepath.Join(dir, "image."+k.format)
		c.qemu(append(append([]string{"convert", "-f", "raw", "-O", k.format}, k.create...), disk, src)...)
		dst := filepath.Join(c.dir, "copy.raw")
		got := c.inTurns(dst, func(t *testing.T) { sameContent(t, disk, dst) },
			[]string{c.binary, "convert", src, dst},
			[]string{c.peer, "convert", "-f", k.format, "-O", "raw", src, dst},
			[]string{c.peer, "convert", "-f", k.format, "-O", "raw", "-m", "16", "-W", src, dst})
		ours, plain, fast := got[0], got[1], got[2]
		rows = append(rows, []string{
			k.name, seconds(ours.wall), seconds(plain.wall), ratio(ours.wall, plain.wall), seconds(fast.wall), ratio(ours.wall, fast.wall),
			seconds(ours.cpu), seconds(plain.cpu), seconds(fast.cpu), mib(ours.memory),
		})
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("\n%s", table(rows))

	dst := filepath.Join(c.dir, "copy.vmdk")
	var sizes []int64
	got := c.inTurns(dst, func(t *testing.T) {
		sizes = append(sizes, fileSize(t, dst))
		back := filepath.Join(c.dir, "back.raw")
		c.qemu("convert", "-O", "raw", dst, back)
		sameContent(t, disk, back)
		remove(t, back)
	}, []string{c.binary, "convert", "--to", "vmdk", disk, dst},
		[]string{c.peer, "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", disk, dst})
	ours, plain := got[0], got[1]
	t.Logf("\n%s", table([][]string{
		{"to VMDK streamOptimized", "ours s", "qemu s", "ratio", "our CPU s", "qemu's", "our MiB", "qemu's", "ratio", "our RSS"},
		{
			"RAW", seconds(ours.wall), seconds(plain.wall), ratio(ours.wall, plain.wall), seconds(ours.cpu), seconds(plain.cpu),
			mib(sizes[0]), mib(sizes[1]), fmt.Sprintf("%.3f", float64(sizes[0])/float64(sizes[1])), mib(ours.memory),
		},
	}))
	if float64(sizes[0]) > 1.05*float64(sizes[1]) {
		t.Errorf("the file is %.3f times as large as qemu-img's", float64(sizes[0])/float64(sizes[1]))
	}
}

// TestConvertLarge converts disks of 15 TiB that hold next to nothing: time must follow what is stored.
func TestConvertLarge(t *testing.T) {
	c := newComparison(t)
	disk := filepath.Join(c.dir, "disk.raw")
	f, err := os.Create(disk)
	if err != nil {
		t.Fatal(err)
	}
	const size, pieces = 15 << 40, 16
	piece := bytes.Repeat([]byte("not zero"), 64<<10/8)
	err = f.Truncate(size)
	for k := range int64(pieces) {
		_, werr := f.WriteAt(piece, k*(size-int64(len(piece)))/(pieces-1)&^4095)
		err = errors.Join(err, werr)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatalf("a disk of 15 TiB needs a file system that can hold it, such as XFS, or ext4 with blocks of 4 KiB: %v", err)
	}

	rows := [][]string{{"15 TiB with 1 MiB of data", "ours s", "our CPU s", "our RSS", "qemu s"}}
	for _, k := range []struct {
		name, format string
		create       []string
	}{
		{"RAW with holes", "raw", nil},
		{"VMDK streamOptimized", "vmdk", []string{c.binary, "convert", "--to", "vmdk"}},
		{"VMDK monolithicSparse", "vmdk", []string{c.peer, "convert", "-f", "raw", "-O", "vmdk"}},
		{"VHDX dynamic", "vhdx", []string{c.peer, "convert", "-f", "raw", "-O", "vhdx"}},
	} {
		src, dst := disk, filepath.Join(c.dir, "copy.raw")
		if k.create != nil {
			src = filepath.Join(c.dir, "image."+k.format)
			c.run(append(k.create, disk, src))
		}
		got := c.inTurns(dst, func(t *testing.T) { sameContent(t, disk, dst) }, []string{c.binary, "convert", src, dst})
		if got[0].memory > 64<<20 {
			t.Errorf("%s: %s MiB of memory", k.name, mib(got[0].memory))
		}
		rows = append(rows, []string{
			k.name, seconds(got[0].wall), seconds(got[0].cpu), mib(got[0].memory), c.patiently([]string{c.peer, "convert", "-f", k.format, "-O", "raw", src, dst}),
		})
		remove(t, dst)
		if src != disk {
			remove(t, src)
		}
	}
	t.Logf("%s\n%s", c.machine(), table(rows))
}

// comparison is the two programs, and a directory for what they write.
type comparison struct {
	*testing.T
	binary, peer, dir string
}

func newComparison(t *testing.T) *comparison {
	t.Helper()
	measured(t)
	peer, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Skip("there is no qemu-img to compare with (Debian: qemu-utils)")
	}
	return &comparison{T: t, binary: acctest.Binary(t), peer: peer, dir: t.TempDir()}
}

func (c *comparison) machine() string {
	version, _, _ := strings.Cut(c.qemu("--version"), "\n")
	return fmt.Sprintf("%d cores, %s, %s; medians of %d", runtime.NumCPU(), runtime.Version(), version, convertRuns)
}

func (c *comparison) qemu(args ...string) string {
	c.Helper()
	return c.run(append([]string{c.peer}, args...))
}

func (c *comparison) run(command []string) string {
	c.Helper()
	printed, err := exec.CommandContext(c.Context(), command[0], command[1:]...).CombinedOutput()
	if err != nil {
		c.Fatalf("%s: %v\n%s", command, err, printed)
	}
	return string(printed)
}

// inTurns runs each command once unmeasured, which warms the page cache and shows whether what it leaves at dst is right, and then all in turns.
func (c *comparison) inTurns(dst string, check func(*testing.T), commands ...[]string) []cost {
	c.Helper()
	for _, command := range commands {
		c.run(command)
		check(c.T)
		remove(c.T, dst)
	}
	all := make([][]cost, len(commands))
	for range convertRuns {
		for k, command := range commands {
			all[k] = append(all[k], c.measure(command))
			remove(c.T, dst)
		}
	}
	medians := make([]cost, len(commands))
	for k := range all {
		medians[k] = median(all[k])
	}
	return medians
}

// measure runs one command. The high-water mark of memory that the kernel reports of it begins with that of this process, which started it, and which
// is made small first.
func (c *comparison) measure(command []string) cost {
	c.Helper()
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		c.Fatal(err)
	}
	cmd := exec.CommandContext(c.Context(), command[0], command[1:]...)
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	began := time.Now()
	err := cmd.Run()
	wall := time.Since(began)
	if err != nil {
		c.Fatalf("%s: %v\n%s", command, err, &printed)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return cost{wall: wall, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), memory: usage.Maxrss << 10}
}

// patience is how long a program is watched that may take hours.
const patience = 20 * time.Second

// patiently is how long a command takes, once.
func (c *comparison) patiently(command []string) string {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	began := time.Now()
	printed, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return fmt.Sprintf("> %.0f", patience.Seconds())
	case err != nil:
		c.Fatalf("%s: %v\n%s", command, err, printed)
	}
	return seconds(time.Since(began))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

func ratio(a, b time.Duration) string { return fmt.Sprintf("%.2f", a.Seconds()/b.Seconds()) }

func table(rows [][]string) string {
	var b strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&b, "%-26s", row[0])
		for _, cell := range row[1:] {
			fmt.Fprintf(&b, " %9s", cell)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
