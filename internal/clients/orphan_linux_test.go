package clients

import (
	"os/exec"
	"syscall"
)

// leaveNone lets the kernel kill the process when the thread that starts it is gone: a test that panics cleans nothing up.
func leaveNone(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
