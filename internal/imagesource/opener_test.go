package imagesource

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func TestOpenerChooses(t *testing.T) {
	here := errors.New("S3 was asked")
	s3Asked := func(context.Context, string) (*s3.Client, error) { return nil, here }
	o, _ := bucket(t, map[string]string{"k": "x"})
	mapped := o.Buckets
	for _, c := range []struct {
		name   string
		opener Opener
		url    string
		want   error
	}{
		{"directory before S3", Opener{Buckets: mapped, S3: s3Asked}, "s3://b/k", nil},
		{"https URL of a mapped bucket is the directory", Opener{Buckets: mapped, S3: s3Asked}, "https://b.s3.eu-west-1.amazonaws.com/k", nil},
		{"presigned URL of a mapped bucket is the directory", Opener{Buckets: mapped}, "https://b.s3.amazonaws.com/k?X-Amz-Signature=s", nil},
		{"other bucket is on S3", Opener{Buckets: mapped, S3: s3Asked}, "s3://other/k", here},
		{"https URL of S3 is read from S3", Opener{S3: s3Asked, HTTPS: true}, "https://other.s3.amazonaws.com/k", here},
		{"no S3", Opener{Buckets: mapped, HTTPS: true}, "s3://other/k", ErrNoBucket},
		{"no client for the bucket", Opener{S3: func(context.Context, string) (*s3.Client, error) { return nil, nil }}, "s3://other/k", ErrNoBucket},
		{"https not allowed", Opener{Buckets: mapped, S3: s3Asked}, "https://h.example/k", ErrHTTPS},
		{"https URL of S3 without S3, not allowed", Opener{Buckets: mapped}, "https://other.s3.amazonaws.com/k", ErrHTTPS},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := ParseURL(c.url)
			if err != nil {
				t.Fatal(err)
			}
			obj, err := c.opener.Open(t.Context(), l)
			if err == nil {
				shut(t, obj)
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestMaps(t *testing.T) {
	o := &Opener{Buckets: map[string]string{"b": "."}}
	if !o.Maps("b") || o.Maps("c") {
		t.Error("directories alone")
	}
	o.S3 = func(context.Context, string) (*s3.Client, error) { return nil, nil }
	if !o.Maps("c") {
		t.Error("S3 may hold any bucket")
	}
}
