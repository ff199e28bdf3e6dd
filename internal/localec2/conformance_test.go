package localec2

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// TestConformance runs one suite over every way to the endpoint, and the part of it that costs nothing over AWS itself.
func TestConformance(t *testing.T) {
	t.Parallel()
	for name, connect := range map[string]func(*host, *testing.T){
		"in process":    func(*host, *testing.T) {},
		"over loopback": (*host).overLoopback,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, func(c *Config) { c.Checksum = true })
			connect(h, t)
			conformsWhereFree(t, h.ec2, h.sts)
			for _, part := range []struct {
				name string
				run  func(*testing.T, *host)
			}{
				{"import", conformsImport},
				{"formats", conformsFormats},
				{"refused images", conformsRefusedImages},
				{"refused sources", conformsRefusedSources},
				{"client token", conformsToken},
				{"cancel", conformsCancel},
				{"tags", conformsTags},
				{"pages and filters", conformsPages},
				{"tiers", conformsTiers},
				{"Regions", conformsRegions},
			} {
				t.Run(part.name, func(t *testing.T) { part.run(t, h) })
			}
		})
	}
}

// TestConformanceAWS holds the fake to the original. It makes nothing, but needs credentials.
func TestConformanceAWS(t *testing.T) {
	if os.Getenv("LOCALEC2_CONFORMANCE_AWS") == "" {
		t.Skip("set LOCALEC2_CONFORMANCE_AWS=1, a Region and credentials to run the free part of the suite against AWS")
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conformsWhereFree(t, ec2.NewFromConfig(cfg), sts.NewFromConfig(cfg))
}

// conformsWhereFree holds on AWS too, for any account: reads and dry runs.
func conformsWhereFree(t *testing.T, c *ec2.Client, s *sts.Client) {
	ctx := t.Context()
	const snapshot, task = "snap-0123456789abcdef0", "import-snap-0123456789abcdef0"

	t.Run("identity", func(t *testing.T) {
		id, err := s.GetCallerIdentity(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(aws.ToString(id.Account)) != 12 || !strings.HasPrefix(aws.ToString(id.Arn), "arn:aws") || aws.ToString(id.UserId) == "" {
			t.Errorf("identity: %v %v %v", id.Account, id.Arn, id.UserId)
		}
	})
	dry := aws.Bool(true)
	for name, call := range map[string]func() error{
		"ImportSnapshot": func() error {
			in := importInput("disk.vmdk")
			in.DryRun = dry
			return second(c.ImportSnapshot(ctx, in))
		},
		"DescribeImportSnapshotTasks": func() error {
			return second(c.DescribeImportSnapshotTasks(ctx, &ec2.DescribeImportSnapshotTasksInput{DryRun: dry}))
		},
		"CancelImportTask": func() error {
			return second(c.CancelImportTask(ctx, &ec2.CancelImportTaskInput{DryRun: dry, ImportTaskId: aws.String(task)}))
		},
		"DescribeSnapshots": func() error {
			return second(c.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{DryRun: dry, OwnerIds: []string{"self"}}))
		},
		"DeleteSnapshot": func() error {
			return second(c.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{DryRun: dry, SnapshotId: aws.String(snapshot)}))
		},
		"CreateTags": func() error {
			return second(c.CreateTags(ctx, &ec2.CreateTagsInput{DryRun: dry, Resources: []string{snapshot}, Tags: []types.Tag{ec2Tag("a", "b")}}))
		},
		"DeleteTags": func() error {
			return second(c.DeleteTags(ctx, &ec2.DeleteTagsInput{DryRun: dry, Resources: []string{snapshot}}))
		},
		"DescribeTags": func() error { return second(c.DescribeTags(ctx, &ec2.DescribeTagsInput{DryRun: dry})) },
		"ModifySnapshotTier": func() error {
			return second(c.ModifySnapshotTier(ctx, &ec2.ModifySnapshotTierInput{DryRun: dry, SnapshotId: aws.String(snapshot), StorageTier: "archive"}))
		},
		"RestoreSnapshotTier": func() error {
			return second(c.RestoreSnapshotTier(ctx, &ec2.RestoreSnapshotTierInput{DryRun: dry, SnapshotId: aws.String(snapshot)}))
		},
		"DescribeSnapshotTierStatus": func() error {
			return second(c.DescribeSnapshotTierStatus(ctx, &ec2.DescribeSnapshotTierStatusInput{DryRun: dry}))
		},
	} {
		t.Run("dry run "+name, func(t *testing.T) {
			wantCode(t, call(), "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
		})
	}
	t.Run("errors", func(t *testing.T) {
		_, err := c.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{snapshot}})
		wantCode(t, err, "InvalidSnapshot.NotFound", snapshot)
		_, err = c.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{"vol-1"}})
		wantCode(t, err, "InvalidParameterValue", "vol-1")
		_, err = c.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{Filters: []types.Filter{ec2Filter("no-such-filter", "x")}})
		wantCode(t, err, "InvalidParameterValue", "no-such-filter")
		_, err = c.DescribeImportSnapshotTasks(ctx, &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: []string{task}})
		wantCode(t, err, "InvalidConversionTaskId.Malformed", "not found")
		_, err = c.DescribeAvailabilityZones(ctx, nil)
		if err != nil {
			wantCode(t, err, "InvalidAction", "DescribeAvailabilityZones")
		}
	})
}

