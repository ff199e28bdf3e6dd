package localec2

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// refusedAnswer is an error answer as clients parse it, in EC2's form or in that of STS.
type refusedAnswer struct {
	XMLName   xml.Name
	Code      string `xml:"Errors>Error>Code"`
	Message   string `xml:"Errors>Error>Message"`
	RequestID string `xml:"RequestID"`

	STSCode      string `xml:"Error>Code"`
	STSMessage   string `xml:"Error>Message"`
	STSRequestID string `xml:"RequestId"`
}

// wellFormed checks that an answer is one that EC2 or STS could give, and returns its error code, "" for a success.
func wellFormed(status int, header http.Header, body []byte) (string, error) {
	if got := header.Get("Content-Type"); got != "text/xml;charset=UTF-8" {
		return "", fmt.Errorf("content type %q", got)
	}
	decoder := xml.NewDecoder(bytes.NewReader(body))
	var a refusedAnswer
	if err := decoder.Decode(&a); err != nil {
		return "", fmt.Errorf("the answer cannot be parsed: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("something follows the answer: %w", err)
	}
	if status == http.StatusOK {
		if !strings.HasSuffix(a.XMLName.Local, "Response") || a.XMLName.Space == "" {
			return "", fmt.Errorf("a success is rooted in %v", a.XMLName)
		}
		return "", nil
	}
	if a.XMLName.Local == "ErrorResponse" {
		a.Code, a.Message, a.RequestID = a.STSCode, a.STSMessage, a.STSRequestID
	} else if a.XMLName.Local != "Response" {
		return "", fmt.Errorf("an error is rooted in %v", a.XMLName)
	}
	if a.Code == "" || a.Message == "" || a.RequestID == "" || a.RequestID != header.Get("X-Amzn-Requestid") {
		return "", fmt.Errorf("code %q, message %q, request %q (%q)", a.Code, a.Message, a.RequestID, header.Get("X-Amzn-Requestid"))
	}
	// InternalError is a fault of the endpoint, LocalError one of its disk: no request may bring them about.
	if status != http.StatusBadRequest && status != http.StatusUnauthorized && status != http.StatusMethodNotAllowed && status != http.StatusPreconditionFailed ||
		a.Code == "LocalError" {
		return "", fmt.Errorf("status %d with %s: %s", status, a.Code, a.Message)
	}
	return a.Code, nil
}

// contents is all that the store holds, but for how far its imports are.
func (h *host) contents(t testing.TB) string {
	t.Helper()
	var all strings.Builder
	err := h.store.read(func(tx transaction) error {
		for _, query := range []string{
			`SELECT seq, id, account, region, client_token, request_hash, description, url, s3_bucket, s3_key, origin, declared_format, kms_key_arn,
				replace(status, 'deleting', 'deleted') FROM tasks ORDER BY seq`,
			"SELECT * FROM snapshots ORDER BY seq",
			"SELECT * FROM tags ORDER BY seq",
		} {
			if err := dump(tx, &all, query); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func dump(tx transaction, w io.Writer, query string) error {
	rows, err := tx.tx.QueryContext(context.Background(), query)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values, targets := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		fmt.Fprintln(w, values...)
	}
	return rows.Err()
}

// inhabited makes an endpoint that has something to lose: a tagged snapshot and a tagged import that lasts.
func inhabited(t *testing.T) (h *host, snapshot, task string) {
	t.Helper()
	h = newHost(t, nil)
	snapshot = h.imported(t, "disk.img", pattern(4096, 1))
	h.config.Simulate = Simulate{TaskDuration: time.Hour, FailWith: "never"}
	task = h.importKey(t, "disk.img")
	_, err := h.ec2.CreateTags(t.Context(), &ec2.CreateTagsInput{Resources: []string{snapshot, task}, Tags: []types.Tag{ec2Tag("Name", "precious")}})
	if err != nil {
		t.Fatal(err)
	}
	// The lock of the one goes, and that of the other comes, behind the answers.
	eventually(t, func() bool {
		return slices.Equal(h.files(t), []string{"locks/" + task + ".lock", "volumes/" + snapshot + ".raw"})
	})
	return h, snapshot, task
}

// parameters writes n parameters, each of whose names has its number.
func parameters(n int, name, value string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "&"+name+"=%s", i+1, value)
	}
	return b.String()
}

// manyKeys are n tags of different keys.
func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "&Tag.%d.Key=k%d", i+1, i)
	}
	return b.String()
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

// form is a request that is none of EC2's, or not one that can be granted.
type form struct {
	code, says string // the error code, or several with a bar between; a part of the answer
	method     string // POST
	header     string // name: value
	body       string
}

