package importtask

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// script answers poll after poll; the last one stays.
func script(details ...*ec2types.SnapshotTaskDetail) func(string, int) *ec2types.SnapshotTaskDetail {
	return func(_ string, n int) *ec2types.SnapshotTaskDetail { return details[min(n, len(details))-1] }
}

func repeat(n int, d *ec2types.SnapshotTaskDetail, then ...*ec2types.SnapshotTaskDetail) []*ec2types.SnapshotTaskDetail {
	return append(slices.Repeat([]*ec2types.SnapshotTaskDetail{d}, n), then...)
}

func TestWait(t *testing.T) {
	const reason = "ClientError: Disk validation failed [Unsupported VMDK File Format]"
	ok := completed("snap-1")
	describeFails := func(from, to int, err error) func(int, []string) error {
		return func(n int, _ []string) error {
			if n >= from && n < to {
				return err
			}
			return nil
		}
	}
	never := 1 << 30
	for name, tc := range map[string]struct {
		api    *fake
		status string // of the task at the end
		fails  bool   // with a FailedError
		says   string // part of the error
		is     error
		least  time.Duration
		most   time.Duration
	}{
		"completes": {
			api: &fake{status: script(detail("active", "pending"), detail("active", "downloading/converting"), ok)}, status: "completed",
			most: 9 * time.Second,
		},
		"P14 runs for two hours": {
			api: &fake{status: script(repeat(480, detail("active", "x"), ok)...)}, status: "completed", least: 90 * time.Minute,
			most: 3 * time.Hour,
		},
		"P7 deleted": {
			api: &fake{status: script(detail("active", "pending"), detail("deleted", reason))}, status: "deleted", fails: true, says: reason,
			most: 4 * time.Second,
		},
		"P7 deleted at first sight": {
			api: &fake{status: script(detail("deleted", reason))}, status: "deleted", fails: true, says: reason, most: 2 * time.Second,
		},
		"P7 deleted without a message": {
			api: &fake{status: script(detail("deleted", ""))}, status: "deleted", fails: true, says: "no reason", most: 2 * time.Second,
		},
		"P7 error": {
			api: &fake{status: script(detail("error", reason))}, status: "error", fails: true, says: reason, most: 2 * time.Second,
		},
		"P7 cancelled": {
			api: &fake{status: script(detail("cancelled", reason))}, status: "cancelled", fails: true, says: reason, most: 2 * time.Second,
		},
		"P7 upper case": {
			api: &fake{status: script(detail("DELETED", reason))}, status: "DELETED", fails: true, says: reason, most: 2 * time.Second,
		},
		"P7 deleting, then the reason": {
			api:    &fake{status: script(append(repeat(8, detail("active", "x")), detail("deleting", ""), detail("deleted", reason))...)},
			status: "deleted", fails: true, says: reason, least: 60 * time.Second, most: 111 * time.Second,
		},
		"P7 deleting for ever": {
			api: &fake{status: script(detail("deleting", reason))}, status: "deleting", fails: true, says: reason, least: settleFor,
			most: settleFor + 2*time.Second,
		},
		"P7 deleting, then forgotten": {
			api: &fake{status: script(detail("deleting", reason)), hide: func(_ string, n int) bool { return n > 1 }}, status: "deleting",
			fails: true, says: reason, most: 10 * time.Second,
		},
		"P8 unknown statuses": {
			api:    &fake{status: script(detail("hatching", ""), detail("hatching", ""), detail("preening", ""), detail("hatching", ""), ok)},
			status: "completed", most: 40 * time.Second,
		},
		"P8 missing status": {api: &fake{status: script(detail("", ""), ok)}, status: "completed", most: 5 * time.Second},
		"P21 nil detail":    {api: &fake{status: script(nil, nil, ok)}, status: "completed", most: 10 * time.Second},
		"P21 empty list at first": {
			api: &fake{hide: func(_ string, n int) bool { return n < 6 }}, status: "completed", most: 70 * time.Second,
		},
		"P21 not found at first": {
			api: &fake{hide: func(_ string, n int) bool { return n < 6 }, strictIDs: true}, status: "completed", most: 70 * time.Second,
		},
		"P21 never there": {
			api: &fake{hide: func(string, int) bool { return true }}, is: ErrGone, least: graceAfterStart,
			most: graceAfterStart + 20*time.Second,
		},
		"P21 single stale answers": {
			api: &fake{
				status: script(repeat(6, detail("active", ""), ok)...),
				hide:   func(_ string, n int) bool { return n == 3 || n == 5 },
			},
			status: "completed", most: 75 * time.Second,
		},
		"P21 lost after it was seen": {
			api: &fake{status: script(detail("active", "")), hide: func(_ string, n int) bool { return n > 2 }}, status: "active",
			is: ErrGone, most: 30 * time.Second,
		},
		"P23 throttled for a while": {
			api:    &fake{status: script(detail("active", ""), ok), onDescribe: describeFails(2, 15, answer(503, "RequestLimitExceeded", "slow"))},
			status: "completed", least: 5 * time.Minute, most: 20 * time.Minute,
		},
		"P23 the service fails for a while": {
			api:    &fake{status: script(detail("active", ""), ok), onDescribe: describeFails(2, 15, answer(500, "InternalError", "x"))},
			status: "completed", least: 5 * time.Minute, most: 20 * time.Minute,
		},
		"P23 the network fails for a while": {
			api: &fake{status: script(detail("active", ""), ok), onDescribe: describeFails(2, 15, dropped())}, status: "completed",
			least: 5 * time.Minute, most: 20 * time.Minute,
		},
		"a refusal that heals": {
			api:    &fake{status: script(detail("active", ""), ok), onDescribe: describeFails(2, 5, answer(403, "UnauthorizedOperation", "no"))},
			status: "completed", most: time.Minute,
		},
		"refusals that heal each time": {
			api: &fake{status: script(repeat(12, detail("active", ""), ok)...), onDescribe: func(n int, _ []string) error {
				if n == 2 || n == 3 || n == 9 {
					return answer(403, "UnauthorizedOperation", "no")
				}
				return nil
			}},
			status: "completed", most: 5 * time.Minute,
		},
		"a refusal that lasts": {
			api:    &fake{status: script(detail("active", "")), onDescribe: describeFails(2, never, answer(403, "UnauthorizedOperation", "no"))},
			status: "active", says: "UnauthorizedOperation", least: refusedFor, most: 90 * time.Second,
		},
		"credentials that are bad": {
			api: &fake{onDescribe: describeFails(1, never, answer(401, "AuthFailure", "no"))}, says: "AuthFailure", least: refusedFor,
			most: 90 * time.Second,
		},
		"a certificate that is bad": {
			api:  &fake{onDescribe: describeFails(1, never, &smithyhttp.RequestSendError{Err: x509.UnknownAuthorityError{}})},
			says: "certificate", least: refusedFor, most: 90 * time.Second,
		},
		"P28 completed, the snapshot is \"\"": {
			api: &fake{status: script(completed(""), completed(""), ok)}, status: "completed", most: 10 * time.Second,
		},
		"P28 the snapshot stays \"\"": {
			api: &fake{status: script(completed(""))}, status: "completed", says: "names no snapshot", least: settleFor,
			most: settleFor + 2*time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				importer := New(orNew(tc.api))
				strange := map[string]int{}
				importer.Log = func(_ context.Context, message string, fields ...map[string]any) {
					if strings.Contains(message, "not known here") {
						strange[fields[0]["status"].(string)]++
					}
				}
				began := time.Now()
				var seen Task
				var at time.Duration
				task, err := importer.Wait(t.Context(), "import-snap-1", func(task Task, elapsed time.Duration) {
					if elapsed-at > observeEvery {
						t.Errorf("nothing observed from %s to %s", at, elapsed)
					}
					seen, at = task, elapsed
				})
				elapsed := time.Since(began)

				if task.ID != "import-snap-1" || task.Status() != tc.status {
					t.Errorf("ended with %q of %q, want %q", task.Status(), task.ID, tc.status)
				}
				var failed *FailedError
				if errors.As(err, &failed) != tc.fails || tc.fails && (failed.Elapsed != elapsed || failed.Task.Status() != tc.status) {
					t.Errorf("got %#v", err)
				}
				switch {
				case tc.is == nil && tc.says == "" && err != nil,
					tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)),
					tc.is != nil && !errors.Is(err, tc.is):
					t.Errorf("error %v", err)
				}
				if elapsed < tc.least || elapsed > tc.most {
					t.Errorf("took %s, want %s to %s", elapsed, tc.least, tc.most)
				}
				if tc.status != "" && seen.Status() != tc.status {
					t.Errorf("observed %q last", seen.Status())
				}
				for status, n := range strange {
					if n != 1 {
						t.Errorf("%q was reported %d times", status, n)
					}
				}
				if name == "P8 unknown statuses" && len(strange) != 2 {
					t.Errorf("reported %v", strange)
				}
				synctest.Wait()
				if len(importer.tasks.waiting) > 0 {
					t.Error("polling goes on though nobody waits")
				}
			})
		})
	}
}

