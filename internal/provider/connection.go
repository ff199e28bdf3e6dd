package provider

import (
	"context"
	"fmt"
	"sync"

	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/awsclient"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/importtask"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
)

// providerData is the provider block as resources use it.
type providerData struct {
	// known is false while the configuration has unknown values: then nothing that needs a client runs.
	known    bool
	settings awsclient.Settings
	tags     tagPolicy
	local    *localBackend // nil: AWS

	mu       sync.Mutex
	byRegion map[string]*connection
}

// localBackend is the endpoint in this process, where the provider block has local.
type localBackend struct {
	endpoint  *localec2.Endpoint
	images    *imagesource.Opener
	accountID string
	strict    bool
}

// connection is EC2 in one Region, and what an import needs beside it.
type connection struct {
	*awsclient.Client
	Tasks  *importtask.Importer
	images *imagesource.Opener

	// strict is whether what VM Import refuses would be refused here.
	strict bool

	// volume is the one look-up that no wire member carries; nil on AWS.
	volume func(ctx context.Context, snapshotID string) (localec2.Volume, error)

	// resume lets the unfinished imports of a local backend go on, which a plan must not do; nil on AWS.
	resume func(ctx context.Context) error
}

// defaultRegion is the Region of resources that name none.
func (d *providerData) defaultRegion(ctx context.Context) (string, error) {
	if d.local != nil && d.settings.Region == "" {
		return "us-east-1", nil
	}
	region, err := d.settings.ResolveRegion(ctx)
	if err != nil {
		return "", err
	}
	if region == "" {
		return "", fmt.Errorf("neither the resource nor the provider block has a region, and none is in AWS_REGION, AWS_DEFAULT_REGION or the shared configuration: set one of them")
	}
	return region, nil
}

// connect is the connection to a Region, made at its first use and shared by all resources, so that their polls are shared too (P23).
func (d *providerData) connect(ctx context.Context, region string) (*connection, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, ok := d.byRegion[region]; ok {
		return c, nil
	}
	c, err := d.dial(context.WithoutCancel(ctx), region)
	if err != nil {
		return nil, err
	}
	if d.byRegion == nil {
		d.byRegion = map[string]*connection{}
	}
	d.byRegion[region] = c
	return c, nil
}

func (d *providerData) dial(ctx context.Context, region string) (*connection, error) {
	if d.local != nil {
		client, err := awsclient.NewLocal(d.local.endpoint.Transport(), d.settings, region, d.local.accountID)
		if err != nil {
			return nil, err
		}
		return &connection{
			Client: client, Tasks: importer(client), images: d.local.images, strict: d.local.strict,
			volume: d.local.endpoint.Volume, resume: d.local.endpoint.Resume,
		}, nil
	}
	client, err := awsclient.New(ctx, d.settings, region)
	if err != nil {
		return nil, err
	}
	images := &imagesource.Opener{HTTPS: true, AllowPrivate: true, S3: client.BucketClient}
	return &connection{Client: client, Tasks: importer(client), images: images, strict: true}, nil
}

func importer(client *awsclient.Client) *importtask.Importer {
	i := importtask.New(client.EC2)
	i.Log = tflog.Info
	return i
}
