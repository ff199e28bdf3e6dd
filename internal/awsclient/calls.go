package awsclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// This file is what happens to every call that failed: how long it is tried again, what it says, and what it must not say.

// fewTries are enough to get past a page of HTML that a proxy sent for a moment, and over within seconds where the page is all there is.
const fewTries = 3

// impatient is a retryer that does not try for minutes what an endpoint does not offer. moto answers such a call with HTTP status 500, which is
// worth every try where it comes from EC2.
type impatient struct {
	aws.RetryerV2
	notOffered func(error) bool
}

// RetryDelay is the one method that learns the number of the try.
func (r *impatient) RetryDelay(attempt int, err error) (time.Duration, error) {
	if attempt >= fewTries && r.notOffered(err) {
		return 0, &retry.MaxAttemptsError{Attempt: attempt, Err: err}
	}
	return r.RetryerV2.RetryDelay(attempt, err)
}

// changedError is an error that reads otherwise than it came. What it is remains.
type changedError struct {
	cause error
	text  string
}

func (e *changedError) Error() string { return e.text }
func (e *changedError) Unwrap() error { return e.cause }

// onError gives the error of every call to change.
func onError(id string, change func(context.Context, error) error) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc(id,
			func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
				middleware.InitializeOutput, middleware.Metadata, error) {
				out, metadata, err := next.HandleInitialize(ctx, in)
				if err != nil {
					err = change(ctx, err)
				}
				return out, metadata, err
			}), middleware.Before)
	}
}

// maskErrors keeps secrets out of the errors of calls: a service may repeat what it was sent, and the network names URLs and proxies.
func maskErrors(l logger) func(*middleware.Stack) error {
	return onError("ec2MaskErrors", func(_ context.Context, err error) error {
		text := err.Error()
		if masked := l.redact(text); masked != text {
			return &changedError{err, masked}
		}
		return err
	})
}

// encoded is the part of a refusal that only STS can read.
var encoded = regexp.MustCompile(`(?i)encoded authorization failure message:\s*([\w+/=.-]+)`)

// decodeLimit bounds the question, which comes on top of a refusal that the user already waits to read.
const decodeLimit = 5 * time.Second

// decodeRefusals has STS read what EC2 refuses in code, and puts the permission that is missing in its place. A caller who may not ask, or an STS that
// does not know, leaves the refusal as it is.
func decodeRefusals(client *sts.Client, l logger) func(*middleware.Stack) error {
	var useless atomic.Bool // once refused it is not asked again
	return onError("ec2DecodeRefusals", func(ctx context.Context, err error) error {
		var api smithy.APIError
		if useless.Load() || !errors.As(err, &api) {
			return err
		}
		found := encoded.FindStringSubmatch(api.ErrorMessage())
		if found == nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, decodeLimit)
		defer cancel()
		out, asking := client.DecodeAuthorizationMessage(ctx, &sts.DecodeAuthorizationMessageInput{EncodedMessage: &found[1]},
			func(o *sts.Options) { o.RetryMaxAttempts = 2 })
		if asking != nil {
			var answer smithy.APIError
			useless.Store(errors.As(asking, &answer))
			l.Debug(ctx, "STS does not decode the refusal", map[string]any{"error": asking.Error()})
			return err
		}
		plain, readable := plainRefusal(aws.ToString(out.DecodedMessage))
		if !readable {
			return err
		}
		return &refusedError{
			changedError: changedError{err, strings.Replace(err.Error(), found[0], plain, 1)},
			code:         api.ErrorCode(), message: strings.Replace(api.ErrorMessage(), found[0], plain, 1), fault: api.ErrorFault(),
		}
	})
}

// refusedError is EC2's error with the message that STS has read.
type refusedError struct {
	changedError
	code, message string
	fault         smithy.ErrorFault
}

func (e *refusedError) ErrorCode() string             { return e.code }
func (e *refusedError) ErrorMessage() string          { return e.message }
func (e *refusedError) ErrorFault() smithy.ErrorFault { return e.fault }

// plainRefusal says what the decoded message means; false for one that names no action.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_DecodeAuthorizationMessage.html
func plainRefusal(decoded string) (string, bool) {
	var m struct {
		ExplicitDeny      bool `json:"explicitDeny"`
		MatchedStatements struct {
			Items []struct {
				StatementID string `json:"statementId"`
			} `json:"items"`
		} `json:"matchedStatements"`
		Context struct {
			Principal struct {
				ARN string `json:"arn"`
			} `json:"principal"`
			Action   string `json:"action"`
			Resource string `json:"resource"`
		} `json:"context"`
	}
	if json.Unmarshal([]byte(decoded), &m) != nil || m.Context.Action == "" {
		return "", false
	}
	who, where, why := "the caller", "", "no policy allows it"
	if arn := m.Context.Principal.ARN; arn != "" {
		who = cut(arn)
	}
	if m.Context.Resource != "" {
		where = " on " + cut(m.Context.Resource)
	}
	if m.ExplicitDeny {
		why = "a policy denies it explicitly"
		if items := m.MatchedStatements.Items; len(items) > 0 && items[0].StatementID != "" {
			why += fmt.Sprintf(" (statement %q)", cut(items[0].StatementID))
		}
	}
	return fmt.Sprintf("In plain words, decoded by STS: %s may not do %s%s, because %s.", who, cut(m.Context.Action), where, why), true
}

// cut keeps a foreign word to a length that fits a message.
func cut(word string) string {
	const most = 300
	if len(word) > most {
		return strings.ToValidUTF8(word[:most], "") + "..."
	}
	return word
}
