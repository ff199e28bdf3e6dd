package provider_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/awsclient"
)

// TestAccAWSStandIn runs TestAccAWS and its sweeper as a user runs them, with serve and moto's S3 in the place of AWS, named by the variables that
// every SDK reads. It shows that they work, and nothing of AWS itself.
func TestAccAWSStandIn(t *testing.T) {
	if !acctest.ServesS3() {
		t.Skip("runs once, over serve with the images in an S3")
	}
	if os.Getenv("TF_ACC") == "" {
		t.Skip("acceptance tests run with TF_ACC set (make test-serve)")
	}
	t.Parallel()
	dataDir, s3 := t.TempDir(), acctest.Moto(t)
	url := acctest.Serve(t, "--data-dir", dataDir, "--s3-endpoint", s3)
	put := func(name string) { onS3(t, http.MethodPut, s3+"/"+name, "an object") }
	onS3(t, http.MethodPut, s3+"/acceptance", "")
	var env []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "EC2_ACC_") && !strings.HasPrefix(entry, "AWS_") {
			env = append(env, entry)
		}
	}
	env = append(env, "EC2_ACC_AWS=1", "EC2_ACC_AWS_BUCKET=acceptance", "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=111122223333", "AWS_SECRET_ACCESS_KEY=test",
		"AWS_ENDPOINT_URL_EC2="+url, "AWS_ENDPOINT_URL_STS="+url, "AWS_ENDPOINT_URL_S3="+s3, "AWS_EC2_METADATA_DISABLED=true")
	test := func(without string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
		cmd.Env = slices.DeleteFunc(slices.Clone(env), func(entry string) bool { return without != "" && strings.HasPrefix(entry, without+"=") })
		printed, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, printed)
		}
		return string(printed)
	}

	printed := test("", "-test.run=^TestAcc", "-test.v")
	passed := regexp.MustCompile(`(?m)^    --- PASS: TestAccAWS/`).FindAllString(printed, -1)
	if ran := regexp.MustCompile(`(?m)^ *--- PASS: .*`).FindAllString(printed, -1); len(passed) != len(anywhere) || len(ran) != len(anywhere)+1 {
		t.Errorf("%d of %d tests passed on AWS; all that ran: %v\n%s", len(passed), len(anywhere), ran, printed)
	}
	for _, given := range []string{"EC2_ACC_AWS_BUCKET", "AWS_SECRET_ACCESS_KEY"} {
		printed := test(given, "-test.run=^TestAccAWS$", "-test.v")
		if lines := regexp.MustCompile(`EC2_ACC_AWS=1, but no (bucket|credentials): `).FindAllString(printed, -1); len(lines) != len(anywhere) {
			t.Errorf("without %s:\n%s", given, printed)
		}
	}

	// Left-overs, and what must not be taken for them.
	slow := acctest.Serve(t, "--data-dir", dataDir, "--s3-endpoint", s3, "--simulate", "task_duration=1h")
	put("acceptance/mine/disk.raw")
	put("acceptance/" + acctest.Marker + "-not/disk.raw")
	marker := map[string]string{acctest.Marker: "killed/Test"}
	byHand := func(url string, tags map[string]string) (client *ec2.Client, task string) {
		t.Helper()
		c, err := awsclient.New(t.Context(), awsclient.Settings{
			AccessKey: "111122223333", SecretKey: "test", Endpoints: awsclient.Endpoints{EC2: url, STS: url, S3: s3},
		}, here)
		if err != nil {
			t.Fatal(err)
		}
		in := &ec2.ImportSnapshotInput{DiskContainer: &ec2types.SnapshotDiskContainer{Url: aws.String("s3://acceptance/mine/disk.raw"), Format: aws.String("RAW")}}
		if tags != nil {
			in.TagSpecifications = []ec2types.TagSpecification{{ResourceType: ec2types.ResourceTypeImportSnapshotTask, Tags: ec2Tags(tags)}}
		}
		out, err := c.EC2.ImportSnapshot(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		return c.EC2, *out.ImportTaskId
	}
	_, running := byHand(slow, marker)
	_, others := byHand(slow, nil)
	_, untagged := byHand(url, marker)
	client, tagged := byHand(url, nil)
	_, kept := byHand(url, map[string]string{"Name": acctest.Marker})
	snapshots := map[string]string{}
	for _, task := range []string{untagged, tagged, kept} {
		waiter := ec2.NewSnapshotImportedWaiter(client, func(o *ec2.SnapshotImportedWaiterOptions) { o.MinDelay, o.MaxDelay = 100e6, 100e6 })
		out, err := waiter.WaitForOutput(t.Context(), &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: []string{task}}, 60e9)
		if err != nil {
			t.Fatal(err)
		}
		snapshots[task] = *out.ImportSnapshotTasks[0].SnapshotTaskDetail.SnapshotId
	}
	if _, err := client.CreateTags(t.Context(), &ec2.CreateTagsInput{Resources: []string{snapshots[tagged]}, Tags: ec2Tags(marker)}); err != nil {
		t.Fatal(err)
	}
	put("acceptance/" + acctest.Marker + "/killed/disk.raw")

	test("", "-sweep=us-east-1")
	left, err := client.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}})
	if err != nil || len(left.Snapshots) != 1 || *left.Snapshots[0].SnapshotId != snapshots[kept] {
		t.Errorf("the sweeper has left %v, want %s: %v", left, snapshots[kept], err)
	}
	tasks, err := client.DescribeImportSnapshotTasks(t.Context(), &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: []string{running, others}})
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks.ImportSnapshotTasks {
		if want, is := map[string]string{running: "deleted", others: "active"}[*task.ImportTaskId], *task.SnapshotTaskDetail.Status; is != want {
			t.Errorf("task %s is %s, want %s", *task.ImportTaskId, is, want)
		}
	}
	objects := regexp.MustCompile(`<Key>[^<]*</Key>`).FindAllString(onS3(t, http.MethodGet, s3+"/acceptance?list-type=2", ""), -1)
	if want := []string{"<Key>mine/disk.raw</Key>", "<Key>" + acctest.Marker + "-not/disk.raw</Key>"}; !slices.Equal(objects, want) {
		t.Errorf("the bucket has %v, want %v", objects, want)
	}
	if _, err := client.CancelImportTask(t.Context(), &ec2.CancelImportTaskInput{ImportTaskId: &others}); err != nil {
		t.Error(err)
	}
}

func ec2Tags(tags map[string]string) (list []ec2types.Tag) {
	for key, value := range tags {
		list = append(list, ec2types.Tag{Key: &key, Value: &value})
	}
	return list
}

// onS3 makes a call to moto, which wants a signature and believes any.
func onS3(t *testing.T, method, url, content string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=none")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 300 {
		t.Fatalf("%s %s: %s, %v\n%s", method, url, answer.Status, err, body)
	}
	return string(body)
}
