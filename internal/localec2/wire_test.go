package localec2

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
)

// normalize replaces what differs from run to run, and the indentation.
func normalize(body string) string {
	for pattern, with := range map[string]string{
		`>\s+<`:                               "><",
		`<fullSnapshotSizeInBytes>7[0-9]{6}<`: "<fullSnapshotSizeInBytes>WRITTEN<", // 9000000 less the hole
		`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`: "REQUEST",
		`import-snap-[0-9a-f]{17}`:                                      "TASK",
		`([^-])snap-[0-9a-f]{17}`:                                       "${1}SNAP",
		`20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z`:             "TIME",
		`key/[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f-]{3}-[0-9a-f-]+<`:         "key/KEY<",
	} {
		body = regexp.MustCompile(pattern).ReplaceAllString(body, with)
	}
	return body
}

const xmlHead = `<?xml version="1.0" encoding="UTF-8"?>`

func wantBody(t *testing.T, what, got, want string) {
	t.Helper()
	want = regexp.MustCompile(`>\s+<`).ReplaceAllString(strings.TrimSpace(want), "><")
	if got = strings.TrimPrefix(normalize(got), xmlHead); got != want {
		t.Errorf("%s:\n%s\nwant\n%s", what, got, want)
	}
}

// TestWireLifeOfATask compares every answer with what EC2 sends, written by hand from vm-import-facts.
func TestWireLifeOfATask(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.overLoopback(t)
	h.put(t, "a/k é+%41.img", pattern(9_000_000, 1))

	status, body, header := h.post(t, "Action", "ImportSnapshot", "Version", "2016-11-15", "Description", "my <disk>",
		"DiskContainer.Format", "raw", "DiskContainer.Url", "s3://images/a/k é+%41.img", "Encrypted", "true",
		"TagSpecification.1.ResourceType", "import-snapshot-task", "TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "")
	if status != 200 || header.Get("Content-Type") != "text/xml;charset=UTF-8" || header.Get("Server") != "AmazonEC2" {
		t.Errorf("status %d, header %v", status, header)
	}
	if !strings.Contains(body, "<requestId>"+header.Get("x-amzn-RequestId")+"</requestId>") {
		t.Error("the header's request id is not the body's")
	}
	id := regexp.MustCompile(`import-snap-[0-9a-f]{17}`).FindString(body)
	wantBody(t, "ImportSnapshot", body, `
		<ImportSnapshotResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
			<requestId>REQUEST</requestId>
			<importTaskId>TASK</importTaskId>
			<description>my &lt;disk&gt;</description>
			<snapshotTaskDetail>
				<description>my &lt;disk&gt;</description>
				<diskImageSize>0.0</diskImageSize>
				<encrypted>true</encrypted>
				<format>RAW</format>
				<kmsKeyId>arn:aws:kms:us-east-1:123456789012:key/KEY</kmsKeyId>
				<progress>0</progress>
				<status>active</status>
				<statusMessage>pending</statusMessage>
				<url>s3://images/a/k é+%41.img</url>
				<userBucket><s3Bucket>images</s3Bucket><s3Key>a/k é+%41.img</s3Key></userBucket>
			</snapshotTaskDetail>
			<tagSet><item><key>Name</key><value></value></item></tagSet>
		</ImportSnapshotResponse>`)

	h.wait(t, id, statusCompleted)
	_, body, _ = h.post(t, "Action", "DescribeImportSnapshotTasks", "ImportTaskId.1", id)
	wantBody(t, "DescribeImportSnapshotTasks", body, `
		<DescribeImportSnapshotTasksResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
			<requestId>REQUEST</requestId>
			<importSnapshotTaskSet><item>
				<importTaskId>TASK</importTaskId>
				<description>my &lt;disk&gt;</description>
				<snapshotTaskDetail>
					<description>my &lt;disk&gt;</description>
					<diskImageSize>9000000.0</diskImageSize>
					<encrypted>true</encrypted>
					<format>RAW</format>
					<kmsKeyId>arn:aws:kms:us-east-1:123456789012:key/KEY</kmsKeyId>
					<snapshotId>SNAP</snapshotId>
					<status>completed</status>
					<url>s3://images/a/k é+%41.img</url>
					<userBucket><s3Bucket>images</s3Bucket><s3Key>a/k é+%41.img</s3Key></userBucket>
				</snapshotTaskDetail>
				<tagSet><item><key>Name</key><value></value></item></tagSet>
			</item></importSnapshotTaskSet>
		</DescribeImportSnapshotTasksResponse>`)

	_, body, _ = h.post(t, "Action", "DescribeSnapshots", "Owner.1", "self")
	snapshot := regexp.MustCompile(`[^-](snap-[0-9a-f]{17})`).FindStringSubmatch(body)[1]
	wantBody(t, "DescribeSnapshots", body, `
		<DescribeSnapshotsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
			<requestId>REQUEST</requestId>
			<snapshotSet><item>
				<snapshotId>SNAP</snapshotId>
				<volumeId>vol-ffffffff</volumeId>
				<status>completed</status>
				<startTime>TIME</startTime>
				<completionTime>TIME</completionTime>
				<progress>100%</progress>
				<ownerId>123456789012</ownerId>
				<volumeSize>1</volumeSize>
				<description>Created by AWS-VMImport service for TASK</description>
				<encrypted>true</encrypted>
				<kmsKeyId>arn:aws:kms:us-east-1:123456789012:key/KEY</kmsKeyId>
				<storageTier>standard</storageTier>
				<fullSnapshotSizeInBytes>WRITTEN</fullSnapshotSizeInBytes>
			</item></snapshotSet>
		</DescribeSnapshotsResponse>`)
	for _, call := range []struct {
		want  string
		pairs []string
	}{
		{`<CreateTagsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>REQUEST</requestId><return>true</return></CreateTagsResponse>`,
			[]string{"Action", "CreateTags", "ResourceId.1", snapshot, "Tag.1.Key", "k", "Tag.1.Value", "v"}},
		{`<DescribeTagsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>REQUEST</requestId><tagSet><item>
			<resourceId>SNAP</resourceId><resourceType>snapshot</resourceType><key>k</key><value>v</value></item></tagSet></DescribeTagsResponse>`,
			[]string{"Action", "DescribeTags", "Filter.1.Name", "resource-type", "Filter.1.Value.1", "snapshot"}},
		{`<DeleteTagsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>REQUEST</requestId><return>true</return></DeleteTagsResponse>`,
			[]string{"Action", "DeleteTags", "ResourceId.1", snapshot, "Tag.1.Key", "k"}},
		{`<ModifySnapshotTierResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>REQUEST</requestId>
			<snapshotId>SNAP</snapshotId><tieringStartTime>TIME</tieringStartTime></ModifySnapshotTierResponse>`,
			[]string{"Action", "ModifySnapshotTier", "SnapshotId", snapshot, "StorageTier", "archive"}},
		{`<RestoreSnapshotTierResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>REQUEST</requestId><snapshotId>SNAP</snapshotId>
			<restoreStartTime>TIME</restoreStartTime><restoreDuration>2</restoreDuration><isPermanentRestore>false</isPermanentRestore></RestoreSnapshotTierResponse>`,
			[]string{"Action", "RestoreSnapshotTier", "SnapshotId", snapshot, "TemporaryRestoreDays", "2"}},
		{`<DescribeSnapshotTierStatusResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>REQUEST</requestId><snapshotTierStatusSet><item>
			<snapshotId>SNAP</snapshotId><volumeId>vol-ffffffff</volumeId><status>completed</status><ownerId>123456789012</ownerId><storageTier>archive</storageTier>
			<lastTieringStartTime>TIME</lastTieringStartTime><lastTieringProgress>0</lastTieringProgress>
			<lastTieringOperationStatus>temporary-restore-in-progress</lastTieringOperationStatus></item></snapshotTierStatusSet></DescribeSnapshotTierStatusResponse>`,
			[]string{"Action", "DescribeSnapshotTierStatus", "Filter.1.Name", "snapshot-id", "Filter.1.Value.1", snapshot}},
		{`<DeleteSnapshotResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>REQUEST</requestId><return>true</return></DeleteSnapshotResponse>`,
			[]string{"Action", "DeleteSnapshot", "SnapshotId", snapshot}},
		{`<DescribeSnapshotsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>REQUEST</requestId><snapshotSet></snapshotSet></DescribeSnapshotsResponse>`,
			[]string{"Action", "DescribeSnapshots"}},
		{`<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:root</Arn>
			<UserId>123456789012</UserId><Account>123456789012</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>REQUEST</RequestId></ResponseMetadata></GetCallerIdentityResponse>`,
			[]string{"Action", "GetCallerIdentity", "Version", "2011-06-15"}},
		{`<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>InvalidAction</Code>
			<Message>Could not find operation AssumeRole for version 2011-06-15</Message></Error><RequestId>REQUEST</RequestId></ErrorResponse>`,
			[]string{"Action", "AssumeRole", "Version", "2011-06-15"}},
	} {
		_, body, _ := h.post(t, call.pairs...)
		wantBody(t, call.pairs[1], body, call.want)
	}
}

// TestWireActiveAndCanceled shows what a client sees before the end: a progress, an empty snapshot id (P28), and then a reason.
func TestWireActiveAndCanceled(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *Config) { c.Simulate.TaskDuration = 1e15 })
	h.put(t, "disk.img", pattern(4096, 1))
	id := h.importKey(t, "disk.img")
	eventually(t, func() bool { return *h.describe(t, id).StatusMessage == messageConverting })
	_, body, _ := h.post(t, "Action", "DescribeImportSnapshotTasks", "Filters.1.Name", "task-state", "Filters.1.Value.1", "active")
	detail := func(rest string) string {
		return `<DescribeImportSnapshotTasksResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>REQUEST</requestId><importSnapshotTaskSet><item>
			<importTaskId>TASK</importTaskId><snapshotTaskDetail><diskImageSize>4096.0</diskImageSize><format>RAW</format>` + rest + `
			<userBucket><s3Bucket>images</s3Bucket><s3Key>disk.img</s3Key></userBucket></snapshotTaskDetail><tagSet></tagSet></item></importSnapshotTaskSet>
			</DescribeImportSnapshotTasksResponse>`
	}
	wantBody(t, "active", body, detail(`<progress>0</progress><snapshotId></snapshotId><status>active</status><statusMessage>downloading/converting</statusMessage>`))

	_, body, _ = h.post(t, "Action", "CancelImportTask", "ImportTaskId", id, "CancelReason", "because")
	wantBody(t, "CancelImportTask", body, `<CancelImportTaskResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>REQUEST</requestId>
		<importTaskId>TASK</importTaskId><previousState>active</previousState><state>deleting</state></CancelImportTaskResponse>`)
	h.wait(t, id, statusDeleted)
	_, body, _ = h.post(t, "Action", "DescribeImportSnapshotTasks", "Filter.1.Name", "task-state", "Filter.1.Value.1", "deleted")
	wantBody(t, "deleted", body, detail(`<status>deleted</status><statusMessage>because</statusMessage>`))
	if got := h.files(t); len(got) != 0 {
		t.Errorf("left after the cancel: %v", got)
	}
}

