package provider_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// TestRule6PreflightElsewhere: where only EC2 is named, as for `serve`, the image is not in AWS's S3, and a bucket or a key of the same name there is
// somebody else's. So neither is asked: the answer could refuse a good import, and a name would leave the machine.
func TestRule6PreflightElsewhere(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Method+" "+r.Host)
		http.Error(w, "there is no way out of here", http.StatusBadGateway)
	}))
	t.Cleanup(outside.Close)
	e := newEC2(t)
	config := e.Config()
	config["endpoints"] = []any{map[string]any{"ec2": e.URL, "sts": e.URL}}
	config["https_proxy"], config["max_retries"] = outside.URL, 0
	c := acctest.NewCore(t, config)
	for _, url := range []string{"s3://images/disk.vmdk", "https://images.s3.us-east-1.amazonaws.com/disk.vmdk"} {
		arguments := with("encrypted", true, "kms_key_id", "alias/disks")
		arguments["disk_container"] = map[string]any{"url": url}
		o, d := c.Create(arguments)
		if len(d) > 0 || o.Get("source") != nil {
			t.Errorf("%s: the source is %v: %v", url, o.Get("source"), d)
		}
		arguments["kms_key_id"] = "alias/others"
		if p, d := c.Plan(o, arguments); len(d) > 0 || !slices.Equal(p.Replaces, []string{"kms_key_id"}) {
			t.Errorf("%s: another key is planned as %s for %v: %v", url, p.Action, p.Replaces, d)
		}
		if d := c.Destroy(o); len(d) > 0 {
			t.Error(d)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) > 0 {
		t.Errorf("AWS was asked: %v", asked)
	}
}