// P23: fifty waiters share their polls, which begin after a second and slow down to 15.
func TestWaitSharesPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		api := &fake{status: func(string, int) *ec2types.SnapshotTaskDetail {
			if time.Since(began) > 10*time.Minute {
				return completed("snap-1")
			}
			return detail("active", "converting")
		}}
		importer := New(api)
		var all sync.WaitGroup
		for n := range 50 {
			all.Go(func() {
				if _, err := importer.Wait(t.Context(), fmt.Sprintf("import-snap-%d", n), nil); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := len(api.describes); n < 38 || n > 60 {
			t.Errorf("%d calls for 50 imports of 10 minutes", n)
		}
		gaps := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second, 15 * time.Second}
		last := began
		for n, call := range api.describes {
			if len(call.ids) != 50 {
				t.Errorf("call %d was for %d ids", n, len(call.ids))
			}
			want := gaps[min(n, len(gaps)-1)]
			if gap := call.at.Sub(last); gap < want*8/10 || gap > want*12/10 {
				t.Errorf("poll %d came after %s, want about %s", n, gap, want)
			}
			last = call.at
		}
		if api.describes[0].at.Sub(began) == time.Second && api.describes[1].at.Sub(api.describes[0].at) == 2*time.Second {
			t.Error("no jitter")
		}
	})
}

