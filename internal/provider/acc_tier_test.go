package provider_test

import (
	"maps"
	"strings"
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

// TestRule3TierInMotion: EC2 takes no move while another one is on its way. A change that it does not take is a warning, the plan shows it until an apply
// after the move has made it; one that EC2 takes all the same is made.
func TestRule3TierInMotion(t *testing.T) {
	const standard, archive = "standard", "archive"
	inTier := func(tier string, days any) map[string]any {
		return with("storage_tier", tier, "temporary_restore_days", days, "preflight", false)
	}
	refused := acctest.Refuse(400, "IncorrectState", "The snapshot is being moved between the tiers.")
	taken := func(action string) acctest.Hook { return acctest.Instead(200, "<"+action+"Response/>") }
	seen := func(e *acctest.EC2, tier, operation string) {
		e.Calm("DescribeSnapshots", "DescribeSnapshotTierStatus")
		e.On("DescribeSnapshots", acctest.WithElement("storageTier", tier))
		if operation == "temporary-restore-completed" {
			e.On("DescribeSnapshots", acctest.Within("item", "<restoreExpiryTime>2030-01-01T00:00:00.000Z</restoreExpiryTime>"))
		}
		e.On("DescribeSnapshotTierStatus", acctest.Instead(200, "<DescribeSnapshotTierStatusResponse><snapshotTierStatusSet><item><storageTier>"+tier+
			"</storageTier><lastTieringOperationStatus>"+operation+"</lastTieringOperationStatus></item></snapshotTierStatusSet></DescribeSnapshotTierStatusResponse>"))
	}
	for name, test := range map[string]struct {
		from, to      map[string]any
		moving, there string // the move that is on its way when the change comes, and how the snapshot is described meanwhile
		behind        string
		action        string
	}{
		"restored for ever, not for days": {
			inTier(standard, 3), inTier(standard, nil), "temporary-restore", archive, standard, "RestoreSnapshotTier",
		},
		"no tier and no days any more": {
			inTier(standard, 3), with("preflight", false), "temporary-restore", archive, standard, "RestoreSnapshotTier",
		},
		"for other days": {
			inTier(standard, 3), inTier(standard, 9), "temporary-restore", archive, standard, "RestoreSnapshotTier",
		},
		"archived while it is restored": {
			inTier(standard, nil), inTier(archive, nil), "permanent-restore", archive, standard, "ModifySnapshotTier",
		},
		"restored while it is archived": {
			inTier(archive, nil), inTier(standard, nil), "archival", standard, archive, "RestoreSnapshotTier",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			c := acctest.NewCore(t, e.Config())
			o, d := c.Create(test.from)
			if len(d) > 0 {
				t.Fatal(d)
			}
			seen(e, test.there, test.moving+"-in-progress")
			o, d = c.Read(o)
			if len(d) > 0 {
				t.Fatal(d)
			}
			if p, d := c.Plan(o, test.from); p.Action != "no-op" || len(d) > 0 {
				t.Fatalf("a move that leads to what is planned is a difference: %s, %v", p.Action, d)
			}

			e.On(test.action, refused)
			for range 2 { // the second apply comes during the move, too
				o, d = c.Change(o, test.to)
				if len(d) != 1 || d.HasError() || d[0].Summary != "Storage Tier Not Changed" || !strings.Contains(d[0].Detail, test.moving+"-in-progress") {
					t.Fatalf("want one warning that names the move, got %v", d)
				}
			}
			again := maps.Clone(test.to)
			again["tags"] = tags("Name", "web")
			p, d := c.Plan(o, again) // without a read: -refresh=false
			if len(d) > 0 {
				t.Fatal(d)
			}
			if o, d = c.Apply(t.Context(), p); len(d) != 1 || d[0].Summary != "Storage Tier Not Changed" {
				t.Fatalf("an apply that did not read has forgotten the tier: %v", d)
			}
			for code, status := range map[string]int{"UnauthorizedOperation": 403, "ExpiredToken": 400} {
				e.Calm(test.action)
				e.On(test.action, acctest.Refuse(status, code, "No."))
				if _, d = c.Change(o, again); len(d) != 1 || !d.HasError() || d[0].Summary != "Unable to Change Storage Tier" {
					t.Errorf("%s is %v", code, d)
				}
			}
			e.Calm(test.action)
			e.On(test.action, refused)
			if o, d = c.Change(o, test.to); len(d) != 1 || d.HasError() {
				t.Fatal(d)
			}
			unchanged, d := c.Read(o)
			if len(d) > 0 {
				t.Fatal(d)
			}
			if p, d := c.Plan(unchanged, test.to); p.Action != "update" || len(d) > 0 {
				t.Errorf("the plan during the move is %s: %v", p.Action, d)
			}
			if p, d := c.Plan(unchanged, test.from); p.Action != "no-op" || len(d) > 0 {
				t.Errorf("the plan of what was there before is %s: %v", p.Action, d)
			}

			e.Calm(test.action)
			e.On(test.action, taken(test.action))
			seen(e, test.behind, test.moving+"-completed")
			e.Forget()
			if o, d = c.Change(o, test.to); len(d) > 0 || len(e.Requests(test.action)) != 1 {
				t.Fatalf("after the move: %d calls of %s, %v", len(e.Requests(test.action)), test.action, d)
			}
			next := map[string]string{"RestoreSnapshotTier": "permanent-restore-in-progress", "ModifySnapshotTier": "archival-in-progress"}[test.action]
			seen(e, test.behind, next)
			if o, d = c.Read(o); len(d) > 0 {
				t.Fatal(d)
			}
			if p, d := c.Plan(o, test.to); p.Action != "no-op" || len(d) > 0 {
				t.Errorf("the plan behind it is %s: %v", p.Action, d)
			}
		})
		t.Run(name+", taken all the same", func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			c := acctest.NewCore(t, e.Config())
			o, d := c.Create(test.from)
			if len(d) > 0 {
				t.Fatal(d)
			}
			seen(e, test.there, test.moving+"-in-progress")
			e.On(test.action, taken(test.action))
			e.Forget()
			if _, d = c.Change(o, test.to); len(d) > 0 || len(e.Requests(test.action)) != 1 {
				t.Errorf("%d calls of %s: %v", len(e.Requests(test.action)), test.action, d)
			}
		})
	}
}
