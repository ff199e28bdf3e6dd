package provider_test

import (
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// TestRule5TimeIsOver: an operation whose time is over says which argument bounds it, what EC2 answered last, and what to do; no import has a part in it.
func TestRule5TimeIsOver(t *testing.T) {
	const (
		empty = `<DescribeSnapshotsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><snapshotSet/></DescribeSnapshotsResponse>`
		shown = "which EC2 last showed in state completed"
	)
	for name, test := range map[string]struct {
		action string
		hook   acctest.Hook
		during string
		title  string
		says   string
	}{
		"read, page":              {"DescribeSnapshots", acctest.Page(502), "read", "Unable to Read Snapshot", "StatusCode: 502"},
		"read, empty 200":         {"DescribeSnapshots", acctest.Instead(200, ""), "read", "Unable to Read Snapshot", "did not show the snapshot"},
		"read, no snapshot":       {"DescribeSnapshots", acctest.Instead(200, empty), "read", "Unable to Read Snapshot", "did not show the snapshot"},
		"update, page":            {"CreateTags", acctest.Page(502), "update", "Unable to Change Tags", "StatusCode: 502"},
		"delete, page":            {"DeleteSnapshot", acctest.Page(502), "delete", "Unable to Delete Snapshot", "StatusCode: 502"},
		"delete, not seen to go":  {"DescribeSnapshots", acctest.Page(502), "delete", "Unable to Delete Snapshot", "StatusCode: 502"},
		"delete, denied and kept": {"DeleteSnapshot", acctest.Refuse(400, "InvalidSnapshot.NotFound", "The snapshot does not exist."), "delete", "Unable to Delete Snapshot", shown},
		"delete, taken and kept":  {"DeleteSnapshot", acctest.Instead(200, "<DeleteSnapshotResponse><return>true</return></DeleteSnapshotResponse>"), "delete", "Unable to Delete Snapshot", shown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			provider := e.Config()
			provider["max_retries"] = 25
			c := acctest.NewCore(t, provider)
			config := func(more ...any) map[string]any {
				return with(append([]any{"timeouts", map[string]any{test.during: "6s"}}, more...)...)
			}
			o, d := c.Create(config())
			if len(d) > 0 {
				t.Fatal(d)
			}
			changed, _ := c.Plan(o, config("tags", tags("Name", "web")))
			e.On(test.action, test.hook)
			switch test.during {
			case "read":
				_, d = c.Read(o)
			case "update":
				_, d = c.Apply(t.Context(), changed)
			case "delete":
				d = c.Destroy(o)
			}
			if len(d) == 0 || !d.HasError() || d[0].Summary != test.title {
				t.Fatalf("want %q, got\n%s", test.title, d)
			}
			if missing := lacks(d[0].Detail, "timeouts."+test.during+" (6s) was over", test.says, "Cause: ", "Cure: ", "apply or destroy again"); len(missing) > 0 {
				t.Errorf("the error lacks %q:\n%s", missing, d[0].Detail)
			}
			if strings.Contains(d[0].Detail, "client_token") {
				t.Errorf("no import has a part in it:\n%s", d[0].Detail)
			}
			e.Calm()
			if d := c.Destroy(o); len(d) > 0 {
				t.Error(d)
			}
		})
	}
}

// TestRule5TimeIsOverWhileRefused: a create whose time is over says why it has not seen the end, where EC2 has said that.
func TestRule5TimeIsOverWhileRefused(t *testing.T) {
	for name, test := range map[string]struct {
		action string
		hook   acctest.Hook
		says   []string
	}{
		"the task may not be read": {
			"DescribeImportSnapshotTasks", acctest.Refuse(403, "UnauthorizedOperation", "You are not authorized to perform this operation."),
			[]string{"UnauthorizedOperation", "Cause: ", "ec2:DescribeImportSnapshotTasks"},
		},
		"the session is over": {
			"DescribeImportSnapshotTasks", acctest.Refuse(400, "ExpiredToken", "The security token included in the request is expired"),
			[]string{"ExpiredToken", "Cause: ", "Get new credentials"},
		},
		"the snapshot may not be read": {
			"DescribeSnapshots", acctest.Refuse(403, "UnauthorizedOperation", "You are not authorized to perform this operation."),
			[]string{"UnauthorizedOperation", "Cause: ", "ec2:DescribeSnapshots"},
		},
		"a page": {"DescribeImportSnapshotTasks", acctest.Page(502), []string{"StatusCode: 502"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			e.On(test.action, test.hook)
			c := acctest.NewCore(t, e.Config())
			o, d := c.Create(with("timeouts", map[string]any{"create": "8s"}))
			if o == nil || len(d) != 1 || !d.HasError() || d[0].Summary != "Import Not Finished in Time" {
				t.Fatalf("got %v, %v", o, d)
			}
			if missing := lacks(d[0].Detail, append(test.says, "Raise timeouts.create", "terraform untaint")...); len(missing) > 0 {
				t.Errorf("the error lacks %q:\n%s", missing, d[0].Detail)
			}
			e.Calm()
			if d := c.Destroy(o); len(d) > 0 {
				t.Error(d)
			}
		})
	}
}
