package provider_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// notImplemented are the answers of emulators to calls that they do not have.
var notImplemented = map[string]acctest.Hook{
	"moto": func(*acctest.Request, func() *acctest.Answer) *acctest.Answer {
		return &acctest.Answer{Status: 500, Header: http.Header{"Content-Type": {"text/html; charset=utf-8"}, "Server": {"Werkzeug/3.1.3 Python/3.13.5"}}, Body: "<!doctype html>\n<html lang=en>\n" +
			"<title>500 Internal Server Error</title>\n<h1>Internal Server Error</h1>\n<p>The server encountered an internal error and was unable to complete your request.</p>\n"}
	},
	"LocalStack":         acctest.Refuse(501, "InternalFailure", "The import_snapshot action has not been implemented"),
	"LocalStack unknown": acctest.Refuse(500, "InternalError", "exception while calling ec2 with unknown operation: Operation X could not be found for service ServiceModel(ec2)."),
	"floci":              acctest.Refuse(400, "UnsupportedOperation", "Operation X is not supported."),
	"ministack":          acctest.Refuse(400, "InvalidAction", "Unknown EC2 action: X"),
}

// TestNotImplementedEndsSoon: a call that an emulator does not have ends in one diagnostic, within seconds, with the provider's own number of retries.
func TestNotImplementedEndsSoon(t *testing.T) {
	const soon = 40 * time.Second // the SDK's two waits, on a busy machine
	for emulator, hook := range notImplemented {
		for action, fails := range map[string]func(t *testing.T, e *acctest.EC2, c *acctest.Core) acctest.Diagnostics{
			"ImportSnapshot": func(_ *testing.T, _ *acctest.EC2, c *acctest.Core) acctest.Diagnostics {
				_, d := c.Create(with())
				return d
			},
			"ImportSnapshot, dry": func(_ *testing.T, _ *acctest.EC2, c *acctest.Core) acctest.Diagnostics {
				_, d := c.Plan(nil, with("dry_run", true))
				return d
			},
			"CreateTags": func(_ *testing.T, _ *acctest.EC2, c *acctest.Core) acctest.Diagnostics {
				_, d := c.Create(with("tags", tags("a", "b")))
				return d
			},
			"ModifySnapshotTier": func(_ *testing.T, _ *acctest.EC2, c *acctest.Core) acctest.Diagnostics {
				_, d := c.Create(with("storage_tier", "archive"))
				return d
			},
			"DescribeSnapshots": func(t *testing.T, e *acctest.EC2, c *acctest.Core) acctest.Diagnostics {
				e.Calm("DescribeSnapshots")
				o, d := c.Create(with())
				if len(d) > 0 {
					t.Fatal(d)
				}
				e.On("DescribeSnapshots", hook)
				_, d = c.Read(o)
				return d
			},
			"DeleteSnapshot": func(t *testing.T, _ *acctest.EC2, c *acctest.Core) acctest.Diagnostics {
				o, d := c.Create(with())
				if len(d) > 0 {
					t.Fatal(d)
				}
				return c.Destroy(o)
			},
			"CancelImportTask": func(t *testing.T, e *acctest.EC2, c *acctest.Core) acctest.Diagnostics {
				return c.Destroy(interrupted(t, e, with()))
			},
		} {
			t.Run(emulator+" "+action, func(t *testing.T) {
				t.Parallel()
				e := newEC2(t)
				if action == "CancelImportTask" {
					e = slow(t, time.Hour)
				}
				name, _, _ := strings.Cut(action, ",")
				c := acctest.NewCore(t, e.Config())
				e.On(name, hook)
				began := time.Now()
				d := fails(t, e, c)
				if took := time.Since(began); took > soon {
					t.Errorf("it took %s", took)
				}
				if len(d) != 1 || !strings.Contains(d[0].Detail, "Cause: ") || !strings.Contains(d[0].Detail, "EC2 endpoint") {
					t.Errorf("said\n%s", d)
				}
				tries := 0
				for _, r := range e.Requests(name) {
					if !r.Answer.OK() {
						tries++
					}
				}
				most := 3
				if emulator == "moto" && (name == "ImportSnapshot" || name == "CancelImportTask") {
					most = 8 // behind its pages something may have begun, so they are asked again for four seconds
				}
				if tries == 0 || tries > most {
					t.Errorf("%s was called %d times", name, tries)
				}
			})
		}
	}
}

// TestDummyCredentials: keys of emulators that would meet AWS itself are a warning of the provider, at plan and without a call.
func TestDummyCredentials(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config map[string]any
		warns  bool
	}{
		"AWS":               {map[string]any{"region": here, "access_key": "test", "secret_key": "test"}, true},
		"AWS's endpoint":    {map[string]any{"region": here, "access_key": "mock_access_key", "secret_key": "x", "endpoints": []any{map[string]any{"ec2": "https://ec2.us-east-1.amazonaws.com"}}}, true},
		"an emulator":       {map[string]any{"region": here, "access_key": "test", "secret_key": "test", "endpoints": []any{map[string]any{"ec2": "http://127.0.0.1:4566"}}}, false},
		"local":             {map[string]any{"access_key": "test", "secret_key": "test", "local": map[string]any{}}, false},
		"keys of AWS":       {map[string]any{"region": here, "access_key": "AKIAQWERTYUIOP234567", "secret_key": "x"}, false},
		"not known yet":     {map[string]any{"region": here, "access_key": "test", "secret_key": acctest.Unknown}, false},
		"endpoint to be":    {map[string]any{"region": here, "access_key": "test", "secret_key": "x", "endpoints": []any{map[string]any{"ec2": acctest.Unknown}}}, false},
		"nothing to go by":  {map[string]any{"region": here}, false},
		"keys of a profile": {map[string]any{"region": here, "profile": "absent"}, false},
	} {
		d := acctest.StartCore(t).Configure(test.config)
		if d.HasError() || (len(d) > 0) != test.warns || len(d) > 1 {
			t.Errorf("%s: said %v", name, d)
		}
		if test.warns && len(lacks(d.String(), "no endpoint other than AWS's is set", "endpoints { ec2 =", "AWS_ENDPOINT_URL_EC2", "local = {}")) > 0 {
			t.Errorf("%s: no way out in\n%s", name, d)
		}
	}
}
