package localec2

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// TestCancelByAnotherEndpoint: whoever works on a task lets it go soon after another one at the same data directory has canceled it, however many
// others it has.
func TestCancelByAnotherEndpoint(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *Config) { c.Simulate.TaskDuration = time.Hour })
	h.put(t, "disk.raw", pattern(1<<20, 1))
	other := newHost(t, func(c *Config) { c.DataDir, c.Images = h.config.DataDir, h.config.Images })
	var tasks []string
	for range 20 {
		tasks = append(tasks, h.importKey(t, "disk.raw"))
	}
	// The work is done and told, so that nothing is left to happen but the cancel.
	for _, id := range tasks {
		eventually(t, func() bool {
			stored, err := h.store.task(id)
			return err == nil && stored.Progress == progressWritten
		})
	}
	for _, id := range tasks[5:10] {
		if _, err := other.ec2.CancelImportTask(t.Context(), &ec2.CancelImportTaskInput{ImportTaskId: &id}); err != nil {
			t.Fatal(err)
		}
	}
	for n, id := range tasks {
		want := statusActive
		if n >= 5 && n < 10 {
			want = statusDeleted
			other.wait(t, id, want)
		}
		if got := aws.ToString(h.describe(t, id).Status); got != want {
			t.Errorf("task %d is %s, want %s", n, got, want)
		}
	}
}
