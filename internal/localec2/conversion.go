package localec2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/sparse"
)

// Progress, in percent, as a task passes its stages.
const (
	progressValidated  = 3
	progressConverting = 5
	progressWritten    = 95
)

// refusal ends a task with VM Import's words.
type refusal struct {
	message string
	cause   error
}

func (r *refusal) Error() string { return r.message }
func (r *refusal) Unwrap() error { return r.cause }

// errInactive says that the task was canceled while it was worked on.
var errInactive = errors.New("the import task is not active any more")

// convert carries an active task to its end and reports whether that is completion. If it is not, and the error is nil, the task is deleting, or
// the process is stopping. It leaves no growing volume; what a killed process leaves, the next one clears away. The caller holds the task's lock.
func (w *workers) convert(j *job, t task) (completed bool, err error) {
	ctx, cancel := context.WithCancelCause(w.ctx)
	c := &conversion{workers: w, task: t, partial: w.store.partialPath(t.ID)}
	var watching sync.WaitGroup
	watching.Add(1)
	go func() {
		defer watching.Done()
		c.watch(ctx, cancel, j.kick)
	}()
	sn, err := c.run(ctx)
	cause := context.Cause(ctx)
	cancel(nil)
	watching.Wait()
	if err == nil {
		completed, err = c.complete(sn)
	}
	if completed {
		return true, nil
	}
	// Before the store is told: where this volume has filled the disk, the store has no room to take anything.
	w.store.discard(c.partial)

	var refused *refusal
	switch {
	case err == nil, errors.Is(cause, errInactive), errors.Is(err, errInactive):
		w.log.Info("import ended by a cancel", "task", t.ID)
		return false, nil //nolint:nilerr // a cancel is nobody's failure
	case w.ctx.Err() != nil:
		w.log.Info("import left for the next process", "task", t.ID)
		return false, nil //nolint:nilerr // a stop is no failure of the import
	case errors.As(err, &refused):
		w.log.Warn("import refused", "task", t.ID, "source", c.task.location(), "message", refused.message, "error", refused.cause)
		return false, w.refuse(j, refused.message)
	}
	w.log.Error("import failed", "task", t.ID, "source", c.task.location(), "error", err)
	return false, w.refuse(j, c.localError(err))
}

// localError tells, as the status message of the task, what is this machine's fault: a disk that is full, a directory that cannot be written. EC2
// says ServerError of what is its own.
func (c *conversion) localError(err error) string {
	return fmt.Sprintf("LocalError: %s; the volume could not be made in the data_dir %q of the local endpoint: make room there, let it be written, "+
		"or name another directory with data_dir, --data-dir or EC2_LOCAL_DATA_DIR, then import again", err, c.store.dir)
}

// conversion is the work on one task.
type conversion struct {
	*workers
	task    task
	partial string
	percent atomic.Int64 // 0 until there is something to tell
	told    atomic.Int64 // what the store knows of it
}

