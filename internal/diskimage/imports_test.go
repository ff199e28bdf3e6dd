package diskimage_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Formats are parsers of untrusted bytes. They import the standard library and each other only, open no file and reach no network: a name found
// inside an image leads nowhere. convert may import x/sync besides, and vmdk the compressor that writes its grains.
func TestImports(t *testing.T) {
	const here = "github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	seen := 0
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		seen++
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			root, _, _ := strings.Cut(name, "/")
			switch {
			case root == "os" || root == "net" || root == "syscall" || root == "plugin" || name == "unsafe" || name == "io/ioutil":
				t.Errorf("%s imports %s: an image format opens nothing", path, name)
			case !strings.Contains(root, "."), name == here, strings.HasPrefix(name, here+"/"):
			case filepath.ToSlash(filepath.Dir(path)) == "convert" && strings.HasPrefix(name, "golang.org/x/sync/"):
			case filepath.ToSlash(filepath.Dir(path)) == "vmdk" && name == "github.com/klauspost/compress/zlib":
			default:
				t.Errorf("%s imports %s", path, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 8 {
		t.Errorf("only %d files seen", seen)
	}
}
