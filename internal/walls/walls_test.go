// Package walls holds no code, only the test that the packages of this module know what they may know and no more. The lint rules in
// .golangci.yml say the same of each import; this test also sees what an import drags along.
package walls

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ec2-import-snapshot/terraform-provider-ec2"

// arrows are the packages of this module that each of them may import; arrows point downwards. A new package takes its place here first.
var arrows = map[string][]string{
	".":                          {"internal/provider", "internal/cli"},
	"internal/cli":               {"internal/localec2", "internal/imagesource", "internal/awsclient", "internal/diskimage/...", "internal/sparse"},
	"internal/provider":          {"internal/importtask", "internal/awsclient", "internal/localec2", "internal/imagesource", "internal/diskimage/..."},
	"internal/importtask":        {"internal/awshost"},
	"internal/awsclient":         {"internal/awshost"},
	"internal/awshost":           {},
	"internal/localec2":          {"internal/imagesource", "internal/diskimage/...", "internal/sparse"},
	"internal/imagesource":       {"internal/sparse"},
	"internal/sparse":            {},
	"internal/diskimage":         {},
	"internal/diskimage/inflate": {},
	"internal/diskimage/raw":     {"internal/diskimage"},
	"internal/diskimage/vhd":     {"internal/diskimage"},
	"internal/diskimage/vhdx":    {"internal/diskimage"},
	"internal/diskimage/vmdk":    {"internal/diskimage", "internal/diskimage/inflate"},
	"internal/diskimage/detect":  {"internal/diskimage", "internal/diskimage/raw", "internal/diskimage/vhd", "internal/diskimage/vhdx", "internal/diskimage/vmdk"},
	// The converter knows no format.
	"internal/diskimage/convert": {"internal/diskimage"},
	// Helpers of tests, the demo and what writes into the guides. Nothing above may import them.
	"internal/testimage": {"internal/diskimage/...", "internal/sparse"},
	"internal/acctest":   {"..."},
	"internal/signals":   {"..."},
	"internal/clients":   {"..."},
	"internal/bench":     {"..."},
	"internal/soak":      {},
	"internal/walls":     {},
	"internal/demo":      {"internal/diskimage/...", "internal/sparse"},
	"internal/docgen":    {"internal/cli", "internal/importtask", "internal/diskimage/...", "internal/testimage"},
}

// secrets are what only some packages may know, tests aside.
var secrets = []struct {
	what     string
	prefixes []string
	only     []string
}{
	{"Terraform", []string{"github.com/hashicorp/terraform-plugin"}, []string{".", "internal/provider", "internal/acctest", "internal/signals"}},
	{"the EC2 client", []string{"github.com/aws/aws-sdk-go-v2/service/ec2"}, []string{"internal/provider", "internal/importtask", "internal/awsclient", "internal/acctest", "internal/signals"}},
	{"S3", []string{"github.com/aws/aws-sdk-go-v2/service/s3"}, []string{"internal/imagesource", "internal/awsclient", "internal/acctest"}},
	{"SQLite", []string{"modernc.org/sqlite"}, []string{"internal/localec2"}},
	{"filesystems inside disks", []string{"github.com/diskfs/go-diskfs"}, []string{"internal/demo", "internal/testimage"}},
	{"a compressor", []string{"github.com/klauspost/compress"}, []string{"internal/diskimage/vmdk"}},
	{"the old plugin SDK", []string{"github.com/hashicorp/terraform-plugin-sdk"}, nil},
}

// leaves may link nothing but the standard library, this module's packages as the arrows say, and what is named here.
var leaves = map[string][]string{
	"internal/diskimage/...": {"golang.org/x/sync", "github.com/klauspost/compress"},
	"internal/sparse":        {"golang.org/x/sys"},
}

// never are prefixes that a package must not link, however far down. The endpoint that tests the client must share none of its code.
var never = map[string][]string{
	"internal/localec2":   {"github.com/aws/aws-sdk-go-v2/service/ec2", "github.com/hashicorp/terraform-plugin"},
	"internal/importtask": {"github.com/hashicorp/terraform-plugin"},
	"internal/cli":        {"github.com/hashicorp/terraform-plugin-framework"},
}

type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
}

func TestWalls(t *testing.T) {
	standard, packages := list(t)
	for name, p := range packages {
		t.Run(name, func(t *testing.T) {
			allowed, known := arrows[name]
			if !known {
				t.Fatalf("%s has no place in the table of arrows of this test", name)
			}
			for _, imported := range p.Imports {
				if own, ok := ownName(imported); ok {
					if !matchesAny(own, allowed) {
						t.Errorf("imports %s: no arrow leads there", own)
					}
					continue
				}
				for _, s := range secrets {
					if hasPrefix(imported, s.prefixes) && !slices.Contains(s.only, name) {
						t.Errorf("imports %s: only %v know %s", imported, s.only, s.what)
					}
				}
			}
			for _, dep := range p.Deps {
				if hasPrefix(dep, never[name]) {
					t.Errorf("links %s, which it must not, however far down", dep)
				}
			}
			for leaf, others := range leaves {
				if !matchesAny(name, []string{leaf}) {
					continue
				}
				for _, dep := range p.Deps {
					if _, own := ownName(dep); !own && !standard[dep] && !hasPrefix(dep, others) {
						t.Errorf("links %s: only the standard library and %v", dep, others)
						break // the rest is mostly what this one drags along
					}
				}
			}
		})
	}
}

// list asks the go command for every package of this module and all that they link.
func list(t *testing.T) (standard map[string]bool, packages map[string]pkg) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps", module+"/...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	standard, packages = map[string]bool{}, map[string]pkg{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return standard, packages
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Standard {
			standard[p.ImportPath] = true
		}
		if name, own := ownName(p.ImportPath); own {
			packages[name] = p
		}
	}
}

// ownName is the path of a package inside this module, "." for its root.
func ownName(importPath string) (string, bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

func hasPrefix(path string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

// matchesAny knows patterns as the go command does: a/... is a and all below.
func matchesAny(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if root, deep := strings.CutSuffix(pattern, "..."); deep {
			return strings.HasPrefix(name+"/", root)
		}
		return name == pattern
	})
}
