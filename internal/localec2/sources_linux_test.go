package localec2

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/sparse"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// TestFileCannotBeRead: EIO of a file of a bucket that is a directory, as a bad disk gives it, ends the task, and nothing is left of the volume.
func TestFileCannotBeRead(t *testing.T) {
	t.Parallel()
	// The memory of a process gives EIO where it has none, and none has any in its first 64 KiB (vm.mmap_min_addr).
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	h := newHost(t, nil)
	image := testimage.VMDK{Size: 8 << 20}.Build(testimage.Run{Offset: 1 << 20, Data: pattern(2<<10, 1)}).Data
	if n, err := memory.ReadAt(image[:1], int64(len(image))); n > 0 || err == nil {
		t.Fatalf("memory at %d can be read", len(image))
	}
	h.put(t, "disk.img", image)
	var once sync.Once
	h.workers.create = func(path string, size int64) (volumeFile, error) {
		once.Do(func() {
			if err := replaceOpened(filepath.Join(h.bucket, "disk.img"), memory); err != nil {
				t.Error(err)
			}
		})
		return sparse.Create(path, size, 0o600)
	}
	h.wantGone(t, h.importKey(t, "disk.img"), "/bucket/disk.img: input/output error]")
}

// replaceOpened puts a file in the place of another that this process has open.
func replaceOpened(path string, by *os.File) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	const descriptors = "/proc/self/fd"
	entries, err := os.ReadDir(descriptors)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(descriptors, e.Name())); err != nil || target != path {
			continue
		}
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			return err
		}
		return syscall.Dup3(int(by.Fd()), fd, syscall.O_CLOEXEC)
	}
	return fmt.Errorf("%s is not open", path)
}
