package provider_test

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

func TestMain(m *testing.M) {
	acctest.Isolate()
	flag.Parse()
	if run := flag.Lookup("test.run"); acctest.OnAWS() && !strings.HasPrefix(strings.TrimPrefix(run.Value.String(), "^"), "TestAccAWS") {
		fmt.Fprintln(os.Stderr, "EC2_ACC_AWS=1: TestAccAWS runs, and nothing else; all others are about endpoints that show what AWS does not")
		if err := run.Value.Set("^TestAccAWS$"); err != nil {
			panic(err)
		}
	}
	// The tests spend their time waiting for polls, not on the processor. An explicit -parallel wins.
	if explicit := false; !explicit {
		flag.Visit(func(f *flag.Flag) { explicit = explicit || f.Name == "test.parallel" })
		if !explicit {
			if err := flag.Set("test.parallel", "8"); err != nil {
				panic(err)
			}
		}
	}
	if flag.Lookup("sweep").Value.String() != "" {
		resource.TestMain(m)
		return
	}
	os.Exit(m.Run())
}

const (
	address = "ec2_import_snapshot.test"
	here    = "us-east-1"
)

// disk is the content of the test's disk: a sector of text in the first grain, and a sector in the middle of 1 MiB.
func disk() []byte {
	raw := make([]byte, 1<<20)
	copy(raw, "a disk of the acceptance tests")
	copy(raw[512<<10:], strings.Repeat("middle ", 73))
	return raw
}

func vmdk() []byte { return testimage.StreamOptimized(testimage.GDAtEnd, disk()) }

// snapshot is a resource whose image is disk.vmdk unless body names a container.
func snapshot(body string) string { return snapshotNamed("test", body) }

func snapshotNamed(name, body string) string {
	if !strings.Contains(body, "disk_container") {
		body = "disk_container = { url = \"s3://images/disk.vmdk\" }\n" + body
	}
	return fmt.Sprintf("resource \"ec2_import_snapshot\" %q {\n%s\n}\n", name, body)
}

// cli bounds how many CLIs run at a time: they live on the processor, and a provider that does not answer them within two seconds fails its test.
// On AWS they wait for minutes.
var cli = make(chan struct{}, map[bool]int{false: runtime.NumCPU() + 1, true: 8}[acctest.OnAWS()])

// acc runs steps through the CLI, with the provider in this process.
func acc(t *testing.T, destroyed resource.TestCheckFunc, steps ...resource.TestStep) {
	t.Helper()
	accCase(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Providers(), CheckDestroy: destroyed, Steps: steps})
}

func accCase(t *testing.T, c resource.TestCase) {
	t.Helper()
	t.Parallel()
	cli <- struct{}{}
	defer func() { <-cli }()
	resource.Test(t, c)
}

// imports checks how many ImportSnapshot calls EC2 has accepted so far.
func imports(e *acctest.EC2, want int) resource.TestCheckFunc {
	return func(*terraform.State) error {
		if got := accepted(e); got != want {
			return fmt.Errorf("EC2 has accepted %d ImportSnapshot calls, want %d", got, want)
		}
		return nil
	}
}

func accepted(e *acctest.EC2) int {
	n := 0
	for _, r := range e.Requests("ImportSnapshot") {
		if r.Answer.OK() {
			n++
		}
	}
	return n
}

// planned expects an action for the resource, and an empty plan behind the apply.
func planned(action plancheck.ResourceActionType, checks ...plancheck.PlanCheck) resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{
		PreApply:             append([]plancheck.PlanCheck{plancheck.ExpectResourceAction(address, action)}, checks...),
		PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
}

// has checks one attribute of the state.
func has(attribute string, want knownvalue.Check) statecheck.StateCheck {
	at, rest, nested := strings.Cut(attribute, ".")
	path := tfjsonpath.New(at)
	if nested {
		for step := range strings.SplitSeq(rest, ".") {
			path = path.AtMapKey(step)
		}
	}
	return statecheck.ExpectKnownValue(address, path, want)
}

func exactly(s string) knownvalue.Check { return knownvalue.StringExact(s) }

func sha256Of(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

func sameBytes(path string, want []byte) error {
	got, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s holds other bytes than the image: %d of them", path, len(got))
	}
	return nil
}

func at(attribute string) tfjsonpath.Path { return tfjsonpath.New(attribute) }
