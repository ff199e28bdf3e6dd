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
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	roleMissing   = "The service role vmimport provided does not exist or does not have sufficient permissions"
	rightsMissing = `User: arn:aws:sts::123456789012:assumed-role/vmimport/vm_import_image-1 is not authorized to perform: s3:GetObject on resource: ` +
		`"arn:aws:s3:::images/disk.vmdk" because no identity-based policy allows the s3:GetObject action`
	objectMissing = "User does not have access to the S3 object (images/disk.vmdk)"
)

// failing answers the first n calls with err.
func failing(n int, err error) func(int, *ec2.ImportSnapshotInput) error {
	return func(call int, _ *ec2.ImportSnapshotInput) error {
		if call <= n {
			return err
		}
		return nil
	}
}

func TestStart(t *testing.T) {
	always := 1 << 30
	lost := func(n int, err error) func(int) error {
		return func(call int) error {
			if call <= n {
				return err
			}
			return nil
		}
	}
	for name, tc := range map[string]struct {
		api      *fake
		calls    int
		within   time.Duration
		longer   time.Duration
		fails    string // part of the error; empty: it starts
		lastTags string // keys sent in the last call
	}{
		"accepted at once":       {calls: 1, within: 0},
		"P12 dropped response":   {api: &fake{lose: lost(1, dropped())}, calls: 2, within: 2 * time.Second},
		"P12 accepted, then 500": {api: &fake{lose: lost(3, answer(500, "InternalError", "x"))}, calls: 4, within: 10 * time.Second},
		"P12 answers stay lost": {
			api: &fake{lose: lost(always, dropped())}, within: 2*time.Minute + time.Second, longer: 2*time.Minute - time.Second,
			fails: "the answer was lost",
		},
		"P10 no role, three times": {
			api: &fake{onImport: failing(3, answer(400, "InvalidParameter", roleMissing))}, calls: 4, within: 20 * time.Second,
		},
		"P10 role without rights": {
			api: &fake{onImport: failing(3, answer(400, "InvalidParameter", rightsMissing))}, calls: 4, within: 20 * time.Second,
		},
		"P10 no access to the object": {
			api: &fake{onImport: failing(3, answer(400, "InvalidParameter", objectMissing))}, calls: 4, within: 20 * time.Second,
		},
		"P10 no access to an object with brackets": {
			api:   &fake{onImport: failing(3, answer(400, "InvalidParameter", "User does not have access to the S3 object (images/disk (1).vmdk)."))},
			calls: 4, within: 20 * time.Second,
		},
		"P10 an endpoint that says why, in brackets": {
			api:   &fake{onImport: failing(always, answer(400, "InvalidParameter", objectMissing+". (open disk (1).vmdk: permission denied)"))},
			calls: 1, fails: "permission denied",
		},
		"P10 an endpoint that says why": {
			api:   &fake{onImport: failing(always, answer(400, "InvalidParameter", objectMissing+". The bucket \"images\" is not mapped to a directory"))},
			calls: 1, fails: "not mapped",
		},
		"P11 the role never comes": {
			api: &fake{onImport: failing(always, answer(400, "InvalidParameter", roleMissing))}, within: 2*time.Minute + time.Second,
			longer: 2*time.Minute - time.Second, fails: roleMissing,
		},
		"quota outlasts the role's two minutes": {
			api: &fake{onImport: failing(20, answer(400, "ResourceCountLimitExceeded", "too many"))}, calls: 21, within: time.Hour,
			longer: 10 * time.Minute,
		},
		"throttled": {
			api: &fake{onImport: failing(2, answer(503, "RequestLimitExceeded", "slow"))}, calls: 3, within: 10 * time.Second,
		},
		"P20 another Region fails at once": {
			api:   &fake{onImport: failing(always, answer(400, "InvalidParameter", "The given S3 object is not local to the region."))},
			calls: 1, fails: "not local",
		},
		"P11 a bad KMS key fails at once": {
			api:   &fake{onImport: failing(always, answer(400, "InvalidParameterValue", "The specified KMS key is not accessible."))},
			calls: 1, fails: "KMS",
		},
		"LocalStack has no import": {
			api:   &fake{onImport: failing(always, answer(501, "InternalFailure", "The import_snapshot action has not been implemented"))},
			calls: 1, fails: "implemented",
		},
		"moto has no import": {
			api: &fake{onImport: failing(always, answer(500, "UnknownError", "UnknownError"))}, within: 5300 * time.Millisecond, fails: "UnknownError",
		},
		"nothing was sent": {
			api:    &fake{onImport: failing(always, &smithyhttp.RequestSendError{Err: &net.OpError{Op: "dial", Err: errors.New("refused")}})},
			within: 6 * time.Second, fails: "refused",
		},
		"no such host": {
			api: &fake{onImport: failing(always, &smithyhttp.RequestSendError{Err: &net.OpError{
				Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true},
			}})},
			calls: 1, fails: "no such host",
		},
		"the endpoint is started again": {
			api:   &fake{onImport: failing(3, &smithyhttp.RequestSendError{Err: &net.OpError{Op: "dial", Err: errors.New("refused")}})},
			calls: 4, within: 3 * time.Second,
		},
		"the caller may not tag at all": {
			api: &fake{onImport: func(_ int, in *ec2.ImportSnapshotInput) error {
				if len(in.TagSpecifications) > 0 {
					return answer(403, "UnauthorizedOperation", "not authorized to perform: ec2:CreateTags")
				}
				return nil
			}}, calls: 2, fails: "CreateTags", lastTags: "Name",
		},
		"P16 marker refused by a policy on tag keys": {
			api:   &fake{onImport: refuseMarker(answer(403, "UnauthorizedOperation", "You are not authorized to perform this operation."))},
			calls: 2, lastTags: "Name",
		},
		"P16 marker refused by a tag policy": {
			api: &fake{onImport: refuseMarker(answer(400, "TagPolicyViolation", "x"))}, calls: 2, lastTags: "Name",
		},
		"P16 marker is one tag too many": {api: &fake{onImport: refuseMarker(answer(400, "TagLimitExceeded", "x"))}, calls: 2, lastTags: "Name"},
		"P16 emulator knows no task tags": {
			api:   &fake{onImport: refuseMarker(answer(400, "InvalidParameterValue", "'import-snapshot-task' is not a valid taggable resource type"))},
			calls: 2, lastTags: "Name",
		},
		"P13 token first used without the marker": {
			api: &fake{onImport: refuseMarker(answer(400, "IdempotentParameterMismatch", "x"))}, calls: 2, lastTags: "Name",
		},
		"P13 token of another request": {
			api:   &fake{onImport: failing(always, answer(400, "IdempotentParameterMismatch", "x"))},
			calls: 2, fails: "IdempotentParameterMismatch", lastTags: "Name",
		},
		"another bad parameter keeps the marker": {
			api:   &fake{onImport: failing(always, answer(400, "InvalidParameterValue", "The format is bad"))},
			calls: 1, fails: "format", lastTags: "Name " + MarkerTag,
		},
		"marker refused, then the role is not ready, then lost": {
			api: &fake{
				onImport: func(n int, in *ec2.ImportSnapshotInput) error {
					switch {
					case strings.Contains(keys(in), MarkerTag):
						return answer(403, "UnauthorizedOperation", "x")
					case n < 4:
						return answer(400, "InvalidParameter", roleMissing)
					}
					return nil
				},
				lose: func(n int) error {
					if n == 4 {
						return dropped()
					}
					return nil
				},
			}, calls: 5, within: 20 * time.Second, lastTags: "Name",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := orNew(tc.api)
				var logged int
				importer := New(api)
				importer.Log = func(context.Context, string, ...map[string]any) { logged++ }
				began := time.Now()
				in := request()
				task, err := importer.Start(t.Context(), in)
				elapsed := time.Since(began)

				if tc.fails == "" && (err != nil || task.ID != "import-snap-1") {
					t.Fatalf("got task %q, error %v", task.ID, err)
				}
				if tc.fails != "" && (err == nil || !strings.Contains(err.Error(), tc.fails)) {
					t.Fatalf("error %v does not say %q", err, tc.fails)
				}
				if len(api.tasks) > 1 {
					t.Errorf("%d tasks were started", len(api.tasks))
				}
				if tc.calls > 0 && len(api.imports) != tc.calls {
					t.Errorf("%d calls, want %d", len(api.imports), tc.calls)
				}
				if (tc.within > 0 || tc.calls == 1) && elapsed > tc.within || elapsed < tc.longer {
					t.Errorf("took %s, want %s to %s", elapsed, tc.longer, tc.within)
				}
				for n, call := range api.imports {
					if aws.ToString(call.ClientToken) != "token-1" {
						t.Errorf("call %d has token %q", n+1, aws.ToString(call.ClientToken))
					}
				}
				if got := keys(api.imports[len(api.imports)-1]); tc.lastTags != "" && got != tc.lastTags {
					t.Errorf("last call had tags %q, want %q", got, tc.lastTags)
				}
				if keys(in) != "Name "+MarkerTag {
					t.Error("the caller's request was changed")
				}
				if want := len(api.imports) - 1; logged < want {
					t.Errorf("%d lines logged for %d repeated calls", logged, want)
				}
			})
		})
	}
}

