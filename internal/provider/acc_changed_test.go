package provider_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// TestP17Changed: another image at the same key is a warning that names source_hash, and no difference; whatever the look for it runs into is neither.
func TestP17Changed(t *testing.T) {
	another := func(t *testing.T, e *acctest.EC2) {
		e.Put(t, "disk.vmdk", testimage.StreamOptimized(testimage.GDAtEnd, make([]byte, 2<<20)))
	}
	answer := func(status int) func(*testing.T, *acctest.EC2) {
		return func(t *testing.T, e *acctest.EC2) {
			another(t, e)
			e.OnS3(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(status); return true })
		}
	}
	head := []string{"HEAD /images/disk.vmdk"}
	bucket := append(slices.Clone(head), "HEAD /images")
	for name, test := range map[string]struct {
		later  func(*testing.T, *acctest.EC2)
		config map[string]any
		action string
		warned bool
		asked  []string // of S3, while planning
	}{
		"the same":                    {config: with(), asked: head},
		"another":                     {later: another, config: with(), warned: true, asked: head},
		"another, and new tags":       {later: another, config: with("tags", tags("Name", "web")), action: "update", warned: true, asked: head},
		"another, and a source_hash":  {later: another, config: with("source_hash", "2"), action: "replace", asked: head},
		"another, without preflight":  {later: another, config: with("preflight", false), action: "update"},
		"another Region":              {later: answer(http.StatusMovedPermanently), config: with(), asked: bucket},
		"deleted":                     {later: func(_ *testing.T, e *acctest.EC2) { e.OnS3(gone) }, config: with(), asked: bucket},
		"no permission":               {later: answer(http.StatusForbidden), config: with(), asked: head},
		"S3 is overloaded":            {later: answer(http.StatusServiceUnavailable), config: with(), asked: head},
		"another, by a presigned URL": {later: another, config: urlOf("https://images.s3.us-east-1.amazonaws.com/disk.vmdk?X-Amz-Signature=s"), action: "update"},
		"another, by its https URL":   {later: another, config: urlOf("https://images.s3.us-east-1.amazonaws.com/disk.vmdk"), action: "update", warned: true, asked: head},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			config := e.Config()
			config["max_retries"] = 0
			c := acctest.NewCore(t, config)
			o, d := c.Create(with())
			if len(d) > 0 {
				t.Fatal(d)
			}
			if test.later != nil {
				test.later(t, e)
			}
			e.Forget()
			p, d := c.Plan(o, test.config)
			if action := p.Action; action != test.action && !(test.action == "" && action == "no-op") {
				t.Errorf("planned as %s for %v", action, p.Replaces)
			}
			if asked := e.S3Requests(); !slices.Equal(asked, test.asked) {
				t.Errorf("S3 was asked %v, want %v", asked, test.asked)
			}
			if !test.warned {
				if len(d) > 0 {
					t.Errorf("planned with %s", d)
				}
				return
			}
			old := o.Text("source.etag")
			if len(d) != 1 || d.HasError() || d[0].Summary != "Image Has Changed" || d[0].Path != "disk_container" ||
				len(lacks(d[0].Detail, "disk.vmdk was written again", "source_hash", old)) > 0 {
				t.Errorf("planned with\n%s", d)
			}
			// What is planned all the same calls nothing for the image, and the warning comes again until it is imported.
			if test.action == "update" {
				if o, d = c.Apply(t.Context(), p); d.HasError() {
					t.Fatal(d)
				}
			}
			if n := accepted(e); n != 0 {
				t.Errorf("EC2 was asked for %d imports", n)
			}
			again := test.config
			again["source_hash"] = "2"
			p, d = c.Plan(o, again)
			if len(d) > 0 || !slices.Equal(p.Replaces, []string{"source_hash"}) {
				t.Fatalf("with a source_hash planned as %s for %v: %s", p.Action, p.Replaces, d)
			}
			if o, d = c.Change(o, again); len(d) > 0 || o.Text("source.etag") == old || accepted(e) != 1 {
				t.Fatalf("%d imports, source is %v: %s", accepted(e), o.Get("source"), d)
			}
			if p, d = c.Plan(o, again); len(d) > 0 || p.Action != "no-op" {
				t.Errorf("then planned as %s: %s", p.Action, d)
			}
		})
	}
}

func urlOf(url string) map[string]any {
	return map[string]any{"disk_container": map[string]any{"url": url}}
}

func gone(w http.ResponseWriter, r *http.Request) bool {
	if strings.Trim(r.URL.Path, "/") != "images" {
		w.WriteHeader(http.StatusNotFound)
	}
	return true
}

// TestAccP17SourceHash shows it to the CLI: the plan stays empty, and a source_hash imports the new image.
func TestAccP17SourceHash(t *testing.T) {
	e := newPlace(t)
	another := func() { e.Put(t, "disk.vmdk", testimage.StreamOptimized(testimage.GDAtEnd, make([]byte, 2<<20))) }
	acc(t, nothingLeft(t, e),
		resource.TestStep{Config: e.Provider("") + snapshot(""), Check: e.tasks(t, 1), ConfigPlanChecks: planned(plancheck.ResourceActionCreate)},
		resource.TestStep{PreConfig: another, Config: e.Provider("") + snapshot(""), Check: e.tasks(t, 1), ConfigPlanChecks: planned(nothing)},
		resource.TestStep{Config: e.Provider("") + snapshot("source_hash = \"2\""), Check: e.tasks(t, 2), ConfigPlanChecks: planned(replace)},
	)
}

// TestAccP17Warning is what people see of it.
func TestAccP17Warning(t *testing.T) {
	onlyOnce(t)
	t.Parallel()
	w := acctest.NewWork(t, acctest.Binary(t))
	l := acctest.NewLocal(t)
	l.Put(t, "disk.vmdk", vmdk())
	configure := func(body string) {
		w.Write("main.tf", "terraform {\n  required_providers {\n    ec2 = { source = \"ec2-import-snapshot/ec2\" }\n  }\n}\n"+l.Provider("", "")+snapshot(body))
	}
	configure("")
	w.Run(0, "apply", "-auto-approve")
	l.Put(t, "disk.vmdk", testimage.StreamOptimized(testimage.GDAtEnd, make([]byte, 2<<20)))
	shown := w.Run(0, "plan", "-detailed-exitcode", "-no-color")
	if missing := lacks(shown, "Warning: Image Has Changed", "source_hash", "No changes."); len(missing) > 0 {
		t.Errorf("the plan lacks %q:\n%s", missing, shown)
	}
	configure("source_hash = \"2\"")
	w.Run(2, "plan", "-detailed-exitcode", "-no-color")
	w.Run(0, "apply", "-auto-approve")
	if shown = w.Run(0, "plan", "-detailed-exitcode", "-no-color"); strings.Contains(shown, "Image Has Changed") {
		t.Errorf("the plan warns of what was imported:\n%s", shown)
	}
	w.Run(0, "destroy", "-auto-approve")
}
