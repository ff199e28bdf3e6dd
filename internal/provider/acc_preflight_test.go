package provider_test

import (
	"encoding/binary"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// hosted is the header of a VMDK as VMware's desktop products write them: sparse, but not compressed.
func hosted() []byte {
	image := make([]byte, 1<<16)
	copy(image, "KDMV")
	le := binary.LittleEndian
	le.PutUint32(image[4:], 1)
	le.PutUint32(image[8:], 3)
	le.PutUint64(image[12:], 2048)
	le.PutUint64(image[20:], 128)
	le.PutUint64(image[28:], 1)
	le.PutUint64(image[36:], 20)
	le.PutUint32(image[44:], 512)
	le.PutUint64(image[48:], 21)
	le.PutUint64(image[56:], 26)
	le.PutUint64(image[64:], 128)
	copy(image[73:], "\n \r\n")
	copy(image[512:], "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"monolithicSparse\"\nRW 2048 SPARSE \"disk.vmdk\"\n")
	return image
}

// bad are images that VM Import refuses: its words, and what the source attribute would say.
var bad = map[string]struct {
	image  []byte
	says   string // of preflight
	words  string // of VM Import
	cure   string // by the image's own name
	format string
}{
	"gzip":               {append([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"), make([]byte, 4096)...), "(?i)gzip", "Unsupported specified file format", "`gzip -dc disk.vmdk > NEW`", "GZIP"},
	"qcow2":              {append([]byte("QFI\xfb\x00\x00\x00\x03"), make([]byte, 64<<10)...), "(?i)qcow2", "Unsupported specified file format", "-O vmdk -o subformat=streamOptimized disk.vmdk NEW.vmdk`", "QCOW2"},
	"html":               {[]byte("<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n"), "(?i)html", "Unsupported specified file format", "`head -c 500 disk.vmdk`", "HTML"},
	"empty":              {nil, "(?i)empty", "Unsupported specified file format", "`ls -l disk.vmdk`", "EMPTY"},
	"monolithicSparse":   {hosted(), "(?i)stream-?optimized", "Unsupported VMDK File Format", "`terraform-provider-ec2 convert --to vmdk disk.vmdk NEW.vmdk`", "VMDK"},
	"truncated VMDK":     {vmdk()[:len(vmdk())-1024], "(?i)truncated|footer|end", "ClientError", "", "VMDK"},
	"VMDK of wrong kind": {append([]byte("KDMV\x63\x00\x00\x00"), make([]byte, 4096)...), "(?i)version", "ClientError", "", "VMDK"},
}

// TestRule6Preflight (P19): a bad image is a warning in the plan, an error in the apply before EC2 is asked, and without preflight EC2's own failure.
func TestRule6Preflight(t *testing.T) {
	for name, test := range bad {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			e.Put(t, "disk.vmdk", test.image)
			c := acctest.NewCore(t, e.Config())
			p, d := c.Plan(nil, with())
			if len(d) != 1 || d.HasError() || d[0].Path != "disk_container" || !regexp.MustCompile(test.says).MatchString(d[0].Detail) {
				t.Fatalf("want a warning at disk_container that says %q, got\n%s", test.says, d)
			}
			o, d := c.Apply(t.Context(), p)
			if o != nil || len(d) != 1 || !d.HasError() || d[0].Path != "disk_container" || !regexp.MustCompile(test.says).MatchString(d[0].Detail) {
				t.Errorf("want an error at disk_container that says %q, got\n%s", test.says, d)
			}
			if missing := lacks(d.String(), "s3://images/disk.vmdk", test.words, "Cause: ", "Cure: ", test.cure); len(missing) > 0 {
				t.Errorf("the error lacks %q:\n%s", missing, d)
			}
			if calls := e.Changes(); len(calls) > 0 {
				t.Errorf("a refused image has called %v", calls)
			}

			o, d = c.Create(with("preflight", false))
			if o != nil || len(d) != 1 || d[0].Summary != "Import Failed" || !strings.Contains(d[0].Detail, test.words) {
				t.Errorf("without preflight the error is\n%s", d)
			}
			if n := accepted(e); n != 1 {
				t.Errorf("without preflight EC2 has accepted %d imports", n)
			}
		})
	}
}

// TestRule6PreflightSource: what preflight can and cannot see, and what it makes of it.
func TestRule6PreflightSource(t *testing.T) {
	forbidden := func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "<Error><Code>AccessDenied</Code></Error>", http.StatusForbidden)
		return true
	}
	elsewhere := func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("X-Amz-Bucket-Region", "eu-central-1")
		http.Error(w, "<Error><Code>PermanentRedirect</Code></Error>", http.StatusMovedPermanently)
		return true
	}
	answer := func(status int, header ...string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<html><body>This page is not what you asked for.</body></html>")
			return true
		}
	}
	malformed := answer(http.StatusBadRequest, "X-Amz-Bucket-Region", "eu-central-1", "Content-Type", "application/xml")
	headBucket := func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Trim(r.URL.Path, "/") == "images" {
			return answer(http.StatusForbidden, "X-Amz-Bucket-Region", "eu-central-1")(w, r)
		}
		return answer(http.StatusBadRequest)(w, r)
	}
	named := with()
	named["disk_container"] = map[string]any{"url": "https://images.s3.eu-central-1.amazonaws.com/disk.vmdk"}
	broken := func(w http.ResponseWriter, _ *http.Request) bool { panic(http.ErrAbortHandler) }
	raw := with()
	raw["disk_container"] = map[string]any{"url": "s3://images/disk.vmdk", "format": "raw"}
	missing := with()
	missing["disk_container"] = map[string]any{"user_bucket": map[string]any{"s3_bucket": "images", "s3_key": "none.vmdk"}}
	for name, test := range map[string]struct {
		config     map[string]any
		s3         func(http.ResponseWriter, *http.Request) bool
		planned    string // of the warning in the plan; "": none
		applied    string // of the diagnostic of the apply; "": none
		path       string
		refused    bool
		imports    int
		importable any
	}{
		"sound":              {config: with(), imports: 1, importable: true},
		"no permission":      {config: with(), s3: forbidden, imports: 1},
		"S3 out of order":    {config: with("timeouts", map[string]any{"create": "1m"}), s3: broken, imports: 1},
		"S3 is overloaded":   {config: with(), s3: answer(http.StatusServiceUnavailable), imports: 1},
		"a proxy's page":     {config: with(), s3: answer(http.StatusOK, "Content-Type", "text/html"), imports: 1},
		"a proxy's 404":      {config: with(), s3: answer(http.StatusNotFound, "Content-Type", "text/html"), imports: 1},
		"a proxy wants keys": {config: with(), s3: answer(http.StatusProxyAuthRequired, "Content-Type", "text/html"), imports: 1},
		"preflight = false":  {config: with("preflight", false), imports: 1},
		"RAW on a VMDK":      {config: raw, planned: "VMDK", applied: "VMDK", path: "disk_container.format", imports: 1, importable: true},
		"P20 another Region": {config: with(), s3: elsewhere, planned: "eu-central-1", applied: "eu-central-1", path: "disk_container", refused: true},
		"P20 another Region, 400": {
			config: with(), s3: malformed, planned: "eu-central-1, not in us-east-1", applied: "eu-central-1, not in us-east-1", path: "disk_container", refused: true,
		},
		"P20 another Region, by HeadBucket": {
			config: with(), s3: headBucket, planned: "eu-central-1, not in us-east-1", applied: "eu-central-1, not in us-east-1", path: "disk_container", refused: true,
		},
		"P20 a URL that names another": {
			config: named, planned: "Region eu-central-1", applied: "(us-east-1)", path: "disk_container", imports: 1, importable: true,
		},
		"P20 a URL that names another, no permission": {
			config: named, s3: forbidden, planned: "Region eu-central-1", applied: "(us-east-1)", path: "disk_container", imports: 1,
		},
		"P10 missing object": {config: missing, applied: "no such object", path: "disk_container", refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			if test.s3 != nil {
				e.OnS3(test.s3)
			}
			config := e.Config()
			config["max_retries"] = 0
			c := acctest.NewCore(t, config)
			p, d := c.Plan(nil, test.config)
			check := func(when, says string, failed bool) {
				t.Helper()
				switch {
				case says == "" && len(d) > 0:
					t.Errorf("%s: %s", when, d)
				case says != "" && (len(d) != 1 || d.HasError() != failed || d[0].Path != test.path || !strings.Contains(d[0].Summary+d[0].Detail, says)):
					t.Errorf("%s: want one diagnostic at %s that says %q (error: %t), got\n%s", when, test.path, says, failed, d)
				}
			}
			check("the plan", test.planned, false)
			o, d2 := c.Apply(t.Context(), p)
			d = d2
			check("the apply", test.applied, test.refused)
			if n := accepted(e); n != test.imports {
				t.Errorf("EC2 has accepted %d imports, want %d", n, test.imports)
			}
			if (o == nil) != test.refused {
				t.Fatalf("the object is %v", o)
			}
			if o == nil {
				return
			}
			if got := o.Get("source.importable"); got != test.importable {
				t.Errorf("source.importable is %v, want %v", got, test.importable)
			}
			seen := slices.ContainsFunc(e.S3Requests(), func(r string) bool { return strings.HasPrefix(r, "GET ") })
			if test.importable != nil && (o.Get("source.format") != "VMDK" || o.Get("source.object_size_bytes") != float64(len(vmdk())) || !seen) {
				t.Errorf("source is %v", o.Get("source"))
			}
		})
	}
}

