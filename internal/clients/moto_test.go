package clients

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// The whole path of a user: an image is uploaded to S3, here moto's, imported from there and removed.
func TestCLIFromS3(t *testing.T) {
	t.Parallel()
	s3 := acctest.Moto(t)
	s := newShell(t, "--s3-endpoint", s3)
	s.env = append(s.env, "AWS_ENDPOINT_URL_S3="+s3)
	content := disk(40)
	image := filepath.Join(t.TempDir(), "disk.vmdk")
	if err := os.WriteFile(image, vmdk(content), 0o600); err != nil {
		t.Fatal(err)
	}
	const object = "s3://uploads/dir/disk 1 é+%20.vmdk"
	s.aws("s3", "mb", "s3://uploads")
	s.aws("s3", "cp", "--no-progress", image, object)
	answer := s.aws("ec2", "import-snapshot", "--disk-container", "Format=VMDK,UserBucket={S3Bucket=uploads,S3Key=dir/disk 1 é+%20.vmdk}")
	snapshot := s.over(s.read(answer, "ImportTaskId"))
	s.aws("s3", "rm", object)
	s.wantVolume(snapshot, content)

	code, _, stderr := s.run("-m", "awscli", "ec2", "import-snapshot", "--disk-container", "Url="+object)
	const want = "User does not have access to the S3 object (uploads/dir/disk 1 é+%20.vmdk). (" + object + ": no such object"
	if code == 0 || !strings.Contains(stderr, want) {
		t.Errorf("an object that is gone: exit code %d, %s", code, stderr)
	}
}
