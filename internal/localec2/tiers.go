package localec2

import (
	"context"
	"slices"
	"time"
)

const (
	tierStandard = "standard"
	tierArchive  = "archive"

	operationArchival  = "archival"
	operationTemporary = "temporary-restore"
	operationPermanent = "permanent-restore"

	// tieringTime is how long a snapshot is seen on its way between the tiers: hours on AWS, enough here for one poll to see it.
	tieringTime = 3 * time.Second
)

// tiering is the last move of a snapshot between the tiers. Where it stands follows from the clock alone: no one has to carry it on.
type tiering struct {
	Operation   string // "" = never moved
	Before      string // the tier until the move is complete
	Start       time.Time
	RestoreDays int       // of a temporary restore
	ArchivedAt  time.Time // when the last archival is or was complete
}

// tierStatus is what is seen of a tiering at one moment.
type tierStatus struct {
	StorageTier     string
	OperationStatus string
	Progress        int
	ArchivedAt      time.Time
	RestoreExpiry   time.Time // of a temporary restore that is complete and lasts
}

func (t tiering) at(now time.Time) tierStatus {
	if t.Operation == "" {
		return tierStatus{StorageTier: tierStandard}
	}
	s := tierStatus{StorageTier: t.Before, OperationStatus: t.Operation + "-in-progress"}
	if !t.ArchivedAt.After(now) {
		s.ArchivedAt = t.ArchivedAt
	}
	if now.Before(t.Start.Add(tieringTime)) {
		return s
	}
	s.OperationStatus, s.Progress, s.StorageTier = t.Operation+"-completed", 100, t.target()
	if t.Operation == operationTemporary {
		if expiry := t.Start.AddDate(0, 0, t.RestoreDays); now.Before(expiry) {
			s.RestoreExpiry = expiry
		} else {
			s.StorageTier = tierArchive
		}
	}
	return s
}

func (t tiering) target() string {
	if t.Operation == operationArchival {
		return tierArchive
	}
	return tierStandard
}

// archived reports whether the snapshot is in the archive, on its way there, or only temporarily out of it.
func (t tiering) archived() bool {
	return t.Operation == operationArchival || t.Operation == operationTemporary
}

// begin starts a move. One that is still under way counts as done: on AWS it would take hours, and the new one be refused so long.
func (t *tiering) begin(operation string, now time.Time, days int) {
	before := tierStandard
	if t.Operation != "" {
		before = t.at(now.Add(tieringTime)).StorageTier
	}
	t.Operation, t.Before, t.Start, t.RestoreDays = operation, before, now, days
	if operation == operationArchival {
		t.ArchivedAt = now.Add(tieringTime)
	}
}

type modifyTierAnswer struct {
	head
	ID    string  `xml:"snapshotId"`
	Start *string `xml:"tieringStartTime"`
}

func (e *Endpoint) modifySnapshotTier(s scope, p *params) (call, error) {
	id, err := requiredSnapshot(p)
	if err != nil {
		return nil, err
	}
	tier, err := p.required("StorageTier")
	if err != nil {
		return nil, err
	}
	if tier != tierArchive {
		return nil, invalidValue(tier, "StorageTier", "Expected 'archive'.")
	}
	return func(context.Context) (answer, error) {
		now := time.Now()
		err := e.store.changeSnapshot(s, id, func(sn *snapshot) error {
			if sn.Tiering.Operation == operationArchival || sn.Tiering.at(now).StorageTier == tierArchive {
				return failf("IncorrectState", "The snapshot '%s' is already archived.", id)
			}
			sn.Tiering.begin(operationArchival, now, 0)
			return nil
		})
		return &modifyTierAnswer{ID: id, Start: ec2Time(now)}, err
	}, nil
}

type restoreTierAnswer struct {
	head
	ID        string  `xml:"snapshotId"`
	Start     *string `xml:"restoreStartTime"`
	Duration  *int    `xml:"restoreDuration"`
	Permanent bool    `xml:"isPermanentRestore"`
}

