package localec2

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/sparse"
)

const (
	// conversions bounds how many images are read and written at a time; each conversion has workers of its own.
	conversions = 2

	// lockPoll is how soon a dead process's task is taken over, and how soon a cancel by another process is noticed.
	lockPoll = 500 * time.Millisecond

	// longestPause is the most that lies between two attempts on a task where they fail: it is the store that does, and the disk that it is on.
	longestPause = time.Minute
)

// workers carry on the tasks that this process is responsible for: those it started or canceled, and those it was asked to resume.
type workers struct {
	endpoint *Endpoint
	store    *store
	log      hclog.Logger
	slots    chan struct{}
	create   func(path string, size int64) (volumeFile, error)

	ctx  context.Context
	quit context.CancelFunc

	mu       sync.Mutex
	jobs     map[string]*job
	noticing bool // noticeCancels runs
	running  sync.WaitGroup
}

// volumeFile is a volume that grows.
type volumeFile interface {
	io.WriterAt
	io.Closer
	Sync() error
}

// job is one owned task.
type job struct {
	id      string
	kick    chan struct{} // says: look at the store now
	refusal string        // the message to end the task with, where the store has not taken it yet
}

func newWorkers(e *Endpoint) *workers {
	w := &workers{endpoint: e, store: e.store, log: e.log, slots: make(chan struct{}, conversions), jobs: map[string]*job{}}
	w.create = func(path string, size int64) (volumeFile, error) { return sparse.Create(path, size, 0o644) } // readable by any tool
	w.ctx, w.quit = context.WithCancel(context.Background())
	return w
}

// own makes a task this process's business until it is finished. A task that is owned already is looked at again.
func (w *workers) own(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return
	}
	if j, ok := w.jobs[id]; ok {
		j.look()
		return
	}
	j := &job{id: id, kick: make(chan struct{}, 1)}
	w.jobs[id] = j
	w.running.Go(func() { w.attend(j) })
	if !w.noticing {
		w.noticing = true
		w.running.Go(w.noticeCancels)
	}
}

// noticeCancels tells the jobs of tasks that another process has canceled, as long as there are jobs: it asks once for all of them, where each on its
// own would keep the store busy with what has not changed.
func (w *workers) noticeCancels() {
	ticker := time.NewTicker(lockPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-w.ctx.Done():
			return
		}
		w.mu.Lock()
		owned := slices.Collect(maps.Keys(w.jobs))
		w.noticing = len(owned) > 0
		w.mu.Unlock()
		if len(owned) == 0 {
			return
		}
		canceled, err := w.store.deletingTasks(owned)
		if err != nil {
			w.log.Warn("cannot look for canceled imports", "error", err)
		}
		w.mu.Lock()
		for _, id := range canceled {
			if j, owned := w.jobs[id]; owned {
				j.look()
			}
		}
		w.mu.Unlock()
	}
}

// look makes a job look at its task now; it may be about to do so anyway.
func (j *job) look() {
	select {
	case j.kick <- struct{}{}:
	default:
	}
}

// inBackground runs something that ends with the workers.
func (w *workers) inBackground(run func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() == nil {
		w.running.Go(run)
	}
}

// left says that no live process has the task.
func (w *workers) left(id string) bool {
	w.mu.Lock()
	_, owned := w.jobs[id]
	w.mu.Unlock()
	if owned {
		return false
	}
	lock, err := w.store.lockTask(id)
	if err != nil || lock == nil {
		return false // who cannot lock it cannot work on it
	}
	lock.release()
	return true
}

// attend works on the task as soon as no other process does, and takes over from one that dies.
func (w *workers) attend(j *job) {
	pause := lockPoll
	for {
		finished, err := w.attempt(j)
		if err != nil {
			pause = min(2*pause, longestPause)
			w.log.Error("cannot work on the import", "task", j.id, "error", err, "next_attempt_in", pause)
		} else {
			pause = lockPoll
		}
		if finished && w.forget(j) {
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-j.kick:
		case <-timer.C:
		case <-w.ctx.Done():
		}
		timer.Stop()
		if w.ctx.Err() != nil {
			return
		}
	}
}

// forget ends a job, unless someone has asked in the meantime to look again.
func (w *workers) forget(j *job) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-j.kick:
		return false
	default:
		delete(w.jobs, j.id)
		return true
	}
}

// attempt carries the task to its end if its lock is free, and reports whether it needs this process no more.
func (w *workers) attempt(j *job) (finished bool, err error) {
	lock, err := w.store.lockTask(j.id)
	if err != nil {
		return false, err
	}
	if lock != nil {
		defer lock.release()
	}
	t, err := w.store.task(j.id)
	if err != nil || t == nil {
		return err == nil, err
	}
	if t.Status != statusActive && t.Status != statusDeleting {
		return true, nil
	}
	if lock == nil {
		return false, nil
	}
	switch {
	case t.Status == statusDeleting:
	case j.refusal != "":
		if err := w.refuse(j, j.refusal); err != nil {
			return false, err
		}
	case t.FailWith == "" && !w.endpoint.reaches(*t): // a simulated failure reads no image
		return false, w.leave(*t)
	default:
		if strings.HasPrefix(t.StatusMessage, messageWaiting) {
			if _, err := w.store.setMessage(t.ID, messagePending); err != nil {
				return false, err
			}
		}
		completed, err := w.convert(j, *t)
		if completed || err != nil {
			return completed, err
		}
	}
	if w.ctx.Err() != nil {
		return true, nil
	}
	w.store.discard(w.store.partialPath(j.id)) // of a worker that was killed
	return true, w.store.finishTask(j.id)
}

// leave tells, where no one works on a task, whom it waits for. The caller holds the task's lock, so that it is true while it is written.
func (w *workers) leave(t task) error {
	message := t.waitingMessage()
	if t.StatusMessage == message {
		return nil
	}
	w.log.Warn("the image of an import is not reached from here", "task", t.ID, "message", message)
	_, err := w.store.setMessage(t.ID, message)
	return err
}

// refuse makes the task deleting, with the message. What the store does not take is kept for the next attempt, so that it is not for want of
// the last word that the work is done again.
func (w *workers) refuse(j *job, message string) error {
	j.refusal = message
	_, err := w.store.refuseTask(j.id, message)
	return err
}

// stop ends the work, without ending the tasks, and waits until nothing runs.
func (w *workers) stop() {
	w.mu.Lock()
	w.quit()
	w.mu.Unlock()
	w.running.Wait()
}
