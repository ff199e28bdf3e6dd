package importtask

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
)

// ExplainCall explains an error of a call to EC2. It returns false for one that is not in the catalogue.
func ExplainCall(err error) (Explanation, bool) {
	if err == nil {
		return Explanation{}, false
	}
	code, text := codeOf(err), textOf(err)
	for _, f := range callFailures {
		if f.matches(err, code, text) {
			e := f.Explanation
			e.Cause = strings.Replace(e.Cause, theAction, cmp.Or(operationOf(err), theAction), 1)
			if mayHaveBegun(err) && e.Cure != begunCure && e.Blame != BlameClientToken {
				e.Cure += " " + begunCure
			}
			return e, true
		}
	}
	return Explanation{}, false
}

// callFailure is one entry of the catalogue. All of the conditions that are set must hold.
type callFailure struct {
	codes string   // separated by spaces; a trailing * stands for any rest
	texts []string // all of them are in the message, in lower case
	when  func(error) bool
	sign  string // what when sees, for people
	Explanation
}

func (f callFailure) matches(err error, code, text string) bool {
	if f.when != nil && !f.when(err) {
		return false
	}
	for _, part := range f.texts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	if f.codes == "" {
		return true
	}
	for want := range strings.FieldsSeq(f.codes) {
		prefix, open := strings.CutSuffix(want, "*")
		if code == want || open && strings.HasPrefix(code, prefix) {
			return true
		}
	}
	return false
}

