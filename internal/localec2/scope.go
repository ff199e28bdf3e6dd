package localec2

import (
	"net/http"
	"regexp"
	"strings"
)

// scope is whose resources a request is about, and where.
type scope struct {
	Account string
	Region  string
}

var (
	// credentialScope is key/date/Region/service/aws4_request, without the Region where the request is signed for a set of them (SigV4A).
	credentialScope = regexp.MustCompile(`^([^/]+)/[0-9]+/(?:([^/]+)/)?([^/]+)/aws4_request$`)
	credentialField = regexp.MustCompile(`\bCredential=([^,\s]*)`)
	regionName      = regexp.MustCompile(`^[a-z]{2,}(-[a-z0-9]+){1,5}$`)
)

const defaultRegion = "us-east-1"

// scopeOf takes account and Region from the scope of the request's signature, in the header or in a presigned query. The signature itself is not
// verified: there are no secrets here. An access key of twelve digits is the account, as with LocalStack and moto; with any other the account is
// the configured one. A request without a signature (curl) is taken for the configured account's, in us-east-1.
func (e *Endpoint) scopeOf(r *http.Request) (scope, error) {
	s := scope{Account: e.config.AccountID, Region: defaultRegion}
	query := r.URL.Query()
	credential, regions := query.Get("X-Amz-Credential"), query.Get("X-Amz-Region-Set")
	if header := r.Header.Get("Authorization"); header != "" {
		field := credentialField.FindStringSubmatch(header)
		if field == nil {
			return scope{}, authFailure("the Authorization header has no credential of Signature Version 4.")
		}
		credential, regions = field[1], r.Header.Get("X-Amz-Region-Set")
	} else if credential == "" {
		return s, nil
	}
	m := credentialScope.FindStringSubmatch(credential)
	if m == nil {
		return scope{}, authFailure("the scope of their signature is not key/date/Region/service/aws4_request.")
	}
	key, region, service := m[1], m[2], m[3]
	if service != "ec2" && service != "sts" {
		return scope{}, authFailure("Credential should be scoped to correct service: 'ec2' or 'sts', not '%s'. Only these two are served here: "+
			"set AWS_ENDPOINT_URL_EC2 and AWS_ENDPOINT_URL_STS to this endpoint instead of AWS_ENDPOINT_URL.", shorten(service))
	}
	if region == "" && regions != "*" {
		region = regions // a list of several is no name
	}
	if region != "" {
		s.Region = region
	}
	if len(s.Region) > 64 || !regionName.MatchString(s.Region) {
		return scope{}, authFailure("the Region of their scope is not a Region's name.")
	}
	if accountID.MatchString(key) {
		s.Account = key
	}
	return s, nil
}

func authFailure(format string, args ...any) *apiError {
	err := failf("AuthFailure", "AWS was not able to validate the provided access credentials: "+format, args...)
	err.Status = http.StatusUnauthorized
	return err
}

// partition is the AWS partition of the Region, for ARNs.
func (s scope) partition() string {
	switch {
	case strings.HasPrefix(s.Region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(s.Region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}
