// Package localec2 is an EC2 endpoint that imports disk images for real, without AWS: the calls that an import needs, exact on the wire, a
// store in a directory that several processes may share, and workers that turn images into raw volumes. The same handler serves a loopback
// port and, through Transport, an EC2 client in the same process.
package localec2

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
)

// Config is what an endpoint needs to know.
type Config struct {
	// DataDir holds the store, the volumes and the lock files. It is created by the first call that changes something.
	DataDir string

	// AccountID is the account of requests whose access key names none. It owns what they make; what another account made in the same DataDir is
	// invisible to them.
	AccountID string

	// Images opens the disk images that tasks name.
	Images *imagesource.Opener

	// Strict refuses what VM Import refuses, with its words. It holds for the tasks that are started here, whoever ends them.
	Strict bool

	// Checksum keeps the SHA-256 of each volume, of the same tasks.
	Checksum bool

	Simulate Simulate
	Log      hclog.Logger
}

// Simulate makes the endpoint behave like a slower, a failing or a differently configured account.
type Simulate struct {
	// TaskDuration is how long a task takes, counted from its creation, also across processes.
	TaskDuration time.Duration

	// FailWith, when set, is the status message with which every task ends.
	FailWith string

	// EncryptionByDefault encrypts snapshots with the default key although the request does not say so.
	EncryptionByDefault bool
}

// Volume is where the bytes of a snapshot are.
type Volume struct {
	Path   string
	SHA256 string // "" unless the endpoint kept checksums when the snapshot was made
}

// Endpoint is the handler. Its zero value is of no use; see New.
type Endpoint struct {
	config  Config
	log     hclog.Logger
	store   *store
	workers *workers

	mu       sync.Mutex
	closed   bool
	requests sync.WaitGroup
}

// New makes an endpoint. It touches nothing on disk and starts nothing.
func New(c Config) *Endpoint {
	if c.Log == nil {
		c.Log = hclog.NewNullLogger()
	}
	if c.Images == nil {
		c.Images = &imagesource.Opener{}
	}
	e := &Endpoint{config: c, log: c.Log, store: newStore(c.DataDir, c.Log)}
	e.workers = newWorkers(e)
	return e
}

// action decodes and validates the request of one call and returns what carries it out. The two halves are apart because DryRun, and
// parameters that the action does not know, are answered between them.
type action func(e *Endpoint, s scope, p *params) (call, error)

// call carries out a validated request and returns the value that the answer is encoded from.
type call func(ctx context.Context) (answer, error)

// actions is everything EC2 that is served here.
var actions = map[string]action{
	"ImportSnapshot":              (*Endpoint).importSnapshot,
	"DescribeImportSnapshotTasks": (*Endpoint).describeImportSnapshotTasks,
	"CancelImportTask":            (*Endpoint).cancelImportTask,
	"DescribeSnapshots":           (*Endpoint).describeSnapshots,
	"DeleteSnapshot":              (*Endpoint).deleteSnapshot,
	"CreateTags":                  (*Endpoint).createTags,
	"DeleteTags":                  (*Endpoint).deleteTags,
	"DescribeTags":                (*Endpoint).describeTags,
	"ModifySnapshotTier":          (*Endpoint).modifySnapshotTier,
	"RestoreSnapshotTier":         (*Endpoint).restoreSnapshotTier,
	"DescribeSnapshotTierStatus":  (*Endpoint).describeSnapshotTierStatus,
}

// ServeHTTP answers one call: any path, GET or POST.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := newRequestID()
	fail := func(action string, err error) {
		e.written(action, writeEC2Error(w, requestID, e.asAPIError(action, err)))
	}
	if !e.begin() {
		fail("", &apiError{Status: http.StatusServiceUnavailable, Code: "Unavailable", Message: "The local endpoint is shutting down."})
		return
	}
	defer e.requests.Done()

	s, unscoped := e.scopeOf(r)
	p, err := decodeParams(w, r)
	if err != nil {
		fail("", cmp.Or(unscoped, err)) // a call of another service has no form to be decoded
		return
	}
	name := p.take("Action")
	if version := p.take("Version"); version == stsVersion || name == stsAction && version == "" {
		e.serveSTS(w, requestID, name, s, unscoped)
		return
	}
	if unscoped != nil {
		fail(name, unscoped)
		return
	}
	a, err := e.serveEC2(r.Context(), s, name, p)
	if err != nil {
		fail(name, err)
		return
	}
	e.written(name, writeEC2Answer(w, name, requestID, a))
}

// written notes an answer that could not be encoded or did not arrive. What the call did is done and stays so, as on AWS.
func (e *Endpoint) written(action string, err error) {
	if err != nil {
		e.log.Warn("the caller did not get the answer", "action", shorten(action), "error", err)
	}
}

func (e *Endpoint) serveEC2(ctx context.Context, s scope, name string, p *params) (answer, error) {
	if name == "" {
		return nil, failf("MissingAction", "The request is missing an action or a required parameter.")
	}
	act, ok := actions[name]
	if !ok {
		return nil, failf("InvalidAction", "The action %s is not valid for this web service.", shorten(name))
	}
	dryRun, err := p.boolean("DryRun")
	if err != nil {
		return nil, err
	}
	run, err := act(e, s, p)
	if err != nil {
		return nil, err
	}
	if unknown := p.leftover(); unknown != "" {
		return nil, failf("UnknownParameter", "The parameter %s is not recognized", unknown)
	}
	if dryRun {
		return nil, &apiError{Status: http.StatusPreconditionFailed, Code: "DryRunOperation", Message: "Request would have succeeded, but DryRun flag is set."}
	}
	return run(ctx)
}

// begin counts a request in, unless the endpoint is closed.
func (e *Endpoint) begin() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.requests.Add(1)
	return true
}

// Volume says where the bytes of a snapshot of the configured account are.
func (e *Endpoint) Volume(ctx context.Context, snapshotID string) (Volume, error) {
	if !e.begin() {
		return Volume{}, errors.New("look up a volume: the local endpoint is closed")
	}
	defer e.requests.Done()
	sha, err := e.store.volumeSHA256(e.config.AccountID, snapshotID)
	if err != nil {
		return Volume{}, fmt.Errorf("look up the volume of %s in %s: %w", snapshotID, e.config.DataDir, err)
	}
	// Not filepath.Join: the path goes into states that must not differ between two checkouts, so data_dir stays as it was written.
	return Volume{Path: strings.TrimRight(e.config.DataDir, "/") + "/" + volumesDir + "/" + snapshotID + volumeSuffix, SHA256: sha}, nil
}

// Close stops the workers, lets running requests end and closes the store. Unfinished tasks stay active for the next process, which begins their
// volumes anew. It waits for no image and no disk, only for a transaction that is under way.
func (e *Endpoint) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.workers.stop()
	e.requests.Wait()
	return e.store.close()
}
