package importtask

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// fake is EC2 as far as an import sees it. The zero value accepts everything; a test changes what it is about. Functions get the number of the
// call, from 1; an error they return is the answer.
type fake struct {
	onImport   func(n int, in *ec2.ImportSnapshotInput) error      // before the call is accepted
	lose       func(n int) error                                   // after it was accepted: the answer is lost
	onDescribe func(n int, ids []string) error                     // before the answer is made
	status     func(id string, n int) *ec2types.SnapshotTaskDetail // n: how often this id was asked for
	hide       func(id string, n int) bool
	strictIDs  bool // one id that is hidden fails the call, as on EC2
	nameNoID   bool // ... and the message does not say which
	onCancel   func(n int, id string) error
	answers    *ec2.ImportSnapshotOutput // in place of the fake's own
	hang       bool                      // calls return only when their context ends
	hangImport bool                      // the same, of ImportSnapshot
	list       func(token string) *ec2.DescribeImportSnapshotTasksOutput

	onSnapshots func(n int, in *ec2.DescribeSnapshotsInput) (*ec2.DescribeSnapshotsOutput, error)

	mu        sync.Mutex
	looks     []snapshotLook
	imports   []*ec2.ImportSnapshotInput
	describes []describeCall
	cancels   []*ec2.CancelImportTaskInput
	tasks     map[string]string // token -> id
	asked     map[string]int
}

type describeCall struct {
	at    time.Time
	ids   []string
	input *ec2.DescribeImportSnapshotTasksInput
}

func (f *fake) ImportSnapshot(ctx context.Context, in *ec2.ImportSnapshotInput, _ ...func(*ec2.Options)) (*ec2.ImportSnapshotOutput, error) {
	if f.hangImport {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.imports = append(f.imports, in)
	n := len(f.imports)
	if f.onImport != nil {
		if err := f.onImport(n, in); err != nil {
			return nil, err
		}
	}
	if f.answers != nil {
		return f.answers, nil
	}
	if f.tasks == nil {
		f.tasks = map[string]string{}
	}
	token := aws.ToString(in.ClientToken)
	id, known := f.tasks[token]
	if !known || token == "" {
		id = fmt.Sprintf("import-snap-%d", len(f.tasks)+1)
		f.tasks[token] = id
	}
	if err := ctx.Err(); err != nil {
		return nil, err // accepted, but nobody listens any more
	}
	if f.lose != nil {
		if err := f.lose(n); err != nil {
			return nil, err
		}
	}
	return &ec2.ImportSnapshotOutput{ImportTaskId: &id, Description: in.Description, SnapshotTaskDetail: detail("active", "pending")}, nil
}

func (f *fake) DescribeImportSnapshotTasks(
	ctx context.Context, in *ec2.DescribeImportSnapshotTasksInput, _ ...func(*ec2.Options),
) (*ec2.DescribeImportSnapshotTasksOutput, error) {
	f.mu.Lock()
	f.describes = append(f.describes, describeCall{time.Now(), slices.Clone(in.ImportTaskIds), in})
	n := len(f.describes)
	f.mu.Unlock()
	if f.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.onDescribe != nil {
		if err := f.onDescribe(n, in.ImportTaskIds); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if f.list != nil {
		return f.list(aws.ToString(in.NextToken)), nil
	}
	if f.asked == nil {
		f.asked = map[string]int{}
	}
	out := &ec2.DescribeImportSnapshotTasksOutput{}
	var hidden []string
	for _, id := range in.ImportTaskIds {
		f.asked[id]++
		if f.hide != nil && f.hide(id, f.asked[id]) {
			hidden = append(hidden, id)
			continue
		}
		d := detail("completed", "")
		if f.status != nil {
			d = f.status(id, f.asked[id])
		} else {
			d.SnapshotId = aws.String("snap-1")
		}
		out.ImportSnapshotTasks = append(out.ImportSnapshotTasks, ec2types.ImportSnapshotTask{ImportTaskId: &id, SnapshotTaskDetail: d})
	}
	if f.strictIDs && len(hidden) > 0 {
		if f.nameNoID {
			hidden = nil
		}
		return nil, answer(400, "InvalidConversionTaskId.Malformed", "Tasks "+strings.Join(hidden, ", ")+" not found.")
	}
	return out, nil
}

func (f *fake) CancelImportTask(ctx context.Context, in *ec2.CancelImportTaskInput, _ ...func(*ec2.Options)) (*ec2.CancelImportTaskOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.cancels = append(f.cancels, in)
	if f.onCancel != nil {
		if err := f.onCancel(len(f.cancels), aws.ToString(in.ImportTaskId)); err != nil {
			return nil, err
		}
	}
	return &ec2.CancelImportTaskOutput{ImportTaskId: in.ImportTaskId, PreviousState: aws.String("active"), State: aws.String("deleting")}, nil
}

func (f *fake) DescribeSnapshots(_ context.Context, in *ec2.DescribeSnapshotsInput, _ ...func(*ec2.Options)) (*ec2.DescribeSnapshotsOutput, error) {
	f.mu.Lock()
	f.looks = append(f.looks, snapshotLook{time.Now(), slices.Clone(in.SnapshotIds)})
	n := len(f.looks)
	f.mu.Unlock()
	return f.onSnapshots(n, in)
}

type snapshotLook struct {
	at  time.Time
	ids []string
}

func detail(status, message string) *ec2types.SnapshotTaskDetail {
	return &ec2types.SnapshotTaskDetail{Status: &status, StatusMessage: &message, SnapshotId: aws.String("")}
}

func completed(snapshot string) *ec2types.SnapshotTaskDetail {
	d := detail("completed", "")
	d.SnapshotId = &snapshot
	return d
}

// answer is an error as the SDK makes it of EC2's answer.
func answer(status int, code, message string) error {
	return &smithy.OperationError{ServiceID: "EC2", OperationName: "Test", Err: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}},
		Err:      &smithy.GenericAPIError{Code: code, Message: message},
	}}
}

// dropped is an error as the SDK makes it of a connection that broke.
func dropped() error {
	return &smithy.OperationError{ServiceID: "EC2", OperationName: "Test", Err: &smithyhttp.RequestSendError{
		Err: errors.New("connection reset by peer"),
	}}
}

// request is an import with the marker and one tag of the user.
func request() *ec2.ImportSnapshotInput {
	return &ec2.ImportSnapshotInput{
		ClientToken:   aws.String("token-1"),
		DiskContainer: &ec2types.SnapshotDiskContainer{Url: aws.String("s3://images/disk.vmdk")},
		TagSpecifications: []ec2types.TagSpecification{{
			ResourceType: ec2types.ResourceTypeImportSnapshotTask,
			Tags: []ec2types.Tag{
				{Key: aws.String("Name"), Value: aws.String("disk")},
				{Key: aws.String(MarkerTag), Value: aws.String("hash")},
			},
		}},
	}
}

func keys(in *ec2.ImportSnapshotInput) string {
	var all []string
	for _, spec := range in.TagSpecifications {
		for _, t := range spec.Tags {
			all = append(all, aws.ToString(t.Key))
		}
	}
	return strings.Join(all, " ")
}

// orNew is f, or the fake that accepts everything.
func orNew(f *fake) *fake {
	if f == nil {
		return &fake{}
	}
	return f
}

// within is a context of the test with a limit.
func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}