// callFailures is the catalogue of EC2's error answers, and of calls that got none; the first entry that fits counts.
var callFailures = []callFailure{
	{when: noImport, sign: "`InvalidAction`, `UnsupportedOperation`, HTTP status 501 or a page of HTML, of ImportSnapshot", Explanation: Explanation{
		Cause: "There is no image import at this EC2 endpoint. LocalStack and moto, for example, do not offer it.",
		Cure: "Remove the custom endpoint to import on AWS. To import without AWS set `local = {}` in the provider block, " +
			"or let `terraform-provider-ec2 serve` answer at the endpoint.",
	}},
	{when: NotOffered, sign: "the same of any other action", Explanation: Explanation{
		Cause: "The EC2 endpoint does not offer " + theAction + ".",
		Cure:  "Use an endpoint that does: AWS, that of `local = {}` in the provider block, or `terraform-provider-ec2 serve`.",
	}},
	{codes: "LocalError", Explanation: localTrouble},
	{codes: "DryRunOperation", Explanation: Explanation{
		Cause: "The call was a dry run, and the caller has the permission for it.",
		Cure:  "Nothing needs doing. A dry run looks at no role, object or key, so the import itself can still be refused.",
	}},

	// What the service role, the object and the key are refused for comes as InvalidParameter.
	{codes: "InvalidParameter*", texts: []string{"does not exist or does not have sufficient permissions"}, Explanation: serviceRole},
	{codes: "InvalidParameter*", texts: []string{"assumed-role/", "is not authorized to perform"}, Explanation: roleRights},
	{texts: []string{"does not have access to the s3 object"}, Explanation: noObject},
	{texts: []string{"not local to the region"}, Explanation: otherRegion},
	{texts: []string{"invalid s3 source location"}, Explanation: badLocation},
	{texts: []string{"disk-image-size=0 has an invalid format"}, Explanation: Explanation{
		Cause: "EC2 does not recognise the object as a disk image of the given format.",
		Cure:  "Make `format` say what the object holds (raw, vhd, vhdx or vmdk), and upload it uncompressed.",
		Blame: BlameFormat,
	}},
	{codes: "InvalidParameter*", texts: []string{"kms"}, Explanation: kmsKey},
	{codes: "InvalidKmsKey* KMS.* KMSKeyNotAccessibleFault CustomerKeyHasBeenRevoked InvalidKMSKey*", Explanation: kmsKey},
	{codes: "UnknownParameter MissingParameter InvalidParameterCombination", Explanation: Explanation{
		Cause: "EC2 does not take the request in this form; its message names the parameter.",
		Cure:  "Change or remove the argument that stands for the parameter. An endpoint that is not AWS's own may not know it at all.",
	}},

	{when: isReplay, sign: "the client token stands for another import, or for one that has failed", Explanation: Explanation{
		Cause: "EC2 answers to a client token that it knows with the import the token was first used for. Nothing was started, and that import was left as it is.",
		Cure:  "Choose another `client_token`, or leave it unset to get a new one for each import.",
		Blame: BlameClientToken,
	}},
	{when: isSnapshotGone, sign: "the import is complete, but its snapshot is not there", Explanation: Explanation{
		Cause: "The snapshot was deleted after the import: by hand, by a policy, or by the destroy of a resource whose client token stood for the same import.",
		Cure:  "Apply again to import the image anew, under another `client_token` where one is set.",
	}},
	{codes: "IdempotentParameterMismatch", Explanation: Explanation{
		Cause: "EC2 has seen this client token with another request.",
		Cure:  "Choose another `client_token` whenever anything else of the import changes, or leave it unset to get a new one for each import.",
		Blame: BlameClientToken,
	}},

	// Tags before permissions: a refused tag also comes as UnauthorizedOperation.
	{codes: "UnauthorizedOperation AccessDenied*", texts: []string{"createtags"}, Explanation: Explanation{
		Cause: "The caller may import, but may not tag: ec2:CreateTags is not allowed.",
		Cure:  "Allow the caller ec2:CreateTags on import-snapshot-task/* and on snapshot/*, or remove the tags (those of `default_tags`, too).",
		Blame: BlameTags,
	}},
	{codes: "TagPolicyViolation", Explanation: Explanation{
		Cause: "A tag policy of the AWS organization refuses a tag, or the spelling of its key or value.",
		Cure:  "Write the tags as the policy wants them; `aws organizations describe-effective-policy --policy-type TAG_POLICY` shows it.",
		Blame: BlameTags,
	}},
	{codes: "TagLimitExceeded", Explanation: Explanation{
		Cause: "A resource may have 50 tags, and these are more, those of `default_tags` included.",
		Cure:  "Remove some tags.",
		Blame: BlameTags,
	}},
	{codes: "InvalidTagKey.Malformed InvalidTag*", Explanation: Explanation{
		Cause: "EC2 refuses the key or the value of a tag.",
		Cure:  "Use keys of 1 to 127 characters that do not begin with `aws:`, and values of at most 256 characters.",
		Blame: BlameTags,
	}},
	{codes: "ConcurrentTagAccess", Explanation: Explanation{
		Cause: "Something else was changing the same tags at the same moment.",
		Cure:  "Apply again.",
		Blame: BlameTags,
	}},

	{codes: "UnauthorizedOperation AccessDenied*", texts: []string{"passrole"}, Explanation: Explanation{
		Cause: "The caller may not hand the service role to VM Import.",
		Cure:  "Allow the caller iam:PassRole on the role.",
		Blame: BlameRole,
	}},
	{codes: "UnauthorizedOperation AccessDenied*", Explanation: Explanation{
		Cause: "The caller's policies do not allow this call.",
		Cure: "An import needs ec2:ImportSnapshot (on import-snapshot-task/* and snapshot/*), ec2:DescribeImportSnapshotTasks, ec2:CancelImportTask, " +
			"ec2:DescribeSnapshots, ec2:DeleteSnapshot, ec2:CreateTags and ec2:DeleteTags; a storage tier ec2:ModifySnapshotTier, ec2:RestoreSnapshotTier " +
			"and ec2:DescribeSnapshotTierStatus. " +
			"An encoded message is read with `aws sts decode-authorization-message`.",
	}},
	{codes: unknownCaller, Explanation: Explanation{
		Cause: "EC2 does not accept the credentials: they are wrong, disabled, or belong to another partition or to a Region that is not enabled.",
		Cure:  "Check with `aws sts get-caller-identity` which credentials are used, and whether the account has the Region enabled.",
	}},
	{codes: sessionOver, Explanation: Explanation{
		Cause: "The session of the credentials has ended, or this machine's clock is wrong by more than 15 minutes.",
		Cure:  "Get new credentials or set the clock, and apply again. An import that has begun goes on meanwhile.",
	}},
	{codes: "Blocked PendingVerification", Explanation: Explanation{
		Cause: "AWS has blocked the account, or is still verifying it.",
		Cure:  "Wait for the mail that ends the verification, or ask AWS Support.",
	}},
	{codes: "OptInRequired", Explanation: Explanation{
		Cause: "The account is not signed up for EC2 in this Region.",
		Cure:  "Enable the Region for the account, or import in another one.",
		Blame: BlameRegion,
	}},

	{codes: "ResourceCountLimitExceeded", Explanation: Explanation{
		Cause: "The account runs as many imports at a time as EC2 allows in a Region.",
		Cure:  "Wait for some of them to end, or run fewer at a time (`terraform apply -parallelism=N`); a longer create timeout waits longer.",
	}},
	{codes: "SnapshotLimitExceeded", Explanation: Explanation{
		Cause: "The account has as many snapshots as its quota allows in this Region.",
		Cure:  "Delete snapshots, or have the quota raised in Service Quotas.",
	}},
	{when: noSuchTask, sign: "`InvalidConversionTaskId`, with or without `.Malformed`", Explanation: Explanation{
		Cause: "EC2 does not know this import task in this account and Region. It forgets finished tasks after some days.",
		Cure: "Check account and Region. The snapshot of a finished task is found by its description, " +
			"`Created by AWS-VMImport service for` and the id of the task.",
	}},
	{codes: "DeleteConversionTaskError", Explanation: Explanation{
		Cause: "The import task cannot be cancelled any more: it is about to end.",
		Cure:  "Destroy again when it has ended; `aws ec2 describe-import-snapshot-tasks` shows its status.",
	}},
	{codes: "InvalidSnapshotID.Malformed", Explanation: Explanation{
		Cause: "EC2 does not take this for the id of a snapshot.",
		Cure:  "Check the id letter by letter: it is snap- and 17 hexadecimal digits, or 8 for an old one.",
	}},
	{codes: "InvalidSnapshot.NotFound", Explanation: Explanation{
		Cause: "EC2 does not know the snapshot in this account and Region: it was deleted, or it is so new that not all of EC2 knows it yet.",
		Cure:  "Apply again: a snapshot that is gone is then imported anew.",
	}},
	{codes: "InvalidSnapshot.InUse", Explanation: Explanation{
		Cause: "An AMI still uses the snapshot.",
		Cure:  "Deregister the AMI first, then destroy again.",
	}},
	{when: throttled, sign: "`RequestLimitExceeded`, `Throttling` and their like", Explanation: Explanation{
		Cause: "EC2 throttles the calls of this account in this Region.",
		Cure:  "Apply again later, with fewer operations at a time (`-parallelism=N`).",
	}},

	{when: NoCredentials, sign: "the SDK finds no credentials (`get identity: ...`, `static credentials are empty`)", Explanation: Explanation{
		Cause: "No usable AWS credentials were found.",
		Cure:  "Set `profile`, `access_key` and `secret_key`, `assume_role` or the AWS_* environment variables, or set `local = {}` to import without AWS.",
	}},
	{texts: []string{"aws account id not allowed"}, Explanation: Explanation{
		Cause: "The account of the credentials is not in `allowed_account_ids`, or is in `forbidden_account_ids`. Nothing was asked of EC2 in it.",
		Cure:  "Use credentials of the right account (`profile`, `assume_role` or the AWS_* environment variables), or correct the list in the provider block.",
	}},
	{when: untrusted, sign: "a TLS certificate that does not verify", Explanation: Explanation{
		Cause: "The certificate of the EC2 endpoint is not trusted on this machine.",
		Cure:  "Name the authority that signed it in `custom_ca_bundle` (or AWS_CA_BUNDLE); behind a proxy that opens TLS that is the proxy's own.",
	}},
	{when: func(err error) bool { return beforeSending(err) && !mayHaveBegun(err) }, sign: "no such host, connection refused", Explanation: Explanation{
		Cause: "No connection to the EC2 endpoint could be made, so nothing was asked of EC2.",
		Cure:  "Check the network, the proxy settings, `region` and `endpoints`: a Region that does not exist has no endpoint either.",
	}},
	{when: func(err error) bool { return errors.Is(err, errNotCalled) && errors.Is(err, context.DeadlineExceeded) }, sign: "stopped before the call", Explanation: Explanation{
		Cause: "The time of the operation was over before ImportSnapshot was called, so no import has begun.",
		Cure:  "Apply again; allow more time in the `timeouts` block if it is short.",
	}},
	{when: notEC2, sign: "`UnknownError`", Explanation: Explanation{
		Cause: "What answered is not EC2: the answer is no EC2 error.",
		Cure:  "Check `endpoints` and the proxy settings.",
	}},
	{when: isUnasked, sign: "a dry run that EC2 has neither allowed nor refused", Explanation: Explanation{
		Cause: "EC2 or the network failed before the dry run was answered, or something else than EC2 answered. A dry run begins no import.",
		Cure:  "Plan again, and check `endpoints` and the proxy settings if it comes back. Without `dry_run` a plan does not ask.",
	}},
	{when: timeUp, sign: "`timeouts.read (20m0s) was over`, and its like", Explanation: Explanation{
		Cause: "The time that `timeouts` gives the operation was over before EC2 had done what it was asked.",
		Cure:  "Plan, apply or destroy again, which goes on from here. Raise the timeout that is named above where EC2 needs longer.",
	}},
	{when: otherAnswerLost, sign: "`InternalError`, `Unavailable`, HTTP status 5xx, a broken connection, of any call but ImportSnapshot", Explanation: Explanation{
		Cause: "The service or the network failed before " + theAction + " was answered.",
		Cure:  "Plan, apply or destroy again: what has been carried out is not done twice.",
	}},
	{when: func(err error) bool { return answerLost(err) || unheard(err) && mayHaveBegun(err) }, sign: "the same of ImportSnapshot", Explanation: Explanation{
		Cause: "EC2 or the network failed before the answer came, so it is not known whether EC2 acted on the call.",
		Cure:  begunCure,
	}},
}

