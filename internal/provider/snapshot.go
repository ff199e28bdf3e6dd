package provider

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/importtask"
)

const (
	pollEvery = 2 * time.Second

	// How long a call for a snapshot that was seen complete is made again where EC2 does not know it.
	unseenFor = 20 * time.Second

	// An AMI deregistered in the same destroy may hold its snapshot for some seconds more; one that stays is the user's to decide on.
	inUseFor = 2 * time.Minute

	// EC2 forgets a deleted snapshot within seconds.
	deletedWithin = 15 * time.Second
)

// snapshot describes one snapshot; nil where EC2 does not know it.
func (c *connection) snapshot(ctx context.Context, id string) (*ec2types.Snapshot, error) {
	out, err := c.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}})
	if importtask.IsCode(err, "InvalidSnapshot.NotFound") {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("describing snapshot %s: %w", id, err)
	}
	for i := range out.Snapshots {
		if aws.ToString(out.Snapshots[i].SnapshotId) == id {
			return &out.Snapshots[i], nil
		}
	}
	return nil, nil
}

// snapshotOfTask is the id of the snapshot that a task made, by the description VM Import gives it; "" where there is none. It is for tasks that
// EC2 has forgotten, some days after their end.
func (c *connection) snapshotOfTask(ctx context.Context, taskID string) (string, error) {
	pages := ec2.NewDescribeSnapshotsPaginator(c.EC2, &ec2.DescribeSnapshotsInput{
		OwnerIds: []string{"self"},
		Filters:  []ec2types.Filter{{Name: aws.String("description"), Values: []string{serviceDescription + taskID}}},
	}, func(o *ec2.DescribeSnapshotsPaginatorOptions) { o.StopOnDuplicateToken = true })
	var found []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return "", fmt.Errorf("looking for the snapshot of import task %s: %w", taskID, err)
		}
		for _, s := range page.Snapshots {
			if taskOf(aws.ToString(s.Description)) == taskID {
				found = append(found, aws.ToString(s.SnapshotId))
			}
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	default: // a copy may bear the description of its original, and must not be deleted in its place
		return "", fmt.Errorf("the snapshots %s all say that import task %s made them, and EC2 does not know the task any more: "+
			"delete the copies, or take the right one over by its own id",
			strings.Join(found, " and "), taskID)
	}
}

// serviceDescription begins the description that VM Import writes on every snapshot, the one place where a snapshot names its task.
const serviceDescription = "Created by AWS-VMImport service for "

// taskOf is the task that a snapshot's description names, "" for snapshots that are not VM Import's.
func taskOf(description string) string {
	id, ok := strings.CutPrefix(description, serviceDescription)
	if !ok || !taskID.MatchString(id) {
		return ""
	}
	return id
}

var taskID = regexp.MustCompile(`^import-snap-[0-9a-z]+$`)

// tag removes and sets tags; it calls nothing where there is nothing to do. What goes makes room for what comes: EC2 takes 50.
func (c *connection) tag(ctx context.Context, id string, set map[string]string, remove []string) error {
	if len(remove) > 0 {
		tags := make([]ec2types.Tag, 0, len(remove))
		for _, key := range remove {
			tags = append(tags, ec2types.Tag{Key: aws.String(key)})
		}
		if _, err := c.EC2.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{id}, Tags: tags}); err != nil {
			return fmt.Errorf("removing tags of %s: %w", id, err)
		}
	}
	if len(set) > 0 {
		if _, err := c.EC2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: ec2Tags(set)}); err != nil {
			return fmt.Errorf("tagging %s: %w", id, err)
		}
	}
	return nil
}

// tagNew tags a snapshot that has just been made: some of EC2 may not know it for a moment. A tag is no reason to import anew (P16).
func (c *connection) tagNew(ctx context.Context, id string, set map[string]string) error {
	for giveUp := time.Now().Add(unseenFor); ; {
		err := c.tag(ctx, id, set, nil)
		if !importtask.IsCode(err, "InvalidSnapshot.NotFound") || time.Now().After(giveUp) {
			return err
		}
		if cause := pause(ctx); cause != nil {
			return errors.Join(cause, err)
		}
	}
}