func refuseMarker(err error) func(int, *ec2.ImportSnapshotInput) error {
	return func(_ int, in *ec2.ImportSnapshotInput) error {
		if strings.Contains(keys(in), MarkerTag) {
			return err
		}
		return nil
	}
}

func TestStartWithoutOtherTags(t *testing.T) {
	api := &fake{onImport: refuseMarker(answer(403, "UnauthorizedOperation", "x"))}
	in := request()
	in.TagSpecifications[0].Tags = in.TagSpecifications[0].Tags[1:]
	if _, err := New(api).Start(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if specs := api.imports[1].TagSpecifications; specs != nil {
		t.Errorf("a specification without tags was sent, which EC2 refuses: %v", specs)
	}
}

// P12: no import is without a token, which stays the same over all tries and differs from import to import.
func TestStartMakesAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fake{lose: func(n int) error {
			if n < 3 {
				return dropped()
			}
			return nil
		}}
		importer := New(api)
		for range 2 {
			in := request()
			in.ClientToken = nil
			if _, err := importer.Start(t.Context(), in); err != nil || in.ClientToken != nil {
				t.Error(err)
			}
		}
		tokens := make([]string, 0, 4)
		for _, in := range api.imports {
			tokens = append(tokens, aws.ToString(in.ClientToken))
		}
		if len(tokens) != 4 || len(tokens[0]) < 32 || len(tokens[0]) > 64 || tokens[0] != tokens[2] || tokens[3] == tokens[0] || len(api.tasks) != 2 {
			t.Errorf("tokens %q for %d tasks", tokens, len(api.tasks))
		}
	})
}

