package localec2

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
)

// tagRow is a tag with what it is on.
type tagRow struct {
	Seq          int64
	ResourceID   string
	ResourceType string
	tag
}

// allTags returns the tags of an account in a Region, in the order in which they were made.
func (s *store) allTags(sc scope) (rows []tagRow, err error) {
	err = s.read(func(tx transaction) error {
		rows, err = selectTagRows(tx, "account = ? AND region = ? ORDER BY seq", sc.Account, sc.Region)
		return err
	})
	return rows, err
}

// changeTags changes the tags of several resources, of all or of none. It refuses a resource that is not there.
func (s *store) changeTags(sc scope, ids []string, change func(tx transaction, id string) error) error {
	if !s.exists() {
		return resourceNotFound(ids[0])
	}
	return s.write(func(tx transaction) error {
		for _, id := range ids {
			table := "snapshots"
			if resourceType(id) == taskResourceType {
				table = "tasks"
			}
			var n int
			if err := tx.queryRow("SELECT count(*) FROM "+table+" WHERE account = ? AND region = ? AND id = ?", sc.Account, sc.Region, id).Scan(&n); err != nil {
				return fmt.Errorf("look for %s: %w", id, err)
			}
			if n == 0 {
				return resourceNotFound(id)
			}
			if err := change(tx, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// putTags adds or replaces tags of a resource, up to EC2's quota.
func putTags(tx transaction, sc scope, id string, tags []tag) error {
	for _, t := range tags {
		_, err := tx.exec(`INSERT INTO tags (account, region, resource_id, resource_type, key, value) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (account, region, resource_id, key) DO UPDATE SET value = excluded.value`,
			sc.Account, sc.Region, id, resourceType(id), t.Key, t.Value)
		if err != nil {
			return fmt.Errorf("store a tag: %w", err)
		}
	}
	now, err := tagsOf(tx, sc, id)
	if err == nil && len(now) > maxTags {
		err = tooManyTags()
	}
	return err
}

// removeTag removes a tag of a resource, whatever its value where value is nil.
func removeTag(tx transaction, sc scope, id, key string, value *string) error {
	query, args := "DELETE FROM tags WHERE account = ? AND region = ? AND resource_id = ? AND key = ?", []any{sc.Account, sc.Region, id, key}
	if value != nil {
		query, args = query+" AND value = ?", append(args, *value)
	}
	if _, err := tx.exec(query, args...); err != nil {
		return fmt.Errorf("remove a tag: %w", err)
	}
	return nil
}

func removeAllTags(tx transaction, sc scope, id string) error {
	if _, err := tx.exec("DELETE FROM tags WHERE account = ? AND region = ? AND resource_id = ?", sc.Account, sc.Region, id); err != nil {
		return fmt.Errorf("remove tags: %w", err)
	}
	return nil
}

// resourceType is EC2's name for what an id of ours stands for.
func resourceType(id string) string {
	if strings.HasPrefix(id, taskPrefix) {
		return taskResourceType
	}
	return "snapshot"
}

func tagsOf(tx transaction, sc scope, id string) ([]tag, error) {
	rows, err := selectTagRows(tx, "account = ? AND region = ? AND resource_id = ? ORDER BY key", sc.Account, sc.Region, id)
	var tags []tag
	for _, r := range rows {
		tags = append(tags, r.tag)
	}
	return tags, err
}

// only is the condition for what is in a scope and, where there are ids, has one of them in the column. The ids are one argument, however many, and an
// index finds them: a describe call of one thing must not read all the others.
func (s scope) only(column string, ids []string) (where string, args []any) {
	where, args = "account = ? AND region = ?", []any{s.Account, s.Region}
	if len(ids) == 0 {
		return where, args
	}
	list, _ := json.Marshal(ids) // strings always can be
	return where + " AND " + column + " IN (SELECT value FROM json_each(?))", append(args, string(list))
}

// selectTags returns the tags of the resources with the ids, of every resource where ids is empty, by resource, ordered by key.
func selectTags(tx transaction, sc scope, ids []string) (map[string][]tag, error) {
	where, args := sc.only("resource_id", ids)
	rows, err := selectTagRows(tx, where+" ORDER BY key", args...)
	tags := map[string][]tag{}
	for _, r := range rows {
		tags[r.ResourceID] = append(tags[r.ResourceID], r.tag)
	}
	return tags, err
}

func selectTagRows(tx transaction, where string, args ...any) ([]tagRow, error) {
	return selectRows(tx, func(row *sql.Rows, r *tagRow) error {
		return row.Scan(&r.Seq, &r.ResourceID, &r.ResourceType, &r.Key, &r.Value)
	}, "SELECT seq, resource_id, resource_type, key, value FROM tags WHERE "+where, args...)
}
