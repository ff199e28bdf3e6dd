package importtask

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

func notDialled() error {
	return &smithyhttp.RequestSendError{Err: &net.OpError{Op: "dial", Err: errors.New("connection refused")}}
}

func noHost() error {
	return &smithyhttp.RequestSendError{Err: &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}}
}

// P12: once EC2 may have begun the import, its task is got by all means, and where it is not the user learns that there may be one.
func TestStartBehindALoss(t *testing.T) {
	unavailable := answer(503, "Unavailable", "x")
	quota := answer(400, "ResourceCountLimitExceeded", "too many")
	forbidden := answer(403, "UnauthorizedOperation", "no")
	mismatch := answer(400, "IdempotentParameterMismatch", "x")
	type call struct {
		err      error
		accepted bool // before it fails
	}
	for name, tc := range map[string]struct {
		answer func(n int, since time.Duration, marked bool) call
		says   []string // the error; none: it starts
		cause  string
	}{
		"a 503, the queue for 36 minutes, and a lost answer": {answer: func(n int, since time.Duration, _ bool) call {
			switch {
			case n == 1:
				return call{err: unavailable}
			case since < 36*time.Minute:
				return call{err: quota}
			case since < 37*time.Minute+30*time.Second:
				return call{dropped(), true}
			}
			return call{}
		}},
		"single drops, far apart": {answer: func(n int, since time.Duration, _ bool) call {
			switch {
			case since > time.Hour:
				return call{}
			case n%7 == 0:
				return call{err: dropped()}
			}
			return call{err: quota}
		}},
		"then refused for eight seconds": {answer: func(n int, since time.Duration, _ bool) call {
			switch {
			case n == 1:
				return call{dropped(), true}
			case since < 8*time.Second:
				return call{err: notDialled()}
			}
			return call{}
		}},
		"then no such host for a moment": {answer: func(n int, _ time.Duration, _ bool) call {
			return []call{{dropped(), true}, {err: noHost()}, {err: noHost()}, {}}[n-1]
		}},
		"then a page, and unnamed answers": {answer: func(n int, since time.Duration, _ bool) call {
			switch {
			case n == 1:
				return call{dropped(), true}
			case since < 30*time.Second:
				return call{err: []error{errUnnamed, answer(500, "UnknownError", "x"), answer(403, "UnknownError", "x")}[n%3]}
			}
			return call{}
		}},
		"a page in its place, then refused": {answer: func(n int, since time.Duration, _ bool) call {
			switch {
			case n == 1:
				return call{answer(500, "UnknownError", "x"), true}
			case since < 8*time.Second:
				return call{err: notDialled()}
			}
			return call{}
		}},
		"then refused for good": {
			answer: func(n int, _ time.Duration, _ bool) call {
				if n == 1 {
					return call{dropped(), true}
				}
				return call{err: notDialled()}
			},
			says: []string{"refused", "an import may have begun"}, cause: "not known whether EC2 acted",
		},
		"then the caller is unknown, or the session over, for a moment": {answer: func(n int, _ time.Duration, _ bool) call {
			return []call{{dropped(), true}, {err: answer(401, "AuthFailure", "no")}, {err: answer(400, "RequestExpired", "over")}, {}}[n-1]
		}},
		"then the session ends": {
			answer: func(n int, _ time.Duration, _ bool) call {
				if n == 1 {
					return call{dropped(), true}
				}
				return call{err: answer(400, "ExpiredToken", "over")}
			},
			says: []string{"ExpiredToken", "an import may have begun"}, cause: "session of the credentials",
		},
		"P16 then the marker is refused, and the token was used with it": {answer: func(n int, _ time.Duration, marked bool) call {
			switch {
			case n == 1:
				return call{dropped(), true}
			case n == 2:
				return call{err: forbidden}
			case !marked:
				return call{err: mismatch}
			}
			return call{}
		}},
		"P16 then the marker is refused again and again": {
			answer: func(n int, _ time.Duration, marked bool) call {
				switch {
				case n == 1:
					return call{dropped(), true}
				case marked:
					return call{err: forbidden}
				}
				return call{err: mismatch}
			},
			says: []string{"UnauthorizedOperation", "an import may have begun"}, cause: "policies do not allow",
		},
		"P16 nothing was begun, and the marker is refused": {answer: func(n int, _ time.Duration, marked bool) call {
			switch {
			case n == 1:
				return call{err: dropped()}
			case marked:
				return call{err: forbidden}
			}
			return call{}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var lost error
				api := &fake{lose: func(int) error { return lost }}
				api.onImport = func(n int, in *ec2.ImportSnapshotInput) error {
					c := tc.answer(n, time.Since(began), strings.Contains(keys(in), MarkerTag))
					lost = c.err
					if c.accepted {
						return nil
					}
					return c.err
				}
				task, err := New(api).Start(within(t, 3*time.Hour), request())
				if len(tc.says) == 0 {
					if err != nil || task.ID == "" || len(api.tasks) != 1 {
						t.Errorf("got %q, %v; EC2 has %d tasks", task.ID, err, len(api.tasks))
					}
					return
				}
				if err == nil {
					t.Fatal("it started")
				}
				for _, part := range tc.says {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%q does not say %q", err, part)
					}
				}
				if e, _ := ExplainCall(err); !strings.Contains(e.Cause, tc.cause) {
					t.Errorf("explained by %q", e.Cause)
				}
			})
		})
	}
}

