package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/awsclient"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/importtask"
)

// This file is the one place where errors become diagnostics: what was tried, EC2's words verbatim, then cause and cure where they are known, on
// the attribute that is to blame where one is (P9).

// callFailed is an error of a call. what is a sentence without its full stop. Where the time of the operation was over, ctx tells.
func callFailed(ctx context.Context, summary, what string, err error) diag.Diagnostic {
	var up *importtask.TimeUp
	if errors.As(context.Cause(ctx), &up) && !errors.As(err, new(*importtask.TimeUp)) {
		err = fmt.Errorf("%w: %w", up, err)
	}
	explanation, known := importtask.ExplainCall(err)
	detail := fmt.Sprintf("%s: %s\n\n%s", what, err, explanationText(explanation, known))
	return blame(explanation.Blame, summary, strings.TrimSpace(detail))
}

// notConnected is a connection that could not be made: the configuration is at fault more often than the network.
func notConnected(ctx context.Context, err error) diag.Diagnostic {
	summary := "Unable to Reach EC2"
	switch {
	case errors.Is(err, awsclient.ErrAccountNotAllowed):
		summary = "Account Not Allowed"
	case importtask.NoCredentials(err):
		summary = "No Valid Credentials"
	}
	return callFailed(ctx, summary, "The provider could not be set up", err)
}

// importFailed is an import that EC2 gave up.
func importFailed(ctx context.Context, m *importSnapshotModel, conn *connection, progress string, failure *importtask.FailedError) diag.Diagnostic {
	message := aws.ToString(failure.Task.Detail.StatusMessage)
	explanation, known := importtask.ExplainTask(failure.Task)
	if message == "" {
		message = importtask.NoReason
	}
	var detail strings.Builder
	fmt.Fprintf(&detail, "EC2 gave up the import: %s\n\n%s%s", message, explanationText(explanation, known), conn.roleText(ctx, m, explanation))
	facts(&detail, m, conn.Region, progress, failure.Elapsed)
	if !m.ClientToken.IsNull() {
		fmt.Fprintf(&detail, "\nclient_token = %q stands for this failed import: change it before the next apply, else EC2 may answer with the same failed task.", m.ClientToken.ValueString())
	}
	return blame(explanation.Blame, "Import Failed", strings.TrimSpace(detail.String()))
}

// startFailed is an import without a task. An interrupt is told from a refusal, and both from an import that EC2 may have taken all the same.
func startFailed(ctx context.Context, m *importSnapshotModel, conn *connection, err error) diag.Diagnostic {
	interrupted := ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) // a call on its way is answered all the same, with whatever it is
	summary, what := "Unable to Start Import", "EC2 did not take the import"
	switch begun := importtask.MayHaveBegun(err); {
	case begun && interrupted:
		summary, what = "Import May Have Begun", "The apply was interrupted before EC2 answered whether it takes the import"
	case begun:
		summary, what = "Import May Have Begun", "It is not known whether EC2 took the import"
	case interrupted:
		return blame(importtask.BlameNone, "Import Not Started", fmt.Sprintf("The apply was interrupted before EC2 answered that it takes the import of %s in %s: %s.\n\n"+
			"No import has begun; apply again.", sourceText(ctx, m), conn.Region, err))
	}
	refusal := callFailed(ctx, summary, fmt.Sprintf("%s of %s in %s", what, sourceText(ctx, m), conn.Region), err)
	explanation, _ := importtask.ExplainCall(err)
	var replay *importtask.ReplayError
	if errors.As(err, &replay) && replay.Task.Outcome() == importtask.Failed {
		if said, known := importtask.ExplainTask(replay.Task); known {
			return blame(explanation.Blame, refusal.Summary(), refusal.Detail()+"\n\nWhy that import failed:\n"+strings.TrimSpace(explanationText(said, known)))
		}
	}
	role := conn.roleText(ctx, m, explanation)
	if role == "" || importtask.IsCode(err, "UnauthorizedOperation") { // the caller may not pass it: its trust has no part in that
		return refusal
	}
	return blame(explanation.Blame, refusal.Summary(), refusal.Detail()+"\n\n"+strings.TrimSpace(role))
}

// notPermitted is a dry run that did not pass: EC2 refuses the import, or could not be asked.
func notPermitted(ctx context.Context, err error) diag.Diagnostic {
	if errors.As(err, new(*importtask.UnaskedError)) {
		return callFailed(ctx, "Unable to Ask for Permission", "EC2 could not be asked whether it would take this import (dry_run)", err)
	}
	return callFailed(ctx, "Import Not Permitted", "EC2 would refuse this import (dry_run)", err)
}

