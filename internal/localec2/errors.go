package localec2

import (
	"errors"
	"fmt"
	"net/http"
)

// apiError is an error as EC2 puts it on the wire.
type apiError struct {
	Status  int
	Code    string
	Message string
}

func (e *apiError) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// failf is the ordinary refusal: HTTP 400 with one of EC2's codes.
func failf(code, format string, args ...any) *apiError {
	return &apiError{Status: http.StatusBadRequest, Code: code, Message: fmt.Sprintf(format, args...)}
}

func missingParameter(name string) *apiError {
	return failf("MissingParameter", "The request must contain the parameter %s", name)
}

func invalidValue(value, parameter, format string, args ...any) *apiError {
	return failf("InvalidParameterValue", "Value (%s) for parameter %s is invalid. %s", shorten(value), parameter, fmt.Sprintf(format, args...))
}

func snapshotNotFound(id string) *apiError {
	return failf("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", id)
}

// taskNotFound has the code and the words by which clients of EC2 recognise a task that is gone: hashicorp/aws asks for this code with
// "not found" in its text, Zuul for the code alone (vm-import-facts 4).
func taskNotFound(id string) *apiError {
	return failf("InvalidConversionTaskId.Malformed", "The import task '%s' was not found.", id)
}

// asAPIError turns whatever went wrong into an answer. What is no refusal is a fault of the endpoint or its disk, which only its owner can
// mend: so the cause is told and logged.
func (e *Endpoint) asAPIError(action string, err error) *apiError {
	var api *apiError
	if errors.As(err, &api) {
		e.log.Debug("request refused", "action", action, "code", api.Code, "message", api.Message)
		return api
	}
	e.log.Error("request failed", "action", action, "error", err)
	var unusable *unusableError
	if errors.As(err, &unusable) {
		// Clients try a 500 again, for minutes; a directory mends itself no more than a wrong request does.
		return &apiError{Status: http.StatusBadRequest, Code: "LocalError", Message: err.Error()}
	}
	return &apiError{Status: http.StatusInternalServerError, Code: "InternalError", Message: "An internal error has occurred: " + err.Error()}
}

// unusableError is a data directory that no call can be served from.
type unusableError struct{ error }

func (e *unusableError) Unwrap() error { return e.error }

// shorten keeps a caller's value from flooding messages and logs.
func shorten(s string) string {
	const most = 256
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most]) + "..."
}
