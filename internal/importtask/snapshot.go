package importtask

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// visibleWithin is how long a snapshot may be unknown after its task was seen to complete: EC2 is eventually consistent.
const visibleWithin = 2 * time.Minute

// ErrSnapshotGone says that there is no snapshot behind a completed import any more.
var ErrSnapshotGone = errors.New("the import is complete, but its snapshot was deleted")

func isSnapshotGone(err error) bool { return errors.Is(err, ErrSnapshotGone) }

// AwaitSnapshot waits until the snapshot of a completed task is itself complete (P27). All who wait share the calls. A task that was complete before
// anybody waited has a snapshot that EC2 knows, or none any more: settled says so, and is not long in doubt.
func (i *Importer) AwaitSnapshot(ctx context.Context, id string, settled bool) (ec2types.Snapshot, error) {
	patience := visibleWithin
	if settled {
		patience = missingFor
	}
	var missed time.Time // first: a slow answer must not be believed at once
	var complete ec2types.Snapshot
	err := i.eachSnapshot(ctx, id, func(s *ec2types.Snapshot) (done bool, err error) {
		switch {
		case s == nil && missed.IsZero():
			missed = time.Now()
			return false, nil
		case s == nil && time.Since(missed) >= patience:
			return true, fmt.Errorf("%w: EC2 does not know %s", ErrSnapshotGone, id)
		case s == nil:
			return false, nil
		case s.State == ec2types.SnapshotStateError:
			return true, fmt.Errorf("snapshot %s is in state error: %s", id, aws.ToString(s.StateMessage))
		case s.State == ec2types.SnapshotStateCompleted || s.State == "":
			complete = *s
			return true, nil
		default:
			return false, nil
		}
	})
	return complete, err
}

// AwaitDeletion waits until EC2 does not know a snapshot any more.
func (i *Importer) AwaitDeletion(ctx context.Context, id string) error {
	return i.eachSnapshot(ctx, id, func(s *ec2types.Snapshot) (bool, error) { return s == nil, nil })
}

// eachSnapshot shows a snapshot to look, nil where EC2 does not know it, until look is done.
func (i *Importer) eachSnapshot(ctx context.Context, id string, look func(*ec2types.Snapshot) (done bool, err error)) error {
	if id == "" {
		return errNoID
	}
	w := i.snapshots.join(ctx, id)
	defer i.snapshots.leave(w)
	last := ""
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for snapshot %s%s: %w", id, last, i.snapshots.ended(w, context.Cause(ctx)))
		case r := <-w.reports:
			if r.err != nil {
				return fmt.Errorf("describing snapshot %s: %w", id, r.err)
			}
			last = ", which EC2 did not show"
			if r.seen != nil {
				last = ", which EC2 last showed in state " + string(r.seen.State)
			}
			if done, err := look(r.seen); done {
				return err
			}
		}
	}
}

func (i *Importer) askSnapshots(ctx context.Context, ids []string, found map[string]*ec2types.Snapshot, opts ...func(*ec2.Options)) error {
	// EC2 takes no MaxResults beside ids. Emulators make pages all the same.
	pages := ec2.NewDescribeSnapshotsPaginator(i.api, &ec2.DescribeSnapshotsInput{SnapshotIds: ids},
		func(o *ec2.DescribeSnapshotsPaginatorOptions) { o.StopOnDuplicateToken = true })
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx, opts...)
		if err != nil {
			return err
		}
		for n := range page.Snapshots {
			found[aws.ToString(page.Snapshots[n].SnapshotId)] = &page.Snapshots[n]
		}
	}
	return nil
}

func unknownSnapshot(err error) bool { return IsCode(err, "InvalidSnapshot.NotFound") }
