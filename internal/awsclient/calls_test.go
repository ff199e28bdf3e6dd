package awsclient

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

func asAPI(err error, api *smithy.APIError) bool { return errors.As(err, api) }

// TestNotOffered: an endpoint that has no such call is not asked for minutes; EC2 itself is.
func TestNotOffered(t *testing.T) {
	isolate(t)
	fake := startAWS(t)
	fake.answer = func(w http.ResponseWriter, c call) bool {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte("<!doctype html><title>500 Internal Server Error</title>"))
		return true
	}
	s := fake.settings()
	s.SkipCredentialsValidation, s.SkipRequestingAccountID, s.RetryMode = true, true, "standard"
	page := func(err error) bool {
		var answer *smithyhttp.ResponseError
		return errors.As(err, &answer) && answer.HTTPStatusCode() == http.StatusInternalServerError
	}
	for name, test := range map[string]struct {
		endpoint   string
		notOffered func(error) bool
		want       int
	}{
		"an emulator":          {fake.URL, page, 3},
		"another error":        {fake.URL, func(error) bool { return false }, 6},
		"nobody tells":         {fake.URL, nil, 6},
		"AWS, through a proxy": {"http://ec2.us-east-1.amazonaws.com", page, 6},
	} {
		s := s
		s.Endpoints.EC2, s.NotOffered, s.MaxRetries = test.endpoint, test.notOffered, ptr(int64(5))
		if test.endpoint != fake.URL {
			s.HTTPProxy = &fake.URL
		}
		c, err := New(t.Context(), s, "us-east-1")
		if err != nil {
			t.Fatal(err)
		}
		before := len(fake.seen())
		if err := describe(t, c); err == nil {
			t.Errorf("%s: no error", name)
		}
		if got := len(fake.seen()) - before; got != test.want {
			t.Errorf("%s: %d tries, want %d", name, got, test.want)
		}
	}
}

const (
	blob    = "9i6Rn-Tu8Y_x4ZcbZnqbRk8oLhQwK"
	refused = "You are not authorized to perform this operation. Encoded authorization failure message: " + blob
)

// TestDryRunDecoded: STS reads what EC2 refuses in code, where the caller may ask it.
func TestDryRunDecoded(t *testing.T) {
	isolate(t)
	sts403 := `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to perform: sts:DecodeAuthorizationMessage</Message></Error></ErrorResponse>`
	for name, test := range map[string]struct {
		ec2     string
		decoded string // what STS says; "" it refuses
		says    []string
		asks    int // of three calls
	}{
		"implicit": {
			refused, `{"allowed":false,"explicitDeny":false,"matchedStatements":{"items":[]},"context":{"principal":{"id":"A","name":"u","arn":"arn:aws:iam::1:user/u"},` +
				`"action":"ec2:ImportSnapshot","resource":"arn:aws:ec2:us-east-1::snapshot/*","conditions":{"items":[]}}}`,
			[]string{"You are not authorized to perform this operation.", "arn:aws:iam::1:user/u may not do ec2:ImportSnapshot on arn:aws:ec2:us-east-1::snapshot/*", "no policy allows it"}, 3,
		},
		"explicit": {
			refused, `{"explicitDeny":true,"matchedStatements":{"items":[{"statementId":"NoTags","effect":"DENY"}]},"context":{"action":"ec2:CreateTags"}}`,
			[]string{"the caller may not do ec2:CreateTags, because a policy denies it explicitly (statement \"NoTags\")"}, 3,
		},
		"STS may not be asked":  {refused, "", []string{blob}, 1},
		"STS says nothing":      {refused, "null", []string{blob}, 3},
		"STS says something":    {refused, `{"context":[1]}`, []string{blob}, 3},
		"STS says no JSON":      {refused, "a page", []string{blob}, 3},
		"nothing to be decoded": {"You are not authorized to perform: ec2:ImportSnapshot", "{}", []string{"perform: ec2:ImportSnapshot"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			fake := startAWS(t)
			fake.answer = func(w http.ResponseWriter, c call) bool {
				w.Header().Set("Content-Type", "text/xml")
				switch {
				case c.action() == "DescribeSnapshots":
					w.WriteHeader(http.StatusForbidden)
					fmt.Fprintf(w, "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>%s</Message></Error></Errors></Response>", test.ec2)
				case c.action() == "DecodeAuthorizationMessage" && test.decoded != "":
					fmt.Fprintf(w, `<DecodeAuthorizationMessageResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><DecodeAuthorizationMessageResult><DecodedMessage>%s</DecodedMessage>`+
						`</DecodeAuthorizationMessageResult></DecodeAuthorizationMessageResponse>`, html.EscapeString(test.decoded))
				case c.action() == "DecodeAuthorizationMessage":
					w.WriteHeader(http.StatusForbidden)
					fmt.Fprint(w, sts403)
				default:
					return false
				}
				return true
			}
			c, err := New(t.Context(), fake.settings(), "us-east-1")
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				err = describe(t, c)
			}
			var api smithy.APIError
			var answer *smithyhttp.ResponseError
			if !errors.As(err, &api) || api.ErrorCode() != "UnauthorizedOperation" || !errors.As(err, &answer) || answer.HTTPStatusCode() != http.StatusForbidden {
				t.Fatalf("it is not EC2's error any more: %v", err)
			}
			for _, says := range test.says {
				if !strings.Contains(err.Error(), says) || !strings.Contains(api.ErrorMessage(), says) {
					t.Errorf("%q is not in %v", says, err)
				}
			}
			if decoded := test.says[0] != blob; decoded == strings.Contains(err.Error(), blob) {
				t.Errorf("the encoded message: %v", err)
			}
			asked := 0
			for _, c := range fake.seen() {
				if c.action() == "DecodeAuthorizationMessage" {
					asked++
					if c.Path != "/sts/" || c.Form.Get("EncodedMessage") != blob {
						t.Errorf("asked at %s for %q", c.Path, c.Form.Get("EncodedMessage"))
					}
				}
			}
			if asked != test.asks {
				t.Errorf("STS was asked %d times, want %d", asked, test.asks)
			}
		})
	}
}

// An STS that goes with another EC2 is not asked what this one means.
func TestForeignRefusalIsNotDecoded(t *testing.T) {
	isolate(t)
	fake := startAWS(t)
	fake.answer = func(w http.ResponseWriter, _ call) bool {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>%s</Message></Error></Errors></Response>", refused)
		return true
	}
	s := Settings{
		AccessKey: "k", SecretKey: "s", SkipCredentialsValidation: true, SkipRequestingAccountID: true, Endpoints: Endpoints{EC2: fake.URL},
		HTTPSProxy: ptr(fake.URL), NoProxy: "127.0.0.1",
	}
	c, err := New(t.Context(), s, "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.EC2.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{})
	if err == nil || !strings.Contains(err.Error(), blob) || len(fake.seen()) != 1 {
		t.Errorf("%d calls, %v", len(fake.seen()), err)
	}
}
