package provider_test

import (
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// TestAccStopsDestroy: a destroy plans the configuration first, so an error of the plan stops it. The error says the way around, and the way leads out.
func TestAccStopsDestroy(t *testing.T) {
	onlyOnce(t)
	refuse := acctest.When(func(r *acctest.Request) bool { return r.Form.Get("DryRun") == "true" },
		acctest.Refuse(403, "UnauthorizedOperation", "You are not authorized to perform this operation."))
	for name, test := range map[string]struct {
		first, then string
		summary     string
	}{
		"Client Token in Use": {
			snapshot("client_token = \"a\""), snapshot("client_token = \"a\"") + snapshotNamed("twin", "client_token = \"a\""), "Client Token in Use",
		},
		"Replacement Needs a New Client Token": {
			snapshot("client_token = \"a\""), snapshot("client_token = \"a\"\ndescription = \"web\""), "Replacement Needs a New Client Token",
		},
		"Import Not Permitted": {
			snapshot(""), snapshot("") + snapshotNamed("another", "dry_run = true\ndescription = \"web\""), "Import Not Permitted",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			w := acctest.NewWork(t, acctest.Binary(t))
			configure := func(resources string) {
				w.Write("main.tf", "terraform {\n  required_providers {\n    ec2 = { source = \"ec2-import-snapshot/ec2\" }\n  }\n}\n"+e.Provider("")+resources)
			}
			configure(test.first)
			w.Run(0, "apply", "-auto-approve")
			configure(test.then)
			e.On("ImportSnapshot", refuse)
			said := w.Fail(1, "destroy", "-auto-approve")
			if missing := lacks(strings.Join(strings.Fields(strings.ReplaceAll(said, "│", "")), " "), "Error: "+test.summary, "terraform destroy -refresh=false"); len(missing) > 0 {
				t.Errorf("the destroy lacks %q:\n%s", missing, said)
			}
			w.Run(0, "destroy", "-refresh=false", "-auto-approve")
			if n := e.Snapshots(t, here); n != 0 || len(w.State()) != 0 {
				t.Errorf("%d snapshots are left, and in the state %v", n, w.State())
			}
		})
	}
}
