package sparse

import (
	"errors"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// worthAsking is the length from which on a write is worth one call more.
const worthAsking = 64 << 10

// room is had made in front of each write to ext4, which takes one write to a file at a time: one to blocks that are there is through in seven eighths
// of the time of one for which they must be reserved page by page. On other file systems it is the other way round: XFS takes a fifth longer.
type room struct{ wanted atomic.Bool }

func (r *room) open(f *os.File) {
	var st unix.Statfs_t
	r.wanted.Store(unix.Fstatfs(int(f.Fd()), &st) == nil && st.Type == unix.EXT4_SUPER_MAGIC)
}

// before ignores what goes wrong, since the write itself meets it, too. An inode without extents, from the days of ext3, refuses for ever.
func (r *room) before(f *os.File, off, length int64) {
	if length < worthAsking || !r.wanted.Load() {
		return
	}
	if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, off, length); errors.Is(err, unix.EOPNOTSUPP) {
		r.wanted.Store(false)
	}
}
