package provider

import (
	"bytes"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/terraform-plugin-log/tflogtest"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/importtask"
)

// TestW12TaskLine: the line of a task in the log can be searched by its fields.
func TestW12TaskLine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logTask(tflogtest.RootLogger(t.Context(), &out), importtask.Task{ID: "import-snap-1", Detail: ec2types.SnapshotTaskDetail{
		Status: aws.String("active"), Progress: aws.String("42"), StatusMessage: aws.String("converting"),
	}}, 90*time.Second)
	lines, err := tflogtest.MultilineJSONDecode(&out)
	if err != nil || len(lines) != 1 {
		t.Fatalf("%v, %v", lines, err)
	}
	for name, want := range map[string]string{"task_id": "import-snap-1", "status": "active", "progress": "42", "message": "converting", "elapsed": "1m30s"} {
		if lines[0][name] != want {
			t.Errorf("%s = %v, want %q", name, lines[0][name], want)
		}
	}
}
