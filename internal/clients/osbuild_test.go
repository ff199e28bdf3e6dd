package clients

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// osbuildImport is the beginning of osbuild's Register: no format, no token, the SDK's own waiter. It deletes the object as soon as the task is
// completed, and panics where a member it needs is missing. Only the waiter's delays differ.
func osbuildImport(t *testing.T, s *site, key string, longest time.Duration) (snapshot string, err error) {
	t.Helper()
	ctx, client := t.Context(), s.ec2()
	started, err := client.ImportSnapshot(ctx, &ec2.ImportSnapshotInput{
		Description:   aws.String("Image Builder AWS Import of fedora"),
		DiskContainer: &types.SnapshotDiskContainer{UserBucket: &types.UserBucket{S3Bucket: aws.String("images"), S3Key: &key}},
	})
	if err != nil {
		return "", err
	}
	waiter := ec2.NewSnapshotImportedWaiter(client, func(o *ec2.SnapshotImportedWaiterOptions) { o.MinDelay, o.MaxDelay = glance, glance })
	waited, err := waiter.WaitForOutput(ctx, &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: []string{*started.ImportTaskId}}, longest)
	if err != nil {
		return "", err
	}
	detail := waited.ImportSnapshotTasks[0].SnapshotTaskDetail
	if *detail.Status != "completed" {
		t.Fatalf("%s: %s", *detail.Status, *detail.StatusMessage)
	}
	if err := os.Remove(filepath.Join(s.images, filepath.FromSlash(key))); err != nil {
		t.Fatal(err)
	}
	snapshot = *detail.SnapshotId
	_, err = client.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{snapshot}, Tags: peerTags("Name", "fedora")})
	return snapshot, err
}

func TestOsbuild(t *testing.T) {
	t.Parallel()
	s := newSite(t, "--simulate", "task_duration=200ms")
	content := disk(5)
	images := map[string][]byte{"composer-api-1.vhd": vhd(content), "composer-api-2.vmdk": vmdk(content), "composer-api-3.raw": content}
	for key, image := range images {
		s.put(key, image)
		snapshot, err := osbuildImport(t, s, key, patience)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		// The object is gone by now: nothing may be read late.
		s.wantVolume(snapshot, content)
		out, err := s.ec2().DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{snapshot}})
		if err != nil {
			t.Fatal(err)
		}
		wantTags(t, out.Snapshots[0].Tags, "Name=fedora")

		// Images are not served: one clear refusal, which no client tries again.
		_, err = s.ec2().RegisterImage(t.Context(), &ec2.RegisterImageInput{
			Name: aws.String("fedora"), Architecture: types.ArchitectureValuesX8664, VirtualizationType: aws.String("hvm"),
			RootDeviceName: aws.String("/dev/sda1"), EnaSupport: aws.Bool(true),
			BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/sda1"), Ebs: &types.EbsBlockDevice{SnapshotId: &snapshot}}},
		})
		if codeOf(err) != "InvalidAction" {
			t.Errorf("RegisterImage: %v", err)
		}
	}
}

// A failed import ends deleted, which the SDK's waiter does not know: osbuild waits for its 24 hours, here as on AWS. The task says why it failed.
func TestOsbuildFailure(t *testing.T) {
	t.Parallel()
	s := newSite(t, "--simulate", "fail_with=ClientError: Disk validation failed [Unsupported VMDK File Format]")
	s.put("disk.raw", disk(6))
	_, err := osbuildImport(t, s, "disk.raw", time.Second)
	if err == nil || !strings.Contains(err.Error(), "exceeded max wait time") && !strings.Contains(err.Error(), "deadline exceeded") {
		t.Errorf("the waiter says %v", err)
	}
	out, err := s.ec2().DescribeImportSnapshotTasks(t.Context(), &ec2.DescribeImportSnapshotTasksInput{})
	if err != nil {
		t.Fatal(err)
	}
	s.over(*out.ImportSnapshotTasks[0].ImportTaskId)
	out, err = s.ec2().DescribeImportSnapshotTasks(t.Context(), &ec2.DescribeImportSnapshotTasksInput{})
	if err != nil {
		t.Fatal(err)
	}
	d := out.ImportSnapshotTasks[0].SnapshotTaskDetail
	if *d.Status != "deleted" || *d.StatusMessage != "ClientError: Disk validation failed [Unsupported VMDK File Format]" || d.SnapshotId != nil {
		t.Errorf("the task: %+v", d)
	}
}
