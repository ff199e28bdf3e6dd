package acctest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
)

// EC2 is an EC2 endpoint on a loopback port that answers like EC2, notes every request, and can be disturbed. The provider reaches it the way it
// reaches AWS, so it shows what only the network and a foreign service can do. An S3 with the bucket "images" and a KMS are beside it.
type EC2 struct {
	Local         // where the bucket "images" is; Provider is replaced below
	URL    string // of EC2 and STS
	S3URL  string
	KMSURL string

	endpoint *localec2.Endpoint
	server   *httptest.Server

	mu       sync.Mutex
	hooks    map[string][]Hook
	requests []*Request
	keys     map[string]string // KMS: what is asked for to key ARN
	s3Hook   func(w http.ResponseWriter, r *http.Request) bool
	s3Seen   []string
}

// Request is one call that arrived, and how it was answered.
type Request struct {
	Action string
	Region string
	Form   url.Values
	Answer *Answer // nil: the connection was dropped

	http *http.Request
	body []byte
}

// Answer is what is sent back.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// OK says whether the call was accepted.
func (a *Answer) OK() bool { return a != nil && a.Status == http.StatusOK }

// Hook stands before the endpoint: it may answer itself, change the endpoint's answer, which next gives, or drop the connection by returning nil.
type Hook func(r *Request, next func() *Answer) *Answer

// NewEC2 starts the endpoint; change may set what it simulates.
func NewEC2(t *testing.T, change ...func(*localec2.Config)) *EC2 {
	t.Helper()
	e := &EC2{Local: NewLocal(t), hooks: map[string][]Hook{}, keys: map[string]string{}}
	config := localec2.Config{
		DataDir: e.DataDir, AccountID: "111122223333", Strict: true,
		Images: &imagesource.Opener{Buckets: map[string]string{"images": e.Images}},
	}
	for _, c := range change {
		c(&config)
	}
	e.endpoint = localec2.New(config)
	e.server = httptest.NewServer(http.HandlerFunc(e.serve))
	s3 := httptest.NewServer(http.HandlerFunc(e.serveS3))
	kms := httptest.NewServer(http.HandlerFunc(e.serveKMS))
	e.URL, e.S3URL, e.KMSURL = e.server.URL, s3.URL, kms.URL
	t.Cleanup(func() {
		s3.Close()
		kms.Close()
		e.server.Close()
		if err := e.endpoint.Close(); err != nil {
			t.Errorf("closing the endpoint: %v", err)
		}
	})
	return e
}

// Provider is a provider block for AWS whose services are the endpoints here; block goes beside.
func (e *EC2) Provider(block string) string {
	return fmt.Sprintf(`provider "ec2" {
  region                      = "us-east-1"
  %s
  %s
}
`, e.Connection(), block)
}

// Connection is the part of a provider block that leads here, without a Region.
func (e *EC2) Connection() string {
	return fmt.Sprintf(`access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
  endpoints {
    ec2 = %q
    sts = %q
    s3  = %q
    kms = %q
  }`, e.URL, e.URL, e.S3URL, e.KMSURL)
}

// Config is Provider for a protocol-level test.
func (e *EC2) Config() map[string]any {
	return map[string]any{
		"region": "us-east-1", "access_key": "test", "secret_key": "test", "skip_credentials_validation": true, "skip_requesting_account_id": true,
		"skip_metadata_api_check": true, "endpoints": []any{map[string]any{"ec2": e.URL, "sts": e.URL, "s3": e.S3URL, "kms": e.KMSURL}},
	}
}

// On puts a hook before an action, in front of those that are there.
func (e *EC2) On(action string, h Hook) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hooks[action] = append([]Hook{h}, e.hooks[action]...)
}

// Calm takes the hooks of an action away.
func (e *EC2) Calm(action string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.hooks, action)
}

// Requests are the calls of some actions so far, of all actions where none is named.
func (e *EC2) Requests(actions ...string) []*Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []*Request
	for _, r := range e.requests {
		if len(actions) == 0 || slices.Contains(actions, r.Action) {
			list = append(list, r)
		}
	}
	return list
}

