package importtask

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

func TestExplainTask(t *testing.T) {
	for message, want := range map[string]struct {
		cause string // part of it; empty: not in the catalogue
		blame Blame
	}{
		"ClientError: Disk validation failed [Unsupported VMDK File Format]": {
			"streamOptimized", BlameDiskContainer,
		},
		"disk validation failed [unsupported vmdk file format]": {
			"streamOptimized", BlameDiskContainer,
		},
		"ClientError: Disk validation failed [Unsupported specified file format]": {"compressed files", BlameFormat},
		"disk validation failed [unsupported specified file format]":              {"compressed files", BlameFormat},
		"ClientError: Disk validation failed [We do not have access to the given resource. Reason 403 Forbidden]": {
			"cannot read the object", BlameRole,
		},
		"ClientError: Disk validation failed [We do not have access to the given resource. Reason 404 Not Found]": {
			"no longer there", BlameDiskContainer,
		},
		"ClientError: Disk validation failed [Unsupported OVA format]": {
			"one disk in one file", BlameDiskContainer,
		},
		"ClientError: OVF file parsing error: OVA with chunked disk files is not supported": {
			"one disk in one file", BlameDiskContainer,
		},
		"ClientError: Footers not identical": {
			"differencing", BlameDiskContainer,
		},
		"ClientError: Uncompressed data has an invalid length": {"damaged", BlameDiskContainer},
		"ClientError: Uncompressed data has invalid length":    {"damaged", BlameDiskContainer},
		"ERROR: File uses unsupported compression algorithm 0": {
			"not compressed", BlameDiskContainer,
		},
		"ClientError:Provided image file was corrupted.":                                   {"damaged", BlameDiskContainer},
		"Client.InvalidKmsKey.InvalidState":                                                {"KMS key", BlameKMSKey},
		"Client.InvalidKmsKey.InvalidState: The KMS key provided is in an incorrect state": {"KMS key", BlameKMSKey},
		"ClientError: No valid partitions. Not a valid volume.": {
			"operating system", BlameDiskContainer,
		},
		"ClientError: Unknown OS / Missing OS files": {
			"operating system", BlameDiskContainer,
		},
		"ServerError: an internal error has occurred":                                                                {"AWS's side", BlameNone},
		`LocalError: write /d/volumes/x: no space left on device; the volume could not be made in the data_dir "/d"`: {"on this machine", BlameNone},
		"LocalError: create /d/x: Access is denied":                                                                  {"on this machine", BlameNone},
		"ClientError: Disk validation failed [the object changed while it was read]":                                 {"brackets", BlameDiskContainer},
		"disk validation failed [something new]":                                                                     {"brackets", BlameDiskContainer},
		"User cancelled":                                                                                             {"cancelled", BlameNone},
		"the moon is in the seventh house":                                                                           {},
		"":                                                                                                           {},
	} {
		e, ok := ExplainTask(message)
		if ok != (want.cause != "") || e.Blame != want.blame || !strings.Contains(e.Cause, want.cause) {
			t.Errorf("%q is explained by %q, blaming %q", message, e.Cause, e.Blame)
		}
	}
}

