package localec2

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"modernc.org/sqlite"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/sparse"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// faults are functions by data directory. In SQL, fault(directory) fails as the function does, and faulty(directory) says whether it does: with
// them a trigger makes the store fail as a test wants.
var faults sync.Map

func init() {
	ask := func(args []driver.Value) error {
		if f, ok := faults.Load(args[0]); ok {
			return f.(func() error)()
		}
		return nil
	}
	sqlite.MustRegisterScalarFunction("fault", 1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		return nil, ask(args)
	})
	sqlite.MustRegisterScalarFunction("faulty", 1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		return ask(args) != nil, nil
	})
}

// breakStore runs statements in which DIR is the argument of fault or faulty.
func (h *host) breakStore(t *testing.T, statements string, f func() error) {
	t.Helper()
	faults.Store(h.config.DataDir, f)
	t.Cleanup(func() { faults.Delete(h.config.DataDir) })
	err := h.store.write(func(tx transaction) error {
		_, err := tx.exec(strings.ReplaceAll(statements, "DIR", "'"+h.config.DataDir+"'"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// refusals makes f decide whether the store takes the end of a task.
const refusals = "CREATE TRIGGER refusals BEFORE UPDATE ON tasks WHEN NEW.status = 'deleting' BEGIN SELECT fault(DIR); END"

var errStoreFull = errors.New("database or disk is full")

// volume is a file on a disk that behaves as a test wants.
type volume struct {
	volumeFile
	write func(n int) error // before n bytes are written
	sync  func() error
}

func (v volume) WriteAt(p []byte, at int64) (int, error) {
	if v.write != nil {
		if err := v.write(len(p)); err != nil {
			return 0, err
		}
	}
	return v.volumeFile.WriteAt(p, at)
}

func (v volume) Sync() error {
	if v.sync != nil {
		return v.sync()
	}
	return v.volumeFile.Sync()
}

// volumes puts v in the place of the volumes that are made, and counts them.
func (h *host) volumes(v volume) *atomic.Int64 {
	var made atomic.Int64
	h.workers.create = func(path string, size int64) (volumeFile, error) {
		made.Add(1)
		file, err := sparse.Create(path, size, 0o600)
		return volume{file, v.write, v.sync}, err
	}
	return &made
}

func diskFull(int) error { return fmt.Errorf("write the volume: %w", syscall.ENOSPC) }

// wantLocalError waits for the end of a task that this machine is to blame for.
func (h *host) wantLocalError(t *testing.T, id, why string) {
	t.Helper()
	message := *h.wait(t, id, statusDeleted).StatusMessage
	for _, part := range []string{"LocalError: ", why, h.config.DataDir, "data_dir", "import again"} {
		if !strings.Contains(message, part) {
			t.Errorf("no %q in %q", part, message)
		}
	}
	eventually(t, func() bool { return len(h.files(t)) == 0 })
}

// TestDiskFull: the volume that filled the disk goes before the store is told, which needs room too.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.put(t, "disk.img", pattern(1<<20, 1))
	made := h.volumes(volume{write: diskFull})
	var refused atomic.Int64
	h.breakStore(t, refusals, func() error {
		if slices.ContainsFunc(h.files(t), func(name string) bool { return strings.HasSuffix(name, partialSuffix) }) {
			refused.Add(1)
			return errStoreFull
		}
		return nil
	})
	h.wantLocalError(t, h.importKey(t, "disk.img"), "no space left on device")
	if made.Load() != 1 || refused.Load() != 0 {
		t.Errorf("converted %d times; %d times there was no room for the end of the task", made.Load(), refused.Load())
	}
}

// TestEndThatCannotBeStored: the work is not done again for it, and the store is asked less and less often.
func TestEndThatCannotBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		h.put(t, "disk.img", pattern(1<<20, 1))
		made := h.volumes(volume{write: diskFull})
		var asked atomic.Int64
		h.breakStore(t, refusals, func() error {
			asked.Add(1)
			return errStoreFull
		})
		id := h.importKey(t, "disk.img")
		sleep(10 * time.Minute)
		if d := h.describe(t, id); *d.Status != statusActive {
			t.Errorf("status %s", *d.Status)
		}
		if n := asked.Load(); made.Load() != 1 || n < 5 || n > 20 {
			t.Errorf("in ten minutes converted %d times, asked the store %d times", made.Load(), n)
		}
		faults.Store(h.config.DataDir, func() error { return nil })
		sleep(time.Minute)
		synctest.Wait()
		h.wantLocalError(t, id, "no space left on device")
		if n := made.Load(); n != 1 {
			t.Errorf("converted %d times", n)
		}
	})
}

// TestSourceRefusals: only what AWS says of its role or its object is said in those words, because the failure catalogue blames by them.
func TestSourceRefusals(t *testing.T) {
	t.Parallel()
	const access = "We do not have access to the given resource. Reason "
	for _, tc := range []struct {
		err  error
		want string
	}{
		{imagesource.ErrForbidden, access + "403 Forbidden"},
		{imagesource.ErrNotFound, access + "404 Not Found"},
		{imagesource.ErrNoBucket, access + "404 Not Found"},
		{imagesource.ErrChanged, "read s3://images/disk.img: the object changed while it was read"},
		{errors.New("connection reset by peer"), "read s3://images/disk.img: connection reset by peer"},
	} {
		err := fmt.Errorf("read s3://images/disk.img: %w", tc.err)
		if got := sourceRefusal(err); got.Error() != "ClientError: Disk validation failed ["+tc.want+"]" || !errors.Is(got, tc.err) {
			t.Errorf("%v: %v", tc.err, got)
		}
	}
}

// TestTaskKeepsItsTerms: strict and checksum hold as they were when the import was asked for, whatever the process is told that ends it.
func TestTaskKeepsItsTerms(t *testing.T) {
	t.Parallel()
	data := pattern(1<<20, 1)
	v := testimage.VMDK{Layout: testimage.GDAtEnd, Size: 9 << 40, GrainSectors: 2 << 20 / 512}
	tooLarge := v.Build(testimage.Run{Data: data}).Data
	for name, asked := range map[string]bool{"asked for": true, "not asked for": false} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, func(c *Config) { c.Strict, c.Checksum = asked, asked })
			h.put(t, "disk.img", data)
			h.put(t, "large.vmdk", tooLarge)
			for range cap(h.workers.slots) {
				h.workers.slots <- struct{}{} // so that nothing is read
			}
			small, large := h.importKey(t, "disk.img"), h.importKey(t, "large.vmdk")
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			config := h.config
			config.Strict, config.Checksum = !asked, !asked
			next := &host{Endpoint: New(config)}
			defer next.Close()
			next.inProcess()
			if err := next.Resume(t.Context()); err != nil {
				t.Fatal(err)
			}
			sn := *next.wait(t, small, statusCompleted).SnapshotId
			if volume, err := next.Volume(t.Context(), sn); err != nil || (volume.SHA256 != "") != asked {
				t.Errorf("%+v, %v", volume, err)
			}
			if asked {
				next.wait(t, large, statusDeleted)
			} else if file, err := sparse.Create(filepath.Join(t.TempDir(), "probe"), v.Size, 0o600); err == nil { // what the file system holds at all
				file.Close()
				next.wait(t, large, statusCompleted)
			}
		})
	}
}

