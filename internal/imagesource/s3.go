package imagesource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// openS3 asks for size and ETag once; the ranged reads that follow are pinned to that ETag. They are not pinned to the version, although S3
// could do so: VM Import reads the latest one, and reading an older one needs another permission.
func openS3(ctx context.Context, client *s3.Client, l Location, reading reading) (*Object, error) {
	head, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &l.Bucket, Key: &l.Key})
	if err != nil {
		return nil, s3Error(ctx, client, l, err)
	}
	if head.ContentLength == nil || *head.ContentLength < 0 {
		return nil, fmt.Errorf("%s: S3 gave no size: the endpoint is not one of S3", l)
	}
	src := &s3Source{client: client, location: l, size: *head.ContentLength, etag: aws.ToString(head.ETag)}
	r := reading(ctx, l, src.size, src.fetch)
	return &Object{
		ReaderAt:  r,
		size:      src.size,
		etag:      strings.Trim(src.etag, `"`),
		versionID: aws.ToString(head.VersionId),
		close:     func() error { r.close(); return nil },
	}, nil
}

type s3Source struct {
	client   *s3.Client
	location Location
	size     int64
	etag     string
}

func (s *s3Source) fetch(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	in := &s3.GetObjectInput{
		Bucket: &s.location.Bucket,
		Key:    &s.location.Key,
		Range:  aws.String(fmt.Sprintf("bytes=%d-%d", off, off+n-1)),
	}
	if s.etag != "" {
		in.IfMatch = &s.etag
	}
	// A range has no checksum of its own; asking for one only logs warnings for multipart objects.
	out, err := s.client.GetObject(ctx, in, func(o *s3.Options) { o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired })
	if err != nil {
		return nil, s3Error(ctx, s.client, s.location, err)
	}
	length := int64(-1)
	if out.ContentLength != nil {
		length = *out.ContentLength
	}
	// The SDK gives no status, but only a 206 has a Content-Range.
	err = checkRangeAnswer(s.location, aws.ToString(out.ContentRange), length, off, n, s.size)
	if s.etag != "" && aws.ToString(out.ETag) != s.etag { // some S3s ignore If-Match
		err = changed(s.location)
	}
	if err != nil {
		out.Body.Close()
		return nil, err
	}
	return out.Body, nil
}

// s3Error says what S3's answer means. The answer to a HEAD has no body, so the status is all there is to go by.
func s3Error(ctx context.Context, client *s3.Client, l Location, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", l, context.Cause(ctx))
	}
	var response *smithyhttp.ResponseError
	if !errors.As(err, &response) || response.HTTPResponse() == nil {
		return fmt.Errorf("%s: cannot read it from S3: %w", l, notEnd(err))
	}
	status, header := response.HTTPStatusCode(), response.HTTPResponse().Header
	region := header.Get(bucketRegion)
	if region == "" && (status == http.StatusMovedPermanently || status == http.StatusBadRequest) { // what S3 answers elsewhere than in the bucket's Region
		region = regionOf(ctx, client, l.Bucket)
	}
	if here := client.Options().Region; region != "" && region != here && status != http.StatusNotFound && status < 500 {
		return fmt.Errorf("%s: %w", l, &RegionError{Bucket: l.Bucket, BucketRegion: region, Region: here})
	}
	if status == http.StatusNotFound && isPage(header) {
		return fmt.Errorf("%s: a page answered in the place of S3, perhaps of a proxy: %w", l, err)
	}
	switch status {
	case http.StatusPreconditionFailed:
		return changed(l)
	case http.StatusNotFound:
		if noBucket(ctx, client, l.Bucket) {
			return fmt.Errorf("%s: %w: create bucket %q, or correct its name", l, ErrNoBucket, l.Bucket)
		}
		return fmt.Errorf("%s: %w: upload the image, or correct the key (it is taken literally, %%20 is no space)", l, ErrNotFound)
	case http.StatusForbidden, http.StatusUnauthorized:
		return fmt.Errorf("%s: %w: allow s3:GetObject on it (S3 gives the same answer for a missing key when s3:ListBucket is not allowed): %w",
			l, ErrForbidden, err)
	}
	return fmt.Errorf("%s: cannot read it from S3: %w", l, err)
}

// isPage tells the page of a proxy or a portal from an answer of S3, or of one of its kind: those bear the id of the request.
func isPage(header http.Header) bool {
	return strings.HasPrefix(header.Get("Content-Type"), "text/html") && header.Get("X-Amz-Request-Id") == "" && header.Get("X-Amzn-Requestid") == ""
}

const bucketRegion = "X-Amz-Bucket-Region"

// regionOf asks where a bucket is; S3 tells it to everyone, with a refusal too. Empty where it is not known.
func regionOf(ctx context.Context, client *s3.Client, bucket string) string {
	out, err := client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &bucket})
	if err == nil {
		return aws.ToString(out.BucketRegion)
	}
	var response *smithyhttp.ResponseError
	if !errors.As(err, &response) || response.HTTPResponse() == nil {
		return ""
	}
	return response.HTTPResponse().Header.Get(bucketRegion)
}

// noBucket tells a missing bucket from a missing key: the answers to HeadObject are the same.
func noBucket(ctx context.Context, client *s3.Client, bucket string) bool {
	_, err := client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &bucket})
	var response *smithyhttp.ResponseError
	return errors.As(err, &response) && response.HTTPStatusCode() == http.StatusNotFound
}

func changed(l Location) error {
	return fmt.Errorf("%s: %w: it was overwritten since the import began: import again when nothing writes to it", l, ErrChanged)
}
