package localec2

import (
	"crypto/rand"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	taskPrefix     = "import-snap-"
	snapshotPrefix = "snap-"
)

// newID makes an id as EC2 has made them since 2016: a prefix and 17 hexadecimal digits.
func newID(prefix string) string {
	var b [9]byte
	rand.Read(b[:]) //nolint:errcheck // crypto/rand never fails: it ends the program
	return prefix + hex.EncodeToString(b[:])[:17]
}

var (
	snapshotID = regexp.MustCompile(`^snap-([0-9a-f]{8}|[0-9a-f]{17})$`)

	// taskID takes every form seen on AWS (vm-import-facts 2), of which only some are made here.
	taskID = regexp.MustCompile(`^import-snap-[0-9a-z]{1,64}$`)

	accountID = regexp.MustCompile(`^[0-9]{12}$`)
	roleName  = regexp.MustCompile(`^(arn:[a-z-]+:iam::[0-9]{12}:role/)?([\w+=,.@/-]+)$`)
	printable = regexp.MustCompile(`^[\x20-\x7e]{1,64}$`)
)

// isRole takes a role's name, or its ARN, where a path may precede the name. Lengths are counted here: in the expression that would take a millisecond
// of every start of the program.
func isRole(s string) bool {
	m := roleName.FindStringSubmatch(s)
	switch {
	case m == nil:
		return false
	case m[1] != "":
		return len(m[2]) <= 512
	}
	return len(s) <= 64 && !strings.Contains(s, "/")
}

func checkSnapshotID(id string) error {
	if snapshotID.MatchString(id) {
		return nil
	}
	if !strings.HasPrefix(id, snapshotPrefix) {
		return failf("InvalidParameterValue", "Value (%s) for parameter snapshotId is invalid. Expected: 'snap-...'.", shorten(id))
	}
	return failf("InvalidSnapshotID.Malformed", "Invalid id: \"%s\" (expecting \"snap-...\")", shorten(id))
}

func checkTaskID(id string) error {
	if taskID.MatchString(id) {
		return nil
	}
	return failf("InvalidConversionTaskId.Malformed", "Invalid id: \"%s\" (expecting \"import-snap-...\")", shorten(id))
}

// Limits of tags on EC2.
const (
	maxTags     = 50
	maxTagKey   = 127
	maxTagValue = 256
)

// tag is one tag of a resource, on the wire as in the store.
type tag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

// checkTags holds what EC2 asks of tags that are to be set.
func checkTags(tags []tag) error {
	var keys []string
	for _, t := range tags {
		if err := checkTagKey(t.Key); err != nil {
			return err
		}
		if utf8.RuneCountInString(t.Value) > maxTagValue {
			return failf("InvalidParameterValue", "Tag value exceeds the maximum length of %d characters", maxTagValue)
		}
		if slices.Contains(keys, t.Key) {
			return failf("InvalidParameterValue", "Duplicate tag keys found: '%s'. Tag keys must be unique.", shorten(t.Key))
		}
		keys = append(keys, t.Key)
	}
	if len(tags) > maxTags {
		return tooManyTags()
	}
	return nil
}

func checkTagKey(key string) error {
	switch {
	case key == "":
		return failf("InvalidParameterValue", "Tag key cannot be null or empty.")
	case utf8.RuneCountInString(key) > maxTagKey:
		return failf("InvalidParameterValue", "Tag key exceeds the maximum length of %d characters", maxTagKey)
	case strings.HasPrefix(strings.ToLower(key), "aws:"):
		return failf("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
	}
	return nil
}

func tooManyTags() *apiError {
	return failf("TagLimitExceeded", "The maximum number of tags on a resource is %d.", maxTags)
}