func second[T any](_ T, err error) error { return err }

func ec2Tag(key, value string) types.Tag { return types.Tag{Key: &key, Value: &value} }

func ec2Filter(name string, values ...string) types.Filter {
	return types.Filter{Name: &name, Values: values}
}

func conformsImport(t *testing.T, h *host) {
	ctx := t.Context()
	data := pattern(3<<20+512, 1)
	h.put(t, "life.img", data)
	in := importInput("life.img")
	in.Description = aws.String("the task's")
	in.DiskContainer.Description = aws.String("the container's")
	in.DiskContainer.Format = aws.String("raw")
	in.Encrypted = aws.Bool(true)
	in.KmsKeyId = aws.String("alias/mine")
	in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeImportSnapshotTask, Tags: []types.Tag{ec2Tag("Name", "x")}}}
	in.ClientData = &types.ClientData{Comment: aws.String("c"), UploadSize: aws.Float64(1.5), UploadStart: aws.Time(time.Now()), UploadEnd: aws.Time(time.Now())}
	out, err := h.ec2.ImportSnapshot(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	d := out.SnapshotTaskDetail
	if aws.ToString(d.Status) != "active" || aws.ToString(d.StatusMessage) != "pending" || aws.ToString(d.Progress) != "0" ||
		*d.DiskImageSize != 0 || *d.Format != "RAW" || d.SnapshotId != nil || *d.Description != "the task's" ||
		*d.UserBucket.S3Key != "life.img" || d.Url != nil || len(out.Tags) != 1 || !*d.Encrypted || !strings.HasPrefix(*d.KmsKeyId, "arn:aws:kms:us-east-1:"+testAccount+":key/") {
		t.Errorf("the call's answer: %+v", d)
	}
	d = h.wait(t, *out.ImportTaskId, statusCompleted)
	if d.Progress != nil || d.StatusMessage != nil || *d.DiskImageSize != float64(len(data)) {
		t.Errorf("the completed task: %+v", d)
	}
	list, err := h.ec2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{*d.SnapshotId}})
	if err != nil {
		t.Fatal(err)
	}
	sn := list.Snapshots[0]
	if sn.State != "completed" || *sn.Progress != "100%" || *sn.VolumeId != "vol-ffffffff" || *sn.VolumeSize != 1 || *sn.OwnerId != testAccount ||
		*sn.Description != "Created by AWS-VMImport service for "+*out.ImportTaskId || *sn.KmsKeyId != *d.KmsKeyId || !*sn.Encrypted ||
		sn.StorageTier != "standard" || sn.StartTime == nil || len(sn.Tags) != 0 || sn.OwnerAlias != nil {
		t.Errorf("the snapshot: %+v", sn)
	}
	h.wantVolume(t, *d.SnapshotId, data)
	if got, want := h.files(t), []string{"volumes/" + *d.SnapshotId + ".raw"}; !slices.Equal(got, want) {
		t.Errorf("on disk: %v, want %v", got, want)
	}
	if _, err := h.ec2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: d.SnapshotId}); err != nil {
		t.Fatal(err)
	}
	if got := h.files(t); len(got) != 0 {
		t.Errorf("left after DeleteSnapshot: %v", got)
	}
	_, err = h.ec2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: d.SnapshotId})
	wantCode(t, err, "InvalidSnapshot.NotFound", *d.SnapshotId)
	if _, err := h.Volume(ctx, *d.SnapshotId); err == nil {
		t.Error("a deleted snapshot still has a volume")
	}
}

