package provider_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// TestRule2ImageMissing: a replacement destroys the snapshot before its apply looks for the new image, so the plan warns where there is none. It does not
// for a new import, whose image may come within the same apply.
func TestRule2ImageMissing(t *testing.T) {
	t.Parallel()
	e := newEC2(t)
	c := acctest.NewCore(t, e.Config())
	o, d := c.Create(with())
	if len(d) > 0 {
		t.Fatal(d)
	}
	from := func(url any, more ...any) map[string]any {
		config := with(more...)
		config["disk_container"] = map[string]any{"url": url}
		return config
	}
	for name, test := range map[string]struct {
		prior  *acctest.Object
		config map[string]any
		says   string // "": no warning
	}{
		"another key":                 {o, from("s3://images/typo.vmdk"), "s3://images/typo.vmdk"},
		"another bucket":              {o, from("s3://no-such-bucket/disk.vmdk"), "no-such-bucket"},
		"a replacement for its hash":  {o, from("s3://images/typo.vmdk", "source_hash", "2"), "s3://images/typo.vmdk"},
		"the image is there":          {o, from("s3://images/disk.raw"), ""},
		"a new import":                {nil, from("s3://images/typo.vmdk"), ""},
		"without preflight":           {o, from("s3://images/typo.vmdk", "preflight", false), ""},
		"a key that is not known yet": {o, from(acctest.Unknown), ""},
		"a Region not known yet":      {o, from("s3://images/typo.vmdk", "region", acctest.Unknown), ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, d := c.Plan(test.prior, test.config)
			if test.prior != nil && p.Action != "replace" {
				t.Fatalf("the plan is %s: %v", p.Action, d)
			}
			if test.says == "" {
				if len(d) > 0 {
					t.Errorf("want no diagnostic, got %v", d)
				}
				return
			}
			if len(d) != 1 || d.HasError() || d[0].Summary != "Image Not Found" || d[0].Path != "disk_container" {
				t.Fatalf("want one warning at disk_container, got %v", d)
			}
			if missing := lacks(d[0].Detail, test.says, o.Text("snapshot_id"), "create_before_destroy"); len(missing) > 0 {
				t.Errorf("the warning lacks %q:\n%s", missing, d[0].Detail)
			}
		})
	}
	t.Run("no permission to look", func(t *testing.T) {
		e.OnS3(func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "<Error><Code>AccessDenied</Code></Error>")
			return true
		})
		if p, d := c.Plan(o, from("s3://images/typo.vmdk")); p.Action != "replace" || len(d) > 0 {
			t.Errorf("the plan is %s: %v", p.Action, d)
		}
	})
}

// TestAccRule2ImageMissing is what people see of it, with a directory as the bucket.
func TestAccRule2ImageMissing(t *testing.T) {
	onlyOnce(t)
	t.Parallel()
	w := acctest.NewWork(t, acctest.Binary(t))
	l := acctest.NewLocal(t)
	l.Put(t, "disk.vmdk", vmdk())
	configure := func(key string) {
		w.Write("main.tf", "terraform {\n  required_providers {\n    ec2 = { source = \"ec2-import-snapshot/ec2\" }\n  }\n}\n"+l.Provider("", "")+
			snapshot("disk_container = { user_bucket = { s3_bucket = \"images\", s3_key = \""+key+"\" } }"))
	}
	configure("typo.vmdk")
	if shown := w.Run(2, "plan", "-detailed-exitcode", "-no-color"); strings.Contains(shown, "Image Not Found") {
		t.Errorf("the plan of a new import warns of an image that may be to come:\n%s", shown)
	}
	configure("disk.vmdk")
	w.Run(0, "apply", "-auto-approve")
	for _, key := range []string{"typo.vmdk", "../disk.vmdk"} {
		configure(key)
		shown := w.Run(2, "plan", "-detailed-exitcode", "-no-color")
		if missing := lacks(shown, "Warning: Image Not Found", "s3://images/"+key, "1 to add, 0 to change, 1 to destroy"); len(missing) > 0 {
			t.Errorf("the plan lacks %q:\n%s", missing, shown)
		}
	}
	w.Run(0, "destroy", "-auto-approve")
}
