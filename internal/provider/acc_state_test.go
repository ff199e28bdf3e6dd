package provider_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// TestRule7StoredState: a state of this version is read as it is; one of a later version, and one of Terraform 0.11, are refused with words.
func TestRule7StoredState(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	c := acctest.NewCore(t, e.Config())
	o, d := c.Create(with("tags", tags("Name", "web"), "client_data", map[string]any{"comment": "a", "upload_size": 0.5}))
	if len(d) > 0 {
		t.Fatal(d)
	}
	stored := o.JSON(t)
	same, d := c.Upgrade(0, tfprotov6.RawState{JSON: stored})
	if len(d) > 0 || !same.Same(o) {
		t.Errorf("the stored state has changed: %v\n%s", d, stored)
	}
	for name, test := range map[string]struct {
		version int64
		state   tfprotov6.RawState
		says    string
	}{
		"a later version":    {1, tfprotov6.RawState{JSON: stored}, "version 1"},
		"another type":       {0, tfprotov6.RawState{JSON: []byte(`{"volume_size": "large"}`)}, "volume_size"},
		"no JSON":            {0, tfprotov6.RawState{JSON: []byte(`{`)}, "state"},
		"Terraform 0.11's":   {0, tfprotov6.RawState{Flatmap: map[string]string{"snapshot_id": "snap-1"}}, "state"},
		"an older, flat one": {-1, tfprotov6.RawState{JSON: stored}, "version"},
	} {
		if _, d := c.Upgrade(test.version, test.state); !d.HasError() || !strings.Contains(d.String(), test.says) {
			t.Errorf("%s: want an error that says %q, got %v", name, test.says, d)
		}
	}
}

// TestRule7IdentityThroughout: an import has its identity from the create on, and keeps it.
func TestRule7IdentityThroughout(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	c := acctest.NewCore(t, e.Config())
	o, d := c.Create(with())
	if len(d) > 0 {
		t.Fatal(d)
	}
	want := map[string]any{"import_task_id": o.Text("import_task_id"), "region": here}
	check := func(when string, o *acctest.Object, d acctest.Diagnostics) {
		t.Helper()
		if o == nil || d.HasError() {
			t.Fatalf("%s: %v", when, d)
		}
		if diff := cmp.Diff(want, c.Identity(o)); diff != "" {
			t.Errorf("%s the identity is (-want +got):\n%s", when, diff)
		}
	}
	check("behind the create", o, nil)
	read, d := c.Read(o)
	check("behind a refresh", read, d)
	changed, d := c.Change(read, with("tags", tags("Name", "web")))
	check("behind an update", changed, d)
	adopted, d := c.Import(o.Text("snapshot_id"))
	check("behind an import by the snapshot", adopted, d)
	adopted, d = c.ImportByIdentity(map[string]any{"import_task_id": o.Text("import_task_id")})
	check("behind an import by identity", adopted, d)

	// A state that was mixed up is not read as another import's.
	other := c.WithIdentity(o, map[string]any{"import_task_id": "import-snap-0123456789abcdef0", "region": here})
	if _, d := c.Read(other); !strings.Contains(d.String(), "Identity") {
		t.Errorf("an identity that changes: %v", d)
	}
}
