package localec2

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
)

// Transport returns the endpoint as the transport of a client in the same process: request in, response out, with the same handler and the
// same XML between as over a socket.
func (e *Endpoint) Transport() http.RoundTripper { return transport{e} }

type transport struct{ endpoint *Endpoint }

// RoundTrip honours the request's context as a network does: the caller stops waiting, but a call that has arrived is carried out to its end.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	var body []byte
	if req.Body != nil {
		// One byte more than the handler takes, so that it is the handler that refuses.
		var err error
		body, err = io.ReadAll(io.LimitReader(req.Body, maxBody+1))
		if cerr := req.Body.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}

	served := req.Clone(context.WithoutCancel(ctx))
	served.Body = io.NopCloser(bytes.NewReader(body))
	answered := make(chan *http.Response, 1)
	go func() {
		w := &responseWriter{header: http.Header{}}
		t.endpoint.ServeHTTP(w, served)
		answered <- w.response(req) //nolint:bodyclose // the client closes it
	}()
	select {
	case res := <-answered:
		return res, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// responseWriter holds an answer in memory, where its XML is made anyway: a kilobyte or so for each item, and all items where the caller asks
// for no pages.
type responseWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *responseWriter) Header() http.Header { return w.header }

func (w *responseWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *responseWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

func (w *responseWriter) response(req *http.Request) *http.Response {
	w.WriteHeader(http.StatusOK)
	return &http.Response{
		Status:        strconv.Itoa(w.status) + " " + http.StatusText(w.status),
		StatusCode:    w.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        w.header,
		Body:          io.NopCloser(&w.body),
		ContentLength: int64(w.body.Len()),
		Request:       req,
	}
}
