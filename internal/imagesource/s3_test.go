package imagesource

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// testSize is more than one request asks for, and less than is kept.
const testSize = 4 << 20

// fakeS3 serves objects by path, with ranges and ETags as http.ServeContent does them.
type fakeS3 struct {
	mu       sync.Mutex
	objects  map[string][]byte // "/bucket/key" as decoded
	requests []*http.Request
	answer   func(w http.ResponseWriter, r *http.Request) bool // true: has answered
}

func (f *fakeS3) put(path string, content []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.objects[path] = content
}

func (f *fakeS3) seen(method string) []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []*http.Request
	for _, r := range f.requests {
		if r.Method == method {
			list = append(list, r)
		}
	}
	return list
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r)
	content, ok := f.objects[r.URL.Path]
	answer := f.answer
	f.mu.Unlock()
	if answer != nil && answer(w, r) {
		return
	}
	if !ok {
		if r.URL.Path == "/b" || r.URL.Path == "/b/" {
			return // HeadBucket
		}
		http.Error(w, "<Error><Code>NoSuchKey</Code></Error>", http.StatusNotFound)
		return
	}
	w.Header().Set("ETag", `"`+etagOf(content)+`"`)
	w.Header().Set("X-Amz-Version-Id", "v1")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

var etags sync.Map // by the place of the content

// etagOf hashes a content once.
func etagOf(content []byte) string {
	if len(content) == 0 {
		return "empty"
	}
	known, ok := etags.Load(&content[0])
	if !ok {
		known = fmt.Sprintf("%x", sha256.Sum256(content))
		etags.Store(&content[0], known)
	}
	return known.(string)
}

func startS3(t *testing.T, objects map[string][]byte) (*fakeS3, *Opener) {
	t.Helper()
	fake := &fakeS3{objects: objects}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	client := s3.NewFromConfig(aws.Config{
		Region:           "us-east-1",
		Credentials:      credentials.NewStaticCredentialsProvider("test", "test", ""),
		RetryMaxAttempts: 1,
	}, func(o *s3.Options) {
		o.BaseEndpoint = &server.URL
		o.UsePathStyle = true
	})
	return fake, &Opener{S3: func(context.Context, string) (*s3.Client, error) { return client, nil }}
}

func noise(n int) []byte {
	p := make([]byte, n)
	r := rand.NewChaCha8([32]byte{7})
	_, _ = r.Read(p)
	return p
}

func TestS3Reads(t *testing.T) {
	for name, content := range map[string][]byte{
		"empty": {}, "one byte": {1}, "a block": noise(testSize), "a block and a bit": noise(testSize + 5),
		"more than the cache": noise(5*testSize - 1),
	} {
		t.Run(name, func(t *testing.T) {
			fake, o := startS3(t, map[string][]byte{"/b/a%20b/é#?": content})
			obj, err := o.Open(t.Context(), Location{Bucket: "b", Key: "a%20b/é#?"})
			if err != nil {
				t.Fatal(err)
			}
			defer shut(t, obj)
			if want := etagOf(content); obj.Size() != int64(len(content)) || obj.ETag() != want || obj.VersionID() != "v1" {
				t.Errorf("size %d, etag %q, version %q", obj.Size(), obj.ETag(), obj.VersionID())
			}
			if n := len(content); n > 0 && n <= testSize+5 {
				checkReadAt(t, obj, content)
			}
			if got := readAll(t, obj); got != string(content) {
				t.Error("the bytes differ")
			}
			if n := len(fake.seen(http.MethodHead)); n != 1 {
				t.Errorf("%d HEADs", n)
			}
			for _, r := range fake.seen(http.MethodGet) {
				if r.Header.Get("If-Match") != `"`+obj.ETag()+`"` || !strings.HasPrefix(r.Header.Get("Range"), "bytes=") {
					t.Errorf("a read is not pinned: %v", r.Header)
				}
			}
		})
	}
}

func TestS3SharesPages(t *testing.T) {
	content := noise(3*testSize + 100)
	fake, o := startS3(t, map[string][]byte{"/b/k": content})
	obj, err := o.Open(t.Context(), Location{Bucket: "b", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, obj)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			got, err := io.ReadAll(io.NewSectionReader(obj, 0, obj.Size()))
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("read %d bytes: %v", len(got), err)
			}
		})
	}
	wg.Wait()
	// All of it fits, so however the readers interleave, nothing is fetched twice.
	if n := spent(t, fake.seen(http.MethodGet)); n != int64(len(content)) {
		t.Errorf("%d bytes were asked for, the object has %d", n, len(content))
	}
}