func TestExplainCall(t *testing.T) {
	for name, tc := range map[string]struct {
		err   error
		cause string // part of it; empty: not in the catalogue
		blame Blame
	}{
		"P10 no role": {answer(400, "InvalidParameter", roleMissing), "external id `vmimport`", BlameRole},
		"P10 no role, older words": {
			answer(400, "InvalidParameter", "The service role <vmimport> does not exist or does not have sufficient permissions for the service to continue"),
			"vmie.amazonaws.com", BlameRole,
		},
		"P10 role without rights": {answer(400, "InvalidParameter", roleRights), "may not do what the message names", BlameRole},
		"P10 no object":           {answer(400, "InvalidParameter", noObject), "not there", BlameDiskContainer},
		"P20 Region": {
			answer(400, "InvalidParameter", "The given S3 object is not local to the region. The object must be located in us-east-1."),
			"another Region", BlameRegion,
		},
		"P20 Region of a bucket": {
			answer(400, "InvalidParameter", "The given S3 bucket (images) is not local to the region."), "another Region", BlameRegion,
		},
		"format": {
			answer(400, "InvalidParameter", "Parameter disk-image-size=0 has an invalid format"), "given format", BlameFormat,
		},
		"KMS key": {
			answer(400, "InvalidParameterValue", "The specified KMS key is not accessible. If this is a default EBS CMK, please retry"),
			"KMS key", BlameKMSKey,
		},
		"KMS revoked":   {answer(400, "CustomerKeyHasBeenRevoked", "x"), "KMS key", BlameKMSKey},
		"KMS code":      {answer(400, "KMS.NotFoundException", "x"), "KMS key", BlameKMSKey},
		"token":         {answer(400, "IdempotentParameterMismatch", "x"), "client token", BlameClientToken},
		"tag policy":    {answer(400, "TagPolicyViolation", "x"), "tag policy", BlameTags},
		"too many tags": {answer(400, "TagLimitExceeded", "x"), "50 tags", BlameTags},
		"bad tag":       {answer(400, "InvalidTagKey.Malformed", "x"), "tag", BlameTags},
		"no right to tag": {
			answer(403, "UnauthorizedOperation", "User: x is not authorized to perform: ec2:CreateTags on resource: y"), "may not tag",
			BlameTags,
		},
		"no right to pass": {
			answer(403, "UnauthorizedOperation", "User: x is not authorized to perform: iam:PassRole on resource: y"),
			"hand the service role", BlameRole,
		},
		"no right":           {answer(403, "UnauthorizedOperation", "Encoded authorization failure message: x"), "do not allow", BlameNone},
		"bad credentials":    {answer(401, "AuthFailure", "x"), "credentials", BlameNone},
		"session over":       {answer(400, "RequestExpired", "x"), "clock", BlameNone},
		"Region not enabled": {answer(401, "OptInRequired", "x"), "not signed up", BlameRegion},
		"imports at a time":  {answer(400, "ResourceCountLimitExceeded", "x"), "at a time", BlameNone},
		"snapshot quota":     {answer(400, "SnapshotLimitExceeded", "x"), "quota", BlameNone},
		"unknown task":       {answer(400, "InvalidConversionTaskId.Malformed", "x"), "does not know this import task", BlameNone},
		"task is gone":       {ErrGone, "does not know this import task", BlameNone},
		"in use":             {answer(400, "InvalidSnapshot.InUse", "x"), "AMI", BlameNone},
		"throttled":          {answer(503, "RequestLimitExceeded", "x"), "throttles", BlameNone},
		"dry run":            {answer(412, "DryRunOperation", "x"), "dry run", BlameNone},
		"LocalStack": {
			answer(501, "InternalFailure", "The import_snapshot action has not been implemented"), "no image import", BlameNone,
		},
		"LocalStack, no action": {
			answer(500, "InternalError", "Operation X could not be found for service ServiceModel(ec2)."), "no image import", BlameNone,
		},
		"other emulators":    {answer(400, "UnsupportedOperation", "x"), "no image import", BlameNone},
		"not EC2":            {answer(404, "UnknownError", "x"), "not EC2", BlameNone},
		"service failed":     {answer(500, "InternalError", "An internal error has occurred"), "not known whether", BlameNone},
		"connection dropped": {dropped(), "not known whether", BlameNone},
		"no such host": {
			&smithyhttp.RequestSendError{Err: &net.DNSError{Err: "no such host", IsNotFound: true}}, "nothing was asked", BlameNone,
		},
		"nothing to say":  {answer(400, "InvalidParameterValue", "Value (x) for parameter y is invalid"), "", BlameNone},
		"no error of EC2": {errors.New("no space left on device"), "", BlameNone},
		"no error":        {nil, "", BlameNone},
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
		})
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
