package importtask

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// With one try of the SDK, nothing must be lost that its own layer would have healed, as its lists are now and will be.
func TestRepetitionsHoldWhatTheSDKRepeats(t *testing.T) {
	heal := map[string]error{
		"reset":           dropped(),
		"closed":          &smithyhttp.RequestSendError{Err: errors.New("use of closed network connection")},
		"timeout":         &smithyhttp.RequestSendError{Err: &net.OpError{Op: "read", Err: &timeoutError{}}},
		"refused":         &smithyhttp.RequestSendError{Err: &net.OpError{Op: "dial", Err: errors.New("connection refused")}},
		"DNS for now":     &smithyhttp.RequestSendError{Err: &net.DNSError{Err: "server misbehaving", IsTemporary: true}},
		"URL, refused":    &smithyhttp.RequestSendError{Err: &url.Error{Op: "Post", Err: &net.OpError{Op: "dial", Err: errors.New("connection refused")}}},
		"429":             answer(http.StatusTooManyRequests, "Whatever", "x"),
		"a page of a 500": answer(500, "UnknownError", "x"),
	}
	for code := range retry.DefaultThrottleErrorCodes {
		heal[code] = answer(400, code, "x")
	}
	for code := range retry.DefaultRetryableErrorCodes {
		heal[code] = answer(400, code, "x")
	}
	for status := range retry.DefaultRetryableHTTPStatusCodes {
		heal[fmt.Sprint(status)] = answer(status, "Whatever", "x")
	}
	standard := retry.NewStandard()
	for name, err := range heal {
		if !standard.IsErrorRetryable(err) {
			t.Errorf("%s: not repeated by the SDK, so this shows nothing", name)
		}
		if _, _, final := new(tries).next(err); final != nil {
			t.Errorf("%s is not repeated: %v", name, final)
		}
	}
}

type timeoutError struct{}

func (*timeoutError) Error() string   { return "i/o timeout" }
func (*timeoutError) Timeout() bool   { return true }
func (*timeoutError) Temporary() bool { return true }

// TestOneLayerOfRetries counts the requests that leave the SDK: as many as this package's own table says, and not a multiple of them.
func TestOneLayerOfRetries(t *testing.T) {
	throttle := func(int, url.Values) (int, string, error) { return 503, failure("RequestLimitExceeded", "slow"), nil }
	fails := func(int, url.Values) (int, string, error) { return 500, failure("InternalError", "x"), nil }
	reset := func(int, url.Values) (int, string, error) { return 0, "", errors.New("read: connection reset by peer") }
	refused := func(int, url.Values) (int, string, error) {
		return 0, "", &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	// waits are those of the table, without their jitter.
	for name, tc := range map[string]struct {
		serve       roundTripper
		least, most int // requests in two minutes
		soon        time.Duration
		over        time.Duration
	}{
		// 2 4 8 16 32 60: five or six fit into two minutes, the seventh is behind them.
		"throttle": {throttle, 5, 8, 3 * time.Second, 2 * time.Minute},
		// .25 .5 1 2 4 8 15 15 ...
		"500":     {fails, 12, 18, 400 * time.Millisecond, 2*time.Minute + time.Second},
		"reset":   {reset, 12, 18, 400 * time.Millisecond, 2*time.Minute + time.Second},
		"refused": {refused, 5, 9, 400 * time.Millisecond, 6 * time.Second},
		"page":    {func(int, url.Values) (int, string, error) { return 500, page, nil }, 6, 11, 700 * time.Millisecond, 5300 * time.Millisecond},
	} {
		for call, run := range map[string]func(*testing.T, *Importer) error{
			"start": func(t *testing.T, i *Importer) error {
				_, err := i.Start(within(t, 2*time.Minute), request())
				return err
			},
			"cancel": func(t *testing.T, i *Importer) error {
				_, err := i.Cancel(within(t, 2*time.Minute), "import-snap-1", "")
				return err
			},
		} {
			t.Run(call+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var at []time.Duration
					began := time.Now()
					s := &server{}
					s.serve = func(n int, form url.Values) (int, string, error) {
						if form.Get("Action") == "ImportSnapshot" || form.Get("Action") == "CancelImportTask" {
							at = append(at, time.Since(began))
							return tc.serve(n, form)
						}
						return 403, failure("UnauthorizedOperation", "no look at what cannot be cancelled"), nil
					}
					err := run(t, New(client(s, elsewhere)))
					if err == nil || time.Since(began) > tc.over {
						t.Errorf("ended with %v after %s", err, time.Since(began))
					}
					if len(at) < tc.least || len(at) > tc.most || at[1] > tc.soon {
						t.Errorf("%d requests, at %v", len(at), at)
					}
					t.Logf("%d requests at %v", len(at), at)
				})
			})
		}
	}
}

