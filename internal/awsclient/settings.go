package awsclient

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	awsbase "github.com/hashicorp/aws-sdk-go-base/v2"
)

// Settings are the arguments of the provider block that concern AWS, with the names and the meaning they have in hashicorp/aws. The zero value of
// a field is "not set": the environment and the shared files decide.
type Settings struct {
	Version string // of the product, for the user agent

	// NotOffered, where set, tells the answer of an EC2 endpoint that has no such call.
	NotOffered func(error) bool

	Region                 string
	Profile                string
	AccessKey              string
	SecretKey              string
	Token                  string
	SharedConfigFiles      []string
	SharedCredentialsFiles []string

	AssumeRole                []AssumeRole // a chain: each is assumed with the credentials of the one before
	AssumeRoleWithWebIdentity *AssumeRoleWithWebIdentity
	AllowedAccountIDs         []string
	ForbiddenAccountIDs       []string

	Endpoints            Endpoints
	UseFIPSEndpoint      bool
	UseDualStackEndpoint bool
	S3UsePathStyle       bool

	MaxRetries *int64
	RetryMode  string

	HTTPProxy      *string // the empty string, unlike nil, means no proxy
	HTTPSProxy     *string
	NoProxy        string
	CustomCABundle string
	Insecure       bool

	SkipCredentialsValidation bool
	SkipRegionValidation      bool
	SkipRequestingAccountID   bool
	SkipMetadataAPICheck      *bool // false, unlike nil, asks the metadata service even where the environment says not to
}

// Endpoints are URLs that replace those of AWS.
type Endpoints struct {
	EC2, S3, STS, KMS, IAM string
}

// AssumeRole is one role of the chain.
type AssumeRole struct {
	RoleARN           string
	Duration          time.Duration
	ExternalID        string
	Policy            string
	PolicyARNs        []string
	SessionName       string
	SourceIdentity    string
	Tags              map[string]string
	TransitiveTagKeys []string
}

// AssumeRoleWithWebIdentity is a role that a token of an identity provider opens.
type AssumeRoleWithWebIdentity struct {
	RoleARN              string
	Duration             time.Duration
	Policy               string
	PolicyARNs           []string
	SessionName          string
	WebIdentityToken     string
	WebIdentityTokenFile string
}

// defaultAttempts is what hashicorp/aws does where nothing is set: throttling of a busy account takes minutes to pass.
const defaultAttempts = 25

// ResolveRegion finds the Region without credentials and without the network: the argument, AWS_REGION, AWS_DEFAULT_REGION, the profile in the
// shared files. It gives "" where none of them says.
func (s Settings) ResolveRegion(ctx context.Context) (string, error) {
	for _, region := range []string{s.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION")} {
		if region != "" {
			return region, nil
		}
	}
	shared, err := s.sharedProfile(ctx)
	if err != nil {
		return "", fmt.Errorf("cannot find the Region: %w", err)
	}
	return shared.Region, nil
}

// sharedFiles are the shared files that are named, with ~ and variables resolved; nil leaves those of the home directory.
func (s Settings) sharedFiles() (configFiles, credentialsFiles []string, err error) {
	files := awsbase.Config{
		SharedConfigFiles:      orEnvironment(s.SharedConfigFiles, "AWS_CONFIG_FILE"),
		SharedCredentialsFiles: orEnvironment(s.SharedCredentialsFiles, "AWS_SHARED_CREDENTIALS_FILE"),
	}
	if len(files.SharedConfigFiles) > 0 {
		if configFiles, err = files.ResolveSharedConfigFiles(); err != nil {
			return nil, nil, err
		}
	}
	if len(files.SharedCredentialsFiles) > 0 {
		if credentialsFiles, err = files.ResolveSharedCredentialsFiles(); err != nil {
			return nil, nil, err
		}
	}
	return configFiles, credentialsFiles, nil
}

// sharedProfile is the profile of the shared files; nothing where none is named and there is none.
func (s Settings) sharedProfile(ctx context.Context) (config.SharedConfig, error) {
	configFiles, credentialsFiles, err := s.sharedFiles()
	if err != nil {
		return config.SharedConfig{}, err
	}
	profile := first(s.Profile, os.Getenv("AWS_PROFILE"), os.Getenv("AWS_DEFAULT_PROFILE"))
	shared, err := config.LoadSharedConfigProfile(ctx, first(profile, "default"), func(o *config.LoadSharedConfigOptions) {
		o.ConfigFiles, o.CredentialsFiles = configFiles, credentialsFiles
	})
	var missing config.SharedConfigProfileNotExistError
	if errors.As(err, &missing) && profile == "" {
		return config.SharedConfig{}, nil
	}
	if err != nil {
		return config.SharedConfig{}, fmt.Errorf("profile %q of the shared files: %w", first(profile, "default"), err)
	}
	return shared, nil
}

