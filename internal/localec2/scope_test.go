package localec2

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// as makes the host's clients sign with another access key.
func (h *host) as(accessKey string) *host {
	other := *h
	other.accessKey = accessKey
	other.connect(h.http, h.url)
	return &other
}

// TestAccountByAccessKey: twelve digits are the account, as users of LocalStack and moto expect; anything else is the configured one. Identity,
// owner and ARNs agree, and accounts see nothing of each other.
func TestAccountByAccessKey(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.put(t, "disk.img", pattern(4096, 1))
	snapshots := map[string]string{}
	for _, tc := range []struct{ key, account string }{
		{"AKIAIOSFODNN7EXAMPLE", testAccount},
		{"111122223333", "111122223333"},
		{"000000000000", "000000000000"},
		{"test", testAccount},
		{"1111222233334", testAccount},
		{"11112222333", testAccount},
		{"١١١١٢٢٢٢٣٣٣٣", testAccount}, // digits, but not these
	} {
		c := h.as(tc.key)
		identity, err := c.sts.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		if err != nil {
			t.Fatalf("%s: %v", tc.key, err)
		}
		if *identity.Account != tc.account || *identity.Arn != "arn:aws:iam::"+tc.account+":root" || *identity.UserId != tc.account {
			t.Errorf("%s: identity %s %s %s, want account %s", tc.key, *identity.Account, *identity.Arn, *identity.UserId, tc.account)
		}
		if snapshots[tc.account] != "" {
			continue
		}
		in := importInput("disk.img")
		in.Encrypted, in.ClientToken = aws.Bool(true), aws.String("the same in every account")
		out, err := c.ec2.ImportSnapshot(t.Context(), in)
		if err != nil {
			t.Fatalf("%s: %v", tc.key, err)
		}
		snapshots[tc.account] = *c.wait(t, *out.ImportTaskId, statusCompleted).SnapshotId
		seen, err := c.ec2.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}})
		if err != nil {
			t.Fatal(err)
		}
		if len(seen.Snapshots) != 1 || *seen.Snapshots[0].SnapshotId != snapshots[tc.account] {
			t.Fatalf("%s: sees %d snapshots, want its own alone", tc.key, len(seen.Snapshots))
		}
		sn := seen.Snapshots[0]
		if *sn.OwnerId != tc.account || !strings.HasPrefix(*sn.KmsKeyId, "arn:aws:kms:us-east-1:"+tc.account+":key/") {
			t.Errorf("%s: owner %s, key %s", tc.key, *sn.OwnerId, *sn.KmsKeyId)
		}
	}
	h.wantVolume(t, snapshots[testAccount], pattern(4096, 1))
	if _, err := h.Volume(t.Context(), snapshots["111122223333"]); err == nil {
		t.Error("the look-up by the configured account gives another account's volume")
	}
}

// TestResumeAccounts: a provider takes up its own account's imports, a server those of all.
func TestResumeAccounts(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.put(t, "disk.img", pattern(4096, 1))
	stopped := New(h.config)
	first := &host{Endpoint: stopped}
	first.inProcess()
	// A task that no worker has touched: its process dies before.
	stopped.workers.quit()
	tasks := map[string]string{}
	for _, account := range []string{testAccount, "111122223333"} {
		s := scope{Account: account, Region: "eu-west-1"}
		stored, err := stopped.store.createTask(task{
			ID: newID(taskPrefix), Account: s.Account, Region: s.Region, Bucket: "images", Key: "disk.img", Origin: h.bucket,
			Status: statusActive, StatusMessage: messagePending,
		})
		if err != nil {
			t.Fatal(err)
		}
		tasks[account] = stored.ID
	}
	if err := stopped.Close(); err != nil {
		t.Fatal(err)
	}
	status := func(account string) string {
		found, err := h.store.task(tasks[account])
		if err != nil {
			t.Fatal(err)
		}
		return found.Status
	}
	if err := h.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return status(testAccount) == statusCompleted })
	h.workers.mu.Lock()
	_, owned := h.workers.jobs[tasks["111122223333"]]
	h.workers.mu.Unlock()
	if owned || status("111122223333") != statusActive {
		t.Error("another account's import was taken up")
	}
	if err := h.ResumeAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return status("111122223333") == statusCompleted })
}

