package acctest

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
)

// Refusal is an error answer of EC2.
func Refusal(status int, code, message string) *Answer {
	return &Answer{
		Status: status, Header: http.Header{"Content-Type": {"text/xml;charset=UTF-8"}},
		Body: fmt.Sprintf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors>"+
			"<RequestID>00000000-0000-4000-8000-000000000000</RequestID></Response>", code, html.EscapeString(message)),
	}
}

// refusalOf is the refusal of a call: STS has another form for it.
func refusalOf(r *Request, status int, code, message string) *Answer {
	a := Refusal(status, code, message)
	if r.Action == "GetCallerIdentity" {
		a.Body = strings.NewReplacer("<Response><Errors>", "<ErrorResponse>", "</Errors>", "", "</Response>", "</ErrorResponse>", "RequestID>", "RequestId>").Replace(a.Body)
	}
	return a
}

// First applies h to the first n calls only.
func First(n int, h Hook) Hook {
	var seen atomic.Int64
	return func(r *Request, next func() *Answer) *Answer {
		if seen.Add(1) > int64(n) {
			return next()
		}
		return h(r, next)
	}
}

// When applies h to the calls whose form fits.
func When(fits func(*Request) bool, h Hook) Hook {
	return func(r *Request, next func() *Answer) *Answer {
		if !fits(r) {
			return next()
		}
		return h(r, next)
	}
}

// Refuse answers with an error, and the endpoint never sees the call.
func Refuse(status int, code, message string) Hook {
	return func(r *Request, _ func() *Answer) *Answer { return refusalOf(r, status, code, message) }
}

// DropAnswer lets the endpoint accept the call and drops the connection before the answer (P12).
func DropAnswer(_ *Request, next func() *Answer) *Answer {
	next()
	return nil
}

// LoseAnswer lets the endpoint accept the call and answers with an error in its place (P12).
func LoseAnswer(status int, code, message string) Hook {
	return func(r *Request, next func() *Answer) *Answer {
		next()
		return refusalOf(r, status, code, message)
	}
}

// Instead answers with a body of one's own.
func Instead(status int, body string) Hook {
	return func(*Request, func() *Answer) *Answer {
		return &Answer{Status: status, Header: http.Header{"Content-Type": {"text/xml;charset=UTF-8"}}, Body: body}
	}
}

// Rewrite changes the body of the answers that went well.
func Rewrite(change func(body string) string) Hook {
	return func(_ *Request, next func() *Answer) *Answer {
		a := next()
		if a.OK() {
			a.Body = change(a.Body)
		}
		return a
	}
}

// WithElement replaces the text of every <name> by text.
func WithElement(name, text string) Hook {
	pattern := regexp.MustCompile("<" + name + ">[^<]*</" + name + ">")
	return Rewrite(func(body string) string {
		return pattern.ReplaceAllLiteralString(body, "<"+name+">"+html.EscapeString(text)+"</"+name+">")
	})
}

// Within inserts xml before the end of every <name>, or in place of an empty one.
func Within(name, xml string) Hook {
	return Rewrite(func(body string) string {
		body = strings.ReplaceAll(body, "<"+name+"/>", "<"+name+"></"+name+">")
		return strings.ReplaceAll(body, "</"+name+">", xml+"</"+name+">")
	})
}

// Until holds a call back until the channel is closed, or its caller leaves.
func Until(open <-chan struct{}) Hook {
	return func(r *Request, next func() *Answer) *Answer {
		select {
		case <-open:
		case <-r.http.Context().Done():
		}
		return next()
	}
}
