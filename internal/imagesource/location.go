package imagesource

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Location names an object. Bucket and Key are set for s3:// URLs, for user_bucket, and for https URLs of S3 itself; URL is set for https.
type Location struct {
	Bucket, Key string
	URL         string
}

// s3Host matches the host names under which S3 serves objects: virtual-hosted (bucket first) and path style, with and without Region,
// dual-stack, FIPS and the dash form of old Regions.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
var s3Host = regexp.MustCompile(`^(?:(.+)\.)?s3(?:-fips)?(?:\.dualstack)?(?:[.-]([a-z]{2,}(?:-[a-z]+)+-\d+))?\.amazonaws\.com(?:\.cn)?$`)

// ParseURL reads what ImportSnapshot takes as Url: s3://bucket/key, or https. The key is literal: "%20" in it is three characters, and "?" and
// "#" of an s3 URL belong to the key.
func ParseURL(raw string) (Location, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return Location{}, errors.New("the URL has no scheme: write s3://bucket/key or https://host/path")
	}
	switch strings.ToLower(scheme) {
	case "s3":
		bucket, key, _ := strings.Cut(rest, "/")
		if bucket == "" || key == "" {
			return Location{}, fmt.Errorf("the URL %q names no object: write s3://bucket/key", raw)
		}
		return Location{Bucket: bucket, Key: key}, nil
	case "https":
		return parseHTTPS(raw, rest)
	}
	return Location{}, fmt.Errorf("the URL has the scheme %q: only s3 and https can be imported from", scheme)
}

func parseHTTPS(raw, rest string) (Location, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// url.Error repeats the whole URL, which may carry a signature.
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err
		}
		return Location{}, fmt.Errorf("the https URL is malformed: %w", err)
	}
	if u.Hostname() == "" {
		return Location{}, errors.New("the https URL names no host: write https://host/path")
	}
	l := Location{URL: raw}
	m := s3Host.FindStringSubmatch(strings.ToLower(u.Hostname()))
	if m == nil {
		return l, nil
	}
	_, path, _ := strings.Cut(rest, "/")
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	l.Bucket, l.Key = m[1], path
	if l.Bucket == "" {
		l.Bucket, l.Key, _ = strings.Cut(path, "/")
	}
	if l.Bucket == "" || l.Key == "" {
		return Location{}, fmt.Errorf("the URL %q names no object: write https://bucket.s3.region.amazonaws.com/key", l)
	}
	return l, nil
}

// String is for messages: a URL is shown without its query and password, which may hold a signature.
func (l Location) String() string {
	if l.URL == "" {
		return "s3://" + l.Bucket + "/" + l.Key
	}
	u, err := url.Parse(l.URL)
	if err != nil {
		return "https URL"
	}
	return redact(u)
}

// Region is the one that the host name of an https URL of S3 names; empty where it names none.
func (l Location) Region() string {
	u, err := url.Parse(l.URL)
	if err != nil {
		return ""
	}
	if m := s3Host.FindStringSubmatch(strings.ToLower(u.Hostname())); m != nil {
		return m[2]
	}
	return ""
}

// Presigned tells a URL that carries its own permission.
func (l Location) Presigned() bool { return strings.Contains(l.URL, "?") }

func redact(u *url.URL) string {
	shown := *u
	shown.RawQuery, shown.ForceQuery, shown.Fragment = "", false, ""
	return shown.Redacted()
}
