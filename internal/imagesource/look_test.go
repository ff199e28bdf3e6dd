package imagesource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// asked is the range that a request is for.
func asked(t *testing.T, r *http.Request) (from, to int64) {
	t.Helper()
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); err != nil {
		t.Errorf("%s with the range %q: %v", r.Method, r.Header.Get("Range"), err)
	}
	return from, to
}

// spent adds up the ranges that a server was asked for.
func spent(t *testing.T, requests []*http.Request) (total int64) {
	t.Helper()
	for _, r := range requests {
		from, to := asked(t, r)
		total += to - from + 1
	}
	return total
}

func TestLookReads(t *testing.T) {
	for _, n := range []int{0, 1, lookBlock - 1, lookBlock, lookBlock + 1, 3*lookBlock + 5, lookBudget - 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			content := noise(n)
			fake, o := startS3(t, map[string][]byte{"/b/k": content})
			obj, err := o.Look(t.Context(), Location{Bucket: "b", Key: "k"})
			if err != nil {
				t.Fatal(err)
			}
			defer shut(t, obj)
			if n > 0 {
				checkReadAt(t, obj, content)
			}
			if got := readAll(t, obj); got != string(content) {
				t.Error("the bytes differ")
			}
			if total := spent(t, fake.seen(http.MethodGet)); total > int64(n) {
				t.Errorf("%d bytes were asked for, the object has %d", total, n)
			}
		})
	}
}

// TestLookGathers: a read of what lies together is one request, and what is there already is not asked for again.
func TestLookGathers(t *testing.T) {
	content := noise(20 * lookBlock)
	fake, o := startS3(t, map[string][]byte{"/b/k": content})
	obj, err := o.Look(t.Context(), Location{Bucket: "b", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, obj)
	for _, read := range []struct{ from, to, requests, blocks int64 }{
		{5*lookBlock + 1, 5*lookBlock + 2, 1, 1},
		{3 * lookBlock, 8 * lookBlock, 3, 5}, // on both sides of the one that is there
		{3 * lookBlock, 8 * lookBlock, 3, 5},
		{8*lookBlock - 1, 11 * lookBlock, 4, 8},
	} {
		p := make([]byte, read.to-read.from)
		if n, err := obj.ReadAt(p, read.from); n != len(p) || err != nil || !bytes.Equal(p, content[read.from:read.to]) {
			t.Errorf("%d to %d: %d bytes, %v", read.from, read.to, n, err)
		}
		gets := fake.seen(http.MethodGet)
		if total := spent(t, gets); int64(len(gets)) != read.requests || total != read.blocks*lookBlock {
			t.Errorf("%d to %d: so far %d requests for %d blocks, want %d for %d", read.from, read.to, len(gets), total/lookBlock, read.requests, read.blocks)
		}
	}
}

// TestLookEnds (P19): whatever is asked, less than 1 MiB is taken, failures included, and the end of the budget has a name.
func TestLookEnds(t *testing.T) {
	const size = 40 * lookBlock
	content := noise(size)
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"served": nil,
		"broken": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet {
				w.Header().Set("ETag", `"x"`)
				w.Header().Set("Content-Range", strings.Replace(r.Header.Get("Range"), "=", " ", 1)+fmt.Sprintf("/%d", size))
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write(content[:10])
				return true
			}
			w.Header().Set("ETag", `"x"`)
			w.Header().Set("Content-Length", fmt.Sprint(size))
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake, o := startS3(t, map[string][]byte{"/b/k": content})
			fake.answer = answer
			obj, err := o.Look(t.Context(), Location{Bucket: "b", Key: "k"})
			if err != nil {
				t.Fatal(err)
			}
			defer shut(t, obj)
			if n, err := obj.ReadAt(make([]byte, lookBudget), 0); n != 0 || !errors.Is(err, ErrBudget) {
				t.Errorf("all at once: %d bytes, %v", n, err)
			}
			ended := 0
			for at := int64(0); at < size; at += lookBlock {
				n, err := obj.ReadAt(make([]byte, 1), at)
				switch {
				case errors.Is(err, ErrBudget):
					ended++
					if n != 0 || !strings.Contains(err.Error(), "s3://b/k") {
						t.Errorf("%d bytes, %v", n, err)
					}
				case (err != nil) != (answer != nil):
					t.Errorf("at %d: %v", at, err)
				}
			}
			total := spent(t, fake.seen(http.MethodGet))
			if want := int64(lookBudget-1) / lookBlock * lookBlock; total != want || ended != int((size-want)/lookBlock) {
				t.Errorf("%d bytes were asked for, want %d; %d reads were refused", total, want, ended)
			}
		})
	}
}

// TestLookHTTPS: the first byte, by which an https server is tried, is of the budget too.
func TestLookHTTPS(t *testing.T) {
	content := noise(2 * lookBudget)
	var requests []*http.Request
	serve := serveImage(content, `"v1"`)
	server, o := startHTTPS(t, func(w http.ResponseWriter, r *http.Request) {
		requests = append(requests, r)
		serve(w, r)
	})
	obj, err := o.Look(t.Context(), Location{URL: server.URL + "/disk.raw"})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, obj)
	for at := int64(0); err == nil; at += lookBlock {
		_, err = obj.ReadAt(make([]byte, lookBlock), at)
	}
	if total := spent(t, requests); !errors.Is(err, ErrBudget) || total > lookBudget || total < lookBudget-lookBlock {
		t.Errorf("%d bytes were asked for, then %v", total, err)
	}
}

// TestLookDirectory: a file costs nothing to read.
func TestLookDirectory(t *testing.T) {
	content := string(noise(2 * lookBudget))
	o, _ := bucket(t, map[string]string{"k": content})
	obj, err := o.Look(t.Context(), Location{Bucket: "b", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, obj)
	if readAll(t, obj) != content {
		t.Error("the bytes differ")
	}
}

// TestLookCancelled: the reads end with the context.
func TestLookCancelled(t *testing.T) {
	_, o := startS3(t, map[string][]byte{"/b/k": noise(lookBlock)})
	ctx, cancel := context.WithCancelCause(t.Context())
	obj, err := o.Look(ctx, Location{Bucket: "b", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, obj)
	why := errors.New("enough")
	cancel(why)
	if _, err := obj.ReadAt(make([]byte, 1), 0); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}
