package importtask

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Task is an import task as EC2 showed it.
type Task struct {
	ID          string
	Description string

	// Detail has nil where EC2 sent nothing or "" (P28), and no member at all where EC2 sent no detail.
	Detail ec2types.SnapshotTaskDetail
	Tags   map[string]string
}

// Status is the status EC2 sent, "" where it sent none.
func (t Task) Status() string { return strings.TrimSpace(aws.ToString(t.Detail.Status)) }

// SnapshotID is the snapshot the task has made, "" while there is none.
func (t Task) SnapshotID() string { return aws.ToString(t.Detail.SnapshotId) }

// Outcome is what the status means for who waits.
func (t Task) Outcome() Outcome { return meaningOf(t.Status()).outcome }

// Message is EC2's StatusMessage word for word: progress while the task runs, the reason once it has failed.
func (t Task) Message() string { return aws.ToString(t.Detail.StatusMessage) }

// Outcome is how far a task is.
type Outcome int

const (
	// Running stands for every status that is not known to be an end, the missing one included (P8).
	Running Outcome = iota
	// Completed tasks have made their snapshot.
	Completed
	// Failed tasks have made none. EC2 calls it deleted, not error (P7).
	Failed
)

func (o Outcome) String() string {
	switch o {
	case Completed:
		return "completed"
	case Failed:
		return "failed"
	default:
		return "running"
	}
}

type meaning struct {
	status  string // a trailing * stands for any rest
	outcome Outcome
	moving  bool // the outcome is sure, but the status and its message will still change
	unknown bool
}

// meanings is the one table of statuses: what is not in it runs on. Real tasks show active, completed, deleting and deleted; the others are
// names from ImportImage, from emulators and from other providers' lists.
var meanings = []meaning{
	{status: "completed", outcome: Completed},
	{status: "deleting", outcome: Failed, moving: true},
	{status: "deleted", outcome: Failed},
	{status: "error", outcome: Failed},
	{status: "failed", outcome: Failed},
	{status: "cancelling", outcome: Failed, moving: true},
	{status: "canceling", outcome: Failed, moving: true},
	{status: "cancel*", outcome: Failed},
	{status: "active", outcome: Running},
	{status: "pending", outcome: Running},
	{status: "updating", outcome: Running},
	{status: "validating", outcome: Running},
	{status: "validated", outcome: Running},
	{status: "downloading*", outcome: Running},
	{status: "converting", outcome: Running},
	{status: "", outcome: Running},
}

func meaningOf(status string) meaning {
	status = strings.ToLower(status)
	for _, m := range meanings {
		prefix, open := strings.CutSuffix(m.status, "*")
		if status == m.status || open && strings.HasPrefix(status, prefix) {
			return m
		}
	}
	return meaning{status: status, outcome: Running, unknown: true}
}

// FailedError says that an import came to a bad end. EC2 keeps nothing of it.
type FailedError struct {
	Task    Task
	Elapsed time.Duration // since the wait began
}

func (e *FailedError) Error() string {
	said := "EC2 gave no reason"
	if m := e.Task.Message(); m != "" {
		said = m
	}
	return fmt.Sprintf("import task %s failed with status %q after %s: %s", e.Task.ID, e.Task.Status(), e.Elapsed.Round(time.Second), said)
}

// ErrGone says that EC2 does not know the task: it has forgotten a finished one, or never had it in this account and Region.
var ErrGone = errors.New("EC2 does not know the import task (a finished task is forgotten after some days)")

var errNoID = errors.New("no import task id given")

// newTask is the one way from the wire to a Task. A nil detail is tolerated (P21).
func newTask(id, description *string, detail *ec2types.SnapshotTaskDetail, tags []ec2types.Tag) Task {
	t := Task{ID: aws.ToString(id), Description: aws.ToString(description)}
	if detail != nil {
		d := *detail
		for _, member := range []**string{
			&d.Description, &d.Format, &d.KmsKeyId, &d.Progress, &d.SnapshotId, &d.Status, &d.StatusMessage, &d.Url,
		} {
			*member = filled(*member)
		}
		if d.UserBucket != nil {
			b := ec2types.UserBucketDetails{S3Bucket: filled(d.UserBucket.S3Bucket), S3Key: filled(d.UserBucket.S3Key)}
			d.UserBucket = &b
			if b.S3Bucket == nil && b.S3Key == nil {
				d.UserBucket = nil
			}
		}
		t.Detail = d
	}
	for _, tag := range tags {
		if t.Tags == nil {
			t.Tags = map[string]string{}
		}
		t.Tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return t
}

func taskOf(t ec2types.ImportSnapshotTask) Task {
	return newTask(t.ImportTaskId, t.Description, t.SnapshotTaskDetail, t.Tags)
}

// changed tells whether b says anything that a did not say to who watches.
func changed(a, b Task) bool {
	return a.Status() != b.Status() || a.Message() != b.Message() || a.SnapshotID() != b.SnapshotID() ||
		aws.ToString(a.Detail.Progress) != aws.ToString(b.Detail.Progress)
}
