package awsclient

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// services make one call of each service; what comes of it does not matter. STS is asked by EC2's client, what a refusal means.
var services = map[string]func(ctx context.Context, c *Client){
	"ec2": func(ctx context.Context, c *Client) {
		_, _ = c.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{})
	},
	"s3": func(ctx context.Context, c *Client) {
		_, _ = c.S3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: ptr("bucket"), Key: ptr("key")})
	},
	"kms": func(ctx context.Context, c *Client) {
		_, _ = c.KMS.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: ptr("alias/a")})
	},
	"iam": func(ctx context.Context, c *Client) {
		_, _ = c.IAM.GetRole(ctx, &iam.GetRoleInput{RoleName: ptr("vmimport")})
	},
}

// connectProxy notes to which hosts a client wants to be connected, and lets it nowhere.
type connectProxy struct {
	URL   string
	mu    sync.Mutex
	hosts []string
}

func startConnectProxy(t *testing.T) *connectProxy {
	t.Helper()
	p := &connectProxy{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.hosts = append(p.hosts, r.Host)
		p.mu.Unlock()
		w.WriteHeader(http.StatusBadGateway)
	}))
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

// take are the hosts since it was asked last.
func (p *connectProxy) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	hosts := strings.Join(p.hosts, " ")
	p.hosts = nil
	return hosts
}

// TestHostNames: on AWS each service is reached under the host name of its Region and kind.
func TestHostNames(t *testing.T) {
	fips := func(s *Settings) { s.UseFIPSEndpoint = true }
	dual := func(s *Settings) { s.UseDualStackEndpoint = true }
	for name, test := range map[string]struct {
		region string
		change func(*Settings)
		env    string
		hosts  map[string]string
	}{
		"plain": {"eu-west-1", nil, "", map[string]string{
			"ec2": "ec2.eu-west-1.amazonaws.com", "s3": "bucket.s3.eu-west-1.amazonaws.com", "kms": "kms.eu-west-1.amazonaws.com", "iam": "iam.amazonaws.com"}},
		"China": {"cn-north-1", nil, "", map[string]string{
			"ec2": "ec2.cn-north-1.amazonaws.com.cn", "s3": "bucket.s3.cn-north-1.amazonaws.com.cn", "kms": "kms.cn-north-1.amazonaws.com.cn",
			"iam": "iam.cn-north-1.amazonaws.com.cn"}},
		"FIPS": {"us-east-1", fips, "", map[string]string{
			"ec2": "ec2-fips.us-east-1.amazonaws.com", "s3": "bucket.s3-fips.us-east-1.amazonaws.com", "kms": "kms-fips.us-east-1.amazonaws.com",
			"iam": "iam-fips.amazonaws.com"}},
		"FIPS by the environment": {"us-east-1", nil, "AWS_USE_FIPS_ENDPOINT", map[string]string{"ec2": "ec2-fips.us-east-1.amazonaws.com"}},
		"dual-stack": {"us-east-2", dual, "", map[string]string{
			"ec2": "ec2.us-east-2.api.aws", "s3": "bucket.s3.dualstack.us-east-2.amazonaws.com", "kms": "kms.us-east-2.api.aws", "iam": "iam.global.api.aws"}},
		"dual-stack by the environment": {"us-east-2", nil, "AWS_USE_DUALSTACK_ENDPOINT", map[string]string{"ec2": "ec2.us-east-2.api.aws"}},
		"path style":                    {"us-east-1", func(s *Settings) { s.S3UsePathStyle = true }, "", map[string]string{"s3": "s3.us-east-1.amazonaws.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			isolate(t)
			if test.env != "" {
				t.Setenv(test.env, "true")
			}
			proxy := startConnectProxy(t)
			s := Settings{
				AccessKey: "k", SecretKey: "s", HTTPSProxy: &proxy.URL, MaxRetries: ptr(int64(0)), SkipCredentialsValidation: true, SkipRequestingAccountID: true,
			}
			if test.change != nil {
				test.change(&s)
			}
			c, err := New(t.Context(), s, test.region)
			if err != nil {
				t.Fatal(err)
			}
			for service, want := range test.hosts {
				services[service](t.Context(), c)
				if got := proxy.take(); got != want+":443" {
					t.Errorf("%s is asked at %s, want %s", service, got, want)
				}
			}
		})
	}
	t.Run("STS of a role", func(t *testing.T) {
		isolate(t)
		proxy := startConnectProxy(t)
		s := Settings{
			AccessKey: "k", SecretKey: "s", HTTPSProxy: &proxy.URL, MaxRetries: ptr(int64(0)), UseFIPSEndpoint: true,
			AssumeRole: []AssumeRole{{RoleARN: "arn:aws:iam::111122223333:role/r"}},
		}
		if _, err := New(t.Context(), s, "us-west-2"); err == nil {
			t.Fatal("a role without STS")
		}
		if got := proxy.take(); !strings.HasPrefix(got, "sts-fips.us-west-2.amazonaws.com:443") {
			t.Errorf("STS is asked at %s", got)
		}
	})
}