// roleText is what IAM says of the service role where it is to blame: EC2 has the same words for all that can be wrong with one (P11, W6). Where IAM
// may not be asked, or is not there, it is "".
func (c *connection) roleText(ctx context.Context, m *importSnapshotModel, e importtask.Explanation) string {
	if e.Blame != importtask.BlameRole || c.IAM == nil {
		return ""
	}
	text, err := importtask.ExplainRole(ctx, c.IAM, m.RoleName.ValueString(), c.Region)
	if err != nil {
		logDebug(ctx, "cannot look at the service role", map[string]any{"error": err.Error()})
		return ""
	}
	return "Role: " + text + "\n\n"
}

// waitEnded is a wait that ended without the import's end: no time left, or EC2 does not answer, or what it made is gone. The object stays in the
// state, tainted where it was being created.
func waitEnded(m *importSnapshotModel, region, progress string, resumed bool, elapsed time.Duration, err error) diag.Diagnostic {
	var detail strings.Builder
	late := errors.Is(err, context.DeadlineExceeded)
	summary := "Import Not Finished in Time"
	explanation, known := importtask.Explanation{}, false
	if late {
		fmt.Fprintf(&detail, "The import is not finished, but its time is over. It was not cancelled.\n\n")
		var ended *importtask.EndedError
		if errors.As(err, &ended) {
			if ended.Refused { // what passes by itself needs no cure but time
				explanation, known = importtask.ExplainCall(ended.Last)
			}
			fmt.Fprintf(&detail, "EC2 could not be asked for it last: %s\n\n%s", ended.Last, explanationText(explanation, known))
		}
	} else {
		summary = "Unable to Follow Import"
		explanation, known = importtask.ExplainCall(err)
		if errors.Is(err, importtask.ErrSnapshotGone) && !m.ClientToken.IsNull() {
			explanation.Blame = importtask.BlameClientToken // the token stands for the import without a snapshot
		}
		fmt.Fprintf(&detail, "EC2 took the import, but it could not be followed to its end: %s\n\n%s", err, explanationText(explanation, known))
	}
	facts(&detail, m, region, progress, elapsed)
	switch {
	case errors.Is(err, importtask.ErrSnapshotGone):
		// The cure says what to do: there is nothing to continue with.
	case resumed:
		detail.WriteString("\nThe task stays in the state: the next apply continues with it.")
	case m.ClientToken.IsNull():
		detail.WriteString("\nThe task is in the state, and the resource is tainted: `terraform untaint ADDRESS`, then `terraform apply` continues with the same " +
			"task; an apply without untaint cancels it and imports anew.")
	default:
		detail.WriteString("\nThe task is in the state, and the resource is tainted: `terraform untaint ADDRESS`, then `terraform apply` continues with the same " +
			"task. To import anew instead, change client_token: an apply without untaint cancels the task first, and the token stands for it.")
	}
	if late {
		fmt.Fprintf(&detail, " Raise timeouts.%s where imports take longer.", map[bool]string{false: "create", true: "update"}[resumed])
	}
	return blame(explanation.Blame, summary, strings.TrimSpace(detail.String()))
}

// cancelFailed is an unfinished import that a destroy could not end; task is as it was last seen, nil where it was not. What is left is named (P26).
func cancelFailed(ctx context.Context, m *importSnapshotModel, region string, task *importtask.Task, err error) diag.Diagnostic {
	if stopped(ctx) {
		state := "it is not known whether EC2 has taken its cancellation"
		if errors.Is(err, importtask.ErrCancelling) {
			state = "it is being cancelled"
		}
		return blame(importtask.BlameNone, destroyInterrupted, fmt.Sprintf("The destroy was interrupted before the import task %s in %s came to its end; %s. "+
			"The task stays in the state: destroy again, to see its end and to delete the snapshot if it makes one all the same.", m.ImportTaskID.ValueString(), region, state))
	}
	seen := ""
	if task != nil && task.Status() != "" {
		seen = fmt.Sprintf(", last seen with status %q,", task.Status())
	}
	return callFailed(ctx, "Unable to Cancel Import", fmt.Sprintf("The import task %s in %s%s was not brought to its end. It is left, or the snapshot that it makes; "+
		"it stays in the state, and the next destroy tries again", m.ImportTaskID.ValueString(), region, seen), err)
}

// deletionFailed is a snapshot that a destroy could not delete; which is its id, or of which import it is.
func deletionFailed(ctx context.Context, which, region string, err error) diag.Diagnostic {
	if stopped(ctx) {
		detail := fmt.Sprintf("The destroy was interrupted before the snapshot %s in %s was seen to be deleted. The resource stays in the state: destroy again.", which, region)
		if said, ok := errors.AsType[smithy.APIError](err); ok { // such as that an AMI uses it
			explanation, known := importtask.ExplainCall(said)
			detail += fmt.Sprintf(" The last answer of EC2 was %s: %s\n\n%s", said.ErrorCode(), said.ErrorMessage(), explanationText(explanation, known))
		}
		return blame(importtask.BlameNone, destroyInterrupted, strings.TrimSpace(detail))
	}
	return callFailed(ctx, "Unable to Delete Snapshot", "The snapshot "+which+" could not be deleted", err)
}

