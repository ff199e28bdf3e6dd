package importtask

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// lookup is a search that is made once and shared by all who ask for it.
type lookup struct {
	mu   sync.Mutex
	done chan struct{} // nil before the first search; closed with the result
	got  []Task
	err  error
}

// Unfinished returns the running tasks of this account and Region that carry MarkerTag: imports that some run of the provider started and has not
// seen the end of. Tasks that this Importer started, or was told of by Claim, are none of them. EC2 is asked once per Importer. An answer that said
// no is kept, too; a trouble of the moment is not.
func (i *Importer) Unfinished(ctx context.Context) ([]Task, error) {
	l := &i.unfinished
	l.mu.Lock()
	done := l.done
	if done == nil {
		done = make(chan struct{})
		l.done = done
		// The search belongs to all who ask: that the first of them leaves must not fail the others.
		go func() {
			got, err := i.findUnfinished(context.WithoutCancel(ctx))
			l.mu.Lock()
			defer l.mu.Unlock()
			l.got, l.err = got, err
			if err != nil && (throttled(err) || unavailable(err) || unreachable(err)) {
				l.done = nil
			}
			close(done)
		}()
	}
	l.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-done:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.got), func(t Task) bool { return i.own[t.ID] }), l.err
}

// findUnfinished filters on the server and follows the pages (P22). Tags and statuses are checked here as well: not every endpoint filters.
func (i *Importer) findUnfinished(ctx context.Context) ([]Task, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	key := "tag-key"
	pages := ec2.NewDescribeImportSnapshotTasksPaginator(i.api,
		&ec2.DescribeImportSnapshotTasksInput{Filters: []ec2types.Filter{{Name: &key, Values: []string{MarkerTag}}}},
		func(o *ec2.DescribeImportSnapshotTasksPaginatorOptions) { o.StopOnDuplicateToken = true })
	var running []Task
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("looking for unfinished imports: %w", err)
		}
		for _, t := range page.ImportSnapshotTasks {
			task := taskOf(t)
			if _, marked := task.Tags[MarkerTag]; marked && task.ID != "" && task.Outcome() == Running {
				running = append(running, task)
			}
		}
	}
	return running, nil
}
