package localec2

import (
	"context"
	"slices"
	"strconv"
	"time"
)

// importedVolume is the volume that AWS says imported snapshots are of.
const importedVolume = "vol-ffffffff"

// snapshot is the product of an import.
type snapshot struct {
	Seq             int64
	ID              string
	Account, Region string
	TaskID          string
	StartTime       time.Time
	CompletionTime  time.Time
	Size            int64  // of the volume's file, in bytes
	Written         int64  // bytes of it that were written
	KMSKeyARN       string // "" = not encrypted
	SHA256          string
	Tiering         tiering
	Tags            []tag
}

// volumeSize is the size in GiB, rounded up, as EC2 answers it.
func (sn snapshot) volumeSize() int64 {
	const gib = 1 << 30
	return max(1, (sn.Size-1)/gib+1)
}

// description cannot be chosen on AWS; scripts find imports by it.
func (sn snapshot) description() string { return "Created by AWS-VMImport service for " + sn.TaskID }

type snapshotXML struct {
	ID                string    `xml:"snapshotId"`
	VolumeID          string    `xml:"volumeId"`
	Status            string    `xml:"status"`
	StartTime         *string   `xml:"startTime"`
	CompletionTime    *string   `xml:"completionTime"`
	Progress          string    `xml:"progress"`
	OwnerID           string    `xml:"ownerId"`
	VolumeSize        int64     `xml:"volumeSize"`
	Description       string    `xml:"description"`
	Encrypted         bool      `xml:"encrypted"`
	KMSKeyID          *string   `xml:"kmsKeyId"`
	StorageTier       string    `xml:"storageTier"`
	RestoreExpiryTime *string   `xml:"restoreExpiryTime"`
	FullSnapshotSize  int64     `xml:"fullSnapshotSizeInBytes"`
	Tags              *set[tag] `xml:"tagSet"`
}

func (sn snapshot) xml(now time.Time) snapshotXML {
	tier := sn.Tiering.at(now)
	return snapshotXML{
		ID: sn.ID, VolumeID: importedVolume, Status: statusCompleted, Progress: "100%",
		StartTime: ec2Time(sn.StartTime), CompletionTime: ec2Time(sn.CompletionTime),
		OwnerID: sn.Account, VolumeSize: sn.volumeSize(), Description: sn.description(),
		Encrypted: sn.KMSKeyARN != "", KMSKeyID: optional(sn.KMSKeyARN),
		StorageTier: tier.StorageTier, RestoreExpiryTime: ec2Time(tier.RestoreExpiry),
		FullSnapshotSize: sn.Written,
		Tags:             optionalTags(sn.Tags),
	}
}

func optionalTags(tags []tag) *set[tag] {
	if len(tags) == 0 {
		return nil
	}
	return &set[tag]{tags}
}

// attribute is what DescribeSnapshots filters by; "" is what a snapshot does not have.
func (sn snapshot) attribute(name string, now time.Time) string {
	switch name {
	case "description":
		return sn.description()
	case "encrypted":
		return strconv.FormatBool(sn.KMSKeyARN != "")
	case "owner-id":
		return sn.Account
	case "progress":
		return "100%"
	case "snapshot-id":
		return sn.ID
	case "start-time":
		return *ec2Time(sn.StartTime)
	case "status":
		return statusCompleted
	case "storage-tier":
		return sn.Tiering.at(now).StorageTier
	case "transfer-type":
		return tierStandard
	case "volume-id":
		return importedVolume
	case "volume-size":
		return strconv.FormatInt(sn.volumeSize(), 10)
	}
	return "" // owner-alias: no owner here is Amazon
}

type describeSnapshotsAnswer struct {
	head
	Snapshots set[snapshotXML] `xml:"snapshotSet"`
	NextToken *string          `xml:"nextToken"`
}

func (e *Endpoint) describeSnapshots(s scope, p *params) (call, error) {
	ids, err := p.list("SnapshotId")
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := checkSnapshotID(id); err != nil {
			return nil, err
		}
	}
	owned, err := owners(s, p, "Owner", "amazon", "aws-marketplace", "aws-backup-vault")
	if err != nil {
		return nil, err
	}
	restorable, err := owners(s, p, "RestorableBy", "all")
	if err != nil {
		return nil, err
	}
	filters, err := p.filters("description", "encrypted", "owner-alias", "owner-id", "progress", "snapshot-id", "start-time", "status",
		"storage-tier", "tag:", "tag-key", "transfer-type", "volume-id", "volume-size")
	if err != nil {
		return nil, err
	}
	pg, err := p.page("DescribeSnapshots", 5)
	if err != nil {
		return nil, err
	}
	if len(ids) > 0 && pg.max > 0 {
		return nil, failf("InvalidParameterCombination", "The parameter snapshotSet cannot be used with the parameter maxResults")
	}
	return func(context.Context) (answer, error) {
		all, err := e.store.snapshots(s, ids)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if !slices.ContainsFunc(all, func(sn snapshot) bool { return sn.ID == id }) {
				return nil, snapshotNotFound(id)
			}
		}
		now := time.Now()
		all = slices.DeleteFunc(all, func(sn snapshot) bool {
			return !owned || !restorable || !passes(filters, sn.Tags, func(name string) string { return sn.attribute(name, now) })
		})
		a := &describeSnapshotsAnswer{}
		all, a.NextToken = cut(pg, all, func(sn snapshot) int64 { return sn.Seq })
		for _, sn := range all {
			a.Snapshots.Items = append(a.Snapshots.Items, sn.xml(now))
		}
		return a, nil
	}, nil
}

// owners reads a list of accounts and reports whether this one is among them, or the list empty. Snapshots of others are not to be seen here.
func owners(s scope, p *params, name string, others ...string) (bool, error) {
	accounts, err := p.list(name)
	if err != nil {
		return false, err
	}
	for _, a := range accounts {
		if a != "self" && !accountID.MatchString(a) && !slices.Contains(others, a) {
			return false, failf("InvalidUserID.Malformed", "Invalid user id: \"%s\"", shorten(a))
		}
	}
	return len(accounts) == 0 || slices.Contains(accounts, "self") || slices.Contains(accounts, s.Account), nil
}

// deleteSnapshot removes the snapshot and its volume.
func (e *Endpoint) deleteSnapshot(s scope, p *params) (call, error) {
	id, err := requiredSnapshot(p)
	if err != nil {
		return nil, err
	}
	return func(context.Context) (answer, error) {
		if err := e.store.deleteSnapshot(s, id); err != nil {
			return nil, err
		}
		e.store.discard(e.store.path(volumesDir, id+volumeSuffix))
		e.log.Info("snapshot deleted", "snapshot", id)
		return &returned{Return: true}, nil
	}, nil
}

func requiredSnapshot(p *params) (string, error) {
	id, err := p.required("SnapshotId")
	if err != nil {
		return "", err
	}
	return id, checkSnapshotID(id)
}
