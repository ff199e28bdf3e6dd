package sparse

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// markSparse sets the sparse attribute: without it NTFS allocates, and zeroes, everything before the last byte written. A file system that
// cannot (FAT) gets an ordinary file: larger, not wrong.
func markSparse(f *os.File) error {
	var returned uint32
	err := windows.DeviceIoControl(windows.Handle(f.Fd()), windows.FSCTL_SET_SPARSE, nil, 0, nil, 0, &returned, nil)
	if errors.Is(err, windows.ERROR_INVALID_FUNCTION) || errors.Is(err, windows.ERROR_NOT_SUPPORTED) {
		return nil
	}
	return err
}

func noRoom(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) || errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}