func TestWaitChunks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fake{}
		importer := New(api)
		var all sync.WaitGroup
		for n := range 450 {
			all.Go(func() {
				if _, err := importer.Wait(t.Context(), fmt.Sprintf("import-snap-%d", n), nil); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		var sizes []int
		for _, call := range api.describes {
			sizes = append(sizes, len(call.ids))
		}
		if !slices.Equal(sizes, []int{200, 200, 50}) {
			t.Errorf("calls for %v ids", sizes)
		}
	})
}

// A newcomer is looked at after a second, however slow the polls have become, and does not put them off.
func TestWaitJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fake{status: func(id string, n int) *ec2types.SnapshotTaskDetail {
			if id == "import-snap-new" {
				return completed("snap-2")
			}
			return detail("active", "")
		}}
		importer := New(api)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := importer.Wait(ctx, "import-snap-old", nil)
			done <- err
		}()
		if err := pause(t.Context(), 10*time.Minute); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := importer.Wait(t.Context(), "import-snap-new", nil); err != nil || time.Since(began) > 1200*time.Millisecond {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// P23: however many join, there is a poll a second at most, and never none.
func TestWaitJoinsWithoutEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		api         *fake
		least, most int // calls in a minute
	}{
		"healthy":   {api: &fake{status: script(detail("active", ""))}, least: 40, most: 80},
		"throttled": {api: &fake{onDescribe: func(int, []string) error { return answer(503, "RequestLimitExceeded", "slow") }}, least: 5, most: 8},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				importer := New(tc.api)
				var all sync.WaitGroup
				for n := 0; ctx.Err() == nil; n++ {
					all.Go(func() {
						if _, err := importer.Wait(ctx, fmt.Sprintf("import-snap-%d", n), nil); !errors.Is(err, context.DeadlineExceeded) {
							t.Error(err)
						}
					})
					if pause(ctx, 500*time.Millisecond) != nil {
						break
					}
				}
				all.Wait()
				if n := len(tc.api.describes); n < tc.least || n > tc.most {
					t.Errorf("%d calls", n)
				}
			})
		})
	}
}

