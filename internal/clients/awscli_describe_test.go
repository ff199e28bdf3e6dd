package clients

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// imported imports n disks of 512 bytes, one after the other, by Go's SDK. Task and snapshot number i have the tag Name=disk-i.
func (s *site) imported(n int) (tasks, snapshots []string) {
	s.t.Helper()
	ctx, client := s.t.Context(), s.ec2()
	s.put("small.raw", make([]byte, 512))
	for i := range n {
		tags := peerTags("Name", fmt.Sprintf("disk-%d", i))
		out, err := client.ImportSnapshot(ctx, &ec2.ImportSnapshotInput{
			Description:       aws.String(fmt.Sprintf("number %d", i)),
			DiskContainer:     &types.SnapshotDiskContainer{Format: aws.String("RAW"), Url: aws.String("s3://images/small.raw")},
			TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeImportSnapshotTask, Tags: tags}},
		})
		if err != nil {
			s.t.Fatal(err)
		}
		snapshot := s.over(*out.ImportTaskId)
		if _, err := client.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{snapshot}, Tags: tags}); err != nil {
			s.t.Fatal(err)
		}
		tasks, snapshots = append(tasks, *out.ImportTaskId), append(snapshots, snapshot)
	}
	return tasks, snapshots
}

// Pages, as the CLI makes them of --page-size (of a call), --max-items (of a command) and --starting-token, and filters in its two forms.
func TestCLIPagesAndFilters(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	tasks, snapshots := s.imported(7)
	for i := range tasks {
		s.names[tasks[i]], s.names[snapshots[i]] = fmt.Sprintf("TASK-%d", i), fmt.Sprintf("SNAPSHOT-%d", i)
	}
	const taskIDs, snapshotIDs = "{ids: ImportSnapshotTasks[].ImportTaskId, more: NextToken != null}", "{ids: Snapshots[].SnapshotId, more: NextToken != null}"
	for _, tc := range []struct{ want, command string }{
		{ids("TASK", 0, 1, 2, 3, 4, 5, 6), "describe-import-snapshot-tasks --page-size 2"},
		{ids("TASK", 2, 5), "describe-import-snapshot-tasks --import-task-ids " + tasks[5] + " " + tasks[2]},
		{ids("TASK", 1, 4), "describe-import-snapshot-tasks --filters Name=task-state,Values=completed Name=tag:Name,Values=disk-1,disk-4"},
		{ids("SNAPSHOT", 0, 1, 2, 3, 4, 5, 6), "describe-snapshots --owner-ids self --page-size 5"},
		{ids("SNAPSHOT", 1, 3), `describe-snapshots --filters [{"Name":"tag:Name","Values":["disk-1","*-3"]},{"Name":"status","Values":["completed"]}]`},
		{ids("SNAPSHOT", 2), "describe-snapshots --owner-ids " + account + " --filters Name=description,Values=*" + tasks[2] + " Name=volume-size,Values=1"},
	} {
		query := taskIDs
		if strings.HasPrefix(tc.command, "describe-snapshots") {
			query = snapshotIDs
		}
		got := s.aws(append(append([]string{"ec2"}, strings.Fields(tc.command)...), "--query", query)...)
		if got, want := indented(t, s.named(got)), indented(t, tc.want); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", tc.command, got, want)
		}
	}

	first := s.aws("ec2", "describe-import-snapshot-tasks", "--page-size", "2", "--max-items", "3", "--query", "[ImportSnapshotTasks[].ImportTaskId, [NextToken]][]", "--output", "text")
	page := strings.Fields(first)
	if len(page) != 4 || s.named(strings.Join(page[:3], " ")) != "TASK-0 TASK-1 TASK-2" {
		t.Fatalf("the first 3 tasks: %s", s.named(first))
	}
	s.want(s.aws("ec2", "describe-import-snapshot-tasks", "--page-size", "2", "--starting-token", page[3], "--query", taskIDs), ids("TASK", 3, 4, 5, 6))
	first = s.aws("ec2", "describe-snapshots", "--page-size", "5", "--max-items", "6", "--query", "[Snapshots[].SnapshotId, [NextToken]][]", "--output", "text")
	page = strings.Fields(first)
	if len(page) != 7 || s.named(strings.Join(page[:6], " ")) != "SNAPSHOT-0 SNAPSHOT-1 SNAPSHOT-2 SNAPSHOT-3 SNAPSHOT-4 SNAPSHOT-5" {
		t.Fatalf("the first 6 snapshots: %s", s.named(first))
	}
	s.want(s.aws("ec2", "describe-snapshots", "--page-size", "5", "--starting-token", page[6], "--query", snapshotIDs), ids("SNAPSHOT", 6))
}

// ids is what a query answers that takes the ids and whether there are more.
func ids(kind string, numbers ...int) string {
	list := []string{}
	for _, n := range numbers {
		list = append(list, fmt.Sprintf(`"%s-%d"`, kind, n))
	}
	return fmt.Sprintf(`{"ids": [%s], "more": false}`, strings.Join(list, ","))
}

