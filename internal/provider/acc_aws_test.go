package provider_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/importtask"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// TestAccAnywhere runs what is the same everywhere over the local endpoint or serve.
func TestAccAnywhere(t *testing.T) {
	for name, scenario := range anywhere {
		t.Run(name, func(t *testing.T) { scenario(t, acctest.NewAnywhere(t)) })
	}
}

// TestAccAWS runs the same over AWS itself: CONTRIBUTING.md says what it needs, takes and costs.
func TestAccAWS(t *testing.T) {
	if !acctest.OnAWS() {
		t.Skip("EC2_ACC_AWS is not 1: AWS is not called; see CONTRIBUTING.md")
	}
	if os.Getenv("TF_ACC") == "" {
		t.Skip("acceptance tests run with TF_ACC set (make test-aws)")
	}
	TestAccAnywhere(t)
}

func init() {
	resource.AddTestSweepers("ec2_import_snapshot", &resource.Sweeper{
		Name: "ec2_import_snapshot",
		F:    func(region string) error { return acctest.Sweep(context.Background(), region) },
	})
}

// anywhere is what holds on every EC2. On AWS an import takes ten minutes or more and some cents, so that each one here shows many things.
var anywhere = map[string]func(*testing.T, *acctest.Anywhere){
	"one life": func(t *testing.T, a *acctest.Anywhere) {
		a.Put(t, "disk.vhd", smallVHD())
		provider, again := a.Provider(map[string]string{"env": "test"}), token()
		with := func(more string) string {
			return provider + snapshot(containerOf(a, "disk.vhd", "")+"client_token = \""+again+"\"\n"+`
  description = "a disk of the acceptance tests"
  client_data = { comment = "by hand", upload_start = "2026-01-01T13:00:00+01:00" }
`+more)
		}
		marker := acctest.Marker
		verify := func(attribute, suffix string) resource.TestStep {
			return resource.TestStep{
				ResourceName: address, ImportState: true, ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "import_task_id",
				ImportStateIdFunc: func(s *terraform.State) (string, error) {
					return s.RootModule().Resources[address].Primary.Attributes[attribute] + suffix, nil
				},
				// What EC2 does not return or has found out by itself, and what preflight saw before the import.
				ImportStateVerifyIgnore: []string{"source", "disk_container.format", "client_data", "client_token", "role_name", "timeouts"},
			}
		}
		acc(t, nothingOf(a),
			resource.TestStep{
				Config: with(`tags = { Name = "web", empty = "" }`), ConfigPlanChecks: planned(plancheck.ResourceActionCreate),
				ConfigStateChecks: []statecheck.StateCheck{
					has("description", exactly("a disk of the acceptance tests")),
					has("snapshot_description", knownvalue.StringRegexp(regexp.MustCompile("^Created by AWS-VMImport service for import-snap-"))),
					has("disk_container.format", knownvalue.Null()), has("snapshot_task_detail.format", exactly("VHD")),
					has("snapshot_task_detail.status", exactly("completed")), has("snapshot_task_detail.disk_image_size", knownvalue.Int64Exact(int64(len(smallVHD())))),
					has("arn", knownvalue.StringRegexp(regexp.MustCompile("^arn:aws[a-z-]*:ec2:"+a.Region+"::snapshot/snap-"))),
					has("owner_id", exactly(a.Account)), has("region", exactly(a.Region)), has("volume_size", knownvalue.Int64Exact(1)),
					has("storage_tier", exactly("standard")), has("start_time", knownvalue.NotNull()), has("encrypted", knownvalue.NotNull()),
					has("tags", knownvalue.MapSizeExact(2)), has("tags_all", knownvalue.MapSizeExact(4)), has("volume_path", pathWhere(a)),
				},
				Check: carry(a, map[string]string{"Name": "web", "empty": "", "env": "test", marker: a.ID}, map[string]string{"Name": "web", "empty": "", "env": "test", marker: a.ID}),
			},
			resource.TestStep{
				Config:           with("tags = { Name = \"db\" }\ntask_tags = { purpose = \"import\" }\nrole_name = \"vmimport\"\ntimeouts = { delete = \"20m\" }"),
				ConfigPlanChecks: planned(plancheck.ResourceActionUpdate),
				Check:            carry(a, map[string]string{"Name": "db", "env": "test", marker: a.ID}, map[string]string{"purpose": "import", "env": "test", marker: a.ID}),
			},
			verify("snapshot_id", ""), verify("snapshot_id", "@"+a.Region), verify("import_task_id", ""), verify("import_task_id", "@"+a.Region),
		)
	},
	"user_bucket, RAW, encrypted": func(t *testing.T, a *acctest.Anywhere) {
		a.Put(t, "disk.raw", disk())
		bucket, key := a.Object("disk.raw")
		acc(t, nothingOf(a), resource.TestStep{
			Config: a.Provider(nil) + snapshot(fmt.Sprintf("disk_container = { user_bucket = { s3_bucket = %q, s3_key = %q }, format = \"raw\" }\nencrypted = true", bucket, key)),
			ConfigStateChecks: []statecheck.StateCheck{
				has("snapshot_task_detail.user_bucket.s3_key", exactly(key)), has("snapshot_task_detail.format", exactly("RAW")), has("encrypted", knownvalue.Bool(true)),
				has("kms_key_id", knownvalue.Null()), has("kms_key_arn", knownvalue.StringRegexp(regexp.MustCompile("^arn:aws[a-z-]*:kms:"+a.Region+":"+a.Account+":key/"))),
				has("tags", knownvalue.Null()), has("tags_all", knownvalue.MapSizeExact(1)),
			},
			ConfigPlanChecks: planned(plancheck.ResourceActionCreate),
		})
	},
	"https, VMDK": func(t *testing.T, a *acctest.Anywhere) {
		a.Put(t, "disk.vmdk", vmdk())
		bucket, key := a.Object("disk.vmdk")
		acc(t, nothingOf(a), resource.TestStep{
			Config: a.Provider(nil) + snapshot(fmt.Sprintf("disk_container = { url = \"https://%s.s3.%s.amazonaws.com/%s\", format = \"vmdk\", description = \"the container\" }",
				bucket, a.Region, key)),
			ConfigStateChecks: []statecheck.StateCheck{has("snapshot_task_detail.format", exactly("VMDK")), has("disk_container.format", exactly("vmdk"))},
			ConfigPlanChecks:  planned(plancheck.ResourceActionCreate),
		})
	},
	"failed, in VM Import's words": func(t *testing.T, a *acctest.Anywhere) {
		a.Put(t, "disk.vmdk.gz", compressed(t))
		acc(t, nothingOf(a), resource.TestStep{
			Config: a.Provider(nil) + snapshot(containerOf(a, "disk.vmdk.gz", "VMDK")+"preflight = false"),
			// The CLI breaks lines anywhere.
			ExpectError: regexp.MustCompile(`(?is)Import Failed.*disk\s+validation\s+failed.*Cause: .*Cure: .*task: +import-snap-.*last\s+status: +delet`),
		})
	},
	"refused by preflight": func(t *testing.T, a *acctest.Anywhere) {
		if !a.SeesImages() {
			t.Skip("the provider cannot look at images in a directory of serve")
		}
		a.Put(t, "disk.vmdk.gz", compressed(t))
		acc(t, nothingOf(a), resource.TestStep{
			Config: a.Provider(nil) + snapshot(containerOf(a, "disk.vmdk.gz", "")), ExpectError: regexp.MustCompile(`(?s)Image Not Importable.*gzip`),
		})
		if tasks, err := a.Tasks(t.Context()); err != nil || len(tasks) > 0 {
			t.Errorf("EC2 was asked all the same: %v, %v", tasks, err)
		}
	},
	"dry run": func(t *testing.T, a *acctest.Anywhere) {
		a.Put(t, "disk.vhd", smallVHD())
		acc(t, nothingOf(a), resource.TestStep{
			Config: a.Provider(nil) + snapshot(containerOf(a, "disk.vhd", "VHD")+"dry_run = true"), PlanOnly: true, ExpectNonEmptyPlan: true,
		})
		if tasks, err := a.Tasks(t.Context()); err != nil || len(tasks) > 0 {
			t.Errorf("the plan has imported: %v, %v", tasks, err)
		}
	},
	// The provider that started the import is killed before the state is written. With a client token the next apply gets the same task.
	"killed, client_token": func(t *testing.T, a *acctest.Anywhere) {
		t.Parallel()
		a.Put(t, "disk.vhd", smallVHD())
		config := begun(a, "client_token", token())
		lost := cutShort(t, a, config)
		o, d := acctest.NewCore(t, a.Config()).Create(config)
		if d.HasError() {
			t.Fatal(d)
		}
		tasks, err := a.Tasks(t.Context())
		if err != nil || len(tasks) != 1 || o.Text("import_task_id") != lost.Text("import_task_id") || o.Text("snapshot_id") == "" {
			t.Errorf("the tasks are %v, the state has %v, which made %v: %v", tasks, o.Get("import_task_id"), o.Get("snapshot_id"), err)
		}
		if d := acctest.NewCore(t, a.Config()).Destroy(o); d.HasError() {
			t.Error(d)
		}
		if err := nothingOf(a)(nil); err != nil {
			t.Error(err)
		}
	},
	"interrupted, destroyed": func(t *testing.T, a *acctest.Anywhere) {
		t.Parallel()
		a.Put(t, "disk.vhd", smallVHD())
		o := cutShort(t, a, begun(a))
		if d := acctest.NewCore(t, a.Config()).Destroy(o); d.HasError() {
			t.Error(d)
		}
		if err := nothingOf(a)(nil); err != nil {
			t.Error(err)
		}
	},
}

