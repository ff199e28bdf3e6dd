package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/awsclient"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
)

// The same as with `local` in the provider block, so that both find each other's snapshots.
const (
	defaultDataDir   = ".ec2-local"
	defaultAccountID = "000000000000"
	s3Region         = "us-east-1" // emulators take any
)

// config turns the flags into what the endpoint needs to know.
func (c *serveCommand) config(log hclog.Logger) (localec2.Config, error) {
	config := localec2.Config{DataDir: cmp.Or(os.Getenv("EC2_LOCAL_DATA_DIR"), defaultDataDir), AccountID: defaultAccountID, Strict: c.Strict, Log: log}
	if c.DataDir != nil {
		config.DataDir = *c.DataDir
	}
	if config.DataDir == "" { // a variable of a script that is not set must not lead to another directory's snapshots
		return config, usageError{errors.New("--data-dir is empty: name a directory")}
	}
	var err error
	if config.Images, err = c.images(); err != nil {
		return config, err
	}
	config.Simulate, err = simulation(c.Simulate)
	return config, err
}

// images is where the disk images come from.
func (c *serveCommand) images() (*imagesource.Opener, error) {
	buckets, err := pairs("--bucket", "NAME=DIR", c.Bucket)
	if err != nil {
		return nil, err
	}
	for name, dir := range buckets {
		if info, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("--bucket %s: the directory of the bucket: %w; make it first", name, err)
		} else if err == nil && !info.IsDir() {
			return nil, fmt.Errorf("--bucket %s: %s is no directory", name, dir)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, fmt.Errorf("--bucket %s: the directory of the bucket: %w", name, err)
		}
		_ = root.Close()
	}
	// An S3 that is not there is said at once: who called waits for the answer, and tries again by itself.
	retries := int64(2)
	settings := awsclient.Settings{Endpoints: awsclient.Endpoints{S3: c.S3Endpoint}, MaxRetries: &retries}
	opener := &imagesource.Opener{Buckets: buckets, HTTPS: c.AllowHTTPS}
	if c.AllowHTTPS {
		if opener.Transport, err = settings.Transport(); err != nil {
			return nil, fmt.Errorf("--allow-https: %w", err)
		}
	}
	if c.S3Endpoint == "" {
		return opener, nil
	}
	if u, err := url.Parse(c.S3Endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usageError{fmt.Errorf("--s3-endpoint %q: expected a URL like http://127.0.0.1:4566", c.S3Endpoint)}
	}
	client, err := awsclient.NewLocal(nil, settings, s3Region, defaultAccountID)
	if err != nil {
		return nil, fmt.Errorf("--s3-endpoint: %w", err)
	}
	opener.S3 = client.BucketClient
	return opener, nil
}

func simulation(flags []string) (localec2.Simulate, error) {
	var s localec2.Simulate
	values, err := pairs("--simulate", "KEY=VALUE", flags)
	if err != nil {
		return s, err
	}
	for key, value := range values {
		switch key {
		case "task_duration":
			if s.TaskDuration, err = time.ParseDuration(value); err == nil && s.TaskDuration < 0 {
				err = fmt.Errorf("%s is negative", value)
			}
		case "fail_with":
			s.FailWith = value
		case "encryption_by_default":
			if s.EncryptionByDefault, err = strconv.ParseBool(value); err != nil {
				err = fmt.Errorf("%q is neither true nor false", value)
			}
		default:
			err = errors.New("there are only task_duration, fail_with and encryption_by_default")
		}
		if err != nil {
			return s, usageError{fmt.Errorf("--simulate %s: %w", key, err)}
		}
	}
	return s, nil
}

// pairs reads the values of a flag that is repeated, each of a form like NAME=DIR.
func pairs(flag, form string, values []string) (map[string]string, error) {
	read := map[string]string{}
	for _, v := range values {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" || value == "" {
			return nil, usageError{fmt.Errorf("%s %q: expected %s", flag, v, form)}
		}
		if _, twice := read[name]; twice {
			return nil, usageError{fmt.Errorf("%s %s is given twice", flag, name)}
		}
		read[name] = value
	}
	return read, nil
}
