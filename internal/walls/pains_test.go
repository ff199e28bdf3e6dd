package walls

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pains is how many ways there are in which importing an image is known to hurt, P1 to P29.
const pains = 29

var (
	painRow  = regexp.MustCompile("^[\"`]P([0-9]+)[ :]")
	painTest = regexp.MustCompile(`^Test(?:Acc)?P([0-9]+)[A-Z]`)
)

// TestPains: each of them has a test, or a row of a table, that is named after it.
func TestPains(t *testing.T) {
	named := map[string]bool{}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if m := painTest.FindStringSubmatch(n.Name.Name); m != nil {
					named[m[1]] = true
				}
			case *ast.BasicLit:
				if m := painRow.FindStringSubmatch(n.Value); n.Kind == token.STRING && m != nil {
					named[m[1]] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= pains; n++ {
		if !named[fmt.Sprint(n)] {
			t.Errorf("no test, and no row of a table, is named after P%d", n)
		}
	}
}
