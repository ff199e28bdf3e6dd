package localec2

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// sleep lets the bubble's clock run.
func sleep(d time.Duration) { <-time.After(d) }

// TestSimulatedDuration: an hour counts from the task's creation, across endpoints, and the progress is paced over it.
func TestSimulatedDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, func(c *Config) { c.Simulate.TaskDuration = time.Hour })
		data := pattern(1<<20, 1)
		h.put(t, "disk.img", data)
		id := h.importKey(t, "disk.img")
		last := -1
		for minute := 10; minute <= 20; minute += 10 {
			sleep(10 * time.Minute)
			d := h.describe(t, id)
			progress, err := strconv.Atoi(*d.Progress)
			if err != nil || *d.Status != statusActive || progress <= last || progress > minute*100/60 {
				t.Errorf("after %d minutes: %s, progress %s", minute, *d.Status, *d.Progress)
			}
			last = progress
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		if got := h.files(t); len(got) != 0 {
			t.Errorf("left by Close: %v", got)
		}
		sleep(30 * time.Minute)

		next := &host{Endpoint: New(Config{DataDir: h.config.DataDir, AccountID: testAccount, Images: h.config.Images, Strict: true})}
		next.inProcess()
		defer next.Close()
		for range 2 { // idempotent
			if err := next.Resume(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		sleep(10*time.Minute - time.Second)
		if d := next.describe(t, id); *d.Status != statusActive {
			t.Errorf("a second before the hour: %s", *d.Status)
		}
		sleep(time.Second)
		synctest.Wait()
		d := next.describe(t, id)
		if *d.Status != statusCompleted {
			t.Fatalf("after the hour: %s", *d.Status)
		}
		next.wantVolume(t, *d.SnapshotId, data)
	})
}

func TestSimulatedFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, func(c *Config) {
			c.Simulate = Simulate{TaskDuration: 10 * time.Minute, FailWith: "ClientError: so be it"}
		})
		h.put(t, "disk.img", pattern(4096, 1))
		id := h.importKey(t, "disk.img")
		sleep(10*time.Minute - 1)
		synctest.Wait()
		if d := h.describe(t, id); *d.Status != statusActive {
			t.Errorf("before the time: %s", *d.Status)
		}
		sleep(1)
		synctest.Wait()
		if d := h.describe(t, id); *d.Status != statusDeleted || *d.StatusMessage != "ClientError: so be it" || d.SnapshotId != nil {
			t.Errorf("after the time: %s %s", *d.Status, aws.ToString(d.StatusMessage))
		}
	})
}

// TestSimulatedEncryptionByDefault is P2.
func TestSimulatedEncryptionByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, func(c *Config) { c.Simulate.EncryptionByDefault = true })
		h.put(t, "disk.img", pattern(4096, 1))
		in := importInput("disk.img")
		in.Encrypted = aws.Bool(false)
		out, err := h.ec2.ImportSnapshot(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		id := h.describe(t, *out.ImportTaskId).SnapshotId
		sn, err := h.ec2.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{*id}})
		if err != nil {
			t.Fatal(err)
		}
		want, _ := scope{testAccount, "us-east-1"}.kmsKeyARN(defaultKey)
		if !*sn.Snapshots[0].Encrypted || *sn.Snapshots[0].KmsKeyId != want {
			t.Errorf("encrypted %v with %v", *sn.Snapshots[0].Encrypted, sn.Snapshots[0].KmsKeyId)
		}
	})
}
