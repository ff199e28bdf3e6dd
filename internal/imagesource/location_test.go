package imagesource

import (
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for _, c := range []struct {
		name, url, bucket, key string
		https                  bool
	}{
		{"s3", "s3://b/k", "b", "k", false},
		{"scheme in any case", "S3://b/k", "b", "k", false},
		{"key is literal: percent", "s3://b/a%20b%2Fc", "b", "a%20b%2Fc", false},
		{"key is literal: query and fragment", "s3://b/a?x=1#f", "b", "a?x=1#f", false},
		{"key is literal: unicode, spaces, slashes", "s3://b/é 日//x/", "b", "é 日//x/", false},
		{"key is literal: dots", "s3://b/../k", "b", "../k", false},
		{"virtual host", "https://my.bucket.s3.eu-central-1.amazonaws.com/dir/k.vmdk", "my.bucket", "dir/k.vmdk", true},
		{"virtual host without Region", "https://b.s3.amazonaws.com/k", "b", "k", true},
		{"virtual host, dash form", "https://b.s3-us-west-2.amazonaws.com/k", "b", "k", true},
		{"virtual host, China", "https://b.s3.cn-north-1.amazonaws.com.cn/k", "b", "k", true},
		{"virtual host, GovCloud", "https://b.s3.us-gov-west-1.amazonaws.com/k", "b", "k", true},
		{"virtual host, dual-stack", "https://b.s3.dualstack.us-west-2.amazonaws.com/k", "b", "k", true},
		{"virtual host, FIPS", "https://b.s3-fips.us-east-1.amazonaws.com/k", "b", "k", true},
		{"virtual host, bucket that looks like one", "https://s3.us-east-1.s3.us-east-1.amazonaws.com/k", "s3.us-east-1", "k", true},
		{"path style", "https://s3.us-east-1.amazonaws.com/b/dir/k", "b", "dir/k", true},
		{"path style without Region", "https://s3.amazonaws.com/b/k", "b", "k", true},
		{"https key is literal too", "https://b.s3.us-east-1.amazonaws.com/a%20b", "b", "a%20b", true},
		{"presigned", "https://b.s3.us-east-1.amazonaws.com/k?X-Amz-Signature=abc", "b", "k", true},
		{"host and port", "https://B.S3.us-east-1.AMAZONAWS.com:443/k", "b", "k", true},
		{"elsewhere", "https://images.example/disk.raw", "", "", true},
		{"not S3, though it ends alike", "https://b.s3.us-east-1.amazonaws.com.example/k", "", "", true},
		{"another service", "https://b.sqs.us-east-1.amazonaws.com/k", "", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := ParseURL(c.url)
			if err != nil {
				t.Fatal(err)
			}
			want := Location{Bucket: c.bucket, Key: c.key}
			if c.https {
				want.URL = c.url
			}
			if l != want {
				t.Errorf("got %+v, want %+v", l, want)
			}
		})
	}
}

// TestLocationRegion (P20): a URL may name a Region.
func TestLocationRegion(t *testing.T) {
	for raw, want := range map[string]string{
		"https://my.bucket.s3.eu-central-1.amazonaws.com/k":    "eu-central-1",
		"https://b.s3-us-west-2.amazonaws.com/k":               "us-west-2",
		"https://b.s3.dualstack.us-gov-west-1.amazonaws.com/k": "us-gov-west-1",
		"https://b.s3-fips.us-east-1.amazonaws.com/k":          "us-east-1",
		"https://s3.cn-north-1.amazonaws.com.cn/b/k":           "cn-north-1",
		"https://b.s3.amazonaws.com/k":                         "",
		"https://s3.amazonaws.com/b/k":                         "",
		"https://images.example/k":                             "",
		"s3://b/k":                                             "",
	} {
		l, err := ParseURL(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Region(); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	for _, c := range []struct{ url, says string }{
		{"", "scheme"},
		{"bucket/key", "scheme"},
		{"s3:/b/k", "scheme"},
		{"s3://", "names no object"},
		{"s3://b", "names no object"},
		{"s3://b/", "names no object"},
		{"s3:///k", "names no object"},
		{"http://h/k", "only s3 and https"},
		{"file:///etc/passwd", "only s3 and https"},
		{"https:///k", "no host"},
		{"https://h/%zz?X-Amz-Signature=secret", "malformed"},
		{"https://b.s3.us-east-1.amazonaws.com/", "names no object"},
		{"https://s3.us-east-1.amazonaws.com/b", "names no object"},
		{"https://s3.us-east-1.amazonaws.com/b?X-Amz-Signature=secret", "names no object"},
	} {
		l, err := ParseURL(c.url)
		if err == nil {
			t.Errorf("%q: got %+v", c.url, l)
			continue
		}
		if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", c.url, err)
		}
	}
}

func TestLocationHidesSignatures(t *testing.T) {
	l, err := ParseURL("https://user:hunter22@h.example/disk?X-Amz-Signature=abcdef#f")
	if err != nil {
		t.Fatal(err)
	}
	if got := l.String(); got != "https://user:xxxxx@h.example/disk" {
		t.Error(got)
	}
}
