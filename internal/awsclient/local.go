package awsclient

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	"github.com/hashicorp/aws-sdk-go-base/v2/logging"
)

// localEndpoint is never resolved (RFC 2606): the transport answers in this process. It is set so that no AWS_ENDPOINT_URL takes its place.
const localEndpoint = "http://ec2.invalid"

// NewLocal makes the client of the endpoint behind the transport. It asks nobody for anything: the configuration is written out here, because
// loading one reads files and variables (AWS_CA_BUNDLE among them) that have no business in it. With transport nil there is no EC2.
// S3 is there only if endpoints { s3 } names one, then with the keys and the certificates of the environment too: local means that nothing else
// leads to the network.
func NewLocal(transport http.RoundTripper, s Settings, region, accountID string) (*Client, error) {
	attempts, mode, err := s.retries()
	if err != nil {
		return nil, err
	}
	cfg := aws.Config{
		Region: region,
		// An emulator takes an access key of twelve digits for the account; the endpoint in this process knows its account.
		Credentials:      credentials.NewStaticCredentialsProvider(accountID, "local", ""),
		RetryMaxAttempts: attempts,
		RetryMode:        mode,
		APIOptions: []func(*middleware.Stack) error{
			awsmiddleware.AddUserAgentKeyValue("terraform-provider-ec2", s.Version), maskErrors(newLogger(s, logging.NullLogger{})),
		},
	}
	client := &Client{Region: region, Partition: partitionOf(region), AccountID: accountID}
	if transport != nil {
		client.EC2 = ec2.NewFromConfig(cfg, func(o *ec2.Options) {
			o.BaseEndpoint = aws.String(localEndpoint)
			o.HTTPClient = &http.Client{Transport: transport}
		})
	}
	if s.Endpoints.S3 == "" {
		return client, nil
	}
	httpClient, err := s.httpClient()
	if err != nil {
		return nil, err
	}
	client.S3 = s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.BaseEndpoint = aws.String(s.Endpoints.S3)
		o.UsePathStyle = true
		o.Credentials = s.storageCredentials()
		o.HTTPClient = httpClient
	})
	return client, nil
}

// storageCredentials are the configured keys, or those of the environment, or what emulators take.
func (s Settings) storageCredentials() aws.CredentialsProvider {
	if s.AccessKey != "" || s.SecretKey != "" {
		return credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, s.Token)
	}
	if id, secret := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"); id != "" && secret != "" {
		return credentials.NewStaticCredentialsProvider(id, secret, os.Getenv("AWS_SESSION_TOKEN"))
	}
	return credentials.NewStaticCredentialsProvider("test", "test", "")
}

// Transport has the proxies and the certificates of the settings, for images that are fetched by https.
func (s Settings) Transport() (*http.Transport, error) {
	client, err := s.httpClient()
	if err != nil {
		return nil, err
	}
	return client.GetTransport(), nil
}

// httpClient has the proxies and the certificates of the settings.
func (s Settings) httpClient() (*awshttp.BuildableClient, error) {
	c, err := s.base("")
	if err != nil {
		return nil, err
	}
	options, err := c.HTTPTransportOptions()
	if err != nil {
		return nil, err
	}
	var pem []byte
	if s.CustomCABundle != "" {
		reader, err := c.CustomCABundleReader()
		if err != nil {
			return nil, fmt.Errorf("custom_ca_bundle: %w", err)
		}
		var b bytes.Buffer
		_, _ = reader.WriteTo(&b)
		pem = b.Bytes()
	} else if path := os.Getenv("AWS_CA_BUNDLE"); path != "" {
		pem, err = os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
		}
	}
	client := awshttp.NewBuildableClient().WithTransportOptions(options)
	if len(pem) == 0 {
		return client, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("custom_ca_bundle (or AWS_CA_BUNDLE) holds no certificate in PEM form")
	}
	return client.WithTransportOptions(func(t *http.Transport) { t.TLSClientConfig.RootCAs = roots }), nil
}

// forgetMissingBundle takes AWS_CA_BUNDLE out of this process when no such file is there: the SDK would refuse to work at all, plain http included.
// Without the bundle the system's certificates are trusted, and a connection that needed it fails by itself.
func forgetMissingBundle(ctx context.Context, l logger) {
	path := os.Getenv("AWS_CA_BUNDLE")
	if path == "" {
		return
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	l.Warn(ctx, "AWS_CA_BUNDLE names a file that does not exist; it is ignored", map[string]any{"path": path})
	if err := os.Unsetenv("AWS_CA_BUNDLE"); err != nil {
		l.Warn(ctx, "cannot unset AWS_CA_BUNDLE", map[string]any{"error": err.Error()})
	}
}