// TestSlowCallsAreRepeatedToo: calls that take longer than the window are repeated nevertheless, so that a fault of some calls is outlasted.
func TestSlowCallsAreRepeatedToo(t *testing.T) {
	for name, tc := range map[string]struct {
		err   error
		calls int
	}{"page": {answer(500, "UnknownError", "x"), 6}, "500": {answer(500, "InternalError", "x"), 3}, "unnamed": {errUnnamed, 4}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tried tries
				calls := 0
				for final := error(nil); final == nil; calls++ {
					_ = pause(t.Context(), 3*time.Minute)
					_, _, final = tried.next(tc.err)
				}
				if calls != tc.calls {
					t.Errorf("%d calls, want %d", calls, tc.calls)
				}
			})
		})
	}
}

// The clock of the SDK follows that of the answers: one more call heals a wrong one.
func TestStartWithAWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const off = 6 * time.Hour
		s := &server{}
		var signed []string
		c := client(s, func(o *ec2.Options) {
			o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
				signed = append(signed, r.Header.Get("X-Amz-Date"))
				out, err := s.RoundTrip(r)
				if err == nil {
					out.Header.Set("Date", time.Now().UTC().Add(off).Format(http.TimeFormat))
				}
				return out, err
			})
		})
		s.serve = func(n int, _ url.Values) (int, string, error) {
			if signed[n-1] < time.Now().UTC().Add(off/2).Format("20060102T150405Z") {
				return 401, failure("AuthFailure", "AWS was not able to validate the provided access credentials"), nil
			}
			return 200, imported, nil
		}
		began := time.Now()
		task, err := New(c).Start(t.Context(), request())
		if err != nil || task.ID == "" || len(signed) != 2 || time.Since(began) > time.Second {
			t.Errorf("got %q, %v with calls signed at %v, after %s", task.ID, err, signed, time.Since(began))
		}
	})
}

// A poll is one request, whatever answers; the first blip is looked over soon.
func TestPollsOnTheWire(t *testing.T) {
	const running = `<DescribeImportSnapshotTasksResponse><importSnapshotTaskSet><item><importTaskId>import-snap-1</importTaskId><snapshotTaskDetail>` +
		`<status>active</status></snapshotTaskDetail></item></importSnapshotTaskSet></DescribeImportSnapshotTasksResponse>`
	for name, tc := range map[string]struct {
		serve       roundTripper
		least, most int // requests in ten minutes
	}{
		"healthy":   {func(int, url.Values) (int, string, error) { return 200, running, nil }, 38, 48},
		"throttled": {func(int, url.Values) (int, string, error) { return 503, failure("RequestLimitExceeded", "slow"), nil }, 12, 18},
		"failing":   {func(int, url.Values) (int, string, error) { return 500, failure("InternalError", "x"), nil }, 14, 20},
		"dropping":  {func(int, url.Values) (int, string, error) { return 0, "", io.ErrUnexpectedEOF }, 14, 20},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{serve: tc.serve}
				ctx := within(t, 10*time.Minute)
				if _, err := New(client(s)).Wait(ctx, "import-snap-1", nil); err == nil {
					t.Error("it ended well")
				}
				if len(s.forms) < tc.least || len(s.forms) > tc.most {
					t.Errorf("%d requests", len(s.forms))
				}
			})
		})
	}
	t.Run("one 500", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &server{}
			var at []time.Time
			s.serve = func(n int, _ url.Values) (int, string, error) {
				at = append(at, time.Now())
				if n == 30 {
					return 500, failure("InternalError", "x"), nil
				}
				return 200, running, nil
			}
			_, _ = New(client(s)).Wait(within(t, 10*time.Minute), "import-snap-1", nil)
			if gap := at[30].Sub(at[29]); gap > time.Second {
				t.Errorf("looked again after %s", gap)
			}
		})
	})
}

func TestOnceKeepsTheRetryer(t *testing.T) {
	adaptive := retry.NewAdaptiveMode()
	for name, r := range map[string]aws.Retryer{"none": nil, "standard": retry.NewStandard(), "adaptive": adaptive, "old": oldRetryer{}} {
		o := ec2.Options{Retryer: r}
		once(&o)
		if o.Retryer.MaxAttempts() != 1 || o.Retryer.IsErrorRetryable(dropped()) {
			t.Errorf("%s: tries more than once", name)
		}
		if kept, ok := o.Retryer.(single); slices.Contains([]string{"standard", "adaptive"}, name) && (!ok || kept.RetryerV2 != r) {
			t.Errorf("%s is not kept", name)
		}
	}
}

type oldRetryer struct{ aws.NopRetryer }

func (oldRetryer) GetAttemptToken() {} // not the method of a RetryerV2
