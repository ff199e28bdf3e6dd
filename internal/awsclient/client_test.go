package awsclient

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

func describe(t *testing.T, c *Client) error {
	t.Helper()
	_, err := c.EC2.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{})
	return err
}

func TestNew(t *testing.T) {
	isolate(t)
	fake := startAWS(t)
	c, err := New(t.Context(), fake.settings(), "eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	if c.Region != "eu-west-1" || c.Partition != "aws" || c.AccountID != "123456789012" {
		t.Errorf("%+v", c)
	}
	if err := describe(t, c); err != nil {
		t.Fatal(err)
	}
	if _, err := c.S3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: ptr("bucket"), Key: ptr("dir/key")}); err != nil {
		t.Fatal(err)
	}
	calls := fake.seen()
	if got := fake.actions(); got != "GetCallerIdentity DescribeSnapshots /s3/bucket/dir/key" {
		t.Fatalf("calls: %s", got)
	}
	for i, path := range []string{"/sts/", "/ec2/", "/s3/bucket/dir/key"} {
		if calls[i].Path != path {
			t.Errorf("call %d went to %s, not %s", i, calls[i].Path, path)
		}
		if auth := calls[i].Header.Get("Authorization"); calls[i].key() != "static-access-key" || !strings.Contains(auth, "/eu-west-1/") {
			t.Errorf("call %d is signed %s", i, auth)
		}
	}
}

func TestEnvironmentAlone(t *testing.T) {
	// As tflocal and lstk leave it to us: not one argument in the provider block.
	for name, variables := range map[string][]string{
		"one URL for all":     {"AWS_ENDPOINT_URL"},
		"a URL per service":   {"AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_STS"},
		"both, equal targets": {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2"},
	} {
		t.Run(name, func(t *testing.T) {
			isolate(t)
			fake := startAWS(t)
			for _, v := range variables {
				t.Setenv(v, fake.URL)
			}
			t.Setenv("AWS_REGION", "eu-central-1")
			t.Setenv("AWS_ACCESS_KEY_ID", "test")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
			var s Settings
			region, err := s.ResolveRegion(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c, err := New(t.Context(), s, region)
			if err != nil {
				t.Fatal(err)
			}
			if err := describe(t, c); err != nil {
				t.Fatal(err)
			}
			// Path style, although nothing asks for it but the endpoint.
			if _, err := c.S3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: ptr("bucket"), Key: ptr("k")}); err != nil {
				t.Fatal(err)
			}
			if got := fake.actions(); got != "GetCallerIdentity DescribeSnapshots /bucket/k" {
				t.Errorf("calls: %s", got)
			}
		})
	}
}

func TestEndpointPrecedence(t *testing.T) {
	for _, c := range []struct {
		name                         string
		argument, service, all, file bool
	}{
		{"argument", true, true, true, true},
		{"AWS_ENDPOINT_URL_EC2", false, true, true, true},
		{"AWS_ENDPOINT_URL", false, false, true, true},
		{"shared configuration", false, false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			isolate(t)
			right, wrong := startAWS(t), startAWS(t)
			s := right.settings()
			s.Endpoints.EC2 = ""
			next := right.URL
			use := func(given bool, set func(url string)) {
				if given {
					set(next)
					next = wrong.URL
				}
			}
			use(c.argument, func(url string) { s.Endpoints.EC2 = url })
			use(c.service, func(url string) { t.Setenv("AWS_ENDPOINT_URL_EC2", url) })
			use(c.all, func(url string) { t.Setenv("AWS_ENDPOINT_URL", url) })
			use(c.file, func(url string) {
				s.SharedConfigFiles = []string{write(t, "config", "[default]\nendpoint_url = "+url+"\n")}
			})
			client, err := New(t.Context(), s, "us-east-1")
			if err != nil {
				t.Fatal(err)
			}
			if err := describe(t, client); err != nil {
				t.Fatal(err)
			}
			if got := right.actions(); got != "GetCallerIdentity DescribeSnapshots" || wrong.actions() != "" {
				t.Errorf("right: %s; wrong: %s", got, wrong.actions())
			}
		})
	}
}

func TestFIPSAndDualStackBesideEndpoints(t *testing.T) {
	isolate(t)
	fake := startAWS(t)
	s := fake.settings()
	s.UseFIPSEndpoint, s.UseDualStackEndpoint = true, true
	s.SkipCredentialsValidation, s.SkipRequestingAccountID = true, true
	c, err := New(t.Context(), s, "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := describe(t, c); err != nil {
		t.Error(err)
	}
	if _, err := c.S3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: ptr("b"), Key: ptr("k")}); err != nil {
		t.Error(err)
	}
}

