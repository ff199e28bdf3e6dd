package importtask

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
)

const soundTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"sts:AssumeRole",` +
	`"Condition":{"StringEquals":{"sts:Externalid":"vmimport","aws:SourceAccount":"111122223333"},"ArnLike":{"aws:SourceArn":"arn:aws:vmie:*:111122223333:*"}}}]}`

// trust is a policy of one Allow statement for VM Import with these conditions.
func trust(conditions string) string {
	return `{"Statement":{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{` + conditions + `}}}`
}

// TestP11Trust: what is wrong with a trust policy, in words that name the part.
func TestP11Trust(t *testing.T) {
	for name, test := range map[string]struct {
		document string
		says     []string // none: it is sound
	}{
		"the guide's":                    {soundTrust, nil},
		"lists":                          {`{"Statement":[{"Effect":"Allow","Principal":{"Service":["ec2.amazonaws.com","vmie.amazonaws.com"]},"Action":["sts:TagSession","sts:assumerole"]}]}`, nil},
		"wildcards":                      {`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:*"}]}`, nil},
		"China":                          {`{"Statement":[{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com.cn"},"Action":"sts:AssumeRole"}]}`, nil},
		"no condition":                   {trust(``), nil},
		"external id among others":       {trust(`"StringEquals":{"STS:EXTERNALID":["x","vmimport"]}`), nil},
		"external id, like":              {trust(`"StringLike":{"sts:ExternalId":"vm*"}`), nil},
		"external id, present":           {trust(`"Null":{"sts:ExternalId":"false"}`), nil},
		"account, if it exists":          {trust(`"StringEqualsIfExists":{"aws:SourceAccount":"111122223333"}`), nil},
		"account, a number":              {trust(`"StringEquals":{"aws:SourceAccount":111122223333}`), nil},
		"another account, not":           {trust(`"StringNotEquals":{"aws:SourceAccount":"999999999999"}`), nil},
		"ARN, open":                      {trust(`"ArnLike":{"aws:SourceArn":"arn:aws:vmie:*"}`), nil},
		"second statement is the one":    {`{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::1:root"},"Action":"sts:AssumeRole"},{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"sts:AssumeRole"}]}`, nil},
		"one of two statements lets in":  {`{"Statement":[{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"x"}}},{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"sts:AssumeRole"}]}`, nil},
		"Deny of another":                {strings.Replace(soundTrust, `"Statement":[`, `"Statement":[{"Effect":"Deny","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"},`, 1), nil},
		"Deny without external id":       {strings.Replace(soundTrust, `"Statement":[`, `"Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Condition":{"StringNotEquals":{"sts:ExternalId":"vmimport"}}},`, 1), nil},
		"another service":                {strings.ReplaceAll(soundTrust, "vmie.", "ec2."), []string{"no statement", "vmie.amazonaws.com", `only "ec2.amazonaws.com"`}},
		"a service spelled wrong":        {strings.ReplaceAll(soundTrust, "vmie.", "vmimport."), []string{`only "vmimport.amazonaws.com"`}},
		"as an account":                  {`{"Statement":[{"Effect":"Allow","Principal":{"AWS":"vmie.amazonaws.com"},"Action":"sts:AssumeRole"}]}`, []string{"no statement", "Principal.Service"}},
		"another action":                 {strings.ReplaceAll(soundTrust, "sts:AssumeRole", "sts:TagSession"), []string{`"sts:TagSession", not sts:AssumeRole`}},
		"no action":                      {`{"Statement":[{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"}}]}`, []string{"nothing, not sts:AssumeRole"}},
		"external id":                    {strings.ReplaceAll(soundTrust, `"vmimport"`, `"VMImport"`), []string{"sts:Externalid", `wants "VMImport"`, `sends "vmimport"`}},
		"external id, forbidden":         {trust(`"StringNotEquals":{"sts:ExternalId":"vmimport"}`), []string{`anything but "vmimport"`}},
		"another account":                {strings.Replace(soundTrust, `"111122223333"`, `"999999999999"`, 1), []string{"aws:SourceAccount", `"999999999999"`, "this account is 111122223333"}},
		"another account's imports":      {strings.ReplaceAll(soundTrust, "vmie:*:111122223333", "vmie:*:999999999999"), []string{"aws:SourceArn", "vmie:*:999999999999", "arn:aws:vmie:eu-west-1:111122223333:"}},
		"another Region's imports":       {strings.ReplaceAll(soundTrust, "vmie:*:", "vmie:us-east-1:"), []string{"aws:SourceArn", "vmie:us-east-1"}},
		"imports of another service":     {strings.ReplaceAll(soundTrust, "arn:aws:vmie:", "arn:aws:ec2:"), []string{"aws:SourceArn"}},
		"everyone, as AWS":               {`{"Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`, nil},
		"everyone, among others":         {`{"Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::1:root","*"]},"Action":"sts:AssumeRole"}]}`, nil},
		"ARN, not to the letter":         {trust(`"StringNotEquals":{"aws:SourceArn":"arn:aws:vmie:eu-west-1:111122223333:*"}`), nil},
		"ARN, to the letter":             {trust(`"StringEquals":{"aws:SourceArn":"arn:aws:vmie:eu-west-1:111122223333:*"}`), []string{"aws:SourceArn", "to the letter", "StringEquals", "wildcards"}},
		"ARN, the letters open":          {trust(`"StringEqualsIgnoreCase":{"aws:SourceArn":"arn:aws:vmie:*"}`), []string{"aws:SourceArn", "to the letter"}},
		"ARN, equal":                     {trust(`"ArnEquals":{"aws:SourceArn":"arn:aws:vmie:eu-west-1:111122223333:*"}`), nil},
		"Deny":                           {strings.Replace(soundTrust, `"Statement":[`, `"Statement":[{"Sid":"Closed","Effect":"Deny","Principal":"*","Action":"sts:*"},`, 1), []string{`Deny statement ("Closed")`}},
		"two things at once":             {trust(`"StringEquals":{"sts:ExternalId":"x","aws:SourceAccount":"9"}`), []string{"sts:Externalid", "aws:SourceAccount"}},
		"the statement that lacks least": {`{"Statement":[{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"a:b","Condition":{"StringEquals":{"sts:ExternalId":"first"}}},{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"second"}}}]}`, []string{`"second"`}},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := judgeTrust(test.document, assumer{account: "111122223333", region: "eu-west-1"})
			if err != nil || v.doubts != nil {
				t.Fatalf("doubts %q, %v", v.doubts, err)
			}
			text := strings.Join(v.faults, "; ")
			if (text == "") != (test.says == nil) {
				t.Errorf("got %q", text)
			}
			for _, says := range test.says {
				if !strings.Contains(text, says) {
					t.Errorf("%q does not say %q", text, says)
				}
			}
		})
	}
}