func TestWireErrors(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.overLoopback(t)
	_, body, _ := h.post(t, "Action", "RunInstances")
	wantBody(t, "error", body, `<Response><Errors><Error><Code>InvalidAction</Code><Message>The action RunInstances is not valid for this web service.</Message></Error></Errors>
		<RequestID>REQUEST</RequestID></Response>`)

	const url, snap, task = "s3://images/k", "snap-0123456789abcdef0", "import-snap-0123456789abcdef0"
	imp := func(pairs ...string) []string {
		return append([]string{"Action", "ImportSnapshot", "DiskContainer.Url", url}, pairs...)
	}
	many := func(n int, name string, pairs ...string) []string {
		for i := range n {
			pairs = append(pairs, fmt.Sprintf(name, i+1), "x")
		}
		return pairs
	}
	for _, tc := range []struct {
		code, message string
		pairs         []string
	}{
		{"MissingAction", "", nil},
		{"InvalidAction", "GetCallerIdentity", []string{"Action", "GetCallerIdentity", "Version", "2016-11-15"}},
		{"InvalidParameterValue", "DryRun", []string{"Action", "DescribeSnapshots", "DryRun", "yes"}},
		{"UnknownParameter", "The parameter Filters.1.Foo is not recognized", []string{"Action", "DescribeSnapshots", "Filters.1.Name", "status", "Filters.1.Value.1", "x", "Filters.1.Foo", "y"}},
		{"UnknownParameter", "SnapshotId", []string{"Action", "DescribeSnapshots", "SnapshotId.0", snap}},

		{"MissingParameter", "DiskContainer.Url or DiskContainer.UserBucket", []string{"Action", "ImportSnapshot"}},
		{"MissingParameter", "DiskContainer.UserBucket.S3Key", []string{"Action", "ImportSnapshot", "DiskContainer.UserBucket.S3Bucket", "images"}},
		{"MissingParameter", "DiskContainer.UserBucket.S3Bucket", []string{"Action", "ImportSnapshot", "DiskContainer.UserBucket.S3Key", "k"}},
		{"InvalidParameterCombination", "DiskContainer.UserBucket", imp("DiskContainer.UserBucket.S3Key", "k")},
		{"InvalidParameterValue", "DiskContainer.Url", []string{"Action", "ImportSnapshot", "DiskContainer.Url", "ftp://x/y"}},
		{"InvalidParameter", "has an invalid format", imp("DiskContainer.Format", "OVA")},
		{"InvalidParameterValue", "Encrypted", imp("Encrypted", "1")},
		{"InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.", imp("KmsKeyId", "alias/a")},
		{"InvalidParameterValue", "KmsKeyId", imp("Encrypted", "true", "KmsKeyId", "not a key")},
		{"InvalidParameterValue", "not in us-east-1", imp("Encrypted", "true", "KmsKeyId", "arn:aws:kms:eu-west-1:123456789012:alias/a")},
		{"InvalidParameter", "The service role a role provided does not exist or does not have sufficient permissions", imp("RoleName", "a role")},
		{"InvalidParameterValue", "clientToken", imp("ClientToken", strings.Repeat("x", 65))},
		{"InvalidParameterValue", "clientToken", imp("ClientToken", "tökén")},
		{"InvalidParameterValue", "UploadStart", imp("ClientData.UploadStart", "yesterday")},
		{"InvalidParameterValue", "UploadSize", imp("ClientData.UploadSize", "-1")},
		{"InvalidParameterValue", "UploadSize", imp("ClientData.UploadSize", "NaN")},
		{"InvalidParameterValue", "'snapshot' is not a valid taggable resource type for this operation.", imp("TagSpecification.1.ResourceType", "snapshot", "TagSpecification.1.Tag.1.Key", "k")},
		{"InvalidParameterValue", "resource type must have a value", imp("TagSpecification.1.Tag.1.Key", "k")},
		{"InvalidParameterValue", "at least one tag", imp("TagSpecification.1.ResourceType", "import-snapshot-task")},
		{"InvalidParameterValue", "reserved", imp("TagSpecification.1.ResourceType", "import-snapshot-task", "TagSpecification.1.Tag.1.Key", "aws:x")},
		{"TagLimitExceeded", "50", manyTags(51, imp("TagSpecification.1.ResourceType", "import-snapshot-task")...)},

		{"InvalidConversionTaskId.Malformed", "not found", []string{"Action", "DescribeImportSnapshotTasks", "ImportTaskId.1", task}},
		{"InvalidConversionTaskId.Malformed", "import-ami-1", []string{"Action", "DescribeImportSnapshotTasks", "ImportTaskId.1", "import-ami-1"}},
		{"InvalidParameterValue", "Value ( 0 ) for parameter maxResults", []string{"Action", "DescribeImportSnapshotTasks", "MaxResults", "0"}},
		{"InvalidParameterValue", "Value ( 4 ) for parameter maxResults", []string{"Action", "DescribeSnapshots", "MaxResults", "4"}},
		{"InvalidParameterValue", "Value ( 1001 ) for parameter maxResults", []string{"Action", "DescribeTags", "MaxResults", "1001"}},
		{"InvalidParameterValue", "MaxResults", []string{"Action", "DescribeTags", "MaxResults", "99999999999999999999"}},
		{"InvalidParameterCombination", "maxResults", []string{"Action", "DescribeSnapshots", "MaxResults", "5", "SnapshotId.1", snap}},
		{"InvalidPaginationToken", "", []string{"Action", "DescribeSnapshots", "NextToken", "garbage!"}},
		{"InvalidPaginationToken", "", []string{"Action", "DescribeSnapshots", "NextToken", page{action: "DescribeTags"}.encode(1)}},
		{"InvalidParameterValue", "The filter 'tag:k' is invalid", []string{"Action", "DescribeSnapshotTierStatus", "Filter.1.Name", "tag:k", "Filter.1.Value.1", "v"}},
		{"InvalidParameterValue", "The filter 'tag:' is invalid", []string{"Action", "DescribeSnapshots", "Filter.1.Name", "tag:", "Filter.1.Value.1", "v"}},
		{"InvalidParameterValue", "The filter 'null' is invalid", []string{"Action", "DescribeSnapshots", "Filter.1.Value.1", "v"}},
		{"MissingParameter", "Filter.1.Value", []string{"Action", "DescribeSnapshots", "Filter.1.Name", "status"}},
		{"FilterLimitExceeded", "200", many(201, "Filter.1.Value.%d", "Action", "DescribeSnapshots", "Filter.1.Name", "status")},
		{"InvalidParameterValue", "more than 1000", many(1001, "SnapshotId.%d", "Action", "DescribeSnapshots")},

		{"MissingParameter", "ImportTaskId", []string{"Action", "CancelImportTask"}},
		{"InvalidConversionTaskId.Malformed", "not found", []string{"Action", "CancelImportTask", "ImportTaskId", task}},
		{"MissingParameter", "SnapshotId", []string{"Action", "DeleteSnapshot"}},
		{"InvalidSnapshot.NotFound", snap, []string{"Action", "DeleteSnapshot", "SnapshotId", snap}},
		{"InvalidParameterValue", "Expected: 'snap-...'", []string{"Action", "DeleteSnapshot", "SnapshotId", "ami-1"}},
		{"InvalidSnapshotID.Malformed", "snap-XYZ", []string{"Action", "DeleteSnapshot", "SnapshotId", "snap-XYZ"}},
		{"InvalidUserID.Malformed", "me", []string{"Action", "DescribeSnapshots", "Owner.1", "me"}},
		{"MissingParameter", "resourceIdSet", []string{"Action", "CreateTags", "Tag.1.Key", "k"}},
		{"MissingParameter", "tagSet", []string{"Action", "CreateTags", "ResourceId.1", snap}},
		{"InvalidParameterValue", "null or empty", []string{"Action", "CreateTags", "ResourceId.1", snap, "Tag.1.Value", "v"}},
		{"InvalidSnapshot.NotFound", snap, []string{"Action", "CreateTags", "ResourceId.1", snap, "Tag.1.Key", "k"}},
		{"InvalidID", task, []string{"Action", "CreateTags", "ResourceId.1", task, "Tag.1.Key", "k"}},
		{"InvalidParameterValue", "reserved", []string{"Action", "DeleteTags", "ResourceId.1", snap, "Tag.1.Key", "aws:k"}},
		{"MissingParameter", "StorageTier", []string{"Action", "ModifySnapshotTier", "SnapshotId", snap}},
		{"InvalidParameterValue", "archive", []string{"Action", "ModifySnapshotTier", "SnapshotId", snap, "StorageTier", "standard"}},
		{"InvalidSnapshot.NotFound", snap, []string{"Action", "ModifySnapshotTier", "SnapshotId", snap, "StorageTier", "archive"}},
		{"InvalidSnapshot.NotFound", snap, []string{"Action", "RestoreSnapshotTier", "SnapshotId", snap}},
		{"InvalidParameterValue", "not text", []string{"Action", "DescribeSnapshots", "NextToken", "\x00"}},
		{"InvalidParameterValue", "not text", imp("Description", "\xff")},
	} {
		name := tc.code + " " + tc.message
		status, body, _ := h.post(t, tc.pairs...)
		if status != 400 || !strings.Contains(body, "<Code>"+tc.code+"</Code>") || !strings.Contains(strings.ReplaceAll(body, "&#39;", "'"), tc.message) {
			t.Errorf("%s: %v\nstatus %d %s", name, tc.pairs, status, body)
		}
	}
	if _, err := os.Stat(h.config.DataDir); !os.IsNotExist(err) {
		t.Errorf("refused calls and describes made a data directory: %v", err)
	}
}