// TestScopes: what a signature may say, in the header and in a presigned query.
func TestScopes(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	const v4 = "AWS4-HMAC-SHA256 "
	for _, tc := range []struct {
		name, header, regions string
		want                  scope // the zero scope: refused
		message               string
	}{
		{name: "none", want: scope{testAccount, "us-east-1"}},
		{name: "SigV4", header: v4 + "Credential=AKID/20260101/ap-south-2/ec2/aws4_request, SignedHeaders=host, Signature=0", want: scope{testAccount, "ap-south-2"}},
		{name: "no blanks", header: v4 + "Credential=111122223333/20260101/eu-west-1/ec2/aws4_request,SignedHeaders=host,Signature=0", want: scope{"111122223333", "eu-west-1"}},
		{name: "STS", header: v4 + "Credential=AKID/20260101/eu-west-1/sts/aws4_request", want: scope{testAccount, "eu-west-1"}},
		{name: "SigV4A", header: "AWS4-ECDSA-P256-SHA256 Credential=111122223333/20260101/ec2/aws4_request, Signature=0", regions: "eu-west-1", want: scope{"111122223333", "eu-west-1"}},
		{name: "SigV4A, any Region", header: "AWS4-ECDSA-P256-SHA256 Credential=AKID/20260101/ec2/aws4_request", regions: "*", want: scope{testAccount, "us-east-1"}},
		{name: "SigV4A, no Region", header: "AWS4-ECDSA-P256-SHA256 Credential=AKID/20260101/ec2/aws4_request", want: scope{testAccount, "us-east-1"}},
		{name: "SigV4A, several Regions", header: "AWS4-ECDSA-P256-SHA256 Credential=AKID/20260101/ec2/aws4_request", regions: "eu-west-1,eu-west-2", message: "Region's name"},
		{name: "S3", header: v4 + "Credential=AKID/20260101/us-east-1/s3/aws4_request", message: "AWS_ENDPOINT_URL_EC2"},
		{name: "basic", header: "Basic dGVzdDp0ZXN0", message: "no credential"},
		{name: "SigV2", header: "AWS AKID:c2lnbmF0dXJl", message: "no credential"},
		{name: "no scope", header: v4 + "Credential=AKID", message: "key/date/Region/service"},
		{name: "empty", header: v4 + "Credential=, Signature=0", message: "key/date/Region/service"},
		{name: "no key", header: v4 + "Credential=/20260101/us-east-1/ec2/aws4_request", message: "key/date/Region/service"},
		{name: "no date", header: v4 + "Credential=AKID/today/us-east-1/ec2/aws4_request", message: "key/date/Region/service"},
		{name: "another end", header: v4 + "Credential=AKID/20260101/us-east-1/ec2/aws5_request", message: "key/date/Region/service"},
		{name: "a path", header: v4 + "Credential=AKID/20260101/../ec2/aws4_request", message: "Region's name"},
		{name: "no Region", header: v4 + "Credential=AKID/20260101/NOWHERE/ec2/aws4_request", message: "Region's name"},
		{name: "huge Region", header: v4 + "Credential=AKID/20260101/us-" + strings.Repeat("a", 60_000) + "/ec2/aws4_request", message: "Region's name"},
		{name: "huge service", header: v4 + "Credential=AKID/20260101/us-east-1/" + strings.Repeat("ä<", 30_000) + "/aws4_request", message: "correct service"},
		{name: "huge", header: strings.Repeat("Credential=", 6_000), message: "key/date/Region/service"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			requests := map[string]*http.Request{"header": httptest.NewRequest(http.MethodGet, "/?Action=DescribeSnapshots", nil)}
			if tc.header != "" {
				requests["header"].Header.Set("Authorization", tc.header)
				requests["header"].Header.Set("X-Amz-Region-Set", tc.regions)
			}
			if m := credentialField.FindStringSubmatch(tc.header); m != nil && m[1] != "" {
				query := url.Values{"Action": {"DescribeSnapshots"}, "X-Amz-Credential": {m[1]}, "X-Amz-Region-Set": {tc.regions}}
				requests["query"] = httptest.NewRequest(http.MethodGet, "/?"+query.Encode(), nil)
			}
			for where, r := range requests {
				got, err := h.scopeOf(r)
				if got != tc.want {
					t.Errorf("%s: %+v, %v, want %+v", where, got, err, tc.want)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				body := strings.ReplaceAll(w.Body.String(), "&#39;", "'")
				if refused := tc.want == (scope{}); refused != (w.Code == http.StatusUnauthorized) {
					t.Errorf("%s: status %d", where, w.Code)
				} else if refused && (!strings.Contains(body, "<Code>AuthFailure</Code>") ||
					!strings.Contains(body, tc.message) || len(body) > 2000) {
					t.Errorf("%s: %.2000s", where, body)
				}
			}
		})
	}
}

// TestRefusedScopeInDialect: a client of STS reads the refusal in its own dialect, and one of another service is told before its form is read.
func TestRefusedScopeInDialect(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	call := func(method, target, service, region string) (int, string) {
		r := httptest.NewRequest(method, target, nil)
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20260101/"+region+"/"+service+"/aws4_request, Signature=0")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	if status, body := call("POST", "/?Action=GetCallerIdentity&Version=2011-06-15", "sts", "NO"); status != 401 || !strings.Contains(body, "<ErrorResponse") {
		t.Errorf("STS: %d %s", status, body)
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		if status, body := call(method, "/bucket/key", "s3", "us-east-1"); status != 401 || !strings.Contains(body, "AWS_ENDPOINT_URL_EC2") {
			t.Errorf("%s to S3: %d %s", method, status, body)
		}
	}
}
