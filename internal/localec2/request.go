package localec2

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// maxBody is far above any real request (1000 ids are 40 KB) and bounds what a caller can make the endpoint hold.
	maxBody = 1 << 20

	// maxParams and maxValue are as far above: the longest parameters are presigned URLs, of some thousand bytes.
	maxParams = 10_000
	maxValue  = 16 << 10

	// maxListItems is EC2's cap on the ids, tags and filters of one request.
	maxListItems = 1000
)

// params are the parameters of one request. Each is taken by name; what nobody took is unknown to the action.
type params struct {
	values map[string]string
	names  []string // sorted
	taken  map[string]bool
}

// decodeParams reads the query string and the form, whatever the content type says, as EC2 does.
func decodeParams(w http.ResponseWriter, r *http.Request) (*params, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return nil, &apiError{Status: http.StatusMethodNotAllowed, Code: "InvalidRequest", Message: "The method " + shorten(r.Method) + " is not supported: use GET or POST."}
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, failf("InvalidRequest", "The Content-Encoding %s is not supported: send the parameters as they are.", shorten(encoding))
	}
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, failf("InvalidRequest", "The request is larger than %d bytes.", maxBody)
		}
		if err != nil {
			return nil, failf("InvalidRequest", "The request could not be read: %s", err)
		}
	}
	p := &params{values: map[string]string{}, taken: map[string]bool{}}
	for _, encoded := range []string{string(body), r.URL.RawQuery} {
		if strings.Count(encoded, "&") >= maxParams {
			return nil, failf("InvalidRequest", "The request has more than %d parameters.", maxParams)
		}
		values, err := url.ParseQuery(encoded)
		if err != nil {
			return nil, failf("MalformedQueryString", "The query string contains a syntax error: %s", shorten(err.Error()))
		}
		for name, v := range values {
			if _, ok := p.values[name]; ok {
				continue // the body wins over the query string
			}
			if name == "" {
				return nil, failf("MalformedQueryString", "The query string contains a value without a name.")
			}
			if len(v) > 1 {
				return nil, failf("InvalidParameterValue", "The parameter %s is given more than once.", shorten(name))
			}
			if !isText(name) || !isText(v[0]) {
				return nil, failf("InvalidParameterValue", "The parameter %q is not text that XML can carry.", shorten(name))
			}
			if len(v[0]) > maxValue {
				return nil, failf("InvalidParameterValue", "The parameter %s is longer than %d bytes.", shorten(name), maxValue)
			}
			p.values[name] = v[0]
		}
	}
	p.names = slices.Sorted(maps.Keys(p.values))
	return p, nil
}

// isText reports whether XML 1.0 can carry s, so that every value comes back as it was given.
func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
	})
}

// take returns a parameter, "" where it is absent.
func (p *params) take(name string) string {
	p.taken[name] = true
	return p.values[name]
}

// lookup tells an absent parameter from an empty one.
func (p *params) lookup(name string) (string, bool) {
	p.taken[name] = true
	v, ok := p.values[name]
	return v, ok
}

func (p *params) required(name string) (string, error) {
	if v := p.take(name); v != "" {
		return v, nil
	}
	return "", missingParameter(name)
}

func (p *params) boolean(name string) (bool, error) {
	v, ok := p.lookup(name)
	switch {
	case !ok, v == "false":
		return false, nil
	case v == "true":
		return true, nil
	}
	return false, invalidValue(v, name, "Expected 'true' or 'false'.")
}

// integer returns nil where the parameter is absent.
func (p *params) integer(name string) (*int, error) {
	v, ok := p.lookup(name)
	if !ok {
		return nil, nil
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil {
		return nil, invalidValue(v, name, "Expected an integer.")
	}
	i := int(n)
	return &i, nil
}

// timestamp checks an ISO 8601 time: Go's SDK writes milliseconds, botocore microseconds, both whole seconds.
func (p *params) timestamp(name string) (string, error) {
	v, ok := p.lookup(name)
	if !ok {
		return "", nil
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		return "", invalidValue(v, name, "Expected a timestamp like 2024-01-02T03:04:05Z.")
	}
	return t.UTC().Format(time.RFC3339Nano), nil
}

// list returns the values of Name.1, Name.2, ... in the order of their numbers.
func (p *params) list(name string) ([]string, error) {
	indices, err := p.indices(name)
	if err != nil {
		return nil, err
	}
	var values []string
	for _, i := range indices {
		if v, ok := p.lookup(name + "." + i); ok {
			values = append(values, v)
		}
	}
	return values, nil
}

var listIndex = regexp.MustCompile(`^[1-9][0-9]{0,5}$`)

// indices returns the numbers N of the parameters Name.N and Name.N.<member>, ascending. It looks at what is there instead of counting up, so a
// huge number costs nothing, and only at what begins like this, so lists within lists cost no more than what is in them.
func (p *params) indices(name string) ([]string, error) {
	var found []string
	first, _ := slices.BinarySearch(p.names, name+".")
	for _, key := range p.names[first:] {
		rest, ok := strings.CutPrefix(key, name+".")
		if !ok {
			break
		}
		// Of one number, the names are together: what sorts between "1" and "1.x" is no number.
		n, _, _ := strings.Cut(rest, ".")
		if !listIndex.MatchString(n) || len(found) > 0 && found[len(found)-1] == n {
			continue
		}
		if found = append(found, n); len(found) > maxListItems {
			return nil, failf("InvalidParameterValue", "The parameter %s has more than %d items.", name, maxListItems)
		}
	}
	slices.SortFunc(found, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return found, nil
}

// signing are the parameters that belong to the signature or the service's dialect, not to an action.
var signing = []string{"AWSAccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "Timestamp", "Expires", "SecurityToken"}

// leftover names a parameter that no one took, the first in alphabetical order, or "".
func (p *params) leftover() string {
	for _, name := range p.names {
		if !p.taken[name] && !strings.HasPrefix(name, "X-Amz-") && !slices.Contains(signing, name) {
			return shorten(name)
		}
	}
	return ""
}
