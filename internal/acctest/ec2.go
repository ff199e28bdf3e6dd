package acctest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
)

// EC2 stands before a backend on a loopback port, notes every request, and can be disturbed. The provider reaches it the way it reaches AWS, so it
// shows what only the network and a foreign service can do. An S3 with the bucket "images" and a KMS are beside it.
type EC2 struct {
	*Site         // what it stands before; Provider is replaced below
	URL    string // of EC2 and STS
	S3URL  string
	KMSURL string

	mu       sync.Mutex
	hooks    map[string][]Hook
	see      func(*Request, Stage) bool // nil: nobody watches
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

	http     *http.Request
	body     []byte
	detached bool // from its caller
}

// Answer is what is sent back.
type Answer struct {
	Status int
	Header http.Header
	Body   string

	cut, reset bool // half of it comes through, or none and the connection is reset
}

// OK says whether the call was accepted, and its answer sent.
func (a *Answer) OK() bool { return a != nil && a.Status == http.StatusOK && !a.cut && !a.reset }

// Hook stands before the endpoint: it may answer itself, change the endpoint's answer, which next gives, or drop the connection by returning nil.
type Hook func(r *Request, next func() *Answer) *Answer

// NewEC2 starts the endpoint; change may set what it simulates.
func NewEC2(t *testing.T, change ...func(*localec2.Config)) *EC2 {
	t.Helper()
	e := &EC2{Site: NewSite(t, change...), hooks: map[string][]Hook{}, keys: map[string]string{}}
	server := httptest.NewServer(http.HandlerFunc(e.serve))
	s3 := httptest.NewServer(http.HandlerFunc(e.serveS3))
	kms := httptest.NewServer(http.HandlerFunc(e.serveKMS))
	e.URL, e.S3URL, e.KMSURL = server.URL, s3.URL, kms.URL
	t.Cleanup(func() {
		s3.Close()
		kms.Close()
		server.Close()
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
	return fmt.Sprintf(`access_key                  = %q
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
  endpoints {
    ec2 = %q
    sts = %q
    s3  = %q
    kms = %q
  }`, e.Account, e.URL, e.URL, e.S3URL, e.KMSURL)
}

// Config is Provider for a protocol-level test.
func (e *EC2) Config() map[string]any {
	return map[string]any{
		"region": "us-east-1", "access_key": e.Account, "secret_key": "test", "skip_credentials_validation": true, "skip_requesting_account_id": true,
		"skip_metadata_api_check": true, "endpoints": []any{map[string]any{"ec2": e.URL, "sts": e.URL, "s3": e.S3URL, "kms": e.KMSURL}},
	}
}

// On puts a hook before an action, "" for every one, in front of those that are there.
func (e *EC2) On(action string, h Hook) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hooks[action] = append([]Hook{h}, e.hooks[action]...)
}

// Stage is how far a call has come.
type Stage int

// The stages of a call, in their order.
const (
	Arrived    Stage = iota // and nothing has seen it
	CarriedOut              // and its answer is not sent
	Answered                // to the last byte
)

func (s Stage) String() string { return [...]string{"arrived", "carried out", "answered"}[s] }

// Watch shows every call at each of its stages, in place of who watched before; the call waits for see. Where see returns false before the answer,
// the connection is cut there; where it returns true the call is carried out, though its caller may be gone by then.
func (e *EC2) Watch(see func(r *Request, s Stage) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.see = see
}

// Left is closed when the caller has gone without waiting for the answer.
func (r *Request) Left() <-chan struct{} { return r.http.Context().Done() }

// Calm takes the hooks of some actions away, all hooks where none is named.
func (e *EC2) Calm(actions ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(actions) == 0 {
		clear(e.hooks)
	}
	for _, action := range actions {
		delete(e.hooks, action)
	}
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
	hooks, see := slices.Concat(e.hooks[""], e.hooks[request.Action]), e.see
	e.mu.Unlock()

	var answer *Answer
	if see == nil {
		answer = e.through(request, hooks)
	} else if see(request, Arrived) {
		request.detached = true
		if answer = e.through(request, hooks); !see(request, CarriedOut) {
			answer = nil
		}
	}
	e.mu.Lock()
	request.Answer = answer
	e.requests = append(e.requests, request)
	e.mu.Unlock()
	send(w, answer)
	if see != nil && !answer.reset && http.NewResponseController(w).Flush() == nil {
		see(request, Answered)
	}
}

func send(w http.ResponseWriter, a *Answer) {
	if a != nil && a.reset {
		if connection, _, err := http.NewResponseController(w).Hijack(); err == nil {
			if tcp, ok := connection.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // so that closing resets
			}
			_ = connection.Close()
			return
		}
	}
	if a == nil || a.reset {
		panic(http.ErrAbortHandler) // the way to cut the connection
	}
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	w.WriteHeader(a.Status)
	if a.cut {
		_, _ = io.WriteString(w, a.Body[:len(a.Body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(w, a.Body)
}

// through lets the request pass the hooks, the newest first.
func (e *EC2) through(r *Request, hooks []Hook) *Answer {
	if len(hooks) > 0 {
		return hooks[0](r, func() *Answer { return e.through(r, hooks[1:]) })
	}
	ctx := r.http.Context()
	if r.detached {
		ctx = context.WithoutCancel(ctx)
	}
	inner := r.http.Clone(ctx)
	inner.Body = io.NopCloser(bytes.NewReader(r.body))
	w := httptest.NewRecorder()
	e.endpoint.ServeHTTP(w, inner)
	header := w.Header().Clone()
	header.Del("Content-Length")
	return &Answer{Status: w.Code, Header: header, Body: w.Body.String()}
}

// Page makes the request one for pages of n.
func (r *Request) Page(n int) {
	r.Form.Set("MaxResults", strconv.Itoa(n))
	r.body = []byte(r.Form.Encode())
	r.http.ContentLength = int64(len(r.body))
}
