package provider_test

import (
	"bytes"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
)

// signed is what a presigned URL carries, and secrets are what must be seen nowhere of it, nor of the provider's own credentials.
const signed = "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIAURLKEYURLKEYURLK%2F20260101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Expires=900" +
	"&X-Amz-Security-Token=IQoJtokenhead%2Ftokentail%3D&X-Amz-SignedHeaders=host&X-Amz-Signature=5ecre7519na7ure"

var secrets = []string{
	"ASIAURLKEYURLKEYURLK", "IQoJtokenhead", "tokentail", "5ecre7519na7ure",
	"secret-key-of-the-provider", "session-token-of-the-provider", "password-of-the-proxy",
}

// safely is a buffer that goroutines may share.
type safely struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safely) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safely) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestNoSecrets: however an import of a presigned image ends, neither a diagnostic nor the log at TRACE shows what signed it.
func TestNoSecrets(t *testing.T) {
	image := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/disk.vmdk":
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(vmdk()))
		case "/page.vmdk":
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader("<!DOCTYPE html><html>"+strings.Repeat(" ", 4096)))
		case "/redirect.vmdk":
			http.Redirect(w, r, "http://elsewhere.invalid/disk.vmdk?"+r.URL.RawQuery, http.StatusFound)
		case "/odd.vmdk":
			w.Header().Set("Location", "https://elsewhere.invalid/%zz?"+r.URL.RawQuery)
			w.WriteHeader(http.StatusFound)
		case "/forbidden.vmdk":
			http.Error(w, r.URL.String(), http.StatusForbidden)
		default:
			http.NotFound(w, r)
		}
	}))
	image.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes are meant to fail
	image.StartTLS()
	t.Cleanup(image.Close)
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: image.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	refuse := func(e *acctest.EC2) {
		e.On("ImportSnapshot", func(r *acctest.Request, _ func() *acctest.Answer) *acctest.Answer {
			return acctest.Refusal(400, "InvalidParameter", "Cannot read "+r.Form.Get("DiskContainer.Url")+".")
		})
	}
	for name, test := range map[string]struct {
		url     string
		trusted bool
		disturb func(e *acctest.EC2)
		change  func(config map[string]any)
		says    string
	}{
		"404":                    {url: image.URL + "/none.vmdk", trusted: true, says: "Unable to Start Import"},
		"403":                    {url: image.URL + "/forbidden.vmdk", trusted: true, disturb: refuse, says: "Unable to Start Import"},
		"redirect":               {url: image.URL + "/redirect.vmdk", trusted: true, disturb: refuse, says: "Unable to Start Import"},
		"redirect to no URL":     {url: image.URL + "/odd.vmdk", trusted: true, disturb: refuse, says: "Unable to Start Import"},
		"TLS":                    {url: image.URL + "/disk.vmdk", disturb: refuse, says: "Unable to Start Import"},
		"no such host":           {url: "https://images.invalid/disk.vmdk", disturb: refuse, says: "Unable to Start Import"},
		"not importable":         {url: image.URL + "/page.vmdk", trusted: true, says: "Image Not Importable"},
		"refused":                {url: image.URL + "/disk.vmdk", trusted: true, disturb: refuse, says: "Unable to Start Import"},
		"refused, in a bucket":   {url: "https://images.s3.us-east-1.amazonaws.com/disk.vmdk", disturb: refuse, says: "Unable to Start Import"},
		"no answer":              {url: image.URL + "/disk.vmdk", trusted: true, disturb: func(e *acctest.EC2) { e.On("ImportSnapshot", acctest.Instead(200, "")) }, says: "Import May Have Begun"},
		"imported from a bucket": {url: "https://images.s3.us-east-1.amazonaws.com/disk.vmdk"},
		"fails with the URL": {url: "https://images.s3.us-east-1.amazonaws.com/disk.vmdk", disturb: func(e *acctest.EC2) {
			e.On("DescribeImportSnapshotTasks", polls(acctest.WithElement("statusMessage", "ClientError: cannot read https://images.s3.us-east-1.amazonaws.com/disk.vmdk"+signed)))
		}, says: "Import Failed"},
		"the proxy is gone": {url: image.URL + "/disk.vmdk", change: func(config map[string]any) {
			config["http_proxy"], config["max_retries"] = "http://user:password-of-the-proxy@127.0.0.1:1", 0
		}, says: "Unable to Start Import"},
		"the proxy is no URL": {url: image.URL + "/disk.vmdk", change: func(config map[string]any) {
			config["http_proxy"], config["max_retries"] = "http://user:password-of-the-proxy%zz@127.0.0.1:1", 0
		}, says: "Unable to Reach EC2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t, func(c *localec2.Config) {
				if strings.HasPrefix(name, "fails") {
					c.Simulate.FailWith = "hidden"
				}
			})
			if test.disturb != nil {
				test.disturb(e)
			}
			config := e.Config()
			config["secret_key"], config["token"] = "secret-key-of-the-provider", "session-token-of-the-provider"
			if test.trusted {
				config["custom_ca_bundle"] = bundle
			}
			if test.change != nil {
				test.change(config)
			}
			lines := &safely{}
			c := acctest.StartCore(t)
			c.LogTo(lines)
			d := c.Configure(config)
			imported := map[string]any{"disk_container": map[string]any{"url": test.url + signed}, "timeouts": map[string]any{"create": "20s"}}
			o, more := c.Create(imported)
			d = append(d, more...)
			if o != nil {
				o, more = c.Read(o)
				d = append(append(d, more...), c.Destroy(o)...)
			}
			if !strings.Contains(d.String(), test.says) || (test.says == "") != (len(d) == 0) {
				t.Errorf("want %q, said\n%s", test.says, d)
			}
			for _, secret := range secrets {
				if strings.Contains(d.String(), secret) {
					t.Errorf("%s is in\n%s", secret, d)
				}
				for line := range strings.Lines(lines.String()) {
					if strings.Contains(line, secret) {
						t.Errorf("%s is in the log: %s", secret, line)
						break
					}
				}
			}
			if test.says != "Unable to Reach EC2" && test.says != "Image Not Importable" && name != "the proxy is gone" &&
				!strings.Contains(lines.String(), "Action=ImportSnapshot") {
				t.Errorf("the log does not have the request, so it shows nothing:\n%s", lines)
			}
		})
	}
}
