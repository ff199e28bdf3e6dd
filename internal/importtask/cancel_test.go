package importtask

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func TestCancel(t *testing.T) {
	gone := answer(400, "InvalidConversionTaskId", "The task does not exist")
	finished := answer(400, "InvalidParameter", "The task import-snap-1 is completed")
	cancelFails := func(n int, err error) func(int, string) error {
		return func(call int, _ string) error {
			if call <= n {
				return err
			}
			return nil
		}
	}
	hidden := func(string, int) bool { return true }
	for name, tc := range map[string]struct {
		api      *fake
		status   string // of the final task; empty: nil
		snapshot string
		says     string
		cancels  int
		most     time.Duration
	}{
		"P26 active": {
			api:    &fake{status: script(detail("active", ""), detail("deleting", ""), detail("deleted", "user"))},
			status: "deleted", cancels: 1, most: 6 * time.Second,
		},
		"P26 deleting for five minutes": {
			api:    &fake{status: script(repeat(25, detail("deleting", ""), detail("deleted", "user"))...)},
			status: "deleted", cancels: 1, most: 10 * time.Minute,
		},
		"P26 completes in the race": {
			api: &fake{status: script(detail("active", ""), completed("snap-1"))}, status: "completed", snapshot: "snap-1", cancels: 1,
			most: 5 * time.Second,
		},
		"P26 had completed": {
			api: &fake{onCancel: cancelFails(9, finished)}, status: "completed", snapshot: "snap-1", cancels: 1, most: 2 * time.Second,
		},
		"P26 had failed": {
			api: &fake{onCancel: cancelFails(9, finished), status: script(detail("deleted", "why"))}, status: "deleted", cancels: 1,
			most: 2 * time.Second,
		},
		"P26 is being deleted": {
			api:    &fake{onCancel: cancelFails(9, finished), status: script(detail("deleting", ""), detail("deleting", ""), detail("deleted", "why"))},
			status: "deleted", cancels: 1, most: 6 * time.Second,
		},
		"P26 already gone": {api: &fake{onCancel: cancelFails(9, gone), hide: hidden, strictIDs: true}, cancels: 1, most: 15 * time.Second},
		"P21 unknown to one replica": {
			api: &fake{
				onCancel: cancelFails(9, gone), hide: func(_ string, n int) bool { return n == 1 }, strictIDs: true, status: script(completed("snap-1")),
			},
			status: "completed", snapshot: "snap-1", cancels: 1, most: 15 * time.Second,
		},
		"P26 gone behind the call": {api: &fake{hide: hidden}, cancels: 1, most: 20 * time.Second},
		"P21 two replicas lag behind the call": {
			api:    &fake{hide: func(_ string, n int) bool { return n <= 3 }, status: script(detail("deleting", ""), completed("snap-1"))},
			status: "completed", snapshot: "snap-1", cancels: 1, most: 20 * time.Second,
		},
		"may not cancel": {
			api:    &fake{onCancel: cancelFails(9, answer(403, "UnauthorizedOperation", "no")), status: script(detail("active", ""))},
			status: "active", says: "UnauthorizedOperation", cancels: 1,
		},
		"may not cancel, nor look": {
			api: &fake{
				onCancel:   cancelFails(9, answer(403, "UnauthorizedOperation", "no")),
				onDescribe: func(int, []string) error { return answer(403, "UnauthorizedOperation", "nor look") },
			},
			says: "nor look", cancels: 1,
		},
		"throttled, lost, failing": {api: &fake{onCancel: func(n int, _ string) error {
			return []error{answer(503, "RequestLimitExceeded", "x"), dropped(), answer(500, "InternalError", "x"), nil}[n-1]
		}, status: script(detail("deleted", ""))}, status: "deleted", cancels: 4, most: 12 * time.Second},
		"refused, but still known": {
			api: &fake{onCancel: cancelFails(9, gone), status: script(detail("active", ""))}, status: "active",
			says: "InvalidConversionTaskId", cancels: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				task, err := New(tc.api).Cancel(t.Context(), "import-snap-1", "destroyed")
				if (err != nil) != (tc.says != "") || err != nil && !strings.Contains(err.Error(), tc.says) {
					t.Fatal(err)
				}
				if (task != nil) != (tc.status != "") || task != nil && (task.Status() != tc.status || task.SnapshotID() != tc.snapshot) {
					t.Errorf("got %+v", task)
				}
				if len(tc.api.cancels) != tc.cancels || aws.ToString(tc.api.cancels[0].CancelReason) != "destroyed" {
					t.Errorf("%d calls", len(tc.api.cancels))
				}
				if elapsed := time.Since(began); elapsed > tc.most {
					t.Errorf("took %s", elapsed)
				}
			})
		})
	}
}