func TestS3PathStyle(t *testing.T) {
	isolate(t)
	for _, style := range []bool{false, true} {
		s := Settings{
			AccessKey: "k", SecretKey: "s", S3UsePathStyle: style, SkipCredentialsValidation: true, SkipRequestingAccountID: true,
		}
		c, err := New(t.Context(), s, "us-east-1")
		if err != nil {
			t.Fatal(err)
		}
		if got := c.S3.Options().UsePathStyle; got != style {
			t.Errorf("s3_use_path_style = %v: %v", style, got)
		}
		if c.S3.Options().BaseEndpoint != nil || c.EC2.Options().BaseEndpoint != nil || c.KMS.Options().BaseEndpoint != nil {
			t.Error("AWS itself has an endpoint")
		}
	}
}

func TestRoleChain(t *testing.T) {
	isolate(t)
	fake := startAWS(t)
	s := fake.settings()
	s.AssumeRole = []AssumeRole{
		{
			RoleARN: "arn:aws:iam::1:role/first", Duration: 20 * time.Minute, ExternalID: "external-id", Policy: `{"Version":"2012-10-17"}`,
			PolicyARNs: []string{"arn:aws:iam::aws:policy/p"}, SessionName: "session", SourceIdentity: "source",
			Tags: map[string]string{"k": "v"}, TransitiveTagKeys: []string{"k"},
		},
		{RoleARN: "arn:aws:iam::2:role/second"},
	}
	c, err := New(t.Context(), s, "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := describe(t, c); err != nil {
		t.Fatal(err)
	}
	var chain []call
	for _, call := range fake.seen() {
		if call.action() == "AssumeRole" {
			chain = append(chain, call)
		}
	}
	firstRole := slices.IndexFunc(chain, func(c call) bool { return strings.HasSuffix(c.Form.Get("RoleArn"), "first") })
	secondRole := slices.IndexFunc(chain, func(c call) bool { return strings.HasSuffix(c.Form.Get("RoleArn"), "second") })
	if firstRole < 0 || secondRole < firstRole {
		t.Fatalf("calls: %s", fake.actions())
	}
	for name, want := range map[string]string{
		"RoleSessionName": "session", "DurationSeconds": "1200", "ExternalId": "external-id", "Policy": `{"Version":"2012-10-17"}`,
		"PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/p", "SourceIdentity": "source", "Tags.member.1.Key": "k", "Tags.member.1.Value": "v",
		"TransitiveTagKeys.member.1": "k",
	} {
		if got := chain[firstRole].Form.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if key := chain[firstRole].key(); key != "static-access-key" {
		t.Errorf("the first role is assumed by %s", key)
	}
	if key := chain[secondRole].key(); !strings.HasPrefix(key, "role-key-") {
		t.Errorf("the second role is assumed by %s", key)
	}
	calls := fake.seen()
	last := calls[len(calls)-1]
	if key := last.key(); !strings.HasPrefix(key, "role-key-") || key == chain[secondRole].key() || last.Header.Get("X-Amz-Security-Token") == "" {
		t.Errorf("EC2 is called by %s", key)
	}
}

func TestWebIdentity(t *testing.T) {
	for name, set := range map[string]func(*AssumeRoleWithWebIdentity){
		"token": func(r *AssumeRoleWithWebIdentity) { r.WebIdentityToken = "token-of-the-identity-provider" },
		"file": func(r *AssumeRoleWithWebIdentity) {
			r.WebIdentityTokenFile = write(t, "token", "token-of-the-identity-provider")
		},
	} {
		t.Run(name, func(t *testing.T) {
			isolate(t)
			fake := startAWS(t)
			s := fake.settings()
			s.AccessKey, s.SecretKey = "", ""
			s.AssumeRoleWithWebIdentity = &AssumeRoleWithWebIdentity{
				RoleARN: "arn:aws:iam::1:role/web", Duration: time.Hour, Policy: "{}", PolicyARNs: []string{"arn:p"}, SessionName: "web-session",
			}
			set(s.AssumeRoleWithWebIdentity)
			c, err := New(t.Context(), s, "us-east-1")
			if err != nil {
				t.Fatal(err)
			}
			if err := describe(t, c); err != nil {
				t.Fatal(err)
			}
			got := fake.seen()[0]
			for name, want := range map[string]string{
				"Action": "AssumeRoleWithWebIdentity", "WebIdentityToken": "token-of-the-identity-provider", "RoleSessionName": "web-session",
				"RoleArn": "arn:aws:iam::1:role/web", "DurationSeconds": "3600", "Policy": "{}", "PolicyArns.member.1.arn": "arn:p",
			} {
				if got.Form.Get(name) != want {
					t.Errorf("%s = %q, want %q", name, got.Form.Get(name), want)
				}
			}
		})
	}
}

func TestAccounts(t *testing.T) {
	for _, c := range []struct {
		name               string
		allowed, forbidden []string
		skip               bool
		says               string
	}{
		{"allowed", []string{"000000000000", "123456789012"}, nil, false, ""},
		{"not allowed", []string{"000000000000"}, nil, false, "123456789012"},
		{"not forbidden", nil, []string{"000000000000"}, false, ""},
		{"forbidden", nil, []string{"123456789012"}, false, "123456789012"},
		{"cannot be checked", []string{"123456789012"}, nil, true, "skip_requesting_account_id"},
		{"not asked for", nil, nil, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			isolate(t)
			fake := startAWS(t)
			s := fake.settings()
			s.AllowedAccountIDs, s.ForbiddenAccountIDs = c.allowed, c.forbidden
			s.SkipCredentialsValidation, s.SkipRequestingAccountID = c.skip, c.skip
			client, err := New(t.Context(), s, "cn-north-1")
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("got %v", err)
			case c.skip && err == nil && (client.AccountID != "" || client.Partition != "aws-cn" || fake.actions() != ""):
				t.Errorf("account %q, partition %q, calls %q", client.AccountID, client.Partition, fake.actions())
			}
		})
	}
}

