//go:build linux

package signals

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/awsclient"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

const (
	region  = "us-east-1"
	account = "000000000000"
	address = "ec2_import_snapshot.disk"
)

// disk is the content of the image: data, holes, and an end within a grain. It takes long enough to convert that signals hit the conversion.
var disk = sync.OnceValues(func() (raw, image []byte) {
	raw = make([]byte, 24<<20+5*512)
	r := rand.NewChaCha8([32]byte{'d', 'i', 's', 'k'})
	for _, part := range [][]byte{raw[:4<<20], raw[10<<20 : 12<<20], raw[len(raw)-700:]} {
		_, _ = r.Read(part)
	}
	return raw, testimage.StreamOptimized(testimage.GDAtEnd, raw)
})

// site is a user's working directory with its own backend and state.
type site struct {
	acctest.Local
	t       *testing.T
	dir     string
	account string
	raw     []byte       // content of the image
	front   *acctest.EC2 // what the provider talks to; nil where its backend is within it
	running atomic.Bool  // whether front says that imports run
}

// settings are what the tests vary; zero fields take what most want.
type settings struct {
	token    string        // client_token
	duration time.Duration // of the task
	timeout  time.Duration // of create
}

func newSite(t *testing.T, c settings) *site {
	t.Helper()
	raw, image := disk()
	s := &site{Local: acctest.NewLocal(t), t: t, dir: t.TempDir(), account: account, raw: raw}
	s.Put(t, "disk.vmdk", image)
	s.configure(c)
	return s
}

// configure writes the configuration: the import, and a resource that must never see anything but its real snapshot.
func (s *site) configure(c settings) {
	s.t.Helper()
	if c.duration == 0 {
		c.duration = 1500 * time.Millisecond
	}
	more := ""
	if c.token != "" {
		more += fmt.Sprintf("  client_token = %q\n", c.token)
	}
	if c.timeout != 0 {
		more += fmt.Sprintf("  timeouts = { create = %q }\n", c.timeout)
	}
	provider := s.Provider(fmt.Sprintf("simulate = { task_duration = %q }", c.duration), "")
	if s.front != nil {
		provider = s.front.Provider("")
		more += "  storage_tier = \"archive\"\n" // for the call that it takes
	}
	s.write("main.tf", "terraform {\n  required_providers {\n    ec2 = { source = \"ec2-import-snapshot/ec2\" }\n  }\n}\n"+provider+`
resource "ec2_import_snapshot" "disk" {
  disk_container = {
    format      = "VMDK"
    user_bucket = { s3_bucket = "images", s3_key = "disk.vmdk" }
  }
  tags = { Name = "disk" }
`+more+`}
resource "terraform_data" "user" {
  input = ec2_import_snapshot.disk.snapshot_id
}
`)
}

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// run runs the CLI undisturbed, to the exit code that is wanted, and returns what it printed.
func (s *site) run(want int, args ...string) string {
	s.t.Helper()
	c := s.start(args...)
	code, output := c.wait()
	if code != want {
		s.t.Fatalf("%v ends with %d, want %d:\n%s", args, code, want, output)
	}
	c.gone()
	return output
}

// state is what of the CLI's state matters here.
type state struct {
	disk  *diskState // nil: not in the state
	input *string    // of the dependent; nil: not in the state, or null
	user  bool       // whether the dependent is in the state
}

type diskState struct {
	Status     string  `json:"-"`
	Task       string  `json:"import_task_id"`
	Snapshot   *string `json:"snapshot_id"`
	VolumePath string  `json:"volume_path"`
}

// state reads the state file. A killed CLI may leave none, or an empty one.
func (s *site) state() state {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "terraform.tfstate"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	var file struct {
		Resources []struct {
			Type      string
			Instances []struct {
				Status     string
				Attributes json.RawMessage
			}
		}
	}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &file); err != nil {
			s.t.Fatalf("the state cannot be read: %v\n%s", err, text)
		}
	}
	var found state
	for _, r := range file.Resources {
		if len(r.Instances) == 0 {
			continue // a stop before its creation leaves the resource without an object
		}
		if len(r.Instances) > 1 {
			s.t.Fatalf("%d objects of %s in the state, want one:\n%s", len(r.Instances), r.Type, text)
		}
		switch i := r.Instances[0]; r.Type {
		case "ec2_import_snapshot":
			found.disk = &diskState{Status: i.Status}
			err = json.Unmarshal(i.Attributes, found.disk)
		case "terraform_data":
			var attributes struct {
				Input *struct{ Value *string }
			}
			found.user = true
			if err = json.Unmarshal(i.Attributes, &attributes); err == nil && attributes.Input != nil {
				found.input = attributes.Input.Value
			}
		}
		if err != nil {
			s.t.Fatalf("%v in the state:\n%s", err, text)
		}
	}
	return found
}

// backend is what EC2 says it has.
type backend struct {
	tasks     []ec2types.ImportSnapshotTask
	snapshots []ec2types.Snapshot
}

