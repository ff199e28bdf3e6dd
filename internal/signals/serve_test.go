//go:build linux

package signals

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// shelf is a bucket of different images and a data directory, for servers that are disturbed.
type shelf struct {
	acctest.Local
	t      *testing.T
	random *rand.Rand
	sums   map[string]string // token of the import -> SHA-256 of the image
}

// newShelf makes n images: each large enough to be caught while it is written, with a hole and an end that is none of a block.
func newShelf(t *testing.T, n int) *shelf {
	t.Helper()
	ready(t)
	s := &shelf{Local: acctest.NewLocal(t), t: t, random: dice(t), sums: map[string]string{}}
	content := rand.NewChaCha8([32]byte{'s', 'h', 'e', 'l', 'f'})
	for i := range n {
		image := make([]byte, 3<<20+i*4096+512)
		_, _ = content.Read(image[:1<<20])
		_, _ = content.Read(image[len(image)-1<<20:])
		token := fmt.Sprintf("image-%02d", i)
		s.Put(t, token, image)
		s.sums[token] = fmt.Sprintf("%x", sha256.Sum256(image))
	}
	return s
}

func (s *shelf) tokens() []string {
	var tokens []string
	for token := range s.sums {
		tokens = append(tokens, token)
	}
	slices.Sort(tokens)
	return tokens
}

// server is one process of serve.
type server struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	stderr *os.File
	done   chan struct{} // closed when the process has ended
	ec2    *ec2.Client
}

// serve starts a server on the shelf and waits until it is ready.
func (s *shelf) serve(args ...string) *server {
	s.t.Helper()
	stderr, err := os.Create(filepath.Join(s.t.TempDir(), "stderr"))
	if err != nil {
		s.t.Fatal(err)
	}
	v := &server{t: s.t, stderr: stderr, done: make(chan struct{})}
	v.cmd = exec.Command(workshop.provider, append([]string{"serve", "--listen", "127.0.0.1:0", "--data-dir", s.DataDir, "--bucket", "images=" + s.Images}, args...)...) //nolint:gosec // the binary under test
	v.cmd.Env, v.cmd.Stderr = workshop.env, stderr
	stdout, err := v.cmd.StdoutPipe()
	if err == nil {
		err = v.cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		defer close(v.done)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if url, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
				ready <- url
			}
		}
		close(ready)
		_ = v.cmd.Wait() // the code is in ProcessState
	}()
	s.t.Cleanup(v.kill)
	v.url = <-ready
	if v.url == "" {
		<-v.done
		s.t.Fatalf("serve does not begin to listen:\n%s", v.said())
	}
	cfg := aws.Config{Region: region, RetryMaxAttempts: 1, Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
	})}
	v.ec2 = ec2.NewFromConfig(cfg, func(o *ec2.Options) { o.BaseEndpoint = &v.url })
	return v
}

func (v *server) said() string {
	text, _ := os.ReadFile(v.stderr.Name())
	return string(text)
}

// kill is kill -9, and waits until the process is gone.
func (v *server) kill() {
	_ = v.cmd.Process.Kill()
	<-v.done
}

// terminate is SIGTERM; the process must end with code 0, soon.
func (v *server) terminate(within time.Duration) {
	v.t.Helper()
	begun := time.Now()
	if err := v.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		v.t.Fatal(err)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-v.done:
	case <-timer.C:
		v.t.Fatalf("serve has not ended %s after SIGTERM:\n%s", patience, v.said())
	}
	if took, code := time.Since(begun), v.cmd.ProcessState.ExitCode(); took > within || code != 0 {
		v.t.Errorf("serve ended with %d, %s after SIGTERM; want 0 within %s:\n%s", code, took, within, v.said())
	}
}

// importAll asks for an import of each image, by its token, and returns how many were granted before the server was gone.
func (v *server) importAll(tokens []string) (granted int) {
	for _, token := range tokens {
		_, err := v.ec2.ImportSnapshot(context.Background(), &ec2.ImportSnapshotInput{
			ClientToken: &token, Description: &token,
			DiskContainer: &ec2types.SnapshotDiskContainer{UserBucket: &ec2types.UserBucket{S3Bucket: aws.String("images"), S3Key: &token}},
		})
		if err != nil {
			select {
			case <-v.done: // killed, as it should be
			default:
				timer := time.NewTimer(patience)
				defer timer.Stop()
				select {
				case <-v.done:
				case <-timer.C:
					v.t.Errorf("import of %s: %v\n%s", token, err, v.said())
				}
			}
			return granted
		}
		granted++
	}
	return granted
}

