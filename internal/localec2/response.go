package localec2

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// namespace has the trailing slash that EC2 sends and its model lacks.
const namespace = "http://ec2.amazonaws.com/doc/2016-11-15/"

func newRequestID() string { return uuid.NewString() }

// answer is what an action answers: a struct that begins with head.
type answer interface {
	setHead(requestID string)
}

// head is the beginning of every answer. Members that have no value are left out, never sent empty: SDKs choke on an empty number, boolean
// or time, and hand out a pointer to "" for an empty string (vm-import-facts 1).
type head struct {
	Namespace string `xml:"xmlns,attr"`
	RequestID string `xml:"requestId"`
}

func (h *head) setHead(requestID string) { *h = head{namespace, requestID} }

// set is a list on the wire; an empty one is sent as an empty element, as EC2 does.
type set[T any] struct {
	Items []T `xml:"item"`
}

// returned is the answer of calls that only say that they were done.
type returned struct {
	head
	Return bool `xml:"return"`
}

type ec2Error struct {
	Code      string `xml:"Errors>Error>Code"`
	Message   string `xml:"Errors>Error>Message"`
	RequestID string `xml:"RequestID"` // upper case here, unlike in answers
}

func writeEC2Answer(w http.ResponseWriter, action, requestID string, a answer) error {
	a.setHead(requestID)
	return writeXML(w, http.StatusOK, requestID, action+"Response", a)
}

// Refuse answers a request that does not get as far as an Endpoint, in EC2's form.
func Refuse(w http.ResponseWriter, status int, code, message string) {
	_ = writeEC2Error(w, newRequestID(), &apiError{Status: status, Code: code, Message: message}) // the caller is gone, and nothing was done
}

func writeEC2Error(w http.ResponseWriter, requestID string, err *apiError) error {
	return writeXML(w, err.Status, requestID, "Response", ec2Error{Code: err.Code, Message: err.Message, RequestID: requestID})
}

// writeXML encodes the whole answer before any of it is sent. One that cannot be encoded is answered as a fault of the endpoint: an empty
// success would be taken for one.
func writeXML(w http.ResponseWriter, status int, requestID, root string, v any) error {
	body, failed := encodeXML(root, v)
	if failed != nil {
		status = http.StatusInternalServerError
		body, _ = encodeXML("Response", ec2Error{
			Code: "InternalError", Message: "An internal error has occurred: the answer could not be encoded.", RequestID: requestID,
		})
	}
	h := w.Header()
	h.Set("Content-Type", "text/xml;charset=UTF-8")
	h.Set("Server", "AmazonEC2")
	h.Set("Cache-Control", "no-cache, no-store")
	h.Set("X-Amzn-Requestid", requestID)
	w.WriteHeader(status)
	_, err := w.Write(body)
	return errors.Join(failed, err)
}

func encodeXML(root string, v any) ([]byte, error) {
	var body bytes.Buffer
	body.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	enc := xml.NewEncoder(&body)
	enc.Indent("", "    ")
	if err := enc.EncodeElement(v, xml.StartElement{Name: xml.Name{Local: root}}); err != nil {
		return nil, fmt.Errorf("encode the answer %s: %w", root, err)
	}
	return body.Bytes(), nil
}

// ec2Time writes times as EC2 does, with milliseconds; nil, so that the member is left out, for the zero time.
func ec2Time(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format("2006-01-02T15:04:05.000Z")
	return &s
}

// optional is nil, so that the member is left out, for "".
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// javaDouble writes a double as Java's Double.toString does, because EC2 does: 0.0, 512.0, 3.115815424E9.
func javaDouble(f float64) string {
	if f == 0 {
		return "0.0"
	}
	if f >= 1e-3 && f < 1e7 {
		s := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'E', -1, 64), "E")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	sign := ""
	if strings.HasPrefix(exponent, "-") {
		sign = "-"
	}
	return mantissa + "E" + sign + strings.TrimLeft(exponent, "+-0")
}
