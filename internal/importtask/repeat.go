package importtask

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// repetition is one reason to make a call again.
type repetition struct {
	why         string
	when        func(error) bool
	first, most time.Duration // waits, doubling
	window      time.Duration // 0: until the caller's time is over
}

// repetitions is the table of what is tried again, the first that fits counts; what is not in it fails at once. It is the only layer of retries
// around the calls that are made with once, so it holds all that the SDK would try again, too.
var repetitions = [...]repetition{
	// A role that was just made is unknown to VM Import for some seconds, and the same words say that it will never do: hence the bound (P10, P11).
	{
		why: "the service role is not usable yet", when: roleNotReady,
		first: 2 * time.Second, most: 15 * time.Second, window: 2 * time.Minute,
	},
	// EC2 runs few imports of an account at a time; the others wait their turn.
	{
		why: "too many imports run at a time", when: func(err error) bool { return IsCode(err, "ResourceCountLimitExceeded") },
		first: 15 * time.Second, most: time.Minute,
	},
	{why: "EC2 throttles the calls", when: throttled, first: 2 * time.Second, most: time.Minute},
	// The SDK has learned the difference from the answer, and signs the next call with it.
	{why: "the clock of this machine is off", when: skewed, first: 100 * time.Millisecond, most: time.Second, window: 2 * time.Second},
	// Long enough for an endpoint that restarts, too short to be taken for a hang where there is none.
	{why: "EC2 cannot be reached", when: disconnected, first: 200 * time.Millisecond, most: 2 * time.Second, window: 5 * time.Second},
	// moto says by it that it has no such action, a proxy that it stumbled.
	{
		why: "a page came in place of EC2's answer", when: isPageOf500,
		first: 500 * time.Millisecond, most: time.Second, window: time.Second,
	},
	// A proxy that stumbled, or a server that is no EC2 and will never name a task.
	{
		why: "the answer names no task", when: func(err error) bool { return errors.Is(err, errUnnamed) },
		first: 500 * time.Millisecond, most: 4 * time.Second, window: 10 * time.Second,
	},
	// The import may have begun: the same token gets its task. The first try comes soon, since most losses are single connections.
	{why: "the answer was lost", when: answerLost, first: 250 * time.Millisecond, most: 15 * time.Second, window: 2 * time.Minute},
}

// tries are the repetitions of one call.
type tries struct {
	since  [len(repetitions)]time.Time // when each reason first showed
	waited [len(repetitions)]time.Duration
	lost   bool // an answer was lost, if not the last one: EC2 may have done what it was asked
}

// next is how long to wait before the call is made again, and why it is. An err that ends the tries comes back as final.
func (t *tries) next(err error) (wait time.Duration, why string, final error) {
	t.lost = t.lost || answerLost(err)
	n := slices.IndexFunc(repetitions[:], func(r repetition) bool { return r.when(err) })
	if n < 0 {
		return 0, "", err
	}
	r := repetitions[n]
	if t.since[n].IsZero() {
		t.since[n] = time.Now()
	}
	t.waited[n] = min(max(2*t.waited[n], r.first), r.most)
	wait = jittered(t.waited[n])
	if r.window > 0 {
		left := r.window - time.Since(t.since[n])
		if left <= 0 {
			return 0, "", fmt.Errorf("tried for %s (%s): %w", r.window, r.why, err)
		}
		wait = min(wait, left)
	}
	return wait, r.why, nil
}

// once keeps the SDK from trying a call again that a loop of this package repeats: nested retries multiply (3 x 12 = 36). The rest of the user's
// retry mode stays, which is the pace of the adaptive one.
func once(o *ec2.Options) {
	if r, ok := o.Retryer.(aws.RetryerV2); ok {
		o.Retryer = single{r}
	} else {
		o.Retryer = aws.NopRetryer{}
	}
}

type single struct{ aws.RetryerV2 }

func (single) MaxAttempts() int            { return 1 }
func (single) IsErrorRetryable(error) bool { return false }

// roleNotReady knows the three texts of P10: no role, no right on the object, no access to the object.
func roleNotReady(err error) bool {
	if !IsCode(err, "InvalidParameter", "InvalidParameterValue") {
		return false
	}
	text := textOf(err)
	return strings.Contains(text, "does not exist or does not have sufficient permissions") ||
		strings.Contains(text, "assumed-role/") && strings.Contains(text, "is not authorized to perform") ||
		noAccess.MatchString(text)
}

// noAccess is the whole of EC2's third text. The local endpoint says more behind it, because it knows why: there no time will help.
var noAccess = regexp.MustCompile(`does not have access to the s3 object \([^()]*\)\.?$`)
