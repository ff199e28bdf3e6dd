package importtask

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/uuid"
)

// Start asks EC2 for the import and returns its task.
//
// All tries carry one ClientToken, that of in, or one made for this import where in has none, so that one task results whatever the network does (P12). A call that is under way is not torn by
// ctx: an interrupt in that moment would lose the id of a task that goes on and is paid for (P6). Waits between tries end with ctx.
// Where EC2 refuses the tag MarkerTag, the import is started without it. A token of in may have been used before: what EC2 answers to it is judged,
// and *ReplayError says that it is not this import.
func (i *Importer) Start(ctx context.Context, in *ec2.ImportSnapshotInput) (Task, error) {
	if aws.ToBool(in.DryRun) {
		return Task{}, errors.New("a dry run starts no import: use Permitted")
	}
	s := starting{Importer: i, request: *in, mayReplay: aws.ToString(in.ClientToken) != ""}
	if !s.mayReplay {
		s.request.ClientToken = aws.String(uuid.NewString())
	}
	return s.run(ctx)
}

// starting is an import on its way to a task.
type starting struct {
	*Importer
	request   ec2.ImportSnapshotInput
	mayReplay bool // the token is the user's, who may have used it before
	tried     tries
	last      error
	marked    []ec2types.TagSpecification // those with the marker, once it was refused
}

func (s *starting) run(ctx context.Context) (Task, error) {
	for began := time.Now(); ; {
		if ctx.Err() != nil {
			return s.lastTry(ctx, context.Cause(ctx))
		}
		out, err := s.importSnapshot(ctx)
		if err == nil {
			return s.started(out)
		}
		s.last = err
		if s.withOtherTags(ctx, err) {
			continue
		}
		wait, why, final := s.tried.next(err)
		switch {
		case final != nil && s.tried.lost:
			return Task{}, fmt.Errorf("ImportSnapshot: %w", &begunError{final})
		case final != nil:
			return Task{}, fmt.Errorf("ImportSnapshot: %w", final)
		}
		s.log(ctx, "ImportSnapshot is tried again: "+why, map[string]any{
			"error": err.Error(), "next_try_in": wait.Round(time.Millisecond).String(), "elapsed": time.Since(began).Round(time.Second).String(),
		})
		if cause := pause(ctx, wait); cause != nil {
			return s.lastTry(ctx, cause)
		}
	}
}

// withOtherTags takes the marker off a request that is refused for it, once, and tells whether the request is worth another try. Where that gets
// EC2's word that the token came with another request, and an answer was lost before, the lost one may be of the import with the marker: back to it.
func (s *starting) withOtherTags(ctx context.Context, err error) bool {
	bare, was := withoutMarker(s.request.TagSpecifications)
	switch {
	case was && s.marked == nil && markerRefused(err):
		s.log(ctx, "EC2 refused the marker tag on the import task; asking again without it", map[string]any{"tag": MarkerTag, "error": err.Error()})
		s.marked, s.request.TagSpecifications = s.request.TagSpecifications, bare
		return true
	case !was && s.marked != nil && s.tried.mayHaveActed() && IsCode(err, "IdempotentParameterMismatch"):
		s.log(ctx, "EC2 knows the client token from a call whose answer was lost; asking as then", map[string]any{"error": err.Error()})
		s.request.TagSpecifications = s.marked
		return true
	default:
		return false
	}
}

// begunError is the end of the tries of an import, one of which may have begun it.
type begunError struct{ error }

func (e *begunError) Error() string {
	return e.error.Error() + "; the answer to a try was lost, so an import may have begun"
}

func (e *begunError) Unwrap() error { return e.error }

// MayHaveBegun tells of an error of Start whether there may be an import all the same.
func MayHaveBegun(err error) bool {
	return mayHaveBegun(err) || answerLost(err) && !errors.Is(err, errNotCalled)
}

func mayHaveBegun(err error) bool {
	var begun *begunError
	return errors.As(err, &begun)
}

// importSnapshot is one call and one request.
func (s *starting) importSnapshot(ctx context.Context) (*ec2.ImportSnapshotOutput, error) {
	call, cancel := detached(ctx)
	defer cancel()
	out, err := s.api.ImportSnapshot(call, &s.request, once)
	if err == nil && aws.ToString(out.ImportTaskId) == "" {
		return nil, errUnnamed
	}
	return out, err
}

// errUnnamed is a success without a task: a body that is empty or something else decodes to that. The import may have begun behind it.
var errUnnamed = errors.New("the endpoint answered with success but named no import task; " +
	"check that the endpoint is EC2's and that no proxy answers in its place")

// lastTry ends a start that was stopped. Where an answer was lost, be it some tries ago, EC2 may have taken the import: the token gets its task once
// more, before the token is forgotten and the task is nobody's (P6).
func (s *starting) lastTry(ctx context.Context, cause error) (Task, error) {
	if s.tried.mayHaveActed() {
		if out, err := s.importSnapshot(ctx); err == nil {
			return s.started(out)
		}
	}
	return Task{}, s.interrupted(cause)
}

