package importtask

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/awshost"
)

// IsCode tells whether err is an answer of EC2 with one of these error codes.
func IsCode(err error, codes ...string) bool { return slices.Contains(codes, codeOf(err)) }

// codeOf is EC2's error code, "" for an error that is no answer.
func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// textOf is EC2's message in lower case, for an error that is no answer its whole text.
func textOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return strings.ToLower(api.ErrorMessage())
	}
	return strings.ToLower(err.Error())
}

// statusOf is the HTTP status of the answer, 0 where there was none.
func statusOf(err error) int {
	if a := answerOf(err); a != nil {
		return a.HTTPStatusCode()
	}
	return 0
}

// fromAWS: the call that was answered had gone to AWS, and not to something that stands for EC2.
func fromAWS(err error) bool {
	a := answerOf(err)
	return a != nil && a.Response.Request != nil && a.Response.Request.URL != nil && awshost.Is(a.Response.Request.URL.Hostname())
}

// answerOf is the answer in err, nil where there was none.
func answerOf(err error) *smithyhttp.ResponseError {
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.Response != nil && answer.Response.Response != nil {
		return answer
	}
	return nil
}

// unknownTask: EC2 does not know the id. Every InvalidConversionTaskId code counts, .Malformed too: EC2 uses it for tasks that are gone (P21).
func unknownTask(err error) bool {
	code := codeOf(err)
	return strings.HasPrefix(code, "InvalidConversionTaskId") || strings.HasPrefix(code, "InvalidImportTaskId") ||
		IsCode(err, "InvalidTaskId.NotFound", "ImportTaskNotFound")
}

func throttled(err error) bool {
	_, known := retry.DefaultThrottleErrorCodes[codeOf(err)]
	return known || statusOf(err) == http.StatusTooManyRequests
}

// unavailable: the service failed on its side, and may or may not have done what it was asked.
func unavailable(err error) bool {
	return !NotOffered(err) && !throttled(err) && (statusOf(err) >= http.StatusInternalServerError ||
		IsCode(err, "InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "RequestTimeout", "RequestTimeoutException"))
}

// skewed: EC2 refused the time of the signature. The SDK marks the errors that may come of it where its clock differs from the answer's.
func skewed(err error) bool {
	var marked interface{ RetryableError() bool }
	return errors.As(err, &marked) && marked.RetryableError() || IsCode(err, "RequestTimeTooSkewed", "RequestExpired")
}

// NotOffered tells that whoever answers at the endpoint has no such call. LocalStack says 501, moto fails with a page of HTML, others know no such
// action.
func NotOffered(err error) bool {
	text := textOf(err)
	switch status := statusOf(err); {
	case status == http.StatusNotImplemented, IsCode(err, "InvalidAction", "NotImplemented"), strings.Contains(text, "has not been implemented"):
		return true
	case IsCode(err, "UnsupportedOperation"):
		// EC2 itself says so of what cannot be done to a certain thing.
		return notSupported.MatchString(text) || operationOf(err) == importAction && !fromAWS(err)
	case status == http.StatusInternalServerError:
		return isForeignPage(err) || strings.Contains(text, "could not be found for service")
	default:
		return false
	}
}

// notSupported is how floci speaks of a whole action.
var notSupported = regexp.MustCompile(`^operation \w+ is not supported`)

const importAction = "ImportSnapshot"

// operationOf is the action that was called, "" where the error does not tell.
func operationOf(err error) string {
	var operation *smithy.OperationError
	if errors.As(err, &operation) {
		return operation.Operation()
	}
	return ""
}

// isForeignPage: by a page, or by nothing, with HTTP status 500 moto says that it has no such action. On the way to AWS it is a proxy's.
func isForeignPage(err error) bool {
	return statusOf(err) == http.StatusInternalServerError && isPage(err) && !fromAWS(err)
}

func isUnnamed(err error) bool { return errors.Is(err, errUnnamed) }

// isPage: the body of the error was no EC2 error. Depending on the page the SDK finds no code in it, or no XML.
func isPage(err error) bool {
	var syntax *xml.SyntaxError
	return codeOf(err) == "UnknownError" || errors.As(err, &syntax) || strings.Contains(err.Error(), "XML syntax error")
}

// beforeSending: the request has not left this machine, so EC2 cannot have acted on it.
func beforeSending(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &dns) || errors.As(err, &op) && op.Op == "dial" || untrusted(err) || NoCredentials(err)
}

// disconnected: no connection came about, which may be different in a moment. A name that does not exist will not.
func disconnected(err error) bool {
	var dns *net.DNSError
	return beforeSending(err) && !untrusted(err) && !NoCredentials(err) && !(errors.As(err, &dns) && dns.IsNotFound)
}

// NoCredentials tells that the SDK found none to sign with. It has no type for that; the words are those of its authentication step, and of what looks for
// them when a client is made.
func NoCredentials(err error) bool {
	return slices.ContainsFunc([]string{
		"get identity: ", "static credentials are empty", "No valid credential sources found", "failed to get shared config profile",
	}, func(words string) bool { return strings.Contains(err.Error(), words) })
}

func untrusted(err error) bool {
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	return errors.As(err, &certificate) || errors.As(err, &authority) || errors.As(err, &hostname)
}

// unreachable: the network failed, before or after sending, or a call took longer than its limit.
func unreachable(err error) bool {
	if codeOf(err) != "" || NoCredentials(err) || untrusted(err) {
		return false
	}
	var send *smithyhttp.RequestSendError
	var canceled *aws.RequestCanceledError
	var address *url.Error
	var network net.Error
	return errors.As(err, &send) || errors.As(err, &canceled) || errors.As(err, &address) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded)
}

// TimeUp is the cause of a context that an argument of timeouts has ended.
type TimeUp struct {
	Argument string
	After    time.Duration
}

func (t *TimeUp) Error() string { return fmt.Sprintf("timeouts.%s (%s) was over", t.Argument, t.After) }

// Unwrap makes it the end of time that it is.
func (t *TimeUp) Unwrap() error { return context.DeadlineExceeded }

func timeUp(err error) bool {
	var up *TimeUp
	return errors.As(err, &up)
}

// answerLost: EC2 may have accepted the call, but its answer has not come through.
func answerLost(err error) bool {
	var torn *smithy.DeserializationError
	return isUnnamed(err) || unavailable(err) || unreachable(err) && !beforeSending(err) ||
		errors.As(err, &torn) && statusOf(err) == http.StatusOK
}