// Actions are the names of the calls so far, in order.
func (e *EC2) Actions() []string {
	var names []string
	for _, r := range e.Requests() {
		names = append(names, r.Action)
	}
	return names
}

// Changes are the calls that change something.
func (e *EC2) Changes() []string {
	return slices.DeleteFunc(e.Actions(), func(name string) bool {
		return strings.HasPrefix(name, "Describe") || strings.HasPrefix(name, "Get")
	})
}

// Forget begins the record anew.
func (e *EC2) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests, e.s3Seen = nil, nil
}

// Call makes a call as an outsider would: somebody who deletes, cancels or tags by hand. Pairs are names and values.
func (e *EC2) Call(t *testing.T, action, region string, pairs ...string) string {
	t.Helper()
	form := url.Values{"Action": {action}, "Version": {"2016-11-15"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.URL, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/"+region+"/ec2/aws4_request")
	w := httptest.NewRecorder()
	e.endpoint.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", action, w.Code, w.Body)
	}
	return w.Body.String()
}

// Count is how often a text is in the answer of a describe, such as "<snapshotId>snap-".
func (e *EC2) Count(t *testing.T, action, region, text string) int {
	t.Helper()
	return strings.Count(e.Call(t, action, region), text)
}

// Snapshots and Tasks are how many there are, finished tasks included.
func (e *EC2) Snapshots(t *testing.T, region string) int {
	t.Helper()
	return e.Count(t, "DescribeSnapshots", region, "<snapshotId>snap-")
}

// Tasks is how many import tasks there are, finished ones included.
func (e *EC2) Tasks(t *testing.T, region string) int {
	t.Helper()
	return e.Count(t, "DescribeImportSnapshotTasks", region, "<importTaskId>import-snap-")
}

var scopeRegion = regexp.MustCompile(`Credential=[^/]+/\d+/([a-z0-9-]+)/`)

func (e *EC2) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	request := &Request{Action: form.Get("Action"), Form: form, http: r, body: body}
	if m := scopeRegion.FindStringSubmatch(r.Header.Get("Authorization")); m != nil {
		request.Region = m[1]
	}
	e.mu.Lock()
	hooks := slices.Clone(e.hooks[request.Action])
	e.mu.Unlock()

	answer := e.through(request, hooks)
	e.mu.Lock()
	request.Answer = answer
	e.requests = append(e.requests, request)
	e.mu.Unlock()
	if answer == nil {
		panic(http.ErrAbortHandler) // the way to cut the connection
	}
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Status)
	_, _ = io.WriteString(w, answer.Body)
}

// through lets the request pass the hooks, the newest first.
func (e *EC2) through(r *Request, hooks []Hook) *Answer {
	if len(hooks) > 0 {
		return hooks[0](r, func() *Answer { return e.through(r, hooks[1:]) })
	}
	inner := r.http.Clone(r.http.Context())
	inner.Body = io.NopCloser(bytes.NewReader(r.body))
	w := httptest.NewRecorder()
	e.endpoint.ServeHTTP(w, inner)
	header := w.Header().Clone()
	header.Del("Content-Length")
	return &Answer{Status: w.Code, Header: header, Body: w.Body.String()}
}

// Discard waits for a task that a test started by hand, and deletes its snapshot.
func (e *EC2) Discard(t *testing.T, region, task string) {
	t.Helper()
	if snapshot := e.Await(t, region, task); snapshot != "" {
		e.Call(t, "DeleteSnapshot", region, "SnapshotId", snapshot)
	}
}

var taskSnapshot = regexp.MustCompile(`<snapshotId>(snap-[0-9a-f]+)</snapshotId>`)

// Await waits until a task is over, and is its snapshot, "" for one that failed.
func (e *EC2) Await(t *testing.T, region, task string) string {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		body := e.Call(t, "DescribeImportSnapshotTasks", region, "ImportTaskId.1", task)
		if m := taskSnapshot.FindStringSubmatch(body); m != nil {
			return m[1]
		}
		if strings.Contains(body, "<status>deleted</status>") {
			return ""
		}
		select {
		case <-poll.C:
		case <-t.Context().Done():
			t.Fatalf("the test ended before task %s", task)
		}
	}
}
