package localec2

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
)

const taskColumns = `seq, id, account, region, client_token, request_hash, created_at, due_at, fail_with, strict, checksum, description,
	url, s3_bucket, s3_key, origin, declared_format, format, image_size, kms_key_arn, status, status_message, progress, snapshot_id`

// createTask stores a new task, or returns the one that was made with the same client token before. Of two processes with one token, one wins.
func (s *store) createTask(t task) (stored *task, err error) {
	err = s.write(func(tx transaction) error {
		if t.ClientToken != "" {
			stored, err = selectTask(tx, "account = ? AND region = ? AND client_token = ?", t.Account, t.Region, t.ClientToken)
			if err != nil || stored != nil {
				return err
			}
		}
		_, err := tx.exec(`INSERT INTO tasks (id, account, region, client_token, request_hash, created_at, due_at, fail_with, strict, checksum, description,
				url, s3_bucket, s3_key, origin, declared_format, format, image_size, kms_key_arn, status, status_message, progress, snapshot_id)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			t.ID, t.Account, t.Region, t.ClientToken, t.RequestHash, toMicros(t.CreatedAt), toMicros(t.DueAt), t.FailWith, t.Strict, t.Checksum, t.Description,
			t.URL, t.Bucket, t.Key, t.Origin, t.DeclaredFormat, t.Format, t.ImageSize, t.KMSKeyARN, t.Status, t.StatusMessage, t.Progress, t.SnapshotID)
		if err != nil {
			return fmt.Errorf("store the task: %w", err)
		}
		if err := putTags(tx, scope{t.Account, t.Region}, t.ID, t.Tags); err != nil {
			return err
		}
		stored, err = selectTask(tx, "id = ?", t.ID)
		return err
	})
	return stored, err
}

// taskByToken returns nil where no task was made with the token.
func (s *store) taskByToken(sc scope, token string) (t *task, err error) {
	err = s.read(func(tx transaction) error {
		t, err = selectTask(tx, "account = ? AND region = ? AND client_token = ?", sc.Account, sc.Region, token)
		return err
	})
	return t, err
}

// tasks returns the tasks of an account in a Region that have one of the ids, all of them where ids is empty, oldest first.
func (s *store) tasks(sc scope, ids []string) (tasks []task, err error) {
	err = s.read(func(tx transaction) error {
		where, args := sc.only("id", ids)
		tasks, err = selectTasks(tx, where+" ORDER BY seq", args...)
		if err != nil {
			return err
		}
		tags, err := selectTags(tx, sc, ids)
		for i := range tasks {
			tasks[i].Tags = tags[tasks[i].ID]
		}
		return err
	})
	return tasks, err
}

// task returns one task by its id, without its tags, and nil where there is none.
func (s *store) task(id string) (t *task, err error) {
	err = s.read(func(tx transaction) error {
		tasks, err := selectTasks(tx, "id = ?", id)
		if len(tasks) > 0 {
			t = &tasks[0]
		}
		return err
	})
	return t, err
}

// unfinishedTasks returns the tasks of all accounts that still need a worker, oldest first.
func (s *store) unfinishedTasks() (tasks []task, err error) {
	err = s.read(func(tx transaction) error {
		tasks, err = selectTasks(tx, "status IN (?, ?) ORDER BY seq", statusActive, statusDeleting)
		return err
	})
	return tasks, err
}

// deletingTasks are those of some tasks that were canceled or refused and are not ended yet.
func (s *store) deletingTasks(ids []string) (deleting []string, err error) {
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, fmt.Errorf("look for canceled tasks: %w", err)
	}
	err = s.read(func(tx transaction) error {
		deleting, err = selectRows(tx, func(row *sql.Rows, id *string) error { return row.Scan(id) },
			"SELECT id FROM tasks WHERE id IN (SELECT value FROM json_each(?)) AND status = ?", string(list), statusDeleting)
		return err
	})
	return deleting, err
}

// The following change an active task and report whether it still was active: what does not say so has lost against a cancel.

func (s *store) setValidated(id, format string, imageSize int64) (bool, error) {
	return s.changeTask("UPDATE tasks SET format = ?, image_size = ?, status_message = ?, progress = max(progress, ?) WHERE id = ? AND status = 'active'",
		format, imageSize, messageValidated, progressValidated, id)
}

func (s *store) setMessage(id, message string) (bool, error) {
	return s.changeTask("UPDATE tasks SET status_message = ? WHERE id = ? AND status = 'active'", message, id)
}

func (s *store) setProgress(id string, percent int) (bool, error) {
	return s.changeTask("UPDATE tasks SET status_message = ?, progress = max(progress, ?) WHERE id = ? AND status = 'active'",
		messageConverting, percent, id)
}

func (s *store) refuseTask(id, message string) (bool, error) {
	return s.changeTask("UPDATE tasks SET status = 'deleting', status_message = ? WHERE id = ? AND status = 'active'", message, id)
}

// finishTask ends a task that was refused or canceled, when nothing is left of it on disk.
func (s *store) finishTask(id string) error {
	_, err := s.changeTask("UPDATE tasks SET status = 'deleted' WHERE id = ? AND status = 'deleting'", id)
	return err
}

func (s *store) changeTask(query string, args ...any) (changed bool, err error) {
	err = s.write(func(tx transaction) error {
		changed, err = affected(tx.exec(query, args...))
		return err
	})
	return changed, err
}

func affected(r sql.Result, err error) (bool, error) {
	if err != nil {
		return false, fmt.Errorf("change the store: %w", err)
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// cancelTask makes an active task deleting and returns the status it had, "" where there is no such task.
func (s *store) cancelTask(sc scope, id, message string) (previous string, err error) {
	if !s.exists() {
		return "", nil
	}
	err = s.write(func(tx transaction) error {
		t, err := selectTask(tx, "account = ? AND region = ? AND id = ?", sc.Account, sc.Region, id)
		if err != nil || t == nil {
			return err
		}
		previous = t.Status
		_, err = tx.exec("UPDATE tasks SET status = 'deleting', status_message = ? WHERE id = ? AND status = 'active'", message, id)
		return err
	})
	return previous, err
}

// completeTask ends an active task with its snapshot, or reports that it is active no more. publish brings the volume to its place: it runs
// inside the transaction, whose write lock keeps every other process from seeing the volume without its snapshot.
func (s *store) completeTask(id string, sn snapshot, publish func() error) (won bool, err error) {
	err = s.write(func(tx transaction) error {
		won, err = affected(tx.exec(`UPDATE tasks SET status = 'completed', status_message = '', progress = 0, snapshot_id = ?
			WHERE id = ? AND status = 'active'`, sn.ID, id))
		if err != nil || !won {
			return err
		}
		_, err := tx.exec(`INSERT INTO snapshots (id, account, region, task_id, start_time, completion_time, size, written, kms_key_arn, sha256,
				tier_operation, tier_before, tier_start, restore_days, archived_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', 0, 0, 0)`,
			sn.ID, sn.Account, sn.Region, id, toMicros(sn.StartTime), toMicros(sn.CompletionTime), sn.Size, sn.Written, sn.KMSKeyARN, sn.SHA256)
		if err != nil {
			return fmt.Errorf("store the snapshot: %w", err)
		}
		return publish()
	})
	return won && err == nil, err
}

func selectTasks(tx transaction, where string, args ...any) ([]task, error) {
	return selectRows(tx, func(row *sql.Rows, t *task) error {
		var created, due int64
		err := row.Scan(&t.Seq, &t.ID, &t.Account, &t.Region, &t.ClientToken, &t.RequestHash, &created, &due, &t.FailWith, &t.Strict, &t.Checksum, &t.Description,
			&t.URL, &t.Bucket, &t.Key, &t.Origin, &t.DeclaredFormat, &t.Format, &t.ImageSize, &t.KMSKeyARN, &t.Status, &t.StatusMessage, &t.Progress,
			&t.SnapshotID)
		t.CreatedAt, t.DueAt = fromMicros(created), fromMicros(due)
		return err
	}, "SELECT "+taskColumns+" FROM tasks WHERE "+where, args...)
}

// selectTask returns one task with its tags, nil where there is none.
func selectTask(tx transaction, where string, args ...any) (*task, error) {
	tasks, err := selectTasks(tx, where, args...)
	if err != nil || len(tasks) == 0 {
		return nil, err
	}
	if len(tasks) > 1 {
		return nil, errors.New("read tasks: more than one where one was expected")
	}
	t := &tasks[0]
	t.Tags, err = tagsOf(tx, scope{t.Account, t.Region}, t.ID)
	return t, err
}
