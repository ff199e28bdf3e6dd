package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
}

// imageIn is an image in a directory, with everything that a name in it could lead to.
func imageIn(t *testing.T) (dir string, src *source) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "images")
	put(t, dir+"/disk.vmdk", "image")
	put(t, dir+"/extent.vmdk", "extent")
	put(t, dir+"/.hidden", "hidden")
	put(t, dir+"/below/extent.vmdk", "below")
	put(t, dir+"/../secret", "secret")
	link(t, "../secret", dir+"/out")
	link(t, "extent.vmdk", dir+"/in")
	link(t, "below", dir+"/dir")
	link(t, "nothing", dir+"/dangling")
	link(t, os.DevNull, dir+"/null")
	if err := os.Link(dir+"/disk.vmdk", dir+"/again"); err != nil {
		t.Fatal(err)
	}
	src, err := openSource(dir + "/disk.vmdk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = src.Close() })
	return dir, src
}

// CVE-2022-47951 and its kin: a name inside an image leads to regular files in its own directory, and nowhere else.
func TestNamesInsideAnImage(t *testing.T) {
	dir, src := imageIn(t)
	const notInside = "only files in the directory of the image and below"
	for name, want := range map[string]string{ // what is read; an error after a "!"
		"extent.vmdk":                        "extent",
		".hidden":                            "hidden",
		"below/extent.vmdk":                  "below",
		"":                                   "!" + notInside,
		".":                                  "!it is a directory",
		"..":                                 "!" + notInside,
		"../secret":                          "!" + notInside,
		"below/../../secret":                 "!" + notInside,
		"below/../extent.vmdk":               "!" + notInside,
		"./extent.vmdk":                      "!" + notInside,
		"below//extent.vmdk":                 "!" + notInside,
		"extent.vmdk/":                       "!" + notInside,
		"/etc/passwd":                        "!" + notInside,
		dir + "/extent.vmdk":                 "!" + notInside,
		"extent\x00.vmdk":                    "!" + notInside,
		"none.vmdk":                          "!file does not exist",
		"none/none.vmdk":                     "!file does not exist",
		"extent.vmdk/extent.vmdk":            `!"extent.vmdk" in it is a file, not a directory`,
		strings.Repeat("n", 300):             "!file does not exist",
		"below":                              "!it is a directory, not a regular file",
		"out":                                "!it is a symbolic link, and links that an image names are not followed",
		"in":                                 "!it is a symbolic link, and links that an image names are not followed",
		"dangling":                           "!it is a symbolic link, and links that an image names are not followed",
		"null":                               "!it is a symbolic link, and links that an image names are not followed",
		"dir/extent.vmdk":                    `!"dir" in it is a symbolic link`,
		"disk.vmdk":                          "!it is the image itself: rename the image",
		"again":                              "!it is the image itself",
		"file:extent.vmdk":                   "!",
		"https://example.com/extent.vmdk":    "!" + notInside,
		`json:{"file.filename":"../secret"}`: "!file does not exist",
	} {
		file, err := src.beside.open(name)
		if failure, refused := strings.CutPrefix(want, "!"); refused {
			if err == nil || !strings.Contains(err.Error(), failure) || file != nil {
				t.Errorf("%q: %v, want %q", name, err, failure)
			}
			if missing := failure == "file does not exist"; err != nil && missing != errors.Is(err, fs.ErrNotExist) && failure != "" {
				t.Errorf("%q: %v: is it fs.ErrNotExist?", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		got, err := io.ReadAll(io.NewSectionReader(file, 0, file.Size()))
		if err != nil || string(got) != want {
			t.Errorf("%q holds %q, %v, want %q", name, got, err, want)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The formats' rule for names and the directory together: a file below is found, and what lies outside is not there (CVE-2022-47951).
func TestNamesOfAnImage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	sector := func(c string) string { return strings.Repeat(c, 512) }
	put(t, dir+"/sub/below", sector("b"))
	put(t, dir+"/beside", sector("a"))
	put(t, dir+"/../secret", sector("s"))
	put(t, dir+"/../sub/secret", sector("s"))
	for name, want := range map[string]string{ // what is read; an error after a "!"
		"sub/below":              "b",
		`.\sub\below`:            "b",
		"sub/../beside":          "a",
		"gone/beside":            "a",
		"../beside":              "a",
		"/vmfs/volumes/x/beside": "a",
		`C:\VMs\beside`:          "a",
		"below":                  `!"below", is not there`,
		"../secret":              `!"secret", is not there`,
		"sub/../../secret":       `!"secret", is not there`,
		`..\sub\secret`:          `!"secret", is not there`,
		dir + "/../secret":       `!"secret", is not there`,
		"../../../etc/shadow":    `!"shadow", is not there`,
		"..":                     "!it names no file",
	} {
		put(t, dir+"/disk.vmdk", "version=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 1 FLAT \""+name+"\" 0\n")
		src, err := openSource(dir + "/disk.vmdk")
		if err != nil {
			t.Fatal(err)
		}
		img, err := src.open()
		failure, refused := strings.CutPrefix(want, "!")
		switch got := make([]byte, 512); {
		case refused:
			if err == nil || !strings.Contains(err.Error(), failure) {
				t.Errorf("%s: %v, want %q", name, err, failure)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		default:
			if _, err := img.ReadAt(got, 0); err != nil || string(got) != sector(want) {
				t.Errorf("%s: %q, %v", name, got[:1], err)
			}
			// An extent has no id: one that was found elsewhere may be another disk's.
			if warned := strings.Contains(strings.Join(img.Warnings(), "\n"), `"gone/beside" is not there, and "beside" is taken`); warned != (name == "gone/beside") {
				t.Errorf("%s: warnings %q", name, img.Warnings())
			}
			if err := img.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The bytes of a name are taken as they are: a descriptor may be in another encoding, as the names of the files beside it are.
func TestNameInAnotherEncoding(t *testing.T) {
	dir, src := imageIn(t)
	if err := os.WriteFile(dir+"/gr\xf6\xdfe.vmdk", []byte("latin"), 0o600); err != nil {
		t.Skipf("file names are in UTF-8 here: %v", err)
	}
	file, err := src.beside.open("gr\xf6\xdfe.vmdk")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if file.Size() != 5 {
		t.Errorf("it has %d bytes", file.Size())
	}
	for _, name := range []string{"../\xf6", "\xf6/../secret", "\xf6//secret", "/\xf6"} {
		if _, err := src.beside.open(name); err == nil || !strings.Contains(err.Error(), "only files in the directory of the image and below") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// What the operating system refuses is said with what to do.
func TestNotOpened(t *testing.T) {
	err := notOpened(&fs.PathError{Op: "openat", Path: "base.vhdx", Err: fs.ErrPermission})
	if !errors.Is(err, fs.ErrPermission) || err.Error() != "permission denied: give yourself the right to read it" {
		t.Errorf("%v", err)
	}
}

// A file under two names would be counted twice: one small file could be a disk of any size.
func TestFileUnderTwoNames(t *testing.T) {
	dir, src := imageIn(t)
	if err := os.Link(dir+"/below/extent.vmdk", dir+"/second.vmdk"); err != nil {
		t.Fatal(err)
	}
	put(t, dir+"/third.vmdk", "below") // the same bytes
	for _, name := range []string{"extent.vmdk", "below/extent.vmdk", "third.vmdk"} {
		file, err := src.beside.open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
	}
	const want = `it is the same file as "extent.vmdk", which the image names too: copy it, so that each name has a file of its own`
	for _, name := range []string{"second.vmdk", "below/extent.vmdk"} {
		if _, err := src.beside.open(name); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// An image that is named by a link has its files where it is itself.
func TestLinkToAnImage(t *testing.T) {
	dir, _ := imageIn(t)
	elsewhere := t.TempDir()
	put(t, elsewhere+"/extent.vmdk", "another")
	link(t, dir+"/disk.vmdk", elsewhere+"/current")
	src, err := openSource(elsewhere + "/current")
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	file, err := src.beside.open("extent.vmdk")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got := make([]byte, file.Size())
	if _, err := file.ReadAt(got, 0); err != nil && !errors.Is(err, io.EOF) || string(got) != "extent" {
		t.Errorf("%q, %v", got, err)
	}
}

// What is read beside an image is beside the image that was opened, not beside another that took its name.
func TestImageReplaced(t *testing.T) {
	dir, src := imageIn(t)
	if err := os.Rename(dir+"/extent.vmdk", dir+"/disk.vmdk"); err != nil {
		t.Fatal(err)
	}
	if _, err := src.beside.open(".hidden"); err == nil || !strings.Contains(err.Error(), "replaced") {
		t.Errorf("%v", err)
	}
}

// The working directory is as good as any other.
func TestImageInWorkingDirectory(t *testing.T) {
	dir, _ := imageIn(t)
	t.Chdir(dir)
	src, err := openSource("disk.vmdk")
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	file, err := src.beside.open("below/extent.vmdk")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for path, want := range map[string]bool{"disk.vmdk": true, "again": true, "below/extent.vmdk": true, "extent.vmdk": false} {
		info, err := os.Stat(path)
		if err != nil || src.isOneOf(info) != want {
			t.Errorf("%s: %v, %v", path, !want, err)
		}
	}
}
