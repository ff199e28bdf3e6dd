package clients

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// lives are the lives of resources in which the provider makes every call it knows, with every argument there is, and gets every kind of answer.
var lives = map[string]func(*testing.T, *recording){
	"every argument": func(t *testing.T, all *recording) {
		e := newRecorded(t, all)
		c := e.core(map[string]any{"default_tags": []any{map[string]any{"tags": map[string]any{"env": "test", "odd": ""}}}})
		config := map[string]any{
			"disk_container": map[string]any{"url": "s3://images/disk.vhd", "format": "vhd", "description": "the container"},
			"description":    "the task, with ü & <more>",
			"client_data": map[string]any{
				"comment": "by hand", "upload_start": "2026-01-01T13:00:00.125+01:00", "upload_end": "2026-01-01T12:30:00Z", "upload_size": 1.5,
			},
			"client_token": "token-1", "encrypted": true, "kms_key_id": "alias/disks", "role_name": "importer", "dry_run": true,
			"tags": map[string]any{"Name": "web", "tier": "1"}, "task_tags": map[string]any{"run": "7"}, "source_hash": "1",
			"storage_tier": "archive", "timeouts": map[string]any{"create": "5m", "read": "1m", "update": "5m", "delete": "5m"},
		}
		o := e.done(c.Create(config))
		o = e.done(c.Read(o)) // the tier is in motion
		// Another tag, one less, and the tier back for a time.
		config = changed(config, "tags", map[string]any{"Name": "db"}, "task_tags", map[string]any{}, "storage_tier", "standard", "temporary_restore_days", 3)
		o = e.done(c.Change(o, config))
		e.gone(c.Destroy(o))
	},
	"the least": func(t *testing.T, all *recording) {
		e := newRecorded(t, all)
		c := e.core(nil)
		config := map[string]any{"disk_container": map[string]any{"user_bucket": map[string]any{"s3_bucket": "images", "s3_key": "disk.vhd"}}}
		o := e.done(c.Create(config))
		for _, id := range []string{o.Text("import_task_id"), o.Text("snapshot_id")} {
			adopted := e.done(c.Import(id))
			e.done(c.Change(adopted, config))
		}
		e.gone(c.Destroy(o))
		// What was deleted by hand, and what is nobody's.
		if _, d := c.Read(o); d.HasError() {
			t.Error(d)
		}
		if _, d := c.Import("import-snap-0123456789abcdef0"); !d.HasError() {
			t.Error("a task that never was is imported")
		}
	},
	"archived and restored": func(t *testing.T, all *recording) {
		e := newRecorded(t, all)
		c := e.core(nil)
		o := e.done(c.Create(map[string]any{"disk_container": disk1, "storage_tier": "archive"}))
		e.gone(c.Destroy(e.done(c.Change(o, map[string]any{"disk_container": disk1, "storage_tier": "standard"}))))
	},
	"VHDX": func(t *testing.T, all *recording) {
		e := newRecorded(t, all)
		c := e.core(nil)
		e.gone(c.Destroy(e.done(c.Create(map[string]any{
			"disk_container": map[string]any{"url": "s3://images/disk.vhdx", "format": "vhdx"},
		}))))
	},
	"interrupted, resumed": func(t *testing.T, all *recording) {
		e := newRecorded(t, all, taking(2*time.Second))
		c := e.core(nil)
		config := map[string]any{"disk_container": disk1, "tags": map[string]any{"Name": "web"}}
		o := e.interrupted(c, config)
		e.gone(c.Destroy(e.done(c.Change(o, config))))
	},
	"interrupted, destroyed": func(t *testing.T, all *recording) {
		e := newRecorded(t, all, taking(time.Hour))
		c := e.core(nil)
		o := e.interrupted(c, map[string]any{"disk_container": disk1})
		// What another process finds of it: the marker.
		if _, d := e.core(nil).Plan(nil, map[string]any{"disk_container": disk1}); len(d.Warnings()) == 0 {
			t.Error("nobody warns of the unfinished import")
		}
		e.gone(c.Destroy(o))
	},
	"failed": func(t *testing.T, all *recording) {
		e := newRecorded(t, all, func(c *localec2.Config) {
			c.Simulate.FailWith = "ClientError: Disk validation failed [Unsupported VMDK File Format]"
		})
		if o, d := e.core(nil).Create(map[string]any{"disk_container": disk1}); o != nil || !d.HasError() {
			t.Errorf("%v", d)
		}
	},
	"refused": func(t *testing.T, all *recording) {
		e := newRecorded(t, all)
		c := e.core(nil)
		config := map[string]any{"disk_container": disk1, "client_token": "token-1", "preflight": false}
		o := e.done(c.Create(config))
		other := changed(config, "description", "another")
		if _, d := e.core(nil).Create(other); !d.HasError() {
			t.Error("one token for two requests is accepted")
		}
		if _, d := c.Create(map[string]any{"disk_container": map[string]any{"url": "s3://images/none.vhd"}, "timeouts": map[string]any{"create": "1s"}}); !d.HasError() {
			t.Error("what is not there is imported")
		}
		e.gone(c.Destroy(o))
	},
	"not permitted": func(t *testing.T, all *recording) {
		e := newRecorded(t, all)
		e.On("ImportSnapshot", acctest.Refuse(403, "UnauthorizedOperation",
			"You are not authorized to perform this operation. Encoded authorization failure message: AQEAAAAAAA-_b9s"))
		if _, d := e.core(nil).Create(map[string]any{"disk_container": disk1}); !d.HasError() {
			t.Error("what is not permitted is imported")
		}
	},
	"in use": func(t *testing.T, all *recording) {
		e := newRecorded(t, all)
		c := e.core(nil)
		o := e.done(c.Create(map[string]any{"disk_container": disk1, "timeouts": map[string]any{"delete": "4s"}}))
		e.On("DeleteSnapshot", acctest.Refuse(400, "InvalidSnapshot.InUse", "The snapshot is currently in use by ami-0123456789abcdef0"))
		if d := c.Destroy(o); !d.HasError() || !strings.Contains(d.String(), "InvalidSnapshot.InUse") {
			t.Errorf("the destroy of what is in use ends with %v", d)
		}
	},
}

