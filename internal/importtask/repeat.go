package importtask

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// repetition is one reason to make a call again.
type repetition struct {
	why         string
	when        func(error) bool
	first, most time.Duration // waits, doubling
	window      time.Duration // 0: until the caller's time is over
	least       int           // repetitions, even behind the window
}

// repetitions is the table of what is tried again, the first that fits counts; what is not in it fails at once. It is the only layer of retries
// around the calls that are made with once, so it holds all that the SDK would try again, too.
var repetitions = [...]repetition{
	// A role that was just made is unknown to VM Import for some seconds, and the same words say that it will never do: hence the bound (P10, P11).
	{
		why: "the service role is not usable yet", when: roleNotReady,
		first: 2 * time.Second, most: 15 * time.Second, window: 2 * time.Minute, least: 2,
	},
	// EC2 runs few imports of an account at a time; the others wait their turn.
	{
		why: "too many imports run at a time", when: func(err error) bool { return IsCode(err, "ResourceCountLimitExceeded") },
		first: 15 * time.Second, most: time.Minute,
	},
	{why: "EC2 throttles the calls", when: throttled, first: 2 * time.Second, most: time.Minute},
	// The SDK has learned the difference from the answer, and signs the next call with it.
	{why: "the clock of this machine is off", when: skewed, first: 100 * time.Millisecond, most: time.Second, window: 2 * time.Second, least: 1},
	// Long enough for an endpoint that restarts, too short to be taken for a hang where there is none.
	{why: "EC2 cannot be reached", when: disconnected, first: 200 * time.Millisecond, most: 2 * time.Second, window: 5 * time.Second, least: 1},
	// moto says by it that it has no such action, a proxy that it stumbled, and EC2 may have begun an import behind it.
	{
		why: "a page came in place of EC2's answer", when: isForeignPage,
		first: 500 * time.Millisecond, most: time.Second, window: 4 * time.Second, least: 5,
	},
	// A proxy that stumbled, or a server that is no EC2 and will never name a task.
	{
		why: "the answer names no task", when: isUnnamed,
		first: 500 * time.Millisecond, most: 4 * time.Second, window: 10 * time.Second, least: 3,
	},
	answerWasLost,
}

// answerWasLost: the import may have begun, and the same token gets its task. The first try comes soon, since most losses are single connections.
var answerWasLost = repetition{
	why: "the answer was lost", when: answerLost, first: 250 * time.Millisecond, most: 15 * time.Second, window: 2 * time.Minute, least: 2,
}

// tries are the repetitions of one call.
type tries struct {
	why     string        // the reason of the last one
	since   time.Time     // when that reason showed, and no other has since
	repeats int           // for it
	waited  time.Duration // for it, the last time

	lost     bool // an answer was lost, if not the last one: EC2 may have done what it was asked
	foreign  bool // something answered that may be no EC2
	answered bool // with words of EC2
}

// next is how long to wait before the call is made again, and why it is. An err that ends the tries comes back as final.
func (t *tries) next(err error) (wait time.Duration, why string, final error) {
	t.note(err)
	var r repetition
	if n := slices.IndexFunc(repetitions[:], func(r repetition) bool { return r.when(err) }); t.lost && (unheard(err) || unrecognized(err)) {
		r = answerWasLost // what may have begun is worth more patience than what has not
	} else if n >= 0 {
		r = repetitions[n]
	} else {
		return 0, "", err
	}
	if t.why != r.why {
		t.why, t.since, t.repeats, t.waited = r.why, time.Now(), 0, 0
	}
	t.waited = min(max(2*t.waited, r.first), r.most)
	wait = jittered(t.waited)
	if r.window > 0 {
		switch left := r.window - time.Since(t.since); {
		case left > 0:
			wait = min(wait, left)
		// Slow calls, as on a busy machine, must not use up the window before those behind them: most faults are over by then.
		case t.repeats >= r.least:
			return 0, "", fmt.Errorf("tried for %s (%s): %w", time.Since(t.since).Round(time.Second), r.why, err)
		}
	}
	t.repeats++
	return wait, r.why, nil
}

// note keeps what the answer says of the tries before it. What is no EC2 gives the same strange answer to each of them; one among others is a proxy
// that stumbled, and EC2 may be behind it.
func (t *tries) note(err error) {
	if isForeignPage(err) || isUnnamed(err) {
		t.foreign = true
		t.lost = t.lost || t.answered
		return
	}
	t.answered = t.answered || statusOf(err) != 0
	t.lost = t.lost || t.foreign || answerLost(err)
}

// mayHaveActed: EC2 may have done what it was asked in one of the tries.
func (t *tries) mayHaveActed() bool { return t.lost || t.foreign }

// unheard: nothing that EC2 itself says.
func unheard(err error) bool {
	return !throttled(err) && (unreachable(err) || isPage(err) || isUnnamed(err))
}

// unrecognized: EC2 does not accept who asks, as it does for some seconds with new keys. It says nothing of what an earlier try has begun.
func unrecognized(err error) bool {
	return IsCode(err, strings.Fields(unknownCaller+" "+sessionOver)...)
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

// noPages has the SDK give up soon on pages that come in place of EC2's answers, for a question that nothing hangs on.
func noPages(o *ec2.Options) {
	if r, ok := o.Retryer.(aws.RetryerV2); ok {
		o.Retryer = pageless{r}
	}
}

type pageless struct{ aws.RetryerV2 }

// RetryDelay is the one method that learns the number of the try.
func (r pageless) RetryDelay(attempt int, err error) (time.Duration, error) {
	if attempt >= 3 && isPage(err) {
		return 0, &retry.MaxAttemptsError{Attempt: attempt, Err: err}
	}
	return r.RetryerV2.RetryDelay(attempt, err)
}

// roleNotReady knows the three texts of P10: no role, no right on the object, no access to the object.
func roleNotReady(err error) bool {
	if !IsCode(err, "InvalidParameter", "InvalidParameterValue") {
		return false
	}
	text := textOf(err)
	return strings.Contains(text, "does not exist or does not have sufficient permissions") ||
		strings.Contains(text, "assumed-role/") && strings.Contains(text, "is not authorized to perform") ||
		noAccess.MatchString(text) && !noAccessHere.MatchString(text)
}

// noAccess is the whole of EC2's third text, and noAccessHere what the local endpoint says behind it, because it knows why: there no time will help.
var (
	noAccess     = regexp.MustCompile(`does not have access to the s3 object \(.*\)\.?$`)
	noAccessHere = regexp.MustCompile(`\)\. (\(|the bucket )`)
)
