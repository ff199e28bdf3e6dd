package provider_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
)

// withIAM is the configuration that leads to e, with an IAM beside it that answers every call with a status and a body.
func withIAM(t *testing.T, e *acctest.EC2, status int, body string) (config map[string]any, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("Action") != "GetRole" {
			t.Errorf("IAM is asked for %s", r.FormValue("Action"))
		}
		asked.Add(1)
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	config = e.Config()
	endpoints := config["endpoints"].([]any)[0].(map[string]any)
	endpoints["iam"] = server.URL
	return config, asked
}

func roleWith(trust string) string {
	var escaped bytes.Buffer
	_ = xml.EscapeText(&escaped, []byte(trust))
	return `<GetRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetRoleResult><Role><RoleName>importer</RoleName>` +
		`<Arn>arn:aws:iam::111122223333:role/importer</Arn><AssumeRolePolicyDocument>` + escaped.String() + `</AssumeRolePolicyDocument></Role></GetRoleResult></GetRoleResponse>`
}

const (
	otherTrust = `{"Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	goodTrust  = `{"Statement":[{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	noIAM      = `<ErrorResponse><Error><Code>AccessDenied</Code><Message>not authorized to perform: iam:GetRole</Message></Error></ErrorResponse>`
)

// TestP11RoleAtStart (W6): what EC2 says of every broken role in the same words is told apart by IAM, after the failure and not before.
func TestP11RoleAtStart(t *testing.T) {
	for name, test := range map[string]struct {
		status       int
		body, answer string // EC2's
		says         string // "": nothing
		lost         bool   // a try before was not answered
	}{
		"trust":         {200, roleWith(otherTrust), "", `Role: IAM says that the role "importer" is there, but that its trust policy`, false},
		"behind a loss": {200, roleWith(otherTrust), "", `Role: IAM says that the role "importer" is there, but that its trust policy`, true},
		"sound":         {200, roleWith(goodTrust), "", "What is left are the role's own policies", false},
		"missing":       {404, `<ErrorResponse><Error><Code>NoSuchEntity</Code><Message>no</Message></Error></ErrorResponse>`, "", `no role "importer"`, false},
		"may not look":  {403, noIAM, "", "", false},
		"not the role":  {200, roleWith(otherTrust), "The given S3 object is not local to the region.", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			config, asked := withIAM(t, e, test.status, test.body)
			answer := test.answer
			if answer == "" {
				answer = "The service role importer provided does not exist or does not have sufficient permissions"
			}
			e.On("ImportSnapshot", acctest.Refuse(400, "InvalidParameter", answer))
			summary := "Unable to Start Import"
			if test.lost {
				e.On("ImportSnapshot", acctest.First(1, acctest.DropAnswer))
				summary = "Import May Have Begun"
			}
			c := acctest.NewCore(t, config)
			p, d := c.Plan(nil, with("role_name", "importer", "timeouts", map[string]any{"create": "6s"}))
			if len(d) > 0 || asked.Load() > 0 {
				t.Fatalf("the plan asks IAM %d times and says %v", asked.Load(), d)
			}
			_, d = c.Apply(t.Context(), p)
			if len(d) != 1 || !d.HasError() || d[0].Summary != summary || !strings.Contains(d[0].Detail, answer) || !strings.Contains(d[0].Detail, "Cause: ") {
				t.Fatalf("said\n%s", d)
			}
			if test.answer == "" && d[0].Path != "role_name" {
				t.Errorf("it is on %q", d[0].Path)
			}
			if got := strings.Contains(d[0].Detail, "Role: "); got != (test.says != "") || !strings.Contains(d[0].Detail, test.says) {
				t.Errorf("want %q in\n%s", test.says, d)
			}
			if test.answer != "" && asked.Load() > 0 {
				t.Error("IAM was asked about a role that is not to blame")
			}
		})
	}
}

// TestP11RoleOfTask: so is the role of an import that EC2 gives up for it.
func TestP11RoleOfTask(t *testing.T) {
	t.Parallel()
	e := newEC2(t, func(c *localec2.Config) {
		c.Simulate.FailWith = "ClientError: Disk validation failed [We do not have access to the given resource. Reason 403 Forbidden]"
	})
	config, _ := withIAM(t, e, 200, roleWith(goodTrust))
	_, d := acctest.NewCore(t, config).Create(with())
	if len(d) != 1 || d[0].Path != "role_name" || len(lacks(d[0].Detail, "403 Forbidden", "Cause: ", "Role: IAM says", "trust policy is sound", "task:")) > 0 {
		t.Errorf("said\n%s", d)
	}
}

// TestDryRunNamesPermission: a plan with dry_run that EC2 refuses in code says in plain words what is missing, on the attribute that needs it.
func TestDryRunNamesPermission(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	e.On("ImportSnapshot", acctest.Refuse(403, "UnauthorizedOperation", "You are not authorized to perform this operation. Encoded authorization failure message: 5ecretb10b-x"))
	e.On("DecodeAuthorizationMessage", acctest.Instead(200, `<DecodeAuthorizationMessageResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><DecodeAuthorizationMessageResult>`+
		`<DecodedMessage>{"allowed":false,"explicitDeny":false,"context":{"action":"ec2:CreateTags","resource":"arn:aws:ec2:us-east-1:111122223333:import-snapshot-task/*"}}</DecodedMessage>`+
		`</DecodeAuthorizationMessageResult></DecodeAuthorizationMessageResponse>`))
	_, d := acctest.NewCore(t, e.Config()).Plan(nil, with("dry_run", true, "tags", tags("a", "b")))
	if len(d) != 1 || !d.HasError() || d[0].Path != "tags" || strings.Contains(d[0].Detail, "5ecretb10b") ||
		len(lacks(d[0].Detail, "may not do ec2:CreateTags on arn:aws:ec2:us-east-1:111122223333:import-snapshot-task/*", "no policy allows it", "Cure: ")) > 0 {
		t.Errorf("said\n%s", d)
	}
	if n := accepted(e); n != 0 {
		t.Errorf("%d imports were started", n)
	}
}
