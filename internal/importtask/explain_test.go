package importtask

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Every example is a message as EC2 or an endpoint sends it, and every entry has one; cause is a part of the one entry that is to fit.
func TestExplainTask(t *testing.T) {
	reached := map[int]bool{}
	for message, want := range map[string]struct {
		cause string // empty: not in the catalogue
		blame Blame
	}{
		// P19; the brackets without a prefix, in lower case, are the words of 2026.
		"ClientError: Disk validation failed [Unsupported VMDK File Format]":      {"not of the streamOptimized sub-format", BlameDiskContainer},
		"disk validation failed [unsupported vmdk file format]":                   {"not of the streamOptimized sub-format", BlameDiskContainer},
		"ClientError: Disk validation failed [Unsupported specified file format]": {"compressed files", BlameFormat},
		"disk validation failed [unsupported specified file format]":              {"compressed files", BlameFormat},
		"ClientError: Disk validation failed [We do not have access to the given resource. Reason 403 Forbidden]": {
			"service role cannot read the object", BlameRole,
		},
		"disk validation failed [we do not have access to the given resource. reason 403 forbidden]": {"service role cannot read the object", BlameRole},
		"ClientError: Disk validation failed [We do not have access to the given resource. Reason 404 Not Found]": {
			"no longer there", BlameDiskContainer,
		},
		"disk validation failed [we do not have access to the given resource. reason 404 not found]": {"no longer there", BlameDiskContainer},
		"ClientError: Disk validation failed [Unsupported OVA format]":                               {"OVA", BlameDiskContainer},
		"ClientError: Disk validation failed [OVF file parsing error: OVA with chunked disk files is not supported]": {
			"OVA", BlameDiskContainer,
		},
		"disk validation failed [ovf file parsing error: ova with chunked disk files is not supported]": {"OVA", BlameDiskContainer},
		"ClientError: Footers not identical":                   {"footers of the VHD", BlameDiskContainer},
		"footers not identical":                                {"footers of the VHD", BlameDiskContainer},
		"ClientError: Uncompressed data has an invalid length": {"compressed grain of the VMDK", BlameDiskContainer},
		"ClientError: Uncompressed data has invalid length":    {"compressed grain of the VMDK", BlameDiskContainer},
		"uncompressed data has an invalid length":              {"compressed grain of the VMDK", BlameDiskContainer},
		"ERROR: File uses unsupported compression algorithm 0": {"grains are not compressed", BlameDiskContainer},
		"file uses unsupported compression algorithm 0":        {"grains are not compressed", BlameDiskContainer},
		"ClientError:Provided image file was corrupted.":       {"found the image damaged", BlameDiskContainer},
		"ClientError: Disk validation failed [the disk is larger than 8 TiB, and ImportSnapshot takes no larger one]": {
			"larger than VM Import takes", BlameDiskContainer,
		},
		"disk validation failed [the disk is larger than 8 tib, and importsnapshot takes no larger one]": {
			"larger than VM Import takes", BlameDiskContainer,
		},
		// P10, P20: what the call can be refused for may come from the task, too.
		"ClientError: " + roleMissing + ".":                                                                          {"external id", BlameRole},
		strings.ToLower(rightsMissing):                                                                               {"may not do what the message names", BlameRole},
		"ClientError: " + objectMissing:                                                                              {"may not read it", BlameDiskContainer},
		"ClientError: The given S3 bucket is not local to the Region":                                                {"another Region than the one", BlameRegion},
		"Invalid S3 source location":                                                                                 {"a bucket and a key", BlameDiskContainer},
		"Client.InvalidKmsKey.InvalidState":                                                                          {"could not be encrypted", BlameKMSKey},
		"Client.InvalidKmsKey.InvalidState: The KMS key provided is in an incorrect state":                           {"could not be encrypted", BlameKMSKey},
		"ClientError: Unsupported kernel version 5.4.66-gentoo-x86_64":                                               {"operating system inside", BlameDiskContainer},
		"ClientError: No valid partitions. Not a valid volume.":                                                      {"operating system inside", BlameDiskContainer},
		"ClientError: Unknown OS / Missing OS files":                                                                 {"operating system inside", BlameDiskContainer},
		"ClientError: Multiple different grub/menu.lst files found":                                                  {"operating system inside", BlameDiskContainer},
		"FirstBootFailure: This import request failed":                                                               {"operating system inside", BlameDiskContainer},
		"ClientError: Invalid configuration - Could not read fstab":                                                  {"operating system inside", BlameDiskContainer},
		"Client.Unsupported: No bootable partition found.":                                                           {"operating system inside", BlameDiskContainer},
		"ServerError: an internal error has occurred":                                                                {"AWS's side", BlameNone},
		`LocalError: write /d/volumes/x: no space left on device; the volume could not be made in the data_dir "/d"`: {"on this machine", BlameNone},
		"LocalError: create /d/x: Access is denied":                                                                  {"on this machine", BlameNone},
		"ClientError: Disk validation failed [the object changed while it was read]":                                 {"own words in the brackets", BlameDiskContainer},
		"disk validation failed [something new]":                                                                     {"own words in the brackets", BlameDiskContainer},
		"User cancelled":                                                                                             {"was cancelled, by a call of CancelImportTask from somewhere.", BlameNone},
		"the moon is in the seventh house":                                                                           {},
		"without a message: cancelled":                                                                               {"was cancelled, by a call of CancelImportTask from somewhere.", BlameNone},
		"without a message: deleting":                                                                                {"without a word", BlameNone},
		"without a message: deleted":                                                                                 {"without a word", BlameNone},
		"without a message: error":                                                                                   {"without a word", BlameNone},
	} {
		failed := detail("deleted", message)
		if status, silent := strings.CutPrefix(message, "without a message: "); silent {
			failed = detail(status, "")
		}
		e, ok := ExplainTask(newTask(nil, nil, failed, nil))
		if ok != (want.cause != "") || e.Blame != want.blame || !strings.Contains(e.Cause, want.cause) {
			t.Errorf("%q is explained by %q, blaming %q", message, e.Cause, e.Blame)
		}
		matching := 0
		for n, f := range taskFailures {
			if ok && f.Cause == e.Cause {
				reached[n] = true
			}
			if want.cause != "" && strings.Contains(f.Cause, want.cause) {
				matching++
			}
		}
		if matching > 1 {
			t.Errorf("%q is a part of %d causes", want.cause, matching)
		}
	}
	for n, f := range taskFailures {
		if !reached[n] {
			t.Errorf("no example for %q", f.texts)
		}
	}
}

