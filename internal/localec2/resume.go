package localec2

import (
	"context"
	"errors"
	"time"
)

// Resume takes up the unfinished tasks of the configured account, in every Region. Tasks that another live process works on are left to it and taken
// over when it dies; those whose images this process does not reach get a status message that says whom they wait for, and no more. It may be
// called again at any time, and does nothing where there is no store yet.
func (e *Endpoint) Resume(ctx context.Context) error {
	return e.resume(func(t task) bool { return t.Account == e.config.AccountID })
}

// ResumeAll is Resume for every account, now and, until Close, whenever a process has died on tasks: a server is there for all that its callers
// name by their access keys, and is not called again by someone who has an import to finish. A data directory that cannot be used is an error here
// already, not only of the first import.
func (e *Endpoint) ResumeAll(ctx context.Context) error {
	if err := e.store.openForWrite(); err != nil {
		return err
	}
	if err := e.resume(func(task) bool { return true }); err != nil {
		return err
	}
	e.workers.inBackground(e.takeUpLeft)
	return nil
}

func (e *Endpoint) resume(ours func(t task) bool) error {
	if !e.begin() {
		return errors.New("resume imports: the local endpoint is closed")
	}
	defer e.requests.Done()
	if !e.store.exists() {
		return nil
	}
	if err := e.store.openForWrite(); err != nil {
		return err
	}
	tasks, err := e.store.unfinishedTasks()
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if ours(t) {
			e.workers.own(t.ID)
		}
	}
	return nil
}

// leftPoll is how often a server looks for tasks that no live process works on.
const leftPoll = 5 * time.Second

func (e *Endpoint) takeUpLeft() {
	ticker := time.NewTicker(leftPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-e.workers.ctx.Done():
			return
		}
		// Those whose workers live need no second one who looks at them all the time.
		if err := e.resume(func(t task) bool { return e.workers.left(t.ID) }); err != nil && e.workers.ctx.Err() == nil {
			e.log.Warn("cannot look for imports that were left", "error", err)
		}
	}
}
