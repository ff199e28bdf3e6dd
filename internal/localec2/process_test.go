package localec2

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
)

// childVariable tells the test binary to be another process with the same data directory.
const childVariable = "LOCALEC2_TEST_CHILD"

func TestMain(m *testing.M) {
	if role := os.Getenv(childVariable); role != "" {
		if err := child(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child imports what its standard input names, one object (and token) a line, prints the tasks' ids and lives until the input ends.
func child(role string) error {
	duration, err := time.ParseDuration(role)
	if err != nil {
		return err
	}
	h := &host{Endpoint: New(Config{
		DataDir: os.Getenv("DATA"), AccountID: testAccount, Strict: true, Checksum: true, Simulate: Simulate{TaskDuration: duration},
		Images: &imagesource.Opener{Buckets: map[string]string{"images": os.Getenv("BUCKET")}},
	})}
	h.inProcess()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		key, token, _ := strings.Cut(lines.Text(), " ")
		in := importInput(key)
		if token != "" {
			in.ClientToken = &token
		}
		out, err := h.ec2.ImportSnapshot(context.Background(), in)
		if err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, *out.ImportTaskId)
	}
	return h.Close()
}

// process is a running child.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func (h *host) start(t *testing.T, duration time.Duration) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+duration.String(), "DATA="+h.config.DataDir, "BUCKET="+h.bucket)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t, cmd, in, bufio.NewScanner(out)}
	t.Cleanup(p.kill)
	return p
}

func (p *process) importKey(line string) string {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, line); err != nil {
		p.t.Fatal(err)
	}
	if !p.out.Scan() {
		p.t.Fatalf("the child said nothing: %v", p.out.Err())
	}
	return p.out.Text()
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// due lets a task be done from now on; who works on it already goes by the time that was set.
func (h *host) due(t *testing.T, id string) {
	t.Helper()
	if _, err := h.store.db.ExecContext(t.Context(), "UPDATE tasks SET due_at = ? WHERE id = ?", toMicros(time.Now()), id); err != nil {
		t.Fatal(err)
	}
}

// sparseImage makes a disk that takes a while to convert and no space, and returns its SHA-256.
func sparseImage(t *testing.T, path string, size int64) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, at := range []int64{0, size / 3, size - 4096} {
		if _, err := f.WriteAt(pattern(4096, byte(i+1)), at); err != nil {
			t.Fatal(err)
		}
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// TestKilledAtAnyMoment: kill -9 leaves a directory that opens, a task that the next process finishes, and no stray file.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *Config) { c.Checksum = true })
	want := sparseImage(t, filepath.Join(h.bucket, "big.img"), 64<<20)
	var snapshots []string
	for round := range 6 {
		p := h.start(t, 0)
		id := p.importKey("big.img")
		timer := time.NewTimer(rand.N(200 * time.Millisecond)) //nolint:gosec // any moment will do
		<-timer.C
		p.kill()

		next := &host{Endpoint: New(h.config)}
		next.inProcess()
		if err := next.Resume(t.Context()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		d := next.wait(t, id, statusCompleted)
		v, err := next.Volume(t.Context(), *d.SnapshotId)
		if err != nil {
			t.Fatal(err)
		}
		if v.SHA256 != want {
			t.Errorf("round %d: the volume's SHA-256 is %s, want %s", round, v.SHA256, want)
		}
		snapshots = append(snapshots, "volumes/"+*d.SnapshotId+".raw")
		if err := next.Close(); err != nil {
			t.Fatal(err)
		}
		slices.Sort(snapshots)
		if got := next.files(t); !slices.Equal(got, snapshots) {
			t.Errorf("round %d: on disk %v, want %v", round, got, snapshots)
		}
	}
}

// TestTakeOver: a live process keeps its task, whatever others do in the directory; when it dies, the one that waits takes over.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	data := pattern(1<<20, 1)
	h.put(t, "disk.img", data)
	p := h.start(t, time.Hour)
	id := p.importKey("disk.img")
	working := []string{"locks/" + id + ".lock", "volumes/" + id + ".partial"}
	eventually(t, func() bool { return slices.Equal(h.files(t), working) })
	if err := h.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.ec2.CreateTags(t.Context(), &ec2.CreateTagsInput{Resources: []string{id}, Tags: []types.Tag{ec2Tag("a", "b")}}); err != nil {
		t.Fatal(err)
	}
	if got := h.files(t); !slices.Equal(got, working) {
		t.Errorf("while the other works: %v, want %v", got, working)
	}
	h.due(t, id)
	p.kill()
	d := h.wait(t, id, statusCompleted)
	h.wantVolume(t, *d.SnapshotId, data)
	eventually(t, func() bool { return slices.Equal(h.files(t), []string{"volumes/" + *d.SnapshotId + ".raw"}) })
}