func TestStartIsNoDryRun(t *testing.T) {
	api := &fake{}
	in := request()
	in.DryRun = aws.Bool(true)
	if _, err := New(api).Start(t.Context(), in); err == nil || len(api.imports) > 0 {
		t.Errorf("a dry run was taken for a start: %v", err)
	}
}

// P6: an interrupt at each boundary of a call leaves either no task or a task whose id the caller has.
// P13: two resources with one token would share, and destroy, one snapshot.
func TestStartShared(t *testing.T) {
	importer := New(&fake{})
	if _, err := importer.Start(t.Context(), request()); err != nil {
		t.Fatal(err)
	}
	if task, err := importer.Start(t.Context(), request()); !errors.Is(err, ErrShared) {
		t.Errorf("the second resource got %v, %v", task, err)
	}
}

func TestStartInterrupted(t *testing.T) {
	stop := errors.New("stop")
	for name, tc := range map[string]struct {
		api    func(cancel func()) *fake
		before bool // cancelled before Start
		starts bool
		says   string
	}{
		"before the call": {api: func(func()) *fake { return &fake{} }, before: true, says: "before ImportSnapshot was called"},
		"during a call that is accepted": {
			api: func(cancel func()) *fake {
				return &fake{onImport: func(int, *ec2.ImportSnapshotInput) error { cancel(); return nil }}
			}, starts: true,
		},
		"between tries": {
			api: func(cancel func()) *fake {
				return &fake{onImport: func(int, *ec2.ImportSnapshotInput) error {
					time.AfterFunc(time.Second, cancel)
					return answer(400, "ResourceCountLimitExceeded", "too many")
				}}
			}, says: "too many",
		},
		"P6 while an answer is lost, and the token is asked once more": {
			api: func(cancel func()) *fake {
				return &fake{lose: func(n int) error {
					if n > 1 {
						return nil
					}
					cancel()
					return dropped()
				}}
			}, starts: true,
		},
		"P6 some tries after an answer was lost": {
			api: func(cancel func()) *fake {
				return &fake{
					onImport: func(n int, _ *ec2.ImportSnapshotInput) error {
						if n == 2 {
							cancel()
							return answer(400, "ResourceCountLimitExceeded", "too many")
						}
						return nil
					},
					lose: func(n int) error {
						if n == 1 {
							return dropped()
						}
						return nil
					},
				}
			}, starts: true,
		},
		"while an answer is lost": {
			api: func(cancel func()) *fake { return &fake{lose: func(int) error { cancel(); return dropped() }} }, says: "may have begun",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				api := tc.api(func() { cancel(stop) })
				if tc.before {
					cancel(stop)
				}
				began := time.Now()
				task, err := New(api).Start(ctx, request())
				if tc.starts {
					if err != nil || task.ID == "" {
						t.Fatalf("the id of an accepted task is lost: %v", err)
					}
					return
				}
				if !errors.Is(err, stop) || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("got %v", err)
				}
				if tc.before && len(api.imports) > 0 || time.Since(began) > 2*time.Second {
					t.Errorf("%d calls in %s", len(api.imports), time.Since(began))
				}
			})
		})
	}
}