// completed counts the imports that are done, and fails where one has failed.
func (v *server) completed() (done, all int) {
	v.t.Helper()
	out, err := v.ec2.DescribeImportSnapshotTasks(context.Background(), &ec2.DescribeImportSnapshotTasksInput{}, again)
	if err != nil {
		v.t.Fatalf("%v\n%s", err, v.said())
	}
	for _, task := range out.ImportSnapshotTasks {
		switch d := task.SnapshotTaskDetail; aws.ToString(d.Status) {
		case "completed":
			done++
		case "active":
		default:
			v.t.Fatalf("%s is %s: %s", *task.ImportTaskId, aws.ToString(d.Status), aws.ToString(d.StatusMessage))
		}
	}
	return done, len(out.ImportSnapshotTasks)
}

// again lets the SDK repeat a read: on a busy machine its own connection breaks now and then.
func again(o *ec2.Options) { o.RetryMaxAttempts = 5 }

// until waits for a condition.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("after %s still not: %s", patience, what)
		}
	}
}

// good checks, when all imports should be done, that each image became one snapshot with its bytes, and that nothing else is on the disk.
func (s *shelf) good(v *server) {
	t := s.t
	t.Helper()
	volumes := s.imported(v)
	until(t, "no stray file", func() bool { return len(s.Strays(t, volumes...)) == 0 })
	entries, err := os.ReadDir(s.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := entry.Name(); name != "volumes" && name != "locks" && name != "state.db" && name != "state.db-wal" && name != "state.db-shm" && name != "state.db.lock" {
			t.Errorf("in the data directory: %s", name)
		}
	}
}

// imported checks the snapshots, and returns their files.
func (s *shelf) imported(v *server) (volumes []string) {
	t := s.t
	t.Helper()
	until(t, "all imports completed", func() bool { done, all := v.completed(); return done == all })
	tasks, err := v.ec2.DescribeImportSnapshotTasks(t.Context(), &ec2.DescribeImportSnapshotTasksInput{}, again)
	if err != nil {
		t.Fatal(err)
	}
	snapshots, err := v.ec2.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}}, again)
	if err != nil {
		t.Fatal(err)
	}
	if len(tasks.ImportSnapshotTasks) != len(s.sums) || len(snapshots.Snapshots) != len(s.sums) {
		t.Errorf("%d imports and %d snapshots of %d images", len(tasks.ImportSnapshotTasks), len(snapshots.Snapshots), len(s.sums))
	}
	seen := map[string]bool{}
	for _, task := range tasks.ImportSnapshotTasks {
		token := aws.ToString(task.Description)
		volume := filepath.Join(s.DataDir, "volumes", aws.ToString(task.SnapshotTaskDetail.SnapshotId)+".raw")
		content, err := os.ReadFile(volume)
		if err != nil {
			t.Error(err)
		} else if got := fmt.Sprintf("%x", sha256.Sum256(content)); got != s.sums[token] || seen[token] {
			t.Errorf("%s of %s, seen before: %t, has %d bytes with SHA-256 %s, want %s", volume, token, seen[token], len(content), got, s.sums[token])
		}
		seen[token], volumes = true, append(volumes, volume)
	}
	return volumes
}

// workMoment is a moment in the work of a server: some time after some imports were granted, or, if completed, after some were completed.
type workMoment struct {
	wait      time.Duration
	after     int
	completed bool
}

func (m workMoment) String() string {
	return fmt.Sprintf("%s after %d are %s", m.wait, m.after, map[bool]string{false: "granted", true: "completed"}[m.completed])
}

// moment is one of the dice.
func (s *shelf) moment() workMoment {
	m := workMoment{wait: time.Duration(s.random.Int64N(int64(80 * time.Millisecond))), after: 1 + s.random.IntN(len(s.sums))}
	if s.random.IntN(3) == 0 {
		m.after, m.completed = s.random.IntN(len(s.sums)*3/4), true
	}
	return m
}

// disturb lets the server work on the imports of all images and does what it is told to at the moment.
func (s *shelf) disturb(v *server, m workMoment, how func()) {
	s.t.Helper()
	var asking sync.WaitGroup
	reached := make(chan struct{})
	asking.Go(func() {
		tokens := s.tokens()
		if !m.completed {
			v.importAll(tokens[:m.after])
			close(reached)
			tokens = tokens[m.after:]
		}
		v.importAll(tokens)
	})
	if !m.completed {
		<-reached
	} else {
		until(s.t, m.String(), func() bool { done, _ := v.completed(); return done >= m.after })
	}
	timer := time.NewTimer(m.wait)
	<-timer.C
	how()
	asking.Wait()
}
