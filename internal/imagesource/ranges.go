package imagesource

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// fetch asks for n bytes at an offset of the object, once, and gives the body of an answer that promises exactly these. Its errors are complete
// sentences about the object.
type fetch func(ctx context.Context, off, n int64) (io.ReadCloser, error)

// ranged is an object that is read by such requests.
type ranged interface {
	io.ReaderAt

	// close ends the reads, and returns when no request runs any more.
	close()
}

var (
	errClosed = errors.New("it was closed")
	// errInterrupted marks a failure of the connection in the middle of an answer. Nothing was wrong with the request: it is worth repeating.
	errInterrupted = errors.New("the connection broke")
	// errNoRanges marks a server whose answers are of other bytes than those that were asked for. All of them are useless then.
	errNoRanges = errors.New("it does not serve ranges of objects, so copy the image elsewhere")
)

// readWhole fills p from a body.
func readWhole(l Location, body io.Reader, p []byte) error {
	n, err := io.ReadFull(body, p)
	if err != nil {
		return fmt.Errorf("%s: %w after %d of %d bytes: %w", l, errInterrupted, n, len(p), notEnd(err))
	}
	return nil
}

// notEnd keeps the end of a connection from being taken for the end of the object, which io.EOF means to all who read it.
func notEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readEnd sees that nothing follows in a body: an answer of more bytes than it said is one of other bytes.
func readEnd(l Location, body io.Reader) error {
	if n, _ := io.ReadFull(body, make([]byte, 1)); n > 0 {
		return fmt.Errorf("%s: the server answered with more bytes than it said: %w", l, errNoRanges)
	}
	return nil
}

// checkRangeAnswer compares "bytes 0-9/100", and the length of the body where the answer tells it (-1 where not), with what was asked for. Some
// servers answer a range with the whole object, or with another part: taking those bytes would corrupt the image silently.
func checkRangeAnswer(l Location, got string, length, off, n, size int64) error {
	want := fmt.Sprintf("bytes %d-%d/%d", off, off+n-1, size)
	if got == want {
		if length >= 0 && length != n {
			return fmt.Errorf("%s: the server answered a request for %q with %d bytes: %w", l, want, length, errNoRanges)
		}
		return nil
	}
	var first, last, total int64
	if _, err := fmt.Sscanf(got, "bytes %d-%d/%d", &first, &last, &total); err == nil && total != size {
		return fmt.Errorf("%s: %w: its size was %d bytes and is now %d: import again when nothing writes to it", l, ErrChanged, size, total)
	}
	return fmt.Errorf("%s: the server answered a request for %q with %q: %w", l, want, got, errNoRanges)
}
