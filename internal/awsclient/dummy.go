package awsclient

import (
	"context"
	"os"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// realKey is the form of the keys that AWS gives.
var realKey = regexp.MustCompile(`^A[KS]IA[A-Z0-9]{16}$`)

// dummyKeys are access keys that no account of AWS has: the words and account numbers that emulators take, LocalStack's own prefix, and the keys of
// AWS's documentation. What is neither such a key nor a real one is left alone: AWS knows best.
var dummyKeys = regexp.MustCompile(`(?i)^(?:\d{12}|A[KS]IA[A-Z0-9]{9,}EXAMPLE|L[KS]IA[A-Z0-9]{16}|` +
	`(?:[a-z]+[-_ ]?)?(?:test|testing|mock|mocked|dummy|fake|foo|bar|local|localstack|moto|minio|minioadmin|none|example|anything|xxx+|placeholder)` +
	`(?:[-_ ]?(?:aws|access|key|id|user|value|default|[0-9]))*|(?:my|an|your|some)[-_ ]?access[-_ ]?key(?:[-_ ]?id)?)$`)

func placeholder(key string) bool {
	return dummyKeys.MatchString(key) && (!realKey.MatchString(key) || strings.HasSuffix(key, "EXAMPLE"))
}

// DummyKey is an access key that is a placeholder while EC2's endpoint is that of AWS: most likely the emulator it was meant for was never named. It is ""
// where there is nothing to say. It reads the environment and the shared files, and asks nobody.
func (s Settings) DummyKey(ctx context.Context) string {
	key := s.accessKey(ctx)
	// moto and others also answer as a proxy, under AWS's own names.
	if !placeholder(key) || len(s.proxies()) > 0 {
		return ""
	}
	if s.Endpoints.EC2 == "" {
		configFiles, credentialsFiles, err := s.sharedFiles()
		if err != nil {
			return "" // the first use of a client says what is wrong
		}
		// The SDK knows best which of the variables and files counts.
		cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion("us-east-1"), func(o *config.LoadOptions) error {
			o.SharedConfigProfile, o.SharedConfigFiles, o.SharedCredentialsFiles = s.Profile, configFiles, credentialsFiles
			return nil
		})
		if err != nil {
			return ""
		}
		if endpoint := ec2.NewFromConfig(cfg).Options().BaseEndpoint; endpoint != nil {
			s.Endpoints.EC2 = *endpoint
		}
	}
	if s.Endpoints.EC2 != "" && !ofAWS(s.Endpoints.EC2) {
		return ""
	}
	return key
}

// accessKey is the one that will be used, as far as that is written down somewhere; "" where it has to be asked for. The order is that of the SDK, where a
// profile that is an argument comes before the environment.
func (s Settings) accessKey(ctx context.Context) string {
	switch env := os.Getenv("AWS_ACCESS_KEY_ID"); {
	case s.AssumeRoleWithWebIdentity != nil:
		return ""
	case s.AccessKey != "":
		return s.AccessKey
	case s.Profile == "" && env != "":
		return env
	case s.Profile == "" && os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "":
		return ""
	}
	shared, err := s.sharedProfile(ctx)
	if err != nil {
		return ""
	}
	return shared.Credentials.AccessKeyID
}
