package localec2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// loadFor is how long TestLoad lasts. EC2_LOAD=1m is what one should see once before a release.
func loadFor(t *testing.T) time.Duration {
	text := os.Getenv("EC2_LOAD")
	if text == "" {
		return 5 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second {
		t.Fatalf("EC2_LOAD=%s: a duration from 1s is wanted", text)
	}
	return d
}

const (
	loadClients = 64

	// What may be left over between two looks is noise of the runtime and of caches that fill; were a byte kept for each request, it would be more.
	loadHeap     = 256 << 10
	loadResident = 64 << 20
)

// TestLoad lets many clients do all that clients do, and what they should not, at once. Every answer must be a right one, every volume whole, and
// the process as small at the end as after the first quarter.
func TestLoad(t *testing.T) {
	long := loadFor(t)
	httptest.NewServer(http.NotFoundHandler()).Close() // what the runtime opens for its first socket stays open
	base := look()
	h := newHost(t, func(c *Config) { c.Log = nil }) // what it says of thousands of refusals helps nobody
	server := httptest.NewServer(h)
	defer server.Close()
	transport := &http.Transport{MaxIdleConnsPerHost: loadClients}
	h.connect(&http.Client{Transport: transport}, server.URL)
	images := map[string][]byte{"a.img": pattern(64<<10, 1), "dir/b.img": pattern(200<<10, 2), "c.img": pattern(512, 3)}
	for key, data := range images {
		h.put(t, key, data)
	}
	h.put(t, "bad.vmdk", append([]byte("KDMV"), pattern(4096, 4)...))
	s := &load{host: h, images: images, forms: h.smallForms()}

	var running sync.WaitGroup
	ctx, end := context.WithCancel(t.Context())
	clients := make([]*loadClient, loadClients)
	for i := range clients {
		c := &loadClient{load: s, t: t, rand: rand.New(rand.NewPCG(uint64(i), 1)), authorization: fmt.Sprintf( //nolint:gosec // repeatable on purpose
			"AWS4-HMAC-SHA256 Credential=%012d/20260101/%s/ec2/aws4_request, SignedHeaders=host, Signature=0", i%4+1, []string{"us-east-1", "eu-west-1"}[i/4%2])}
		clients[i] = c
		running.Go(func() {
			for ctx.Err() == nil && !t.Failed() {
				c.act()
			}
		})
	}
	var looks []sizes
	var requests []int64
	for range 4 {
		timer := time.NewTimer(long / 4)
		<-timer.C
		s.gate.Lock()
		eventually(t, func() bool { return h.idle() })
		looks, requests = append(looks, look()), append(requests, s.requests.Load())
		s.gate.Unlock()
		t.Logf("after %d requests, %d imports: %v", requests[len(requests)-1], s.imports.Load(), looks[len(looks)-1])
	}
	end()
	running.Wait()
	first, last := looks[0], looks[3]
	if grown := last.heap - first.heap; grown > loadHeap {
		t.Errorf("the heap grew by %d bytes in %d requests", grown, requests[3]-requests[0])
	}
	if grown := last.resident - first.resident; grown > loadResident {
		t.Errorf("the process grew by %d bytes in %d requests", grown, requests[3]-requests[0])
	}
	if last.goroutines > first.goroutines+loadClients || last.files > first.files+loadClients {
		t.Errorf("from %v to %v", first, last)
	}
	for _, c := range clients {
		c.clear()
	}
	eventually(t, func() bool { return h.idle() })
	if left := h.files(t); len(left) > 0 && !t.Failed() {
		t.Errorf("%d files are left: %v", len(left), left[:min(5, len(left))])
	}
	transport.CloseIdleConnections()
	server.Close()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	now := look()
	for try := 0; try < 100 && (now.goroutines > base.goroutines || now.files > base.files); try++ { // connections take a moment to be gone
		timer := time.NewTimer(50 * time.Millisecond)
		<-timer.C
		now = look()
	}
	t.Logf("at first %v, in the end %v", base, now)
	if now.goroutines > base.goroutines || now.files > base.files {
		stacks := make([]byte, 64<<10)
		t.Errorf("something is left:\n%s", stacks[:runtime.Stack(stacks, true)])
	}
}

// sizes are what a process holds.
type sizes struct {
	heap, resident    int64
	goroutines, files int
}

func (s sizes) String() string {
	return fmt.Sprintf("heap %d KiB, resident %d KiB, %d goroutines, %d files", s.heap>>10, s.resident>>10, s.goroutines, s.files)
}

// look measures what is left when all garbage is gone. Where there is no /proc, two of the numbers are 0.
func look() sizes {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s := sizes{heap: int64(m.HeapAlloc), goroutines: runtime.NumGoroutine()}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		s.files = len(open)
	}
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		pages, _ := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
		s.resident = pages * int64(os.Getpagesize())
	}
	return s
}

