package provider

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/awsclient"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// store is an S3 of one object, which weighs what it sends.
type store struct {
	*connection

	mu    sync.Mutex
	image io.ReadSeeker
	sent  int64
	asked []string
}

func newStore(t *testing.T) *store {
	t.Helper()
	s := &store{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	client, err := awsclient.NewLocal(nil, awsclient.Settings{Endpoints: awsclient.Endpoints{S3: server.URL}}, "us-east-1", "000000000000")
	if err != nil {
		t.Fatal(err)
	}
	s.connection = &connection{Client: client, images: &imagesource.Opener{S3: client.BucketClient}, strict: true}
	return s
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.Method+" "+r.Header.Get("Range"))
	w.Header().Set("ETag", `"etag"`)
	http.ServeContent(weighed{w, s}, r, "", time.Time{}, s.image)
}

type weighed struct {
	http.ResponseWriter
	store *store
}

func (w weighed) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.store.sent += int64(n)
	return n, err
}

// look is a preflight of an image by its key: what source says, the diagnostics, and what it has cost.
func (s *store) look(t *testing.T, key string, image io.ReadSeeker, planning bool) (source map[string]string, found diag.Diagnostics, sent int64, asked []string) {
	t.Helper()
	s.mu.Lock()
	s.image, s.sent, s.asked = image, 0, nil
	s.mu.Unlock()
	m := modelOf(key)
	s.preflight(t.Context(), m, planning, &found)
	s.mu.Lock() // the server may not have counted its last write yet
	defer s.mu.Unlock()
	source = map[string]string{}
	for name, v := range m.Source.Attributes() {
		source[name] = strings.Trim(v.String(), `"`)
	}
	return source, found, s.sent, s.asked
}

func modelOf(key string) *importSnapshotModel { return modelAt("s3://images/" + key) }

func modelAt(url string) *importSnapshotModel {
	return &importSnapshotModel{
		Preflight: types.BoolValue(true),
		DiskContainer: types.ObjectValueMust(diskContainerTypes, map[string]attr.Value{
			"url": types.StringValue(url), "user_bucket": types.ObjectNull(userBucketTypes),
			"format": types.StringNull(), "description": types.StringNull(),
		}),
	}
}

const mib = 1 << 20

// TestP19Budget: the look at any image of the corpus takes 1 MiB at most, and says what a reader of the whole file says. Only where the log of a VHDX is
// to be replayed, which is 1 MiB itself, it is a doubt.
func TestP19Budget(t *testing.T) {
	s := newStore(t)
	images, doubts, most, requests := 0, 0, int64(0), 0
	for _, row := range testimage.Corpus(t) {
		if strings.Count(row.File, "/") > 1 { // one disk in several files
			continue
		}
		images++
		t.Run(row.File, func(t *testing.T) {
			f, size := row.Open(t)
			whole, err := detect.Open(f, size, "")
			want := detect.VMImport(whole, err)
			key := "disks/" + path.Base(row.File)
			source, found, sent, asked := s.look(t, key, f, false)
			if sent > mib || len(asked) > 30 {
				t.Errorf("%d bytes in %d requests", sent, len(asked))
			}
			most, requests = max(most, sent), max(requests, len(asked))
			if source["importable"] == "<null>" {
				doubts++
				if !strings.Contains(row.File, "dirty") && !strings.Contains(row.File, "log-replay") || len(found) != 1 || found.HasError() ||
					!strings.Contains(found[0].Detail(), "not closed cleanly") || !strings.Contains(found[0].Detail(), "1 MiB at most") || !strings.Contains(source["reason"], "log") {
					t.Errorf("a doubt: %v, %v", source, found)
				}
				return
			}
			if source["importable"] != fmt.Sprint(want.Importable) || found.HasError() == want.Importable {
				t.Errorf("source is %v, %v; a reader of the whole file says %+v", source, found, want)
			}
			if whole != nil && (source["virtual_size_bytes"] != fmt.Sprint(whole.Size()) || source["format"] != string(whole.Format) ||
				whole.SubFormat != "" && source["sub_format"] != whole.SubFormat) {
				t.Errorf("source is %v, want %s %s of %d bytes", source, whole.Format, whole.SubFormat, whole.Size())
			}
		})
	}
	t.Logf("%d images, %d doubts; at most %d bytes, %d requests", images, doubts, most, requests)
	if images < 60 || doubts > 3 {
		t.Errorf("%d images, %d doubts", images, doubts)
	}
}

