package importtask

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// Cancel cancels the task, waits for its end and returns it, nil where EC2 does not know it. A task that had ended, or ends well in spite of the
// call, is no error: the caller deletes the snapshot of one that completed first (P26).
func (i *Importer) Cancel(ctx context.Context, id, reason string) (*Task, error) {
	if id == "" {
		return nil, errNoID
	}
	in := &ec2.CancelImportTaskInput{ImportTaskId: &id}
	if reason != "" {
		in.CancelReason = &reason
	}
	var tried tries
	var last error // which a stop must not swallow
	for began := time.Now(); ; {
		call, cancel := bounded(ctx)
		_, err := i.api.CancelImportTask(call, in, once)
		cancel()
		if err == nil {
			return i.end(ctx, id)
		}
		if ctx.Err() != nil && last != nil {
			return nil, fmt.Errorf("cancelling import task %s: %w; the last error was: %w", id, context.Cause(ctx), last)
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("cancelling import task %s: %w", id, context.Cause(ctx))
		}
		last = err
		wait, why, final := tried.next(err)
		if final == nil {
			i.log(ctx, "CancelImportTask is tried again: "+why, map[string]any{
				"task_id": id, "error": err.Error(), "elapsed": time.Since(began).Round(time.Second).String(),
			})
			if cause := pause(ctx, wait); cause != nil {
				return nil, fmt.Errorf("cancelling import task %s: %w; the last error was: %w", id, cause, err)
			}
			continue
		}
		err = final
		// EC2 has no documented code for a task that has ended: what the task says decides whether the refusal matters.
		t, lookup := i.Find(ctx, id)
		switch {
		case lookup != nil:
			return nil, fmt.Errorf("cancelling import task %s: %w; then: %w", id, err, lookup)
		case t == nil && unknownTask(err):
			return nil, nil
		case t != nil && t.Outcome() != Running:
			return i.end(ctx, id)
		default:
			return t, fmt.Errorf("cancelling import task %s: %w", id, err)
		}
	}
}

// ErrCancelling says that EC2 has taken the cancellation, and only the end of the task was not seen.
var ErrCancelling = errors.New("is being cancelled")

// end waits for the last status of a task that is about to end or has ended, as long as ctx allows: behind a deleting one nothing may be left.
func (i *Importer) end(ctx context.Context, id string) (*Task, error) {
	t, err := i.watch(ctx, id, watching{known: true})
	switch {
	case errors.Is(err, ErrGone):
		// Two replicas may lag, and who is told that nothing is left forgets a task that may yet complete (P21).
		switch again, lookup := i.Find(ctx, id); {
		case lookup != nil:
			return &t, fmt.Errorf("looking for import task %s, which %w: %w", id, ErrCancelling, lookup)
		case again == nil:
			return nil, nil
		}
		return i.end(ctx, id)
	case err != nil:
		return &t, fmt.Errorf("waiting for the end of import task %s, which %w: %w", id, ErrCancelling, err)
	default:
		return &t, nil
	}
}