// backend asks by EC2's own calls. It only reads: it takes up no task and clears nothing away.
func (s *site) backend() backend {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e := localec2.New(localec2.Config{DataDir: s.DataDir, AccountID: s.account, Strict: true})
	client, err := awsclient.NewLocal(e.Transport(), awsclient.Settings{MaxRetries: aws.Int64(0)}, region, s.account)
	if err != nil {
		s.t.Fatal(err)
	}
	tasks, err := client.EC2.DescribeImportSnapshotTasks(ctx, &ec2.DescribeImportSnapshotTasksInput{})
	if err != nil {
		s.t.Fatal(err)
	}
	snapshots, err := client.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		s.t.Fatal(err)
	}
	return backend{tasks.ImportSnapshotTasks, snapshots.Snapshots}
}

// task is the one import there is, "" where none was started. More than one is what must never be.
func (b backend) task(t *testing.T) string {
	t.Helper()
	switch len(b.tasks) {
	case 0:
		return ""
	case 1:
		return aws.ToString(b.tasks[0].ImportTaskId)
	}
	t.Fatalf("%d imports, want one at most: %s", len(b.tasks), b)
	return ""
}

func (b backend) String() string {
	var w bytes.Buffer
	for _, task := range b.tasks {
		d := task.SnapshotTaskDetail
		fmt.Fprintf(&w, "\n  %s %s %q %s", aws.ToString(task.ImportTaskId), aws.ToString(d.Status), aws.ToString(d.StatusMessage), aws.ToString(d.SnapshotId))
	}
	for _, snapshot := range b.snapshots {
		fmt.Fprintf(&w, "\n  %s %s", aws.ToString(snapshot.SnapshotId), aws.ToString(snapshot.Description))
	}
	return w.String()
}

// finish applies undisturbed and checks all that is promised of the end; task is the import that was under way, "" where there was none.
// Then it destroys, which must leave nothing.
func (s *site) finish(task string) {
	s.t.Helper()
	s.run(0, "apply", "-auto-approve", "-no-color")
	s.good(task, 1)
	s.destroy()
}

// good checks the end of an import, as the user, EC2 and the disk see it. imports is how many tasks there are, this one and cancelled ones.
func (s *site) good(task string, imports int) {
	t := s.t
	t.Helper()
	have := s.state()
	if have.disk == nil || have.disk.Snapshot == nil || have.disk.Status != "" {
		t.Fatalf("the state has %+v, want a finished, untainted import", have.disk)
	}
	path := filepath.Join(s.DataDir, "volumes", *have.disk.Snapshot+".raw")
	if s.front == nil && have.disk.VolumePath != path {
		t.Errorf("the state has the volume %q, want %q", have.disk.VolumePath, path)
	}
	s.noStrays(path)
	if task != "" && have.disk.Task != task {
		t.Errorf("imported by %s, but %s was under way", have.disk.Task, task)
	}
	b := s.backend()
	if len(b.tasks) != imports || len(b.snapshots) != 1 {
		t.Fatalf("%d imports and %d snapshots, want %d and 1:%s", len(b.tasks), len(b.snapshots), imports, b)
	}
	if id := aws.ToString(b.snapshots[0].SnapshotId); id != *have.disk.Snapshot {
		t.Errorf("the state has %s, EC2 has %s", *have.disk.Snapshot, id)
	}
	for _, one := range b.tasks {
		id, status := aws.ToString(one.ImportTaskId), aws.ToString(one.SnapshotTaskDetail.Status)
		if want := map[bool]string{true: "completed", false: "deleted"}[id == have.disk.Task]; status != want {
			t.Errorf("%s is %s, want %s", id, status, want)
		}
	}
	volume, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := sha256.Sum256(volume), sha256.Sum256(s.raw); got != want {
		t.Errorf("the volume has %d bytes with SHA-256 %x, the image %d with %x", len(volume), got, len(s.raw), want)
	}
	if have.input == nil || *have.input != *have.disk.Snapshot {
		t.Errorf("the dependent has %s, want %s", aws.ToString(have.input), *have.disk.Snapshot)
	}
	s.run(0, "plan", "-detailed-exitcode", "-no-color")
}

// destroy must leave nothing but EC2's memory of tasks.
func (s *site) destroy() {
	t := s.t
	t.Helper()
	s.run(0, "destroy", "-auto-approve", "-no-color")
	if have := s.state(); have.disk != nil || have.user {
		t.Errorf("left in the state after destroy: %+v", have)
	}
	b := s.backend()
	if len(b.snapshots) > 0 {
		t.Errorf("left after destroy:%s", b)
	}
	for _, one := range b.tasks {
		if status := aws.ToString(one.SnapshotTaskDetail.Status); status != "completed" && status != "deleted" {
			t.Errorf("still under way after destroy:%s", b)
		}
	}
	s.noStrays()
}

// noStrays checks that no file belongs to nothing. A backend within the provider has ended with it; one that lives on may have a file open yet.
func (s *site) noStrays(volumes ...string) {
	s.t.Helper()
	if s.front != nil {
		until(s.t, "no stray file", func() bool { return len(s.Strays(s.t, volumes...)) == 0 })
	} else if strays := s.Strays(s.t, volumes...); len(strays) > 0 {
		s.t.Errorf("stray files: %v", strays)
	}
}

// undisturbedUser checks that the dependent has not run, or has run with the real snapshot.
func (s *site) undisturbedUser() {
	s.t.Helper()
	have := s.state()
	if !have.user {
		return
	}
	if have.disk == nil || have.disk.Snapshot == nil || have.input == nil || *have.input != *have.disk.Snapshot {
		s.t.Errorf("the dependent ran before the import had a snapshot, with %q", aws.ToString(have.input))
	}
}