func TestSkipCredentialsValidationStillAsksForAccount(t *testing.T) {
	isolate(t)
	fake := startAWS(t)
	s := fake.settings()
	s.SkipCredentialsValidation = true
	c, err := New(t.Context(), s, "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	if c.AccountID != "123456789012" {
		t.Errorf("account %q after %s", c.AccountID, fake.actions())
	}
}

func TestNewRefuses(t *testing.T) {
	isolate(t)
	fake := startAWS(t)
	for _, c := range []struct {
		name, region string
		change       func(*Settings)
		says         []string
	}{
		{"Region", "us-moon-1", func(*Settings) {}, []string{"us-moon-1", "skip_region_validation"}},
		{"no Region", "", func(*Settings) {}, []string{"set region"}},
		{"no credentials", "us-east-1", func(s *Settings) { s.AccessKey, s.SecretKey = "", "" }, []string{"No valid credential sources", "registry.terraform.io/providers/ec2-import-snapshot"}},
		{"retry mode", "us-east-1", func(s *Settings) { s.RetryMode = "often" }, []string{"retry_mode", "adaptive"}},
		{"retries", "us-east-1", func(s *Settings) { s.MaxRetries = ptr(int64(-1)) }, []string{"max_retries"}},
		{"profile", "us-east-1", func(s *Settings) { s.AccessKey, s.SecretKey, s.Profile = "", "", "absent" }, []string{"absent"}},
		{"CA bundle", "us-east-1", func(s *Settings) { s.CustomCABundle = "/no/such/bundle" }, []string{"custom CA bundle"}},
		{"role", "us-east-1", func(s *Settings) { s.AssumeRole = []AssumeRole{{}} }, []string{"Role ARN"}},
	} {
		s := fake.settings()
		c.change(&s)
		_, err := New(t.Context(), s, c.region)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, says := range c.says {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %q is not in: %v", c.name, says, err)
			}
		}
	}
	s := fake.settings()
	s.SkipRegionValidation = true
	if _, err := New(t.Context(), s, "us-moon-1"); err != nil {
		t.Errorf("skip_region_validation: %v", err)
	}
}

