package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/cli"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// server is a running `serve`.
type server struct {
	url    string
	stderr *syncBuffer
	stop   func() int // as a signal does; gives the exit code
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func serve(t *testing.T, args ...string) server {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stdout, w := io.Pipe()
	s := server{stderr: &syncBuffer{}}
	done := make(chan int, 1)
	rest := make(chan string, 1)
	go func() {
		code := cli.Run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...), w, s.stderr)
		_ = w.Close()
		done <- code
	}()
	s.stop = sync.OnceValue(func() int {
		cancel()
		code := <-done
		if more := <-rest; more != "" {
			t.Errorf("more on stdout than one line: %q", more)
		}
		return code
	})
	reader := bufio.NewReader(stdout)
	line, _ := reader.ReadString('\n')
	go func() {
		b, _ := io.ReadAll(reader)
		rest <- string(b)
	}()
	t.Cleanup(func() { s.stop() })
	var ok bool
	if s.url, ok = strings.CutPrefix(strings.TrimSuffix(line, "\n"), "listening on "); !ok {
		t.Fatalf("not listening: %q, %s", line, s.stderr)
	}
	return s
}

// post is one call to EC2.
func (s server) post(t *testing.T, values ...string) (int, string) {
	t.Helper()
	form := url.Values{"Version": {"2016-11-15"}}
	for i := 0; i < len(values); i += 2 {
		form.Set(values[i], values[i+1])
	}
	response, err := http.PostForm(s.url, form) //nolint:gosec // its own server
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(b)
}

// element is the text of the first XML element of a name.
func element(body, name string) string {
	_, rest, _ := strings.Cut(body, "<"+name+">")
	text, _, _ := strings.Cut(rest, "</"+name+">")
	return text
}

// ended is the task when it has ended, whichever way. Each question is a round trip, so this waits without spinning.
func (s server) ended(t *testing.T, task string) string {
	t.Helper()
	for {
		if t.Context().Err() != nil {
			t.Fatal("the import never ended")
		}
		_, body := s.post(t, "Action", "DescribeImportSnapshotTasks", "ImportTaskId.1", task)
		if status := element(body, "status"); status == "completed" || status == "deleted" || status == "" {
			return body
		}
	}
}

func (s server) imports(t *testing.T, bucket, key string) string {
	t.Helper()
	status, body := s.post(t, "Action", "ImportSnapshot", "DiskContainer.UserBucket.S3Bucket", bucket, "DiskContainer.UserBucket.S3Key", key)
	if status != http.StatusOK {
		t.Fatalf("ImportSnapshot: %d %s", status, body)
	}
	return s.ended(t, element(body, "importTaskId"))
}

func TestServe(t *testing.T) {
	images, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	write(t, images, "disk.vmdk", testimage.StreamOptimized(testimage.GDAtEnd, disk()))
	s := serve(t, "--bucket", "images="+images, "--data-dir", data)
	for _, export := range []string{
		"  export AWS_ENDPOINT_URL_EC2=" + s.url + "\n", "  export AWS_ENDPOINT_URL_STS=" + s.url + "\n", "  export AWS_REGION=us-east-1\n",
		"  export AWS_DEFAULT_REGION=us-east-1\n", "  export AWS_ACCESS_KEY_ID=test\n", "  export AWS_SECRET_ACCESS_KEY=test\n",
	} {
		if !strings.Contains(s.stderr.String(), export) {
			t.Errorf("stderr does not say %q:\n%s", export, s.stderr)
		}
	}
	task := s.imports(t, "images", "disk.vmdk")
	snapshot := element(task, "snapshotId")
	if got, err := os.ReadFile(filepath.Join(data, "volumes", snapshot+".raw")); err != nil || !bytes.Equal(got, disk()) {
		t.Errorf("the volume is not the disk: %v\n%s", err, task)
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d: %s", code, s.stderr)
	}
}

// What is unfinished when the signal comes goes on at the next start.
func TestServeGoesOn(t *testing.T) {
	images, data := t.TempDir(), t.TempDir()
	write(t, images, "disk.raw", disk())
	args := []string{"--bucket", "images=" + images, "--data-dir", data}
	first := serve(t, append(args, "--simulate", "task_duration=2s")...)
	_, body := first.post(t, "Action", "ImportSnapshot", "DiskContainer.Url", "s3://images/disk.raw")
	if code := first.stop(); code != 0 {
		t.Fatalf("exit code %d: %s", code, first.stderr)
	}
	second := serve(t, args...)
	if task := second.ended(t, element(body, "importTaskId")); element(task, "status") != "completed" {
		t.Errorf("the import did not go on:\n%s", task)
	}
}

