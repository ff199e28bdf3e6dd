//go:build !windows

package sparse_test

import (
	"os"
	"syscall"
)

func allocated(info os.FileInfo) (int64, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return st.Blocks * 512, true
}
