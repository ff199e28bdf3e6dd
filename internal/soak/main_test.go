// Package soak holds no code, only tests of what the provider promises over many combinations, at the level of the protocol and over real
// connections: no drift whatever is configured, and nothing lost, leaked or imported twice whatever goes wrong, and when.
package soak

import (
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

func TestMain(m *testing.M) {
	acctest.Isolate()
	os.Exit(m.Run())
}

const here = "us-east-1"

// atOnce is how many scenarios run at a time: they wait for polls more than for the processor, but on a busy one they would not end in their time.
var atOnce = min(48, 12*runtime.GOMAXPROCS(0))

// together runs cases atOnce, each under its name, until all are done or the time is over. It returns how many ran.
func together[C any](t *testing.T, until time.Time, cases []C, name func(C) string, run func(t *testing.T, c C)) int {
	t.Helper()
	next := make(chan C)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for c := range next {
				t.Run(name(c), func(t *testing.T) { run(t, c) })
			}
		})
	}
	ran := 0
	for _, c := range cases {
		if !until.IsZero() && time.Now().After(until) {
			break
		}
		next <- c
		ran++
	}
	close(next)
	workers.Wait()
	return ran
}

// seeded is randomness that repeats.
func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 10)) }

// disk is the content of the disk: two places with data in 256 KiB.
var disk = sync.OnceValue(func() []byte {
	raw := make([]byte, 256<<10)
	copy(raw, "a disk of the soak")
	copy(raw[128<<10:], strings.Repeat("middle ", 73))
	return raw
})

var vmdk = sync.OnceValue(func() []byte { return testimage.StreamOptimized(testimage.GDAtEnd, disk()) })

// newEC2 is an endpoint with one disk in two formats.
func newEC2(t *testing.T, c *configuration, taskDuration time.Duration) *acctest.EC2 {
	t.Helper()
	if acctest.Chosen() == "local" {
		t.Skip("calls are disturbed on their way to an endpoint, and the one in the provider's process has none")
	}
	e := acctest.NewEC2(t, func(config *localec2.Config) {
		config.Simulate.TaskDuration = taskDuration
		config.Simulate.EncryptionByDefault = c.encrypts
	})
	e.Put(t, "disk.vmdk", vmdk())
	e.Put(t, "disk.raw", disk())
	return e
}

// hold shows every task as a running one until the hook is taken away: what depends on a task that runs must not depend on how fast this machine is.
func hold(e *acctest.EC2) {
	e.On("DescribeImportSnapshotTasks", acctest.Rewrite(func(body string) string {
		body = strings.ReplaceAll(body, "<status>completed</status>", "<status>active</status>")
		return madeSnapshot.ReplaceAllString(body, "<snapshotId></snapshotId>")
	}))
}

var madeSnapshot = regexp.MustCompile(`<snapshotId>snap-[0-9a-f]+</snapshotId>`)

// nothingLeft checks that EC2 has no snapshot and no running task.
func nothingLeft(t *testing.T, e *acctest.EC2) {
	t.Helper()
	if n := e.Snapshots(t, here); n != 0 {
		t.Errorf("%d snapshots are left that no state knows", n)
	}
	if n := e.Count(t, "DescribeImportSnapshotTasks", here, "<status>active</status>"); n != 0 {
		t.Errorf("%d tasks run that no state knows", n)
	}
}