func TestServeSimulates(t *testing.T) {
	images := t.TempDir()
	write(t, images, "disk.raw", disk())
	write(t, images, "sparse.vmdk", testimage.VMDK{Size: mib}.BuildSparse().Data)
	for _, c := range []struct {
		name string
		args []string
		key  string
		want [2]string // of an element
	}{
		{"strict is the default", nil, "sparse.vmdk", [2]string{"statusMessage", "ClientError: Disk validation failed [Unsupported VMDK File Format]"}},
		{"strict can be left out", []string{"--strict=false"}, "sparse.vmdk", [2]string{"status", "completed"}},
		{"fail_with", []string{"--simulate", "fail_with=ClientError: no = luck"}, "disk.raw", [2]string{"statusMessage", "ClientError: no = luck"}},
		{"encryption_by_default", []string{"--simulate", "encryption_by_default=true"}, "disk.raw", [2]string{"encrypted", "true"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, append(c.args, "--bucket", "images="+images, "--data-dir", t.TempDir())...)
			if task := s.imports(t, "images", c.key); element(task, c.want[0]) != c.want[1] {
				t.Errorf("%s is not %q:\n%s", c.want[0], c.want[1], task)
			}
		})
	}
}

// Images come from directories, from the one S3 that was named, and from https only on request, then never from this machine's own network.
func TestServeImages(t *testing.T) {
	raw := disk()
	s3 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/there/disk.raw" || !strings.Contains(r.Header.Get("Authorization"), "Credential=AKIDEXAMPLE/") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", `"one"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(raw))
	}))
	defer s3.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	data := t.TempDir()
	s := serve(t, "--s3-endpoint", s3.URL, "--data-dir", data)
	snapshot := element(s.imports(t, "there", "disk.raw"), "snapshotId")
	if got, err := os.ReadFile(filepath.Join(data, "volumes", snapshot+".raw")); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("the volume is not the object: %v", err)
	}

	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	for _, c := range []struct {
		name  string
		args  []string
		url   string
		words []string
	}{
		{"no such object", []string{"--s3-endpoint", s3.URL}, "s3://there/none.raw", []string{"none.raw"}},
		{"an S3 that is down", []string{"--s3-endpoint", "http://127.0.0.1:1"}, "s3://there/disk.raw", []string{"s3://there/disk.raw", "connection refused"}},
		{"no S3", nil, "s3://there/disk.raw", []string{"there", "--bucket"}},
		{"https is off", nil, secure.URL + "/disk.raw", []string{"--allow-https"}},
		{"https to this machine", []string{"--allow-https"}, secure.URL + "/disk.raw", []string{"private"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, append(c.args, "--data-dir", t.TempDir())...)
			status, body := s.post(t, "Action", "ImportSnapshot", "DiskContainer.Url", c.url)
			if status == http.StatusOK { // refused later, by its worker
				body = s.ended(t, element(body, "importTaskId"))
			}
			for _, w := range c.words {
				if !strings.Contains(body, w) {
					t.Errorf("the refusal does not say %q: %d %s", w, status, body)
				}
			}
			if strings.Contains(body, "<status>completed") {
				t.Error("it was imported")
			}
		})
	}
}

func TestServeRefusesToStart(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	file := write(t, t.TempDir(), "file", nil)
	address := taken.Addr().String()
	refused(t, 1, []string{"serve", "--listen", address, "--data-dir", t.TempDir()}, address, "address already in use", "--listen")
	refused(t, 1, []string{"serve", "--bucket", "images=" + file + "-none"}, "--bucket images", file+"-none", "make it first")
	refused(t, 1, []string{"serve", "--bucket", "images=" + file}, "--bucket images", "is no directory")
	data := t.TempDir()
	write(t, data, "volumes", nil) // where a directory must be made
	refused(t, 1, []string{"serve", "--listen", "127.0.0.1:0", "--data-dir", data}, "cannot use its data_dir", data, "--data-dir")
}

func TestServeJSONLog(t *testing.T) {
	s := serve(t, "--log-format", "json", "--data-dir", t.TempDir())
	s.stop()
	var exports []string
	for line := range strings.Lines(s.stderr.String()) {
		var record struct {
			Exports []string `json:"exports"`
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Errorf("%q is no JSON: %v", line, err)
		}
		exports = append(exports, record.Exports...)
	}
	if !strings.Contains(fmt.Sprint(exports), "AWS_ENDPOINT_URL_EC2="+s.url) {
		t.Errorf("no exports:\n%s", s.stderr)
	}
}

// A page in a browser of this machine must not drive the endpoint.
func TestServeKeepsWebPagesOut(t *testing.T) {
	s := serve(t, "--data-dir", t.TempDir())
	for header, want := range map[string]int{"": 200, "Origin: http://example.com": 403, "Origin: null": 403, "Sec-Fetch-Site: cross-site": 403, "Sec-Fetch-Site: none": 200,
		// A name that somebody's DNS leads here.
		"Host: example.com": 403, "Host: example.com:4599": 403, "Host: localhost:4599": 200, "Host: [::1]:4599": 200, "Host: ec2.localhost": 200,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/?Action=DescribeSnapshots&Version=2016-11-15", nil)
		must(t, err)
		if name, value, ok := strings.Cut(header, ": "); ok {
			r.Header.Set(name, value)
			if name == "Host" {
				r.Host = value
			}
		}
		response, err := http.DefaultClient.Do(r)
		must(t, err)
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != want || want == 403 && element(string(body), "Code") != "UnauthorizedOperation" {
			t.Errorf("%q: %d %s", header, response.StatusCode, body)
		}
	}
}