// called is err as the SDK names it by its action.
func called(operation string, err error) error {
	return &smithy.OperationError{ServiceID: "EC2", OperationName: operation, Err: err}
}

// Likewise: every entry has an example, which no other entry catches.
func TestExplainCall(t *testing.T) {
	noAction := func(operation string) error {
		return called(operation, answer(501, "InternalFailure", "The "+strings.ToLower(operation)+" action has not been implemented"))
	}
	reached := map[int]bool{}
	for name, tc := range map[string]struct {
		err   error
		cause string // empty: not in the catalogue
		blame Blame
	}{
		"P10 no role": {answer(400, "InvalidParameter", roleMissing), "external id `vmimport`", BlameRole},
		"P10 no role, older words": {
			answer(400, "InvalidParameter", "The service role <vmimport> does not exist or does not have sufficient permissions for the service to continue"),
			"vmie.amazonaws.com", BlameRole,
		},
		"P10 role without rights": {answer(400, "InvalidParameter", rightsMissing), "may not do what the message names", BlameRole},
		"P10 no object":           {answer(400, "InvalidParameter", objectMissing), "may not read it", BlameDiskContainer},
		"P20 Region": {
			answer(400, "InvalidParameter", "The given S3 object is not local to the region. The object must be located in us-east-1."),
			"another Region than the one", BlameRegion,
		},
		"P20 Region of a bucket": {
			answer(400, "InvalidParameter", "The given S3 bucket (images) is not local to the region."), "another Region than the one", BlameRegion,
		},
		"own time over": {(&starting{}).interrupted(context.DeadlineExceeded), "before ImportSnapshot was called", BlameNone},
		"location":      {answer(400, "InvalidParameter", "Invalid S3 source location"), "a bucket and a key", BlameDiskContainer},
		"format": {
			answer(400, "InvalidParameter", "Parameter disk-image-size=0 has an invalid format"), "of the given format", BlameFormat,
		},
		"KMS key": {
			answer(400, "InvalidParameterValue", "The specified KMS key is not accessible. If this is a default EBS CMK, please retry your request "+
				"without specifying the key explicitly"), "KMS key cannot be used", BlameKMSKey,
		},
		"KMS revoked": {answer(400, "CustomerKeyHasBeenRevoked", "x"), "KMS key cannot be used", BlameKMSKey},
		"KMS code":    {answer(400, "KMS.NotFoundException", "x"), "KMS key cannot be used", BlameKMSKey},
		"P13 token of another request": {
			answer(400, "IdempotentParameterMismatch", "The request uses the same client token as a previous, but non-identical request"),
			"seen this client token", BlameClientToken,
		},
		"tag policy":      {answer(400, "TagPolicyViolation", "The tag policy does not allow the specified value for the following tag key: 'cost'."), "tag policy of", BlameTags},
		"too many tags":   {answer(400, "TagLimitExceeded", "The maximum number of tags for a resource has been reached."), "50 tags", BlameTags},
		"bad tag":         {answer(400, "InvalidTagKey.Malformed", "x"), "the key or the value of a tag", BlameTags},
		"reserved tag":    {answer(400, "InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use"), "", BlameNone},
		"concurrent tags": {answer(400, "ConcurrentTagAccess", "x"), "changing the same tags", BlameTags},
		"no right to tag": {
			answer(403, "UnauthorizedOperation", "User: x is not authorized to perform: ec2:CreateTags on resource: y"), "may not tag",
			BlameTags,
		},
		"P11 no right to pass": {
			answer(403, "UnauthorizedOperation", "User: x is not authorized to perform: iam:PassRole on resource: y"),
			"hand the service role", BlameRole,
		},
		"no right": {
			answer(403, "UnauthorizedOperation", "You are not authorized to perform this operation. Encoded authorization failure message: abc"),
			"policies do not allow", BlameNone,
		},
		"bad credentials": {
			answer(401, "AuthFailure", "AWS was not able to validate the provided access credentials"), "does not accept the credentials", BlameNone,
		},
		"expired session":    {answer(400, "ExpiredToken", "The security token included in the request is expired"), "session of the credentials", BlameNone},
		"session over":       {answer(400, "RequestExpired", "Request has expired."), "clock", BlameNone},
		"blocked":            {answer(403, "Blocked", "This account is currently blocked."), "blocked the account", BlameNone},
		"Region not enabled": {answer(401, "OptInRequired", "You are not subscribed to this service."), "not signed up", BlameRegion},
		"imports at a time":  {answer(400, "ResourceCountLimitExceeded", "Resource limit exceeded"), "imports at a time", BlameNone},
		"snapshot quota":     {answer(400, "SnapshotLimitExceeded", "Maximum allowed snapshot limit exceeded."), "quota", BlameNone},
		"parameter":          {answer(400, "UnknownParameter", "The parameter TagSpecification is not recognized"), "in this form", BlameNone},
		"unknown task": {
			answer(400, "InvalidConversionTaskId.Malformed", "Tasks import-snap-1 not found."), "does not know this import task", BlameNone,
		},
		"task is gone":   {ErrGone, "does not know this import task", BlameNone},
		"P26 too late":   {answer(400, "DeleteConversionTaskError", "x"), "cannot be cancelled", BlameNone},
		"no id of one":   {answer(400, "InvalidSnapshotID.Malformed", "Invalid id: \"snap-0123\""), "for the id of a snapshot", BlameNone},
		"no snapshot":    {answer(400, "InvalidSnapshot.NotFound", "The snapshot 'snap-1' does not exist."), "does not know the snapshot", BlameNone},
		"P26 in use":     {answer(400, "InvalidSnapshot.InUse", "The snapshot snap-1 is currently in use by ami-1"), "An AMI still uses", BlameNone},
		"throttled":      {answer(503, "RequestLimitExceeded", "Request limit exceeded."), "throttles", BlameNone},
		"P29 dry run":    {answer(412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set."), "was a dry run", BlameNone},
		"LocalStack":     {noAction("ImportSnapshot"), "no image import", BlameNone},
		"moto":           {called("ImportSnapshot", answer(500, "UnknownError", "UnknownError")), "no image import", BlameNone},
		"floci":          {called("ImportSnapshot", answer(400, "UnsupportedOperation", "Operation ImportSnapshot is not supported.")), "no image import", BlameNone},
		"ministack":      {called("ImportSnapshot", answer(400, "InvalidAction", "Unknown EC2 action: ImportSnapshot")), "no image import", BlameNone},
		"a tier call":    {noAction("ModifySnapshotTier"), "does not offer ModifySnapshotTier", BlameNone},
		"snapshots":      {called("DescribeSnapshots", answer(500, "UnknownError", "UnknownError")), "does not offer DescribeSnapshots", BlameNone},
		"a cancellation": {called("CancelImportTask", answer(400, "InvalidAction", "x")), "does not offer CancelImportTask", BlameNone},
		"a poll": {
			called("DescribeImportSnapshotTasks", answer(400, "UnsupportedOperation", "Operation DescribeImportSnapshotTasks is not supported.")),
			"does not offer DescribeImportSnapshotTasks", BlameNone,
		},
		"LocalStack, no action": {
			called("ImportSnapshot", answer(500, "InternalError", "Operation X could not be found for service ServiceModel(ec2).")),
			"no image import", BlameNone,
		},
		"not a missing action": {
			called("ModifySnapshotTier", answer(400, "UnsupportedOperation", "The snapshot is used by an AMI.")), "", BlameNone,
		},
		"P13 a dead task":   {&ReplayError{why: "x"}, "was first used for", BlameClientToken},
		"P13 a twin":        {ErrShared, "was first used for", BlameClientToken},
		"P13 a deleted one": {ErrSnapshotGone, "deleted after the import", BlameNone},
		"local disk":        {answer(400, "LocalError", "database or disk is full"), "make the volume on this machine", BlameNone},
		"not EC2":           {answer(404, "UnknownError", "UnknownError"), "is not EC2", BlameNone},
		"time is over":      {fmt.Errorf("%w: %w", &TimeUp{"delete", time.Minute}, called("DeleteSnapshot", answer(502, "UnknownError", "x"))), "that `timeouts` gives", BlameNone},
		"time is over, and why": {
			fmt.Errorf("%w: %w", &TimeUp{"delete", time.Minute}, called("DeleteSnapshot", answer(403, "UnauthorizedOperation", "x"))), "policies do not allow", BlameNone,
		},
		"P29 dry run unasked": {fmt.Errorf("x: %w", &UnaskedError{called("ImportSnapshot", answer(502, "UnknownError", "x"))}), "before the dry run was answered", BlameNone},
		"a call failed":       {called("CreateTags", answer(502, "UnknownError", "x")), "before CreateTags was answered", BlameNone},
		"service failed":      {called("ImportSnapshot", answer(500, "InternalError", "An internal error has occurred")), "not known whether", BlameNone},
		"connection dropped":  {called("ImportSnapshot", dropped()), "not known whether", BlameNone},
		"no such host": {
			&smithyhttp.RequestSendError{Err: &net.DNSError{Err: "no such host", IsNotFound: true}}, "nothing was asked", BlameNone,
		},
		"no credentials":     {errors.New("get identity: get credentials: no EC2 IMDS role found"), "No usable AWS credentials", BlameNone},
		"half a key":         {errors.New("retrieving credentials: static credentials are empty"), "No usable AWS credentials", BlameNone},
		"the wrong account":  {errors.New("AWS account ID not allowed: 111122223333"), "account of the credentials", BlameNone},
		"a certificate":      {&smithyhttp.RequestSendError{Err: x509.UnknownAuthorityError{}}, "not trusted", BlameNone},
		"P9 nothing to say":  {answer(400, "InvalidParameterValue", "Value (x) for parameter y is invalid"), "", BlameNone},
		"P9 no error of EC2": {errors.New("no space left on device"), "", BlameNone},
		"P9 no error at all": {nil, "", BlameNone},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.err
			if err != nil {
				err = fmt.Errorf("wrapped: %w", err)
			}
			e, ok := ExplainCall(err)
			if ok != (tc.cause != "") || e.Blame != tc.blame || !strings.Contains(e.Cause, tc.cause) {
				t.Errorf("explained by %q, blaming %q", e.Cause, e.Blame)
			}
			if !ok {
				return
			}
			reached[slices.IndexFunc(callFailures, func(f callFailure) bool { return f.matches(err, codeOf(err), textOf(err)) })] = true
			causes := map[string]bool{}
			for _, f := range callFailures {
				if cause := strings.Replace(f.Cause, theAction, operationOf(err), 1); strings.Contains(cause, tc.cause) {
					causes[cause] = true
				}
			}
			if len(causes) > 1 {
				t.Errorf("%q is a part of %d causes", tc.cause, len(causes))
			}
		})
	}
	for n, f := range callFailures {
		if !reached[n] {
			t.Errorf("no example for %q %q %s", f.codes, f.texts, f.sign)
		}
	}
}

