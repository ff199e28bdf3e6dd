package clients

import (
	"strings"
	"testing"
)

// maxAttempts is how `aws ec2 wait` ends on a failed import: deleted is no end that botocore knows, so it looks until its attempts are used up.
const maxAttempts = "Waiter SnapshotImported failed: Max attempts exceeded"

// A failing image, as the CLI shows it: the answer is that of a working one, the reason is in the task.
func TestCLIFailedImport(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	s.hasten()
	s.put("disk.vhd", append([]byte("\x1f\x8b\x08\x00"), disk(20)...)) // a name says nothing
	answer := s.aws("ec2", "import-snapshot", "--disk-container", "Url=s3://images/disk.vhd")
	if s.read(answer, "SnapshotTaskDetail", "Status") != "active" {
		t.Errorf("begun: %s", answer)
	}
	task := s.read(answer, "ImportTaskId")
	s.over(task)
	s.refused(maxAttempts, "ec2", "wait", "snapshot-imported", "--import-task-ids", task)
	s.names[task] = "TASK"
	s.want(s.aws("ec2", "describe-import-snapshot-tasks", "--import-task-ids", task), `{"ImportSnapshotTasks": [{
		"ImportTaskId": "TASK",
		"SnapshotTaskDetail": {
			"DiskImageSize": 0.0, "Status": "deleted",
			"StatusMessage": "ClientError: Disk validation failed [Unsupported specified file format]",
			"Url": "s3://images/disk.vhd", "UserBucket": {"S3Bucket": "images", "S3Key": "disk.vhd"}
		},
		"Tags": []
	}]}`)
	s.want(s.aws("ec2", "describe-snapshots"), `{"Snapshots": []}`)
}

func TestCLISimulatedFailure(t *testing.T) {
	t.Parallel()
	const message = "ClientError: Disk validation failed [We do not have access to the given resource. Reason 403 Forbidden]"
	s := newShell(t, "--simulate", "fail_with="+message)
	s.put("disk.raw", disk(21))
	task := s.read(s.aws("ec2", "import-snapshot", "--disk-container", "Format=RAW,Url=s3://images/disk.raw"), "ImportTaskId")
	s.over(task)
	out := s.aws("ec2", "describe-import-snapshot-tasks", "--filters", "Name=task-state,Values=deleted",
		"--query", "ImportSnapshotTasks[].[ImportTaskId, SnapshotTaskDetail.StatusMessage]", "--output", "text")
	if want := task + "\t" + message + "\n"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

// An import that takes its time: what is seen of it, and its end by the user.
func TestCLICancel(t *testing.T) {
	t.Parallel()
	s := newShell(t, "--simulate", "task_duration=1h")
	s.hasten()
	s.put("disk.raw", disk(22))
	task := s.read(s.aws("ec2", "import-snapshot", "--disk-container", "Format=raw,Url=s3://images/disk.raw"), "ImportTaskId")
	s.names[task] = "TASK"
	s.until("the image is read", func() bool {
		_, message, _ := s.status(task)
		return message == "downloading/converting"
	})
	s.want(s.aws("ec2", "describe-import-snapshot-tasks"), `{"ImportSnapshotTasks": [{
		"ImportTaskId": "TASK",
		"SnapshotTaskDetail": {
			"DiskImageSize": 5242880.0, "Format": "RAW", "Progress": "0", "SnapshotId": "", "Status": "active",
			"StatusMessage": "downloading/converting",
			"Url": "s3://images/disk.raw", "UserBucket": {"S3Bucket": "images", "S3Key": "disk.raw"}
		},
		"Tags": []
	}]}`)
	s.refused(maxAttempts, "ec2", "wait", "snapshot-imported")

	s.refused("An error occurred (DryRunOperation) when calling the CancelImportTask operation: Request would have succeeded, but DryRun flag is set.",
		"ec2", "cancel-import-task", "--import-task-id", task, "--dry-run")
	s.want(s.aws("ec2", "cancel-import-task", "--import-task-id", task, "--cancel-reason", "not needed"),
		`{"ImportTaskId": "TASK", "PreviousState": "active", "State": "deleting"}`)
	s.over(task)
	ended := s.aws("ec2", "describe-import-snapshot-tasks", "--import-task-ids", task)
	if status := s.read(ended, "ImportSnapshotTasks", "SnapshotTaskDetail", "Status"); status != "deleted" {
		t.Errorf("the canceled task is %s", status)
	}
	if why := s.read(ended, "ImportSnapshotTasks", "SnapshotTaskDetail", "StatusMessage"); why != "not needed" {
		t.Errorf("the reason has become %q", why)
	}
	s.refused("An error occurred (InvalidParameter) when calling the CancelImportTask operation: The import task 'TASK' cannot be canceled: it is deleted.",
		"ec2", "cancel-import-task", "--import-task-id", task)
}

// What is refused at once, in the words that the user reads.
func TestCLIRefusals(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	s.put("disk.raw", disk(23))
	const url = "Url=s3://images/disk.raw"
	for _, tc := range []struct {
		call, want string
		args       []string
	}{
		{"ImportSnapshot", "(DryRunOperation): Request would have succeeded, but DryRun flag is set.", []string{"import-snapshot", "--dry-run", "--disk-container", url}},
		{
			"ImportSnapshot", "(InvalidParameterDependency): The parameter KmsKeyId requires the parameter Encrypted to be set.",
			[]string{"import-snapshot", "--dry-run", "--disk-container", url, "--kms-key-id", "alias/a"},
		},
		{
			"DescribeImportSnapshotTasks", "(InvalidConversionTaskId.Malformed): The import task 'import-snap-0123456789abcdef0' was not found.",
			[]string{"describe-import-snapshot-tasks", "--import-task-ids", "import-snap-0123456789abcdef0"},
		},
		{"CreateImage", "(InvalidAction): The action CreateImage is not valid for this web service.", []string{"create-image", "--instance-id", "i-1", "--name", "name"}},
	} {
		code, why, _ := strings.Cut(tc.want, ": ")
		s.refused("An error occurred "+code+" when calling the "+tc.call+" operation: "+why, append([]string{"ec2"}, tc.args...)...)
	}
	// These say in the end what to do here.
	for _, tc := range []struct{ url, begin, end string }{
		{"s3://other/disk.raw", "An error occurred (InvalidParameter) when calling the ImportSnapshot operation: User does not have access to the S3 object (other/disk.raw).", "--s3-endpoint"},
		{"https://127.0.0.1/disk.raw", "An error occurred (InvalidParameter) when calling the ImportSnapshot operation: User does not have access to the object.", "--allow-https"},
	} {
		code, _, stderr := s.run("-m", "awscli", "ec2", "import-snapshot", "--disk-container", "Url="+tc.url)
		if code == 0 || !strings.HasPrefix(strings.TrimSpace(stderr), tc.begin) || !strings.Contains(stderr, tc.end) {
			t.Errorf("%s: exit code %d, %s", tc.url, code, stderr)
		}
	}
}