var disk1 = map[string]any{"url": "s3://images/disk.vhd"}

func taking(d time.Duration) func(*localec2.Config) {
	return func(c *localec2.Config) { c.Simulate.TaskDuration = d }
}

// changed is config with some values changed.
func changed(config map[string]any, pairs ...any) map[string]any {
	config = maps.Clone(config)
	for i := 0; i < len(pairs); i += 2 {
		config[pairs[i].(string)] = pairs[i+1]
	}
	return config
}

// recorded is an endpoint whose calls are checked when the life is over.
type recorded struct {
	*acctest.EC2
	t *testing.T
}

func newRecorded(t *testing.T, all *recording, change ...func(*localec2.Config)) *recorded {
	t.Helper()
	e := &recorded{acctest.NewEC2(t, change...), t}
	t.Cleanup(func() { all.add(e.Requests()) })
	e.Put(t, "disk.vhd", vhd(disk(50)))
	e.Put(t, "disk.vhdx", testimage.VHDX{Size: 5 << 20}.Build(testimage.Run{Data: disk(51)[:1<<20]}).Data)
	return e
}

// core is a provider that asks STS who it is; more goes into its block.
func (e *recorded) core(more map[string]any) *acctest.Core {
	e.t.Helper()
	config := changed(e.Config(), "skip_requesting_account_id", false, "skip_credentials_validation", false)
	maps.Copy(config, more)
	return acctest.NewCore(e.t, config)
}

// done is the object of a call that has to succeed.
func (e *recorded) done(o *acctest.Object, d acctest.Diagnostics) *acctest.Object {
	e.t.Helper()
	if d.HasError() || o == nil {
		e.t.Fatalf("%v", d)
	}
	return o
}

func (e *recorded) gone(d acctest.Diagnostics) {
	e.t.Helper()
	if d.HasError() {
		e.t.Error(d)
	}
}

// interrupted is what an interrupt of the apply leaves, as soon as the import is under way.
func (e *recorded) interrupted(c *acctest.Core, config map[string]any) *acctest.Object {
	e.t.Helper()
	p, d := c.Plan(nil, config)
	if d.HasError() {
		e.t.Fatal(d)
	}
	ctx, interrupt := context.WithCancel(e.t.Context())
	defer interrupt()
	e.On("DescribeImportSnapshotTasks", func(r *acctest.Request, next func() *acctest.Answer) *acctest.Answer {
		a := next()
		if r.Form.Has("ImportTaskId.1") {
			interrupt()
		}
		return a
	})
	o := e.done(c.Apply(ctx, p))
	e.Calm("DescribeImportSnapshotTasks")
	return o
}
