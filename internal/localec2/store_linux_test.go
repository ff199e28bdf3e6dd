package localec2

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestReadOnlyDataDir: a plan works where nothing may be written, whatever others are doing or have left there.
func TestReadOnlyDataDir(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(t *testing.T, h *host){
		"in use": func(*testing.T, *host) {},
		"closed": func(t *testing.T, h *host) {
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
		},
		"killed": func(t *testing.T, h *host) { // as it is in this moment, in a place where no one is at work
			place := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(place, os.DirFS(h.config.DataDir)); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(place, storeFile+"-wal")); err != nil {
				t.Fatal(err)
			}
			h.config.DataDir = place
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, nil)
			id := h.imported(t, "disk.img", pattern(4096, 1))
			leave(t, h)
			before, err := os.ReadDir(h.config.DataDir)
			if err != nil {
				t.Fatal(err)
			}
			asNobody(t, h.config.DataDir)

			next := New(h.config)
			defer next.Close()
			// Not over the transport: its goroutine would run on another thread, with this process's rights.
			w := httptest.NewRecorder()
			next.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/?Action=DescribeSnapshots", nil))
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), id) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			err = next.store.write(func(tx transaction) error {
				_, err := tx.exec("DELETE FROM tags")
				return err
			})
			if err == nil {
				t.Error("the store could be written: this test shows nothing")
			}
			after, err := os.ReadDir(h.config.DataDir)
			if err != nil || len(after) != len(before) {
				t.Errorf("%d files before, %d after, %v", len(before), len(after), err)
			}
		})
	}
}

// asNobody takes from the test's thread, until the end of the test, what lets root write anywhere, and from dir who may write it.
func asNobody(t *testing.T, dir string) {
	t.Helper()
	for parent := dir; parent != filepath.Clean(os.TempDir()) && parent != filepath.Dir(parent); parent = filepath.Dir(parent) {
		_ = os.Chmod(parent, 0o755) //nolint:gosec // so that nobody gets there
	}
	if err := os.Chmod(dir, 0o555); err != nil { //nolint:gosec // that is the test
		t.Fatal(err)
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if os.Getuid() == 0 {
		if err := syscall.Setfsuid(65534); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if os.Getuid() == 0 {
			_ = syscall.Setfsuid(0)
		}
		_ = os.Chmod(dir, 0o755) //nolint:gosec // so that it can be removed
	})
}
