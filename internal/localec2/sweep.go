package localec2

import (
	"errors"
	"io/fs"
	"os"
	"regexp"
	"runtime"
)

const partialSuffix = ".partial"

// partialPath is where a task's volume grows. The name says whose lock to take before touching it.
func (s *store) partialPath(taskID string) string { return s.path(volumesDir, taskID+partialSuffix) }

var (
	partialName = regexp.MustCompile(`^(import-snap-[0-9a-f]{17})\.partial$`)
	lockName    = regexp.MustCompile(`^(import-snap-[0-9a-f]{17})\.lock$`)
	volumeName  = regexp.MustCompile(`^(snap-[0-9a-f]{17})\.raw$`)
)

// sweep clears away what killed processes left: growing volumes and lock files that no live worker holds, and volumes without a snapshot.
// Files that no process of ours names like this are left alone. It must be called with mu held and the store open.
func (s *store) sweep() error {
	growing, err := s.filesNamed(volumesDir, partialName)
	if err != nil {
		return err
	}
	locks, err := s.filesNamed(locksDir, lockName)
	if err != nil {
		return err
	}
	for _, id := range append(growing, locks...) {
		lock, err := s.lockTask(id)
		if err != nil {
			return err
		}
		if lock == nil {
			continue // someone is at work on it
		}
		s.discard(s.partialPath(id))
		lock.release()
	}
	var strays []string
	err = transact(s.db, nil, func(tx transaction) error {
		strays, err = s.strayVolumes(tx)
		return err
	})
	// Outside of the transaction, because it takes long for large files: everyone else would wait.
	for _, id := range strays {
		s.discard(s.path(volumesDir, id+volumeSuffix))
	}
	return err
}

// discard removes a file that may be gone already. What stays is taken by the next sweep.
func (s *store) discard(path string) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("cannot remove a file that is of no use", "path", path, "error", err)
	}
}

func (s *store) filesNamed(dir string, name *regexp.Regexp) (ids []string, err error) {
	entries, err := os.ReadDir(s.path(dir))
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if m := name.FindStringSubmatch(entry.Name()); m != nil {
			ids = append(ids, m[1])
		}
	}
	return ids, nil
}

// strayVolumes finds the volumes that no snapshot has. The write lock of its transaction keeps the window out in which a completing worker has
// renamed its volume and not yet committed the snapshot. What is a stray then stays one: no id is given twice, not even to the same volume.
func (s *store) strayVolumes(tx transaction) (ids []string, err error) {
	volumes, err := s.filesNamed(volumesDir, volumeName)
	if err != nil {
		return nil, err
	}
	for _, id := range volumes {
		var n int
		if err := tx.queryRow("SELECT count(*) FROM snapshots WHERE id = ?", id).Scan(&n); err != nil {
			return nil, err
		}
		if n == 0 {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// syncDir makes the names in a directory durable. Windows has no call for it.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
