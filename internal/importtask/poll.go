package importtask

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

const (
	firstPoll = time.Second
	slowPoll  = 15 * time.Second
	// troubledPoll is the longest interval while EC2 throttles or cannot be reached.
	troubledPoll = time.Minute
	// batch is how many ids go into one describe.
	batch = 200
	// refusedFor is how long a refusal that is no trouble of the moment (no permission, bad credentials) must last before it ends the waits.
	// Not at once: a policy that was just written, or credentials that were just rotated, are refused by some servers for some seconds, and an
	// import of an hour is worth more than that. Not for hours either: nobody but the user can mend it.
	refusedFor = time.Minute
)

// poller polls for all waiting imports of an Importer, with one call for all of them (P23). It lives while somebody waits.
type poller struct {
	importer *Importer
	cancel   context.CancelFunc
	wake     chan struct{}

	waiting map[*waiter]struct{} // guarded by the Importer's mu

	// These belong to the goroutine of run.
	doubted      map[string]bool // ids that EC2 refused once: asked for apart, so that they spoil nobody's answer
	refusedSince time.Time
}

// waiter is one Wait. Its mailbox holds the latest report only.
type waiter struct {
	id      string
	poller  *poller
	reports chan report
}

// report is what a poll says of one id: the task, nil where EC2 does not know it, or an error that ends the wait.
type report struct {
	task *Task
	err  error
}

// join adds a waiter and starts the poller where there is none.
func (i *Importer) join(ctx context.Context, id string) *waiter {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.poller == nil {
		// The poller outlives the wait that started it, as long as another one is there.
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		i.poller = &poller{
			importer: i, cancel: cancel, wake: make(chan struct{}, 1),
			waiting: map[*waiter]struct{}{}, doubted: map[string]bool{},
		}
		go i.poller.run(ctx)
	}
	w := &waiter{id: id, poller: i.poller, reports: make(chan report, 1)}
	w.poller.waiting[w] = struct{}{}
	i.hurry(w)
	return w
}

// leave removes a waiter, and with the last one the poller, whatever it is doing.
func (i *Importer) leave(w *waiter) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(w.poller.waiting, w)
	if len(w.poller.waiting) == 0 {
		w.poller.cancel()
		if i.poller == w.poller {
			i.poller = nil
		}
	}
}

// hurry makes the next polls come soon again.
func (i *Importer) hurry(w *waiter) {
	select {
	case w.poller.wake <- struct{}{}:
	default:
	}
}

// run polls 1 s after somebody joined, then in doubling intervals. A newcomer brings the next poll forward and never puts it off.
func (p *poller) run(ctx context.Context) {
	interval, troubled := firstPoll, false
	next := time.Now().Add(jittered(interval))
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
			if troubled {
				continue // more load is no cure
			}
			interval = firstPoll
			if soon := time.Now().Add(jittered(interval)); soon.Before(next) {
				next = soon
				timer.Reset(time.Until(next))
			}
		case <-timer.C:
			troubled = p.poll(ctx)
			longest := slowPoll
			if troubled {
				longest = troubledPoll
			}
			interval = min(2*interval, longest)
			next = time.Now().Add(jittered(interval))
			timer.Reset(time.Until(next))
		}
	}
}

// poll asks once for all ids and reports to their waiters. It tells whether EC2 throttled or could not be reached.
func (p *poller) poll(ctx context.Context) (troubled bool) {
	var sound, doubted []string
	for _, id := range p.ids() {
		if p.doubted[id] {
			doubted = append(doubted, id)
		} else {
			sound = append(sound, id)
		}
	}
	var refused error
	for _, chunk := range slices.Concat(slices.Collect(slices.Chunk(sound, batch)), slices.Collect(slices.Chunk(doubted, batch))) {
		call, cancel := bounded(ctx)
		answers, unknown, err := p.importer.describe(call, chunk, fewTries)
		cancel()
		if ctx.Err() != nil {
			return false
		}
		for _, id := range unknown {
			p.doubted[id] = true
		}
		for id, task := range answers {
			if task != nil {
				delete(p.doubted, id)
			}
			p.report(id, report{task: task})
		}
		switch {
		case err == nil:
		case throttled(err) || unavailable(err) || unreachable(err):
			troubled = true
			p.importer.log(ctx, "import tasks could not be described; polling slower", map[string]any{"error": err.Error()})
		default:
			refused = err
			if p.refusedSince.IsZero() {
				p.refusedSince = time.Now()
			}
			if time.Since(p.refusedSince) < refusedFor {
				p.importer.log(ctx, "describing import tasks was refused; trying again for a minute", map[string]any{"error": err.Error()})
				continue
			}
			for _, id := range chunk {
				if _, answered := answers[id]; !answered {
					p.report(id, report{err: err})
				}
			}
		}
	}
	if refused == nil && !troubled {
		p.refusedSince = time.Time{}
	}
	return troubled
}

// ids are the tasks somebody waits for, each once.
func (p *poller) ids() []string {
	p.importer.mu.Lock()
	defer p.importer.mu.Unlock()
	set := map[string]bool{}
	for w := range p.waiting {
		set[w.id] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// report puts r into the mailboxes of all who wait for id, in place of what they have not read yet. Only the poller's goroutine writes to them.
func (p *poller) report(id string, r report) {
	p.importer.mu.Lock()
	defer p.importer.mu.Unlock()
	for w := range p.waiting {
		if w.id != id {
			continue
		}
		select {
		case <-w.reports:
		default:
		}
		w.reports <- r
	}
}

// describe asks for ids. Each that was answered for is in answers, with nil where EC2 does not know it. EC2 refuses a whole call for one id it does
// not know: then that id, which is also returned in unknown, is taken out and the others are asked for again. With an error, answers has what came
// before it.
func (i *Importer) describe(
	ctx context.Context, ids []string, opts ...func(*ec2.Options),
) (answers map[string]*Task, unknown []string, err error) {
	answers = map[string]*Task{}
	for todo := [][]string{ids}; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		if len(part) == 0 {
			continue
		}
		err := i.describePart(ctx, part, answers, opts...)
		switch {
		case err == nil:
		case !unknownTask(err):
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

// describePart asks for ids in one call, with its pages where EC2 makes some.
func (i *Importer) describePart(ctx context.Context, ids []string, answers map[string]*Task, opts ...func(*ec2.Options)) error {
	found := map[string]*Task{}
	pages := ec2.NewDescribeImportSnapshotTasksPaginator(i.api, &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: ids},
		func(o *ec2.DescribeImportSnapshotTasksPaginatorOptions) { o.StopOnDuplicateToken = true })
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx, opts...)
		if err != nil {
			return err
		}
		for _, t := range page.ImportSnapshotTasks {
			task := taskOf(t)
			found[aws.ToString(t.ImportTaskId)] = &task
		}
	}
	for _, id := range ids {
		answers[id] = found[id]
	}
	return nil
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