func conformsFormats(t *testing.T, h *host) {
	data := pattern(1<<20, 2)
	for _, layout := range testimage.Layouts {
		key := fmt.Sprintf("disk-%s.vmdk", layout)
		h.put(t, key, testimage.StreamOptimized(layout, data))
		for _, format := range []*string{nil, aws.String("vmdk")} {
			in := importInput(key)
			in.DiskContainer.Format = format
			out, err := h.ec2.ImportSnapshot(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			d := h.wait(t, *out.ImportTaskId, statusCompleted)
			if *d.Format != "VMDK" {
				t.Errorf("format %s", *d.Format)
			}
			h.wantVolume(t, *d.SnapshotId, data)
		}
	}
	// Declared RAW, foreign bytes are taken as they are.
	stream := testimage.StreamOptimized(testimage.GDAtEnd, data)
	in := importInput("disk-GDAtEnd.vmdk")
	in.DiskContainer.Format = aws.String("RAW")
	out, err := h.ec2.ImportSnapshot(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	h.wantVolume(t, *h.wait(t, *out.ImportTaskId, statusCompleted).SnapshotId, stream)
}

func conformsRefusedImages(t *testing.T, h *host) {
	data := pattern(1<<20, 3)
	damaged := testimage.VMDK{Size: 1 << 20}.Build(testimage.Run{Data: data})
	copy(damaged.Data[damaged.Grain[3]+20:], "garbage garbage garbage")
	for _, tc := range []struct {
		name, format, message string
		data                  []byte
	}{
		{"gzip", "", "ClientError: Disk validation failed [Unsupported specified file format]", append([]byte("\x1f\x8b\x08\x00"), data...)},
		{"not what was declared", "VMDK", "ClientError: Disk validation failed [Unsupported specified file format]", data},
		{"damaged grain", "", "ClientError: Uncompressed data has an invalid length", damaged.Data},
	} {
		t.Run(tc.name, func(t *testing.T) {
			key := "refused/" + tc.name
			h.put(t, key, tc.data)
			in := importInput(key)
			if tc.format != "" {
				in.DiskContainer.Format = &tc.format
			}
			out, err := h.ec2.ImportSnapshot(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			d := h.wait(t, *out.ImportTaskId, statusDeleted)
			if aws.ToString(d.StatusMessage) != tc.message || d.SnapshotId != nil || d.Progress != nil {
				t.Errorf("%s, snapshot %v, progress %v", aws.ToString(d.StatusMessage), d.SnapshotId, d.Progress)
			}
		})
	}
	for _, f := range h.files(t) {
		if !strings.HasSuffix(f, ".raw") {
			t.Errorf("left behind: %s", f)
		}
	}
}

func conformsRefusedSources(t *testing.T, h *host) {
	if err := os.WriteFile(h.bucket+"-secret", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.put(t, "100%25.img", pattern(512, 1))
	before := len(h.files(t))
	for _, tc := range []struct{ name, bucket, key, url, message string }{
		{name: "bucket not mapped", bucket: "other", key: "k", message: `User does not have access to the S3 object (other/k). The bucket "other" is not mapped to a directory; mapped are images`},
		{name: "no such key", bucket: "images", key: "absent.img", message: "User does not have access to the S3 object (images/absent.img)."},
		{name: "key leaves the directory", bucket: "images", key: "../bucket-secret", message: "User does not have access to the S3 object (images/../bucket-secret)."},
		{name: "absolute key", bucket: "images", key: "/etc/passwd", message: "User does not have access"},
		{name: "key is literal", bucket: "images", key: "100%.img", message: "User does not have access"},
		{name: "url key is literal", url: "s3://images/100%2525.img", message: "User does not have access"},
		{name: "directory", bucket: "images", key: "refused", message: "User does not have access"},
		{name: "https not allowed", url: "https://example.com/disk.img", message: "https"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := importInput(tc.key)
			in.DiskContainer.UserBucket.S3Bucket = &tc.bucket
			if tc.url != "" {
				in.DiskContainer = &types.SnapshotDiskContainer{Url: &tc.url}
			}
			_, err := h.ec2.ImportSnapshot(t.Context(), in)
			wantCode(t, err, "InvalidParameter", tc.message)
		})
	}
	if got := len(h.files(t)); got != before {
		t.Errorf("%d files before, %d after", before, got)
	}
	for _, url := range []string{"s3://images/100%25.img", "https://images.s3.us-east-1.amazonaws.com/100%25.img"} {
		out, err := h.ec2.ImportSnapshot(t.Context(), &ec2.ImportSnapshotInput{DiskContainer: &types.SnapshotDiskContainer{Url: &url}})
		if err != nil {
			t.Fatal(err)
		}
		d := h.wait(t, *out.ImportTaskId, statusCompleted)
		if *d.Url != url || *d.UserBucket.S3Bucket != "images" || *d.UserBucket.S3Key != "100%25.img" {
			t.Errorf("url %s, bucket %+v", *d.Url, d.UserBucket)
		}
	}
}

func conformsToken(t *testing.T, h *host) {
	ctx := t.Context()
	h.put(t, "token.img", pattern(4096, 4))
	in := importInput("token.img")
	in.ClientToken = aws.String("token-1")
	first, err := h.ec2.ImportSnapshot(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	h.wait(t, *first.ImportTaskId, statusCompleted)
	if err := os.Remove(h.bucket + "/token.img"); err != nil {
		t.Fatal(err)
	}
	again, err := h.ec2.ImportSnapshot(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	if *again.ImportTaskId != *first.ImportTaskId || *again.SnapshotTaskDetail.Status != "completed" {
		t.Errorf("a repeated request made %s (%s), not %s", *again.ImportTaskId, *again.SnapshotTaskDetail.Status, *first.ImportTaskId)
	}
	in.Description = aws.String("another request")
	_, err = h.ec2.ImportSnapshot(ctx, in)
	wantCode(t, err, "IdempotentParameterMismatch", "")
	west, _ := h.clients("us-west-2")
	_, err = west.ImportSnapshot(ctx, in)
	wantCode(t, err, "InvalidParameter", "token.img") // tokens are per Region: this is a new request, for an object that is gone
}

func conformsCancel(t *testing.T, h *host) {
	ctx := t.Context()
	_, err := h.ec2.CancelImportTask(ctx, &ec2.CancelImportTaskInput{ImportTaskId: aws.String("import-snap-00000000000000000")})
	wantCode(t, err, "InvalidConversionTaskId.Malformed", "not found")
	h.put(t, "cancel.img", pattern(1<<20, 5))
	id := h.importKey(t, "cancel.img")
	h.wait(t, id, statusCompleted)
	_, err = h.ec2.CancelImportTask(ctx, &ec2.CancelImportTaskInput{ImportTaskId: &id})
	wantCode(t, err, "InvalidParameter", "cannot be canceled: it is completed")
}

func conformsTags(t *testing.T, h *host) {
	ctx := t.Context()
	h.put(t, "tags.img", pattern(4096, 6))
	task := h.importKey(t, "tags.img")
	sn := *h.wait(t, task, statusCompleted).SnapshotId
	both := []string{sn, task}
	create := func(ids []string, tags ...types.Tag) error {
		return second(h.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: ids, Tags: tags}))
	}
	remove := func(tags ...types.Tag) {
		t.Helper()
		if _, err := h.ec2.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: both, Tags: tags}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(tags string) {
		t.Helper()
		s, err := h.ec2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{sn}})
		if err != nil {
			t.Fatal(err)
		}
		k, err := h.ec2.DescribeImportSnapshotTasks(ctx, &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: []string{task}})
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range [][]types.Tag{s.Snapshots[0].Tags, k.ImportSnapshotTasks[0].Tags} {
			text := ""
			for _, g := range got {
				text += *g.Key + "=" + *g.Value + " "
			}
			if text != tags {
				t.Errorf("tags %q, want %q", text, tags)
			}
		}
	}
	if err := create(both, ec2Tag("a", "1"), ec2Tag("b", ""), ec2Tag("c", "3"), ec2Tag("d", "4")); err != nil {
		t.Fatal(err)
	}
	if err := create(both, ec2Tag("a", "2")); err != nil {
		t.Fatal(err)
	}
	want("a=2 b= c=3 d=4 ")
	remove(ec2Tag("a", ""), ec2Tag("c", "other"))
	want("a=2 b= c=3 d=4 ")
	remove(ec2Tag("b", ""), ec2Tag("c", "3"), types.Tag{Key: aws.String("a")})
	want("d=4 ")
	remove()
	want("")

	long := func(n int) string { return strings.Repeat("ä", n) }
	if err := create(both, ec2Tag(long(127), long(256))); err != nil {
		t.Error(err)
	}
	wantCode(t, create(both, ec2Tag(long(128), "")), "InvalidParameterValue", "127")
	wantCode(t, create(both, ec2Tag("k", long(257))), "InvalidParameterValue", "256")
	wantCode(t, create(both, ec2Tag("AWS:k", "")), "InvalidParameterValue", "reserved")
	wantCode(t, create(both, ec2Tag("k", ""), ec2Tag("k", "2")), "InvalidParameterValue", "Duplicate")
	var many []types.Tag
	for i := range 49 {
		many = append(many, ec2Tag(fmt.Sprint("k", i), "v"))
	}
	if err := create(both, many...); err != nil {
		t.Error(err)
	}
	wantCode(t, create(both, ec2Tag("one too many", "")), "TagLimitExceeded", "50")
	wantCode(t, create([]string{task, "snap-00000000000000000"}, ec2Tag("k1", "changed")), "InvalidSnapshot.NotFound", "snap-00000000000000000")
	wantCode(t, create([]string{"i-1234"}, ec2Tag("k", "")), "InvalidID", "i-1234")

	tags, err := h.ec2.DescribeTags(ctx, &ec2.DescribeTagsInput{Filters: []types.Filter{
		ec2Filter("resource-id", both...), ec2Filter("key", "k1"), ec2Filter("value", "v"), ec2Filter("resource-type", "import-snapshot-*"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(tags.Tags) != 1 || *tags.Tags[0].ResourceId != task || tags.Tags[0].ResourceType != "import-snapshot-task" || *tags.Tags[0].Value != "v" {
		t.Errorf("DescribeTags: %+v", tags.Tags)
	}
	n := 0
	for p := ec2.NewDescribeTagsPaginator(h.ec2, &ec2.DescribeTagsInput{MaxResults: aws.Int32(7), Filters: []types.Filter{ec2Filter("resource-id", both...)}}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		n += len(page.Tags)
	}
	if n != 100 {
		t.Errorf("%d tags by pages, want 100", n)
	}
}

func conformsPages(t *testing.T, h *host) {
	ctx := t.Context()
	eu, _ := h.clients("eu-central-1") // nothing from the other parts is there
	h.put(t, "page.img", pattern(4096, 7))
	var tasks, snapshots []string
	for i := range 7 {
		in := importInput("page.img")
		in.TagSpecifications = []types.TagSpecification{{ResourceType: "import-snapshot-task", Tags: []types.Tag{ec2Tag("n", fmt.Sprint(i))}}}
		out, err := eu.ImportSnapshot(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, *out.ImportTaskId)
		eventually(t, func() bool {
			out, err := eu.DescribeImportSnapshotTasks(ctx, &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: tasks[i:]})
			if err != nil {
				t.Fatal(err)
			}
			id := aws.ToString(out.ImportSnapshotTasks[0].SnapshotTaskDetail.SnapshotId)
			if id != "" {
				snapshots = append(snapshots, id)
			}
			return id != ""
		})
	}
	var got []string
	for p := ec2.NewDescribeImportSnapshotTasksPaginator(eu, &ec2.DescribeImportSnapshotTasksInput{MaxResults: aws.Int32(1)}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range page.ImportSnapshotTasks {
			got = append(got, *task.ImportTaskId)
		}
	}
	if !slices.Equal(got, tasks) {
		t.Errorf("tasks by pages of 1: %v, want %v", got, tasks)
	}
	got = nil
	for p := ec2.NewDescribeSnapshotsPaginator(eu, &ec2.DescribeSnapshotsInput{MaxResults: aws.Int32(5), OwnerIds: []string{"self"}}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, sn := range page.Snapshots {
			got = append(got, *sn.SnapshotId)
		}
	}
	if !slices.Equal(got, snapshots) {
		t.Errorf("snapshots by pages of 5: %v, want %v", got, snapshots)
	}

	for _, tc := range []struct {
		filters []types.Filter
		want    int
	}{
		{[]types.Filter{ec2Filter("task-state", "active", "completed")}, 7},
		{[]types.Filter{ec2Filter("task-state", "active")}, 0},
		{[]types.Filter{ec2Filter("tag:n", "3", "5")}, 2},
		{[]types.Filter{ec2Filter("tag:n", "?")}, 7},
		{[]types.Filter{ec2Filter("tag-key", "n"), ec2Filter("tag:n", "1")}, 1},
		{[]types.Filter{ec2Filter("tag-key", "m")}, 0},
	} {
		out, err := eu.DescribeImportSnapshotTasks(ctx, &ec2.DescribeImportSnapshotTasksInput{Filters: tc.filters})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.ImportSnapshotTasks) != tc.want {
			t.Errorf("%v: %d tasks, want %d", *tc.filters[0].Name, len(out.ImportSnapshotTasks), tc.want)
		}
	}
	if _, err := eu.CreateTags(ctx, &ec2.CreateTagsInput{Resources: snapshots[:2], Tags: []types.Tag{ec2Tag("role", "web*server")}}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		values []string
		want   int
	}{
		{"description", []string{"Created by AWS-VMImport service for " + tasks[2]}, 1},
		{"description", []string{"*" + tasks[0], "*" + tasks[1]}, 2},
		{"description", []string{"created by *"}, 0},
		{"encrypted", []string{"false"}, 7},
		{"owner-id", []string{testAccount}, 7},
		{"owner-alias", []string{"*"}, 0},
		{"progress", []string{"100%"}, 7},
		{"snapshot-id", snapshots[3:5], 2},
		{"start-time", []string{"20*T*Z"}, 7},
		{"status", []string{"completed"}, 7},
		{"status", []string{"pending"}, 0},
		{"storage-tier", []string{"standard"}, 7},
		{"transfer-type", []string{"standard"}, 7},
		{"volume-id", []string{"vol-ffffffff"}, 7},
		{"volume-size", []string{"1"}, 7},
		{"tag:role", []string{"web*"}, 2},
		{"tag:role", []string{`web\*server`}, 2},
		{"tag:role", []string{`web\?server`}, 0},
		{"tag-key", []string{"ro?e"}, 2},
	} {
		out, err := eu.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{Filters: []types.Filter{ec2Filter(tc.name, tc.values...)}})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Snapshots) != tc.want {
			t.Errorf("%s %v: %d snapshots, want %d", tc.name, tc.values, len(out.Snapshots), tc.want)
		}
	}
	for owner, want := range map[string]int{"self": 7, testAccount: 7, "999999999999": 0, "amazon": 0} {
		out, err := eu.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{OwnerIds: []string{owner}})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Snapshots) != want {
			t.Errorf("owner %s: %d snapshots, want %d", owner, len(out.Snapshots), want)
		}
	}
}

func conformsRegions(t *testing.T, h *host) {
	id := h.imported(t, "region.img", pattern(4096, 9))
	west, _ := h.clients("us-west-2")
	_, err := west.DescribeSnapshots(context.WithoutCancel(t.Context()), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}})
	wantCode(t, err, "InvalidSnapshot.NotFound", id)
	_, err = west.DeleteSnapshot(t.Context(), &ec2.DeleteSnapshotInput{SnapshotId: &id})
	wantCode(t, err, "InvalidSnapshot.NotFound", id)
}
