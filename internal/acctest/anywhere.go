package acctest

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/awsclient"
)

// Marker is the tag on everything that a test makes Anywhere, and the first part of the key of its objects. What carries it is swept.
const Marker = "terraform-provider-ec2-acceptance"

// OnAWS says whether the tests were told to run on AWS, with EC2_ACC_AWS=1.
func OnAWS() bool { return onAWS }

// run tells the runs in one account apart.
var run = strings.ToLower(rand.Text()[:10])

// Anywhere is a place of which a test asks nothing that AWS does not have too: the local endpoint, `serve`, or AWS itself. Nothing is simulated,
// nothing is disturbed, and others may work in the account at the same time.
type Anywhere struct {
	Region, Account string
	// Client is for the outsider who looks at what is there.
	Client *awsclient.Client
	// ID is on all that this test makes: the value of the tag Marker.
	ID string

	site   *Site // nil on AWS
	bucket string
	prefix string
}

// NewAnywhere is the place under test. On AWS it is that of the environment's credentials and AWS_REGION, with the images in EC2_ACC_AWS_BUCKET; the
// test is skipped where they are not given.
func NewAnywhere(t *testing.T) *Anywhere {
	t.Helper()
	a := &Anywhere{ID: run + "/" + strings.NewReplacer(",", "", "'", "").Replace(t.Name())}
	if !onAWS {
		a.site, a.bucket, a.Region = NewSite(t), "images", "us-east-1"
		url := a.site.served
		if url == "" {
			server := httptest.NewServer(a.site.endpoint)
			t.Cleanup(server.Close)
			url = server.URL
		}
		var err error
		a.Client, err = awsclient.New(t.Context(), awsclient.Settings{
			AccessKey: a.site.Account, SecretKey: "test", Endpoints: awsclient.Endpoints{EC2: url, STS: url},
		}, a.Region)
		if err != nil {
			t.Fatal(err)
		}
		a.Account = a.Client.AccountID
		return a
	}
	region, bucket, err := onAWSGiven(t.Context())
	if err != nil {
		t.Skipf("EC2_ACC_AWS=1, but %v", err)
	}
	if a.Client, err = awsclient.New(t.Context(), awsclient.Settings{}, region); err != nil {
		t.Fatal(err)
	}
	a.Region, a.Account, a.bucket, a.prefix = region, a.Client.AccountID, bucket, Marker+"/"+a.ID+"/"
	return a
}

// onAWSGiven are the Region and the bucket that were given, along with credentials.
func onAWSGiven(ctx context.Context) (region, bucket string, err error) {
	if region, err = (awsclient.Settings{}).ResolveRegion(ctx); err != nil {
		return "", "", err
	}
	if region == "" {
		return "", "", fmt.Errorf("no Region: set AWS_REGION")
	}
	if bucket = os.Getenv("EC2_ACC_AWS_BUCKET"); bucket == "" {
		return "", "", fmt.Errorf("no bucket: set EC2_ACC_AWS_BUCKET to one in %s that the role vmimport may read", region)
	}
	client, err := awsclient.New(ctx, awsclient.Settings{SkipCredentialsValidation: true, SkipRequestingAccountID: true}, region)
	if err != nil {
		return "", "", fmt.Errorf("no credentials: %w", err)
	}
	if _, err = client.EC2.Options().Credentials.Retrieve(ctx); err != nil {
		return "", "", fmt.Errorf("no credentials: %w", err)
	}
	return region, bucket, nil
}

// Provider is the provider block that leads there; defaults are tags that everything gets beside the marker.
func (a *Anywhere) Provider(defaults map[string]string) string {
	var tags strings.Builder
	for _, key := range slices.Sorted(maps.Keys(defaults)) {
		fmt.Fprintf(&tags, "    %q = %q\n", key, defaults[key])
	}
	block := fmt.Sprintf("  default_tags {\n    tags = {\n    %q = %q\n%s    }\n  }", Marker, a.ID, tags.String())
	if a.site != nil {
		return a.site.Provider(block)
	}
	return fmt.Sprintf("provider \"ec2\" {\n  region = %q\n%s\n}\n", a.Region, block)
}

// Config is Provider for a protocol-level test.
func (a *Anywhere) Config() map[string]any {
	config := map[string]any{"region": a.Region}
	if a.site != nil {
		config = a.site.Config()
	}
	config["default_tags"] = []any{map[string]any{"tags": map[string]any{Marker: a.ID}}}
	return config
}

// SeesImages says whether the provider can look at the images.
func (a *Anywhere) SeesImages() bool { return a.site == nil || a.site.SeesImages() }

// InProcess says whether the endpoint is in the provider's process.
func (a *Anywhere) InProcess() bool { return a.site != nil && a.site.InProcess() }

// Object is the bucket and the key that an object of this test has.
func (a *Anywhere) Object(name string) (bucket, key string) { return a.bucket, a.prefix + name }

// Put writes an object, which goes with the test.
func (a *Anywhere) Put(t *testing.T, name string, content []byte) {
	t.Helper()
	bucket, key := a.Object(name)
	if a.site != nil {
		a.site.Put(t, key, content)
		return
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if _, err := a.Client.S3.DeleteObject(context.WithoutCancel(t.Context()), &s3.DeleteObjectInput{Bucket: &bucket, Key: &key}); err != nil {
			t.Errorf("removing s3://%s/%s, which the sweeper will do: %v", bucket, key, err)
		}
	})
	if _, err := a.Client.S3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(content)}); err != nil {
		t.Fatalf("writing s3://%s/%s: %v", bucket, key, err)
	}
}
