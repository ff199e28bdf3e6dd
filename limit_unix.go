//go:build !windows

package main

import (
	"os/signal"
	"syscall"
)

// ignoreSizeLimit makes writing beyond a limit for files (ulimit -f) fail like writing on a full disk, which is cleaned up after. The signal would end
// the process on the spot.
func ignoreSizeLimit() { signal.Ignore(syscall.SIGXFSZ) }
