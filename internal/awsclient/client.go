// Package awsclient makes the clients of the AWS services: for AWS itself, or an emulator in its place, with everything that hashicorp/aws
// offers in its provider block, and for the endpoint in this process, with no credentials and no network.
package awsclient

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"
	awsbase "github.com/hashicorp/aws-sdk-go-base/v2"
	"github.com/hashicorp/aws-sdk-go-base/v2/diag"
	"github.com/hashicorp/aws-sdk-go-base/v2/endpoints"
	"github.com/hashicorp/aws-sdk-go-base/v2/logging"
	"github.com/hashicorp/aws-sdk-go-base/v2/validation"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/awshost"
)

// Client is AWS, or what stands for it, in one Region.
type Client struct {
	EC2 *ec2.Client
	S3  *s3.Client  // nil where there is no S3, or none that goes with EC2
	KMS *kms.Client // nil for the endpoint in this process, or where none goes with EC2
	IAM *iam.Client // nil as KMS is

	Region    string
	Partition string
	AccountID string // empty where the settings say not to ask for it
}

// New finds credentials, makes sure that they may be used, and makes the clients. It talks to STS unless the settings say not to, so it is for
// the first use and not for the configuration of a provider. With region "" the metadata service may name one.
func New(ctx context.Context, s Settings, region string) (*Client, error) {
	return connect(ctx, s, region, logging.TfLogger("")) // the log of Terraform, by way of the context
}

func connect(ctx context.Context, s Settings, region string, log logging.Logger) (*Client, error) {
	if region != "" && !s.SkipRegionValidation {
		if err := validation.SupportedRegion(region); err != nil {
			return nil, fmt.Errorf("%w: correct region, or set skip_region_validation if it is newer than this provider", err)
		}
	}
	c, err := s.base(region)
	if err != nil {
		return nil, err
	}
	logger := newLogger(s, log)
	c.Logger = logger
	forgetMissingBundle(ctx, logger)

	// GetAwsConfig would validate the credentials by the same call that tells the account below.
	c.SkipCredsValidation = true
	ctx, cfg, diags := awsbase.GetAwsConfig(ctx, &c)
	if err := failure(ctx, logger, diags); err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		return nil, errors.New("no Region: set region in the provider block, AWS_REGION, or region in the profile of the shared configuration file")
	}
	cfg.APIOptions = append(cfg.APIOptions, registerLogger(logger), maskErrors(logger))

	c.SkipCredsValidation = s.SkipCredentialsValidation
	client := &Client{Region: cfg.Region}
	if s.SkipCredentialsValidation && s.SkipRequestingAccountID {
		client.Partition = partitionOf(cfg.Region)
	} else {
		var diags diag.Diagnostics
		client.AccountID, client.Partition, diags = awsbase.GetAwsAccountIDAndPartition(ctx, cfg, &c)
		if err := failure(ctx, logger, diags); err != nil {
			return nil, err
		}
	}
	if err := s.checkAccount(&c, client.AccountID); err != nil {
		return nil, err
	}

	s.addServices(client, cfg, logger)
	return client, nil
}

// addServices makes the clients of the services. Where something stands for EC2 alone, AWS's other services do not go with it: buckets, keys and
// roles of the same names are somebody else's.
func (s Settings) addServices(client *Client, cfg aws.Config, logger logger) {
	client.KMS = kms.NewFromConfig(cfg, func(o *kms.Options) {
		custom(&o.BaseEndpoint, s.Endpoints.KMS, &o.EndpointOptions.UseFIPSEndpoint, &o.EndpointOptions.UseDualStackEndpoint)
	})
	client.IAM = iam.NewFromConfig(cfg, func(o *iam.Options) {
		custom(&o.BaseEndpoint, s.Endpoints.IAM, &o.EndpointOptions.UseFIPSEndpoint, &o.EndpointOptions.UseDualStackEndpoint)
	})
	client.S3 = s3.NewFromConfig(cfg, func(o *s3.Options) {
		// Few servers that stand for S3 know the host names of buckets.
		o.UsePathStyle = custom(&o.BaseEndpoint, s.Endpoints.S3, &o.EndpointOptions.UseFIPSEndpoint, &o.EndpointOptions.UseDualStackEndpoint) ||
			s.S3UsePathStyle
	})
	stsClient := sts.NewFromConfig(cfg, func(o *sts.Options) {
		custom(&o.BaseEndpoint, s.Endpoints.STS, &o.EndpointOptions.UseFIPSEndpoint, &o.EndpointOptions.UseDualStackEndpoint)
	})
	client.EC2 = ec2.NewFromConfig(cfg, func(o *ec2.Options) {
		custom(&o.BaseEndpoint, s.Endpoints.EC2, &o.EndpointOptions.UseFIPSEndpoint, &o.EndpointOptions.UseDualStackEndpoint)
		o.APIOptions = append(o.APIOptions, keepLastError)
		elsewhere := o.BaseEndpoint != nil && !ofAWS(*o.BaseEndpoint)
		if retryer, ok := o.Retryer.(aws.RetryerV2); ok && elsewhere && s.NotOffered != nil {
			o.Retryer = &impatient{RetryerV2: retryer, notOffered: s.NotOffered}
		}
		if !elsewhere || stsClient.Options().BaseEndpoint != nil {
			o.APIOptions = append(o.APIOptions, decodeRefusals(stsClient, logger))
		}
	})
	if ec2 := client.EC2.Options().BaseEndpoint; ec2 == nil || ofAWS(*ec2) {
		return
	}
	if client.S3.Options().BaseEndpoint == nil {
		client.S3 = nil
	}
	if client.KMS.Options().BaseEndpoint == nil {
		client.KMS = nil
	}
	if client.IAM.Options().BaseEndpoint == nil {
		client.IAM = nil
	}
}

