// Package importtask carries one image import on EC2 from its start to its end: one ClientToken over all tries, a watcher that all waiting imports
// share, cancellation, and a catalogue that explains what went wrong. It talks to EC2 through the SDK's client and knows nothing of Terraform.
package importtask

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// MarkerTag is the key of the one tag the provider adds to a task, so that an import whose creator died can be found again (P6).
const MarkerTag = "terraform-provider-ec2"

// API is what an import needs of *ec2.Client.
type API interface {
	ImportSnapshot(ctx context.Context, in *ec2.ImportSnapshotInput, opts ...func(*ec2.Options)) (*ec2.ImportSnapshotOutput, error)
	DescribeImportSnapshotTasks(
		ctx context.Context, in *ec2.DescribeImportSnapshotTasksInput, opts ...func(*ec2.Options),
	) (*ec2.DescribeImportSnapshotTasksOutput, error)
	CancelImportTask(ctx context.Context, in *ec2.CancelImportTaskInput, opts ...func(*ec2.Options)) (*ec2.CancelImportTaskOutput, error)
	DescribeSnapshots(ctx context.Context, in *ec2.DescribeSnapshotsInput, opts ...func(*ec2.Options)) (*ec2.DescribeSnapshotsOutput, error)
}

// Importer runs imports on one EC2 client, which is one account and Region. It is safe for concurrent use; all imports of a client should share one,
// because they share its polls.
type Importer struct {
	// Log, when set before the first call, is told what a user who waits wants to know: why a call is made again, that polling has slowed down,
	// a status nobody knows. Its shape is that of tflog.Info.
	Log func(ctx context.Context, message string, fields ...map[string]any)

	api API

	tasks     poller[Task]
	snapshots poller[ec2types.Snapshot]

	mu  sync.Mutex
	own map[string]bool // tasks that belong to resources of this process

	unfinished lookup
}

// New returns an Importer that calls api.
func New(api API) *Importer {
	i := &Importer{api: api}
	i.tasks = poller[Task]{what: "import tasks", field: "task_id", first: firstPoll, ask: i.askTasks, unknown: unknownTask, log: i.log}
	// A snapshot is complete when its task is, as a rule: the first look is at once.
	i.snapshots = poller[ec2types.Snapshot]{what: "snapshots", field: "snapshot_id", ask: i.askSnapshots, unknown: unknownSnapshot, log: i.log}
	return i
}

// Describe returns the task as EC2 shows it now, or nil where EC2 does not know it: finished tasks are forgotten after some days.
func (i *Importer) Describe(ctx context.Context, id string) (*Task, error) {
	if id == "" {
		return nil, errNoID
	}
	answers, _, err := i.tasks.describe(ctx, []string{id})
	if err != nil {
		return nil, fmt.Errorf("describing import task %s: %w", id, err)
	}
	return answers[id], nil
}

// Claim says that a task belongs to a resource that this process knows, so that Unfinished does not take it for an orphan. It returns false where
// it was claimed before.
func (i *Importer) Claim(id string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.own[id] {
		return false
	}
	if i.own == nil {
		i.own = map[string]bool{}
	}
	i.own[id] = true
	return true
}

// Find is Describe with patience: a task that EC2 does not know is asked for again for some seconds, because one answer may come from a replica that
// lags (P21), and what follows from a missing task cannot be undone.
func (i *Importer) Find(ctx context.Context, id string) (*Task, error) {
	for missed := (time.Time{}); ; {
		t, err := i.Describe(ctx, id)
		if t != nil || err != nil || !missed.IsZero() && time.Since(missed) > missingFor {
			return t, err
		}
		if missed.IsZero() { // only now: a slow first answer must not be believed at once
			missed = time.Now()
		}
		if cause := pause(ctx, jittered(2*time.Second)); cause != nil {
			return nil, cause
		}
	}
}

// missingFor is how long Find believes that a missing task may yet appear.
const missingFor = 10 * time.Second

func (i *Importer) log(ctx context.Context, message string, fields map[string]any) {
	if i.Log != nil {
		i.Log(ctx, message, fields)
	}
}

// callLimit bounds one call, with the SDK's own tries where it makes some. A connection that hangs must not hang an import.
const callLimit = 60 * time.Second

// bounded is ctx for one call.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callLimit)
}

// detached is ctx for one call that must not be torn by an interrupt: the answer carries an id that nobody could find again.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return bounded(context.WithoutCancel(ctx))
}

// pause waits for d, or until ctx is done and returns why.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// filled is nil for a member that is absent or empty: EC2 sends "" where it means nothing (P28).
func filled(s *string) *string {
	if aws.ToString(s) == "" {
		return nil
	}
	return s
}
