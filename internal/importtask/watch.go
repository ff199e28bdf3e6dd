package importtask

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

const (
	// graceAfterStart is how long EC2 may not know a task it has just accepted (P21).
	graceAfterStart = 2 * time.Minute
	// lossAfter is how many polls in a row must miss a task that was seen before: one stale replica is no loss.
	lossAfter = 2
	// settleFor is how long a task that is being deleted is polled on for its final message.
	settleFor = 30 * time.Second
	// observeEvery is the longest silence towards the observer.
	observeEvery = time.Minute
)

// Wait watches the task until it ends. It returns the task as last seen, also along with an error:
// *FailedError for a task that failed, ErrGone for one that EC2 does not know, the cause of ctx's end, or an error of EC2 that does not heal.
// Throttling, failures of the service and of the network slow it down and never end it; nor does a status nobody knows (P8, P23).
//
// The observer, which may be nil, sees the task on each change of status, message, progress or snapshot, and at least once a minute, with the time
// since Wait began. It is called from Wait's own goroutine.
func (i *Importer) Wait(ctx context.Context, id string, observe func(Task, time.Duration)) (Task, error) {
	began := time.Now()
	t, err := i.watch(ctx, id, watching{observe: observe, patience: settleFor})
	if err == nil && t.Outcome() == Failed {
		return t, &FailedError{Task: t, Elapsed: time.Since(began)}
	}
	return t, err
}

type watching struct {
	observe  func(Task, time.Duration)
	known    bool          // the task has been seen before: no grace
	patience time.Duration // with a failing task, for its final message; 0: until ctx ends
}

// watch returns the task at its end, good or bad.
func (i *Importer) watch(ctx context.Context, id string, o watching) (Task, error) {
	last := Task{ID: id}
	if id == "" {
		return last, errNoID
	}
	if ctx.Err() != nil {
		return last, context.Cause(ctx)
	}
	w := i.tasks.join(ctx, id)
	defer i.tasks.leave(w)

	began := time.Now()
	silence := time.NewTimer(observeEvery)
	defer silence.Stop()
	shown := false
	observe := func() {
		shown = true
		silence.Reset(observeEvery)
		if o.observe != nil {
			o.observe(last, time.Since(began))
		}
	}
	seen, missed := o.known, 0
	var settled <-chan time.Time // fires when enough was waited for a final message
	strange := map[string]bool{}

	for {
		select {
		case <-ctx.Done():
			if o.patience > 0 && last.Outcome() == Failed {
				return last, nil // being deleted: it will not come to anything else
			}
			return last, i.tasks.ended(w, context.Cause(ctx))
		case <-silence.C:
			observe()
		case <-settled:
			return settle(last)
		case r := <-w.reports:
			switch {
			case r.err != nil:
				return last, fmt.Errorf("describing import task %s: %w", id, r.err)
			case r.seen == nil:
				missed++
				switch {
				case seen && missed < lossAfter, !seen && time.Since(began) < graceAfterStart:
					continue
				case last.Outcome() == Failed: // deleted, and then forgotten
					return last, nil
				default:
					return last, fmt.Errorf("import task %s, missing after %s: %w", id, time.Since(began).Round(time.Second), ErrGone)
				}
			}
			was := last
			last, seen, missed = *r.seen, true, 0
			m := meaningOf(last.Status())
			if m.unknown && !strange[m.status] {
				strange[m.status] = true
				i.log(ctx, "the import task has a status that is not known here; waiting on", map[string]any{
					"task_id": id, "status": last.Status(), "progress": aws.ToString(last.Detail.Progress),
					"elapsed": time.Since(began).Round(time.Second).String(),
				})
			}
			if !shown || changed(was, last) {
				observe()
			}
			switch moving := m.moving || m.outcome == Completed && last.SnapshotID() == ""; {
			case m.outcome == Running:
			case !moving:
				return last, nil
			case settled == nil:
				if o.patience > 0 || m.outcome == Completed {
					settled = time.After(settleFor)
				}
				i.tasks.hurry()
			}
		}
	}
}

// settle decides on a task whose final word has not come in time.
func settle(t Task) (Task, error) {
	if t.Outcome() == Completed {
		return t, fmt.Errorf("import task %s completed, but EC2 names no snapshot of it", t.ID)
	}
	return t, nil
}

func (i *Importer) askTasks(ctx context.Context, ids []string, found map[string]*Task, opts ...func(*ec2.Options)) error {
	pages := ec2.NewDescribeImportSnapshotTasksPaginator(i.api, &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: ids},
		func(o *ec2.DescribeImportSnapshotTasksPaginatorOptions) { o.StopOnDuplicateToken = true })
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx, opts...)
		if err != nil {
			return err
		}
		for _, t := range page.ImportSnapshotTasks {
			task := taskOf(t)
			found[task.ID] = &task
		}
	}
	return nil
}