// idle says that no import is under way.
func (h *host) idle() bool {
	h.workers.mu.Lock()
	defer h.workers.mu.Unlock()
	return len(h.workers.jobs) == 0
}

// smallForms are the hostile forms that a client can send often and over any transport.
func (h *host) smallForms() (forms []form) {
	for _, f := range hostileForms("snap-0123456789abcdef0", "import-snap-0123456789abcdef0") {
		if f.code != "" && len(f.body) < 20_000 && (f.method == "" || f.method == http.MethodPut) {
			forms = append(forms, f)
		}
	}
	return forms
}

// load is what the clients share.
type load struct {
	*host
	images            map[string][]byte
	forms             []form
	gate              sync.RWMutex // locked: no one acts
	requests, imports atomic.Int64
}

// loadClient is one client with the imports and snapshots that it made and has not deleted.
type loadClient struct {
	*load
	t             *testing.T
	rand          *rand.Rand
	authorization string
	tasks         map[string]string // id -> key
	snapshots     []string
}

// act does one thing that clients do.
func (c *loadClient) act() {
	c.gate.RLock()
	defer c.gate.RUnlock()
	switch n := c.rand.IntN(100); {
	case n < 25:
		c.follow()
	case n < 40 && len(c.tasks) < 3 && len(c.snapshots) < 3:
		c.start()
	case n < 45:
		c.cancel()
	case n < 60:
		c.pages()
	case n < 70:
		c.tag()
	case n < 78:
		c.delete()
	case n < 90:
		f := c.forms[c.rand.IntN(len(c.forms))]
		c.send(c.t.Context(), f.method, f.header, f.body, "InvalidSnapshot.NotFound|InvalidConversionTaskId.Malformed|InvalidID|"+f.code)
	case n < 95:
		c.send(c.t.Context(), "", "", "Action=GetCallerIdentity&Version=2011-06-15", "")
	default: // a client that does not wait for the answer
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Duration(c.rand.IntN(3000))*time.Microsecond)
		defer cancel()
		c.send(ctx, "", "", "Action=DescribeSnapshots&MaxResults=5", "gone")
	}
}

// call sends a form, and fails the test where the code is none of those, "" for success.
func (c *loadClient) call(codes string, pairs ...string) string {
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return c.send(c.t.Context(), "", "", form.Encode(), codes)
}