// Users read these texts in a terminal: whole sentences, and never one without the other.
func TestCatalogueTexts(t *testing.T) {
	all := slices.AppendSeq(slices.Collect(TaskFailures()), CallFailures())
	if len(all) != len(taskFailures)+len(callFailures) {
		t.Errorf("%d failures are shown of %d and %d", len(all), len(taskFailures), len(callFailures))
	}
	for _, f := range all {
		for _, text := range []string{f.Cause, f.Cure} {
			if !strings.HasSuffix(text, ".") || strings.TrimSpace(text) != text || len(text) > 400 {
				t.Errorf("not a sentence: %q", text)
			}
		}
		if len(f.Codes)+len(f.Texts)+len(f.Sign) == 0 {
			t.Errorf("nothing says how this shows: %q", f.Cause)
		}
	}
}

func TestTask(t *testing.T) {
	// P28: "" means nothing, wherever it is.
	empty := newTask(aws.String("import-snap-1"), nil, &ec2types.SnapshotTaskDetail{
		Description: aws.String(""), Format: aws.String(""), KmsKeyId: aws.String(""), Progress: aws.String(""), SnapshotId: aws.String(""),
		Status: aws.String(""), StatusMessage: aws.String(""), Url: aws.String(""), DiskImageSize: aws.Float64(0),
		UserBucket: &ec2types.UserBucketDetails{S3Bucket: aws.String(""), S3Key: aws.String("")},
	}, []ec2types.Tag{})
	want := ec2types.SnapshotTaskDetail{DiskImageSize: empty.Detail.DiskImageSize}
	if empty.Detail != want || empty.Tags != nil {
		t.Errorf("got %+v", empty)
	}
	if empty.Status() != "" || empty.SnapshotID() != "" || empty.Message() != "" || empty.Outcome() != Running {
		t.Errorf("an empty task says something: %+v", empty)
	}

	// P28: what EC2 sends is kept as it is, bytes in a float and a progress without a per cent sign included.
	full := newTask(aws.String("import-snap-1"), aws.String("d"), &ec2types.SnapshotTaskDetail{
		Progress: aws.String("19"), DiskImageSize: aws.Float64(705638400), Status: aws.String("completed"), SnapshotId: aws.String("snap-1"),
		UserBucket: &ec2types.UserBucketDetails{S3Bucket: aws.String("images"), S3Key: aws.String("disk")},
	}, []ec2types.Tag{{Key: aws.String("a"), Value: aws.String("")}, {Key: aws.String("b")}})
	if *full.Detail.Progress != "19" || *full.Detail.DiskImageSize != 705638400 || *full.Detail.UserBucket.S3Key != "disk" ||
		full.SnapshotID() != "snap-1" || full.Outcome() != Completed || full.Description != "d" || len(full.Tags) != 2 {
		t.Errorf("got %+v", full)
	}
	if none := newTask(nil, nil, nil, nil); none.ID != "" || none.Outcome() != Running {
		t.Errorf("got %+v", none)
	}
}

func TestOutcome(t *testing.T) {
	for status, want := range map[string]Outcome{
		"": Running, "active": Running, "pending": Running, "updating": Running, "validating": Running, "validated": Running, "converting": Running,
		"downloading/converting": Running, "hatching": Running, "completed": Completed, " completed ": Completed, "Completed": Completed,
		"deleted": Failed, "deleting": Failed, "error": Failed, "failed": Failed, "cancelled": Failed, "canceled": Failed, "cancelling": Failed,
		"canceling": Failed, "cancelled-by-user": Failed,
	} {
		task := Task{Detail: ec2types.SnapshotTaskDetail{Status: &status}}
		if got := task.Outcome(); got != want {
			t.Errorf("%q is %s, want %s", status, got, want)
		}
	}
}

// P9: the error alone says which task, what it came to, when and why.
func TestFailedError(t *testing.T) {
	task := newTask(aws.String("import-snap-1"), nil, detail("deleted", "ClientError: Footers not identical"), nil)
	err := &FailedError{Task: task, Elapsed: 3 * time.Minute}
	for _, part := range []string{"import-snap-1", "deleted", "3m0s", "ClientError: Footers not identical"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}