func TestS3ConcurrentRandomReads(t *testing.T) {
	content := noise(8*testSize + 17)
	_, o := startS3(t, map[string][]byte{"/b/k": content})
	obj, err := o.Open(t.Context(), Location{Bucket: "b", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, obj)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			p := make([]byte, 300<<10)
			for range 6 {
				off := r.Int64N(int64(len(content) - len(p)))
				if _, err := obj.ReadAt(p, off); err != nil || !bytes.Equal(p, content[off:off+int64(len(p))]) {
					t.Errorf("at %d: %v", off, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestS3Changed(t *testing.T) {
	for _, ignoresIfMatch := range []bool{false, true} {
		t.Run(fmt.Sprintf("server ignores If-Match: %v", ignoresIfMatch), func(t *testing.T) {
			fake, o := startS3(t, map[string][]byte{"/b/k": noise(2 * testSize)})
			if ignoresIfMatch {
				fake.answer = func(_ http.ResponseWriter, r *http.Request) bool { r.Header.Del("If-Match"); return false }
			}
			obj, err := o.Open(t.Context(), Location{Bucket: "b", Key: "k"})
			if err != nil {
				t.Fatal(err)
			}
			defer shut(t, obj)
			if _, err := obj.ReadAt(make([]byte, 10), 0); err != nil {
				t.Fatal(err)
			}
			fake.put("/b/k", make([]byte, 2*testSize))
			_, err = obj.ReadAt(make([]byte, 10), testSize)
			if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "s3://b/k") || !strings.Contains(err.Error(), "import again") {
				t.Errorf("got %v", err)
			}
			// What is in memory is of the old version, which is no use any more.
			if _, err := obj.ReadAt(make([]byte, 10), 0); !errors.Is(err, ErrChanged) {
				t.Errorf("then got %v", err)
			}
		})
	}
}

func TestS3Refuses(t *testing.T) {
	status := func(code int, header ...string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			return true
		}
	}
	headBucket := func(region string, object func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Trim(r.URL.Path, "/") != "b" {
				return object(w, r)
			}
			w.Header().Set("X-Amz-Bucket-Region", region)
			return true
		}
	}
	var region *RegionError
	for _, c := range []struct {
		name, bucket string
		answer       func(http.ResponseWriter, *http.Request) bool
		check        func(error) bool
		says         string
	}{
		{"missing key", "b", nil, is(ErrNotFound), "s3://b/missing"},
		{"missing bucket", "other", nil, is(ErrNoBucket), `create bucket "other"`},
		{"a proxy's page", "b", status(404, "Content-Type", "text/html; charset=utf-8"), not(func(err error) bool { return is(ErrNotFound)(err) || is(ErrNoBucket)(err) }), "a page answered"},
		{"moto's answer", "b", status(404, "Content-Type", "text/html", "X-Amzn-Requestid", "r"), is(ErrNoBucket), "create bucket"},
		{"forbidden", "b", status(403), is(ErrForbidden), "s3:GetObject"},
		{"P20 other Region, 301", "b", status(301, "X-Amz-Bucket-Region", "eu-west-1"), as(&region), "in Region eu-west-1, not in us-east-1"},
		{"P20 other Region, 400", "b", status(400, "X-Amz-Bucket-Region", "eu-west-1"), as(&region), "import in eu-west-1"},
		{"P20 other Region, 400 that names none", "b", headBucket("eu-west-1", status(400)), as(&region), "in Region eu-west-1, not in us-east-1"},
		{"P20 other Region, 301 that names none", "b", headBucket("eu-west-1", status(301)), as(&region), "in Region eu-west-1, not in us-east-1"},
		{"400 of a bucket of this Region", "b", headBucket("us-east-1", status(400)), not(as(&region)), "cannot read it"},
		{"400 of this Region is something else", "b", status(400, "X-Amz-Bucket-Region", "us-east-1"), not(as(&region)), "cannot read it"},
		{"redirect that names no Region", "b", status(301), not(as(&region)), "cannot read it"},
		{"out of order", "b", status(503), not(is(ErrNotFound)), "cannot read it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake, o := startS3(t, map[string][]byte{})
			fake.answer = c.answer
			obj, err := o.Open(t.Context(), Location{Bucket: c.bucket, Key: "missing"})
			if err == nil {
				shut(t, obj)
				t.Fatal("opened")
			}
			if !c.check(err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
	if region == nil || region.Bucket != "b" || region.BucketRegion != "eu-west-1" || region.Region != "us-east-1" {
		t.Errorf("%+v", region)
	}
}

func is(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
func as(target any) func(error) bool { return func(err error) bool { return errors.As(err, target) } }
func not(check func(error) bool) func(error) bool {
	return func(err error) bool { return !check(err) }
}

// Taking the whole object, or another part of it, for the range would corrupt the image silently.
func TestS3WrongRanges(t *testing.T) {
	content := noise(2 * testSize)
	partial := func(w http.ResponseWriter, said string, body []byte) {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %s/%d", said, len(content)))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(body)
	}
	for name, answer := range map[string]func(w http.ResponseWriter, from, to int64){
		"whole object": func(w http.ResponseWriter, _, _ int64) { _, _ = w.Write(content) },
		"shifted range": func(w http.ResponseWriter, from, to int64) {
			partial(w, fmt.Sprintf("%d-%d", from+1, to+1), content[from+1:to+2])
		},
		"shorter range": func(w http.ResponseWriter, _, _ int64) { partial(w, "0-9", content[:10]) },
		"whole object under the name of the range": func(w http.ResponseWriter, from, to int64) { partial(w, fmt.Sprintf("%d-%d", from, to), content) },
		"one byte more": func(w http.ResponseWriter, from, to int64) {
			partial(w, fmt.Sprintf("%d-%d", from, to), content[from:to+2])
		},
		"one byte more, of a length that it does not say": func(w http.ResponseWriter, from, to int64) {
			w.Header().Set("Transfer-Encoding", "chunked")
			partial(w, fmt.Sprintf("%d-%d", from, to), content[from:to+2])
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake, o := startS3(t, map[string][]byte{"/b/k": content})
			fake.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodGet {
					return false
				}
				w.Header().Set("ETag", `"`+etagOf(content)+`"`)
				from, to := asked(t, r)
				answer(w, from, to)
				return true
			}
			obj, err := o.Open(t.Context(), Location{Bucket: "b", Key: "k"})
			if err != nil {
				t.Fatal(err)
			}
			defer shut(t, obj)
			for range 2 { // once and for all
				if n, err := obj.ReadAt(make([]byte, 10), 0); err == nil || n != 0 || !strings.Contains(err.Error(), "does not serve ranges") {
					t.Errorf("got %d bytes, %v", n, err)
				}
			}
			if n := len(fake.seen(http.MethodGet)); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// breaking answers as many GETs as breaks says by a part of the range and the end of the connection.
func (f *fakeS3) breaking(t *testing.T, content []byte, breaks *atomic.Int64, part int64) {
	f.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || breaks.Add(-1) < 0 {
			return false
		}
		from, to := asked(t, r)
		w.Header().Set("ETag", `"`+etagOf(content)+`"`)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(content)))
		w.Header().Set("Content-Length", fmt.Sprint(to-from+1))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(content[from:min(to+1, from+part)])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

func TestS3BrokenConnection(t *testing.T) {
	content := noise(testSize)
	read := func(t *testing.T, breaks, part int64) (got string, requests []*http.Request, err error) {
		fake, o := startS3(t, map[string][]byte{"/b/k": content})
		var left atomic.Int64
		left.Store(breaks)
		fake.breaking(t, content, &left, part)
		obj, err := o.Open(t.Context(), Location{Bucket: "b", Key: "k"})
		if err != nil {
			t.Fatal(err)
		}
		defer shut(t, obj)
		p := make([]byte, len(content))
		n, err := obj.ReadAt(p, 0)
		left.Store(0)
		if n, err := obj.ReadAt(p, 0); n != len(p) || err != nil || !bytes.Equal(p, content) {
			t.Errorf("what had failed is not asked for again: %d bytes, %v", n, err)
		}
		return string(p[:n]), fake.seen(http.MethodGet), err
	}
	t.Run("twice", func(t *testing.T) {
		if got, _, err := read(t, pageTries-1, 1000); err != nil || got != string(content) {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
	})
	t.Run("always", func(t *testing.T) {
		if got, _, err := read(t, 1000, 1000); err == nil || got != "" && got != string(content) || !strings.Contains(err.Error(), "try again later") {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
	})
	t.Run("always, and some pages arrive", func(t *testing.T) {
		got, requests, err := read(t, 1000, 3*pageSize+1000)
		if err != nil || got != string(content) {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
		if len(requests) < testSize/(4*pageSize) {
			t.Errorf("only %d requests: nothing broke", len(requests))
		}
	})
}

func TestS3Cancelled(t *testing.T) {
	fake, o := startS3(t, map[string][]byte{"/b/k": noise(10)})
	started, stop := make(chan struct{}), errors.New("stopped by the user")
	fake.answer = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			close(started)
			<-r.Context().Done()
		}
		return false
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	obj, err := o.Open(ctx, Location{Bucket: "b", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, obj)
	done := make(chan error)
	for range 3 { // one that fetches, two that wait for it
		go func() {
			_, err := obj.ReadAt(make([]byte, 1), 0)
			done <- err
		}()
	}
	<-started
	cancel(stop)
	for range 3 {
		if err := <-done; !errors.Is(err, stop) {
			t.Errorf("got %v", err)
		}
	}
}

func TestS3Closed(t *testing.T) {
	_, o := startS3(t, map[string][]byte{"/b/k": noise(10)})
	obj, err := o.Open(t.Context(), Location{Bucket: "b", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	if err := obj.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := obj.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("a closed object was read")
	}
}
