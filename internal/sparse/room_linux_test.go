package sparse

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Room is made on ext4, and there only.
func TestRoom(t *testing.T) {
	dir := t.TempDir()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	f, err := Create(filepath.Join(dir, "volume.raw"), 1<<20, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.room.before(f.File, 0, worthAsking)
	if got, want := f.room.wanted.Load(), st.Type == unix.EXT4_SUPER_MAGIC; got != want {
		t.Errorf("wanted: %t, on ext4: %t", got, want)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	if f.room.wanted.Load() != (stat.Blocks*512 >= worthAsking) || stat.Size != 1<<20 {
		t.Errorf("%d blocks of a file of %d bytes", stat.Blocks, stat.Size)
	}
}
