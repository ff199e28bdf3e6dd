package acctest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
)

// The acceptance suite runs over each backend, with the images in each place. This is the one point that reads which:
//
//	EC2_ACC_BACKEND  local: the endpoint in the provider's process. serve: `serve` on a loopback port. Unset: whatever shows most, see Chosen.
//	EC2_ACC_IMAGES   dir, the default: a directory is the bucket. s3: the bucket is in moto's S3.
//	EC2_ACC_AWS      1: AWS itself in place of both, for the tests that run Anywhere, and no others.
var (
	backend = oneOf("EC2_ACC_BACKEND", "", "local", "serve")
	images  = oneOf("EC2_ACC_IMAGES", "dir", "s3")
	onAWS   = oneOf("EC2_ACC_AWS", "", "0", "1") == "1"
)

func oneOf(variable string, allowed ...string) string {
	value := os.Getenv(variable)
	for _, a := range allowed {
		if value == a {
			return value
		}
	}
	if value == "" {
		return allowed[0]
	}
	panic(fmt.Sprintf("%s is %q: it can be %s", variable, value, strings.TrimSpace(strings.Join(allowed, " "))))
}

// Chosen is the backend that the tests were told to run over, "" where they were told none: then a test that can takes an EC2, which sees every call.
func Chosen() string { return backend }

// ServesS3 says whether the tests run over `serve` with the images in moto's S3.
func ServesS3() bool { return backend == "serve" && images == "s3" }

// Site is the backend under test and its bucket "images". Its methods beside Provider are what an outsider does, or sees.
type Site struct {
	Local
	Account string

	config   localec2.Config
	served   string       // URL of `serve`; "" where the endpoint is in the provider's process
	endpoint http.Handler // the same for the outsider
	bucket   *bucket      // nil where a directory is the bucket
}

// NewSite makes a backend; change may set what it simulates.
func NewSite(t *testing.T, change ...func(*localec2.Config)) *Site {
	t.Helper()
	s := &Site{Local: NewLocal(t), Account: "111122223333"}
	if images == "s3" {
		s.bucket = newBucket(t)
	}
	s.start(t, change...)
	return s
}

// Beside is another process at the same data directory and bucket, without what this one simulates.
func (s *Site) Beside(t *testing.T, change ...func(*localec2.Config)) *Site {
	t.Helper()
	other := &Site{Local: s.Local, Account: s.Account, bucket: s.bucket}
	other.start(t, change...)
	return other
}

func (s *Site) start(t *testing.T, change ...func(*localec2.Config)) {
	t.Helper()
	s.config = localec2.Config{DataDir: s.DataDir, AccountID: s.Account, Strict: true, Images: &imagesource.Opener{}}
	if s.bucket == nil {
		s.config.Images.Buckets = map[string]string{"images": s.Images}
	} else {
		s.config.Images.S3 = s.bucket.client.BucketClient
	}
	for _, c := range change {
		c(&s.config)
	}
	if backend == "serve" {
		s.served = Serve(t, s.flags()...)
		u, err := url.Parse(s.served)
		if err != nil {
			t.Fatal(err)
		}
		s.endpoint = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }} // under its own name, or serve refuses
		return
	}
	endpoint := localec2.New(s.config)
	s.endpoint = endpoint
	t.Cleanup(func() {
		if err := endpoint.Close(); err != nil {
			t.Errorf("closing the endpoint: %v", err)
		}
	})
}

// flags are the configuration as arguments of `serve`.
func (s *Site) flags() []string {
	args := []string{"--data-dir", s.DataDir}
	if s.bucket == nil {
		args = append(args, "--bucket", "images="+s.Images)
	} else {
		args = append(args, "--s3-endpoint", s.bucket.url)
	}
	if d := s.config.Simulate.TaskDuration; d > 0 {
		args = append(args, "--simulate", "task_duration="+d.String())
	}
	if f := s.config.Simulate.FailWith; f != "" {
		args = append(args, "--simulate", "fail_with="+f)
	}
	if s.config.Simulate.EncryptionByDefault {
		args = append(args, "--simulate", "encryption_by_default=true")
	}
	return append(args, fmt.Sprintf("--strict=%t", s.config.Strict))
}

// Provider is the provider block that leads here; block goes inside it.
func (s *Site) Provider(block string) string {
	if s.served == "" {
		return "provider \"ec2\" {\n  region = \"us-east-1\"\n" + s.local() + block + "\n}\n"
	}
	s3 := ""
	if s.bucket != nil {
		s3 = fmt.Sprintf("    s3  = %q\n", s.bucket.url)
	}
	return fmt.Sprintf("provider \"ec2\" {\n  region     = \"us-east-1\"\n  access_key = %q\n  secret_key = \"test\"\n"+
		"  endpoints {\n    ec2 = %q\n    sts = %q\n%s  }\n%s\n}\n", s.Account, s.served, s.served, s3, block)
}