// breakCommits makes the commit that completes a task fail, when the volume has its name already, as long as f fails.
func (h *host) breakCommits(t *testing.T, f func() error) {
	t.Helper()
	h.breakStore(t, `CREATE TABLE parents (id INTEGER PRIMARY KEY);
		CREATE TABLE children (id INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED);
		CREATE TRIGGER commits AFTER INSERT ON snapshots WHEN faulty(DIR) BEGIN INSERT INTO children VALUES (1); END`, f)
	if _, err := h.store.db.ExecContext(t.Context(), "PRAGMA foreign_keys = ON"); err != nil {
		t.Fatal(err)
	}
}

// TestCommitFails: the volume is whole, so completing is tried again, and nothing stays of it where that does not help.
func TestCommitFails(t *testing.T) {
	for name, failures := range map[string]int64{"for a moment": completions - 1, "for good": completions} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t, nil)
				data := pattern(1<<20, 1)
				h.put(t, "disk.img", data)
				made := h.volumes(volume{})
				var tried atomic.Int64
				h.breakCommits(t, func() error {
					if tried.Add(1) > failures {
						return nil
					}
					return errStoreFull
				})
				id := h.importKey(t, "disk.img")
				if failures < completions {
					h.wantVolume(t, *h.wait(t, id, statusCompleted).SnapshotId, data)
				} else {
					h.wantLocalError(t, id, "FOREIGN KEY constraint failed")
				}
				if made.Load() != 1 {
					t.Errorf("converted %d times", made.Load())
				}
			})
		})
	}
}