func (c *loadClient) send(ctx context.Context, method, header, body, codes string) string {
	if method == "" {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(ctx, method, c.url, strings.NewReader(body))
	if err != nil {
		c.t.Error(err)
		return ""
	}
	r.Header.Set("Authorization", c.authorization)
	if name, value, ok := strings.Cut(header, ": "); ok {
		r.Header.Set(name, value)
	}
	c.requests.Add(1)
	res, err := c.http.Do(r)
	var answer []byte
	if err == nil {
		answer, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
	}
	if codes == "gone" && (err == nil || errors.Is(err, context.DeadlineExceeded)) {
		return ""
	}
	if err != nil {
		c.t.Error(err)
		return ""
	}
	code, err := wellFormed(res.StatusCode, res.Header, answer)
	if err != nil || !slices.Contains(strings.Split(codes, "|"), code) {
		c.t.Errorf("%s %.300q: %q, want one of %q: %v\n%.1000s", method, body, code, codes, err, answer)
	}
	return string(answer)
}

var (
	loadTask     = regexp.MustCompile(`<importTaskId>(import-snap-[0-9a-f]{17})<`)
	loadSnapshot = regexp.MustCompile(`<snapshotId>(snap-[0-9a-f]{17})<`)
	loadToken    = regexp.MustCompile(`<nextToken>([^<]+)<`)
)

func (c *loadClient) start() {
	keys := []string{"a.img", "dir/b.img", "c.img", "bad.vmdk"}
	key := keys[c.rand.IntN(len(keys))]
	pairs := []string{"Action", "ImportSnapshot", "ClientToken", strconv.FormatUint(c.rand.Uint64(), 36), "DiskContainer.Url", "s3://images/" + key,
		"TagSpecification.1.ResourceType", taskResourceType, "TagSpecification.1.Tag.1.Key", "k", "TagSpecification.1.Tag.1.Value", key}
	answer := c.call("", pairs...)
	m := loadTask.FindStringSubmatch(answer)
	if m == nil {
		c.t.Errorf("no task in %s", answer)
		return
	}
	if again := c.call("", pairs...); !strings.Contains(again, m[1]) {
		c.t.Errorf("the same token gave another task: %s", again)
	}
	if c.tasks == nil {
		c.tasks = map[string]string{}
	}
	c.tasks[m[1]] = key
	c.imports.Add(1)
}

// follow asks for an import, and looks at what it has become.
func (c *loadClient) follow() {
	for id, key := range c.tasks {
		answer := c.call("", "Action", "DescribeImportSnapshotTasks", "ImportTaskId.1", id)
		switch {
		case strings.Contains(answer, "<status>completed<"):
			snapshot := loadSnapshot.FindStringSubmatch(answer)
			delete(c.tasks, id)
			if snapshot == nil {
				c.t.Errorf("completed without a snapshot: %s", answer)
				return
			}
			c.snapshots = append(c.snapshots, snapshot[1])
			volume, err := os.ReadFile(filepath.Join(c.config.DataDir, volumesDir, snapshot[1]+volumeSuffix))
			if err != nil || !bytes.Equal(volume, c.images[key]) {
				c.t.Errorf("the volume of %s is not %s: %d bytes, %v", snapshot[1], key, len(volume), err)
			}
		case strings.Contains(answer, "<status>deleted<"):
			delete(c.tasks, id)
			if key != "bad.vmdk" && !strings.Contains(answer, "enough") {
				c.t.Errorf("%s was refused: %s", key, answer)
			}
		}
		return
	}
}

func (c *loadClient) cancel() {
	for id := range c.tasks {
		c.call("|InvalidParameter", "Action", "CancelImportTask", "ImportTaskId", id, "CancelReason", "enough")
		return
	}
}

// pages walks over the first pages of a list that others are changing.
func (c *loadClient) pages() {
	lists := [][]string{
		{"Action", "DescribeImportSnapshotTasks", "Filters.1.Name", "tag:k", "Filters.1.Value.1", "*.img", "MaxResults", "3"},
		{"Action", "DescribeImportSnapshotTasks", "Filters.1.Name", "task-state", "Filters.1.Value.1", "active", "MaxResults", "2"},
		{"Action", "DescribeSnapshots", "Owner.1", "self", "Filter.1.Name", "description", "Filter.1.Value.1", "*import-snap-?*", "MaxResults", "5"},
		{"Action", "DescribeTags", "Filter.1.Name", "key", "Filter.1.Value.1", "k", "MaxResults", "5"},
		{"Action", "DescribeSnapshotTierStatus", "MaxResults", "5"},
	}
	list := lists[c.rand.IntN(len(lists))]
	for range 3 {
		m := loadToken.FindStringSubmatch(c.call("", list...))
		if m == nil {
			return
		}
		list = append(slices.Clip(list), "NextToken", m[1])
	}
}

func (c *loadClient) tag() {
	if len(c.snapshots) == 0 {
		return
	}
	id := c.snapshots[c.rand.IntN(len(c.snapshots))]
	c.call("", "Action", "CreateTags", "ResourceId.1", id, "Tag.1.Key", "k", "Tag.1.Value", "v", "Tag.2.Key", "l")
	if answer := c.call("", "Action", "DescribeSnapshots", "SnapshotId.1", id, "Filter.1.Name", "tag:k", "Filter.1.Value.1", "v"); !strings.Contains(answer, id) {
		c.t.Errorf("%s is not found by its tag: %s", id, answer)
	}
	c.call("", "Action", "DeleteTags", "ResourceId.1", id, "Tag.1.Key", "l")
}

func (c *loadClient) delete() {
	if len(c.snapshots) == 0 {
		return
	}
	id := c.snapshots[0]
	c.snapshots = c.snapshots[1:]
	c.call("", "Action", "DeleteSnapshot", "SnapshotId", id)
	c.call("InvalidSnapshot.NotFound", "Action", "DescribeSnapshots", "SnapshotId.1", id)
}

// clear ends and deletes all that is left of this client.
func (c *loadClient) clear() {
	eventually(c.t, func() bool {
		c.follow()
		return len(c.tasks) == 0 || c.t.Failed()
	})
	for len(c.snapshots) > 0 {
		c.delete()
	}
}
