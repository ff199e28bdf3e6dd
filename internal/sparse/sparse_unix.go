//go:build !windows

package sparse

import (
	"errors"
	"os"
	"syscall"
)

// markSparse has nothing to do: on Linux, macOS and the other Unix systems a file extended by Truncate is sparse wherever the file system can.
func markSparse(*os.File) error { return nil }

func noRoom(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