func TestCLITags(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	tasks, snapshots := s.imported(1)
	task, snapshot := tasks[0], snapshots[0]
	s.names[task], s.names[snapshot] = "TASK", "SNAPSHOT"

	if out := s.aws("ec2", "create-tags", "--resources", snapshot, task, "--tags", "Key=Name,Value=new name", "Key=empty,Value=", "Key=stage,Value=é"); out != "" {
		t.Errorf("create-tags printed %q", out)
	}
	s.want(s.aws("ec2", "describe-tags", "--filters", "Name=resource-id,Values="+snapshot), `{"Tags": [
		{"Key": "Name", "ResourceId": "SNAPSHOT", "ResourceType": "snapshot", "Value": "new name"},
		{"Key": "empty", "ResourceId": "SNAPSHOT", "ResourceType": "snapshot", "Value": ""},
		{"Key": "stage", "ResourceId": "SNAPSHOT", "ResourceType": "snapshot", "Value": "é"}
	]}`)
	// A value that is not the tag's leaves it, an empty one removes the empty only, a key without a value removes any.
	if out := s.aws("ec2", "delete-tags", "--resources", snapshot, task, "--tags", "Key=Name,Value=other", "Key=empty,Value=", "Key=stage"); out != "" {
		t.Errorf("delete-tags printed %q", out)
	}
	s.want(s.aws("ec2", "describe-tags", "--filters", "Name=key,Values=*"), `{"Tags": [
		{"Key": "Name", "ResourceId": "TASK", "ResourceType": "import-snapshot-task", "Value": "new name"},
		{"Key": "Name", "ResourceId": "SNAPSHOT", "ResourceType": "snapshot", "Value": "new name"}
	]}`)
	if tags := s.aws("ec2", "describe-snapshots", "--query", "Snapshots[].Tags[]"); indented(t, tags) != indented(t, `[{"Key": "Name", "Value": "new name"}]`) {
		t.Errorf("the snapshot shows the tags %s", tags)
	}
	s.aws("ec2", "delete-tags", "--resources", snapshot)
	s.want(s.aws("ec2", "describe-tags", "--filters", "Name=resource-type,Values=snapshot,import-snapshot-task"), `{"Tags": [
		{"Key": "Name", "ResourceId": "TASK", "ResourceType": "import-snapshot-task", "Value": "new name"}
	]}`)
	s.refused("An error occurred (InvalidID) when calling the CreateTags operation: The ID 'vol-12345678' is not valid",
		"ec2", "create-tags", "--resources", "vol-12345678", "--tags", "Key=a,Value=b")
}

func TestCLITiersAndDelete(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	_, snapshots := s.imported(1)
	snapshot := snapshots[0]
	s.names[snapshot] = "SNAPSHOT"
	moved := func(operation string) {
		t.Helper()
		s.until(operation, func() bool {
			out, err := s.ec2().DescribeSnapshotTierStatus(t.Context(), &ec2.DescribeSnapshotTierStatusInput{})
			return err == nil && string(out.SnapshotTierStatuses[0].LastTieringOperationStatus) == operation
		})
	}

	s.want(s.aws("ec2", "modify-snapshot-tier", "--snapshot-id", snapshot, "--storage-tier", "archive"), `{"SnapshotId": "SNAPSHOT", "TieringStartTime": "TIME"}`)
	moved("archival-completed")
	s.want(s.aws("ec2", "describe-snapshot-tier-status", "--filters", "Name=snapshot-id,Values="+snapshot, "Name=last-tiering-operation,Values=archival-*"), `{
		"SnapshotTierStatuses": [{
			"SnapshotId": "SNAPSHOT", "VolumeId": "vol-ffffffff", "Status": "completed", "OwnerId": "111122223333",
			"Tags": [{"Key": "Name", "Value": "disk-0"}], "StorageTier": "archive", "LastTieringStartTime": "TIME", "LastTieringProgress": 100,
			"LastTieringOperationStatus": "archival-completed", "ArchivalCompleteTime": "TIME"
		}]
	}`)
	s.want(s.aws("ec2", "restore-snapshot-tier", "--snapshot-id", snapshot, "--temporary-restore-days", "2"),
		`{"SnapshotId": "SNAPSHOT", "RestoreStartTime": "TIME", "RestoreDuration": 2, "IsPermanentRestore": false}`)
	moved("temporary-restore-completed")
	s.want(s.aws("ec2", "describe-snapshots", "--filters", "Name=storage-tier,Values=standard", "--query", "Snapshots[].[StorageTier, RestoreExpiryTime]"),
		`[["standard", "TIME"]]`)
	s.want(s.aws("ec2", "restore-snapshot-tier", "--snapshot-id", snapshot, "--permanent-restore"),
		`{"SnapshotId": "SNAPSHOT", "RestoreStartTime": "TIME", "IsPermanentRestore": true}`)

	s.refused("An error occurred (DryRunOperation) when calling the DeleteSnapshot operation: Request would have succeeded, but DryRun flag is set.",
		"ec2", "delete-snapshot", "--snapshot-id", snapshot, "--dry-run")
	if out := s.aws("ec2", "delete-snapshot", "--snapshot-id", snapshot); out != "" {
		t.Errorf("delete-snapshot printed %q", out)
	}
	s.refused("An error occurred (InvalidSnapshot.NotFound) when calling the DescribeSnapshots operation: The snapshot 'SNAPSHOT' does not exist.",
		"ec2", "describe-snapshots", "--snapshot-ids", snapshot)
}