func TestCancelEndsWithContext(t *testing.T) {
	for name, api := range map[string]*fake{
		"deleting":   {status: script(detail("deleting", ""))},
		"throttled":  {onCancel: func(int, string) error { return answer(503, "RequestLimitExceeded", "x") }},
		"no answers": {hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				if _, err := New(api).Cancel(ctx, "import-snap-1", ""); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				if api.cancels[0].CancelReason != nil {
					t.Error("an empty reason was sent")
				}
			})
		})
	}
}

// P22: the server filters, pages are followed, and what an endpoint that does not filter sends too much is left out.
func TestUnfinished(t *testing.T) {
	marked := []ec2types.Tag{{Key: aws.String(MarkerTag), Value: aws.String("hash")}}
	pages := map[string]*ec2.DescribeImportSnapshotTasksOutput{
		"": {NextToken: aws.String("2")},
		"2": {NextToken: aws.String("3"), ImportSnapshotTasks: []ec2types.ImportSnapshotTask{
			{ImportTaskId: aws.String("import-snap-1"), SnapshotTaskDetail: detail("active", ""), Tags: marked},
			{ImportTaskId: aws.String("import-snap-2"), SnapshotTaskDetail: detail("deleted", ""), Tags: marked},
			{ImportTaskId: aws.String("import-snap-3"), SnapshotTaskDetail: detail("active", "")},
		}},
		"3": {NextToken: aws.String(""), ImportSnapshotTasks: []ec2types.ImportSnapshotTask{
			{ImportTaskId: aws.String("import-snap-4"), SnapshotTaskDetail: completed("snap-1"), Tags: marked},
			{ImportTaskId: aws.String("import-snap-5"), Tags: marked},
		}},
	}
	api := &fake{list: func(token string) *ec2.DescribeImportSnapshotTasksOutput { return pages[token] }}
	importer := New(api)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			got, err := importer.Unfinished(t.Context())
			if err != nil || len(got) != 2 || got[0].ID != "import-snap-1" || got[1].ID != "import-snap-5" || got[0].Tags[MarkerTag] != "hash" {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	all.Wait()
	if len(api.describes) != len(pages) {
		t.Errorf("%d calls for %d pages", len(api.describes), len(pages))
	}
	filters := api.describes[0].input.Filters
	if len(filters) != 1 || aws.ToString(filters[0].Name) != "tag-key" || filters[0].Values[0] != MarkerTag {
		t.Errorf("filters %v", filters)
	}
}

// A resource of the same request that this process has just started is nobody's orphan.
func TestUnfinishedWithoutOwn(t *testing.T) {
	api := &fake{}
	api.list = func(string) *ec2.DescribeImportSnapshotTasksOutput {
		return &ec2.DescribeImportSnapshotTasksOutput{ImportSnapshotTasks: []ec2types.ImportSnapshotTask{{
			ImportTaskId: aws.String("import-snap-1"), SnapshotTaskDetail: detail("active", ""),
			Tags: []ec2types.Tag{{Key: aws.String(MarkerTag), Value: aws.String("hash")}},
		}}}
	}
	importer := New(api)
	if got, err := importer.Unfinished(t.Context()); err != nil || len(got) != 1 {
		t.Fatalf("before the start: %v, %v", got, err)
	}
	task, err := importer.Start(t.Context(), &ec2.ImportSnapshotInput{ClientToken: aws.String("token")})
	if err != nil || task.ID != "import-snap-1" {
		t.Fatalf("started %v, %v", task, err)
	}
	if got, err := importer.Unfinished(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("after the start: %v, %v", got, err)
	}
}

func TestUnfinishedFails(t *testing.T) {
	for name, tc := range map[string]struct {
		err   error
		calls int
	}{
		"a refusal is kept":           {answer(403, "UnauthorizedOperation", "no"), 1},
		"a trouble of the moment not": {answer(503, "RequestLimitExceeded", "slow"), 2},
	} {
		t.Run(name, func(t *testing.T) {
			api := &fake{onDescribe: func(int, []string) error { return tc.err }}
			importer := New(api)
			for range 2 {
				if _, err := importer.Unfinished(t.Context()); codeOf(err) != codeOf(tc.err) {
					t.Error(err)
				}
			}
			if len(api.describes) != tc.calls {
				t.Errorf("%d calls", len(api.describes))
			}
		})
	}
}

// The first who asks may leave; the others still get the answer.
func TestUnfinishedIsSharedWithoutTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		api := &fake{onDescribe: func(int, []string) error { <-release; return nil }, list: func(string) *ec2.DescribeImportSnapshotTasksOutput {
			return &ec2.DescribeImportSnapshotTasksOutput{}
		}}
		importer := New(api)
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error)
		go func() {
			_, err := importer.Unfinished(ctx)
			first <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		close(release)
		if _, err := importer.Unfinished(t.Context()); err != nil || len(api.describes) != 1 {
			t.Errorf("%v after %d calls", err, len(api.describes))
		}
	})
}