// TestRule6PreflightNotStrict: a local backend that is not strict takes what only its own readers take, and says so in source.
func TestRule6PreflightNotStrict(t *testing.T) {
	t.Parallel()
	l := newLocal(t)
	l.Put(t, "disk.vmdk", hosted())
	local := func(strict bool) *acctest.Core {
		return acctest.NewCore(t, map[string]any{"local": map[string]any{
			"data_dir": l.DataDir, "buckets": map[string]any{"images": l.Images}, "strict": strict,
		}})
	}
	if _, d := local(true).Create(with()); len(d.Errors()) != 1 || d.Errors()[0].Summary != "Image Not Importable" {
		t.Errorf("strict: want the image refused, got\n%s", d)
	}
	c := local(false)
	o, d := c.Create(with())
	if len(d) > 0 || o == nil {
		t.Fatalf("not strict: %v", d)
	}
	if o.Get("source.importable") != false || !strings.Contains(o.Text("source.reason"), "only; convert it with `terraform-provider-ec2 convert") || o.Get("source.virtual_size_bytes") != float64(1<<20) {
		t.Errorf("not strict: source is %v", o.Get("source"))
	}
	if err := sameBytes(o.Text("volume_path"), make([]byte, 1<<20)); err != nil {
		t.Error(err)
	}
	if d := c.Destroy(o); len(d) > 0 {
		t.Error(d)
	}
}