// started is the task in EC2's answer.
func (s *starting) started(out *ec2.ImportSnapshotOutput) (Task, error) {
	t := newTask(out.ImportTaskId, out.Description, out.SnapshotTaskDetail, out.Tags)
	if s.mayReplay {
		// One that has failed may be of this very start, whose earlier answer was lost: its end is for the wait to tell.
		if replay := replayed(&s.request, t); replay != nil && !(s.tried.mayHaveActed() && foreign(&s.request, t) == "") {
			return Task{}, fmt.Errorf("ImportSnapshot: %w", replay)
		}
	}
	if !s.Claim(t.ID) {
		return Task{}, fmt.Errorf("ImportSnapshot: %w (%s)", ErrShared, t.ID)
	}
	return t, nil
}

var errNotCalled = errors.New("stopped before ImportSnapshot was called")

// interrupted keeps the cause of a stop, and EC2's last words where there were some.
func (s *starting) interrupted(cause error) error {
	switch {
	case s.last == nil:
		return fmt.Errorf("%w: %w", errNotCalled, cause)
	case s.tried.mayHaveActed():
		return &begunError{fmt.Errorf("stopped before EC2 accepted ImportSnapshot: %w; the last error was: %w", cause, s.last)}
	default:
		return fmt.Errorf("stopped before EC2 accepted ImportSnapshot: %w; its last answer was: %w", cause, s.last)
	}
}

// Permitted asks EC2, by a dry run, whether the caller may make this request. It proves the caller's permission and nothing else: role, object and
// key are looked at by the real call only (P29).
func (i *Importer) Permitted(ctx context.Context, in *ec2.ImportSnapshotInput) error {
	request := *in
	request.DryRun = aws.Bool(true)
	// A dry run shares no token with the import, but has one, in case an emulator takes it for an import.
	request.ClientToken = aws.String(uuid.NewString())
	for {
		out, err := i.dryRun(ctx, &request)
		if bare, was := withoutMarker(request.TagSpecifications); was && err != nil && markerRefused(err) {
			request.TagSpecifications = bare
			continue
		}
		switch {
		case IsCode(err, "DryRunOperation"):
			return nil
		case err != nil && unanswered(err):
			return fmt.Errorf("dry run of ImportSnapshot: %w", &UnaskedError{err})
		case err != nil:
			return fmt.Errorf("dry run of ImportSnapshot: %w", err)
		}
		if id := aws.ToString(out.ImportTaskId); id != "" {
			// Some emulators ignore DryRun. What they have started is nobody's.
			i.log(ctx, "the endpoint ignored DryRun and started an import; cancelling it", map[string]any{"task_id": id})
			call, cancel := detached(ctx)
			defer cancel()
			if _, err := i.api.CancelImportTask(call, &ec2.CancelImportTaskInput{ImportTaskId: &id}); err != nil {
				return fmt.Errorf("the endpoint took a dry run for an import: cancelling task %s, which it started: %w", id, err)
			}
			return nil
		}
		return fmt.Errorf("dry run of ImportSnapshot: %w", &UnaskedError{errNotDry})
	}
}

// UnaskedError is the end of a dry run that EC2 has neither allowed nor refused.
type UnaskedError struct{ error }

func (e *UnaskedError) Unwrap() error { return e.error }

func isUnasked(err error) bool {
	var unasked *UnaskedError
	return errors.As(err, &unasked)
}

// errNotDry is a success with nothing in it: EC2 answers no dry run so, but with an error.
var errNotDry = errors.New("the endpoint answered with success, where EC2 answers DryRunOperation")

// unanswered: err says nothing of what the caller may do.
func unanswered(err error) bool {
	return !NotOffered(err) && (throttled(err) || unavailable(err) || unheard(err) || beforeSending(err))
}

func (i *Importer) dryRun(ctx context.Context, in *ec2.ImportSnapshotInput) (*ec2.ImportSnapshotOutput, error) {
	call, cancel := bounded(ctx)
	defer cancel()
	return i.api.ImportSnapshot(call, in, noPages)
}

// markerRefused: the request may pass without the tag. Policies on tag keys refuse ImportSnapshot itself and need not name the tag, so every
// refusal of permission counts; a try more is harmless. A token that was first used without the tag counts, too.
func markerRefused(err error) bool {
	switch code := codeOf(err); {
	case slices.Contains([]string{
		"UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "TagPolicyViolation", "TagLimitExceeded", "IdempotentParameterMismatch",
	}, code):
		return true
	case code == "UnknownParameter", strings.HasPrefix(code, "InvalidParameter"), strings.HasPrefix(code, "InvalidTag"):
		text := textOf(err)
		return strings.Contains(text, "tag") || strings.Contains(text, "import-snapshot-task")
	default:
		return false
	}
}

// withoutMarker is specs less the marker, and whether it was there. A specification that is left without tags goes, EC2 refuses it.
func withoutMarker(specs []ec2types.TagSpecification) (bare []ec2types.TagSpecification, was bool) {
	for _, spec := range specs {
		tags := slices.DeleteFunc(slices.Clone(spec.Tags), func(t ec2types.Tag) bool { return aws.ToString(t.Key) == MarkerTag })
		was = was || len(tags) < len(spec.Tags)
		if len(tags) > 0 {
			spec.Tags = tags
			bare = append(bare, spec)
		}
	}
	return bare, was
}