// begunCure is for an import that may have begun.
const begunCure = "Where `client_token` is set, apply again: that gets the import, if there is one. Where it is not, plan again now, before that import ends: " +
	"the plan looks for unfinished ones and says how to adopt them."

// The codes by which EC2 does not accept who asks.
const (
	unknownCaller = "AuthFailure InvalidClientTokenId UnrecognizedClientException SignatureDoesNotMatch " +
		"InvalidSecurity IncompleteSignature MissingAuthenticationToken"
	sessionOver = "ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired"
)

// theAction stands in a cause for the name of the action that was called.
const theAction = "the action that was called"

func noImport(err error) bool { return NotOffered(err) && operationOf(err) == importAction }

// otherAnswerLost: no import hangs on the answer.
func otherAnswerLost(err error) bool {
	operation := operationOf(err)
	return operation != "" && operation != importAction && !mayHaveBegun(err) && answerLost(err)
}

func noSuchTask(err error) bool { return unknownTask(err) || errors.Is(err, ErrGone) }

func notEC2(err error) bool {
	return codeOf(err) == "UnknownError" && statusOf(err) < http.StatusInternalServerError
}

var kmsKey = Explanation{
	Cause: "The KMS key cannot be used for the snapshot: it is not in this Region, is disabled or asymmetric, or the service role has no right on it.",
	Cure: "Use an enabled symmetric key of the same Region (or leave `kms_key_id` out for the account's default key), " +
		"and allow the role " + kmsPolicy + " on it.",
	Blame: BlameKMSKey,
}