// P21, P23: a task that EC2 did not know at first is asked for along with the others as soon as it is known.
func TestWaitTrustsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fake{
			strictIDs: true, hide: func(id string, n int) bool { return id == "import-snap-1" && n < 3 },
			status: script(repeat(20, detail("active", ""), completed("snap-1"))...),
		}
		importer := New(api)
		var all sync.WaitGroup
		for n := range 2 {
			all.Go(func() {
				if _, err := importer.Wait(t.Context(), fmt.Sprintf("import-snap-%d", n), nil); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := len(api.describes); n > 26 {
			t.Errorf("%d calls", n)
		}
	})
}

// P23: one bad id fails neither the batch nor, with what it costs, the polls.
func TestWaitBadID(t *testing.T) {
	for _, nameless := range []bool{false, true} {
		t.Run(fmt.Sprint("message without ids: ", nameless), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				api := &fake{
					strictIDs: true, nameNoID: nameless,
					hide: func(id string, _ int) bool { return id == "import-snap-1" },
					status: func(string, int) *ec2types.SnapshotTaskDetail {
						if time.Since(began) > 5*time.Minute {
							return completed("snap-1")
						}
						return detail("active", "")
					},
				}
				importer := New(api)
				var all sync.WaitGroup
				for n := range 20 {
					all.Go(func() {
						_, err := importer.Wait(t.Context(), fmt.Sprintf("import-snap-%d", n), nil)
						if n == 1 && !errors.Is(err, ErrGone) || n != 1 && err != nil {
							t.Errorf("%d: %v", n, err)
						}
					})
				}
				all.Wait()
				if n := len(api.describes); n > 60 {
					t.Errorf("%d calls", n)
				}
			})
		})
	}
}

func TestWaitEndsWithContext(t *testing.T) {
	stop := errors.New("stop")
	for name, tc := range map[string]struct {
		api   *fake
		stop  time.Duration
		is    error
		fails bool
	}{
		"between polls":                  {api: &fake{status: script(detail("active", ""))}, stop: 100 * time.Second, is: stop},
		"within a poll":                  {api: &fake{hang: true}, stop: 100 * time.Second, is: stop},
		"within a hanging call":          {api: &fake{hang: true}, stop: 10 * time.Second, is: stop},
		"before it began":                {is: stop},
		"while a failed task is deleted": {api: &fake{status: script(detail("deleting", "why"))}, stop: 20 * time.Second, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				if tc.stop == 0 {
					cancel(stop)
				}
				time.AfterFunc(tc.stop, func() { cancel(stop) })
				began := time.Now()
				task, err := New(orNew(tc.api)).Wait(ctx, "import-snap-1", nil)
				var failed *FailedError
				if tc.is != nil && !errors.Is(err, tc.is) || errors.As(err, &failed) != tc.fails || task.ID == "" {
					t.Errorf("got %q, %v", task.ID, err)
				}
				if time.Since(began) != tc.stop {
					t.Errorf("ended after %s, was stopped at %s", time.Since(began), tc.stop)
				}
				// synctest.Test fails if a goroutine of the poller is left behind.
			})
		})
	}
}

func TestWaitTwiceForOneTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fake{status: script(detail("active", ""), completed("snap-1"))}
		importer := New(api)
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				if task, err := importer.Wait(t.Context(), "import-snap-1", nil); err != nil || task.SnapshotID() != "snap-1" {
					t.Error(task.SnapshotID(), err)
				}
			})
		}
		all.Wait()
		for _, call := range api.describes {
			if len(call.ids) != 1 {
				t.Errorf("asked for %v", call.ids)
			}
		}
	})
}

func TestDescribe(t *testing.T) {
	for name, tc := range map[string]struct {
		api   *fake
		found bool
		says  string
	}{
		"there":              {found: true},
		"empty list":         {api: &fake{hide: func(string, int) bool { return true }}},
		"not found":          {api: &fake{hide: func(string, int) bool { return true }, strictIDs: true}},
		"not found, unnamed": {api: &fake{hide: func(string, int) bool { return true }, strictIDs: true, nameNoID: true}},
		"another task": {api: &fake{list: func(string) *ec2.DescribeImportSnapshotTasksOutput {
			return &ec2.DescribeImportSnapshotTasksOutput{ImportSnapshotTasks: []ec2types.ImportSnapshotTask{{ImportTaskId: aws.String("import-snap-2")}}}
		}}},
		"refused": {api: &fake{onDescribe: func(int, []string) error { return answer(403, "UnauthorizedOperation", "no") }}, says: "import-snap-1"},
	} {
		t.Run(name, func(t *testing.T) {
			task, err := New(orNew(tc.api)).Describe(t.Context(), "import-snap-1")
			if (task != nil) != tc.found || (err != nil) != (tc.says != "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, %v", task, err)
			}
		})
	}
	api := &fake{}
	if _, err := New(api).Describe(t.Context(), ""); err == nil || len(api.describes) > 0 {
		t.Error("an empty id asks for all tasks of the account")
	}
	if _, err := New(api).Wait(t.Context(), "", nil); err == nil || len(api.describes) > 0 {
		t.Error("an empty id asks for all tasks of the account")
	}
}

