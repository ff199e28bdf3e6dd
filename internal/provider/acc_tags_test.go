package provider_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// onSnapshot are the tags that EC2 has on the only snapshot.
func onSnapshot(t *testing.T, e *acctest.EC2) map[string]string {
	t.Helper()
	_, set, _ := strings.Cut(e.Call(t, "DescribeSnapshots", here), "<tagSet>")
	return tagsIn(set)
}

// onTask are the tags that EC2 has on the only task, less the marker.
func onTask(t *testing.T, e *acctest.EC2) map[string]string {
	t.Helper()
	_, set, _ := strings.Cut(e.Call(t, "DescribeImportSnapshotTasks", here), "<tagSet>")
	tags := tagsIn(set)
	if tags["terraform-provider-ec2"] == "" {
		t.Error("the task has no marker")
	}
	delete(tags, "terraform-provider-ec2")
	return tags
}

func tagsIn(set string) map[string]string {
	set, _, _ = strings.Cut(set, "</tagSet>")
	tags := map[string]string{}
	key := ""
	for _, m := range elements.FindAllStringSubmatch(set, -1) {
		switch m[1] {
		case "key":
			key = m[2]
		case "value":
			tags[key] = m[2]
		}
	}
	return tags
}

// TestP16Tags follows the tags through EC2: what the snapshot and the task really carry, and by which calls.
func TestP16Tags(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	provider := func(defaults map[string]any) *acctest.Core {
		config := e.Config()
		if defaults != nil {
			config["default_tags"] = []any{map[string]any{"tags": defaults}}
		}
		config["ignore_tags"] = []any{map[string]any{"keys": []any{"cost"}}}
		return acctest.NewCore(t, config)
	}
	type carried = map[string]string
	var o *acctest.Object
	for _, step := range []struct {
		why            string
		byHand         func(snapshot string)
		defaults       map[string]any
		config         map[string]any
		snapshot, task carried
		calls          []string
	}{
		{
			"created", nil, tags("env", "test"), with("tags", tags("Name", "web"), "preflight", false),
			carried{"env": "test", "Name": "web"}, carried{"env": "test", "Name": "web"}, []string{"ImportSnapshot", "CreateTags"},
		},
		{
			"another default", nil, tags("env", "prod"), with("tags", tags("Name", "web"), "preflight", false),
			carried{"env": "prod", "Name": "web"}, carried{"env": "prod", "Name": "web"}, []string{"CreateTags", "CreateTags"},
		},
		{
			"no default", nil, nil, with("tags", tags("Name", "web"), "preflight", false),
			carried{"Name": "web"}, carried{"Name": "web"}, []string{"DeleteTags", "DeleteTags"},
		},
		{
			"a default that a tag overrides", nil, tags("Name", "all"), with("tags", tags("Name", "web"), "preflight", false),
			carried{"Name": "web"}, carried{"Name": "web"}, nil,
		},
		{
			"task_tags, and the default with them", nil, tags("env", "test"), with("tags", tags("Name", "web"), "task_tags", tags("run", "7"), "preflight", false),
			carried{"Name": "web", "env": "test"}, carried{"env": "test", "run": "7"}, []string{"CreateTags", "DeleteTags", "CreateTags"},
		},
		{
			"another default beside task_tags", nil, tags("env", "prod"), with("tags", tags("Name", "web"), "task_tags", tags("run", "7"), "preflight", false),
			carried{"Name": "web", "env": "prod"}, carried{"env": "prod", "run": "7"}, []string{"CreateTags", "CreateTags"},
		},
		{
			"tags alone", nil, nil, with("tags", tags("Name", "db", "tier", "1"), "task_tags", tags("run", "7"), "preflight", false),
			carried{"Name": "db", "tier": "1"}, carried{"run": "7"}, []string{"DeleteTags", "CreateTags", "DeleteTags"},
		},
		{
			"others have changed tags", func(snapshot string) {
				e.Call(t, "DeleteTags", here, "ResourceId.1", snapshot, "Tag.1.Key", "tier")
				e.Call(t, "CreateTags", here, "ResourceId.1", snapshot, "Tag.1.Key", "stray", "Tag.1.Value", "x", "Tag.2.Key", "cost", "Tag.2.Value", "1")
			}, nil, with("tags", tags("Name", "db", "tier", "1"), "task_tags", tags("run", "7"), "preflight", false),
			carried{"Name": "db", "tier": "1", "cost": "1"}, carried{"run": "7"}, []string{"DeleteTags", "CreateTags"},
		},
		{
			"EC2 has forgotten the task", func(string) {
				e.On("DescribeImportSnapshotTasks", acctest.Refuse(400, "InvalidConversionTaskId.Malformed", "The import task was not found."))
			}, nil, with("tags", tags("Name", "db", "tier", "1"), "task_tags", tags("run", "8"), "preflight", false),
			carried{"Name": "db", "tier": "1", "cost": "1"}, carried{"run": "7"}, nil,
		},
	} {
		if step.byHand != nil {
			step.byHand(o.Text("snapshot_id"))
		}
		e.Forget()
		c := provider(step.defaults)
		after, d := c.Change(o, step.config)
		if len(d) > 0 {
			t.Fatalf("%s: %s", step.why, d)
		}
		o = after
		if diff := cmp.Diff(step.snapshot, onSnapshot(t, e)); diff != "" {
			t.Errorf("%s: tags of the snapshot (-want +got):\n%s", step.why, diff)
		}
		if diff := cmp.Diff(step.task, onTask(t, e)); diff != "" {
			t.Errorf("%s: tags of the task (-want +got):\n%s", step.why, diff)
		}
		if calls := e.Changes(); !slices.Equal(step.calls, calls) {
			t.Errorf("%s: the calls were %v, want %v", step.why, calls, step.calls)
		}
		read, _ := c.Read(o)
		if p, d := c.Plan(read, step.config); p.Action != "no-op" || len(d) > 0 {
			t.Errorf("%s: the plan behind it is %s: %v", step.why, p.Action, d)
		}
	}
}

// TestP16UpdateFails: tags that cannot be changed are an error that taints nothing; what EC2 has stays in the state, and the next apply tries again.
func TestP16UpdateFails(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	c := acctest.NewCore(t, e.Config())
	o, d := c.Create(with("tags", tags("Name", "web")))
	if len(d) > 0 {
		t.Fatal(d)
	}
	e.On("CreateTags", acctest.Refuse(403, "UnauthorizedOperation", "You are not authorized to perform this operation: ec2:CreateTags."))
	config := with("tags", tags("Name", "db"), "storage_tier", "archive")
	p, _ := c.Plan(o, config)
	after, d := c.Apply(t.Context(), p)
	if !d.HasError() || d[0].Path != "tags" || after == nil || after.Tainted || after.Get("tags.Name") != "web" || after.Text("storage_tier") != "archive" {
		t.Fatalf("tags %v, tier %v: %v", after.Get("tags"), after.Get("storage_tier"), d)
	}
	e.Calm("CreateTags")
	after, d = c.Change(after, config)
	if len(d) > 0 || after.Get("tags.Name") != "db" || accepted(e) != 1 {
		t.Errorf("the next apply: tags %v: %v", after.Get("tags"), d)
	}
	if d := c.Destroy(after); len(d) > 0 {
		t.Error(d)
	}
}
