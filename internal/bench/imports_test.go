package bench

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/uuid"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// TestImports compares many imports in one apply with the same imports where each polls for itself, as hashicorp/aws has it. A CLI would run ten
// of them at a time unless told otherwise; here all run at once, which is what -parallelism asks for.
func TestImports(t *testing.T) {
	measured(t)
	duration := 60 * time.Second
	if given := os.Getenv("EC2_BENCH_TASK"); given != "" {
		var err error
		if duration, err = time.ParseDuration(given); err != nil {
			t.Fatal(err)
		}
	}
	var table strings.Builder
	fmt.Fprintf(&table, "tasks of %s each, all at once\n%9s  %-20s %10s %10s %9s %9s %10s\n", duration, "imports", "", "describes", "all calls", "wall", "CPU", "memory")
	for _, n := range []int{1, 50, 500} {
		type figures struct {
			cost
			describes, calls int
		}
		var got [2]figures
		for i, side := range []string{"provider", "poller per resource"} {
			e := newEndpoint(t, duration)
			c := run(t, e, side, n)
			calls := e.taken()
			if calls["ImportSnapshot"] != n {
				t.Fatalf("%s: %d imports, want %d", side, calls["ImportSnapshot"], n)
			}
			got[i] = figures{c, calls["DescribeImportSnapshotTasks"], inAll(calls)}
			fmt.Fprintf(&table, "%9d  %-20s %10d %10d %9s %9s %10s\n", n, side, got[i].describes, got[i].calls,
				c.wall.Round(100*time.Millisecond), c.cpu.Round(10*time.Millisecond), mib(c.memory))
		}
		ours, peers := got[0], got[1]
		fmt.Fprintf(&table, "%9s  %-20s %10.1f %10.1f %9.2f %9.2f %10.2f\n", "", "ratio", float64(peers.describes)/float64(ours.describes),
			float64(peers.calls)/float64(ours.calls), peers.wall.Seconds()/ours.wall.Seconds(), peers.cpu.Seconds()/ours.cpu.Seconds(), float64(peers.memory)/float64(ours.memory))
	}
	t.Logf("\n%s", table.String())
}

// sides are what the processes do that are measured.
var sides = map[string]func(t *testing.T, url string, n int){
	"provider":            ours,
	"poller per resource": peers,
}

// ours is the provider, at the level of the protocol.
func ours(t *testing.T, url string, n int) {
	c := acctest.NewCore(t, map[string]any{
		"region": region, "access_key": account, "secret_key": "test", "skip_metadata_api_check": true,
		"endpoints": []any{map[string]any{"ec2": url, "sts": url}},
	})
	together(n, func(i int) {
		_, d := c.Create(map[string]any{
			"disk_container": map[string]any{"url": "s3://images/disk.raw", "format": "RAW"}, "description": fmt.Sprintf("disk %d", i),
			"tags": map[string]any{"Name": fmt.Sprintf("disk-%d", i)},
		})
		if d.HasError() {
			t.Error(d)
		}
	})
}

// peers is aws_ebs_snapshot_import of hashicorp/aws, as far as its calls go: a delay of ten seconds, then polls that begin 0.1 s apart and double to
// ten seconds, each for one task; tags, and a read. It is a model of the calls: the memory of that provider, and of the framework, is not in it.
func peers(t *testing.T, url string, n int) {
	client := ec2.New(ec2.Options{
		Region: region, BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider(account, "test", ""), RetryMaxAttempts: 25,
	})
	together(n, func(i int) {
		if err := peer(t.Context(), client, i); err != nil {
			t.Error(err)
		}
	})
}

func peer(ctx context.Context, client *ec2.Client, i int) error {
	tag := []types.Tag{{Key: aws.String("Name"), Value: aws.String(fmt.Sprintf("disk-%d", i))}}
	out, err := client.ImportSnapshot(ctx, &ec2.ImportSnapshotInput{
		ClientToken: aws.String(uuid.NewString()), Description: aws.String(fmt.Sprintf("disk %d", i)), RoleName: aws.String("vmimport"),
		DiskContainer:     &types.SnapshotDiskContainer{Url: aws.String("s3://images/disk.raw"), Format: aws.String("RAW")},
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeImportSnapshotTask, Tags: tag}},
	})
	if err != nil {
		return err
	}
	const longest = 10 * time.Second
	<-time.After(10 * time.Second)
	snapshot := ""
	for wait, first := 100*time.Millisecond, true; snapshot == ""; first = false {
		if !first {
			<-time.After(wait)
			wait = min(2*wait, longest)
		}
		out, err := client.DescribeImportSnapshotTasks(ctx, &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: []string{*out.ImportTaskId}})
		if err != nil {
			return err
		}
		switch d := out.ImportSnapshotTasks[0].SnapshotTaskDetail; aws.ToString(d.Status) {
		case "active":
		case "completed":
			snapshot = *d.SnapshotId
		default:
			return fmt.Errorf("the task is %s: %s", *d.Status, aws.ToString(d.StatusMessage))
		}
	}
	if _, err := client.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{snapshot}, Tags: tag}); err != nil {
		return err
	}
	_, err = client.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{snapshot}})
	return err
}

func together(n int, do func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}
