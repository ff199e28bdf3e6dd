package importtask

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// snapshots answers DescribeSnapshots by the state of each id; "" is a snapshot that EC2 does not know, which fails the whole call as on EC2.
func snapshots(state func(id string) ec2types.SnapshotState) func(int, *ec2.DescribeSnapshotsInput) (*ec2.DescribeSnapshotsOutput, error) {
	return func(_ int, in *ec2.DescribeSnapshotsInput) (*ec2.DescribeSnapshotsOutput, error) {
		out := &ec2.DescribeSnapshotsOutput{}
		for _, id := range in.SnapshotIds {
			now := state(id)
			if now == "" {
				return nil, answer(400, "InvalidSnapshot.NotFound", "The snapshot '"+id+"' does not exist.")
			}
			out.Snapshots = append(out.Snapshots, ec2types.Snapshot{SnapshotId: &id, State: now, StateMessage: aws.String("no key")})
		}
		return out, nil
	}
}

func TestAwaitSnapshot(t *testing.T) {
	const complete, pending = ec2types.SnapshotStateCompleted, ec2types.SnapshotStatePending
	after := func(d time.Duration, before, then ec2types.SnapshotState) func(time.Time) func(string) ec2types.SnapshotState {
		return func(began time.Time) func(string) ec2types.SnapshotState {
			return func(string) ec2types.SnapshotState {
				if time.Since(began) < d {
					return before
				}
				return then
			}
		}
	}
	failing := func(n int, err error) func(int) error {
		return func(call int) error {
			if call <= n {
				return err
			}
			return nil
		}
	}
	for name, tc := range map[string]struct {
		state       func(began time.Time) func(string) ec2types.SnapshotState
		fails       func(call int) error
		says        string
		least, most time.Duration
		calls       int
		settled     bool
	}{
		"P27 complete at once":        {state: after(0, "", complete), calls: 1},
		"P27 pending for ten minutes": {state: after(10*time.Minute, pending, complete), least: 10 * time.Minute, most: 10*time.Minute + 20*time.Second},
		"P21 unknown for half of it":  {state: after(time.Minute, "", complete), least: time.Minute, most: 80 * time.Second},
		"P13 deleted long ago":        {state: after(0, "", ""), says: ErrSnapshotGone.Error(), least: visibleWithin, most: visibleWithin + 20*time.Second},
		"P13 deleted before the wait": {
			state: after(0, "", ""), says: ErrSnapshotGone.Error(), least: missingFor, most: missingFor + 10*time.Second, settled: true,
		},
		"P27 error":                       {state: after(0, "", ec2types.SnapshotStateError), says: "no key"},
		"P23 throttled twice":             {state: after(0, "", complete), fails: failing(2, answer(503, "RequestLimitExceeded", "x")), most: 5 * time.Second},
		"a reset heals in under a second": {state: after(0, "", complete), fails: failing(1, dropped()), most: time.Second},
		"a refusal lasts": {
			state: after(0, "", complete), fails: failing(1000, answer(403, "UnauthorizedOperation", "no")), says: "UnauthorizedOperation",
			least: refusedFor, most: refusedFor + 20*time.Second,
		},
		"P21 unknown once, slowly": {
			state: after(0, "", complete), settled: true, most: time.Minute, fails: func(n int) error {
				if n > 1 {
					return nil
				}
				<-time.After(missingFor + time.Second)
				return answer(400, "InvalidSnapshot.NotFound", "The snapshot 'snap-1' does not exist.")
			},
		},
		"two pages of a proxy, slowly": {
			state: after(0, "", complete), fails: func(n int) error {
				if n > 2 {
					return nil
				}
				<-time.After(absentFor + time.Second)
				return answer(500, "UnknownError", "UnknownError")
			},
			most: time.Minute,
		},
		"an emulator without the action": {
			state: after(0, "", complete), fails: failing(1000, answer(501, "InternalFailure", "The describe_snapshots action has not been implemented")),
			says: "has not been implemented", most: absentFor + 5*time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				answers := snapshots(tc.state(began))
				api := &fake{onSnapshots: func(n int, in *ec2.DescribeSnapshotsInput) (*ec2.DescribeSnapshotsOutput, error) {
					if tc.fails != nil {
						if err := tc.fails(n); err != nil {
							return nil, err
						}
					}
					return answers(n, in)
				}}
				s, err := New(api).AwaitSnapshot(t.Context(), "snap-1", tc.settled)
				if tc.says == "" && (err != nil || aws.ToString(s.SnapshotId) != "snap-1") || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
					t.Errorf("got %v, %v", s.SnapshotId, err)
				}
				if elapsed := time.Since(began); elapsed < tc.least || elapsed > tc.most {
					t.Errorf("took %s", elapsed)
				}
				if tc.calls > 0 && len(api.looks) != tc.calls {
					t.Errorf("%d calls", len(api.looks))
				}
			})
		})
	}
}

