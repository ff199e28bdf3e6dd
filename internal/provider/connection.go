package provider

import (
	"context"
	"fmt"
	"sync"
	"time"

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
	byRegion map[string]*dialling
	tokens   map[string]tokenUse // by Region and client token
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

	// noBuckets is that something stands for EC2 alone, whose buckets cannot be looked at from here.
	noBuckets bool

	// late are the stores of images that have not answered a look in time, and when.
	late sync.Map

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

// tokenUse is who has a client token: a resource in the state, an import that is planned. With both, the import would share its token with one that
// it replaces, for a reason that the plan of the provider does not see (taint, -replace, replace_triggered_by), or with a twin. Terraform plans two
// resources in any order, so each of them looks for the other (P13). What is tainted and not read (-refresh=false) is not seen to be in the state.
type tokenUse struct{ inState, planned bool }

func (u tokenUse) both() bool { return u.inState && u.planned }

// useToken changes who has the client token of m, and says who has it then.
func (d *providerData) useToken(m *importSnapshotModel, change func(*tokenUse)) tokenUse {
	if m.ClientToken.ValueString() == "" {
		return tokenUse{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tokens == nil {
		d.tokens = map[string]tokenUse{}
	}
	key := m.Region.ValueString() + " " + m.ClientToken.ValueString()
	use := d.tokens[key]
	change(&use)
	d.tokens[key] = use
	return use
}

// connect is the connection to a Region, made at its first use and shared by all resources, so that their polls are shared too (P23). Making one may
// take a call of STS: it is bounded, made once for all who wait, and a waiter leaves when its own time is over.
func (d *providerData) connect(ctx context.Context, region string) (*connection, error) {
	d.mu.Lock()
	dialled, ok := d.byRegion[region]
	if !ok {
		dialled = &dialling{done: make(chan struct{})}
		if d.byRegion == nil {
			d.byRegion = map[string]*dialling{}
		}
		d.byRegion[region] = dialled
		go func() {
			bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), dialFor)
			defer cancel()
			dialled.connection, dialled.err = d.dial(bounded, region)
			if dialled.err != nil { // what failed is tried again by who comes next
				d.mu.Lock()
				delete(d.byRegion, region)
				d.mu.Unlock()
			}
			close(dialled.done)
		}()
	}
	d.mu.Unlock()
	select {
	case <-dialled.done:
		return dialled.connection, dialled.err
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the credentials of %s to be looked up: %w", region, context.Cause(ctx))
	}
}

// dialling is a connection that is being made, or is made.
type dialling struct {
	done       chan struct{}
	connection *connection
	err        error
}

// dialFor bounds the look-up of credentials and account, with its retries.
const dialFor = 5 * time.Minute

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
	transport, err := d.settings.Transport()
	if err != nil {
		return nil, err
	}
	images := &imagesource.Opener{HTTPS: true, AllowPrivate: true, S3: client.BucketClient, Transport: transport}
	return &connection{Client: client, Tasks: importer(client), images: images, strict: true, noBuckets: client.S3 == nil}, nil
}

func importer(client *awsclient.Client) *importtask.Importer {
	i := importtask.New(client.EC2)
	i.Log = logInfo
	return i
}
