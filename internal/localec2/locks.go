package localec2

import (
	"fmt"
	"os"

	"github.com/gofrs/flock"
)

const lockSuffix = ".lock"

// taskLock says that a live worker has the task. The operating system lets go of it when the process dies, so a dead worker's task is free at
// once, and nothing has to be guessed from ages or process ids.
type taskLock struct{ file *flock.Flock }

// lockTask takes the lock of a task, or returns nil where a live worker holds it.
func (s *store) lockTask(id string) (*taskLock, error) {
	path := s.path(locksDir, id+lockSuffix)
	for range 100 {
		l := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o644))
		locked, err := l.TryLock()
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !locked {
			return nil, l.Close()
		}
		// The holder before us removes the file as it lets go. Then ours is a lock on a file that no one else will ever open: try again.
		held, herr := l.Stat()
		there, terr := os.Stat(path)
		if herr == nil && terr == nil && os.SameFile(held, there) {
			return &taskLock{l}, nil
		}
		if err := l.Close(); err != nil {
			return nil, fmt.Errorf("unlock %s: %w", path, err)
		}
	}
	return nil, nil // others come and go all the time: one of them will do the work
}

// release removes the lock file and lets go. Windows removes no open file: there it is done afterwards, and fails harmlessly where another
// worker has opened it by then.
func (l *taskLock) release() {
	removed := os.Remove(l.file.Path()) == nil
	if err := l.file.Close(); err == nil && !removed {
		_ = os.Remove(l.file.Path())
	}
}
