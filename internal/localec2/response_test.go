package localec2

import (
	"encoding/xml"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

// unencodable is an answer that fails while it is encoded, after its beginning was.
type unencodable struct {
	head
	Broken broken `xml:"broken"`
}

type broken struct{}

var errBroken = errors.New("no XML for this")

func (broken) MarshalXML(*xml.Encoder, xml.StartElement) error { return errBroken }

// TestAnswerThatCannotBeEncoded: a client must not take it for an empty success.
func TestAnswerThatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	if err := writeEC2Answer(w, "DescribeSnapshots", "request-1", &unencodable{}); !errors.Is(err, errBroken) {
		t.Errorf("the endpoint is told %v", err)
	}
	var got struct {
		XMLName xml.Name `xml:"Response"`
		ec2Error
	}
	if err := xml.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	if w.Code != http.StatusInternalServerError || got.Code != "InternalError" || got.Message == "" || got.RequestID != "request-1" {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}
