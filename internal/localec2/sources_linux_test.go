package localec2

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/sparse"
)

// TestFileCannotBeRead: a file of a bucket that is a directory, and that the system can't read any more, as on a bad disk, ends the task with what the
// system says, and nothing is left of the volume.
func TestFileCannotBeRead(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.put(t, "disk.img", pattern(1<<20, 1))
	path := filepath.Join(h.bucket, "disk.img")
	unreadable, err := os.OpenFile(path, os.O_WRONLY, 0) // the same file: all but reading it works
	if err != nil {
		t.Fatal(err)
	}
	defer unreadable.Close()
	h.workers.create = func(volume string, size int64) (volumeFile, error) {
		if err := replaceOpened(path, unreadable); err != nil {
			t.Error(err)
		}
		return sparse.Create(volume, size, 0o600)
	}
	h.wantGone(t, h.importKey(t, "disk.img"), "ClientError: Disk validation failed [s3://images/disk.img: read "+path+": "+syscall.EBADF.Error()+"]")
}

// replaceOpened puts a file in the place of one that this process has open.
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
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			return err
		}
		if target, err := os.Readlink(filepath.Join(descriptors, e.Name())); err != nil || target != path || fd == int(by.Fd()) {
			continue
		}
		return syscall.Dup3(int(by.Fd()), fd, syscall.O_CLOEXEC)
	}
	return fmt.Errorf("%s is not open", path)
}
