package importtask

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

const (
	firstPoll = time.Second
	slowPoll  = 15 * time.Second
	// troubledPoll is the longest interval while EC2 throttles or cannot be reached.
	troubledPoll = time.Minute
	// closestPolls is the time between two polls of which the second is for newcomers alone.
	closestPolls = 250 * time.Millisecond
	// batch is how many ids go into one describe.
	batch = 200
	// refusedFor is how long a refusal that is no trouble of the moment (no permission, bad credentials) must last before it ends the waits.
	// Not at once: a policy that was just written, or credentials that were just rotated, are refused by some servers for some seconds, and an
	// import of an hour is worth more than that. Not for hours either: nobody but the user can mend it.
	refusedFor = time.Minute
	// absentFor is the same for an endpoint that has no such action. It might be a page of a proxy.
	absentFor = 3 * time.Second
	// leastRefusals is how many polls in a row must be refused: slow ones, as on a busy machine, must not use up that time by themselves.
	leastRefusals = 3
)

// poller polls for all who wait for things of one kind, with one call for all of them (P23). It runs while somebody waits.
type poller[T any] struct {
	what  string        // the kind, for people
	field string        // of its ids in the log
	first time.Duration // how soon a newcomer is looked at

	// ask looks for ids with one call, and its pages where EC2 makes some, and puts what is there into found.
	ask func(ctx context.Context, ids []string, found map[string]*T, opts ...func(*ec2.Options)) error
	// unknown tells the error by which EC2 refuses a call for ids one of which it does not know.
	unknown func(error) bool
	log     func(ctx context.Context, message string, fields map[string]any)

	offered atomic.Bool // EC2 has answered once, so there is such an action

	mu      sync.Mutex
	waiting map[*waiter[T]]struct{}
	wake    chan struct{}      // of the poller that runs
	stop    context.CancelFunc // likewise
}

// waiter is somebody who waits. The mailbox holds the latest report only.
type waiter[T any] struct {
	id      string
	reports chan report[T]
	trouble *trouble // by which the last poll failed; of the poller's mutex
}

// report is what a poll says of one id: what was seen, nil where EC2 does not know it, or an error that ends the wait.
type report[T any] struct {
	seen *T
	err  error
}

// join adds a waiter and starts polling where nobody waited.
func (p *poller[T]) join(ctx context.Context, id string) *waiter[T] {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &waiter[T]{id: id, reports: make(chan report[T], 1)}
	if len(p.waiting) == 0 {
		// It outlives the wait that started it, as long as another one is there.
		ctx, stop := context.WithCancel(context.WithoutCancel(ctx)) //nolint:gosec // leave calls it
		p.stop, p.wake, p.waiting = stop, make(chan struct{}, 1), map[*waiter[T]]struct{}{}
		go (&polling[T]{poller: p, began: time.Now(), doubted: map[string]bool{}}).run(ctx, p.wake)
	}
	p.waiting[w] = struct{}{}
	p.hurry()
	return w
}

// leave removes a waiter, and with the last one ends the polling, whatever it is doing.
func (p *poller[T]) leave(w *waiter[T]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, w)
	if len(p.waiting) == 0 {
		p.stop()
	}
}

// hurry makes the next polls come soon again. It is for who joins, and who has joined.
func (p *poller[T]) hurry() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// polling is the goroutine of a poller, from the first waiter to the last.
type polling[T any] struct {
	*poller[T]
	began        time.Time
	doubted      map[string]bool // ids that EC2 refused once: asked for apart, so that they spoil nobody's answer
	refusals     int             // polls in a row that were refused
	refusedSince time.Time
}

// run polls as soon as somebody joined, then in doubling intervals. A newcomer brings the next poll forward and never puts it off; those who come
// while a call is under way share the next one.
func (p *polling[T]) run(ctx context.Context, wake <-chan struct{}) {
	interval, now, last := p.first, calm, time.Time{}
	next := time.Now().Add(jittered(interval))
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
			if now != calm {
				continue // more load is no cure
			}
			interval = p.first
			soon := time.Now().Add(jittered(interval))
			if closest := last.Add(jittered(closestPolls)); soon.Before(closest) {
				soon = closest
			}
			if soon.Before(next) {
				next = soon
				timer.Reset(time.Until(next))
			}
		case <-timer.C:
			last = time.Now()
			before := now
			now = p.poll(ctx)
			switch {
			case now == calm:
				interval = min(max(2*interval, firstPoll), slowPoll)
			case now == shaken && before == calm: // most failures are single ones
				interval = firstPoll / 2
			default:
				interval = min(max(2*interval, firstPoll), troubledPoll)
			}
			next = time.Now().Add(jittered(interval))
			timer.Reset(time.Until(next))
		}
	}
}

// weather is how a poll went.
type weather int

const (
	calm   weather = iota
	shaken         // EC2 or the network failed
	slowed         // EC2 throttles
)