// W12: the lines of a wait name their fields as those of the provider do.
func TestWaitLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := detail("hatching", "")
		d.Progress = aws.String("7")
		api := &fake{
			status: script(d, detail("completed", "")),
			onDescribe: func(n int, _ []string) error {
				if n == 1 {
					return answer(503, "RequestLimitExceeded", "slow")
				}
				return nil
			},
			onCancel: func(n int, _ string) error {
				if n == 1 {
					return dropped()
				}
				return nil
			},
		}
		importer := New(api)
		lines := map[string]map[string]any{}
		importer.Log = func(_ context.Context, message string, fields ...map[string]any) { lines[message] = fields[0] }
		_, _ = importer.Wait(within(t, time.Minute), "import-snap-1", nil)
		_, _ = importer.Cancel(within(t, time.Minute), "import-snap-1", "")
		for message, fields := range map[string]map[string]any{
			"import tasks could not be described; polling slower":             {"task_id": "import-snap-1", "elapsed": nil},
			"the import task has a status that is not known here; waiting on": {"task_id": "import-snap-1", "status": "hatching", "progress": "7", "elapsed": nil},
			"CancelImportTask is tried again: the answer was lost":            {"task_id": "import-snap-1", "elapsed": nil},
		} {
			got, ok := lines[message]
			if !ok {
				t.Errorf("no line %q in %v", message, lines)
			}
			for name, want := range fields {
				if value, there := got[name]; !there || want != nil && value != want {
					t.Errorf("%q has %s = %v", message, name, value)
				}
			}
		}
	})
}

// TestWaitEndsInTrouble: the end of a wait tells what the last poll came to, and nothing where the last one went well.
func TestWaitEndsInTrouble(t *testing.T) {
	for name, tc := range map[string]struct {
		fails   func(n int) error
		last    string
		refused bool
	}{
		"refused": {func(int) error { return answer(403, "UnauthorizedOperation", "no") }, "UnauthorizedOperation", true},
		"failing": {func(int) error { return answer(503, "Unavailable", "x") }, "Unavailable", false},
		"a page of a proxy in front": {func(n int) error {
			if n == 1 {
				return nil // so EC2 is behind it
			}
			return answer(500, "UnknownError", page)
		}, "UnknownError", false},
		"failing once": {func(n int) error {
			if n > 1 {
				return nil
			}
			return answer(503, "Unavailable", "x")
		}, "", false},
		"all goes well": {nil, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &fake{status: script(detail("active", ""))}
				if tc.fails != nil {
					api.onDescribe = func(n int, _ []string) error { return tc.fails(n) }
				}
				_, err := New(api).Wait(within(t, 30*time.Second), "import-snap-1", nil)
				var ended *EndedError
				if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &ended) != (tc.last != "") {
					t.Fatalf("got %v", err)
				}
				if ended != nil && (codeOf(ended.Last) != tc.last || ended.Refused != tc.refused) {
					t.Errorf("the last error is %v, refused: %t", ended.Last, ended.Refused)
				}
			})
		})
	}
}

// P21: one answer without a task is not believed, however long it took.
func TestFindSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fake{onDescribe: func(n int, _ []string) error {
			if n > 1 {
				return nil
			}
			<-time.After(missingFor + time.Second)
			return answer(400, "InvalidConversionTaskId.Malformed", "The import task was not found.")
		}}
		importer := New(api)
		started, err := importer.Start(t.Context(), request())
		if err != nil {
			t.Fatal(err)
		}
		if found, err := importer.Find(t.Context(), started.ID); err != nil || found == nil {
			t.Errorf("found %v, %v", found, err)
		}
	})
}
