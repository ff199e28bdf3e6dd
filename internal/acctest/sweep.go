package acctest

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/awsclient"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/importtask"
)

// Sweep removes what runs of TestAccAWS have left in a Region, of this run and of all others: tasks that run are cancelled, snapshots and objects are
// deleted. It touches nothing that does not carry the marker.
func Sweep(ctx context.Context, region string) error {
	if !onAWS {
		return errors.New("EC2_ACC_AWS is not 1: nothing is swept without it")
	}
	_, bucket, err := onAWSGiven(ctx)
	if err != nil {
		return err
	}
	client, err := awsclient.New(ctx, awsclient.Settings{}, region)
	if err != nil {
		return err
	}
	found, err := marked(ctx, client.EC2, "")
	if err != nil {
		return err
	}
	var failed []error
	for _, task := range found.running {
		log.Printf("cancelling %s", task)
		ended, err := importtask.New(client.EC2).Cancel(ctx, task, "left by an acceptance test")
		failed = append(failed, err)
		if ended != nil && ended.SnapshotID() != "" && !slices.Contains(found.snapshots, ended.SnapshotID()) {
			found.snapshots = append(found.snapshots, ended.SnapshotID()) // complete before the cancel came
		}
	}
	for _, snapshot := range found.snapshots {
		log.Printf("deleting %s", snapshot)
		_, err := client.EC2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: &snapshot})
		failed = append(failed, err)
	}
	pages := s3.NewListObjectsV2Paginator(client.S3, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: aws.String(Marker + "/")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			failed = append(failed, fmt.Errorf("listing s3://%s/%s: %w", bucket, Marker, err))
			break
		}
		for _, object := range page.Contents {
			log.Printf("deleting s3://%s/%s", bucket, *object.Key)
			_, err := client.S3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: object.Key})
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// Left is what there still is of this test: tasks that run, and snapshots.
func (a *Anywhere) Left(ctx context.Context) ([]string, error) {
	found, err := marked(ctx, a.Client.EC2, a.ID)
	return append(found.running, found.snapshots...), err
}

// Tasks are all imports of this test that EC2 has not forgotten.
func (a *Anywhere) Tasks(ctx context.Context) ([]string, error) {
	found, err := marked(ctx, a.Client.EC2, a.ID)
	return found.tasks, err
}

type markedThings struct{ tasks, running, snapshots []string }

// marked finds what carries the marker, with one value of it or with any. A snapshot is tagged only when it is there; one whose test ended before that
// is known by its description, which names its task.
func marked(ctx context.Context, client *ec2.Client, id string) (found markedThings, err error) {
	carries := func(tags []types.Tag) bool {
		return slices.ContainsFunc(tags, func(t types.Tag) bool {
			return aws.ToString(t.Key) == Marker && (id == "" || aws.ToString(t.Value) == id)
		})
	}
	// Filters of this call are hardly documented: all tasks are looked at.
	tasks := ec2.NewDescribeImportSnapshotTasksPaginator(client, &ec2.DescribeImportSnapshotTasksInput{})
	for tasks.HasMorePages() {
		page, err := tasks.NextPage(ctx)
		if err != nil {
			return found, fmt.Errorf("listing import tasks: %w", err)
		}
		for _, t := range page.ImportSnapshotTasks {
			if !carries(t.Tags) {
				continue
			}
			found.tasks = append(found.tasks, aws.ToString(t.ImportTaskId))
			if t.SnapshotTaskDetail == nil || !slices.Contains([]string{"completed", "deleted"}, aws.ToString(t.SnapshotTaskDetail.Status)) {
				found.running = append(found.running, aws.ToString(t.ImportTaskId))
			}
		}
	}
	const ofVMImport = "Created by AWS-VMImport service for "
	snapshots := ec2.NewDescribeSnapshotsPaginator(client, &ec2.DescribeSnapshotsInput{
		OwnerIds: []string{"self"}, Filters: []types.Filter{{Name: aws.String("description"), Values: []string{ofVMImport + "*"}}},
	})
	for snapshots.HasMorePages() {
		page, err := snapshots.NextPage(ctx)
		if err != nil {
			return found, fmt.Errorf("listing snapshots: %w", err)
		}
		for _, s := range page.Snapshots {
			if carries(s.Tags) || slices.Contains(found.tasks, strings.TrimPrefix(aws.ToString(s.Description), ofVMImport)) {
				found.snapshots = append(found.snapshots, aws.ToString(s.SnapshotId))
			}
		}
	}
	return found, nil
}
