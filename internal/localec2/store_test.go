package localec2

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// TestOtherVersion: a store of another version is left alone, whether it is asked or changed, and the error says what helps.
func TestOtherVersion(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.imported(t, "disk.img", pattern(4096, 1))
	err := h.store.write(func(tx transaction) error {
		_, err := tx.exec("PRAGMA user_version = 99")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	next := &host{Endpoint: New(h.config)}
	defer next.Close()
	next.inProcess()
	_, described, _ := next.post(t, "Action", "DescribeSnapshots")
	for what, text := range map[string]string{"resume": next.Resume(t.Context()).Error(), "describe": described} {
		for _, part := range []string{"another version", "99", h.config.DataDir, "move the directory away", "EC2_LOCAL_DATA_DIR"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s: no %q in %s", what, part, text)
			}
		}
		if strings.Contains(text, "can be written") {
			t.Errorf("%s: what is wrong is not that it cannot be written: %s", what, text)
		}
	}
}

// TestReadingWaitsForNoOne: a plan reads, also while another process holds the write lock for long.
func TestReadingWaitsForNoOne(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.imported(t, "disk.img", pattern(4096, 1))
	err := h.store.write(func(transaction) error {
		next := New(h.config)
		defer next.Close()
		began := time.Now()
		snapshots, err := next.store.snapshots(scope{testAccount, defaultRegion}, nil)
		if took := time.Since(began); err != nil || len(snapshots) != 1 || took > 15*time.Second {
			t.Errorf("while another writes: %d snapshots after %s, %v", len(snapshots), took, err)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestEmptyStore: what a killed process left before it made the tables is no store yet. A plan leaves it as it is; an import makes it one.
func TestEmptyStore(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	path := filepath.Join(h.config.DataDir, storeFile)
	if err := os.Mkdir(h.config.DataDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := h.ec2.DescribeSnapshots(t.Context(), nil); err != nil || len(out.Snapshots) != 0 {
		t.Errorf("%v, %v", out, err)
	}
	if v, err := h.Volume(t.Context(), "snap-0123456789abcdef0"); err == nil {
		t.Errorf("a volume of a snapshot that is not there: %+v", v)
	}
	if entries, err := os.ReadDir(h.config.DataDir); err != nil || len(entries) != 1 {
		t.Errorf("after a plan: %v, %v", entries, err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Errorf("after a plan: %v, %v", info, err)
	}
	h.imported(t, "disk.img", pattern(4096, 1))
}

// TestOpenAtOnce: processes that make a store in one new directory at the same moment all get it. Without the lock around the making, one in a few
// hundred was told that the database is locked.
func TestOpenAtOnce(t *testing.T) {
	t.Parallel()
	for range 100 {
		dir, start := t.TempDir(), make(chan struct{})
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				s := newStore(dir, hclog.NewNullLogger())
				<-start
				if err := s.openForWrite(); err != nil {
					t.Error(err)
					return
				}
				if err := s.db.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		all.Wait()
	}
}