// P23, P27: describe calls grow with the time of the wait and not with the number of those who wait.
func TestAwaitSnapshotSharesCalls(t *testing.T) {
	const imports = 500
	for name, tc := range map[string]struct {
		apart time.Duration // between two that begin
		state func(began time.Time) func(id string) ec2types.SnapshotState
		most  int // calls, in batches of 200
	}{
		// The first asks for itself, all others share the next calls.
		"complete, at once": {0, func(time.Time) func(string) ec2types.SnapshotState {
			return func(string) ec2types.SnapshotState { return ec2types.SnapshotStateCompleted }
		}, 4},
		// 0 .25 2 4 8 15 15 ... of three chunks each.
		"five minutes, at once": {0, func(began time.Time) func(string) ec2types.SnapshotState {
			return func(string) ec2types.SnapshotState {
				if time.Since(began) < 5*time.Minute {
					return ec2types.SnapshotStatePending
				}
				return ec2types.SnapshotStateCompleted
			}
		}, 3 * 30},
		// Four polls a second at most, here for ten seconds.
		"one each 20 ms": {20 * time.Millisecond, func(time.Time) func(string) ec2types.SnapshotState {
			return func(string) ec2types.SnapshotState { return ec2types.SnapshotStateCompleted }
		}, 55},
		"one is gone": {0, func(began time.Time) func(string) ec2types.SnapshotState {
			return func(id string) ec2types.SnapshotState {
				switch {
				case id == "snap-7":
					return ""
				case time.Since(began) < time.Minute:
					return ec2types.SnapshotStatePending
				default:
					return ec2types.SnapshotStateCompleted
				}
			}
		}, 4 * 25},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answers := snapshots(tc.state(time.Now()))
				api := &fake{onSnapshots: func(n int, in *ec2.DescribeSnapshotsInput) (*ec2.DescribeSnapshotsOutput, error) {
					if err := pause(t.Context(), 50*time.Millisecond); err != nil { // an answer takes its time
						return nil, err
					}
					return answers(n, in)
				}}
				importer := New(api)
				var all sync.WaitGroup
				for n := range imports {
					all.Go(func() {
						_, err := importer.AwaitSnapshot(t.Context(), fmt.Sprintf("snap-%d", n), false)
						if gone := name == "one is gone" && n == 7; (err != nil) != gone {
							t.Errorf("%d: %v", n, err)
						}
					})
					if tc.apart > 0 {
						_ = pause(t.Context(), tc.apart)
					}
				}
				all.Wait()
				if len(api.looks) > tc.most {
					t.Errorf("%d calls", len(api.looks))
				}
				t.Logf("%d calls for %d snapshots", len(api.looks), imports)
				for _, look := range api.looks {
					if len(look.ids) > batch {
						t.Errorf("one call for %d", len(look.ids))
					}
				}
			})
		})
	}
}

// Who comes while a call is under way shares the next one, which comes at once, and is not held up by a slow pace.
func TestAwaitSnapshotJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fake{onSnapshots: snapshots(func(id string) ec2types.SnapshotState {
			if id == "snap-old" {
				return ec2types.SnapshotStatePending
			}
			return ec2types.SnapshotStateCompleted
		})}
		importer := New(api)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := importer.AwaitSnapshot(ctx, "snap-old", false)
			done <- err
		}()
		_ = pause(t.Context(), 10*time.Minute)
		began := time.Now()
		if _, err := importer.AwaitSnapshot(t.Context(), "snap-new", false); err != nil || time.Since(began) > 2*closestPolls {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestAwaitDeletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		api := &fake{onSnapshots: snapshots(func(string) ec2types.SnapshotState {
			if time.Since(began) < time.Minute {
				return ec2types.SnapshotStateCompleted
			}
			return ""
		})}
		importer := New(api)
		var all sync.WaitGroup
		for n := range 50 {
			all.Go(func() {
				if err := importer.AwaitDeletion(t.Context(), fmt.Sprintf("snap-%d", n)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		// Ids that are gone are named one a call.
		if elapsed := time.Since(began); elapsed < time.Minute || elapsed > 80*time.Second || len(api.looks) > 15+50 {
			t.Errorf("%d calls in %s", len(api.looks), elapsed)
		}
	})
}

// P27 on the wire: pages are followed and one request is made of each call.
func TestAwaitSnapshotOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		item := func(id string) string {
			return "<snapshotSet><item><snapshotId>" + id + "</snapshotId><status>completed</status></item></snapshotSet>"
		}
		var actions []string
		s := &server{serve: func(n int, form url.Values) (int, string, error) {
			actions = append(actions, form.Get("Action")+" "+form.Get("NextToken"))
			if n == 1 {
				return 500, failure("InternalError", "x"), nil
			}
			if form.Get("NextToken") == "" {
				return 200, "<DescribeSnapshotsResponse>" + item("snap-2") + "<nextToken>2</nextToken></DescribeSnapshotsResponse>", nil
			}
			return 200, "<DescribeSnapshotsResponse>" + item("snap-1") + "</DescribeSnapshotsResponse>", nil
		}}
		if _, err := New(client(s)).AwaitSnapshot(t.Context(), "snap-1", false); err != nil {
			t.Error(err)
		}
		if want := []string{"DescribeSnapshots ", "DescribeSnapshots ", "DescribeSnapshots 2"}; !slices.Equal(actions, want) {
			t.Errorf("calls %q", actions)
		}
	})
}
