//go:build linux

package signals

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// atOnce is how many CLIs run at a time. Most of a run is a wait, and moments are keyed to what happens, so that one more than the cores of a small
// machine does no harm; many more would only make everything late.
const atOnce = 3

// EC2_SIGNAL_MOMENTS and EC2_KILL_MOMENTS say how hard the tests try, EC2_KILL_SEED repeats the random moments of an earlier run.
var (
	signalMoments = number("EC2_SIGNAL_MOMENTS", 3)
	killMoments   = number("EC2_KILL_MOMENTS", 4)
	killSeed      = number("EC2_KILL_SEED", int(time.Now().UnixNano()%1_000_000))
)

func number(name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		panic(fmt.Sprintf("%s=%s: a number from 1 is wanted", name, text))
	}
	return n
}

func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", strconv.Itoa(atOnce)); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if dir := workshop.dir; dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// workshop is what all tests share: the provider as it is built, and the CLI that starts it.
var workshop struct {
	once, building sync.Once
	err, buildErr  error
	dir            string
	provider       string // the binary, as /proc names it
	cli            string
	env            []string
}

// ready skips the test where no real CLI is wanted, and prepares the workshop.
func ready(t *testing.T) {
	t.Helper()
	if os.Getenv("TF_ACC") == "" {
		t.Skip("runs the real CLI: make test-signals, or TF_ACC=1")
	}
	cli := acctest.CLI(t)
	built(t)
	workshop.once.Do(func() { workshop.err = prepare(cli) })
	if workshop.err != nil {
		t.Fatal(workshop.err)
	}
}

// built prepares of the workshop what needs no CLI.
func built(t *testing.T) {
	t.Helper()
	workshop.building.Do(func() { workshop.buildErr = build() })
	if workshop.buildErr != nil {
		t.Fatal(workshop.buildErr)
	}
}

func build() error {
	w := &workshop
	var err error
	if w.dir, err = os.MkdirTemp("", "ec2-signals"); err != nil {
		return err
	}
	binary := os.Getenv("EC2_PROVIDER_BINARY")
	if binary == "" {
		binary = filepath.Join(w.dir, "terraform-provider-ec2")
		build := exec.Command("go", "build", "-o", binary, ".")
		build.Dir = filepath.Join("..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building the provider: %w\n%s", err, out)
		}
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	if w.provider, err = filepath.EvalSymlinks(binary); err != nil {
		return fmt.Errorf("EC2_PROVIDER_BINARY: %w", err)
	}
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "AWS_") && !strings.HasPrefix(name, "TF_") && !strings.HasPrefix(name, "EC2_") {
			w.env = append(w.env, entry)
		}
	}
	return nil
}

func prepare(cli string) error {
	w := &workshop
	var err error
	if w.cli, err = filepath.Abs(cli); err != nil {
		return err
	}
	config := filepath.Join(w.dir, "cli.tfrc")
	text := fmt.Sprintf("provider_installation {\n  dev_overrides {\n    \"registry.terraform.io/ec2-import-snapshot/ec2\" = %[1]q\n"+
		"    \"registry.opentofu.org/ec2-import-snapshot/ec2\" = %[1]q\n  }\n  direct {}\n}\n", filepath.Dir(w.provider))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	w.env = append(w.env, "TF_CLI_CONFIG_FILE="+config, "CHECKPOINT_DISABLE=1", "TF_INPUT=0")
	return nil
}

// dice are the random numbers of one test, the same for the same seed.
func dice(t *testing.T) *rand.Rand {
	t.Logf("EC2_KILL_SEED=%d repeats these moments", killSeed)
	return rand.New(rand.NewPCG(uint64(killSeed), 0))
}