// TestP11TrustDoubts: a condition that nobody here can judge is a doubt and no fault, beside whatever is wrong for certain.
func TestP11TrustDoubts(t *testing.T) {
	known := assumer{account: "111122223333", region: "eu-west-1"}
	for name, test := range map[string]struct {
		document       string
		by             assumer
		faults, doubts []string // what each says
	}{
		"a key":       {trust(`"Bool":{"aws:SecureTransport":"true"}`), known, nil, []string{`"aws:SecureTransport"`}},
		"an operator": {trust(`"Fits":{"sts:ExternalId":"vmimport"}`), known, nil, []string{`"Fits"`}},
		"an account":  {trust(`"StringEquals":{"aws:SourceAccount":"9"},"ArnLike":{"aws:SourceArn":"arn:aws:vmie:*:9:*"}`), assumer{}, nil, []string{"aws:SourceArn", "aws:SourceAccount"}},
		"a fault too": {trust(`"StringEquals":{"aws:PrincipalOrgID":"o-1","sts:ExternalId":"x"}`), known, []string{"sts:Externalid"}, []string{`"aws:PrincipalOrgID"`}},
		"Deny": {`{"Statement":[{"Effect":"Deny","Principal":"*","Action":"*"},{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"sts:AssumeRole",` +
			`"Condition":{"Bool":{"aws:SecureTransport":"true"}}}]}`, known, []string{"a Deny statement"}, []string{`"aws:SecureTransport"`}},
		"Deny in doubt": {strings.Replace(soundTrust, `"Statement":[`, `"Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}},`, 1),
			known, nil, nil},
		"less doubt": {`{"Statement":[{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"Bool":{"a:a":"x","b:b":"x"}}},` +
			`{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"Bool":{"c:c":"x"}}}]}`, known, nil, []string{`"c:c"`}},
		"doubt before fault": {`{"Statement":[{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"a:b"},` +
			`{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"Bool":{"a:a":"x","b:b":"x"}}}]}`, known, nil, []string{`"a:a"`, `"b:b"`}},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := judgeTrust(test.document, test.by)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range []struct{ got, says []string }{{v.faults, test.faults}, {v.doubts, test.doubts}} {
				if len(part.got) != len(part.says) {
					t.Fatalf("got %q, want %q", part.got, part.says)
				}
				for i, says := range part.says {
					if !strings.Contains(part.got[i], says) {
						t.Errorf("%q does not say %q", part.got[i], says)
					}
				}
			}
		})
	}
}