// watch tells the store how far the work is, and the work when the task was canceled. It looks when it is told to, not now and then: there may be
// hundreds of conversions that only wait for their time (see noticeCancels).
func (c *conversion) watch(ctx context.Context, cancel context.CancelCauseFunc, kick <-chan struct{}) {
	ticker := time.NewTicker(lockPoll)
	defer ticker.Stop()
	for {
		report := c.report
		select {
		case <-kick:
			report = c.active
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		active, err := report()
		if err != nil {
			c.log.Warn("cannot note the progress", "task", c.task.ID, "error", err)
		} else if !active {
			cancel(errInactive)
			return
		}
	}
}

// report notes the progress, where there is some, and says whether the task is still active, as far as that shows.
func (c *conversion) report() (bool, error) {
	if percent := c.percent.Load(); c.told.Swap(percent) != percent {
		return c.store.setProgress(c.task.ID, int(percent))
	}
	return true, nil
}

// active says whether the task is still active.
func (c *conversion) active() (bool, error) {
	t, err := c.store.task(c.task.ID)
	return err == nil && t != nil && t.Status == statusActive, err
}

// run makes the volume under its temporary name and waits until the task is due.
func (c *conversion) run(ctx context.Context) (snapshot, error) {
	if c.task.FailWith != "" {
		if err := c.waitUntilDue(ctx); err != nil {
			return snapshot{}, err
		}
		return snapshot{}, &refusal{message: c.task.FailWith}
	}
	sn, err := c.produce(ctx)
	if err != nil {
		return snapshot{}, err
	}
	return sn, c.waitUntilDue(ctx)
}

func (c *conversion) waitUntilDue(ctx context.Context) error {
	timer := time.NewTimer(time.Until(c.task.DueAt))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// produce reads the image and writes the volume.
func (c *conversion) produce(ctx context.Context) (snapshot, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return snapshot{}, context.Cause(ctx)
	}

	object, err := c.endpoint.config.Images.Open(ctx, c.task.location())
	if err != nil {
		return snapshot{}, sourceRefusal(err)
	}
	defer func() { _ = object.Close() }()
	source := &sourceReader{Object: object}
	img, err := detect.Open(source, object.Size(), c.task.DeclaredFormat)
	if err == nil {
		defer img.Close()
	}
	if refused := c.judge(source, img, err); refused != nil {
		return snapshot{}, refused
	}
	active, err := c.store.setValidated(c.task.ID, string(img.Format), object.Size())
	if err != nil {
		return snapshot{}, err
	}
	if !active {
		return snapshot{}, errInactive
	}
	c.log.Info("image validated", "task", c.task.ID, "format", img.Format, "sub_format", img.SubFormat, "virtual_size", img.Size())

	sn := snapshot{
		Account: c.task.Account, Region: c.task.Region, TaskID: c.task.ID,
		StartTime: time.Now(), Size: img.Size(), KMSKeyARN: c.task.KMSKeyARN,
	}
	sn.Written, err = c.writeVolume(ctx, source, img)
	if err != nil {
		return snapshot{}, err
	}
	if c.task.Checksum {
		if sn.SHA256, err = c.checksum(ctx); err != nil {
			return snapshot{}, err
		}
	}
	return sn, nil
}

// judge refuses what VM Import would refuse, or, when not strict, only what cannot be read.
func (c *conversion) judge(source *sourceReader, img *detect.Image, err error) error {
	if failed := source.failure(); failed != nil {
		return sourceRefusal(failed)
	}
	verdict := detect.VMImport(img, err)
	if err == nil && (verdict.Importable || !c.task.Strict) {
		return nil
	}
	if verdict.StatusMessage == "" {
		// VM Import takes such images, but there is no reader for this one here.
		verdict.StatusMessage = fmt.Sprintf("ClientError: Disk validation failed [%s]", err)
	}
	if err == nil {
		err = fmt.Errorf("%s; strict = false in local, or --strict=false of serve, imports it as it is", verdict.Reason)
	}
	return &refusal{message: verdict.StatusMessage, cause: err}
}

// writeVolume writes the image's data into a sparse file and sees that it is on the disk.
func (c *conversion) writeVolume(ctx context.Context, source *sourceReader, img *detect.Image) (written int64, err error) {
	c.percent.Store(progressConverting)
	active, err := c.report()
	if err != nil {
		return 0, err
	}
	if !active {
		return 0, errInactive
	}
	c.store.discard(c.partial) // of a worker that was killed
	file, err := c.create(c.partial, img.Size())
	if err != nil {
		return 0, err
	}
	defer func() {
		if cerr := file.Close(); err == nil {
			err = cerr
		}
	}()
	target := &volumeWriter{WriterAt: file}
	written, err = convert.Copy(ctx, target, img, convert.Options{Remote: source.Remote(), Progress: func(done, total int64) {
		if total > 0 {
			c.percent.Store(progressConverting + (progressWritten-progressConverting)*done/total)
		}
	}})
	switch {
	case err == nil:
		return written, flush(ctx, file)
	case ctx.Err() != nil:
		return written, context.Cause(ctx)
	case target.failure() != nil:
		return written, target.failure()
	case source.failure() != nil:
		return written, sourceRefusal(source.failure())
	}
	return written, c.judge(source, nil, err)
}

// flush waits until the volume is on the disk, or the work is to end: a disk may take minutes, and Close and a cancel wait for none.
func flush(ctx context.Context, file volumeFile) error {
	flushed := make(chan error, 1)
	go func() { flushed <- file.Sync() }()
	select {
	case err := <-flushed:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// checksum hashes the file that was written, not the image: it is a statement about the volume.
func (c *conversion) checksum(ctx context.Context) (string, error) {
	file, err := os.Open(c.partial)
	if err != nil {
		return "", err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	volume, err := detect.Open(sparse.File{File: file}, info.Size(), string(detect.RAW))
	if err != nil {
		return "", err
	}
	defer volume.Close()
	return convert.SHA256(ctx, volume, convert.Options{})
}

// completions is how often completing is tried: for some seconds, beside what SQLite waits for a lock.
const completions = 5

// complete publishes the volume with its snapshot, or reports that a cancel came first. The volume may be the work of hours: while it is whole, it
// is not given up for a store that is busy, or a disk that is full, for a moment.
func (c *conversion) complete(sn snapshot) (bool, error) {
	pause := lockPoll
	for tried := 1; ; tried++ {
		sn.ID, sn.CompletionTime = newID(snapshotPrefix), time.Now() // a new id: what bears the old one may be swept away at any time
		won, err := c.publish(sn)
		if err == nil {
			if won {
				c.log.Info("import completed", "task", c.task.ID, "snapshot", sn.ID, "written", sn.Written, "sha256", sn.SHA256)
			}
			return won, nil
		}
		err = fmt.Errorf("complete the import: %w", err)
		if _, gone := os.Stat(c.partial); gone != nil || tried == completions {
			return false, err
		}
		c.log.Warn("cannot complete the import yet", "task", c.task.ID, "error", err, "next_attempt_in", pause)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-c.ctx.Done():
			timer.Stop()
			return false, errors.Join(err, c.ctx.Err())
		}
		pause *= 2
	}
}

// publish gives the volume its name and stores its snapshot, both or neither.
func (c *conversion) publish(sn snapshot) (bool, error) {
	final := c.store.path(volumesDir, sn.ID+volumeSuffix)
	renamed := false
	won, err := c.store.completeTask(c.task.ID, sn, func() error {
		if err := os.Rename(c.partial, final); err != nil {
			return err
		}
		renamed = true
		return syncDir(filepath.Dir(final))
	})
	if err != nil && renamed {
		if rerr := os.Rename(final, c.partial); rerr != nil {
			c.store.discard(final)
			err = errors.Join(err, rerr)
		}
	}
	return won, err
}

// sourceRefusal ends a task whose object cannot be read, in VM Import's words where it has some: they blame the role, which is wrong of a source
// that broke off or changed.
func sourceRefusal(err error) error {
	why := err.Error()
	switch {
	case errors.Is(err, imagesource.ErrForbidden):
		why = "We do not have access to the given resource. Reason 403 Forbidden"
	case errors.Is(err, imagesource.ErrNotFound), errors.Is(err, imagesource.ErrNoBucket):
		why = "We do not have access to the given resource. Reason 404 Not Found"
	}
	return &refusal{message: "ClientError: Disk validation failed [" + why + "]", cause: err}
}

// sourceReader and volumeWriter remember their first error, so that a bad image, a source that went away and a full disk are told apart,
// whatever the layers between make of the error.
type sourceReader struct {
	*imagesource.Object
	firstError
}

func (r *sourceReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.Object.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		r.note(err)
	}
	return n, err
}

// NextData knows the holes of the source.
func (r *sourceReader) NextData(off int64) (start, end int64, err error) {
	start, end, err = r.Object.NextData(off)
	if err != nil && !errors.Is(err, io.EOF) {
		r.note(err)
	}
	return start, end, err
}

var _ diskimage.DataMap = (*sourceReader)(nil)

type volumeWriter struct {
	io.WriterAt
	firstError
}

func (w *volumeWriter) WriteAt(p []byte, off int64) (int, error) {
	n, err := w.WriterAt.WriteAt(p, off)
	if err != nil {
		w.note(err)
	}
	return n, err
}

type firstError struct {
	mu  sync.Mutex
	err error
}

func (f *firstError) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *firstError) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
