package awsclient

import (
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// noNetwork makes every connection of http.DefaultTransport, and of all clients that are proxied by the environment, fail the test.
func noNetwork(t *testing.T) {
	t.Helper()
	trap := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("a request left for %s", r.URL) }))
	t.Cleanup(trap.Close)
	for _, v := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_STS", "HTTP_PROXY", "HTTPS_PROXY"} {
		t.Setenv(v, trap.URL)
	}
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", trap.URL)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
}

const noSnapshots = `<DescribeSnapshotsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><snapshotSet/></DescribeSnapshotsResponse>`

func TestLocal(t *testing.T) {
	isolate(t)
	noNetwork(t)
	t.Setenv("AWS_CA_BUNDLE", "/no/such/bundle")
	t.Setenv("AWS_PROFILE", "absent")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAREALREALREALREAL")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "real")
	var requests []*http.Request
	c, err := NewLocal(roundTrip(func(r *http.Request) (*http.Response, error) {
		requests = append(requests, r)
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(noSnapshots)), Request: r}, nil
	}), Settings{Version: "1.2.3"}, "eu-west-1", "123456789012")
	if err != nil {
		t.Fatal(err)
	}
	if c.Region != "eu-west-1" || c.Partition != "aws" || c.AccountID != "123456789012" || c.S3 != nil || c.KMS != nil {
		t.Errorf("%+v", c)
	}
	if _, err := c.EC2.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{}); err != nil {
		t.Fatal(err)
	}
	if len(requests) != 1 {
		t.Fatalf("%d requests", len(requests))
	}
	r := requests[0]
	if auth := r.Header.Get("Authorization"); !strings.Contains(auth, "Credential=123456789012/") || !strings.Contains(auth, "/eu-west-1/ec2/") {
		t.Errorf("signed %s", auth)
	}
	if agent := r.Header.Get("User-Agent"); !strings.Contains(agent, "terraform-provider-ec2/1.2.3") {
		t.Errorf("user agent %s", agent)
	}
	if r.URL.Host != "ec2.invalid" {
		t.Errorf("host %s", r.URL.Host)
	}
}

func TestLocalRetries(t *testing.T) {
	isolate(t)
	attempts := 0
	c, err := NewLocal(roundTrip(func(*http.Request) (*http.Response, error) {
		attempts++
		return nil, errors.New("connection reset by peer")
	}), Settings{MaxRetries: ptr(int64(1))}, "us-east-1", "000000000000")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.EC2.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{}); err == nil || attempts != 2 {
		t.Errorf("%d attempts: %v", attempts, err)
	}
}

func TestLocalWithS3(t *testing.T) {
	for _, c := range []struct {
		name     string
		settings Settings
		env      map[string]string
		key      string
	}{
		{"dummy keys", Settings{}, nil, "test"},
		{"configured keys", Settings{AccessKey: "configured", SecretKey: "s", Token: "t"}, map[string]string{"AWS_ACCESS_KEY_ID": "e", "AWS_SECRET_ACCESS_KEY": "s"}, "configured"},
		{"keys of the environment", Settings{}, map[string]string{"AWS_ACCESS_KEY_ID": "environment", "AWS_SECRET_ACCESS_KEY": "s"}, "environment"},
	} {
		t.Run(c.name, func(t *testing.T) {
			isolate(t)
			fake := startAWS(t)
			t.Setenv("AWS_ENDPOINT_URL_S3", "http://elsewhere.invalid")
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			c.settings.Endpoints.S3 = fake.URL
			client, err := NewLocal(nil, c.settings, "us-east-1", "000000000000")
			if err != nil {
				t.Fatal(err)
			}
			bucketClient, err := client.BucketClient(t.Context(), "b")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := bucketClient.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: ptr("b"), Key: ptr("k")}); err != nil {
				t.Fatal(err)
			}
			if got := fake.seen()[0]; got.Path != "/b/k" || got.key() != c.key {
				t.Errorf("%s, signed by %s", got.Path, got.key())
			}
			if client.EC2 != nil {
				t.Error("EC2 without a transport")
			}
		})
	}
}

// The variable is set on corporate machines and in CI, and often left over.
func TestCABundle(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("ETag", `"e"`) }))
	defer server.Close()
	good := write(t, "bundle.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	missing := good + ".missing"
	for _, c := range []struct {
		name, env, argument string
		insecure            bool
		trusted             bool
	}{
		{"AWS_CA_BUNDLE", good, "", false, true},
		{"custom_ca_bundle", "", good, false, true},
		{"custom_ca_bundle before a missing AWS_CA_BUNDLE", missing, good, false, true},
		{"missing AWS_CA_BUNDLE", missing, "", false, false},
		{"missing AWS_CA_BUNDLE, insecure", missing, "", true, true},
		{"AWS_CA_BUNDLE, insecure", good, "", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			isolate(t)
			t.Setenv("AWS_CA_BUNDLE", c.env)
			s := Settings{
				AccessKey: "k", SecretKey: "s", CustomCABundle: c.argument, Insecure: c.insecure, MaxRetries: ptr(int64(0)),
				SkipCredentialsValidation: true, SkipRequestingAccountID: true, Endpoints: Endpoints{S3: server.URL},
			}
			local, err := NewLocal(roundTrip(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(noSnapshots)), Request: r}, nil
			}), s, "us-east-1", "000000000000")
			if err != nil {
				t.Fatalf("local: %v", err)
			}
			if err := describe(t, local); err != nil {
				t.Errorf("local: %v", err)
			}
			aws, err := New(t.Context(), s, "us-east-1")
			if err != nil {
				t.Fatalf("AWS: %v", err)
			}
			for mode, client := range map[string]*Client{"local": local, "AWS": aws} {
				_, err := client.S3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: ptr("b"), Key: ptr("k")})
				if (err == nil) != c.trusted {
					t.Errorf("%s: %v", mode, err)
				}
			}
		})
	}
	t.Run("plain http beside a missing AWS_CA_BUNDLE", func(t *testing.T) {
		isolate(t)
		fake := startAWS(t)
		t.Setenv("AWS_CA_BUNDLE", missing)
		c, err := New(t.Context(), fake.settings(), "us-east-1")
		if err != nil {
			t.Fatal(err)
		}
		if err := describe(t, c); err != nil {
			t.Error(err)
		}
	})
	t.Run("no certificates in it", func(t *testing.T) {
		isolate(t)
		s := Settings{CustomCABundle: write(t, "empty.pem", "nothing"), Endpoints: Endpoints{S3: server.URL}}
		if _, err := NewLocal(nil, s, "us-east-1", "000000000000"); err == nil || !strings.Contains(err.Error(), "PEM") {
			t.Errorf("got %v", err)
		}
		s.CustomCABundle = missing
		if _, err := NewLocal(nil, s, "us-east-1", "000000000000"); err == nil || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
}