func manyTags(n int, pairs ...string) []string {
	for i := range n {
		pairs = append(pairs, fmt.Sprintf("TagSpecification.1.Tag.%d.Key", i+1), fmt.Sprint("k", i))
	}
	return pairs
}

// TestWireForms: GET and POST, any path, any content type; the Region from the signature's scope, in the header or a presigned query.
func TestWireForms(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.overLoopback(t)
	h.put(t, "disk.img", pattern(512, 1))
	scopeOf := func(region string) string {
		return "AWS4-HMAC-SHA256 Credential=AKID/20260101/" + region + "/ec2/aws4_request, SignedHeaders=host, Signature=x"
	}
	do := func(method, path, body string, header ...string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, h.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := h.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	if status, body := do("POST", "/", "Action=ImportSnapshot&Version=2016-11-15&DiskContainer.Url=s3%3A%2F%2Fimages%2Fdisk.img",
		"Authorization", scopeOf("ap-south-2")); status != 200 {
		t.Fatal(body)
	}
	for _, tc := range []struct {
		name, method, path, body string
		header                   []string
		found                    bool
	}{
		{"GET", "GET", "/?Action=DescribeImportSnapshotTasks", "", []string{"Authorization", scopeOf("ap-south-2")}, true},
		{"any path", "POST", "/some/where", "Action=DescribeImportSnapshotTasks", []string{"Authorization", scopeOf("ap-south-2")}, true},
		{"boto's content type", "POST", "/", "Action=DescribeImportSnapshotTasks",
			[]string{"Authorization", scopeOf("ap-south-2"), "Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}, true},
		{"presigned", "GET", "/?Action=DescribeImportSnapshotTasks&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=60&X-Amz-Signature=x&X-Amz-Credential=AKID%2F20260101%2Fap-south-2%2Fec2%2Faws4_request", "", nil, true},
		{"another Region", "GET", "/?Action=DescribeImportSnapshotTasks", "", []string{"Authorization", scopeOf("eu-west-1")}, false},
		{"unsigned", "GET", "/?Action=DescribeImportSnapshotTasks", "", nil, false},
	} {
		status, body := do(tc.method, tc.path, tc.body, tc.header...)
		if status != 200 || strings.Contains(body, "import-snap-") != tc.found {
			t.Errorf("%s: status %d %s", tc.name, status, body)
		}
	}
	if status, body := do("GET", "/?Action=DescribeSnapshots", "", "Authorization", scopeOf("no_where")); status != 401 || !strings.Contains(body, "AuthFailure") {
		t.Errorf("a Region that is none: %d %s", status, body)
	}
	if status, _ := do("PUT", "/?Action=DescribeSnapshots", ""); status != 405 {
		t.Errorf("PUT: %d", status)
	}
	if status, body := do("POST", "/", "Action=DescribeSnapshots&NextToken="+strings.Repeat("x", maxBody)); status != 400 || !strings.Contains(body, "larger than") {
		t.Errorf("a huge body: %d %.300s", status, body)
	}
	if status, body := do("POST", "/", "Action=%zz"); status != 400 || !strings.Contains(body, "MalformedQueryString") {
		t.Errorf("a malformed body: %d %s", status, body)
	}
	if status, body := do("POST", "/", "Action=DescribeTags&MaxResults=5&MaxResults=6"); status != 400 || !strings.Contains(body, "more than once") {
		t.Errorf("a parameter twice: %d %s", status, body)
	}
	form := url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}}
	if status, body := do("POST", "/", form.Encode(), "Authorization", scopeOf("cn-north-1")); status != 200 || !strings.Contains(body, "arn:aws-cn:iam::") {
		t.Errorf("identity in China: %d %s", status, body)
	}
}
