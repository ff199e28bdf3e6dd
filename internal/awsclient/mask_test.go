package awsclient

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// presigned are URLs as the stores sign them, each with what must not be seen of it. Keys and signatures have the characters that are encoded.
var presigned = map[string]struct {
	url     string
	secrets []string
}{
	"S3, signature 4": {
		"https://images.s3.eu-west-1.amazonaws.com/disk.vmdk?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIAKEYKEYKEYKEYKEYK%2F20260101%2Feu-west-1%2Fs3%2Faws4_request" +
			"&X-Amz-Expires=900&X-Amz-Security-Token=IQoJb3JpZ2lu%2Ftokentail%2Btokenend%3D%3D&X-Amz-SignedHeaders=host&X-Amz-Signature=0123abcdsignature",
		[]string{"ASIAKEYKEYKEYKEYKEYK", "IQoJb3JpZ2lu", "tokentail", "tokenend", "0123abcdsignature"},
	},
	"S3, signature 2": {
		"https://images.s3.amazonaws.com/disk.vmdk?AWSAccessKeyId=AKIAOLDOLDOLDOLDOLDO&Expires=1&Signature=vjbyPxybdZaN%2BsigmiddleRUdrg%2Fsigend%3D&x-amz-security-token=oldtoken%2Ftail",
		[]string{"AKIAOLDOLDOLDOLDOLDO", "vjbyPxybdZaN", "sigmiddle", "sigend", "oldtoken", "Ftail"},
	},
	"Google": {
		"https://storage.googleapis.com/b/disk?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=robot%40project.iam%2Fscope&X-Goog-Signature=googsignature&X-Goog-Expires=1",
		[]string{"robot", "googsignature"},
	},
	"Azure":               {"https://account.blob.core.windows.net/c/disk.vhd?sv=2024&se=2026&sr=b&sp=r&sig=azure%2Bsignature%3D", []string{"azure", "Bsignature"}},
	"CloudFront":          {"https://d1.cloudfront.net/disk?Expires=1&Signature=front~signature__&Key-Pair-Id=K1", []string{"front~", "signature__"}},
	"unheard of":          {"https://files.example/disk?ticket=secretticket", []string{"secretticket"}},
	"behind what is open": {"https://files.example/disk?versionId=7&ticket=secretticket", []string{"secretticket"}},
	"in the fragment":     {"https://files.example/disk?versionId=7#ticket=secretticket", []string{"secretticket"}},
	"password":            {"https://user:pass%2Fword@files.example/disk", []string{"pass", "word"}},
}

// TestRedactURLs: whatever signs a URL is masked in it, in every form in which logs and errors have it.
func TestRedactURLs(t *testing.T) {
	for name, p := range presigned {
		once := url.QueryEscape(p.url)
		_, query, _ := strings.Cut(p.url, "?")
		texts := map[string]string{
			"as it is":                 `Get "` + p.url + `": dial tcp: no such host`,
			"XML":                      "<url>" + strings.ReplaceAll(p.url, "&", "&amp;") + "</url><userBucket/>",
			"form":                     "Action=ImportSnapshot&DiskContainer.Url=" + once + "&Version=2016-11-15",
			"form, cut off":            "Action=ImportSnapshot&DiskContainer.Url=" + once[:len(once)-1],
			"query alone":              "query " + query + " refused",
			"query alone, encoded":     "query=" + url.QueryEscape(query) + "&next=1",
			"query alone, once more":   "query=" + url.QueryEscape(url.QueryEscape(query)) + "&next=1",
			"message of a failed task": "ClientError: Disk validation failed [" + p.url + " 403 Forbidden]",
		}
		for form, text := range texts {
			if strings.Contains(form, "alone") && (query == "" || strings.Contains(query, "ticket")) {
				continue // nothing tells such a query from any other text
			}
			got := Redact(text)
			for _, secret := range p.secrets {
				if strings.Contains(got, secret) {
					t.Errorf("%s, %s: %q is in %s", name, form, secret, got)
				}
			}
			for _, kept := range []string{"no such host", "<userBucket/>", "Version=2016-11-15", "next=1", "disk", " refused"} {
				if strings.Contains(text, kept) && !strings.Contains(got, kept) && !(kept == "disk" && strings.Contains(form, "alone")) {
					t.Errorf("%s, %s: %q is gone from %s", name, form, kept, got)
				}
			}
			if again := Redact(got); again != got {
				t.Errorf("%s, %s: masked twice it reads otherwise: %s", name, form, again)
			}
		}
	}
	for _, harmless := range []string{
		"s3://images/what?X=1", "the condition sts:Externalid = vmimport", "config=1&sign=2", "arn:aws:iam::111122223333:role/x", "http://127.0.0.1:4599/path",
		`Head "https://images.s3.eu-west-1.amazonaws.com/disk.vmdk?versionId=3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY": EOF`,
		`Get "https://images.s3.amazonaws.com/disk.vmdk?versionId=7&x-id=GetObject": EOF`, "see https://console.aws.amazon.com/ec2/home?region=eu-west-1.",
		"SignatureDoesNotMatch: check the key", "terraform-provider-ec2 convert --to vmdk a b", "me@example.com: 1",
	} {
		if got := Redact(harmless); got != harmless {
			t.Errorf("%q became %q", harmless, got)
		}
	}
}

