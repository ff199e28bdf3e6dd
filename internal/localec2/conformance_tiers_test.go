package localec2

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func conformsTiers(t *testing.T, h *host) {
	ctx := t.Context()
	id := h.imported(t, "tier.img", pattern(4096, 8))
	status := func() types.SnapshotTierStatus {
		t.Helper()
		out, err := h.ec2.DescribeSnapshotTierStatus(ctx, &ec2.DescribeSnapshotTierStatusInput{Filters: []types.Filter{ec2Filter("snapshot-id", id)}})
		if err != nil {
			t.Fatal(err)
		}
		return out.SnapshotTierStatuses[0]
	}
	restore := func(days *int32, permanent *bool) (*ec2.RestoreSnapshotTierOutput, error) {
		return h.ec2.RestoreSnapshotTier(ctx, &ec2.RestoreSnapshotTierInput{SnapshotId: &id, TemporaryRestoreDays: days, PermanentRestore: permanent})
	}
	if s := status(); s.StorageTier != "standard" || s.LastTieringOperationStatus != "" || s.LastTieringStartTime != nil {
		t.Errorf("before: %+v", s)
	}
	_, err := restore(nil, aws.Bool(true))
	wantCode(t, err, "IncorrectState", "not archived")
	if _, err := h.ec2.ModifySnapshotTier(ctx, &ec2.ModifySnapshotTierInput{SnapshotId: &id, StorageTier: "archive"}); err != nil {
		t.Fatal(err)
	}
	if s := status(); s.StorageTier != "standard" || s.LastTieringOperationStatus != "archival-in-progress" {
		t.Errorf("at first: %+v", s)
	}
	_, err = h.ec2.ModifySnapshotTier(ctx, &ec2.ModifySnapshotTierInput{SnapshotId: &id, StorageTier: "archive"})
	wantCode(t, err, "IncorrectState", "already")
	eventually(t, func() bool { return status().LastTieringOperationStatus == "archival-completed" })
	if s := status(); s.StorageTier != "archive" || s.ArchivalCompleteTime == nil || *s.LastTieringProgress != 100 {
		t.Errorf("archived: %+v", s)
	}

	_, err = restore(aws.Int32(3), aws.Bool(true))
	wantCode(t, err, "InvalidParameterCombination", "")
	for _, days := range []int32{0, 181} {
		_, err = restore(&days, nil)
		wantCode(t, err, "InvalidParameterValue", "180")
	}
	out, err := restore(aws.Int32(3), nil)
	if err != nil {
		t.Fatal(err)
	}
	if *out.RestoreDuration != 3 || *out.IsPermanentRestore || out.RestoreStartTime == nil {
		t.Errorf("restore: %+v", out)
	}
	eventually(t, func() bool { return status().LastTieringOperationStatus == "temporary-restore-completed" })
	if s := status(); s.StorageTier != "standard" || s.RestoreExpiryTime == nil || s.RestoreExpiryTime.Sub(*out.RestoreStartTime) < 71*time.Hour {
		t.Errorf("restored for a time: %+v", s)
	}
	out, err = restore(nil, aws.Bool(true))
	if err != nil {
		t.Fatal(err)
	}
	if out.RestoreDuration != nil || !*out.IsPermanentRestore {
		t.Errorf("restore: %+v", out)
	}
	eventually(t, func() bool { return status().LastTieringOperationStatus == "permanent-restore-completed" })
	if s := status(); s.StorageTier != "standard" || s.RestoreExpiryTime != nil {
		t.Errorf("restored for good: %+v", s)
	}
}