// The document is anybody's. Whatever it is made of, it is judged or refused, quickly and in few words.
func FuzzTrust(f *testing.F) {
	for _, seed := range []string{
		soundTrust, "", "null", "[]", `""`, `{}`, `{"Statement":null}`, `{"Statement":"x"}`, `{"Statement":[null,{}]}`,
		`{"Statement":{"Effect":"Allow","Principal":{"Service":{"a":1}},"Action":[[]],"Condition":{"StringEquals":{"sts:ExternalId":[null,{},[1]]}}}}`,
		`{"Statement":{"Effect":["Allow"],"Principal":7}}`, `{"Statement":{"Effect":"Allow","Principal":"*","Action":7,"Condition":[]}}`,
		trust(`"StringLike":{"sts:ExternalId":"` + strings.Repeat("*v*m", 500) + `"}`), trust(`"ArnLike":{"aws:SourceArn":"` + strings.Repeat(":", 99) + `"}`),
		strings.Repeat("[", 100000), trust(`"` + strings.Repeat("x", 100000) + `":{"y":"z"}`),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, document string) {
		v, err := judgeTrust(document, assumer{account: "111122223333", region: "eu-west-1"})
		if err != nil && (v.faults != nil || v.doubts != nil) {
			t.Errorf("both %v and %q", err, v)
		}
		for _, text := range append(v.faults, v.doubts...) {
			if len(text) > 5000 {
				t.Errorf("a verdict of %d bytes", len(text))
			}
		}
	})
}

// iamAnswers is an IAM that gives one answer; its client makes as many tries as the provider's default settings allow.
func iamAnswers(t *testing.T, status int, contentType, body string) (client *iam.Client, asked *[]url.Values) {
	t.Helper()
	asked = &[]url.Values{}
	return iam.New(iam.Options{
		Region: "eu-west-1", Credentials: static, RetryMaxAttempts: 25,
		HTTPClient: doer(func(r *http.Request) (*http.Response, error) {
			raw, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			form, err := url.ParseQuery(string(raw))
			*asked = append(*asked, form)
			return &http.Response{
				StatusCode: status, Header: http.Header{"Content-Type": {contentType}}, Request: r, Body: io.NopCloser(bytes.NewReader([]byte(body))),
			}, err
		}),
	}), asked
}

func roleAnswer(document string) string {
	return `<GetRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetRoleResult><Role><Path>/x/</Path><RoleName>vmimport</RoleName>` +
		`<Arn>arn:aws:iam::111122223333:role/x/vmimport</Arn><AssumeRolePolicyDocument>` + document + `</AssumeRolePolicyDocument></Role></GetRoleResult></GetRoleResponse>`
}

