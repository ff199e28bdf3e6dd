package acctest

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault is one way in which a call of EC2 goes wrong between the provider and the endpoint.
type Fault struct {
	Name string
	Hook func() Hook // a new one for each scenario: some remember

	// Says is what of it a user must be able to read where it does not pass: EC2's words. "" where there are none.
	Says string

	only  []string // the actions it can happen to; all where there is none
	never []string
}

// Hits says whether the fault can happen to an action.
func (f Fault) Hits(action string) bool {
	return (f.only == nil || slices.Contains(f.only, action)) && !slices.Contains(f.never, action)
}

func always(h Hook) func() Hook { return func() Hook { return h } }

const page = "<!DOCTYPE html><html><head><title>Maintenance</title></head><body><p>We will be back soon.<br></body></html>"

var describes = []string{"DescribeImportSnapshotTasks", "DescribeSnapshots"}

// Faults is the table of them. What passes with time and what a retry cures is here; that EC2 says no is not.
var Faults = []Fault{
	{Name: "delayed", Hook: always(Delay(700 * time.Millisecond))},
	{Name: "dropped before it is carried out", Hook: always(Drop)},
	{Name: "dropped behind it", Hook: always(DropAnswer)},
	{Name: "reset before it is carried out", Hook: always(Reset)},
	{Name: "reset behind it", Hook: always(ResetAnswer)},
	{Name: "cut off", Hook: always(Cut)},
	{Name: "torn XML", Hook: always(Torn)},
	{Name: "500", Hook: always(Refuse(500, "InternalError", "An internal error has occurred")), Says: "An internal error has occurred"},
	{Name: "500 behind it", Hook: always(LoseAnswer(500, "InternalError", "An internal error has occurred")), Says: "An internal error has occurred"},
	{Name: "503", Hook: always(Refuse(503, "Unavailable", "The service is unavailable. Please try again shortly.")), Says: "The service is unavailable"},
	{Name: "page with 502", Hook: always(Page(502)), Says: "502"},
	{Name: "page with 500", Hook: always(Page(500)), Says: "500"},
	{Name: "page with 500 behind it", Hook: always(after(Page(500))), Says: "500"},
	{Name: "empty 500", Hook: always(Instead(500, "")), Says: "500"},
	{Name: "empty 500 behind it", Hook: always(after(Instead(500, ""))), Says: "500"},
	{Name: "page with 200", Hook: always(Page(200))},
	{Name: "page with 200 behind it", Hook: always(after(Page(200)))},
	{Name: "empty 200", Hook: always(Instead(200, ""))},
	{Name: "empty 200 behind it", Hook: always(after(Instead(200, "")))},
	{Name: "throttled", Hook: always(Refuse(503, "RequestLimitExceeded", "Request limit exceeded.")), Says: "Request limit exceeded."},
	{Name: "another content type", Hook: always(ContentType("application/octet-stream"))},
	{Name: "expired credentials", Hook: always(Refuse(400, "RequestExpired", "Request has expired.")), Says: "Request has expired."},
	{
		Name: "unknown credentials", Hook: always(Refuse(401, "AuthFailure", "AWS was not able to validate the provided access credentials")),
		Says: "AWS was not able to validate the provided access credentials",
	},

	{Name: "stale", Hook: Stale, only: describes},
	{
		Name: "P21 not known yet", Hook: always(Refuse(400, "InvalidConversionTaskId.Malformed", "The import task was not found.")),
		only: []string{"DescribeImportSnapshotTasks"},
	},
	{Name: "P27 not known yet", Hook: always(Refuse(400, "InvalidSnapshot.NotFound", "The snapshot does not exist.")), only: []string{"DescribeSnapshots"}},
	{Name: "P8 unknown status", Hook: always(WithElement("status", "pondering")), only: []string{"DescribeImportSnapshotTasks"}},
	{Name: "P8 status in upper case", Hook: always(Rewrite(upperStatus)), only: []string{"DescribeImportSnapshotTasks"}},
	{Name: "P8 no status", Hook: always(WithElement("status", "")), only: []string{"DescribeImportSnapshotTasks"}},
	{Name: "P21 no detail", Hook: always(Rewrite(withoutDetail)), only: []string{"DescribeImportSnapshotTasks", "ImportSnapshot"}},
	{Name: "P27 not complete yet", Hook: always(WithElement("status", "pending")), only: []string{"DescribeSnapshots"}},
}

// Drop cuts the connection, and the endpoint never sees the call.
func Drop(*Request, func() *Answer) *Answer { return nil }

// Reset is Drop by a reset.
func Reset(*Request, func() *Answer) *Answer { return &Answer{reset: true} }

// ResetAnswer is DropAnswer by a reset.
func ResetAnswer(_ *Request, next func() *Answer) *Answer {
	next()
	return &Answer{reset: true}
}

// Cut lets half of the answer through.
func Cut(_ *Request, next func() *Answer) *Answer {
	a := next()
	if a != nil {
		a.cut = true
	}
	return a
}

// Torn answers, in full, with half of an XML.
func Torn(_ *Request, next func() *Answer) *Answer {
	a := next()
	if a != nil {
		a.Body = a.Body[:len(a.Body)/2]
	}
	return a
}

// Delay holds a call back for d.
func Delay(d time.Duration) Hook {
	return func(r *Request, next func() *Answer) *Answer {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.http.Context().Done():
		}
		return next()
	}
}

// Page answers with what a proxy shows to people.
func Page(status int) Hook {
	return func(*Request, func() *Answer) *Answer {
		return &Answer{Status: status, Header: http.Header{"Content-Type": {"text/html"}}, Body: page}
	}
}

// after lets the endpoint accept the call before h answers.
func after(h Hook) Hook {
	return func(r *Request, next func() *Answer) *Answer {
		next()
		return h(r, next)
	}
}

// ContentType changes nothing but the name of what is answered.
func ContentType(name string) Hook {
	return func(_ *Request, next func() *Answer) *Answer {
		a := next()
		if a != nil && a.Header != nil {
			a.Header.Set("Content-Type", name)
		}
		return a
	}
}

// Stale answers a question as it did when it was first asked.
func Stale() Hook {
	var mu sync.Mutex
	first := map[string]Answer{}
	return func(r *Request, next func() *Answer) *Answer {
		a := next()
		mu.Lock()
		defer mu.Unlock()
		question := r.Form.Encode()
		if was, ok := first[question]; ok {
			return &was
		}
		if a.OK() {
			first[question] = *a
		}
		return a
	}
}

var (
	statusElement = regexp.MustCompile("<status>[^<]*</status>")
	detailElement = regexp.MustCompile("(?s)<snapshotTaskDetail>.*?</snapshotTaskDetail>")
)

func upperStatus(body string) string {
	return statusElement.ReplaceAllStringFunc(body, func(s string) string {
		return "<status>" + strings.ToUpper(strings.TrimSuffix(strings.TrimPrefix(s, "<status>"), "</status>")) + "</status>"
	})
}

func withoutDetail(body string) string { return detailElement.ReplaceAllString(body, "") }