// poll asks once for all ids and reports to their waiters.
func (p *polling[T]) poll(ctx context.Context) (now weather) {
	var sound, doubted []string
	for _, id := range p.ids() {
		if p.doubted[id] {
			doubted = append(doubted, id)
		} else {
			sound = append(sound, id)
		}
	}
	refused := false
	for _, chunk := range slices.Concat(slices.Collect(slices.Chunk(sound, batch)), slices.Collect(slices.Chunk(doubted, batch))) {
		call, cancel := bounded(ctx)
		answers, unknown, err := p.describe(call, chunk, once)
		cancel()
		if ctx.Err() != nil {
			return calm
		}
		for _, id := range unknown {
			p.doubted[id] = true
		}
		passes := false
		if err != nil {
			passes = passing(err) || p.offered.Load() && isForeignPage(err)
			p.note(chunk, &trouble{err, !passes})
		}
		for id, seen := range answers {
			if seen != nil {
				delete(p.doubted, id)
			}
			p.report(ctx, id, report[T]{seen: seen})
		}
		if err == nil {
			continue
		}
		switch {
		case throttled(err):
			now = slowed
			p.complain(ctx, "could not be described; polling slower", chunk, err)
		case passes:
			now = max(now, shaken)
			p.complain(ctx, "could not be described; trying again", chunk, err)
		default:
			if !refused {
				refused = true
				if p.refusals++; p.refusals == 1 {
					p.refusedSince = time.Now()
				}
			}
			if patience := patienceWith(err); time.Since(p.refusedSince) < patience || p.refusals < leastRefusals {
				p.complain(ctx, "may not be described; trying again for "+patience.String(), chunk, err)
				continue
			}
			for _, id := range chunk {
				if _, answered := answers[id]; !answered {
					p.report(ctx, id, report[T]{err: err})
				}
			}
		}
	}
	if !refused {
		p.refusals = 0
	}
	return now
}

// passing: a trouble of the moment.
func passing(err error) bool {
	return throttled(err) || unavailable(err) || unreachable(err) || skewed(err)
}

func patienceWith(err error) time.Duration {
	if NotOffered(err) {
		return absentFor
	}
	return refusedFor
}

func (p *polling[T]) complain(ctx context.Context, what string, ids []string, err error) {
	shown := strings.Join(ids[:min(len(ids), 5)], " ")
	p.log(ctx, p.what+" "+what, map[string]any{
		p.field: shown, "count": len(ids), "error": err.Error(), "elapsed": time.Since(p.began).Round(time.Second).String(),
	})
}

// ids are what somebody waits for, each once.
func (p *poller[T]) ids() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	set := map[string]bool{}
	for w := range p.waiting {
		set[w.id] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// report puts r into the mailboxes of all who wait for id, in place of what they have not read yet. Only the goroutine that polls writes to them.
func (p *poller[T]) report(ctx context.Context, id string, r report[T]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() != nil {
		return // those who wait now have another goroutine
	}
	for w := range p.waiting {
		if w.id != id {
			continue
		}
		select {
		case <-w.reports:
		default:
		}
		w.reports <- r
		w.trouble = nil
	}
}

// note keeps the error of a poll for those who wait for ids, in case their time ends before a better one.
func (p *poller[T]) note(ids []string, met *trouble) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.waiting {
		if slices.Contains(ids, w.id) {
			w.trouble = met
		}
	}
}

// ended is the cause by which a wait has ended without a report, with the error that the last poll came to.
func (p *poller[T]) ended(w *waiter[T], cause error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.trouble == nil {
		return cause
	}
	return &EndedError{Cause: cause, Last: w.trouble.err, Refused: w.trouble.refused}
}

// trouble is a poll that failed.
type trouble struct {
	err     error
	refused bool
}

// EndedError is a wait that ended, by its time or by a stop, while EC2 could not be asked.
type EndedError struct {
	Cause   error
	Last    error // of the last poll
	Refused bool  // by it, which does not pass by itself
}

func (e *EndedError) Error() string {
	return fmt.Sprintf("%s; the last error was: %s", e.Cause, e.Last)
}

// Unwrap is both.
func (e *EndedError) Unwrap() []error { return []error{e.Cause, e.Last} }

// describe asks for ids. Each that was answered for is in answers, with nil where EC2 does not know it. EC2 refuses a whole call for one id it does
// not know: then that id, which is also returned in unknown, is taken out and the others are asked for again. With an error, answers has what came
// before it.
func (p *poller[T]) describe(ctx context.Context, ids []string, opts ...func(*ec2.Options)) (answers map[string]*T, unknown []string, err error) {
	answers = map[string]*T{}
	for todo := [][]string{ids}; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		if len(part) == 0 {
			continue
		}
		found := map[string]*T{}
		err := p.ask(ctx, part, found, opts...)
		if err == nil || p.unknown(err) {
			p.offered.Store(true)
		}
		switch {
		case err == nil:
			for _, id := range part {
				answers[id] = found[id]
			}
		case !p.unknown(err):
			return answers, unknown, err
		default:
			bad := named(part, textOf(err))
			if len(part) == 1 {
				bad = part
			}
			for _, id := range bad {
				answers[id] = nil
			}
			unknown = append(unknown, bad...)
			rest := slices.DeleteFunc(slices.Clone(part), func(id string) bool { return slices.Contains(bad, id) })
			if len(bad) > 0 {
				todo = append(todo, rest)
			} else {
				todo = append(todo, rest[:len(rest)/2], rest[len(rest)/2:])
			}
		}
	}
	return answers, unknown, nil
}

// named are the ids that a message names as whole words.
func named(ids []string, message string) []string {
	words := strings.FieldsFunc(message, func(r rune) bool {
		return !(r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z')
	})
	var hit []string
	for _, id := range ids {
		if slices.Contains(words, strings.ToLower(id)) {
			hit = append(hit, id)
		}
	}
	return hit
}

// jittered spreads d by a fifth to both sides, so that many processes do not call in step.
func jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64())) //nolint:gosec // no secret
}