// TestServerTakesUpWhatIsLeft: a server that was there first finishes what a process leaves that came and died later, and leaves alone what a live
// one is at work on.
func TestServerTakesUpWhatIsLeft(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	if err := h.ResumeAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	data := pattern(1<<20, 1)
	h.put(t, "disk.img", data)
	p, other := h.start(t, 5*time.Second), h.start(t, time.Hour)
	left, kept := p.importKey("disk.img"), other.importKey("disk.img")
	eventually(t, func() bool { return slices.Contains(h.files(t), "locks/"+kept+".lock") }) // before that it is free to be taken
	p.kill()
	h.wantVolume(t, *h.wait(t, left, statusCompleted).SnapshotId, data)
	if h.owns(kept) {
		t.Error("the server took up what another process works on")
	}
}

// TestCancelOfAnotherProcess: the worker notices, wherever it lives.
func TestCancelOfAnotherProcess(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.put(t, "disk.img", pattern(1<<20, 1))
	p := h.start(t, time.Hour)
	id := p.importKey("disk.img")
	out, err := h.ec2.CancelImportTask(t.Context(), &ec2.CancelImportTaskInput{ImportTaskId: &id, CancelReason: aws.String("enough")})
	if err != nil {
		t.Fatal(err)
	}
	if *out.PreviousState != "active" || *out.State != "deleting" {
		t.Errorf("%s -> %s", *out.PreviousState, *out.State)
	}
	if d := h.wait(t, id, statusDeleted); *d.StatusMessage != "enough" {
		t.Errorf("message %s", *d.StatusMessage)
	}
	eventually(t, func() bool { return len(h.files(t)) == 0 })

	// And one whose process is dead is canceled by the one that asks, which removes what has grown of its volume.
	second := p.importKey("disk.img")
	growing := []string{"locks/" + second + ".lock", "volumes/" + second + ".partial"}
	eventually(t, func() bool { return slices.Equal(h.files(t), growing) })
	p.kill()
	if _, err := h.ec2.CancelImportTask(t.Context(), &ec2.CancelImportTaskInput{ImportTaskId: &second}); err != nil {
		t.Fatal(err)
	}
	h.wait(t, second, statusDeleted)
	eventually(t, func() bool { return len(h.files(t)) == 0 })
}

// TestSeveralProcesses: four processes that start on a directory that is not there yet and use the same tokens make one task for each.
func TestSeveralProcesses(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.put(t, "disk.img", pattern(4096, 1))
	const processes, tokens = 4, 40
	answers := make(chan []string, processes)
	for range processes {
		p := h.start(t, 0)
		go func() {
			var ids []string
			for i := range tokens {
				if _, err := fmt.Fprintf(p.in, "disk.img token-%d\n", i); err != nil || !p.out.Scan() {
					break
				}
				ids = append(ids, p.out.Text())
			}
			_ = p.in.Close()
			answers <- ids
		}()
	}
	first := <-answers
	if len(first) != tokens {
		t.Fatalf("a process made %d imports of %d", len(first), tokens)
	}
	for range processes - 1 {
		if ids := <-answers; !slices.Equal(ids, first) {
			t.Errorf("processes disagree:\n%v\n%v", first, ids)
		}
	}
	if err := h.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range first {
		h.wait(t, id, statusCompleted)
	}
	out, err := h.ec2.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Snapshots) != tokens {
		t.Errorf("%d snapshots of %d imports", len(out.Snapshots), tokens)
	}
	eventually(t, func() bool { return len(h.files(t)) == tokens })
}

// TestSweep: what killed processes left goes, what others put there stays.
func TestSweep(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	keep := h.imported(t, "disk.img", pattern(4096, 1))
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	mine := []string{"volumes/notes.txt", "volumes/snap-mine.raw", "volumes/" + keep + ".raw.bak"}
	strays := []string{
		"volumes/snap-0123456789abcdef0.raw", "volumes/import-snap-0123456789abcdef0.partial",
		"locks/import-snap-0123456789abcdef0.lock", "locks/import-snap-00000000000000001.lock",
	}
	for _, name := range append(mine, strays...) {
		if err := os.WriteFile(filepath.Join(h.config.DataDir, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	next := New(h.config)
	defer next.Close()
	if err := next.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := append(mine, "volumes/"+keep+".raw")
	slices.Sort(want)
	if got := h.files(t); !slices.Equal(got, want) {
		t.Errorf("after the sweep: %v, want %v", got, want)
	}
}
