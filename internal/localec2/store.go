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

	"github.com/gofrs/flock"
	"github.com/hashicorp/go-hclog"
	"modernc.org/sqlite" // and the driver of this name
	sqlite3 "modernc.org/sqlite/lib"
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

// openForRead returns nil where there is no store yet. It writes nothing and waits for no one who does.
func (s *store) openForRead() (db *sql.DB, done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	done = func() {}
	switch {
	case s.closing:
		return nil, nil, errClosed
	case s.db != nil:
		return s.db, done, nil
	case !s.exists():
		return nil, done, nil
	}
	db, version, err := connect(s.dsn(forReading))
	if s.frozen(err) {
		// Not kept: others may be allowed to write, and such a connection looks at the file as if none were.
		db, version, err = connect(s.dsn(forReadingFrozen))
		done = func() { _ = db.Close() }
	} else if err == nil && version == schemaVersion {
		s.db = db
	}
	switch {
	case err != nil:
		return nil, nil, s.unusable(err)
	case version == 0: // someone is about to make it, or was killed before
		return nil, func() {}, db.Close()
	case version != schemaVersion:
		return nil, nil, s.unusable(errors.Join(&versionError{version}, db.Close()))
	}
	return db, done, nil
}

// openForWrite creates the directory and, once, clears up.
func (s *store) openForWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return errClosed
	}
	for _, dir := range []string{s.path(), s.path(volumesDir), s.path(locksDir)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return s.unusable(err)
		}
	}
	if s.db == nil { // else it may be open for reading, which is the same but for the making of what is there
		db, err := s.make()
		if err != nil {
			return s.unusable(err)
		}
		s.db = db
	}
	if !s.swept {
		if err := s.sweep(); err != nil {
			return s.unusable(err)
		}
		s.swept = true
	}
	return nil
}

// make opens the file for writing, and makes it and its tables where they are not there. One process at a time: SQLite answers SQLITE_BUSY at once,
// whatever the timeout, where two turn a new file to WAL together.
func (s *store) make() (db *sql.DB, err error) {
	lock := flock.New(s.path(storeFile+lockSuffix), flock.SetPermissions(0o644))
	if err := lock.Lock(); err != nil {
		return nil, fmt.Errorf("lock %s: %w", lock.Path(), err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	db, version, err := connect(s.dsn(forWriting))
	if err != nil {
		return nil, err
	}
	if version != schemaVersion {
		if err := migrate(db); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return db, nil
}

// connect opens the file and reads its version, 0 where the tables are not made yet.
func connect(dsn string) (*sql.DB, int, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, 0, err
	}
	// One connection: a second one of this process could only wait for the first.
	db.SetMaxOpenConns(1)
	var version int
	err = transact(db, &sql.TxOptions{ReadOnly: true}, func(tx transaction) error { return readVersion(tx, &version) })
	if err != nil {
		return nil, 0, errors.Join(err, db.Close())
	}
	return db, version, nil
}

// The settings under which several processes were measured to work without an error; each is needed. busy_timeout comes first, because the
// others already wait for locks, and a transaction that writes takes the write lock when it begins: one that upgrades later fails at once with
// SQLITE_BUSY whatever the timeout. The journal mode stays in the file: who only reads need not set it, which would make a file of an empty one.
const (
	forWriting       = "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_txlock=immediate"
	forReading       = "?mode=rw&_pragma=busy_timeout(10000)&_txlock=immediate"
	forReadingFrozen = "?mode=ro&immutable=1"
)

func (s *store) dsn(settings string) string {
	escaped := strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(filepath.ToSlash(s.path(storeFile)))
	if strings.HasPrefix(escaped, "//") {
		escaped = "//" + escaped // a UNC path, which would be taken for a host
	}
	return "file:" + escaped + settings
}

// frozen says that reading failed because SQLite wants to make its log, in a directory that may not be written. No log means that no one has
// the store open, and everything is in the file.
func (s *store) frozen(err error) bool {
	var failed *sqlite.Error
	if !errors.As(err, &failed) || failed.Code() != sqlite3.SQLITE_READONLY_DIRECTORY {
		return false
	}
	_, err = os.Stat(s.path(storeFile + "-wal"))
	return errors.Is(err, fs.ErrNotExist)
}

var errClosed = errors.New("the store is closed")

// versionError says that the store has tables of another version.
type versionError struct{ found int }

func (e *versionError) Error() string {
	return fmt.Sprintf("%s was written by another version of this program (schema %d, this one knows %d)", storeFile, e.found, schemaVersion)
}

// unusable says which directory it is about, and what to do.
func (s *store) unusable(err error) error {
	cure := "make it a directory that can be written"
	var version *versionError
	if errors.As(err, &version) {
		cure = "move the directory away, which keeps its snapshots for that version"
	}
	return &unusableError{fmt.Errorf("the local endpoint cannot use its data_dir %q: %w; %s, or name another with data_dir, --data-dir or EC2_LOCAL_DATA_DIR", s.dir, err, cure)}
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
	s.mu.Lock()
	db := s.db
	s.mu.Unlock()
	if db == nil {
		return errClosed
	}
	return transact(db, nil, do)
}

// read runs a transaction that sees one state of the store. It does nothing where there is no store.
func (s *store) read(do func(tx transaction) error) error {
	db, done, err := s.openForRead()
	if err != nil || db == nil {
		return err
	}
	defer done()
	return transact(db, &sql.TxOptions{ReadOnly: true}, do)
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
	rows, err := t.tx.QueryContext(context.Background(), query, args...) //nolint:gosec // G701: queries are made of constants; what a request says is an argument
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

// schemaVersion goes up with every change of the tables.
const schemaVersion = 3

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
	strict INTEGER NOT NULL,
	checksum INTEGER NOT NULL,
	description TEXT NOT NULL,
	url TEXT NOT NULL,
	s3_bucket TEXT NOT NULL,
	s3_key TEXT NOT NULL,
	origin TEXT NOT NULL,
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

// migrate makes the tables, unless another process does. It is one transaction: a process killed here leaves an empty store.
func migrate(db *sql.DB) error {
	return transact(db, nil, func(tx transaction) error {
		var version int
		err := readVersion(tx, &version)
		switch {
		case err != nil || version == schemaVersion:
			return err
		case version != 0:
			return &versionError{version}
		}
		_, err = tx.exec(schema + fmt.Sprintf("PRAGMA user_version = %d;", schemaVersion))
		return err
	})
}

func readVersion(tx transaction, version *int) error {
	if err := tx.queryRow("PRAGMA user_version").Scan(version); err != nil {
		return fmt.Errorf("read %s: %w", storeFile, err)
	}
	return nil
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