// restoreSnapshotTier takes an archived snapshot back, for some days or for good. On one that is out for some days it changes how long.
func (e *Endpoint) restoreSnapshotTier(s scope, p *params) (call, error) {
	id, err := requiredSnapshot(p)
	if err != nil {
		return nil, err
	}
	days, err := p.integer("TemporaryRestoreDays")
	if err != nil {
		return nil, err
	}
	permanent, err := p.boolean("PermanentRestore")
	if err != nil {
		return nil, err
	}
	if days != nil && permanent {
		return nil, failf("InvalidParameterCombination", "The parameter TemporaryRestoreDays cannot be used with the parameter PermanentRestore")
	}
	if days != nil && (*days < 1 || *days > 180) {
		return nil, failf("InvalidParameterValue", "Value (%d) for parameter TemporaryRestoreDays is invalid. Expected 1 to 180 days.", *days)
	}
	if days == nil && !permanent {
		one := 1 // EC2's default
		days = &one
	}
	return func(context.Context) (answer, error) {
		now := time.Now()
		err := e.store.changeSnapshot(s, id, func(sn *snapshot) error {
			if !sn.Tiering.archived() {
				return failf("IncorrectState", "The snapshot '%s' is not archived.", id)
			}
			if permanent {
				sn.Tiering.begin(operationPermanent, now, 0)
			} else {
				sn.Tiering.begin(operationTemporary, now, *days)
			}
			return nil
		})
		return &restoreTierAnswer{ID: id, Start: ec2Time(now), Duration: days, Permanent: permanent}, err
	}, nil
}

type describeTierAnswer struct {
	head
	Statuses  set[tierXML] `xml:"snapshotTierStatusSet"`
	NextToken *string      `xml:"nextToken"`
}

type tierXML struct {
	ID              string    `xml:"snapshotId"`
	VolumeID        string    `xml:"volumeId"`
	Status          string    `xml:"status"`
	OwnerID         string    `xml:"ownerId"`
	Tags            *set[tag] `xml:"tagSet"`
	StorageTier     string    `xml:"storageTier"`
	Start           *string   `xml:"lastTieringStartTime"`
	Progress        *int      `xml:"lastTieringProgress"`
	OperationStatus *string   `xml:"lastTieringOperationStatus"`
	ArchivedAt      *string   `xml:"archivalCompleteTime"`
	RestoreExpiry   *string   `xml:"restoreExpiryTime"`
}

func (sn snapshot) tierXML(now time.Time) tierXML {
	t := sn.Tiering.at(now)
	x := tierXML{
		ID: sn.ID, VolumeID: importedVolume, Status: statusCompleted, OwnerID: sn.Account, Tags: optionalTags(sn.Tags),
		StorageTier: t.StorageTier, Start: ec2Time(sn.Tiering.Start), OperationStatus: optional(t.OperationStatus),
		ArchivedAt: ec2Time(t.ArchivedAt), RestoreExpiry: ec2Time(t.RestoreExpiry),
	}
	if t.OperationStatus != "" {
		x.Progress = &t.Progress
	}
	return x
}

func (e *Endpoint) describeSnapshotTierStatus(s scope, p *params) (call, error) {
	filters, err := p.filters("snapshot-id", "volume-id", "last-tiering-operation")
	if err != nil {
		return nil, err
	}
	pg, err := p.page("DescribeSnapshotTierStatus", 5)
	if err != nil {
		return nil, err
	}
	return func(context.Context) (answer, error) {
		all, err := e.store.snapshots(s, nil)
		if err != nil {
			return nil, err
		}
		now := time.Now()
		all = slices.DeleteFunc(all, func(sn snapshot) bool {
			return !passes(filters, nil, func(name string) string {
				if name == "last-tiering-operation" {
					return sn.Tiering.at(now).OperationStatus
				}
				return sn.attribute(name, now)
			})
		})
		a := &describeTierAnswer{}
		all, a.NextToken = cut(pg, all, func(sn snapshot) int64 { return sn.Seq })
		for _, sn := range all {
			a.Statuses.Items = append(a.Statuses.Items, sn.tierXML(now))
		}
		return a, nil
	}, nil
}
