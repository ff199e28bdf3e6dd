package importtask

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// P23: calls grow with time, not with imports, up to what one call holds; throttling slows all of them down, and one task that is lost on the way
// fails nobody else.
func TestWaitAtScale(t *testing.T) {
	const minutes = 20
	polls := map[int]int{}
	for _, n := range []int{1, 200, 500} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			during := func(from, to time.Duration) bool {
				since := time.Since(began)
				return since >= from && since < to
			}
			const lost = "import-snap-7"
			api := &fake{
				strictIDs: true, hide: func(id string, _ int) bool { return id == lost && !during(0, 3*time.Minute) },
				status: func(string, int) *ec2types.SnapshotTaskDetail {
					if during(0, minutes*time.Minute) {
						return detail("active", "converting")
					}
					return completed("snap-1")
				},
				onDescribe: func(int, []string) error {
					if during(8*time.Minute, 13*time.Minute) {
						return answer(503, "RequestLimitExceeded", "slow down")
					}
					return nil
				},
			}
			importer := New(api)
			var all sync.WaitGroup
			for i := range n {
				all.Go(func() {
					id := fmt.Sprintf("import-snap-%d", i)
					if _, err := importer.Wait(t.Context(), id, nil); (id == lost) != errors.Is(err, ErrGone) || err != nil && id != lost {
						t.Errorf("%s: %v", id, err)
					}
				})
			}
			all.Wait()
			calls := map[time.Time]int{}
			throttled := 0
			for _, c := range api.describes {
				calls[c.at]++
			}
			for at, count := range calls {
				// The lost task costs a call that is refused and, while it is doubted, one of its own.
				if most := (n+199)/200 + 2; count > most {
					t.Errorf("%d imports: %d calls in one poll, want %d at most", n, count, most)
				}
				if since := at.Sub(began); since >= 9*time.Minute && since < 13*time.Minute {
					throttled++
				}
			}
			if throttled > 5 {
				t.Errorf("%d imports: %d polls in four throttled minutes", n, throttled)
			}
			polls[n] = len(calls)
			if most := len(calls)*((n+199)/200) + 4; len(api.describes) > most {
				t.Errorf("%d imports: %d calls in %d polls, want %d at most", n, len(api.describes), len(calls), most)
			}
		})
	}
	if polls[500] > polls[1]*5/4+1 || polls[200] > polls[1]*5/4+1 {
		t.Errorf("polls in %d minutes, by imports: %v: they grow with the imports", minutes, polls)
	}
}