// TestP19BudgetLarge: the tables of large disks do not fit into a look. What headers and footers say stands, and nothing else is said.
func TestP19BudgetLarge(t *testing.T) {
	noise := make([]byte, mib)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	at := func(offset int64) testimage.Run { return testimage.Run{Offset: offset, Data: noise} }
	const tib = 1 << 40
	for name, c := range map[string]struct {
		image              []byte
		format, sub        string
		size               int64
		importable, reason string
		refused            string
	}{
		"dynamic VHD":                {testimage.VHD{Size: 2040 << 30}.Build(at(0)).Data, "VHD", "dynamic", 2040 << 30, "<null>", "1 MiB at most", ""},
		"dynamic VHD without footer": {footless(testimage.VHD{Size: 2040 << 30}.Build(at(0))), "VHD", "dynamic", 2040 << 30, "false", "cut off", "Footers not identical"},
		"VHDX":                       {testimage.VHDX{Size: 7 * tib, BlockSize: 8 * mib}.Build(at(0)).Data, "VHDX", "dynamic", 7 * tib, "<null>", "1 MiB at most", ""},
		"VHDX, cut":                  {cut(testimage.VHDX{Size: 7 * tib, BlockSize: 8 * mib}.Build(at(0)).Data), "VHDX", "dynamic", 7 * tib, "false", "cut off", "cut off"},
		"VHDX, too large":            {testimage.VHDX{Size: 15 * tib, BlockSize: 32 * mib}.Build(at(0)).Data, "VHDX", "dynamic", 15 * tib, "false", "8 TiB", "8 TiB"},
		"VMDK, directory at the end": {testimage.VMDK{Layout: testimage.GDAtEnd, Size: 7 * tib, GrainSectors: 4096, GTEs: 8}.Build(at(0)).Data, "VMDK", "streamOptimized", 7 * tib, "true", "", ""},
		"VMDK, directory patched in": {testimage.VMDK{Layout: testimage.GDPatched, Size: 7 * tib, GrainSectors: 4096, GTEs: 8}.Build(at(7*tib - mib)).Data, "VMDK", "streamOptimized", 7 * tib, "true", "", ""},
		"VMDK, nothing at its end":   {testimage.VMDK{Layout: testimage.GDPatched, Size: 8 * tib, GrainSectors: 4096, GTEs: 8}.Build(at(0)).Data, "VMDK", "streamOptimized", 8 * tib, "<null>", "1 MiB at most", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			source, found, sent, asked := s.look(t, "disk.img", bytes.NewReader(c.image), false)
			if sent > mib {
				t.Errorf("%d bytes in %d requests", sent, len(asked))
			}
			if source["format"] != c.format || source["sub_format"] != c.sub || source["virtual_size_bytes"] != fmt.Sprint(c.size) ||
				source["importable"] != c.importable || !strings.Contains(source["reason"], c.reason) {
				t.Errorf("source is %v", source)
			}
			if c.refused == "" && len(found) > 0 || c.refused != "" && (len(found) != 1 || !found.HasError() || !strings.Contains(found[0].Detail(), c.refused)) {
				t.Errorf("found %v", found)
			}
			t.Logf("%d bytes in %d requests", sent, len(asked))
		})
	}
}

func footless(f *testimage.VHDFile) []byte { return f.Data[:f.Footer] }

func cut(b []byte) []byte { return b[:len(b)-4096] }

// TestP19Late: a store that hangs holds up one look, for as long as a look may take; the import goes on, and who looks next does not ask again.
func TestP19Late(t *testing.T) {
	client, err := awsclient.NewLocal(nil, awsclient.Settings{Endpoints: awsclient.Endpoints{S3: "http://127.0.0.1:1"}}, "us-east-1", "000000000000")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		c := &connection{Client: client, images: &imagesource.Opener{S3: hanging(client.BucketClient)}, strict: true}
		for _, want := range []time.Duration{lookFor, 0} {
			var found diag.Diagnostics
			m := modelOf("disk.vmdk")
			began := time.Now()
			c.preflight(t.Context(), m, false, &found)
			if took := time.Since(began); took != want || len(found) > 0 || !m.Source.IsNull() {
				t.Errorf("after %s, want %s: %v, source %v", took, want, found, m.Source)
			}
		}
		c.late.Clear()
		r, prior := resourceOver(c), importedFrom("other.vmdk")
		var found diag.Diagnostics
		began := time.Now()
		r.warnOfNewImage(t.Context(), prior, prior, &found)
		if took := time.Since(began); took != headFor || len(found) > 0 {
			t.Errorf("whether the image has changed: after %s, %v", took, found)
		}
	})
}

func hanging[C any](func(context.Context, string) (C, error)) func(context.Context, string) (C, error) {
	return func(ctx context.Context, _ string) (C, error) {
		<-ctx.Done()
		var none C
		return none, ctx.Err()
	}
}
