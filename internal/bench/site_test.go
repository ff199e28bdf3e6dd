package bench

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
)

const (
	region  = "us-east-1"
	account = "111122223333"
)

func TestMain(m *testing.M) {
	acctest.Isolate()
	os.Exit(m.Run())
}

// measured skips where nobody asked for a measurement: it takes minutes, and its figures are those of a machine that does nothing else.
func measured(t *testing.T) {
	t.Helper()
	if os.Getenv("EC2_BENCH") == "" {
		t.Skip("measurements run with EC2_BENCH set (make bench-scale)")
	}
	if runtime.GOOS != "linux" {
		t.Skip("what a process has used is read from Linux's /proc")
	}
}

// endpoint is EC2 for both sides: the local endpoint in this process, on a port, with its calls counted.
type endpoint struct {
	url string

	mu    sync.Mutex
	calls map[string]int
}

func newEndpoint(t *testing.T, taskDuration time.Duration) *endpoint {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "disk.raw"), bytes.Repeat([]byte("a disk. "), 8<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	ec2 := localec2.New(localec2.Config{
		DataDir: filepath.Join(dir, "data"), AccountID: account, Strict: true, Simulate: localec2.Simulate{TaskDuration: taskDuration},
		Images: &imagesource.Opener{Buckets: map[string]string{"images": dir}},
	})
	e := &endpoint{calls: map[string]int{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if form, err := url.ParseQuery(string(body)); err == nil {
			e.mu.Lock()
			e.calls[form.Get("Action")]++
			e.mu.Unlock()
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		ec2.ServeHTTP(w, r)
	}))
	e.url = server.URL
	t.Cleanup(func() {
		server.Close()
		if err := ec2.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// taken are the calls since it was last asked.
func (e *endpoint) taken() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	taken := e.calls
	e.calls = map[string]int{}
	return taken
}

func inAll(calls map[string]int) (n int) {
	for v := range maps.Values(calls) {
		n += v
	}
	return n
}

// cost is what a process has used.
type cost struct {
	wall, cpu time.Duration
	memory    int64 // the most it had resident, in bytes
}

// TestSide is what run runs.
func TestSide(t *testing.T) {
	side := sides[os.Getenv("EC2_BENCH_SIDE")]
	if side == nil {
		t.Skip("it is run by the measurements")
	}
	n, err := strconv.Atoi(os.Getenv("EC2_BENCH_N"))
	if err != nil {
		t.Fatal(err)
	}
	side(t, os.Getenv("EC2_BENCH_URL"), n)
}

// run runs one side in a process of its own, so that its memory is its own.
func run(t *testing.T, e *endpoint, side string, n int) cost {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSide$")
	cmd.Env = append(os.Environ(), "EC2_BENCH_SIDE="+side, "EC2_BENCH_URL="+e.url, fmt.Sprintf("EC2_BENCH_N=%d", n))
	watched := watch(func(exe, args string) bool { return exe == self(t) && strings.Contains(args, "TestSide") })
	began := time.Now()
	printed, err := cmd.CombinedOutput()
	c := cost{wall: time.Since(began), memory: watched()}
	if err != nil {
		t.Fatalf("%s: %v\n%s", side, err, printed)
	}
	c.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return c
}

func self(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// watch looks for processes other than this one until it is told to stop, and then says the most that one of them had resident. The kernel keeps the
// high-water mark, so that looking now and then is enough.
func watch(is func(exe, args string) bool) (stop func() int64) {
	done, most := make(chan struct{}), make(chan int64)
	go func() {
		look := time.NewTicker(10 * time.Millisecond)
		defer look.Stop()
		highest := int64(0)
		for {
			select {
			case <-look.C:
			case <-done:
				most <- highest
				return
			}
			entries, _ := filepath.Glob("/proc/[0-9]*")
			for _, dir := range entries {
				if filepath.Base(dir) == strconv.Itoa(os.Getpid()) {
					continue
				}
				exe, err := os.Readlink(filepath.Join(dir, "exe"))
				if err != nil {
					continue
				}
				args, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
				if is(exe, string(args)) {
					highest = max(highest, highWater(dir))
				}
			}
		}
	}()
	return func() int64 { close(done); return <-most }
}

func highWater(dir string) int64 {
	status, _ := os.ReadFile(filepath.Join(dir, "status"))
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}

func median(all []cost) cost {
	slices.SortFunc(all, func(a, b cost) int { return int(a.wall - b.wall) })
	return all[len(all)/2]
}

func mib(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }
