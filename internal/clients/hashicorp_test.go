package clients

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
)

// peer is hashicorp/aws, as far as aws_ebs_snapshot_import goes: its calls in its order, and what it makes of the answers, also where it follows
// a pointer that is nil.
type peer struct {
	t    *testing.T
	site *site
	ec2  *ec2.Client
}

// pending are the only statuses that it waits on; any other but completed ends its apply.
var pending = []string{"active", "updating", "validating", "validated", "converting"}

func newPeer(t *testing.T, s *site) *peer {
	t.Helper()
	// The provider's start, with skip_requesting_account_id left out as emulators' guides have it now.
	id, err := s.sts().GetCallerIdentity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if *id.Account != account || *id.Arn != "arn:aws:iam::"+account+":root" {
		t.Errorf("the caller is %s, %s", *id.Account, *id.Arn)
	}
	return &peer{t, s, s.ec2()}
}

// create returns the id of the snapshot; archive is storage_tier.
func (p *peer) create(in *ec2.ImportSnapshotInput, tags []types.Tag, archive bool) (string, error) {
	p.t.Helper()
	ctx := p.t.Context()
	out, err := p.ec2.ImportSnapshot(ctx, in)
	if err != nil {
		// "provided does not exist or does not have sufficient permissions" it would try again.
		return "", fmt.Errorf("creating EBS Snapshot Import: %w", err)
	}
	task := aws.ToString(out.ImportTaskId)
	detail, err := p.await(task)
	if err != nil {
		return "", fmt.Errorf("waiting for EBS Snapshot Import (%s) create: %w", task, err)
	}
	id := aws.ToString(detail.SnapshotId)
	if len(tags) > 0 {
		if _, err := p.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: tags}); err != nil {
			return "", fmt.Errorf("setting EBS Snapshot Import (%s) tags: %w", id, err)
		}
	}
	if archive {
		if _, err := p.ec2.ModifySnapshotTier(ctx, &ec2.ModifySnapshotTierInput{SnapshotId: &id, StorageTier: "archive"}); err != nil {
			return "", fmt.Errorf("setting EBS Snapshot Import (%s) Storage Tier: %w", id, err)
		}
		p.awaitArchive(id)
	}
	return id, nil
}

// await differs in the delays only: the peer waits 10 seconds before the first look.
func (p *peer) await(task string) (detail *types.SnapshotTaskDetail, err error) {
	p.t.Helper()
	p.site.until("the peer's wait ends", func() bool {
		out, e := p.ec2.DescribeImportSnapshotTasks(p.t.Context(), &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: []string{task}})
		if e != nil {
			err = e
			return true
		}
		if len(out.ImportSnapshotTasks) != 1 {
			err = fmt.Errorf("%d tasks", len(out.ImportSnapshotTasks))
			return true
		}
		detail = out.ImportSnapshotTasks[0].SnapshotTaskDetail
		switch status := aws.ToString(detail.Status); {
		case slices.Contains(pending, status):
			return false
		case status != "completed":
			err = fmt.Errorf("unexpected state '%s', wanted target 'completed'. last error: %s", status, aws.ToString(detail.StatusMessage))
		}
		return true
	})
	return detail, err
}

func (p *peer) awaitArchive(id string) {
	p.t.Helper()
	p.site.until("the snapshot is archived", func() bool {
		out, err := p.ec2.DescribeSnapshotTierStatus(p.t.Context(), &ec2.DescribeSnapshotTierStatusInput{
			Filters: []types.Filter{{Name: aws.String("snapshot-id"), Values: []string{id}}},
		})
		if err != nil {
			p.t.Fatal(err)
		}
		if len(out.SnapshotTierStatuses) != 1 {
			p.t.Fatalf("%d tier statuses", len(out.SnapshotTierStatuses))
		}
		tier := out.SnapshotTierStatuses[0].StorageTier
		if tier != "standard" && tier != "archive" {
			p.t.Fatalf("unexpected state %q", tier)
		}
		return tier == "archive"
	})
}

// read is nil where the peer removes the resource from the state.
func (p *peer) read(id string) *types.Snapshot {
	p.t.Helper()
	out, err := p.ec2.DescribeSnapshots(p.t.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}})
	if codeOf(err) == "InvalidSnapshot.NotFound" {
		return nil
	}
	if err != nil {
		p.t.Fatal(err)
	}
	if len(out.Snapshots) != 1 {
		p.t.Fatalf("%d snapshots", len(out.Snapshots))
	}
	return &out.Snapshots[0]
}

// delete takes a snapshot that is gone for deleted.
func (p *peer) delete(id string) {
	p.t.Helper()
	if _, err := p.ec2.DeleteSnapshot(p.t.Context(), &ec2.DeleteSnapshotInput{SnapshotId: &id}); err != nil && codeOf(err) != "InvalidSnapshot.NotFound" {
		p.t.Error(err)
	}
}

func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

func peerTags(pairs ...string) []types.Tag {
	var tags []types.Tag
	for i := 0; i < len(pairs); i += 2 {
		tags = append(tags, types.Tag{Key: &pairs[i], Value: &pairs[i+1]})
	}
	return tags
}

// peerInput is what the peer sends for a configuration. Where client_data names no upload_start, it sends the zero time.
func peerInput(token, key, format string) *ec2.ImportSnapshotInput {
	return &ec2.ImportSnapshotInput{
		ClientToken: &token,
		ClientData:  &types.ClientData{Comment: aws.String("by the peer"), UploadStart: aws.Time(time.Time{})},
		Description: aws.String("the peer's"),
		DiskContainer: &types.SnapshotDiskContainer{
			Description: aws.String("container"), Format: &format,
			UserBucket: &types.UserBucket{S3Bucket: aws.String("images"), S3Key: &key},
		},
		RoleName: aws.String("vmimport"),
		TagSpecifications: []types.TagSpecification{
			{ResourceType: types.ResourceTypeImportSnapshotTask, Tags: peerTags("Name", "disk", "empty", "")},
		},
	}
}

func TestPeerLife(t *testing.T) {
	t.Parallel()
	s := newSite(t, "--simulate", "task_duration=300ms")
	content := disk(1)
	s.put("dir/disk.vhd", vhd(content))
	p := newPeer(t, s)

	id, err := p.create(peerInput("terraform-20260102030405000000000001", "dir/disk.vhd", "VHD"), peerTags("Name", "disk", "empty", ""), true)
	if err != nil {
		t.Fatal(err)
	}
	s.wantVolume(id, content)
	sn := p.read(id)
	if sn == nil {
		t.Fatal("the snapshot is not found just after it was made: the peer would fail its apply")
	}
	if sn.DataEncryptionKeyId != nil || !strings.HasPrefix(*sn.Description, "Created by AWS-VMImport service for import-snap-") || *sn.Encrypted || sn.KmsKeyId != nil ||
		sn.OwnerAlias != nil || *sn.OwnerId != account || sn.StorageTier != "archive" || *sn.VolumeSize != 1 {
		t.Errorf("the peer reads %+v", sn)
	}
	wantTags(t, sn.Tags, "Name=disk", "empty=")

	// An update: tags that go are deleted by key and value, then those that are new are set, and the tier is asked for, not waited for.
	ctx := t.Context()
	if _, err := p.ec2.RestoreSnapshotTier(ctx, &ec2.RestoreSnapshotTierInput{SnapshotId: &id, TemporaryRestoreDays: aws.Int32(3)}); err != nil {
		t.Error(err)
	}
	if _, err := p.ec2.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{id}, Tags: peerTags("empty", "")}); err != nil {
		t.Error(err)
	}
	if _, err := p.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: peerTags("Name", "renamed", "new", "é")}); err != nil {
		t.Error(err)
	}
	sn = p.read(id)
	wantTags(t, sn.Tags, "Name=renamed", "new=é")

	p.delete(id)
	if p.read(id) != nil {
		t.Error("the deleted snapshot is still there")
	}
	p.delete(id)
}

// An encrypted import of a URL: the members of the state that are null above.
func TestPeerEncrypted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	content := disk(2)
	s.put("disk.vmdk", vmdk(content))
	p := newPeer(t, s)
	in := peerInput("terraform-20260102030405000000000002", "", "VMDK")
	in.DiskContainer.UserBucket, in.DiskContainer.Url = nil, aws.String("s3://images/disk.vmdk")
	in.Encrypted, in.KmsKeyId, in.ClientData, in.TagSpecifications = aws.Bool(true), aws.String("alias/mine"), nil, nil
	id, err := p.create(in, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	s.wantVolume(id, content)
	sn := p.read(id)
	if !*sn.Encrypted || !strings.HasPrefix(aws.ToString(sn.KmsKeyId), "arn:aws:kms:us-east-1:"+account+":key/") || sn.StorageTier != "standard" {
		t.Errorf("the peer reads %+v", sn)
	}
	wantTags(t, sn.Tags)

	// The peer sends its request again when the connection breaks: the same token, so the same task.
	first, err := p.ec2.ImportSnapshot(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.over(*first.ImportTaskId); got != id {
		t.Errorf("asked again with the same token, it imported again: %s beside %s", got, id)
	}
}

// The peer ends its wait at the first status that it does not know, which is deleting: the reason has to be there by then.
func TestPeerFailure(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.put("disk.vmdk", append([]byte("\x1f\x8b\x08\x00"), disk(3)...))
	p := newPeer(t, s)
	for i := range 10 {
		_, err := p.create(peerInput(fmt.Sprintf("terraform-3-%d", i), "disk.vmdk", "VMDK"), nil, false)
		const reason = "last error: ClientError: Disk validation failed [Unsupported specified file format]"
		if err == nil || !strings.HasSuffix(err.Error(), reason) {
			t.Fatalf("the peer says %v", err)
		}
	}
}

// A task that is gone is told from a failing call by its code and text, and a role by its text: then the peer tries again.
func TestPeerRecognises(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.put("disk.raw", disk(4))
	p := newPeer(t, s)
	_, err := p.await("import-snap-0123456789abcdef0")
	if codeOf(err) != "InvalidConversionTaskId.Malformed" || !strings.Contains(err.Error(), "not found") {
		t.Errorf("a task that is not there: %v", err)
	}
	in := peerInput("terraform-4", "disk.raw", "RAW")
	in.RoleName = aws.String("no role's name!")
	_, err = p.create(in, nil, false)
	if codeOf(err) != "InvalidParameter" || !strings.Contains(err.Error(), "provided does not exist or does not have sufficient permissions") {
		t.Errorf("a role that cannot be: %v", err)
	}
}

func wantTags(t *testing.T, tags []types.Tag, want ...string) {
	t.Helper()
	got := []string{}
	for _, tag := range tags {
		got = append(got, *tag.Key+"="+*tag.Value)
	}
	slices.Sort(got)
	if !slices.Equal(got, append([]string{}, want...)) {
		t.Errorf("tags %q, want %q", got, want)
	}
}
