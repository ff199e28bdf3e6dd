package provider_test

import (
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// TestP25Tiers: a tier in motion is no difference, wherever EC2 is with it; one that was not asked for is.
func TestP25Tiers(t *testing.T) {
	const standard, archive = "standard", "archive"
	for name, test := range map[string]struct {
		wanted, described string
		status, tier      string // of the last operation; "" where EC2 tells none
		action            string
	}{
		"archive in motion":                       {archive, standard, "archival-in-progress", standard, "no-op"},
		"archive, complete between two describes": {archive, standard, "archival-completed", archive, "no-op"},
		"archived":                          {archive, archive, "archival-completed", archive, "no-op"},
		"archive failed":                    {archive, standard, "archival-failed", standard, "update"},
		"archive never begun":               {archive, standard, "", "", "update"},
		"temporary restore in motion":       {standard, archive, "temporary-restore-in-progress", archive, "no-op"},
		"permanent restore in motion":       {standard, archive, "permanent-restore-in-progress", archive, "no-op"},
		"permanent restore, complete since": {standard, archive, "permanent-restore-completed", standard, "no-op"},
		"temporarily restored":              {standard, standard, "temporary-restore-completed", standard, "no-op"},
		"temporary restore expired":         {standard, archive, "temporary-restore-completed", archive, "update"},
		"restore failed":                    {standard, archive, "permanent-restore-failed", archive, "update"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			c := acctest.NewCore(t, e.Config())
			config := with("storage_tier", test.wanted)
			o, d := c.Create(config)
			if len(d) > 0 {
				t.Fatal(d)
			}
			e.On("DescribeSnapshots", acctest.WithElement("storageTier", test.described))
			status := "<DescribeSnapshotTierStatusResponse><snapshotTierStatusSet/></DescribeSnapshotTierStatusResponse>"
			if test.status != "" {
				status = "<DescribeSnapshotTierStatusResponse><snapshotTierStatusSet><item><snapshotId>" + o.Text("snapshot_id") + "</snapshotId><storageTier>" + test.tier +
					"</storageTier><lastTieringOperationStatus>" + test.status + "</lastTieringOperationStatus></item></snapshotTierStatusSet></DescribeSnapshotTierStatusResponse>"
			}
			e.On("DescribeSnapshotTierStatus", acctest.Instead(200, status))
			o, d = c.Read(o)
			if o == nil || len(d) > 0 {
				t.Fatal(d)
			}
			if p, d := c.Plan(o, config); p.Action != test.action || len(p.Replaces) > 0 || len(d) > 0 {
				t.Errorf("the plan is %s, want %s (replaces %q): %v", p.Action, test.action, p.Replaces, d)
			}
		})
	}
}

// TestP25MovedBefore: the move was asked for by an apply that was killed before it could write so down, or by hand. EC2 refuses to be asked again, and
// what was wanted is on its way all the same.
func TestP25MovedBefore(t *testing.T) {
	config := with("client_token", "a", "storage_tier", "archive")
	settled := func(t *testing.T, e *acctest.EC2, o *acctest.Object, d acctest.Diagnostics) {
		t.Helper()
		if len(d) > 0 || o == nil || o.Text("storage_tier") != "archive" {
			t.Fatalf("kept: %t, %v", o != nil, d)
		}
		c := acctest.NewCore(t, e.Config())
		o, d = c.Read(o)
		if len(d) > 0 {
			t.Fatal(d)
		}
		if p, d := c.Plan(o, config); len(d) > 0 || p.Action != "no-op" {
			t.Errorf("the second plan: %s, %v", p.Action, d)
		}
	}
	t.Run("the same import is created again", func(t *testing.T) {
		t.Parallel()
		e := newEC2(t)
		if _, d := acctest.NewCore(t, e.Config()).Create(config); len(d) > 0 {
			t.Fatal(d)
		}
		o, d := acctest.NewCore(t, e.Config()).Create(config)
		settled(t, e, o, d)
	})
	t.Run("by hand", func(t *testing.T) {
		t.Parallel()
		e := newEC2(t)
		o, d := acctest.NewCore(t, e.Config()).Create(with("client_token", "a"))
		if len(d) > 0 {
			t.Fatal(d)
		}
		e.Call(t, "ModifySnapshotTier", here, "SnapshotId", o.Text("snapshot_id"), "StorageTier", "archive")
		o, d = acctest.NewCore(t, e.Config()).Change(o, config)
		settled(t, e, o, d)
	})
}