// TestErrorsOfCallsHoldNoSecrets: services repeat what they were sent, and the network names what it could not reach.
func TestErrorsOfCallsHoldNoSecrets(t *testing.T) {
	isolate(t)
	fake := startAWS(t)
	s := fake.settings()
	s.MaxRetries = ptr(int64(0))
	s.SkipCredentialsValidation, s.SkipRequestingAccountID = true, true
	echo := presigned["S3, signature 4"]
	c, err := New(t.Context(), s, "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, err error, code string) {
		t.Helper()
		if err == nil {
			t.Fatalf("%s: no error", name)
		}
		for _, secret := range append(echo.secrets, s.AccessKey, s.SecretKey, "password-of-the-proxy") {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %q is in %v", name, secret, err)
			}
		}
		var api smithy.APIError
		if as := asAPI(err, &api); code != "" && (!as || api.ErrorCode() != code) {
			t.Errorf("%s: the error code is lost: %v", name, err)
		}
	}
	fake.answer = func(w http.ResponseWriter, c call) bool {
		w.WriteHeader(http.StatusBadRequest)
		text := strings.ReplaceAll(echo.url, "&", "&amp;") + " " + s.SecretKey
		_, _ = w.Write([]byte("<Response><Errors><Error><Code>InvalidParameter</Code><Message>" + text + "</Message></Error></Errors></Response>"))
		return true
	}
	check("EC2 repeats the URL", describe(t, c), "InvalidParameter")

	s.HTTPProxy = ptr("http://user:password-of-the-proxy@127.0.0.1:1")
	s.Endpoints.EC2 = "http://ec2.invalid/"
	if c, err = New(t.Context(), s, "us-east-1"); err != nil {
		t.Fatal(err)
	}
	check("a proxy that does not answer", describe(t, c), "")

	s.HTTPProxy, s.Endpoints.S3 = nil, "http://user:password-of-the-proxy@127.0.0.1:1/"
	if c, err = New(t.Context(), s, "us-east-1"); err != nil {
		t.Fatal(err)
	}
	_, err = c.S3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: ptr("b"), Key: ptr("k")})
	check("an S3 that does not answer", err, "")

	local, err := NewLocal(roundTrip(func(r *http.Request) (*http.Response, error) {
		return nil, &url.Error{Op: "Post", URL: echo.url, Err: http.ErrServerClosed}
	}),
		Settings{MaxRetries: ptr(int64(0))}, "us-east-1", "000000000000")
	if err != nil {
		t.Fatal(err)
	}
	_, err = local.EC2.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{})
	check("the endpoint in this process", err, "")
}