// ofAWS tells the endpoints of AWS itself, such as those in a VPC, by their names.
func ofAWS(endpoint string) bool {
	u, err := url.Parse(endpoint)
	return err == nil && awshost.Is(u.Hostname())
}

// BucketClient is the client for a bucket, in the form in which imagesource asks for it; nil where there is no S3.
func (c *Client) BucketClient(context.Context, string) (*s3.Client, error) { return c.S3, nil }

// custom puts a configured endpoint in the place of what the environment says, and tells whether there is either. The SDK refuses FIPS and
// dual-stack beside a URL, which is what it is, so they apply to the services without one.
func custom(endpoint **string, configured string, fips *aws.FIPSEndpointState, dualStack *aws.DualStackEndpointState) bool {
	if configured != "" {
		*endpoint = &configured
	}
	if *endpoint == nil {
		return false
	}
	*fips, *dualStack = aws.FIPSEndpointStateDisabled, aws.DualStackEndpointStateDisabled
	return true
}

func (s Settings) checkAccount(c *awsbase.Config, accountID string) error {
	if len(s.AllowedAccountIDs) == 0 && len(s.ForbiddenAccountIDs) == 0 {
		return nil
	}
	if accountID == "" {
		return errors.New("allowed_account_ids and forbidden_account_ids cannot be checked, because the account is not asked for: " +
			"unset skip_requesting_account_id or skip_credentials_validation")
	}
	if err := c.VerifyAccountIDAllowed(accountID); err != nil {
		return fmt.Errorf("%w: %w", err, ErrAccountNotAllowed)
	}
	return nil
}

// ErrAccountNotAllowed says that the account is the wrong one.
var ErrAccountNotAllowed = errors.New("the credentials belong to an account that allowed_account_ids or forbidden_account_ids rules out")

func partitionOf(region string) string {
	partition, _ := endpoints.PartitionForRegion(endpoints.DefaultPartitions(), region)
	return first(partition.ID(), "aws")
}

// failure makes one error of all diagnostics that are errors, and logs the others.
func failure(ctx context.Context, logger logger, diags diag.Diagnostics) error {
	for _, d := range diags.Warnings() {
		logger.Warn(ctx, d.Summary()+": "+d.Detail())
	}
	var failed failedError
	for _, d := range diags.Errors() {
		text := d.Summary()
		if d.Detail() != "" {
			text += ": " + d.Detail()
		}
		failed.texts = append(failed.texts, logger.redact(strings.TrimSpace(text)))
		if with, ok := d.(diag.DiagnosticWithErr); ok {
			failed.causes = append(failed.causes, with.Err())
		}
	}
	if failed.texts == nil {
		return nil
	}
	return &failed
}

// failedError keeps the causes for errors.As, and shows the texts without secrets.
type failedError struct {
	texts  []string
	causes []error
}

func (e *failedError) Error() string   { return strings.Join(e.texts, "\n\n") }
func (e *failedError) Unwrap() []error { return e.causes }

// registerLogger gives the logger to every call of the clients, whose contexts do not have it.
func registerLogger(l logger) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("ec2RegisterLogger",
			func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
				middleware.InitializeOutput, middleware.Metadata, error) {
				return next.HandleInitialize(logging.RegisterLogger(ctx, l), in)
			}), middleware.Before)
	}
}