// tagTask brings the tags of an import task to wanted, and takes away those of ours that are not. What the task carries is asked for, because the
// state does not tell which default tags it was given. EC2 forgets a task some days after its end: then there is nothing left to tag.
func (c *connection) tagTask(ctx context.Context, id string, wanted, ours map[string]string) error {
	task, err := c.Tasks.Describe(ctx, id)
	if err != nil || task == nil {
		return err
	}
	set, remove := tagChanges(task.Tags, wanted)
	remove = slices.DeleteFunc(remove, func(key string) bool {
		_, is := ours[key]
		return !is
	})
	return c.tag(ctx, id, set, remove)
}

// deleteSnapshot deletes a snapshot and waits until EC2 does not know it any more. One that stays after EC2 took the call is deleted again: what
// answered may have been a proxy that stumbled.
func (c *connection) deleteSnapshot(ctx context.Context, id string) error {
	for {
		known, err := c.requestDeletion(ctx, id)
		if err != nil {
			return err
		}
		waiting, cancel := context.WithTimeout(ctx, deletedWithin)
		err = c.Tasks.AwaitDeletion(waiting, id)
		late := waiting.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil:
			return nil
		case !late && !known:
			return fmt.Errorf("DeleteSnapshot was answered with InvalidSnapshot.NotFound, but the snapshot was not seen to go: %w", err)
		case !late:
			return fmt.Errorf("the snapshot is being deleted, but it was not seen to go: %w", err)
		}
	}
}

// requestDeletion has EC2 take the deletion of a snapshot; known is false where EC2 knows none to delete. One that stays in use is named with its users
// (P26).
func (c *connection) requestDeletion(ctx context.Context, id string) (known bool, err error) {
	giveUp := time.Now().Add(inUseFor)
	var inUse error
	for {
		_, err := c.EC2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(id)})
		if err == nil || importtask.IsCode(err, "InvalidSnapshot.NotFound") {
			return err == nil, nil
		}
		switch {
		case importtask.IsCode(err, "InvalidSnapshot.InUse"):
			inUse = err
		case inUse == nil || ctx.Err() == nil || answered(err):
			return true, fmt.Errorf("deleting snapshot %s: %w", id, err)
		default: // what EC2 said before says more than that the operation has ended in the midst of a call
			inUse = fmt.Errorf("the last DeleteSnapshot was not answered; the answer before it: %w", inUse)
		}
		if time.Now().Before(giveUp) && pause(ctx) == nil {
			continue
		}
		err = errors.Join(context.Cause(ctx), inUse)
		switch {
		case stopped(ctx): // who has stopped it waits for no other call
			return true, err
		case ctx.Err() != nil:
			ctx = context.WithoutCancel(ctx)
		}
		return true, fmt.Errorf("%w%s", err, c.usersOf(ctx, id))
	}
}

// answered: with words of EC2.
func answered(err error) bool {
	_, ok := errors.AsType[smithy.APIError](err)
	return ok
}

// usersOf names the AMIs that hold a snapshot, where EC2 tells.
func (c *connection) usersOf(ctx context.Context, id string) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := c.EC2.DescribeImages(ctx, &ec2.DescribeImagesInput{
		Filters:         []ec2types.Filter{{Name: aws.String("block-device-mapping.snapshot-id"), Values: []string{id}}},
		IncludeDisabled: aws.Bool(true), // they hold their snapshots too
	})
	switch {
	case err != nil:
		return "; deregister the AMI that uses it, then destroy again"
	case len(out.Images) == 0:
		return "; EC2 shows no AMI that uses it now: destroy again"
	}
	var names []string
	for _, image := range out.Images {
		names = append(names, fmt.Sprintf("%s (%s)", aws.ToString(image.ImageId), aws.ToString(image.Name)))
	}
	return "; still used by " + strings.Join(names, ", ") + ": deregister it, then destroy again"
}

// setVolume fills what no wire member carries: where a local backend keeps the bytes.
func (c *connection) setVolume(ctx context.Context, m *importSnapshotModel) error {
	m.VolumePath, m.VolumeSHA256 = types.StringNull(), types.StringNull()
	if c.volume == nil {
		return nil
	}
	volume, err := c.volume(ctx, m.SnapshotID.ValueString())
	if err != nil {
		return fmt.Errorf("looking up the volume of %s: %w", m.SnapshotID.ValueString(), err)
	}
	m.VolumePath, m.VolumeSHA256 = text(&volume.Path), text(&volume.SHA256)
	return nil
}

// pause waits for the next poll, or until ctx ends.
func pause(ctx context.Context) error {
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
