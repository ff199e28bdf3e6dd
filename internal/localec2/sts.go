package localec2

import "net/http"

const (
	stsVersion   = "2011-06-15"
	stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"
	stsAction    = "GetCallerIdentity"
)

type callerIdentity struct {
	Namespace string `xml:"xmlns,attr"`
	Arn       string `xml:"GetCallerIdentityResult>Arn"`
	UserID    string `xml:"GetCallerIdentityResult>UserId"`
	Account   string `xml:"GetCallerIdentityResult>Account"`
	RequestID string `xml:"ResponseMetadata>RequestId"`
}

type stsError struct {
	Namespace string `xml:"xmlns,attr"`
	Type      string `xml:"Error>Type"`
	Code      string `xml:"Error>Code"`
	Message   string `xml:"Error>Message"`
	RequestID string `xml:"RequestId"`
}

// serveSTS answers the one STS call that providers and SDK set-ups make, in STS's own dialect.
func (e *Endpoint) serveSTS(w http.ResponseWriter, requestID, action string, s scope, unscoped error) {
	err := unscoped
	if err == nil && action != stsAction {
		err = failf("InvalidAction", "Could not find operation %s for version %s", shorten(action), stsVersion)
	}
	if err != nil {
		api := e.asAPIError(action, err)
		e.written(action, writeXML(w, api.Status, requestID, "ErrorResponse", stsError{
			Namespace: stsNamespace, Type: "Sender", Code: api.Code, Message: api.Message, RequestID: requestID,
		}))
		return
	}
	e.written(action, writeXML(w, http.StatusOK, requestID, "GetCallerIdentityResponse", callerIdentity{
		Namespace: stsNamespace,
		Arn:       "arn:" + s.partition() + ":iam::" + s.Account + ":root",
		UserID:    s.Account,
		Account:   s.Account,
		RequestID: requestID,
	}))
}
