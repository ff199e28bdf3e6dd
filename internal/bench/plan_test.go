package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// TestPlans measures plans of resources that are in the state, through the real CLI, and the apply that brought them there.
func TestPlans(t *testing.T) {
	measured(t)
	binary := acctest.Binary(t)
	t.Logf("%9s  %-28s %9s %18s %10s", "resources", "", "wall", "provider's memory", "EC2 calls")
	for _, n := range []int{1, 100, 1000} {
		e := newEndpoint(t, 0)
		w := acctest.NewWork(t, binary)
		w.Write("main.tf", fmt.Sprintf(`terraform {
  required_providers {
    ec2 = { source = "ec2-import-snapshot/ec2" }
  }
}
provider "ec2" {
  region                  = %q
  access_key              = %q
  secret_key              = "test"
  skip_metadata_api_check = true
  endpoints {
    ec2 = %q
    sts = %q
  }
}
resource "ec2_import_snapshot" "disk" {
  count          = %d
  disk_container = { url = "s3://images/disk.raw", format = "RAW" }
  description    = "disk ${count.index}"
  tags           = { Name = "disk-${count.index}" }
}
`, region, account, e.url, e.url, n))
		for _, step := range []struct {
			what string
			runs int
			args []string
		}{
			{"apply -parallelism=500", 1, []string{"apply", "-auto-approve", "-parallelism=500"}},
			{"plan", 3, []string{"plan", "-detailed-exitcode"}},
			{"plan -refresh=false", 3, []string{"plan", "-detailed-exitcode", "-refresh=false"}},
		} {
			var all []cost
			calls := 0
			for range step.runs {
				e.taken()
				watched := watch(func(exe, _ string) bool { return exe == binary })
				began := time.Now()
				w.Run(0, step.args...) // a plan that is not empty exits with 2
				all = append(all, cost{wall: time.Since(began), memory: watched()})
				calls = inAll(e.taken())
			}
			c := median(all)
			t.Logf("%9d  %-28s %9s %18s %10d", n, step.what, c.wall.Round(10*time.Millisecond), mib(c.memory), calls)
		}
	}
}