const destroyInterrupted = "Destroy Interrupted"

// stopped: by the user, before the time of the operation was over.
func stopped(ctx context.Context) bool { return errors.Is(context.Cause(ctx), context.Canceled) }

// facts are what a user, or a support case, needs to know of one import.
func facts(w *strings.Builder, m *importSnapshotModel, region, progress string, elapsed time.Duration) {
	var d taskDetailModel
	ctx := context.Background()
	if members(ctx, m.SnapshotTaskDetail, &d).HasError() {
		d = taskDetailModel{}
	}
	c, _, _ := m.container(ctx)
	format := strings.ToUpper(c.Format.ValueString())
	if format == "" {
		format = "none (EC2 detects it)"
	}
	if progress != "" {
		progress += " %"
	}
	message := d.StatusMessage.ValueString()
	if strings.Contains(w.String(), message) {
		message = "" // it is what the failure began with
	}
	for _, fact := range [][2]string{
		{"task", m.ImportTaskID.ValueString()}, {"Region", region}, {"source", sourceText(ctx, m)}, {"format sent", format},
		{"last status", d.Status.ValueString()}, {"last message", message}, {"last progress", progress}, {"time spent", elapsed.Round(time.Second).String()},
	} {
		if fact[1] != "" {
			fmt.Fprintf(w, "  %-14s %s\n", fact[0]+":", fact[1])
		}
	}
}

// sourceText names the image. What a presigned URL carries beside its path is a secret.
func sourceText(ctx context.Context, m *importSnapshotModel) string {
	l, known := m.location(ctx)
	if !known {
		return "an image that is not known yet"
	}
	return l.String()
}

func explanationText(e importtask.Explanation, known bool) string {
	if !known {
		return ""
	}
	return fmt.Sprintf("Cause: %s\nCure: %s\n\n", e.Cause, e.Cure)
}

// blame puts a diagnostic on the attribute at fault. What others said is in it, so it is masked.
func blame(b importtask.Blame, summary, detail string) diag.Diagnostic {
	detail = awsclient.Redact(detail)
	if at, ok := blamed[b]; ok {
		return diag.NewAttributeErrorDiagnostic(at, summary, detail)
	}
	return diag.NewErrorDiagnostic(summary, detail)
}

var blamed = map[importtask.Blame]path.Path{
	importtask.BlameDiskContainer: path.Root("disk_container"),
	importtask.BlameFormat:        path.Root("disk_container").AtName("format"),
	importtask.BlameRole:          path.Root("role_name"),
	importtask.BlameKMSKey:        path.Root("kms_key_id"),
	importtask.BlameTags:          path.Root("tags"),
	importtask.BlameClientToken:   path.Root("client_token"),
	importtask.BlameRegion:        path.Root("region"),
}

// warning is the same diagnostic as a warning.
func warning(d diag.Diagnostic) diag.Diagnostic {
	if at, ok := d.(diag.DiagnosticWithPath); ok {
		return diag.NewAttributeWarningDiagnostic(at.Path(), d.Summary(), d.Detail())
	}
	return diag.NewWarningDiagnostic(d.Summary(), d.Detail())
}

func asFailed(err error) *importtask.FailedError {
	var failed *importtask.FailedError
	if errors.As(err, &failed) {
		return failed
	}
	return nil
}

// logTask writes one line for each change of a task, so that TF_LOG=INFO follows an import (W12).
func logTask(ctx context.Context, task importtask.Task, elapsed time.Duration) {
	logInfo(ctx, "import task "+task.ID, map[string]any{
		"task_id": task.ID, "status": task.Status(), "message": aws.ToString(task.Detail.StatusMessage),
		"progress": aws.ToString(task.Detail.Progress), "elapsed": elapsed.Round(time.Second).String(),
	})
}

func logInfo(ctx context.Context, message string, fields ...map[string]any) {
	tflog.Info(ctx, awsclient.Redact(message), withoutSecrets(fields)...)
}

func logDebug(ctx context.Context, message string, fields ...map[string]any) {
	tflog.Debug(ctx, awsclient.Redact(message), withoutSecrets(fields)...)
}

// withoutSecrets masks what EC2, the network and images' URLs bring into the log.
func withoutSecrets(fields []map[string]any) []map[string]any {
	masked := make([]map[string]any, len(fields))
	for i, m := range fields {
		masked[i] = maps.Clone(m)
		for name, value := range m {
			if text, ok := value.(string); ok {
				masked[i][name] = awsclient.Redact(text)
			}
		}
	}
	return masked
}