// proxies are all that are named, whatever they serve.
func (s Settings) proxies() (named []string) {
	for _, proxy := range []string{
		aws.ToString(s.HTTPProxy), aws.ToString(s.HTTPSProxy),
		os.Getenv("HTTP_PROXY"), os.Getenv("HTTPS_PROXY"), os.Getenv("http_proxy"), os.Getenv("https_proxy"),
	} {
		if proxy != "" {
			named = append(named, proxy)
		}
	}
	return named
}

// base are the settings as aws-sdk-go-base takes them.
func (s Settings) base(region string) (awsbase.Config, error) {
	c := awsbase.Config{
		CallerName:             "terraform-provider-ec2",
		CallerDocumentationURL: "https://registry.terraform.io/providers/ec2-import-snapshot/ec2",
		UserAgent:              awsbase.UserAgentProducts{{Name: "terraform-provider-ec2", Version: s.Version}},

		Region:                 region,
		Profile:                s.Profile,
		AccessKey:              s.AccessKey,
		SecretKey:              s.SecretKey,
		Token:                  s.Token,
		SharedConfigFiles:      s.SharedConfigFiles,
		SharedCredentialsFiles: s.SharedCredentialsFiles,
		AllowedAccountIds:      s.AllowedAccountIDs,
		ForbiddenAccountIds:    s.ForbiddenAccountIDs,

		StsEndpoint:          first(s.Endpoints.STS, stsOfEnvironment()),
		IamEndpoint:          s.Endpoints.IAM,
		UseFIPSEndpoint:      s.UseFIPSEndpoint,
		UseDualStackEndpoint: s.UseDualStackEndpoint,

		HTTPProxy:      s.HTTPProxy,
		HTTPSProxy:     s.HTTPSProxy,
		HTTPProxyMode:  awsbase.HTTPProxyModeLegacy, // as hashicorp/aws: http_proxy alone serves https too
		NoProxy:        s.NoProxy,
		CustomCABundle: s.CustomCABundle,
		Insecure:       s.Insecure,

		SkipCredsValidation:     s.SkipCredentialsValidation,
		SkipRequestingAccountId: s.SkipRequestingAccountID,
	}
	var err error
	if c.MaxRetries, c.RetryMode, err = s.retries(); err != nil {
		return c, err
	}
	if skip := s.SkipMetadataAPICheck; skip != nil {
		c.EC2MetadataServiceEnableState = imds.ClientEnabled
		if *skip {
			c.EC2MetadataServiceEnableState = imds.ClientDisabled
		}
	}
	for _, role := range s.AssumeRole {
		c.AssumeRole = append(c.AssumeRole, awsbase.AssumeRole(role))
	}
	if s.AssumeRoleWithWebIdentity != nil {
		role := awsbase.AssumeRoleWithWebIdentity(*s.AssumeRoleWithWebIdentity)
		c.AssumeRoleWithWebIdentity = &role
	}
	return c, nil
}

// stsOfEnvironment is the endpoint that the variables name for STS. The SDK looks at them for its clients, but not while it looks for credentials: a role
// that a token in the environment opens would be asked for at AWS, wherever everything else goes.
func stsOfEnvironment() string {
	if strings.EqualFold(os.Getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), "true") {
		return ""
	}
	return first(os.Getenv("AWS_ENDPOINT_URL_STS"), os.Getenv("AWS_ENDPOINT_URL"))
}

// retries are the number of attempts and the mode; 0 and "" leave them to the environment and the shared files.
func (s Settings) retries() (attempts int, mode aws.RetryMode, err error) {
	switch {
	case s.MaxRetries != nil && *s.MaxRetries < 0:
		return 0, "", fmt.Errorf("max_retries is %d: it cannot be negative", *s.MaxRetries)
	case s.MaxRetries != nil:
		attempts = int(*s.MaxRetries) + 1
	case os.Getenv("AWS_MAX_ATTEMPTS") == "":
		attempts = defaultAttempts
	}
	if s.RetryMode != "" {
		if mode, err = aws.ParseRetryMode(s.RetryMode); err != nil {
			return 0, "", fmt.Errorf("retry_mode is %q: it can be standard or adaptive", s.RetryMode)
		}
	}
	return attempts, mode, nil
}

func orEnvironment(files []string, variable string) []string {
	if file := os.Getenv(variable); len(files) == 0 && file != "" {
		return []string{file}
	}
	return files
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
