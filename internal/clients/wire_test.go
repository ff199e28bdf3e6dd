package clients

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	"github.com/google/go-cmp/cmp"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// call is one call as it went over the wire.
type call struct {
	Service string            `json:"service"`
	Form    url.Values        `json:"form"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    *string           `json:"body"` // nil: there was no answer
}

// seen is what botocore makes of a call.
type seen struct {
	Problems []string       `json:"problems"`
	Decoded  map[string]any `json:"decoded"`
	Error    *struct{ Code, Message string }
}

func (c call) String() string {
	body := "no answer"
	if c.Body != nil {
		body = *c.Body
	}
	return fmt.Sprintf("%s\n%d %s", c.Form.Encode(), c.Status, body)
}

// recording is the calls of many lives.
type recording struct {
	mu    sync.Mutex
	calls []call
}

const stsVersion = "2011-06-15"

func (r *recording) add(requests []*acctest.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, request := range requests {
		c := call{Service: "ec2", Form: request.Form, Headers: map[string]string{}}
		if request.Form.Get("Version") == stsVersion {
			c.Service = "sts"
		}
		if a := request.Answer; a != nil {
			c.Status, c.Body = a.Status, &a.Body
			for name := range a.Header {
				c.Headers[strings.ToLower(name)] = a.Header.Get(name)
			}
		}
		r.calls = append(r.calls, c)
	}
}

// TestWire: each request that the provider sends is one that AWS's own model of EC2 knows, by the names and the types of its parameters, and each
// answer of the endpoint is read alike by both SDKs, with nothing in it that the model does not have.
func TestWire(t *testing.T) {
	t.Parallel()
	acctest.ClientsPython(t)
	var all recording
	t.Run("lives", func(t *testing.T) {
		for name, life := range lives {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				life(t, &all)
			})
		}
	})
	actions, answers := map[string]int{}, map[string]int{}
	for n, s := range botocore(t, all.calls) {
		c := all.calls[n]
		actions[c.Form.Get("Action")]++
		answers[fmt.Sprint(c.Status)]++
		if len(s.Problems) > 0 {
			t.Errorf("botocore's model says: %s\n%s", strings.Join(s.Problems, "; "), c)
		}
		if c.Body != nil {
			sameInBoth(t, c, s)
		}
	}
	for _, action := range called(t) {
		if actions[action] == 0 {
			t.Errorf("the provider can call %s, and no life here made it", action)
		}
	}
	t.Logf("%d calls: %v, answered with %v", len(all.calls), actions, answers)
}

// TestWireFindsMistakes: what the check is for.
func TestWireFindsMistakes(t *testing.T) {
	t.Parallel()
	const answer = `<CreateTagsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><return>true</return></CreateTagsResponse>`
	const tasks = `<DescribeImportSnapshotTasksResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><importSnapshotTaskSet><item>` +
		`<snapshotTaskDetail>%s</snapshotTaskDetail></item></importSnapshotTaskSet></DescribeImportSnapshotTasksResponse>`
	tests := map[string]struct {
		form   string
		status int
		answer string
		want   string
	}{
		"misspelt":           {"Action=ImportSnapshot&DiskContainer.URL=s3://a/b", 0, "", "DiskContainer.URL is unknown to ImportSnapshot"},
		"no such action":     {"Action=ImportSnapshots", 0, "", "there is no operation ImportSnapshots"},
		"singular":           {"Action=DescribeImportSnapshotTasks&Filter.1.Name=task-state", 0, "", "Filter.1.Name is unknown to DescribeImportSnapshotTasks"},
		"plural":             {"Action=DescribeSnapshots&Filters.1.Name=status", 0, "", "Filters.1.Name is unknown to DescribeSnapshots"},
		"member.N":           {"Action=DescribeSnapshots&SnapshotId.member.1=snap-1", 0, "", "SnapshotId.member.1 is unknown to DescribeSnapshots"},
		"numbered from 0":    {"Action=DescribeSnapshots&SnapshotId.0=snap-1", 0, "", "SnapshotId is numbered ['0'], not from 1 on"},
		"boolean":            {"Action=ImportSnapshot&Encrypted=True", 0, "", "Encrypted: 'True' is no boolean"},
		"integer":            {"Action=DescribeSnapshots&MaxResults=5.0", 0, "", "MaxResults: '5.0' is no integer"},
		"double":             {"Action=ImportSnapshot&ClientData.UploadSize=1,5", 0, "", "ClientData.UploadSize: '1,5' is no double"},
		"time":               {"Action=ImportSnapshot&ClientData.UploadStart=2026-01-01T12:00:00%2B01:00", 0, "", "'2026-01-01T12:00:00+01:00' is no timestamp"},
		"enum":               {"Action=ModifySnapshotTier&SnapshotId=snap-1&StorageTier=standard", 0, "", "StorageTier: 'standard' is none of ['archive']"},
		"resource type":      {"Action=ImportSnapshot&TagSpecification.1.ResourceType=task", 0, "", "'task' is none of"},
		"missing":            {"Action=DeleteSnapshot", 0, "", "SnapshotId is missing"},
		"twice":              {"Action=DeleteSnapshot&SnapshotId=a&SnapshotId=b", 0, "", "SnapshotId is there 2 times"},
		"a good answer":      {"Action=CreateTags&ResourceId.1=a&Tag.1.Key=k&Tag.1.Value=", 200, answer, ""},
		"another root":       {"Action=CreateTags&ResourceId.1=a&Tag.1.Key=k", 200, strings.ReplaceAll(answer, "CreateTags", "DeleteTags"), "not CreateTagsResponse"},
		"no id":              {"Action=CreateTags&ResourceId.1=a&Tag.1.Key=k", 200, strings.ReplaceAll(answer, "requestId", "RequestId"), "no requestId"},
		"namespace":          {"Action=CreateTags&ResourceId.1=a&Tag.1.Key=k", 200, strings.ReplaceAll(answer, "2016-11-15", "2014-10-01"), "is not in {http://ec2"},
		"a good detail":      {"Action=DescribeImportSnapshotTasks", 200, fmt.Sprintf(tasks, "<diskImageSize>3.1E9</diskImageSize><snapshotId/>"), ""},
		"an unknown element": {"Action=DescribeImportSnapshotTasks", 200, fmt.Sprintf(tasks, "<state>a</state>"), "state is unknown to SnapshotTaskDetail"},
		"an empty number":    {"Action=DescribeImportSnapshotTasks", 200, fmt.Sprintf(tasks, "<diskImageSize/>"), "'' is no double"},
		"an odd boolean":     {"Action=DescribeImportSnapshotTasks", 200, fmt.Sprintf(tasks, "<encrypted>yes</encrypted>"), "'yes' is no boolean"},
		"an odd enum": {
			"Action=DescribeSnapshots", 200, strings.NewReplacer("ImportSnapshotTasks", "Snapshots", "importSnapshotTaskSet", "snapshotSet").Replace(
				strings.NewReplacer("<snapshotTaskDetail>", "", "</snapshotTaskDetail>", "").Replace(fmt.Sprintf(tasks, "<status>done</status>"))), "'done' is none of",
		},
		"an odd error": {"Action=DeleteSnapshot&SnapshotId=a", 400, "<Response><Error><Code>C</Code></Error><RequestID>r</RequestID></Response>", "the error is Response of"},
	}
	names := slices.Sorted(maps.Keys(tests))
	var calls []call
	for _, name := range names {
		test := tests[name]
		form, err := url.ParseQuery(test.form + "&Version=2016-11-15")
		if err != nil {
			t.Fatal(err)
		}
		c := call{Service: "ec2", Form: form, Status: test.status, Headers: map[string]string{}}
		if test.answer != "" {
			c.Body = &test.answer
		}
		calls = append(calls, c)
	}
	for n, s := range botocore(t, calls) {
		found, want := strings.Join(s.Problems, "; "), tests[names[n]].want
		if want == "" && found != "" || !strings.Contains(found, want) {
			t.Errorf("%s: the check says %q, want %q", names[n], found, want)
		}
	}
}

// botocore is what botocore makes of calls, in their order.
func botocore(t *testing.T, calls []call) []seen {
	t.Helper()
	script, err := filepath.Abs(filepath.Join("testdata", "wire.py"))
	if err != nil {
		t.Fatal(err)
	}
	in, err := json.Marshal(calls)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), acctest.ClientsPython(t), script)
	cmd.Env, cmd.Dir, cmd.Stdin = append(cleanEnvironment(), "PYTHONUTF8=1"), t.TempDir(), bytes.NewReader(in)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	printed, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var all []seen
	if err := json.Unmarshal(printed, &all); err != nil || len(all) != len(calls) {
		t.Fatalf("%d of %d calls: %v", len(all), len(calls), err)
	}
	return all
}

// called are the actions of EC2 and STS that the provider has code for: each names the type of its input. Who GetCallerIdentity is asked by is
// aws-sdk-go-base.
func called(t *testing.T) []string {
	t.Helper()
	actions := map[string]bool{"GetCallerIdentity": true}
	input := regexp.MustCompile(`\b(?:ec2|sts)\.(\w+)Input\b`)
	for _, dir := range []string{"provider", "importtask", "awsclient"} {
		files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			source, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range input.FindAllSubmatch(source, -1) {
				actions[string(m[1])] = true
			}
		}
	}
	if len(actions) < 10 {
		t.Errorf("the provider calls no more than %v?", actions)
	}
	return slices.Sorted(maps.Keys(actions))
}

// sameInBoth gives the answer to Go's SDK, and compares all that it decodes with what botocore did.
func sameInBoth(t *testing.T, c call, s seen) {
	t.Helper()
	out, err := goSDK(t, c)
	if c.Status >= 300 {
		api, is := errors.AsType[smithy.APIError](err)
		if !is || s.Error == nil || api.ErrorCode() != s.Error.Code || api.ErrorMessage() != s.Error.Message || s.Error.Code == "" {
			t.Errorf("botocore reads the error as %v, Go's SDK as %v\n%s", s.Error, err, c)
		}
		return
	}
	if err != nil {
		t.Errorf("Go's SDK cannot read what botocore can: %v\n%s", err, c)
		return
	}
	if diff := cmp.Diff(bare(s.Decoded), bare(out)); diff != "" {
		t.Errorf("botocore (-) and Go's SDK (+) read differently\n%s\n%s", diff, c)
	}
}

// goSDK is what Go's SDK decodes of an answer, as JSON has it. The request does not matter, and is not validated.
func goSDK(t *testing.T, c call) (map[string]any, error) {
	canned := canned{c}
	anything := func(stack *middleware.Stack) error {
		_, _ = stack.Initialize.Remove("OperationInputValidation") // some operations have none
		return nil
	}
	var client reflect.Value
	if c.Service == "sts" {
		client = reflect.ValueOf(sts.New(sts.Options{
			Region: region, HTTPClient: canned, Credentials: aws.AnonymousCredentials{}, RetryMaxAttempts: 1,
			APIOptions: []func(*middleware.Stack) error{anything},
		}))
	} else {
		client = reflect.ValueOf(ec2.New(ec2.Options{
			Region: region, HTTPClient: canned, Credentials: aws.AnonymousCredentials{}, RetryMaxAttempts: 1,
			APIOptions: []func(*middleware.Stack) error{anything},
		}))
	}
	method := client.MethodByName(c.Form.Get("Action"))
	if !method.IsValid() {
		return nil, fmt.Errorf("no operation %s", c.Form.Get("Action"))
	}
	results := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), reflect.New(method.Type().In(1).Elem())})
	if err, failed := results[1].Interface().(error); failed {
		return nil, err
	}
	encoded, err := json.Marshal(results[0].Interface())
	if err != nil {
		return nil, err
	}
	var out map[string]any
	return out, json.Unmarshal(encoded, &out)
}

// canned answers every call with the one that was recorded.
type canned struct{ call }

func (c canned) Do(r *http.Request) (*http.Response, error) {
	header := http.Header{}
	for name, value := range c.Headers {
		header.Set(name, value)
	}
	return &http.Response{
		StatusCode: c.Status, Status: http.StatusText(c.Status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header,
		Body: io.NopCloser(strings.NewReader(*c.Body)), Request: r,
	}, nil
}

// bare takes away what says nothing (the SDKs differ in how they say nothing) and writes times in one way.
func bare(v any) any {
	switch v := v.(type) {
	case map[string]any:
		kept := map[string]any{}
		for name, inner := range v {
			if inner = bare(inner); inner != nil && name != "ResultMetadata" {
				kept[name] = inner
			}
		}
		if len(kept) == 0 {
			return nil
		}
		return kept
	case []any:
		var kept []any
		for _, inner := range v {
			kept = append(kept, bare(inner))
		}
		if len(kept) == 0 {
			return nil
		}
		return kept
	case string:
		if v == "" {
			return nil
		}
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return at.UTC().Format(time.RFC3339Nano)
		}
		return v
	default:
		return v
	}
}
