package clients

import (
	"bufio"
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

const (
	region  = "us-east-1"
	account = "111122223333" // the access key is the account, as emulators have it

	// patience is when something counts as hung; a busy machine takes its time.
	patience = 2 * time.Minute

	// glance is how often is looked at what nobody tells of.
	glance = 20 * time.Millisecond
)

func TestMain(m *testing.M) {
	acctest.Isolate()
	os.Exit(m.Run())
}

// site is one `serve` with a bucket "images" and a data directory of its own.
type site struct {
	t            *testing.T
	url          string
	images, data string
	exports      []string // what it told to export, where it is a process of its own
}

// newSite serves until the test ends: the binary that EC2_PROVIDER_BINARY names, as a user starts it, else its code in this process.
func newSite(t *testing.T, args ...string) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, images: filepath.Join(dir, "images"), data: filepath.Join(dir, "data")}
	if err := os.Mkdir(s.images, 0o750); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"--data-dir", s.data, "--bucket", "images=" + s.images}, args...)
	if binary := os.Getenv("EC2_PROVIDER_BINARY"); binary != "" {
		s.start(binary, args...)
	} else {
		s.url = acctest.Serve(t, args...)
	}
	return s
}

var toExport = regexp.MustCompile(`(?m)^  export (\S+)$`)

func (s *site) start(binary string, args ...string) {
	s.t.Helper()
	cmd := exec.Command(binary, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Env = cleanEnvironment()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	var stderr buffer
	cmd.Stderr = &stderr
	leaveNone(cmd)
	lines := make(chan string)
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread lives as long as the process, see leaveNone
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
			lines <- scanner.Text()
		}
		close(lines)
		ended <- cmd.Wait()
	}()
	if err := <-started; err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		defer time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }).Stop()
		for line := range lines {
			s.t.Errorf("serve printed on stdout, beside the line that scripts wait for: %s", line)
		}
		if err := <-ended; err != nil {
			s.t.Errorf("serve, interrupted, ended with %v", err)
		}
		if s.t.Failed() {
			s.t.Logf("serve printed:\n%s", stderr.text())
		}
	})
	select {
	case line := <-lines:
		url, ok := strings.CutPrefix(line, "listening on ")
		if !ok {
			s.t.Fatalf("serve printed %q\n%s", line, stderr.text())
		}
		s.url = url
	case <-time.After(patience):
		s.t.Fatalf("serve is not ready after %s\n%s", patience, stderr.text())
	}
	s.until("serve says what to export", func() bool {
		s.exports = nil
		for _, m := range toExport.FindAllStringSubmatch(stderr.text(), -1) {
			s.exports = append(s.exports, m[1])
		}
		return len(s.exports) >= 6
	})
}

// cleanEnvironment has nothing of the machine's AWS or of this test run in it.
func cleanEnvironment() []string {
	var env []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "AWS_") && !strings.HasPrefix(name, "EC2_") && !strings.HasPrefix(name, "PYTHON") &&
			name != "BOTO_CONFIG" && name != "HOME" && !strings.HasSuffix(strings.ToLower(name), "_proxy") {
			env = append(env, entry)
		}
	}
	return env
}

// put writes an object of the bucket.
func (s *site) put(key string, content []byte) {
	s.t.Helper()
	name := filepath.Join(s.images, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// wantVolume compares the volume of a snapshot, byte by byte, with the disk that was imported.
func (s *site) wantVolume(snapshot string, disk []byte) {
	s.t.Helper()
	got, err := os.ReadFile(filepath.Join(s.data, "volumes", snapshot+".raw"))
	if err != nil {
		s.t.Fatal(err)
	}
	if !bytes.Equal(got, disk) {
		s.t.Errorf("the volume of %s (%d bytes) is not the disk that was imported (%d bytes)", snapshot, len(got), len(disk))
	}
}

// until waits for what nobody tells of.
func (s *site) until(what string, condition func() bool) {
	s.t.Helper()
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			s.t.Fatalf("still not so after %s: %s", patience, what)
		}
	}
}

// ec2 is a client of Go's SDK.
func (s *site) ec2() *ec2.Client {
	return ec2.New(ec2.Options{
		Region: region, BaseEndpoint: &s.url, Credentials: credentials.NewStaticCredentialsProvider(account, "secret", ""),
	})
}

func (s *site) sts() *sts.Client {
	return sts.New(sts.Options{
		Region: region, BaseEndpoint: &s.url, Credentials: credentials.NewStaticCredentialsProvider(account, "secret", ""),
	})
}

// status is the task's status and its message, by Go's SDK.
func (s *site) status(task string) (status, message, snapshot string) {
	s.t.Helper()
	out, err := s.ec2().DescribeImportSnapshotTasks(s.t.Context(), &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: []string{task}})
	if err != nil {
		s.t.Fatal(err)
	}
	d := out.ImportSnapshotTasks[0].SnapshotTaskDetail
	return aws.ToString(d.Status), aws.ToString(d.StatusMessage), aws.ToString(d.SnapshotId)
}

// over waits until a task has ended, and returns its snapshot, "" where it failed.
func (s *site) over(task string) (snapshot string) {
	s.t.Helper()
	s.until(task+" is over", func() bool {
		var status string
		status, _, snapshot = s.status(task)
		return status == "completed" || status == "deleted"
	})
	return snapshot
}

// disk is what images hold in these tests: data, a hole, and data that ends with the disk.
func disk(seed uint64) []byte {
	dice := rand.NewChaCha8([32]byte{byte(seed)})
	b := make([]byte, 5<<20)
	for _, part := range [][]byte{b[:1<<20], b[4<<20+4096:]} {
		_, _ = dice.Read(part) // never fails
	}
	return b
}

// vhd is a dynamic VHD that holds a disk, vmdk a stream-optimized VMDK.
func vhd(disk []byte) []byte {
	return testimage.VHD{Size: int64(len(disk))}.Build(testimage.Run{Data: disk[:1<<20]}, testimage.Run{Offset: 4 << 20, Data: disk[4<<20:]}).Data
}

func vmdk(disk []byte) []byte { return testimage.StreamOptimized(testimage.GDAtEnd, disk) }

// buffer is what a process prints, read while it still prints.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