func TestCredentialsRefused(t *testing.T) {
	isolate(t)
	fake := startAWS(t)
	fake.answer = func(w http.ResponseWriter, _ call) bool {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>The security token included in the request is invalid.</Message></Error></ErrorResponse>`))
		return true
	}
	_, err := New(t.Context(), fake.settings(), "us-east-1")
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "InvalidClientTokenId" || !strings.Contains(err.Error(), "validating provider credentials") {
		t.Errorf("got %v", err)
	}
}

func TestUserAgent(t *testing.T) {
	isolate(t)
	t.Setenv("TF_APPEND_USER_AGENT", "my-pipeline/7")
	fake := startAWS(t)
	c, err := New(t.Context(), fake.settings(), "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := describe(t, c); err != nil {
		t.Fatal(err)
	}
	for _, call := range fake.seen() {
		agent := call.Header.Get("User-Agent")
		if !strings.Contains(agent, "terraform-provider-ec2/1.2.3") || !strings.Contains(agent, "my-pipeline/7") {
			t.Errorf("%s: %s", call.action(), agent)
		}
	}
}

func TestRetries(t *testing.T) {
	for _, c := range []struct {
		name    string
		retries *int64
		mode    string
		env     string
		want    int
	}{
		{"none", ptr(int64(0)), "", "", 1},
		{"two", ptr(int64(2)), "", "", 3},
		{"two, adaptive", ptr(int64(2)), "adaptive", "", 3},
		{"argument before environment", ptr(int64(1)), "standard", "9", 2},
		{"environment", nil, "", "2", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			isolate(t)
			if c.env != "" {
				t.Setenv("AWS_MAX_ATTEMPTS", c.env)
			}
			fake := startAWS(t)
			s := fake.settings()
			s.MaxRetries, s.RetryMode = c.retries, c.mode
			client, err := New(t.Context(), s, "us-east-1")
			if err != nil {
				t.Fatal(err)
			}
			fake.answer = func(w http.ResponseWriter, _ call) bool {
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = w.Write([]byte(`<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>slow down</Message></Error></Errors></Response>`))
				return true
			}
			before := len(fake.seen())
			if err := describe(t, client); err == nil {
				t.Fatal("no error")
			}
			if got := len(fake.seen()) - before; got != c.want {
				t.Errorf("%d attempts, want %d", got, c.want)
			}
		})
	}
	isolate(t)
	attempts, _, err := Settings{}.retries()
	if err != nil || attempts != 25 {
		t.Errorf("by default %d attempts, %v", attempts, err)
	}
}

func TestProxies(t *testing.T) {
	var proxied atomic.Int64
	fake := startAWS(t)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxied.Add(1)
		if r.Method == http.MethodConnect {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		fake.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	const http1, https1 = "http://ec2.invalid/", "https://ec2.invalid/"
	for _, c := range []struct {
		name     string
		endpoint string
		change   func(t *testing.T, s *Settings)
		want     bool
	}{
		{"http_proxy", http1, func(_ *testing.T, s *Settings) { s.HTTPProxy = &proxy.URL }, true},
		{"https_proxy", https1, func(_ *testing.T, s *Settings) { s.HTTPSProxy = &proxy.URL }, true},
		{"http_proxy serves https too", https1, func(_ *testing.T, s *Settings) { s.HTTPProxy = &proxy.URL }, true},
		{"http_proxy, no https_proxy", https1, func(_ *testing.T, s *Settings) { s.HTTPProxy, s.HTTPSProxy = &proxy.URL, ptr("") }, false},
		{"no_proxy", http1, func(_ *testing.T, s *Settings) { s.HTTPProxy, s.NoProxy = &proxy.URL, "ec2.invalid" }, false},
		{"environment", http1, func(t *testing.T, _ *Settings) { t.Setenv("HTTP_PROXY", proxy.URL) }, true},
		{"environment, https", https1, func(t *testing.T, _ *Settings) { t.Setenv("HTTPS_PROXY", proxy.URL) }, true},
		{"environment, but not there", http1, func(t *testing.T, _ *Settings) {
			t.Setenv("HTTP_PROXY", proxy.URL)
			t.Setenv("NO_PROXY", ".invalid")
		}, false},
		{"no proxy", http1, func(*testing.T, *Settings) {}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			isolate(t)
			s := Settings{
				AccessKey: "k", SecretKey: "s", SkipCredentialsValidation: true, SkipRequestingAccountID: true, MaxRetries: ptr(int64(0)),
				Endpoints: Endpoints{EC2: c.endpoint},
			}
			c.change(t, &s)
			client, err := New(t.Context(), s, "us-east-1")
			if err != nil {
				t.Fatal(err)
			}
			before := proxied.Load()
			err = describe(t, client)
			if got := proxied.Load() > before; got != c.want {
				t.Errorf("through the proxy: %v (%v)", got, err)
			}
			if c.want && c.endpoint == http1 && err != nil {
				t.Error(err)
			}
		})
	}
}

func TestProfiles(t *testing.T) {
	isolate(t)
	fake := startAWS(t)
	s := fake.settings()
	s.AccessKey, s.SecretKey = "", ""
	s.Profile = "work"
	s.SharedConfigFiles = []string{write(t, "config", "[profile work]\nregion = ap-south-1\n")}
	s.SharedCredentialsFiles = []string{write(t, "credentials", "[work]\naws_access_key_id = key-of-work\naws_secret_access_key = secret-of-work\n")}
	t.Setenv("AWS_ACCESS_KEY_ID", "key-of-environment")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret-of-environment")
	region, err := s.ResolveRegion(t.Context())
	if err != nil || region != "ap-south-1" {
		t.Fatalf("%q, %v", region, err)
	}
	if _, err := New(t.Context(), s, region); err != nil {
		t.Fatal(err)
	}
	if key := fake.seen()[0].key(); key != "key-of-work" {
		t.Errorf("signed by %s", key)
	}
}

func TestResolveRegion(t *testing.T) {
	config := "[default]\nregion = eu-north-1\n[profile other]\nregion = eu-south-1\n[profile none]\n"
	for _, c := range []struct {
		name     string
		settings Settings
		env      map[string]string
		want     string
	}{
		{"argument", Settings{Region: "us-west-1"}, map[string]string{"AWS_REGION": "us-west-2"}, "us-west-1"},
		{"AWS_REGION", Settings{}, map[string]string{"AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": "us-east-2"}, "us-west-2"},
		{"AWS_DEFAULT_REGION", Settings{}, map[string]string{"AWS_DEFAULT_REGION": "us-east-2"}, "us-east-2"},
		{"default profile", Settings{}, nil, "eu-north-1"},
		{"profile", Settings{Profile: "other"}, map[string]string{"AWS_PROFILE": "none"}, "eu-south-1"},
		{"AWS_PROFILE", Settings{}, map[string]string{"AWS_PROFILE": "other"}, "eu-south-1"},
		{"profile in the credentials file", Settings{Profile: "third", SharedCredentialsFiles: []string{
			write(t, "credentials", "[third]\nregion = eu-west-3\naws_access_key_id = k\naws_secret_access_key = s\n"),
		}}, nil, "eu-west-3"},
		{"profile without Region", Settings{Profile: "none"}, nil, ""},
		{"no files", Settings{}, map[string]string{"AWS_CONFIG_FILE": "/no/such/file"}, ""},
		{"missing CA bundle", Settings{}, map[string]string{"AWS_CA_BUNDLE": "/no/such/file"}, "eu-north-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			isolate(t)
			t.Setenv("AWS_CONFIG_FILE", write(t, "config", config))
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			got, err := c.settings.ResolveRegion(t.Context())
			if err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
	isolate(t)
	if _, err := (Settings{Profile: "absent"}).ResolveRegion(t.Context()); err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("missing profile: %v", err)
	}
}

// TestElsewhere: where EC2 alone is named, AWS's own S3, KMS and IAM do not go with it, unless what is named is AWS too.
func TestElsewhere(t *testing.T) {
	isolate(t)
	for url, want := range map[string]bool{
		"http://127.0.0.1:4599":                                        false,
		"http://localhost.localstack.cloud:4566":                       false,
		"https://amazonaws.com.example":                                false,
		"https://ec2.us-east-1.amazonaws.com":                          true,
		"https://ec2.us-east-1.api.aws/":                               true,
		"https://vpce-1-2.ec2.us-east-1.vpce.amazonaws.com.":           true,
		"https://ec2.cn-north-1.amazonaws.com.cn":                      true,
		"https://ec2.cn-north-1.api.amazonwebservices.com.cn":          true,
		"https://vpce-1-2.ec2.cn-north-1.vpce.amazonaws.com.cn/a?b=c#": true,
	} {
		s := Settings{AccessKey: "k", SecretKey: "s", SkipCredentialsValidation: true, SkipRequestingAccountID: true, Endpoints: Endpoints{EC2: url}}
		c, err := New(t.Context(), s, "us-east-1")
		if err != nil {
			t.Fatal(err)
		}
		if (c.S3 != nil) != want || (c.KMS != nil) != want || (c.IAM != nil) != want {
			t.Errorf("%s: S3 %t, KMS %t, IAM %t, want %t", url, c.S3 != nil, c.KMS != nil, c.IAM != nil, want)
		}
		s.Endpoints.S3, s.Endpoints.KMS, s.Endpoints.IAM = "http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"
		if c, err = New(t.Context(), s, "us-east-1"); err != nil || c.S3 == nil || c.KMS == nil || c.IAM == nil {
			t.Errorf("%s: S3, KMS and IAM that are named themselves are not there: %v", url, err)
		}
	}
}