// TestCancelAgainstCompletion pins what TestCancelRace leaves to chance: each side wins once, at the last moment.
func TestCancelAgainstCompletion(t *testing.T) {
	t.Parallel()
	t.Run("the cancel is first", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, nil)
		h.put(t, "disk.img", pattern(4096, 1))
		started := make(chan string, 1)
		h.volumes(volume{sync: func() error { // the volume is whole; its worker does not know of the cancel yet
			previous, err := h.store.cancelTask(scope{testAccount, defaultRegion}, <-started, "enough")
			if previous != statusActive {
				t.Errorf("the task was %s", previous)
			}
			return err
		}})
		id := h.importKey(t, "disk.img")
		started <- id
		if d := h.wait(t, id, statusDeleted); *d.StatusMessage != "enough" || d.SnapshotId != nil {
			t.Errorf("%s, snapshot %v", *d.StatusMessage, d.SnapshotId)
		}
		eventually(t, func() bool { return len(h.files(t)) == 0 })
	})
	t.Run("the completion is first", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, nil)
		data := pattern(4096, 1)
		h.put(t, "disk.img", data)
		id := h.importKey(t, "disk.img")
		sn := *h.wait(t, id, statusCompleted).SnapshotId
		_, err := h.ec2.CancelImportTask(t.Context(), &ec2.CancelImportTaskInput{ImportTaskId: &id})
		wantCode(t, err, "InvalidParameter", "completed")
		if d := h.describe(t, id); *d.Status != statusCompleted || aws.ToString(d.SnapshotId) != sn {
			t.Errorf("after the cancel: %s, %v", *d.Status, d.SnapshotId)
		}
		h.wantVolume(t, sn, data)
	})
}

// TestCloseIsQuick: a process that ends waits for no disk and no server, and leaves no growing volume.
func TestCloseIsQuick(t *testing.T) {
	t.Parallel()
	closed := func(t *testing.T, h *host) {
		t.Helper()
		began := time.Now()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("Close took %s", took)
		}
		if left := h.files(t); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	}
	t.Run("while the disk takes its time", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, nil)
		h.put(t, "disk.img", pattern(4096, 1))
		reached, release := make(chan struct{}), make(chan struct{})
		h.volumes(volume{sync: func() error {
			close(reached)
			<-release
			return nil
		}})
		timer := time.AfterFunc(time.Minute, func() { close(release) })
		h.importKey(t, "disk.img")
		<-reached
		closed(t, h)
		if timer.Stop() {
			close(release)
		}
	})
	t.Run("while a large image is copied", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, nil)
		const size = 64 << 20
		h.put(t, "disk.img", pattern(size, 1))
		reached := make(chan struct{})
		var once sync.Once
		var written atomic.Int64
		h.volumes(volume{write: func(n int) error {
			once.Do(func() { close(reached) })
			<-h.workers.ctx.Done() // or a fast machine is done before this test closes it
			written.Add(int64(n))
			return nil
		}})
		h.importKey(t, "disk.img")
		<-reached
		closed(t, h)
		if n := written.Load(); n == 0 || n > size/2 {
			t.Errorf("%d bytes of %d were written behind Close", n, size)
		}
	})
	t.Run("while a source does not answer", func(t *testing.T) {
		t.Parallel()
		reached := make(chan struct{})
		h := newHost(t, func(c *Config) {
			c.Images = &imagesource.Opener{S3: func(ctx context.Context, _ string) (*s3.Client, error) {
				close(reached)
				<-ctx.Done()
				return nil, ctx.Err()
			}}
		})
		failed := make(chan int)
		go func() {
			status, _, _ := h.post(t, "Action", "ImportSnapshot", "DiskContainer.Url", "s3://images/disk.img")
			failed <- status
		}()
		<-reached
		closed(t, h)
		if status := <-failed; status != 500 {
			t.Errorf("the import was answered with %d", status)
		}
	})
}
