package importtask

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// RoleAPI is what the look at a service role needs of *iam.Client.
type RoleAPI interface {
	GetRole(ctx context.Context, in *iam.GetRoleInput, opts ...func(*iam.Options)) (*iam.GetRoleOutput, error)
}

// defaultRole is the role that EC2 takes where the request names none.
const defaultRole = "vmimport"

// roleLimit bounds the look: it comes on top of a failure that the user already waits to read.
const roleLimit = 5 * time.Second

// ExplainRole says which part of a service role keeps VM Import from using it in a Region. EC2 has one sentence for all of them (P11). An error means
// that nothing can be said: most callers may not look at roles, and few emulators know any.
func ExplainRole(ctx context.Context, api RoleAPI, role, region string) (string, error) {
	name := cmp.Or(role, defaultRole)
	ctx, cancel := context.WithTimeout(ctx, roleLimit)
	defer cancel()
	out, err := api.GetRole(ctx, &iam.GetRoleInput{RoleName: &name}, func(o *iam.Options) { o.RetryMaxAttempts = 2 })
	var missing *iamtypes.NoSuchEntityException
	switch {
	case errors.As(err, &missing):
		return fmt.Sprintf("IAM says that this account has no role %q.", name), nil
	case err != nil:
		return "", fmt.Errorf("looking at the role %s: %w", name, err)
	case out.Role == nil || aws.ToString(out.Role.AssumeRolePolicyDocument) == "":
		return "", fmt.Errorf("looking at the role %s: the answer has no trust policy", name)
	}
	document := *out.Role.AssumeRolePolicyDocument
	if plain, err := url.PathUnescape(document); err == nil { // else it is not encoded, as some emulators have it
		document = plain
	}
	v, err := judgeTrust(document, assumer{account: accountOf(aws.ToString(out.Role.Arn)), region: region})
	if err != nil {
		return "", fmt.Errorf("reading the trust policy of the role %s: %w", name, err)
	}
	notJudged, sound := "", "its trust policy is sound"
	if len(v.doubts) > 0 {
		notJudged, sound = " Not judged: "+strings.Join(v.doubts, "; ")+".", "nothing is wrong in its trust policy as far as that can be judged"
	}
	if len(v.faults) > 0 {
		return fmt.Sprintf("IAM says that the role %q is there, but that its trust policy is not as VM Import needs it: %s.%s",
			name, strings.Join(v.faults, "; "), notJudged), nil
	}
	return fmt.Sprintf("IAM says that the role %q is there and that %s.%s What is left are the role's own policies (%s), "+
		"a permissions boundary or an organization's policy above them, and the caller's iam:PassRole on the role.", name, sound, notJudged, rolePolicy), nil
}

// accountOf is the account in an ARN. VM Import asks in the name of the account that imports, which is the one whose role it is.
func accountOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[4]
}
