package clients

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

func TestBoto3(t *testing.T) {
	t.Parallel()
	python := acctest.ClientsPython(t)
	s, slow := newSite(t), newSite(t, "--simulate", "task_duration=1h")
	for _, at := range []*site{s, slow} {
		at.put("disk.vhd", vhd(disk(30)))
	}
	s.put("broken.vhd", append([]byte("\x1f\x8b\x08\x00"), disk(31)...))
	script, err := filepath.Abs(filepath.Join("testdata", "boto3_tests.py"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-W", "error::ResourceWarning", script, "-v")
	cmd.Dir = t.TempDir()
	cmd.Env = append(s.clientEnvironment(), "EC2_IMAGES="+s.images, "EC2_SLOW_URL="+slow.url)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}
