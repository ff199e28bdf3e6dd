package imagesource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxRedirects = 10
	// httpsPause is the wait before a request that the server refused for a moment is repeated; it doubles.
	httpsPause = 500 * time.Millisecond
)

// openHTTPS asks for the first byte: unlike a HEAD that also works with presigned URLs, which are good for GET only, and it shows whether the
// server knows ranges.
func openHTTPS(ctx context.Context, l Location, template *http.Transport, allowPrivate bool, reading reading) (*Object, error) {
	guard := &guard{allowed: allowPrivate}
	transport := guard.transport(template)
	// Behind a proxy there is no connection that would show the address, and a server that is named by its address needs no look-up.
	if addr := hostOf(l.URL); addr.IsValid() {
		if err := guard.check(addr); err != nil {
			return nil, fmt.Errorf("%s: %w", l, err)
		}
	}
	src := &httpsSource{location: l, client: &http.Client{Transport: transport, CheckRedirect: guard.checkRedirect}}
	if err := src.open(ctx); err != nil {
		transport.CloseIdleConnections()
		return nil, err
	}
	etag := src.etag
	if !src.weak() {
		etag = strings.Trim(etag, `"`)
	}
	r := reading(ctx, l, src.size, src.fetch)
	return &Object{ReaderAt: r, size: src.size, etag: etag, close: func() error {
		r.close()
		transport.CloseIdleConnections()
		return nil
	}}, nil
}

// httpsSource asks the same URL for every range and follows its redirects anew, because what they lead to is often signed for minutes only.
type httpsSource struct {
	location Location
	client   *http.Client
	size     int64
	etag     string
	modified string
}

// weak ETags say "as good as", not "the same bytes", and never satisfy If-Match: for them the answers are compared instead.
func (s *httpsSource) weak() bool { return strings.HasPrefix(s.etag, "W/") }

// same compares the identity of an answer with that of the first one: some servers ignore If-Match.
func (s *httpsSource) same(h http.Header) bool {
	if h.Get("ETag") != s.etag {
		return false
	}
	return s.etag != "" && !s.weak() || h.Get("Last-Modified") == s.modified
}

func (s *httpsSource) open(ctx context.Context) error {
	response, err := s.get(ctx, 0, 1)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	s.etag, s.modified = response.Header.Get("ETag"), response.Header.Get("Last-Modified")
	switch response.StatusCode {
	case http.StatusPartialContent:
		got := response.Header.Get("Content-Range")
		_, total, _ := strings.Cut(got, "/")
		s.size, err = strconv.ParseInt(total, 10, 64)
		if err != nil || s.size <= 0 {
			return fmt.Errorf("%s: the server does not say how large the image is (Content-Range %q): copy the image into a bucket", s.location, got)
		}
		return checkRangeAnswer(s.location, got, response.ContentLength, 0, 1, s.size)
	case http.StatusRequestedRangeNotSatisfiable: // there is no first byte
		return nil
	case http.StatusOK:
		if response.ContentLength == 0 {
			return nil
		}
	}
	return s.statusError(response)
}

func (s *httpsSource) fetch(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	response, err := s.get(ctx, off, n)
	if err != nil {
		return nil, err
	}
	switch {
	case response.StatusCode == http.StatusPreconditionFailed, response.StatusCode == http.StatusRequestedRangeNotSatisfiable,
		response.StatusCode < 300 && !s.same(response.Header):
		err = changed(s.location)
	case response.StatusCode != http.StatusPartialContent:
		err = s.statusError(response)
	default:
		err = checkRangeAnswer(s.location, response.Header.Get("Content-Range"), response.ContentLength, off, n, s.size)
	}
	if err != nil {
		response.Body.Close()
		return nil, err
	}
	return response.Body, nil
}

// get sends one ranged request, again where the server was busy or out of reach for a moment.
func (s *httpsSource) get(ctx context.Context, off, n int64) (*http.Response, error) {
	pause := httpsPause
	for try := 1; ; try++ {
		response, err := s.getOnce(ctx, off, n)
		if err == nil && response.StatusCode != http.StatusTooManyRequests && response.StatusCode < 500 {
			return response, nil
		}
		if try == pageTries || errors.Is(err, ErrPrivate) || errors.Is(err, errRedirect) {
			return response, err
		}
		if response != nil {
			_ = response.Body.Close()
		}
		timer := time.NewTimer(pause)
		pause *= 2
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("%s: %w", s.location, context.Cause(ctx))
		}
	}
}

func (s *httpsSource) getOnce(ctx context.Context, off, n int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.location.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: cannot ask for it: %w", s.location, withoutURL(err))
	}
	request.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	request.Header.Set("Accept-Encoding", "identity") // the ranges are those of the image, not of its compressed form
	switch {
	case s.etag != "" && !s.weak():
		request.Header.Set("If-Match", s.etag)
	case s.modified != "":
		request.Header.Set("If-Unmodified-Since", s.modified)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%s: cannot read it: %w", s.location, notEnd(withoutURL(err)))
	}
	return response, nil
}

func (s *httpsSource) statusError(response *http.Response) error {
	// What is left of the body is read so that the connection can be used again, if it is short.
	_, _ = io.CopyN(io.Discard, response.Body, 4<<10)
	switch response.StatusCode {
	case http.StatusOK:
		return fmt.Errorf("%s: the server answered a ranged request with the whole file: %w", s.location, errNoRanges)
	case http.StatusNotFound, http.StatusGone:
		return fmt.Errorf("%s: %w: the server answered %s: correct the URL", s.location, ErrNotFound, response.Status)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%s: %w: the server answered %s: if the URL is presigned, it may have expired", s.location, ErrForbidden, response.Status)
	}
	return fmt.Errorf("%s: the server answered %s: try again later, or copy the image into a bucket", s.location, response.Status)
}