// TestEndpointsOfServices: each service goes where its own variable leads, signed for its own name and the client's Region, and what the variables
// say can be ignored, which does not touch the provider block.
func TestEndpointsOfServices(t *testing.T) {
	scope := regexp.MustCompile(`Credential=[^/]+/\d+/([^,]+)/aws4_request`)
	for name, test := range map[string]struct {
		env      func(url string) map[string]string
		argument bool
		away     bool // to AWS
	}{
		"variables": {env: func(url string) map[string]string {
			m := map[string]string{"AWS_ENDPOINT_URL": "http://wrong.invalid"}
			for service := range services {
				m["AWS_ENDPOINT_URL_"+strings.ToUpper(service)] = url + "/" + service
			}
			return m
		}},
		"one variable": {env: func(url string) map[string]string { return map[string]string{"AWS_ENDPOINT_URL": url} }},
		"ignored": {env: func(url string) map[string]string {
			return map[string]string{"AWS_ENDPOINT_URL": url, "AWS_ENDPOINT_URL_S3": url, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
		}, away: true},
		"ignored, but configured": {env: func(string) map[string]string {
			return map[string]string{"AWS_ENDPOINT_URL": "http://wrong.invalid", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
		}, argument: true},
	} {
		t.Run(name, func(t *testing.T) {
			isolate(t)
			fake, proxy := startAWS(t), startConnectProxy(t)
			for k, v := range test.env(fake.URL) {
				t.Setenv(k, v)
			}
			s := Settings{}
			if test.argument {
				s = fake.settings()
			}
			s.AccessKey, s.SecretKey, s.HTTPSProxy, s.MaxRetries = "k", "s", &proxy.URL, ptr(int64(0))
			s.SkipCredentialsValidation, s.SkipRequestingAccountID = true, true
			c, err := New(t.Context(), s, "ap-south-1")
			if err != nil {
				t.Fatal(err)
			}
			for service, call := range services {
				before := len(fake.seen())
				call(t.Context(), c)
				if hosts := proxy.take(); (hosts != "") != test.away {
					t.Errorf("%s is asked at %s", service, hosts)
				}
				calls := fake.seen()[before:]
				if test.away {
					if len(calls) > 0 {
						t.Errorf("%s is asked at an endpoint that is to be ignored", service)
					}
					continue
				}
				if len(calls) != 1 {
					t.Errorf("%s: %d calls", service, len(calls))
					continue
				}
				if m := scope.FindStringSubmatch(calls[0].Header.Get("Authorization")); m == nil || m[1] != "ap-south-1/"+service {
					t.Errorf("%s is signed %s", service, calls[0].Header.Get("Authorization"))
				}
				if (name == "variables" || test.argument) && !strings.HasPrefix(calls[0].Path, "/"+service) {
					t.Errorf("%s is asked at %s", service, calls[0].Path)
				}
			}
		})
	}
}

// TestWebIdentityOfEnvironment: as runners of CI and pods of EKS leave it to us.
func TestWebIdentityOfEnvironment(t *testing.T) {
	isolate(t)
	fake := startAWS(t)
	t.Setenv("AWS_ENDPOINT_URL", fake.URL)
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/ci")
	t.Setenv("AWS_ROLE_SESSION_NAME", "run-7")
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", write(t, "token", "token-of-the-runner"))
	c, err := New(t.Context(), Settings{}, "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := describe(t, c); err != nil {
		t.Fatal(err)
	}
	first := fake.seen()[0].Form
	if first.Get("Action") != "AssumeRoleWithWebIdentity" || first.Get("WebIdentityToken") != "token-of-the-runner" ||
		first.Get("RoleArn") != "arn:aws:iam::111122223333:role/ci" || first.Get("RoleSessionName") != "run-7" {
		t.Errorf("asked for %v", first)
	}
	calls := fake.seen()
	if key := calls[len(calls)-1].key(); !strings.HasPrefix(key, "role-key-") {
		t.Errorf("EC2 is called by %s", key)
	}
}

// Variables that are to be ignored are ignored for these roles as well.
func TestWebIdentityIgnoresEnvironment(t *testing.T) {
	isolate(t)
	fake, proxy := startAWS(t), startConnectProxy(t)
	t.Setenv("AWS_ENDPOINT_URL", fake.URL)
	t.Setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/ci")
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", write(t, "token", "token-of-the-runner"))
	_, err := New(t.Context(), Settings{HTTPSProxy: &proxy.URL, MaxRetries: ptr(int64(0))}, "us-east-1")
	if hosts := proxy.take(); err == nil || !strings.HasPrefix(hosts, "sts.us-east-1.amazonaws.com:443") || len(fake.seen()) > 0 {
		t.Errorf("asked at %q and %q: %v", hosts, fake.actions(), err)
	}
}

// TestRolesOfEnvironment: roles are assumed where the variables lead, too.
func TestRolesOfEnvironment(t *testing.T) {
	for name, settings := range map[string]func(t *testing.T) Settings{
		"argument": func(*testing.T) Settings {
			return Settings{AssumeRole: []AssumeRole{{RoleARN: "arn:aws:iam::111122223333:role/a"}, {RoleARN: "arn:aws:iam::111122223333:role/b"}}}
		},
		"profile": func(t *testing.T) Settings {
			return Settings{Profile: "work", SharedConfigFiles: []string{write(t, "config",
				"[profile work]\nrole_arn = arn:aws:iam::111122223333:role/a\nsource_profile = base\n[profile base]\naws_access_key_id = k\naws_secret_access_key = s\n")}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			isolate(t)
			fake := startAWS(t)
			t.Setenv("AWS_ENDPOINT_URL", fake.URL)
			t.Setenv("AWS_ACCESS_KEY_ID", "k")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
			c, err := New(t.Context(), settings(t), "us-east-1")
			if err != nil {
				t.Fatal(err)
			}
			if err := describe(t, c); err != nil {
				t.Fatal(err)
			}
			calls := fake.seen()
			if key := calls[len(calls)-1].key(); !strings.HasPrefix(key, "role-key-") {
				t.Errorf("EC2 is called by %s", key)
			}
		})
	}
}
