package localec2

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

const (
	storeFile    = "state.db"
	volumesDir   = "volumes"
	locksDir     = "locks"
	volumeSuffix = ".raw"
)

// store keeps tasks, snapshots and tags in a directory that several processes may share. It opens on first use: what reads does not create
// the directory, what writes does, and clears away what killed processes left.
type store struct {
	dir string
	log hclog.Logger

	mu      sync.Mutex
	db      *sql.DB
	swept   bool
	closing bool
}

func newStore(dir string, log hclog.Logger) *store { return &store{dir: dir, log: log} }

func (s *store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// exists reports whether there is a store on disk. A directory that cannot be looked at counts as one, so that opening it tells why.
func (s *store) exists() bool {
	_, err := os.Stat(s.path(storeFile))
	return !errors.Is(err, fs.ErrNotExist)
}

// openForRead returns nil where there is no store yet.
func (s *store) openForRead() (*sql.DB, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil && !s.exists() {
		return nil, nil
	}
	return s.open()
}

// openForWrite creates the directory and, once, clears up.
func (s *store) openForWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, dir := range []string{s.path(), s.path(volumesDir), s.path(locksDir)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return s.unusable(err)
		}
	}
	if _, err := s.open(); err != nil {
		return err
	}
	if !s.swept {
		if err := s.sweep(); err != nil {
			return s.unusable(err)
		}
		s.swept = true
	}
	return nil
}

// open must be called with mu held.
func (s *store) open() (*sql.DB, error) {
	if s.closing {
		return nil, errors.New("the store is closed")
	}
	if s.db != nil {
		return s.db, nil
	}
	db, err := sql.Open("sqlite", dsn(s.path(storeFile)))
	if err != nil {
		return nil, s.unusable(err)
	}
	// One connection: a second one of this process could only wait for the first.
	db.SetMaxOpenConns(1)
	if err := migrate(db); err != nil {
		return nil, s.unusable(errors.Join(err, db.Close()))
	}
	s.db = db
	return db, nil
}

// dsn holds the settings under which several processes were measured to work without an error; each is needed. busy_timeout comes first,
// because the others already wait for locks, and a transaction takes the write lock when it begins: one that upgrades later fails at once
// with SQLITE_BUSY whatever the timeout.
func dsn(path string) string {
	escaped := strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(filepath.ToSlash(path))
	if strings.HasPrefix(escaped, "//") {
		escaped = "//" + escaped // a UNC path, which would be taken for a host
	}
	return "file:" + escaped + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_txlock=immediate"
}

func (s *store) unusable(err error) error {
	return fmt.Errorf("the local endpoint cannot use its data_dir %q: %w; make it a directory that can be written, or set data_dir (EC2_LOCAL_DATA_DIR) to another", s.dir, err)
}

func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db = nil
	return db.Close()
}

// write runs one transaction. It takes no context: a caller that stops waiting does not undo it; as on AWS, a call that has arrived is
// carried out.
func (s *store) write(do func(tx transaction) error) error {
	if err := s.openForWrite(); err != nil {
		return err
	}
	return s.transact(nil, do)
}

// read runs a transaction that sees one state of the store. It does nothing where there is no store.
func (s *store) read(do func(tx transaction) error) error {
	db, err := s.openForRead()
	if err != nil || db == nil {
		return err
	}
	return s.transact(&sql.TxOptions{ReadOnly: true}, do)
}

func (s *store) transact(opts *sql.TxOptions, do func(tx transaction) error) error {
	s.mu.Lock()
	db := s.db
	s.mu.Unlock()
	if db == nil {
		return errors.New("the store is closed")
	}
	return transact(db, opts, do)
}

func transact(db *sql.DB, opts *sql.TxOptions, do func(tx transaction) error) error {
	tx, err := db.BeginTx(context.Background(), opts)
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	if err := do(transaction{tx}); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit a transaction: %w", err)
	}
	return nil
}

// transaction is sql.Tx without the contexts: see write.
type transaction struct{ tx *sql.Tx }

