package awsclient

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// isolate takes away everything on the machine that could say something about AWS.
func isolate(t *testing.T) {
	t.Helper()
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "TF_") || strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
			t.Setenv(name, "") // so that it comes back
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// call is a request as the fake saw it.
type call struct {
	Host, Path string
	Header     http.Header
	Form       url.Values
}

func (c call) action() string { return c.Form.Get("Action") }

// key is the access key that signed the request.
func (c call) key() string {
	_, rest, _ := strings.Cut(c.Header.Get("Authorization"), "Credential=")
	key, _, _ := strings.Cut(rest, "/")
	return key
}

// fakeAWS answers STS and EC2, and S3 paths with an empty list.
type fakeAWS struct {
	URL string

	mu     sync.Mutex
	calls  []call
	answer func(w http.ResponseWriter, c call) bool // true: has answered
}

func startAWS(t *testing.T) *fakeAWS {
	t.Helper()
	fake := &fakeAWS{}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	fake.URL = server.URL
	return fake
}

func (f *fakeAWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c := call{Host: r.Host, Path: r.URL.Path, Header: r.Header.Clone(), Form: r.PostForm}
	f.mu.Lock()
	f.calls = append(f.calls, c)
	answer, n := f.answer, len(f.calls)
	f.mu.Unlock()
	if answer != nil && answer(w, c) {
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	switch c.action() {
	case "GetCallerIdentity":
		fmt.Fprint(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>`+
			`<Arn>arn:aws:iam::123456789012:user/u</Arn><UserId>u</UserId><Account>123456789012</Account></GetCallerIdentityResult>`+
			`<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetCallerIdentityResponse>`)
	case "AssumeRole", "AssumeRoleWithWebIdentity":
		fmt.Fprintf(w, `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials>`+
			`<AccessKeyId>role-key-%[2]d</AccessKeyId><SecretAccessKey>role-secret-of-an-emulator-%[2]d</SecretAccessKey><SessionToken>role-session-token-%[2]d</SessionToken>`+
			`<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn>`+
			`<AssumedRoleId>i:s</AssumedRoleId></AssumedRoleUser></%[1]sResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></%[1]sResponse>`,
			c.action(), n)
	case "DescribeSnapshots":
		fmt.Fprint(w, `<DescribeSnapshotsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><snapshotSet/></DescribeSnapshotsResponse>`)
	case "":
		w.Header().Set("ETag", `"e"`)
		w.Header().Set("Content-Length", "5")
	default:
		http.Error(w, "<Response><Errors><Error><Code>InvalidAction</Code><Message>no</Message></Error></Errors></Response>", http.StatusBadRequest)
	}
}

func (f *fakeAWS) seen() []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]call(nil), f.calls...)
}

func (f *fakeAWS) actions() string {
	var names []string
	for _, c := range f.seen() {
		names = append(names, first(c.action(), c.Path))
	}
	return strings.Join(names, " ")
}

// keys are settings that reach the fake with static credentials.
func (f *fakeAWS) settings() Settings {
	return Settings{
		Version: "1.2.3", AccessKey: "static-access-key", SecretKey: "static-secret-key-value",
		Endpoints: Endpoints{EC2: f.URL + "/ec2/", S3: f.URL + "/s3", STS: f.URL + "/sts/", KMS: f.URL + "/kms", IAM: f.URL + "/iam"},
	}
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func ptr[T any](v T) *T { return &v }
