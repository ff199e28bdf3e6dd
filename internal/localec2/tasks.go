package localec2

import (
	"context"
	"slices"
	"strconv"
	"time"
)

// Statuses and messages of a task, as seen on EC2 (vm-import-facts 2). A task that fails goes from deleting to deleted, never to error.
const (
	statusActive    = "active"
	statusCompleted = "completed"
	statusDeleting  = "deleting"
	statusDeleted   = "deleted"

	messagePending    = "pending"
	messageValidated  = "validated"
	messageConverting = "downloading/converting"
)

// task is one import.
type task struct {
	Seq             int64
	ID              string
	Account, Region string
	ClientToken     string
	RequestHash     string
	CreatedAt       time.Time
	DueAt           time.Time // before it, the task is not done
	FailWith        string    // the message to fail with, "" for a real import
	Strict          bool      // refuse what VM Import refuses
	Checksum        bool      // keep the volume's SHA-256

	Description      string
	URL, Bucket, Key string // URL as given; Bucket and Key also where the URL names them
	Origin           string // where the image was found when the import was asked for: see origin
	DeclaredFormat   string // as the request declared it
	Format           string // as it is shown: declared or detected
	ImageSize        int64  // bytes of the object, 0 until they are known
	KMSKeyARN        string // "" = not encrypted

	Status        string
	StatusMessage string
	Progress      int
	SnapshotID    string
	Tags          []tag
}

// shownProgress is the progress of the work, held back so that a simulated duration passes evenly.
func (t task) shownProgress(now time.Time) int {
	total := t.DueAt.Sub(t.CreatedAt)
	if total <= 0 || !now.Before(t.DueAt) {
		return t.Progress
	}
	return min(t.Progress, int(100*max(0, now.Sub(t.CreatedAt))/total))
}

type taskXML struct {
	ID          string     `xml:"importTaskId"`
	Description *string    `xml:"description"`
	Detail      taskDetail `xml:"snapshotTaskDetail"`
	Tags        set[tag]   `xml:"tagSet"`
}

type taskDetail struct {
	Description   *string     `xml:"description"`
	DiskImageSize string      `xml:"diskImageSize"`
	Encrypted     *bool       `xml:"encrypted"`
	Format        *string     `xml:"format"`
	KMSKeyID      *string     `xml:"kmsKeyId"`
	Progress      *string     `xml:"progress"`
	SnapshotID    *string     `xml:"snapshotId"`
	Status        string      `xml:"status"`
	StatusMessage *string     `xml:"statusMessage"`
	URL           *string     `xml:"url"`
	UserBucket    *userBucket `xml:"userBucket"`
}

type userBucket struct {
	Bucket string `xml:"s3Bucket"`
	Key    string `xml:"s3Key"`
}

// xml shows the task as EC2 does. The detail's description is the task's; the container's never comes back.
func (t task) xml(now time.Time) taskXML {
	x := taskXML{ID: t.ID, Description: optional(t.Description), Tags: set[tag]{t.Tags}}
	d := &x.Detail
	*d = taskDetail{
		Description:   optional(t.Description),
		DiskImageSize: javaDouble(float64(t.ImageSize)),
		Format:        optional(t.Format),
		KMSKeyID:      optional(t.KMSKeyARN),
		SnapshotID:    optional(t.SnapshotID),
		Status:        t.Status,
		StatusMessage: optional(t.StatusMessage),
		URL:           optional(t.URL),
	}
	if t.KMSKeyARN != "" {
		yes := true
		d.Encrypted = &yes
	}
	if t.Bucket != "" {
		d.UserBucket = &userBucket{t.Bucket, t.Key}
	}
	if t.Status == statusActive {
		// EC2 shows a progress only while it lasts, and until there is a snapshot its id as "" (aws-cli#9118).
		progress, none := strconv.Itoa(t.shownProgress(now)), ""
		d.Progress, d.SnapshotID = &progress, &none
	}
	return x
}

type describeTasksAnswer struct {
	head
	Tasks     set[taskXML] `xml:"importSnapshotTaskSet"`
	NextToken *string      `xml:"nextToken"`
}

func (e *Endpoint) describeImportSnapshotTasks(s scope, p *params) (call, error) {
	ids, err := p.list("ImportTaskId")
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := checkTaskID(id); err != nil {
			return nil, err
		}
	}
	filters, err := p.filters("task-state", "tag:", "tag-key")
	if err != nil {
		return nil, err
	}
	pg, err := p.page("DescribeImportSnapshotTasks", 1)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (answer, error) {
		tasks, err := e.store.tasks(s, ids)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if !slices.ContainsFunc(tasks, func(t task) bool { return t.ID == id }) {
				return nil, taskNotFound(id)
			}
		}
		tasks = slices.DeleteFunc(tasks, func(t task) bool {
			return !passes(filters, t.Tags, func(string) string { return t.Status })
		})
		a := &describeTasksAnswer{}
		tasks, a.NextToken = cut(pg, tasks, func(t task) int64 { return t.Seq })
		now := time.Now()
		for _, t := range tasks {
			a.Tasks.Items = append(a.Tasks.Items, t.xml(now))
		}
		return a, nil
	}, nil
}

type cancelTaskAnswer struct {
	head
	ID            string `xml:"importTaskId"`
	PreviousState string `xml:"previousState"`
	State         string `xml:"state"`
}

// cancelImportTask ends an active task. Its worker, in this process or another, notices, clears up and makes it deleted.
func (e *Endpoint) cancelImportTask(s scope, p *params) (call, error) {
	id, err := p.required("ImportTaskId")
	if err != nil {
		return nil, err
	}
	if err := checkTaskID(id); err != nil {
		return nil, err
	}
	reason := p.take("CancelReason")
	if reason == "" {
		reason = "The import task was canceled."
	}
	return func(ctx context.Context) (answer, error) {
		previous, err := e.store.cancelTask(s, id, reason)
		if err != nil {
			return nil, err
		}
		switch previous {
		case "":
			return nil, taskNotFound(id)
		case statusActive, statusDeleting:
			e.workers.own(id)
			e.log.Info("import canceled", "task", id, "reason", shorten(reason))
			return &cancelTaskAnswer{ID: id, PreviousState: previous, State: statusDeleting}, nil
		}
		return nil, failf("InvalidParameter", "The import task '%s' cannot be canceled: it is %s.", id, previous)
	}, nil
}
