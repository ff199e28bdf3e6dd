package cli

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/sparse"
)

// roomCure adds to the error of a write what helps where the file had no room.
func roomCure(err error) error {
	switch {
	case sparse.NoRoom(err):
		return fmt.Errorf("%w; free space there, or name a DST on another file system", err)
	case errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w: the file system, or a limit (ulimit -f), takes no file of that size; name a DST on another file system, or raise the limit", err)
	}
	return err
}
