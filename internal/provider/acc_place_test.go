package provider_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
)

// place is where a test imports that disturbs nothing: the backend that the tests were told to run over, or an EC2 that sees every call.
type place struct {
	*acctest.Site
	ec2 *acctest.EC2 // nil where nobody sees the calls
}

// newPlace is a place with disk.vmdk and disk.raw in its bucket.
func newPlace(t *testing.T, change ...func(*localec2.Config)) *place {
	t.Helper()
	if acctest.Chosen() == "" {
		e := newEC2(t, change...)
		return &place{e.Site, e}
	}
	return &place{Site: newSite(t, change...)}
}

// newSite is the backend under test, with the same objects.
func newSite(t *testing.T, change ...func(*localec2.Config)) *acctest.Site {
	t.Helper()
	s := acctest.NewSite(t, change...)
	s.Put(t, "disk.vmdk", vmdk())
	s.Put(t, "disk.raw", disk())
	return s
}

// newEC2 is an endpoint with disk.vmdk and disk.raw in its bucket.
func newEC2(t *testing.T, change ...func(*localec2.Config)) *acctest.EC2 {
	t.Helper()
	if acctest.Chosen() == "local" {
		t.Skip("calls are seen and disturbed on their way to an endpoint, and the one in the provider's process has none")
	}
	e := acctest.NewEC2(t, change...)
	e.Put(t, "disk.vmdk", vmdk())
	e.Put(t, "disk.raw", disk())
	return e
}

// Provider is the provider block that leads there.
func (p *place) Provider(block string) string {
	if p.ec2 != nil {
		return p.ec2.Provider(block)
	}
	return p.Site.Provider(block)
}

// SeesImages says whether the provider can look at the images.
func (p *place) SeesImages() bool { return p.ec2 != nil || p.Site.SeesImages() }

// forget begins the record of the calls anew.
func (p *place) forget() {
	if p.ec2 != nil {
		p.ec2.Forget()
	}
}

// called compares the calls that change something with what was expected, where somebody sees them.
func (p *place) called(want string) error {
	if p.ec2 == nil {
		return nil
	}
	if got := strings.Join(p.ec2.Changes(), " "); got != want {
		return fmt.Errorf("the calls were %q, want %q", got, want)
	}
	return nil
}

// tasks checks how many imports there ever were.
func (p *place) tasks(t *testing.T, want int, regions ...string) resource.TestCheckFunc {
	return func(*terraform.State) error {
		got := 0
		for _, region := range append(regions, here) {
			got += p.Tasks(t, region)
		}
		if got != want {
			return fmt.Errorf("there were %d imports, want %d", got, want)
		}
		return nil
	}
}

// backend is what both of them tell of what is left.
type backend interface {
	Snapshots(t *testing.T, region string) int
	Count(t *testing.T, action, region, text string) int
}

// nothingLeft checks that a destroy has left no snapshot and no task that runs.
func nothingLeft(t *testing.T, b backend, regions ...string) resource.TestCheckFunc {
	return func(*terraform.State) error {
		for _, region := range append(regions, here) {
			if n := b.Snapshots(t, region); n != 0 {
				return fmt.Errorf("%d snapshots are left in %s", n, region)
			}
			if n := b.Count(t, "DescribeImportSnapshotTasks", region, "<status>active"); n != 0 {
				return fmt.Errorf("%d tasks still run in %s", n, region)
			}
		}
		return nil
	}
}

// sound checks that the snapshot in the state has these bytes, wherever its volume is, and that the state says so where it can.
func sound(s *acctest.Site, want []byte) resource.TestCheckFunc {
	return func(state *terraform.State) error {
		r, ok := state.RootModule().Resources[address]
		if !ok {
			return fmt.Errorf("%s is not in the state", address)
		}
		path, sum := r.Primary.Attributes["volume_path"], r.Primary.Attributes["volume_sha256"]
		volume := s.Volume(r.Primary.Attributes["snapshot_id"])
		switch {
		case s.InProcess() && (path != volume || sum != sha256Of(want)):
			return fmt.Errorf("volume_path is %q with SHA-256 %q, want %q with %s", path, sum, volume, sha256Of(want))
		case !s.InProcess() && path+sum != "":
			return fmt.Errorf("volume_path is %q and volume_sha256 %q, want both null: the file is not this machine's", path, sum)
		}
		return sameBytes(volume, want)
	}
}

func checksum(c *localec2.Config) { c.Checksum = true }

// newLocal is a local backend with disk.vmdk and disk.raw in its directory, for what is about `local` alone.
func newLocal(t *testing.T) acctest.Local {
	t.Helper()
	l := acctest.NewLocal(t)
	l.Put(t, "disk.vmdk", vmdk())
	l.Put(t, "disk.raw", disk())
	return l
}

// onlyLocal skips what is about the endpoint in the provider's process where another backend is under test.
func onlyLocal(t *testing.T, why string) {
	t.Helper()
	if acctest.Chosen() == "serve" {
		t.Skipf("not over serve: %s", why)
	}
}

// onlyOnce skips what is the same over every backend where one is chosen: the run without one has it.
func onlyOnce(t *testing.T) {
	t.Helper()
	if acctest.Chosen() != "" {
		t.Skip("the same over every backend: runs without EC2_ACC_BACKEND (make test-acc)")
	}
}
