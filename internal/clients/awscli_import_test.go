package clients

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What serve tells to export is all that the aws CLI needs.
func TestCLIWithPrintedExports(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	if s.exports == nil {
		t.Skip("EC2_PROVIDER_BINARY is not set: nothing is printed")
	}
	s.env = slices.DeleteFunc(s.env, func(entry string) bool {
		return strings.HasPrefix(entry, "AWS_") && !strings.HasSuffix(entry, "/empty") // the files that keep the machine's configuration out stay
	})
	s.env = append(s.env, s.exports...)
	s.want(s.aws("sts", "get-caller-identity"), `{"UserId": "000000000000", "Account": "000000000000", "Arn": "arn:aws:iam::000000000000:root"}`)
	s.want(s.aws("ec2", "describe-snapshots", "--owner-ids", "self"), `{"Snapshots": []}`)
}

// Every member of the request, in each form that the CLI takes it in. One token: only if all arrive alike is it one task.
func TestCLIImport(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	content := disk(10)
	s.put("dir/disk 1 é+.vhd", vhd(content))

	const container = `{"Description": "for the container", "Format": "VHD", "UserBucket": {"S3Bucket": "images", "S3Key": "dir/disk 1 é+.vhd"}}`
	const client = `{"Comment": "c", "UploadStart": "2026-01-02T03:04:05Z", "UploadEnd": "2026-01-02T03:05:00.25Z", "UploadSize": 1.5}`
	const tags = `[{"ResourceType": "import-snapshot-task", "Tags": [{"Key": "Name", "Value": "disk 1"}, {"Key": "empty", "Value": ""}]}]`
	const key = "1234abcd-12ab-34cd-56ef-1234567890ab"
	first := s.aws("ec2", "import-snapshot", "--description", "my disk", "--disk-container", s.file(container), "--client-data", client,
		"--client-token", "token-1", "--encrypted", "--kms-key-id", key, "--role-name", "vmimport", "--tag-specifications", tags, "--no-dry-run")
	task := s.read(first, "ImportTaskId")
	s.names[task] = "TASK"
	s.want(first, `{
		"Description": "my disk",
		"ImportTaskId": "TASK",
		"SnapshotTaskDetail": {
			"Description": "my disk", "DiskImageSize": 0.0, "Encrypted": true, "Format": "VHD",
			"KmsKeyId": "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
			"Progress": "0", "Status": "active", "StatusMessage": "pending",
			"UserBucket": {"S3Bucket": "images", "S3Key": "dir/disk 1 é+.vhd"}
		},
		"Tags": [{"Key": "Name", "Value": "disk 1"}, {"Key": "empty", "Value": ""}]
	}`)
	short := s.aws("ec2", "import-snapshot", "--description", "my disk",
		"--disk-container", "Description=for the container,Format=VHD,UserBucket={S3Bucket=images,S3Key=dir/disk 1 é+.vhd}",
		"--client-data", "Comment=c,UploadStart=2026-01-02T03:04:05Z,UploadEnd=2026-01-02T03:05:00.25Z,UploadSize=1.5",
		"--client-token", "token-1", "--encrypted", "--kms-key-id", key, "--role-name", "vmimport",
		"--tag-specifications", "ResourceType=import-snapshot-task,Tags=[{Key=Name,Value=disk 1},{Key=empty,Value=\"\"}]")
	input := s.aws("ec2", "import-snapshot", "--cli-input-json", s.file(fmt.Sprintf(`{
		"ClientData": %s, "ClientToken": "token-1", "Description": "my disk", "DiskContainer": %s, "DryRun": false, "Encrypted": true,
		"KmsKeyId": "%s", "RoleName": "vmimport", "TagSpecifications": %s}`, client, container, key, tags)))
	for form, answer := range map[string]string{"shorthand": short, "--cli-input-json": input} {
		if got := s.read(answer, "ImportTaskId"); got != task {
			t.Errorf("%s began another task, %s: something of the request did not arrive as in the first form", form, got)
		}
	}

	s.over(task) // so that the CLI's first look is its last: the second would be 15 seconds later
	if out := s.aws("ec2", "wait", "snapshot-imported", "--import-task-ids", task); out != "" {
		t.Errorf("wait printed %q", out)
	}
	tasks := s.aws("ec2", "describe-import-snapshot-tasks", "--import-task-ids", task)
	snapshot := s.read(tasks, "ImportSnapshotTasks", "SnapshotTaskDetail", "SnapshotId")
	s.names[snapshot] = "SNAPSHOT"
	s.want(tasks, fmt.Sprintf(`{"ImportSnapshotTasks": [{
		"Description": "my disk",
		"ImportTaskId": "TASK",
		"SnapshotTaskDetail": {
			"Description": "my disk", "DiskImageSize": %d.0, "Encrypted": true, "Format": "VHD",
			"KmsKeyId": "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
			"SnapshotId": "SNAPSHOT", "Status": "completed",
			"UserBucket": {"S3Bucket": "images", "S3Key": "dir/disk 1 é+.vhd"}
		},
		"Tags": [{"Key": "Name", "Value": "disk 1"}, {"Key": "empty", "Value": ""}]
	}]}`, len(vhd(content))))
	s.want(s.aws("ec2", "describe-snapshots", "--snapshot-ids", snapshot), `{"Snapshots": [{
		"CompletionTime": "TIME", "Description": "Created by AWS-VMImport service for TASK", "Encrypted": true,
		"FullSnapshotSizeInBytes": 2093056,
		"KmsKeyId": "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
		"OwnerId": "111122223333", "Progress": "100%", "SnapshotId": "SNAPSHOT", "StartTime": "TIME", "State": "completed",
		"StorageTier": "standard", "VolumeId": "vol-ffffffff", "VolumeSize": 1
	}]}`)
	s.wantVolume(snapshot, content)
}

// A URL, no format, no token: two calls are two tasks. Each Region and account has its own.
func TestCLIImportURL(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	content := disk(11)
	s.put("disk.vmdk", vmdk(content))
	one := s.read(s.aws("ec2", "import-snapshot", "--disk-container", "Url=s3://images/disk.vmdk"), "ImportTaskId")
	two := s.read(s.aws("ec2", "import-snapshot", "--disk-container", "Url=s3://images/disk.vmdk"), "ImportTaskId")
	if one == two {
		t.Error("without a token, the second call answered the first task")
	}
	snapshot := s.over(one)
	s.wantVolume(snapshot, content)
	s.wantVolume(s.over(two), content)
	s.names[one], s.names[snapshot] = "TASK", "SNAPSHOT"
	s.want(s.aws("ec2", "describe-import-snapshot-tasks", "--import-task-ids", one), fmt.Sprintf(`{"ImportSnapshotTasks": [{
		"ImportTaskId": "TASK",
		"SnapshotTaskDetail": {
			"DiskImageSize": %d.0, "Format": "VMDK", "SnapshotId": "SNAPSHOT", "Status": "completed",
			"Url": "s3://images/disk.vmdk", "UserBucket": {"S3Bucket": "images", "S3Key": "disk.vmdk"}
		},
		"Tags": []
	}]}`, len(vmdk(content))))

	s.refused("An error occurred (InvalidSnapshot.NotFound) when calling the DescribeSnapshots operation: The snapshot 'SNAPSHOT' does not exist.",
		"ec2", "describe-snapshots", "--region", "eu-west-1", "--snapshot-ids", snapshot)
	s.env = append(s.env, "AWS_ACCESS_KEY_ID=444455556666")
	s.want(s.aws("ec2", "describe-import-snapshot-tasks"), `{"ImportSnapshotTasks": []}`)
}
