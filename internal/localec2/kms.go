package localec2

import (
	"regexp"
	"strings"

	"github.com/google/uuid"
)

var (
	kmsKeyID = regexp.MustCompile(`^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|mrk-[0-9a-f]{32})$`)
	kmsAlias = regexp.MustCompile(`^alias/[a-zA-Z0-9/_-]+$`)
	kmsARN   = regexp.MustCompile(`^arn:(aws[a-z-]*):kms:([a-z0-9-]+):([0-9]{12}):((?:key|alias)/.+)$`)
)

const maxKMSAlias = 250 // characters behind the prefix; counting in the expression would take a millisecond of every start of the program

// defaultKey is the key that EBS encrypts with when no other is named.
const defaultKey = "alias/aws/ebs"

// kmsKeyARN answers a key in any of its four forms as the ARN of the key, as EC2 does. There is no KMS here: which key an alias stands for
// is made up, but always the same.
func (s scope) kmsKeyARN(key string) (string, error) {
	partition, region, account, resource := s.partition(), s.Region, s.Account, key
	if m := kmsARN.FindStringSubmatch(key); m != nil {
		partition, region, account, resource = m[1], m[2], m[3], m[4]
		if partition != s.partition() || region != s.Region {
			return "", failf("InvalidParameterValue", "The specified KMS key is not accessible: %s is not in %s.", shorten(key), s.Region)
		}
		resource = strings.TrimPrefix(resource, "key/")
	}
	switch {
	case kmsAlias.MatchString(resource) && len(resource) <= len("alias/")+maxKMSAlias:
		resource = uuid.NewSHA1(uuid.NameSpaceURL, []byte(partition+":"+region+":"+account+":"+resource)).String()
	case !kmsKeyID.MatchString(resource):
		return "", invalidValue(key, "KmsKeyId", "Expected a key id, an alias, or the ARN of either.")
	}
	return "arn:" + partition + ":kms:" + region + ":" + account + ":key/" + resource, nil
}