// hostileForms are about a snapshot and a task that are there.
func hostileForms(snapshot, task string) map[string]form {
	nested := "Action=DescribeSnapshots"
	for i := range 1000 {
		nested += fmt.Sprintf("&Filter.%d.Name=status", i+1) + parameters(8, fmt.Sprintf("Filter.%d.Value.%%d", i+1), "*")
	}
	tags := func(n int) string { return parameters(n, "Tag.%d.Key", "k") }
	tagged := "Action=CreateTags&ResourceId.1=" + snapshot
	return map[string]form{
		"nothing":                      {code: "MissingAction"},
		"only separators":              {code: "MissingAction", body: strings.Repeat("&", 5000)},
		"a name that is empty":         {code: "MalformedQueryString", says: "without a name", body: "Action=DescribeSnapshots&=x"},
		"a huge action":                {code: "InvalidAction", body: "Action=" + strings.Repeat("<", 16000)},
		"an action of another case":    {code: "InvalidAction", body: "Action=deletesnapshot&SnapshotId=" + snapshot},
		"an action with a blank":       {code: "InvalidAction", body: "Action=DeleteSnapshot+&SnapshotId=" + snapshot},
		"an action twice":              {code: "InvalidParameterValue", says: "more than once", body: "Action=DeleteSnapshot&Action=DescribeTags&SnapshotId=" + snapshot},
		"a member that EC2 has not":    {code: "UnknownParameter", body: "Action=DeleteSnapshot&SnapshotId=" + snapshot + "&Force=true"},
		"a dry run":                    {code: "DryRunOperation", body: "Action=DeleteSnapshot&DryRun=true&SnapshotId=" + snapshot},
		"a dry run that is none":       {code: "InvalidParameterValue", body: "Action=DeleteSnapshot&DryRun=TRUE&SnapshotId=" + snapshot},
		"half of the resources":        {code: "InvalidSnapshot.NotFound", body: tagged + "&ResourceId.2=snap-00000000&Tag.1.Key=k"},
		"a tag too many":               {code: "TagLimitExceeded", body: tagged + manyKeys(50)},
		"1001 tags":                    {code: "InvalidParameterValue", says: "more than 1000", body: tagged + tags(1001)},
		"1001 ids":                     {code: "InvalidParameterValue", says: "more than 1000", body: "Action=DescribeImportSnapshotTasks" + parameters(1001, "ImportTaskId.%d", task)},
		"1001 filters":                 {code: "InvalidParameterValue", says: "more than 1000", body: "Action=DescribeTags" + parameters(1001, "Filter.%d.Name", "key")},
		"lists in a list":              {code: "", body: nested},
		"100000 parameters":            {code: "InvalidRequest", says: "more than 10000", body: "Action=DescribeTags" + parameters(100_000, "a%d", "")},
		"9999 unknown parameters":      {code: "UnknownParameter", body: "Action=DescribeTags" + parameters(9_999, "a%d", "")},
		"an index of 0":                {code: "UnknownParameter", body: tagged + "&Tag.1.Key=k&Tag.0.Key=k"},
		"a negative index":             {code: "UnknownParameter", body: tagged + "&Tag.1.Key=k&Tag.-1.Key=k"},
		"an index with a zero":         {code: "UnknownParameter", body: tagged + "&Tag.1.Key=k&Tag.01.Key=k"},
		"an index of 2^64":             {code: "UnknownParameter", body: tagged + "&Tag.1.Key=k&Tag.18446744073709551617.Key=k"},
		"an index in other digits":     {code: "UnknownParameter", body: tagged + "&Tag.1.Key=k&Tag.%D9%A1.Key=k"},
		"no index":                     {code: "UnknownParameter", body: tagged + "&Tag.1.Key=k&Tag..Key=k"},
		"a deep index":                 {code: "UnknownParameter", body: tagged + "&Tag.1.Key=k&Tag" + strings.Repeat(".1", 100_000) + "=k"},
		"an index below a scalar":      {code: "UnknownParameter", body: "Action=DeleteSnapshot&SnapshotId=" + snapshot + "&SnapshotId.1=" + snapshot},
		"one key twice":                {code: "InvalidParameterValue", says: "Duplicate", body: tagged + "&Tag.1.Key=k&Tag.2.Key=k"},
		"a value that is huge":         {code: "InvalidParameterValue", says: "longer than", body: "Action=CancelImportTask&ImportTaskId=" + task + "&CancelReason=" + strings.Repeat("x", maxValue+1)},
		"a name that is huge":          {code: "UnknownParameter", body: "Action=DescribeTags&" + strings.Repeat("x", 900_000) + "="},
		"more than a megabyte":         {code: "InvalidRequest", says: "larger than", body: "Action=DescribeTags&NextToken=" + strings.Repeat("x", maxBody)},
		"a percent sign at the end":    {code: "MalformedQueryString", body: "Action=DescribeTags&NextToken=%"},
		"half an escape":               {code: "MalformedQueryString", body: "Action=DescribeTags&NextToken=%4"},
		"an escape of no digits":       {code: "MalformedQueryString", body: "Action=DescribeTags&NextToken=%zz"},
		"an escape in UTF-16":          {code: "MalformedQueryString", body: "Action=DescribeTags&NextToken=%u0041"},
		"semicolons":                   {code: "MalformedQueryString", body: "Action=DescribeTags;NextToken=x"},
		"no text":                      {code: "InvalidParameterValue", says: "not text", body: tagged + "&Tag.1.Key=%00"},
		"no UTF-8":                     {code: "InvalidParameterValue", says: "not text", body: tagged + "&Tag.1.Key=%C0%AF"},
		"gzip, as it says":             {code: "InvalidRequest", says: "gzip", header: "Content-Encoding: gzip", body: gzipped("Action=DescribeTags")},
		"gzip, without saying so":      {code: "MissingAction|MalformedQueryString|InvalidParameterValue", body: gzipped("Action=DescribeTags")},
		"JSON":                         {code: "MissingAction", header: "Content-Type: application/x-amz-json-1.1", body: `{"Action":"DescribeTags"}`},
		"multipart":                    {code: "MissingAction|MalformedQueryString", header: "Content-Type: multipart/form-data; boundary=x", body: "--x\r\nContent-Disposition: form-data; name=\"Action\"\r\n\r\nDescribeTags\r\n--x--\r\n"},
		"XML with an entity":           {code: "MissingAction|MalformedQueryString", header: "Content-Type: text/xml", body: `<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><Action>&b;</Action>`},
		"a page token of its own":      {code: "InvalidPaginationToken", body: "Action=DescribeTags&NextToken=" + page{action: "DescribeTags"}.encode(-1)},
		"a page token of no number":    {code: "InvalidPaginationToken", body: "Action=DescribeTags&NextToken=" + strings.Repeat("A", 16_000)},
		"SQL":                          {code: "InvalidSnapshotID.Malformed", body: "Action=DeleteSnapshot&SnapshotId=" + url.QueryEscape("snap-' OR '1'='1")},
		"a service of JSON":            {code: "AuthFailure", header: "Authorization: AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/kms/aws4_request", body: `{}`},
		"STS, another call":            {code: "InvalidAction", body: "Action=AssumeRole&Version=2011-06-15"},
		"HEAD":                         {code: "InvalidRequest", method: "HEAD"},
		"PUT":                          {code: "InvalidRequest", method: "PUT", body: "Action=DescribeTags"},
		"DELETE":                       {code: "InvalidRequest", method: "DELETE"},
		"CONNECT":                      {code: "InvalidRequest", method: "CONNECT"},
		"TRACE":                        {code: "InvalidRequest", method: "TRACE"},
		"a method of another case":     {code: "InvalidRequest", method: "post", body: "Action=DescribeTags"},
		"a method nobody has heard of": {code: "InvalidRequest", method: strings.Repeat("X", 2000), body: "Action=DescribeTags"},
	}
}

