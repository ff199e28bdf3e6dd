package provider_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// newS3 is `serve` with its images in an S3 that is not ours.
func newS3(t *testing.T) *acctest.Site {
	t.Helper()
	if !acctest.ServesS3() {
		t.Skip("runs with EC2_ACC_BACKEND=serve EC2_ACC_IMAGES=s3 (make test-serve)")
	}
	return acctest.NewSite(t)
}

// large is a disk of several blocks of a network reader, with a hole, an odd end, and nothing that compresses.
func large() []byte {
	raw := make([]byte, 19<<20+3*512)
	r := rand.NewChaCha8([32]byte{'s', '3'})
	_, _ = r.Read(raw[:9<<20])
	_, _ = r.Read(raw[13<<20:])
	return raw
}

// ranges are the ranged reads that an S3 has seen.
type ranges struct {
	mu    sync.Mutex
	seen  int
	whole []string // reads of a whole object, and ranged ones that are not pinned to a version
	then  func(n int)
}

func (r *ranges) see(q *http.Request) {
	if q.Method != http.MethodGet || q.Header.Get("Range") == "" && q.URL.Query().Has("list-type") {
		return
	}
	r.mu.Lock()
	r.seen++
	n := r.seen
	if q.Header.Get("Range") == "" || q.Header.Get("If-Match") == "" {
		r.whole = append(r.whole, fmt.Sprint(q.URL, q.Header))
	}
	r.mu.Unlock()
	if r.then != nil {
		r.then(n)
	}
}

// TestAccS3Ranges: an image of several blocks is imported from S3 by ranges of one version, bit for bit, and preflight sees what S3 says of it.
func TestAccS3Ranges(t *testing.T) {
	raw := large()
	for name, test := range map[string]struct {
		key, format string
		image       []byte
	}{
		"RAW":                                {"disk.raw", "RAW", raw},
		"VMDK":                               {"disk.vmdk", "VMDK", testimage.StreamOptimized(testimage.GDAtEnd, raw)},
		"a key with all sorts of characters": {"a b/%41+ü?x=1&y#z/disk.raw", "RAW", raw},
	} {
		t.Run(name, func(t *testing.T) {
			s := newS3(t)
			s.Put(t, test.key, test.image)
			reads := &ranges{}
			s.BeforeS3(reads.see)
			acc(t, nothingLeft(t, s), resource.TestStep{
				Config: s.Provider("") + snapshot(acctest.HCL(map[string]any{
					"disk_container": map[string]any{"user_bucket": map[string]any{"s3_bucket": "images", "s3_key": test.key}},
				})),
				ConfigPlanChecks: planned(plancheck.ResourceActionCreate), Check: sound(s, raw),
				ConfigStateChecks: []statecheck.StateCheck{
					has("source.format", exactly(test.format)), has("source.importable", knownvalue.Bool(true)),
					has("source.object_size_bytes", knownvalue.Int64Exact(int64(len(test.image)))),
					has("source.virtual_size_bytes", knownvalue.Int64Exact(int64(len(raw)))),
					has("source.etag", knownvalue.StringRegexp(regexp.MustCompile(`^[0-9a-f]{32}$`))),
				},
			})
			reads.mu.Lock()
			defer reads.mu.Unlock()
			if blocks := len(test.image)>>22 + 1; reads.seen < blocks || len(reads.whole) > 0 {
				t.Errorf("%d reads of %d blocks; not ranges of one version: %v", reads.seen, blocks, reads.whole)
			}
		})
	}
}

// TestAccS3Changed: S3 itself refuses the ranges of an object that was overwritten meanwhile, and nothing is made of two halves.
func TestAccS3Changed(t *testing.T) {
	s := newS3(t)
	s.Put(t, "disk.raw", large())
	other := large()
	other[len(other)-1]++
	reads := &ranges{then: func(n int) {
		if n == 3 {
			s.Put(t, "disk.raw", other)
		}
	}}
	acc(t, nothingLeft(t, s),
		resource.TestStep{
			PreConfig:   func() { s.BeforeS3(reads.see) },
			Config:      s.Provider("") + snapshot("preflight = false\ndisk_container = { url = \"s3://images/disk.raw\" }"),
			ExpectError: regexp.MustCompile(`(?s)Import Failed.*s3://images/disk\.raw.*(changed|overwritten)`),
		},
		resource.TestStep{
			Config: s.Provider("") + snapshot("preflight = false\ndisk_container = { url = \"s3://images/disk.raw\" }"), Check: sound(s, other),
		},
	)
	if left := s.Strays(t); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// TestAccS3Refused: preflight warns of what is wrong on S3 and refuses it before EC2 is asked; without preflight EC2 says it.
func TestAccS3Refused(t *testing.T) {
	s := newS3(t)
	image := testimage.StreamOptimized(testimage.GDAtEnd, large())
	s.Put(t, "truncated.vmdk", image[:len(image)-2048])
	s.Put(t, "disk.vmdk.gz", bad["gzip"].image)
	c := acctest.NewCore(t, s.Config())
	for name, test := range map[string]struct {
		url     string
		warned  bool // while planning; what the apply may still make is no finding
		summary string
		says    []string
	}{
		"truncated":      {"s3://images/truncated.vmdk", true, "Image Not Importable", []string{"VMDK", "ClientError", "Cause: ", "Cure: "}},
		"gzip":           {"s3://images/disk.vmdk.gz", true, "Image Not Importable", []string{"GZIP", "Unsupported specified file format"}},
		"missing key":    {"s3://images/none.vmdk", false, "Image Not Found", []string{"no such object", "s3://images/none.vmdk"}},
		"missing bucket": {"s3://no-such-bucket/disk.vmdk", false, "Image Not Found", []string{"no-such-bucket", "create bucket"}},
	} {
		config := map[string]any{"disk_container": map[string]any{"url": test.url}}
		p, d := c.Plan(nil, config)
		if d.HasError() || (len(d) > 0) != test.warned {
			t.Errorf("%s: planned with %v", name, d)
		}
		o, d := c.Apply(t.Context(), p)
		if o != nil || len(d.Errors()) != 1 || d[0].Summary != test.summary || d[0].Path != "disk_container" || len(lacks(d.String(), test.says...)) > 0 {
			t.Errorf("%s: want %q that says %q, got\n%s", name, test.summary, test.says, d)
		}
		if n := s.Tasks(t, here); n != 0 {
			t.Errorf("%s: EC2 was asked for %d imports", name, n)
		}
	}
	for _, test := range []struct{ url, says string }{
		{"s3://images/truncated.vmdk", "ClientError"}, {"s3://images/disk.vmdk.gz", "Unsupported specified file format"},
		{"s3://images/none.vmdk", "s3://images/none.vmdk"}, {"s3://no-such-bucket/disk.vmdk", "no-such-bucket"},
	} {
		o, d := c.Create(map[string]any{"disk_container": map[string]any{"url": test.url}, "preflight": false, "timeouts": map[string]any{"create": "1m"}})
		if o != nil || len(d.Errors()) != 1 || !strings.Contains(d.String(), test.says) || !strings.Contains(d.String(), "Cause: ") {
			t.Errorf("%s without preflight: %v", test.url, d)
		}
	}
	if err := nothingLeft(t, s)(&terraform.State{}); err != nil {
		t.Error(err)
	}
}
