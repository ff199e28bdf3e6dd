package importtask

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// roundTripper serves the real client, so that these tests see the SDK's own errors and retries.
type roundTripper func(n int, form url.Values) (status int, body string, err error)

type server struct {
	serve roundTripper
	mu    sync.Mutex
	forms []url.Values
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.forms = append(s.forms, form)
	n := len(s.forms)
	s.mu.Unlock()
	status, text, err := s.serve(n, form)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"text/xml;charset=UTF-8"}}, Request: r,
		Body: io.NopCloser(bytes.NewReader([]byte(text))),
	}, nil
}

var static = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
})

func client(s *server, options ...func(*ec2.Options)) *ec2.Client {
	return ec2.New(ec2.Options{
		Region: "us-east-1", Credentials: static, HTTPClient: &http.Client{Transport: s},
		// As many tries as the provider's default settings allow.
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = 25 }),
	}, options...)
}

const (
	imported = `<ImportSnapshotResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><importTaskId>import-snap-1</importTaskId>` +
		`<snapshotTaskDetail><status>active</status><statusMessage>pending</statusMessage><diskImageSize>0.0</diskImageSize><snapshotId/>` +
		`<userBucket><s3Bucket/><s3Key/></userBucket></snapshotTaskDetail></ImportSnapshotResponse>`
	page = "<!doctype html>\n<html lang=en><title>500 Internal Server Error</title><br></html>"
)

// elsewhere is an endpoint that is not AWS's.
func elsewhere(o *ec2.Options) { o.BaseEndpoint = aws.String("http://localhost:5000") }

func failure(code, message string) string {
	return `<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>` + code + `</Code><Message>` + message +
		`</Message></Error></Errors><RequestID>id</RequestID></Response>`
}

func TestStartOnTheWire(t *testing.T) {
	for name, tc := range map[string]struct {
		serve   roundTripper
		options []func(*ec2.Options)
		says    string // part of the error; empty: it starts
		explain string // part of the explanation's cause
		most    int    // requests
	}{
		"P12 accepts, then drops the connection": {most: 2, serve: func(n int, _ url.Values) (int, string, error) {
			if n == 1 {
				return 0, "", io.ErrUnexpectedEOF
			}
			return 200, imported, nil
		}},
		"P12 connection drops for longer than the SDK tries": {most: 8, serve: func(n int, _ url.Values) (int, string, error) {
			if n < 8 {
				return 0, "", errors.New("read: connection reset by peer")
			}
			return 200, imported, nil
		}},
		"P12 HTTP 500, then success": {most: 2, serve: func(n int, _ url.Values) (int, string, error) {
			if n == 1 {
				return 500, failure("InternalError", "An internal error has occurred"), nil
			}
			return 200, imported, nil
		}},
		"P12 the answer breaks off": {most: 2, serve: func(n int, _ url.Values) (int, string, error) {
			if n == 1 {
				return 200, imported[:len(imported)-len(imported)*3/4], nil
			}
			return 200, imported, nil
		}},
		"an empty 200 names no task": {most: 8, says: "named no import task", serve: func(int, url.Values) (int, string, error) {
			return 200, "", nil
		}},
		"P12 accepts, then the answer is empty": {most: 3, serve: func(n int, _ url.Values) (int, string, error) {
			if n <= 2 {
				return 200, "", nil
			}
			return 200, imported, nil
		}},
		"LocalStack": {most: 1, says: "501", explain: "no image import at this EC2 endpoint", serve: func(int, url.Values) (int, string, error) {
			return 501, failure("InternalFailure", "The import_snapshot action has not been implemented"), nil
		}},
		"moto": {
			most: 8, says: "500", explain: "no image import at this EC2 endpoint", options: []func(*ec2.Options){elsewhere},
			serve: func(int, url.Values) (int, string, error) { return 500, page, nil },
		},
		"an empty 500": {
			most: 8, says: "500", explain: "no image import at this EC2 endpoint", options: []func(*ec2.Options){elsewhere},
			serve: func(int, url.Values) (int, string, error) { return 500, "", nil },
		},
		"P12 a proxy before AWS stumbles for longer than an emulator is given": {most: 7, serve: func(n int, _ url.Values) (int, string, error) {
			if n < 7 {
				return 500, []string{page, ""}[n%2], nil
			}
			return 200, imported, nil
		}},
		"P12 an emulator stumbles behind other answers": {
			most: 8, options: []func(*ec2.Options){elsewhere}, serve: func(n int, _ url.Values) (int, string, error) {
				switch {
				case n == 1:
					return 503, failure("RequestLimitExceeded", "slow"), nil
				case n < 7:
					return 500, page, nil
				}
				return 200, imported, nil
			},
		},
		"unknown action": {most: 1, says: "InvalidAction", explain: "no image import at this EC2", serve: func(int, url.Values) (int, string, error) {
			return 400, failure("InvalidAction", "The action ImportSnapshot is not valid for this web service."), nil
		}},
		"not EC2 at all": {most: 1, says: "403", explain: "What answered is not EC2", serve: func(int, url.Values) (int, string, error) {
			return 403, "<html>proxy</html>", nil
		}},
		"no credentials": {
			most: 0, says: "no keys", explain: "No usable AWS credentials",
			options: []func(*ec2.Options){func(o *ec2.Options) {
				o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, errors.New("no keys") })
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{serve: tc.serve}
				began := time.Now()
				task, err := New(client(s, tc.options...)).Start(t.Context(), request())
				if tc.says == "" && (err != nil || task.ID != "import-snap-1" || task.SnapshotID() != "" ||
					task.Detail.SnapshotId != nil || task.Detail.UserBucket != nil) {
					t.Errorf("got %+v, %v", task, err)
				}
				if tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
					t.Errorf("error %v does not say %q", err, tc.says)
				}
				if len(s.forms) > tc.most || time.Since(began) > time.Minute {
					t.Errorf("%d requests in %s", len(s.forms), time.Since(began))
				}
				for n, form := range s.forms {
					if form.Get("ClientToken") != "token-1" {
						t.Errorf("request %d has token %q", n+1, form.Get("ClientToken"))
					}
				}
				if tc.explain != "" {
					if e, ok := ExplainCall(err); !ok || !strings.Contains(e.Cause, tc.explain) {
						t.Errorf("%v is explained by %q", err, e.Cause)
					}
				}
			})
		})
	}
}

// A connection that hangs is given up after a while, and asked again with the same token.
func TestStartHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		var hung bool
		c := client(s, func(o *ec2.Options) {
			o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
				if !hung {
					hung = true
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return s.RoundTrip(r)
			})
		})
		s.serve = func(int, url.Values) (int, string, error) { return 200, imported, nil }
		began := time.Now()
		task, err := New(c).Start(t.Context(), request())
		if err != nil || task.ID == "" || time.Since(began) > callLimit+3*time.Second {
			t.Errorf("got %q, %v after %s", task.ID, err, time.Since(began))
		}
	})
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }
