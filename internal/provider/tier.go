package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/importtask"
)

// reachTier moves the snapshot to tier, unless it is there or on its way: EC2 refuses to be asked again, as it may have been by hand, or by an apply that
// was killed before it could write so down (P25). Where it is on its way elsewhere the error is a tierMovingError.
func (c *connection) reachTier(ctx context.Context, id, tier string, days types.Int64) error {
	refused := c.moveTier(ctx, id, tier, days)
	if refused == nil {
		return nil
	}
	s, err := c.snapshot(ctx, id)
	if err != nil || s == nil {
		return refused
	}
	status := c.lastMove(ctx, id)
	switch {
	case tierBehind(status, tierOf(*s)) == tier:
		return nil
	case strings.HasSuffix(string(status.LastTieringOperationStatus), inProgress) && refusesMove(refused):
		return &tierMovingError{status.LastTieringOperationStatus, refused}
	default:
		return refused
	}
}

// moveTier asks EC2 to move the snapshot to tier; EC2 takes hours to do it, and nothing waits (P25).
func (c *connection) moveTier(ctx context.Context, id, tier string, days types.Int64) error {
	if tier == string(ec2types.StorageTierArchive) {
		_, err := c.EC2.ModifySnapshotTier(ctx, &ec2.ModifySnapshotTierInput{SnapshotId: aws.String(id), StorageTier: ec2types.TargetStorageTierArchive})
		return err
	}
	in := &ec2.RestoreSnapshotTierInput{SnapshotId: aws.String(id)}
	if days.IsNull() || days.IsUnknown() {
		in.PermanentRestore = aws.Bool(true)
	} else {
		in.TemporaryRestoreDays = aws.Int32(int32(days.ValueInt64())) //nolint:gosec // validated: 1 to 180
	}
	_, err := c.EC2.RestoreSnapshotTier(ctx, in)
	return err
}

// changeTier brings a snapshot to the tier and restore period of m. A period alone matters only while the snapshot is restored for a time, or is about
// to be: EC2 may not take another period before it is.
func (c *connection) changeTier(ctx context.Context, id string, m, prior *importSnapshotModel) error {
	if !m.StorageTier.Equal(prior.StorageTier) {
		return c.reachTier(ctx, id, m.StorageTier.ValueString(), m.TemporaryRestoreDays)
	}
	s, err := c.snapshot(ctx, id)
	if err != nil || s == nil || m.StorageTier.ValueString() != string(ec2types.StorageTierStandard) {
		return err
	}
	if s.RestoreExpiryTime != nil {
		return c.moveTier(ctx, id, m.StorageTier.ValueString(), m.TemporaryRestoreDays)
	}
	if tierOf(*s) == m.StorageTier.ValueString() {
		return nil
	}
	moving := c.lastMove(ctx, id).LastTieringOperationStatus
	if moving != ec2types.TieringOperationStatusTemporaryRestoreInProgress {
		return nil
	}
	err = c.moveTier(ctx, id, m.StorageTier.ValueString(), m.TemporaryRestoreDays)
	if refusesMove(err) {
		return &tierMovingError{moving, err}
	}
	return err
}

// refusesMove: EC2 does not take the move as the snapshot is. What it says of the caller (403), of their credentials or of the moment is something else.
func refusesMove(err error) bool {
	var answer *awshttp.ResponseError
	return errors.As(err, &answer) && answer.HTTPStatusCode() == http.StatusBadRequest &&
		!importtask.IsCode(err, "ExpiredToken", "RequestExpired", "Throttling", "ThrottlingException")
}

// observedTier is the tier for the state. A tier in motion counts as reached: the move was asked for, and no second plan shall ask again (P25).
// The status of a move is asked for only where the tiers differ, because it needs a permission of its own.
func (c *connection) observedTier(ctx context.Context, s ec2types.Snapshot, prior types.String) types.String {
	now := tierOf(s)
	if prior.IsNull() || prior.ValueString() == now {
		return types.StringValue(now)
	}
	return types.StringValue(tierBehind(c.lastMove(ctx, aws.ToString(s.SnapshotId)), now))
}

// lastMove is what EC2 tells of the snapshot's last move between the tiers, zero where it tells nothing.
func (c *connection) lastMove(ctx context.Context, id string) ec2types.SnapshotTierStatus {
	out, err := c.EC2.DescribeSnapshotTierStatus(ctx, &ec2.DescribeSnapshotTierStatusInput{
		Filters: []ec2types.Filter{{Name: aws.String("snapshot-id"), Values: []string{id}}},
	})
	if err != nil {
		logDebug(ctx, "cannot ask for the status of the storage tier", map[string]any{"error": err.Error()})
		return ec2types.SnapshotTierStatus{}
	}
	if len(out.SnapshotTierStatuses) == 0 {
		return ec2types.SnapshotTierStatus{}
	}
	return out.SnapshotTierStatuses[0]
}

const inProgress = "-in-progress"

// tierBehind is the tier behind the last move, where it is done or once it will be; now is that of the snapshot as it was described a moment before.
func tierBehind(last ec2types.SnapshotTierStatus, now string) string {
	switch last.LastTieringOperationStatus {
	case ec2types.TieringOperationStatusArchivalInProgress:
		return string(ec2types.StorageTierArchive)
	case ec2types.TieringOperationStatusPermanentRestoreInProgress, ec2types.TieringOperationStatusTemporaryRestoreInProgress:
		return string(ec2types.StorageTierStandard)
	default:
		if last.StorageTier != "" { // the move may have come to its end since the snapshot was described
			return string(last.StorageTier)
		}
		return now
	}
}

// tierMovingError is a move between the tiers that EC2 does not take, because another one, which leads elsewhere, is on its way.
type tierMovingError struct {
	operation ec2types.TieringOperationStatus
	refusal   error
}

func (e *tierMovingError) Error() string {
	return fmt.Sprintf("EC2 takes no other move before the one that is on its way (%s) is done: %s", e.operation, e.refusal)
}

func (e *tierMovingError) Unwrap() error { return e.refusal }

// tierBeforeKey has, in the private state, the tier of a snapshot that could not be changed yet.
const tierBeforeKey = "tier_before"

type tierBefore struct {
	Tier string `json:"tier"`
	Days *int64 `json:"days"` // of the temporary restore; nil where it is for ever
}

func setTierBefore(ctx context.Context, private privateWriter, tier *tierBefore) diag.Diagnostics {
	if tier == nil {
		return private.SetKey(ctx, tierBeforeKey, nil)
	}
	value, err := json.Marshal(tier)
	if err != nil {
		return diag.Diagnostics{diag.NewErrorDiagnostic("Unable to Keep Storage Tier", err.Error())}
	}
	return private.SetKey(ctx, tierBeforeKey, value)
}

// recallTier puts back into m the tier that the last update could not change.
func (m *importSnapshotModel) recallTier(ctx context.Context, private privateReader) diag.Diagnostics {
	value, diags := private.GetKey(ctx, tierBeforeKey)
	var tier tierBefore
	if len(value) == 0 || json.Unmarshal(value, &tier) != nil {
		return diags
	}
	m.StorageTier, m.TemporaryRestoreDays = types.StringValue(tier.Tier), types.Int64PointerValue(tier.Days)
	return diags
}