func (t transaction) exec(query string, args ...any) (sql.Result, error) {
	return t.tx.ExecContext(context.Background(), query, args...)
}

func (t transaction) queryRow(query string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(context.Background(), query, args...)
}

// selectRows reads all rows of a query.
func selectRows[T any](t transaction, scan func(row *sql.Rows, v *T) error, query string, args ...any) (found []T, err error) {
	rows, err := t.tx.QueryContext(context.Background(), query, args...)
	if err != nil {
		return nil, fmt.Errorf("read the store: %w", err)
	}
	defer func() {
		if cerr := rows.Close(); err == nil {
			err = cerr
		}
	}()
	for rows.Next() {
		var v T
		if err := scan(rows, &v); err != nil {
			return nil, fmt.Errorf("read the store: %w", err)
		}
		found = append(found, v)
	}
	return found, rows.Err()
}

const schemaVersion = 1

// schema: everything is found by account and Region. Times are microseconds since 1970.
const schema = `
CREATE TABLE tasks (
	seq INTEGER PRIMARY KEY AUTOINCREMENT,
	id TEXT NOT NULL UNIQUE,
	account TEXT NOT NULL,
	region TEXT NOT NULL,
	client_token TEXT NOT NULL,
	request_hash TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	due_at INTEGER NOT NULL,
	fail_with TEXT NOT NULL,
	description TEXT NOT NULL,
	url TEXT NOT NULL,
	s3_bucket TEXT NOT NULL,
	s3_key TEXT NOT NULL,
	image_dir TEXT NOT NULL,
	declared_format TEXT NOT NULL,
	format TEXT NOT NULL,
	image_size INTEGER NOT NULL,
	kms_key_arn TEXT NOT NULL,
	status TEXT NOT NULL,
	status_message TEXT NOT NULL,
	progress INTEGER NOT NULL,
	snapshot_id TEXT NOT NULL
);
CREATE UNIQUE INDEX tasks_by_token ON tasks (account, region, client_token) WHERE client_token <> '';
CREATE INDEX tasks_by_owner ON tasks (account, region, seq);
CREATE TABLE snapshots (
	seq INTEGER PRIMARY KEY AUTOINCREMENT,
	id TEXT NOT NULL UNIQUE,
	account TEXT NOT NULL,
	region TEXT NOT NULL,
	task_id TEXT NOT NULL,
	start_time INTEGER NOT NULL,
	completion_time INTEGER NOT NULL,
	size INTEGER NOT NULL,
	written INTEGER NOT NULL,
	kms_key_arn TEXT NOT NULL,
	sha256 TEXT NOT NULL,
	tier_operation TEXT NOT NULL,
	tier_before TEXT NOT NULL,
	tier_start INTEGER NOT NULL,
	restore_days INTEGER NOT NULL,
	archived_at INTEGER NOT NULL
);
CREATE INDEX snapshots_by_owner ON snapshots (account, region, seq);
CREATE TABLE tags (
	seq INTEGER PRIMARY KEY AUTOINCREMENT,
	account TEXT NOT NULL,
	region TEXT NOT NULL,
	resource_id TEXT NOT NULL,
	resource_type TEXT NOT NULL,
	key TEXT NOT NULL,
	value TEXT NOT NULL,
	UNIQUE (account, region, resource_id, key)
);`

// migrate brings the schema in. It is one transaction: a process killed here leaves an empty store.
func migrate(db *sql.DB) error {
	return transact(db, nil, func(tx transaction) error {
		var version int
		if err := tx.queryRow("PRAGMA user_version").Scan(&version); err != nil {
			return fmt.Errorf("read %s: %w", storeFile, err)
		}
		switch {
		case version == schemaVersion:
			return nil
		case version != 0:
			return fmt.Errorf("%s was written by another version of this program (schema %d, this one knows %d)", storeFile, version, schemaVersion)
		}
		_, err := tx.exec(schema + fmt.Sprintf("PRAGMA user_version = %d;", schemaVersion))
		return err
	})
}

func toMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us)
}