func TestPermitted(t *testing.T) {
	would := answer(412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	for name, tc := range map[string]struct {
		api     *fake
		says    string
		cancels int
	}{
		"P29 permitted":       {api: &fake{onImport: failing(9, would)}},
		"P29 a hung endpoint": {api: &fake{hangImport: true}, says: "deadline"},
		"P29 refused":         {api: &fake{onImport: failing(9, answer(403, "UnauthorizedOperation", "no"))}, says: "UnauthorizedOperation"},
		"P29 nothing said":    {api: &fake{answers: &ec2.ImportSnapshotOutput{}}, says: "DryRunOperation"},
		"only the marker refused": {api: &fake{onImport: func(n int, in *ec2.ImportSnapshotInput) error {
			if n == 1 {
				return answer(403, "UnauthorizedOperation", "no")
			}
			return would
		}}},
		"the emulator imports": {cancels: 1},
		"the emulator imports and does not let go": {
			api: &fake{onCancel: func(int, string) error { return answer(400, "X", "y") }}, cancels: 1, says: "import-snap-1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := orNew(tc.api)
				err := New(api).Permitted(t.Context(), request())
				if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
					t.Errorf("got %v", err)
				}
				for _, call := range api.imports {
					if !aws.ToBool(call.DryRun) || len(aws.ToString(call.ClientToken)) < 32 {
						t.Error("that was no dry run, or it used up the token, or has none")
					}
				}
				if len(api.cancels) != tc.cancels {
					t.Errorf("%d cancels", len(api.cancels))
				}
			})
		})
	}
}
