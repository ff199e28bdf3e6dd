package awsclient

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/aws-sdk-go-base/v2/logging"
	"github.com/hashicorp/go-hclog"
)

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// capture is a context whose log, and the standard log, end in the buffer. All levels are on.
func capture(t *testing.T) (context.Context, logging.Logger, *lockedBuffer) {
	t.Helper()
	buffer := &lockedBuffer{}
	ctx, to := logging.NewHcLogger(t.Context(), hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: buffer, JSONFormat: true}))
	before := log.Writer()
	log.SetOutput(buffer)
	t.Cleanup(func() { log.SetOutput(before) })
	return ctx, to, buffer
}

// TestLogTouchesNoBody: what is logged of calls at a time is a copy. aws-sdk-go-base v2.0.0-beta.74 logs them from buffers that it gives to the next
// call before this one is sent, so that one call carries the body of another.
func TestLogTouchesNoBody(t *testing.T) {
	isolate(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.FormValue("SnapshotId.1") // "" where the body is not the one that was sent
		_, _ = fmt.Fprintf(w, "<DescribeSnapshotsResponse><snapshotSet><item><snapshotId>%s</snapshotId><description>%s</description></item></snapshotSet>"+
			"</DescribeSnapshotsResponse>", id, strings.Repeat(id+" ", 50))
	}))
	defer server.Close()
	s := startAWS(t).settings()
	s.Endpoints.EC2 = server.URL
	ctx, to, _ := capture(t)
	c, err := connect(ctx, s, "us-east-1", to)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for n := range 100 {
		all.Go(func() {
			id := fmt.Sprintf("snap-%017d", n)
			for range 10 {
				out, err := c.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}})
				if err != nil || len(out.Snapshots) != 1 || *out.Snapshots[0].SnapshotId != id || *out.Snapshots[0].Description != strings.Repeat(id+" ", 50) {
					t.Errorf("asked for %s, got another answer: %v", id, err)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestLogHoldsNoSecrets(t *testing.T) {
	isolate(t)
	t.Setenv("AWS_SESSION_TOKEN", "session-token-of-the-environment")
	t.Setenv("HTTP_PROXY", "")
	fake := startAWS(t)
	base := fake.settings()
	base.Token = "token-of-the-provider-block"
	web := base
	web.AccessKey, web.SecretKey, web.Token = "", "", ""
	web.AssumeRoleWithWebIdentity = &AssumeRoleWithWebIdentity{
		RoleARN: "arn:aws:iam::1:role/web", WebIdentityTokenFile: write(t, "token", "web-identity-token-from-a-file"),
	}
	chain := base
	chain.AssumeRole = []AssumeRole{{RoleARN: "arn:aws:iam::1:role/r", ExternalID: "external-id-of-the-role"}}
	proxied := base
	proxied.HTTPProxy, proxied.NoProxy = ptr("http://user:password-of-the-proxy@127.0.0.1:1"), "127.0.0.1"

	for name, s := range map[string]Settings{"static": base, "web identity": web, "role chain": chain, "proxy": proxied} {
		t.Run(name, func(t *testing.T) {
			ctx, to, buffer := capture(t)
			c, err := connect(ctx, s, "us-east-1", to)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.EC2.ImportSnapshot(ctx, &ec2.ImportSnapshotInput{Description: ptr("a description"), DiskContainer: &types.SnapshotDiskContainer{
				Url: ptr("https://h.example/disk?X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2Fscope&X-Amz-Signature=signature-of-a-url&X-Amz-Security-Token=token-of-a-url"),
			}})
			if err == nil {
				t.Fatal("the fake took ImportSnapshot")
			}
			out := buffer.String()
			for _, secret := range []string{
				"static-access-key", "static-secret-key-value", "token-of-the-provider-block", "session-token-of-the-environment",
				"web-identity-token-from-a-file", "external-id-of-the-role", "password-of-the-proxy",
				"role-key-", "role-secret-of-an-emulator", "role-session-token",
				"signature-of-a-url", "token-of-a-url", "AKIAIOSFODNN7EXAMPLE",
			} {
				if strings.Contains(out, secret) {
					t.Errorf("%s is in the log:\n%s", secret, lineWith(out, secret))
				}
			}
			// Masking everything would be no art.
			for _, wanted := range []string{"HTTP Request Sent", "EC2/ImportSnapshot", "a+description", "InvalidAction", "STS/GetCallerIdentity"} {
				if !strings.Contains(out, wanted) {
					t.Errorf("%s is not in the log", wanted)
				}
			}
		})
	}
}

func lineWith(s, part string) string {
	for line := range strings.Lines(s) {
		if strings.Contains(line, part) {
			return line
		}
	}
	return ""
}

func TestErrorsHoldNoSecrets(t *testing.T) {
	isolate(t)
	fake := startAWS(t)
	s := fake.settings()
	fake.answer = func(w http.ResponseWriter, _ call) bool {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>static-secret-key-value is wrong</Message></Error></ErrorResponse>`))
		return true
	}
	if _, err := New(t.Context(), s, "us-east-1"); err == nil || strings.Contains(err.Error(), s.SecretKey) || !strings.Contains(err.Error(), "***** is wrong") {
		t.Errorf("got %v", err)
	}
}

func TestRedact(t *testing.T) {
	l := newLogger(Settings{AccessKey: "test", SecretKey: "secret/key+value"}, logging.NullLogger{})
	for in, want := range map[string]string{
		"this is a test":                        "this is a test", // too short a key to tell from a word
		"k=secret/key+value":                    "k=*****",
		"k=secret%2Fkey%2Bvalue&x=1":            "k=*****&x=1",
		"WebIdentityToken=abc&RoleArn=r":        "WebIdentityToken=*****&RoleArn=r",
		"<SessionToken>abc</SessionToken>":      "<SessionToken>*****</SessionToken>",
		"<SessionToken>cut off":                 "<SessionToken>*****",
		`{"accessToken": "abc", "x":"y"}`:       `{"accessToken": "*****", "x":"y"}`,
		"AWS4-HMAC-SHA256 Credential=test/2026": "AWS4-HMAC-SHA256 Credential=*****/2026",
		"u?X-Amz-Signature=abc&y=1":             "u?X-Amz-Signature=*****&y=1",
		"u%3FX-Amz-Signature%3Dabc%26y%3D1":     "u%3FX-Amz-Signature%3D*****%26y%3D1",
	} {
		if got := l.redact(in); got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
}

// TestMaskingKeepsWords: placeholders for keys and names for external ids are parts of host names, ARNs and products, which an error must show.
func TestMaskingKeepsWords(t *testing.T) {
	for name, c := range map[string]struct {
		settings Settings
		env      map[string]string
		text     string
	}{
		"LocalStack":      {Settings{AccessKey: "localstack", SecretKey: "localstack"}, nil, "http://localhost.localstack.cloud:4566"},
		"environment":     {Settings{}, map[string]string{"AWS_ACCESS_KEY_ID": "localstack", "AWS_SECRET_ACCESS_KEY": "localstack"}, "http://localhost.localstack.cloud:4566"},
		"account number":  {Settings{AccessKey: "111122223333", SecretKey: "test"}, nil, "arn:aws:iam::111122223333:user/ci"},
		"two words":       {Settings{AccessKey: "test", SecretKey: "localstack"}, nil, "http://localhost.localstack.cloud:4566"},
		"an external id":  {Settings{AssumeRole: []AssumeRole{{ExternalID: "terraform"}}}, nil, "terraform-provider-ec2 convert"},
		"a key of AWS":    {Settings{AccessKey: "AKIATESTTESTTESTTEST", SecretKey: "localstack"}, nil, "***** and *****"},
		"a secret beside": {Settings{AccessKey: "minioadmin", SecretKey: "correct-horse-battery"}, nil, "minioadmin and *****"},
	} {
		t.Run(name, func(t *testing.T) {
			isolate(t)
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			text := c.text
			if strings.Contains(text, " and ") {
				text = c.settings.AccessKey + " and " + c.settings.SecretKey
			}
			if got := newLogger(c.settings, logging.NullLogger{}).redact(text); got != c.text {
				t.Errorf("got %s, want %s", got, c.text)
			}
		})
	}
}

// The metadata service answers with a bare token, which no pattern knows.
func TestBodiesOfCredentialServicesAreNotLogged(t *testing.T) {
	for method, logged := range map[string]bool{"ec2imds/GetToken": false, "SSO/GetRoleCredentials": false, "": false, "EC2/DescribeSnapshots": true} {
		ctx, to, buffer := capture(t)
		var l logging.Logger = newLogger(Settings{}, to)
		if method != "" {
			ctx = l.SetField(ctx, "rpc.method", method)
		}
		l.Debug(ctx, "HTTP Response Received", map[string]any{"http.response.body": "opaque", "http.response.header.x_aws_ec2_metadata_token": "header"})
		if got := strings.Contains(buffer.String(), "opaque"); got != logged || strings.Contains(buffer.String(), `"header"`) {
			t.Errorf("%s: %s", method, buffer)
		}
	}
}
