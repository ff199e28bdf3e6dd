// Package imagesource says where an image's bytes come from: a bucket that is a directory here, a bucket on S3, or an https server. Whatever
// the source, an image is a ReaderAt with a size and an identity, and its bytes are those of one version: an object that changes while it is
// read ends the reads with ErrChanged and never mixes two versions.
package imagesource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Opener knows the sources. The zero value opens nothing. It is safe for concurrent use as long as its fields are left alone.
type Opener struct {
	// Buckets maps a bucket's name to the directory that stands for it. It is looked at before S3.
	Buckets map[string]string

	// S3 gives the client that reads a bucket which is no directory; nil means that there is no S3.
	S3 func(ctx context.Context, bucket string) (*s3.Client, error)

	// HTTPS allows https URLs that are neither in a mapped bucket nor on S3.
	HTTPS bool

	// AllowPrivate lets such a URL name a server on a loopback, private or link-local address: right where the user wrote the URL, wrong where
	// it came over the network. A redirect from a public server to a private address is refused in both cases.
	AllowPrivate bool

	// Transport is what https connections are modelled on (proxy, certificates); nil means http.DefaultTransport.
	Transport *http.Transport
}

// Maps says whether a bucket could be opened at all: it is a directory here, or there is an S3 that may hold it.
func (o *Opener) Maps(bucket string) bool {
	_, ok := o.Buckets[bucket]
	return ok || o.S3 != nil
}

// Open finds the object and notes its identity. The context also ends the reads of the object: cancel it and they fail.
func (o *Opener) Open(ctx context.Context, l Location) (*Object, error) {
	return o.open(ctx, l, newPages)
}

func (o *Opener) open(ctx context.Context, l Location, reading reading) (*Object, error) {
	if l.Bucket != "" {
		if dir, ok := o.Buckets[l.Bucket]; ok {
			return openFile(ctx, l, dir)
		}
		// A query is a presigned request: it carries the permission that a client of ours may lack.
		if o.S3 != nil && !l.Presigned() {
			return o.openS3(ctx, l, reading)
		}
	}
	if l.URL != "" {
		switch {
		case !o.HTTPS && l.Bucket != "" && !l.Presigned():
			return nil, fmt.Errorf("%s: %w, and %s", l, ErrHTTPS, unknownBucket(l.Bucket))
		case !o.HTTPS:
			return nil, fmt.Errorf("%s: %w: copy the image into a bucket, or allow them with --allow-https of serve", l, ErrHTTPS)
		}
		return openHTTPS(ctx, l, o.Transport, o.AllowPrivate, reading)
	}
	return nil, fmt.Errorf("%s: %w: %s", l, ErrNoBucket, unknownBucket(l.Bucket))
}

// unknownBucket says what to do, where the endpoint is one in a provider's process, and where it is a server.
func unknownBucket(bucket string) string {
	return fmt.Sprintf("bucket %q is neither mapped to a directory (local.buckets of the provider block, --bucket of serve) nor is there an S3 that holds it "+
		"(endpoints { s3 }, --s3-endpoint): add one of them", bucket)
}

func (o *Opener) openS3(ctx context.Context, l Location, reading reading) (*Object, error) {
	client, err := o.S3(ctx, l.Bucket)
	if err != nil {
		return nil, fmt.Errorf("%s: no S3 client: %w", l, err)
	}
	if client == nil {
		return nil, fmt.Errorf("%s: %w: %s", l, ErrNoBucket, unknownBucket(l.Bucket))
	}
	return openS3(ctx, client, l, reading)
}

// Object is an opened image file. ReadAt is safe for concurrent use.
type Object struct {
	io.ReaderAt
	size      int64
	etag      string
	versionID string
	close     func() error
}

// NextData is the first run of stored bytes that ends behind the offset; io.EOF where there is none. What lies between runs reads as zeros. Only a
// file of a directory knows its holes: elsewhere all bytes are one run.
func (o *Object) NextData(off int64) (start, end int64, err error) {
	if m, ok := o.ReaderAt.(interface {
		NextData(off int64) (start, end int64, err error)
	}); ok {
		return m.NextData(off)
	}
	if off >= o.size {
		return 0, 0, io.EOF
	}
	return 0, o.size, nil
}

// Remote says whether the bytes come over a network: from a bucket on S3, or an https server.
func (o *Object) Remote() bool {
	_, file := o.ReaderAt.(*fileReader)
	return !file
}

// Size is the length in bytes, as it was when the object was opened.
func (o *Object) Size() int64 { return o.size }

// ETag identifies these bytes, without quotes: the server's own where it gives one. A directory has none to give; there it is made of size and
// modification time, so it tells versions apart but does not compare with the ETag the same bytes would have on S3.
func (o *Object) ETag() string { return o.etag }

// VersionID is the version in a versioned S3 bucket; empty elsewhere.
func (o *Object) VersionID() string { return o.versionID }

// Close ends the reads and releases what they held.
func (o *Object) Close() error { return o.close() }

// checkRange is the part of ReadAt's contract that all sources share: it gives how many bytes there are to read, and io.EOF where they are
// fewer than asked for.
func checkRange(want int, off, size int64) (int, error) {
	switch {
	case off < 0:
		return 0, errors.New("negative offset")
	case want == 0:
		return 0, nil
	case off >= size:
		return 0, io.EOF
	case int64(want) > size-off:
		return int(size - off), io.EOF
	}
	return want, nil
}