func (s *Site) local() string {
	simulate := s.config.Simulate
	l := fmt.Sprintf("  local = {\n    data_dir   = %q\n    account_id = %q\n    strict     = %t\n    checksum   = %t\n"+
		"    simulate   = { task_duration = %q, fail_with = %q, encryption_by_default = %t }\n",
		s.DataDir, s.Account, s.config.Strict, s.config.Checksum, simulate.TaskDuration, simulate.FailWith, simulate.EncryptionByDefault)
	if s.bucket != nil {
		return fmt.Sprintf("%s  }\n  endpoints {\n    s3 = %q\n  }\n", l, s.bucket.url)
	}
	return fmt.Sprintf("%s    buckets    = { images = %q }\n  }\n", l, s.Images)
}

// Config is Provider for a protocol-level test.
func (s *Site) Config() map[string]any {
	endpoints := map[string]any{}
	if s.bucket != nil {
		endpoints["s3"] = s.bucket.url
	}
	if s.served == "" {
		local := map[string]any{"data_dir": s.DataDir, "account_id": s.Account, "strict": s.config.Strict}
		config := map[string]any{"region": "us-east-1", "local": local}
		if s.bucket == nil {
			local["buckets"] = map[string]any{"images": s.Images}
		} else {
			config["endpoints"] = []any{endpoints}
		}
		return config
	}
	endpoints["ec2"], endpoints["sts"] = s.served, s.served
	return map[string]any{"region": "us-east-1", "access_key": s.Account, "secret_key": "test", "endpoints": []any{endpoints}}
}

// InProcess says whether the endpoint is in the provider's process: there volume_path and volume_sha256 are known.
func (s *Site) InProcess() bool { return s.served == "" }

// SeesImages says whether the provider can look at the images, as it can wherever they are but in a directory of `serve`.
func (s *Site) SeesImages() bool { return s.served == "" || s.bucket != nil }

// Volume is the file with the bytes of a snapshot.
func (s *Site) Volume(snapshot string) string {
	return filepath.Join(s.DataDir, "volumes", snapshot+".raw")
}

// Put writes an object of the bucket.
func (s *Site) Put(t *testing.T, key string, content []byte) {
	t.Helper()
	if s.bucket == nil {
		s.Local.Put(t, key, content)
		return
	}
	s.bucket.call(t, http.MethodPut, key, content)
}

// Remove deletes an object of the bucket.
func (s *Site) Remove(t *testing.T, key string) {
	t.Helper()
	if s.bucket != nil {
		s.bucket.call(t, http.MethodDelete, key, nil)
		return
	}
	if err := os.Remove(filepath.Join(s.Images, filepath.FromSlash(key))); err != nil {
		t.Fatal(err)
	}
}

// Call makes a call as an outsider would: somebody who deletes, cancels or tags by hand. Pairs are names and values.
func (s *Site) Call(t *testing.T, action, region string, pairs ...string) string {
	t.Helper()
	form := url.Values{"Action": {action}, "Version": {"2016-11-15"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://ec2.invalid/", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+s.Account+"/20260101/"+region+"/ec2/aws4_request")
	w := httptest.NewRecorder()
	s.endpoint.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", action, w.Code, w.Body)
	}
	return w.Body.String()
}

// Count is how often a text is in the answer of a describe, such as "<snapshotId>snap-".
func (s *Site) Count(t *testing.T, action, region, text string) int {
	t.Helper()
	return strings.Count(s.Call(t, action, region), text)
}

// Snapshots is how many snapshots there are.
func (s *Site) Snapshots(t *testing.T, region string) int {
	t.Helper()
	return s.Count(t, "DescribeSnapshots", region, "<snapshotId>snap-")
}

// Tasks is how many import tasks there are, finished ones included.
func (s *Site) Tasks(t *testing.T, region string) int {
	t.Helper()
	return s.Count(t, "DescribeImportSnapshotTasks", region, "<importTaskId>import-snap-")
}

// Discard waits for a task that a test started by hand, and deletes its snapshot.
func (s *Site) Discard(t *testing.T, region, task string) {
	t.Helper()
	if snapshot := s.Await(t, region, task); snapshot != "" {
		s.Call(t, "DeleteSnapshot", region, "SnapshotId", snapshot)
	}
}

var taskSnapshot = regexp.MustCompile(`<snapshotId>(snap-[0-9a-f]+)</snapshotId>`)

// Await waits until a task is over, and is its snapshot, "" for one that failed.
func (s *Site) Await(t *testing.T, region, task string) string {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		body := s.Call(t, "DescribeImportSnapshotTasks", region, "ImportTaskId.1", task)
		if m := taskSnapshot.FindStringSubmatch(body); m != nil {
			return m[1]
		}
		if strings.Contains(body, "<status>deleted</status>") {
			return ""
		}
		select {
		case <-poll.C:
		case <-t.Context().Done():
			t.Fatalf("the test ended before task %s", task)
		}
	}
}
