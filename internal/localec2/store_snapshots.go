package localec2

import (
	"database/sql"
	"errors"
	"fmt"
)

const snapshotColumns = `seq, id, account, region, task_id, start_time, completion_time, size, written, kms_key_arn, sha256,
	tier_operation, tier_before, tier_start, restore_days, archived_at`

// snapshots returns the snapshots of an account in a Region that have one of the ids, all of them where ids is empty, oldest first.
func (s *store) snapshots(sc scope, ids []string) (snapshots []snapshot, err error) {
	err = s.read(func(tx transaction) error {
		where, args := sc.only("id", ids)
		snapshots, err = selectSnapshots(tx, where+" ORDER BY seq", args...)
		if err != nil {
			return err
		}
		tags, err := selectTags(tx, sc, ids)
		for i := range snapshots {
			snapshots[i].Tags = tags[snapshots[i].ID]
		}
		return err
	})
	return snapshots, err
}

// changeSnapshot changes the tiering of one snapshot, or refuses an id that is not there.
func (s *store) changeSnapshot(sc scope, id string, change func(sn *snapshot) error) error {
	if !s.exists() {
		return snapshotNotFound(id)
	}
	return s.write(func(tx transaction) error {
		found, err := selectSnapshots(tx, "account = ? AND region = ? AND id = ?", sc.Account, sc.Region, id)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return snapshotNotFound(id)
		}
		sn := &found[0]
		if err := change(sn); err != nil {
			return err
		}
		_, err = tx.exec("UPDATE snapshots SET tier_operation = ?, tier_before = ?, tier_start = ?, restore_days = ?, archived_at = ? WHERE id = ?",
			sn.Tiering.Operation, sn.Tiering.Before, toMicros(sn.Tiering.Start), sn.Tiering.RestoreDays, toMicros(sn.Tiering.ArchivedAt), id)
		if err != nil {
			return fmt.Errorf("store the tier: %w", err)
		}
		return nil
	})
}

// deleteSnapshot forgets a snapshot and its tags. Its volume is removed afterwards: a process killed in between leaves a file that the next
// sweep takes, never a snapshot without its file.
func (s *store) deleteSnapshot(sc scope, id string) error {
	if !s.exists() {
		return snapshotNotFound(id)
	}
	return s.write(func(tx transaction) error {
		deleted, err := affected(tx.exec("DELETE FROM snapshots WHERE account = ? AND region = ? AND id = ?", sc.Account, sc.Region, id))
		if err != nil {
			return err
		}
		if !deleted {
			return snapshotNotFound(id)
		}
		_, err = tx.exec("DELETE FROM tags WHERE account = ? AND region = ? AND resource_id = ?", sc.Account, sc.Region, id)
		if err != nil {
			return fmt.Errorf("forget the tags: %w", err)
		}
		return nil
	})
}

// volumeSHA256 returns the checksum of a snapshot's volume, "" where none was kept.
func (s *store) volumeSHA256(account, id string) (sha string, err error) {
	found := false
	err = s.read(func(tx transaction) error {
		err := tx.queryRow("SELECT sha256 FROM snapshots WHERE account = ? AND id = ?", account, id).Scan(&sha)
		found = err == nil
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err == nil && !found {
		err = snapshotNotFound(id)
	}
	return sha, err
}

func selectSnapshots(tx transaction, where string, args ...any) ([]snapshot, error) {
	return selectRows(tx, func(row *sql.Rows, sn *snapshot) error {
		var start, completion, tierStart, archivedAt int64
		err := row.Scan(&sn.Seq, &sn.ID, &sn.Account, &sn.Region, &sn.TaskID, &start, &completion, &sn.Size, &sn.Written, &sn.KMSKeyARN,
			&sn.SHA256, &sn.Tiering.Operation, &sn.Tiering.Before, &tierStart, &sn.Tiering.RestoreDays, &archivedAt)
		sn.StartTime, sn.CompletionTime = fromMicros(start), fromMicros(completion)
		sn.Tiering.Start, sn.Tiering.ArchivedAt = fromMicros(tierStart), fromMicros(archivedAt)
		return err
	}, "SELECT "+snapshotColumns+" FROM snapshots WHERE "+where, args...)
}