// TestHostileForms: what is no request of EC2 is refused in EC2's form, soon, and changes nothing.
func TestHostileForms(t *testing.T) {
	t.Parallel()
	h, snapshot, task := inhabited(t)
	before, files := h.contents(t), h.files(t)
	for name, tc := range hostileForms(snapshot, task) {
		t.Run(name, func(t *testing.T) {
			method := tc.method
			if method == "" {
				method = http.MethodPost
			}
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(tc.body))
			r.Method = method
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if name, value, ok := strings.Cut(tc.header, ": "); ok {
				r.Header.Set(name, value)
			}
			start := time.Now()
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if took := time.Since(start); took > time.Minute { // the work is of milliseconds; that of a list within a list was of minutes
				t.Errorf("it took %s", took)
			}
			code, err := wellFormed(w.Code, w.Result().Header, w.Body.Bytes())
			if err != nil {
				t.Fatalf("%v\n%.2000s", err, w.Body)
			}
			if !slices.Contains(strings.Split(tc.code, "|"), code) || !strings.Contains(w.Body.String(), tc.says) || w.Body.Len() > 3000 {
				t.Errorf("want %s %q, got %d bytes: %.2000s", tc.code, tc.says, w.Body.Len(), w.Body)
			}
		})
	}
	if after := h.contents(t); after != before {
		t.Errorf("the store was\n%s\nand is\n%s", before, after)
	}
	if after := h.files(t); !slices.Equal(after, files) {
		t.Errorf("the files were %v and are %v", files, after)
	}
}