// P6: an interrupt behind a page that may stand before an accepted import asks once more, and one behind a refusal says what was refused.
func TestStartInterruptedBehindAnAnswer(t *testing.T) {
	stop := errors.New("stop")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		api := &fake{lose: func(n int) error {
			if n > 1 {
				return nil
			}
			cancel(stop)
			return answer(500, "UnknownError", "x")
		}}
		if task, err := New(api).Start(ctx, request()); err != nil || task.ID == "" {
			t.Errorf("the id of an accepted task is lost: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		api := &fake{onImport: func(int, *ec2.ImportSnapshotInput) error {
			cancel(stop)
			return answer(403, "UnauthorizedOperation", "no tags here")
		}}
		if _, err := New(api).Start(ctx, request()); !errors.Is(err, stop) || !strings.Contains(err.Error(), "no tags here") {
			t.Errorf("got %v", err)
		}
	})
}

// P23: pages, and refusals with other troubles between them, end no wait of hours where EC2 has answered before.
func TestWaitThroughPages(t *testing.T) {
	refused := answer(401, "AuthFailure", "no")
	for name, fails := range map[string]func(n int, since time.Duration) error{
		"a proxy's pages for five minutes": func(n int, since time.Duration) error {
			if n > 1 && since < 5*time.Minute {
				return answer(500, "UnknownError", "x")
			}
			return nil
		},
		"refused once, throttled, refused once": func(n int, since time.Duration) error {
			switch {
			case n == 2 || n == 12:
				return refused
			case n > 1 && n < 12:
				return answer(503, "RequestLimitExceeded", "slow")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				api := &fake{
					onDescribe: func(n int, _ []string) error { return fails(n, time.Since(began)) },
					status: func(string, int) *ec2types.SnapshotTaskDetail {
						if time.Since(began) < 30*time.Minute {
							return detail("active", "")
						}
						return completed("snap-1")
					},
				}
				if _, err := New(api).Wait(within(t, time.Hour), "import-snap-1", nil); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// P13: a task that fails while its answer is lost is this import, not an earlier one that the token was used for.
func TestStartFailsBehindALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fake{onImport: failing(1, dropped()), answers: &ec2.ImportSnapshotOutput{
			ImportTaskId: aws.String("import-snap-1"), SnapshotTaskDetail: detail("deleted", "ClientError: Footers not identical"),
		}}
		if task, err := New(api).Start(t.Context(), request()); err != nil || task.Outcome() != Failed {
			t.Errorf("got %+v, %v", task, err)
		}
	})
}
