package localec2

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
)

// TestRefusalsSayWhatToDo: the same endpoint serves a provider's process and the command serve, so what it refuses for want of configuration
// names the settings of both.
func TestRefusalsSayWhatToDo(t *testing.T) {
	t.Parallel()
	absent := t.TempDir() + "/absent"
	noS3 := func(context.Context, string) (*s3.Client, error) { return nil, nil }
	for name, tc := range map[string]struct {
		images imagesource.Opener
		url    string
		says   []string
		not    string
	}{
		"no bucket": {url: "s3://images/k", says: []string{"no bucket is", "local.buckets", "--bucket NAME=DIR", "endpoints { s3 }", "--s3-endpoint"}},
		"another bucket": {
			images: imagesource.Opener{Buckets: map[string]string{"b": ".", "a": "."}}, url: "s3://images/k",
			says: []string{"mapped are a, b:", "local.buckets", "--bucket NAME=DIR"},
		},
		"its directory is not there": {
			images: imagesource.Opener{Buckets: map[string]string{"images": absent}}, url: "s3://images/k",
			says: []string{absent, "does not exist", "create it"}, not: "not mapped",
		},
		"not on S3": {
			images: imagesource.Opener{S3: noS3}, url: "s3://images/k",
			says: []string{"local.buckets", "--bucket of serve", "endpoints { s3 }", "--s3-endpoint"},
		},
		"https not allowed":        {url: "https://images.example/k", says: []string{"https sources are not allowed here", "--allow-https"}},
		"https of a bucket":        {url: "https://images.s3.amazonaws.com/k", says: []string{"https sources are not allowed here", "local.buckets", "--bucket of serve", "--s3-endpoint"}},
		"https of a bucket, by it": {url: "https://images.s3.amazonaws.com/k?X-Amz-Signature=s3cret", says: []string{"--allow-https"}, not: "s3cret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, func(c *Config) { c.Images = &tc.images })
			status, body, _ := h.post(t, "Action", "ImportSnapshot", "DiskContainer.Url", tc.url)
			if status != http.StatusBadRequest || !strings.Contains(body, "<Code>InvalidParameter</Code>") {
				t.Errorf("%d %s", status, body)
			}
			for _, text := range tc.says {
				if !strings.Contains(body, text) {
					t.Errorf("no %q in %s", text, body)
				}
			}
			if tc.not != "" && strings.Contains(body, tc.not) {
				t.Errorf("%q in %s", tc.not, body)
			}
		})
	}
}