// smallVHD is an image like the one that hashicorp/aws tests with: a dynamic VHD with one block.
func smallVHD() []byte {
	return testimage.VHD{Size: 1 << 20}.Build(testimage.Run{Data: disk()[:512<<10]}).Data
}

func compressed(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(vmdk()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// token is a client token that no run before had: EC2 may know those for long.
func token() string { return fmt.Sprintf("acc-%d", time.Now().UnixNano()) }

func containerOf(a *acctest.Anywhere, name, format string) string {
	bucket, key := a.Object(name)
	if format != "" {
		format = fmt.Sprintf(", format = %q", format)
	}
	return fmt.Sprintf("disk_container = { url = \"s3://%s/%s\"%s }\n", bucket, key, format)
}

// begun is a configuration for disk.vhd.
func begun(a *acctest.Anywhere, more ...any) map[string]any {
	bucket, key := a.Object("disk.vhd")
	config := with(more...)
	config["disk_container"] = map[string]any{"url": "s3://" + bucket + "/" + key}
	return config
}

// cutShort interrupts an apply as soon as its import is under way, and is what that leaves in the state.
func cutShort(t *testing.T, a *acctest.Anywhere, config map[string]any) *acctest.Object {
	t.Helper()
	c := acctest.NewCore(t, a.Config())
	p, d := c.Plan(nil, config)
	if d.HasError() {
		t.Fatal(d)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	go func() {
		look := time.NewTicker(100 * time.Millisecond)
		defer look.Stop()
		for {
			select {
			case <-look.C:
				if tasks, err := a.Tasks(ctx); err == nil && len(tasks) > 0 {
					interrupt()
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	o, d := c.Apply(ctx, p)
	if d.HasError() || o == nil || o.Text("import_task_id") == "" {
		t.Fatalf("an interrupt leaves %v", d)
	}
	return o
}

// nothingOf checks that nothing of a test is left. Lists of EC2 lag behind what it has done.
func nothingOf(a *acctest.Anywhere) resource.TestCheckFunc {
	return func(*terraform.State) error {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		look := time.NewTicker(time.Second)
		defer look.Stop()
		for {
			left, err := a.Left(ctx)
			if err != nil || len(left) == 0 {
				return err
			}
			select {
			case <-look.C:
			case <-ctx.Done():
				return fmt.Errorf("left behind: %v", left)
			}
		}
	}
}

// pathWhere is volume_path: there is one where the endpoint is in the provider's process.
func pathWhere(a *acctest.Anywhere) knownvalue.Check {
	if a.InProcess() {
		return knownvalue.NotNull()
	}
	return knownvalue.Null()
}

// carry compares the tags that EC2 has on the snapshot in the state and on its task, less the provider's own.
func carry(a *acctest.Anywhere, onSnapshot, onTask map[string]string) resource.TestCheckFunc {
	return func(state *terraform.State) error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		attributes := state.RootModule().Resources[address].Primary.Attributes
		snapshots, err := a.Client.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{attributes["snapshot_id"]}})
		if err != nil {
			return err
		}
		tasks, err := a.Client.EC2.DescribeImportSnapshotTasks(ctx, &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: []string{attributes["import_task_id"]}})
		if err != nil {
			return err
		}
		if diff := cmp.Diff(onSnapshot, carried(snapshots.Snapshots[0].Tags)); diff != "" {
			return fmt.Errorf("tags of the snapshot (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(onTask, carried(tasks.ImportSnapshotTasks[0].Tags)); diff != "" {
			return fmt.Errorf("tags of the task (-want +got):\n%s", diff)
		}
		return nil
	}
}

func carried(tags []ec2types.Tag) map[string]string {
	m := map[string]string{}
	for _, t := range tags {
		if key := aws.ToString(t.Key); key != importtask.MarkerTag && !strings.HasPrefix(key, "aws:") {
			m[key] = aws.ToString(t.Value)
		}
	}
	return m
}
