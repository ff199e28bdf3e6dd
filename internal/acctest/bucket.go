package acctest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/awsclient"
)

// bucket is the bucket "images" of one test in moto's S3. All tests share one moto, where it has a name of its own: what stands before moto gives it
// the name that configurations have, shows the requests, and changes nothing else.
type bucket struct {
	name   string
	proxy  http.Handler // an S3 that has the bucket as "images"
	url    string       // of the same
	client *awsclient.Client

	mu     sync.Mutex
	before func(r *http.Request)
}

var (
	motoOnce  sync.Once
	motoURL   string
	motoCount atomic.Int64
)

// lasting keeps what a helper starts beyond the end of the test that asked for it first.
type lasting struct{ testing.TB }

func (lasting) Cleanup(func()) {}

// sharedMoto ends with the process of the tests.
func sharedMoto(t *testing.T) string {
	t.Helper()
	ClientsPython(t) // skips this test, not the starting of moto
	motoOnce.Do(func() { motoURL = Moto(lasting{t}) })
	if motoURL == "" {
		t.Fatal("moto_server did not start: see the first test")
	}
	return motoURL
}

func newBucket(t *testing.T) *bucket {
	t.Helper()
	moto, err := url.Parse(sharedMoto(t))
	if err != nil {
		t.Fatal(err)
	}
	b := &bucket{name: fmt.Sprintf("images-%d", motoCount.Add(1))}
	moved := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(moto)
		if rest, ok := strings.CutPrefix(r.In.URL.EscapedPath(), "/images"); ok && (rest == "" || rest[0] == '/') {
			r.Out.URL.RawPath = "/" + b.name + rest
			r.Out.URL.Path = "/" + b.name + strings.TrimPrefix(r.In.URL.Path, "/images")
		}
	}}
	b.proxy = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		before := b.before
		b.mu.Unlock()
		if before != nil {
			before(r)
		}
		moved.ServeHTTP(w, r)
	})
	server := httptest.NewServer(b.proxy)
	t.Cleanup(server.Close)
	b.url = server.URL
	if b.client, err = awsclient.NewLocal(nil, awsclient.Settings{Endpoints: awsclient.Endpoints{S3: b.url}}, "us-east-1", "000000000000"); err != nil {
		t.Fatal(err)
	}
	b.call(t, http.MethodPut, "", nil)
	return b
}

// BeforeS3 shows every request to the bucket, before moto gets it.
func (s *Site) BeforeS3(see func(r *http.Request)) {
	s.bucket.mu.Lock()
	defer s.bucket.mu.Unlock()
	s.bucket.before = see
}

// call makes a call of S3 for the bucket, or for an object of it. Moto wants a signature, and believes any.
func (b *bucket) call(t *testing.T, method, key string, content []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, b.url, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Path = "/images"
	if key != "" {
		r.URL.Path += "/" + key
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=none")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		body, _ := io.ReadAll(answer.Body)
		t.Fatalf("%s of %s in moto's bucket: %s\n%s", method, key, answer.Status, body)
	}
}