// TestAccRule6Preflight shows it to the CLI: the image may also be made in the same apply.
func TestAccRule6Preflight(t *testing.T) {
	t.Run("bad image", func(t *testing.T) {
		s := acctest.NewSite(t)
		s.Put(t, "disk.vmdk", bad["qcow2"].image)
		says := `(?s)Error: Image Not Importable.*disk_container = .*QCOW2`
		if !s.SeesImages() {
			says = `(?s)Error: Import Failed.*Unsupported\s+specified\s+file\s+format`
		}
		acc(t, nothingLeft(t, s), resource.TestStep{Config: s.Provider("") + snapshot(""), ExpectError: regexp.MustCompile(says)})
		if left := s.Strays(t); len(left) > 0 {
			t.Errorf("the refused image has left %v", left)
		}
	})
	t.Run("image of the same apply", func(t *testing.T) {
		e := newPlace(t)
		checks := []resource.TestCheckFunc{e.tasks(t, 1)}
		if e.SeesImages() {
			checks = append(checks, resource.TestCheckResourceAttr(address, "source.format", "VMDK"))
		}
		acc(t, nothingLeft(t, e), resource.TestStep{
			Config: e.Provider("") + "resource \"terraform_data\" \"image\" {\n input = \"disk.vmdk\"\n}\n" +
				snapshot("disk_container = { user_bucket = { s3_bucket = \"images\", s3_key = terraform_data.image.output } }"),
			Check: resource.ComposeAggregateTestCheckFunc(checks...),
		})
	})
}