func iamError(code, message string) string {
	return fmt.Sprintf(`<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>`, code, message)
}

func TestP11ExplainRole(t *testing.T) {
	const xml = "text/xml"
	sound := url.PathEscape(soundTrust)
	for name, test := range map[string]struct {
		role              string
		status            int
		contentType, body string
		asks, says        string // says "": nothing can be said
	}{
		"sound":           {"", 200, xml, roleAnswer(sound), "vmimport", "trust policy is sound. What is left are the role's own policies (s3:GetObject"},
		"not encoded":     {"", 200, xml, roleAnswer(soundTrust), "vmimport", "trust policy is sound"},
		"wrong":           {"mine", 200, xml, roleAnswer(url.PathEscape(strings.ReplaceAll(soundTrust, "vmie.", "ec2."))), "mine", `"mine" is there, but that its trust policy`},
		"another account": {"mine", 200, xml, roleAnswer(strings.ReplaceAll(sound, "111122223333%22%7D%2C", "999999999999%22%7D%2C")), "mine", "this account is 111122223333"},
		"missing":         {"mine", 404, xml, iamError("NoSuchEntity", "The role with name mine cannot be found."), "mine", `no role "mine"`},
		"in doubt": {"", 200, xml, roleAnswer(url.PathEscape(trust(`"Bool":{"aws:SecureTransport":"true"}`))), "vmimport",
			`nothing is wrong in its trust policy as far as that can be judged. Not judged: it asks for "aws:SecureTransport" ("Bool" "true"). What is left are the role's own policies`},
		"wrong and in doubt": {"", 200, xml, roleAnswer(url.PathEscape(trust(`"StringEquals":{"aws:PrincipalOrgID":"o-1","sts:ExternalId":"x"}`))), "vmimport",
			`VM Import always sends "vmimport". Not judged: it asks for "aws:PrincipalOrgID"`},
		"no permission":       {"", 403, xml, iamError("AccessDenied", "User is not authorized to perform: iam:GetRole"), "vmimport", ""},
		"no such action":      {"", 400, xml, iamError("InvalidAction", "no such action"), "vmimport", ""},
		"LocalStack has none": {"", 501, xml, iamError("InternalFailure", "The get_role action has not been implemented"), "vmimport", ""},
		"moto has none":       {"", 500, "text/html", "<!doctype html><title>500 Internal Server Error</title>", "vmimport", ""},
		"no IAM at all":       {"", 404, "text/html", "<html>not found</html>", "vmimport", ""},
		"an empty answer":     {"", 200, xml, "", "vmimport", ""},
		"no trust policy":     {"", 200, xml, roleAnswer(""), "vmimport", ""},
		"no JSON":             {"", 200, xml, roleAnswer("nothing%2"), "vmimport", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, asked := iamAnswers(t, test.status, test.contentType, test.body)
				began := time.Now()
				text, err := ExplainRole(t.Context(), client, test.role, "eu-west-1")
				if (text == "") != (err != nil) || !strings.Contains(text, test.says) || (test.says == "") != (text == "") {
					t.Errorf("got %q, %v", text, err)
				}
				if took := time.Since(began); took > roleLimit || len(*asked) > 2 {
					t.Errorf("%d calls in %s", len(*asked), took)
				}
				if form := (*asked)[0]; form.Get("Action") != "GetRole" || form.Get("RoleName") != test.asks {
					t.Errorf("asked %v", form)
				}
			})
		})
	}
	t.Run("no answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client := iam.New(iam.Options{Region: "eu-west-1", Credentials: static, HTTPClient: doer(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, context.Cause(r.Context())
			})})
			began := time.Now()
			if text, err := ExplainRole(t.Context(), client, "", "eu-west-1"); text != "" || err == nil || time.Since(began) > roleLimit {
				t.Errorf("got %q, %v after %s", text, err, time.Since(began))
			}
		})
	})
}
