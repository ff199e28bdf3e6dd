package provider_test

import (
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
)

// TestP13SharedToken: two objects with one client token would share, and destroy, one snapshot.
func TestP13SharedToken(t *testing.T) {
	config := with("client_token", "a")
	created := func(t *testing.T, e *acctest.EC2) *acctest.Object {
		t.Helper()
		o, d := acctest.NewCore(t, e.Config()).Create(config)
		if len(d) > 0 {
			t.Fatal(d)
		}
		return o
	}

	// Terraform plans a tainted object, -replace and replace_triggered_by as a new one, behind the refresh of the old.
	t.Run("of the object that is replaced", func(t *testing.T) {
		t.Parallel()
		e := newEC2(t)
		c := acctest.NewCore(t, e.Config())
		o, d := c.Read(created(t, e))
		if len(d) > 0 {
			t.Fatal(d)
		}
		o.Tainted = true
		if _, d := c.Plan(o, config); !d.HasError() || d.Errors()[0].Path != "client_token" || !strings.Contains(d.String(), "untaint") {
			t.Errorf("planned with %v", d)
		}
		if _, d := c.Plan(o, with("client_token", "b")); len(d) > 0 {
			t.Errorf("another token is refused: %v", d)
		}
	})
	t.Run("of a twin in the state", func(t *testing.T) {
		t.Parallel()
		e := newEC2(t)
		c := acctest.NewCore(t, e.Config())
		if _, d := c.Read(created(t, e)); len(d) > 0 {
			t.Fatal(d)
		}
		if _, d := c.Plan(nil, config); !d.HasError() {
			t.Error("a second resource with the same token is planned")
		}
	})
	// Terraform plans the two of them in any order, and there may be no read at all (-refresh=false).
	for name, config := range map[string]map[string]any{"kept": config, "changed": with("client_token", "b")} {
		t.Run("of a twin in the state that is planned behind it, and "+name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			c := acctest.NewCore(t, e.Config())
			if _, d := c.Plan(nil, with("client_token", "a")); len(d) > 0 {
				t.Fatal(d)
			}
			if _, d := c.Plan(created(t, e), config); !d.HasError() || d.Errors()[0].Summary != "Client Token in Use" || d.Errors()[0].Path != "client_token" {
				t.Errorf("a second resource with the same token is planned: %v", d)
			}
		})
	}
	t.Run("of a twin in the state that is planned to go behind it", func(t *testing.T) {
		t.Parallel()
		e := newEC2(t)
		c := acctest.NewCore(t, e.Config())
		if _, d := c.Plan(nil, config); len(d) > 0 {
			t.Fatal(d)
		}
		if d := c.PlanDestroy(created(t, e)); !d.HasError() || d.Errors()[0].Summary != "Client Token in Use" {
			t.Errorf("a second resource with the same token is planned: %v", d)
		}
	})
	t.Run("of an import that this process has made", func(t *testing.T) {
		t.Parallel()
		e := newEC2(t)
		c := acctest.NewCore(t, e.Config())
		o, d := c.Create(config)
		if len(d) > 0 {
			t.Fatal(d)
		}
		if p, d := c.Plan(o, config); len(d) > 0 || p.Action != "no-op" {
			t.Errorf("planned as %s with %v", p.Action, d)
		}
	})
	// Terraform's destroy refreshes first, and then plans what it found gone as if it were to be made anew.
	t.Run("of an import that is gone", func(t *testing.T) {
		t.Parallel()
		e := newEC2(t)
		c := acctest.NewCore(t, e.Config())
		o := created(t, e)
		e.Call(t, "DeleteSnapshot", here, "SnapshotId", o.Text("snapshot_id"))
		if o, d := c.Read(o); o != nil || d.HasError() {
			t.Fatalf("the deleted snapshot is read as %v: %v", o, d)
		}
		if _, d := c.Plan(nil, config); d.HasError() {
			t.Errorf("what is gone stands in the way: %v", d)
		}
	})
	t.Run("of a twin in the same apply", func(t *testing.T) {
		t.Parallel()
		e := newEC2(t)
		c := acctest.NewCore(t, e.Config())
		if _, d := c.Create(config); len(d) > 0 {
			t.Fatal(d)
		}
		if o, d := c.Create(config); !d.HasError() || !strings.Contains(d.String(), "belongs to another resource") {
			t.Errorf("the second resource has the snapshot of the first: %v, %v", o, d)
		}
		if n := e.Snapshots(t, here); n != 1 {
			t.Errorf("%d snapshots", n)
		}
	})
}

// TestP13Replay: a token that was used before gets what it was used for, which is not taken for the import that is asked for.
func TestP13Replay(t *testing.T) {
	// refused wants one error at client_token that says all of says, and nothing in the state.
	refused := func(t *testing.T, o *acctest.Object, d acctest.Diagnostics, says ...string) {
		t.Helper()
		if o != nil || len(d) != 1 || !d.HasError() || d[0].Path != "client_token" {
			t.Fatalf("want one error at client_token and no object, got\n%s", d)
		}
		if missing := lacks(d[0].Detail, append(says, "Cause: ", "Cure: ")...); len(missing) > 0 {
			t.Errorf("the error lacks %q:\n%s", missing, d[0].Detail)
		}
	}
	t.Run("a dead import", func(t *testing.T) {
		t.Parallel()
		e := newEC2(t, func(c *localec2.Config) { c.Simulate.FailWith = "ClientError: Footers not identical" })
		config := with("client_token", "a")
		if _, d := acctest.NewCore(t, e.Config()).Create(config); !d.HasError() {
			t.Fatal("the import has not failed")
		}
		o, d := acctest.NewCore(t, e.Config()).Create(config)
		refused(t, o, d, "import-snap-", "failed earlier", "ClientError: Footers not identical", "Why that import failed")
	})
	t.Run("a foreign import", func(t *testing.T) {
		t.Parallel()
		e := newEC2(t)
		// EC2 compares the requests; not every endpoint does.
		e.On("ImportSnapshot", acctest.Within("snapshotTaskDetail",
			"<url>s3://images/other.vmdk</url><userBucket><s3Bucket>images</s3Bucket><s3Key>other.vmdk</s3Key></userBucket>"))
		o, d := acctest.NewCore(t, e.Config()).Create(with("client_token", "a"))
		refused(t, o, d, "import-snap-", "s3://images/other.vmdk, and not s3://images/disk.vmdk")
		if n := len(e.Requests("CancelImportTask")) + len(e.Requests("DeleteSnapshot")); n > 0 {
			t.Errorf("%d calls against an import of somebody else", n)
		}
	})
	t.Run("an import whose snapshot is deleted", func(t *testing.T) {
		t.Parallel()
		e := newEC2(t)
		config := with("client_token", "a")
		o, d := acctest.NewCore(t, e.Config()).Create(config)
		if len(d) > 0 {
			t.Fatal(d)
		}
		e.Call(t, "DeleteSnapshot", here, "SnapshotId", o.Text("snapshot_id"))
		_, d = acctest.NewCore(t, e.Config()).Create(config)
		if len(d) != 1 || !d.HasError() || d[0].Path != "client_token" || len(lacks(d[0].Detail, o.Text("snapshot_id"), "was deleted", "another `client_token`")) > 0 ||
			strings.Contains(d[0].Detail, "untaint") {
			t.Errorf("the import of a deleted snapshot ends with\n%s", d)
		}
	})
}
