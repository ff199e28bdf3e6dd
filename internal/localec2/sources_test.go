package localec2

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// far serves objects as S3 does, and as any https server with ranges.
type far struct {
	mu      sync.Mutex
	objects map[string][]byte
	etag    string
	fault   func(w http.ResponseWriter, r *http.Request) bool // true: has answered
	asked   []string                                          // the keys of all requests
	now     atomic.Int64                                      // requests under way
}

func (f *far) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *far) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.now.Add(1)
	defer f.now.Add(-1)
	f.mu.Lock()
	key := path.Base(r.URL.Path)
	content, there := f.objects[key]
	etag, fault := f.etag, f.fault
	f.asked = append(f.asked, key)
	f.mu.Unlock()
	w.Header().Set("ETag", etag)
	switch {
	case r.Method == http.MethodGet && fault != nil && fault(w, r):
	case !there:
		w.WriteHeader(http.StatusNotFound)
	default:
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}

// protocols are the ways to read an object over a network.
var protocols = map[string]func(t *testing.T, f *far) (*imagesource.Opener, func(key string) string){
	"S3": func(t *testing.T, f *far) (*imagesource.Opener, func(key string) string) {
		server := httptest.NewServer(f)
		t.Cleanup(server.Close)
		client := s3.NewFromConfig(aws.Config{
			Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""), RetryMaxAttempts: 1,
		}, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = &server.URL, true })
		return &imagesource.Opener{S3: func(context.Context, string) (*s3.Client, error) { return client, nil }},
			func(key string) string { return "s3://images/" + key }
	},
	"https": func(t *testing.T, f *far) (*imagesource.Opener, func(key string) string) {
		server := httptest.NewUnstartedServer(f)
		server.Config.ErrorLog = log.New(io.Discard, "", 0) // connections that a test breaks
		server.StartTLS()
		t.Cleanup(server.Close)
		return &imagesource.Opener{HTTPS: true, AllowPrivate: true, Transport: server.Client().Transport.(*http.Transport)},
			func(key string) string { return server.URL + "/" + key }
	},
}

func (h *host) importURL(t *testing.T, url string) string {
	t.Helper()
	out, err := h.ec2.ImportSnapshot(t.Context(), &ec2.ImportSnapshotInput{DiskContainer: &types.SnapshotDiskContainer{Url: &url}})
	if err != nil {
		t.Fatal(err)
	}
	return *out.ImportTaskId
}

// wantGone waits for the end of a task that leaves nothing but what EC2 says of it.
func (h *host) wantGone(t *testing.T, id, says string) {
	t.Helper()
	d := h.wait(t, id, statusDeleted)
	if message := aws.ToString(d.StatusMessage); !strings.Contains(message, says) || aws.ToString(d.SnapshotId) != "" {
		t.Errorf("%q, snapshot %q, want %q", message, aws.ToString(d.SnapshotId), says)
	}
	eventually(t, func() bool { return len(h.files(t)) == 0 })
}

// largeSize is more than is read ahead of what is written first.
const largeSize = 12 << 20

func largeDisk() []byte { return pattern(largeSize, 1) }

// TestSourceFailsMidway: whatever becomes of a source while it is converted, the task ends with the reason, and nothing is left of the volume.
func TestSourceFailsMidway(t *testing.T) {
	t.Parallel()
	answer := func(code int) func(w http.ResponseWriter, _ *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(code)
			return true
		}
	}
	for name, fault := range map[string]struct {
		begin func(f *far)
		says  string
	}{
		"another object": {func(f *far) { f.etag = `"2"` }, "the object changed while it was read"},
		"another object, unasked": {func(f *far) {
			f.etag = `"2"`
			f.fault = func(_ http.ResponseWriter, r *http.Request) bool { r.Header.Del("If-Match"); return false }
		}, "the object changed while it was read"},
		"shorter":                {func(f *far) { f.objects["disk.img"] = f.objects["disk.img"][:largeSize/2] }, "the object changed while it was read"},
		"gone":                   {func(f *far) { delete(f.objects, "disk.img") }, "404 Not Found"},
		"no permission any more": {func(f *far) { f.fault = answer(403) }, "403 Forbidden"},
		"out of order":           {func(f *far) { f.fault = answer(500) }, "500"},
		"busy":                   {func(f *far) { f.fault = answer(503) }, "503"},
		"no ranges any more": {func(f *far) {
			f.fault = func(_ http.ResponseWriter, r *http.Request) bool { r.Header.Del("Range"); return false }
		}, "does not serve ranges"},
		"connections reset": {func(f *far) {
			f.fault = func(w http.ResponseWriter, _ *http.Request) bool {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return false
				}
				if tcp, ok := conn.(*net.TCPConn); ok {
					_ = tcp.SetLinger(0)
				}
				_ = conn.Close()
				return true
			}
		}, "cannot read it"},
		"answers cut short": {func(f *far) {
			f.fault = func(w http.ResponseWriter, r *http.Request) bool {
				var from, to int64
				_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to)
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, largeSize))
				w.Header().Set("Content-Length", fmt.Sprint(to-from+1))
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write(make([]byte, 100))
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
		}, "the connection broke after 100 of 16384 bytes"},
	} {
		for protocol, serve := range protocols {
			t.Run(name+" over "+protocol, func(t *testing.T) {
				t.Parallel()
				f := &far{objects: map[string][]byte{"disk.img": largeDisk()}, etag: `"1"`}
				images, url := serve(t, f)
				h := newHost(t, func(c *Config) { c.Images = images })
				var once sync.Once
				h.volumes(volume{write: func(int) error {
					once.Do(func() { f.set(func() { fault.begin(f) }) })
					return nil
				}})
				h.wantGone(t, h.importURL(t, url("disk.img")), fault.says)
				eventually(t, func() bool { return f.now.Load() == 0 })
			})
		}
	}
}

// TestFileChangesMidway is the same of a bucket that is a directory.
func TestFileChangesMidway(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(file string) error{
		"shorter": func(file string) error { return os.Truncate(file, largeSize/2) },
		"empty":   func(file string) error { return os.Truncate(file, 0) },
		"longer":  func(file string) error { return os.Truncate(file, largeSize+512) },
		"touched": func(file string) error { return os.Chtimes(file, time.Time{}, time.Now().Add(time.Hour)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, nil)
			h.put(t, "disk.img", largeDisk())
			var once sync.Once
			h.volumes(volume{write: func(int) (err error) {
				once.Do(func() { err = change(filepath.Join(h.bucket, "disk.img")) })
				return err
			}})
			h.wantGone(t, h.importKey(t, "disk.img"), "the object changed while it was read")
		})
	}
}

// TestRemoteDisorder: of an image whose parts lie in no order, where nothing can be read ahead, many are asked for at a time, however few processors
// there are.
func TestRemoteDisorder(t *testing.T) {
	t.Parallel()
	const grains, size = 32, 8 << 20
	v := testimage.VMDK{Size: size, GrainSectors: size / grains / 512}
	for i := range int64(grains) {
		v.Order = append(v.Order, i%4*8+i/4) // those of 8 neighbours are 1 MiB from each other
	}
	built := v.BuildSparse(testimage.Run{Data: pattern(size, 1)})
	first := slices.Min(slices.Collect(maps.Values(built.Grain)))
	for protocol, serve := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			var held atomic.Int64
			enough := make(chan struct{})
			f := &far{objects: map[string][]byte{"disk.img": built.Data}, etag: `"1"`, fault: func(_ http.ResponseWriter, r *http.Request) bool {
				var from, to int64
				// The last bytes alone are what tells the format.
				if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); err == nil && from > first && to-from > size/grains/2 {
					if held.Add(1) == 8 {
						close(enough)
					}
					select {
					case <-enough:
					case <-r.Context().Done():
					}
				}
				return false
			}}
			images, url := serve(t, f)
			h := newHost(t, func(c *Config) { c.Images, c.Strict = images, false })
			h.wait(t, h.importURL(t, url("disk.img")), statusCompleted)
		})
	}
}

// TestCancelMidway: a cancel ends what is asked of the source at once, and leaves nothing.
func TestCancelMidway(t *testing.T) {
	t.Parallel()
	for protocol, serve := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			f := &far{objects: map[string][]byte{"disk.img": largeDisk()}, etag: `"1"`}
			images, url := serve(t, f)
			h := newHost(t, func(c *Config) { c.Images = images })
			var once sync.Once
			held := make(chan struct{}, 100)
			h.volumes(volume{write: func(int) error {
				once.Do(func() {
					f.set(func() {
						f.fault = func(_ http.ResponseWriter, r *http.Request) bool {
							held <- struct{}{}
							<-r.Context().Done()
							return true
						}
					})
				})
				return nil
			}})
			id := h.importURL(t, url("disk.img"))
			<-held
			if _, err := h.ec2.CancelImportTask(t.Context(), &ec2.CancelImportTaskInput{ImportTaskId: &id}); err != nil {
				t.Fatal(err)
			}
			h.wantGone(t, id, "")
			eventually(t, func() bool { return f.now.Load() == 0 })
		})
	}
}

// needy are images that need other files, and those files, which are there.
func needy() (images []string, files map[string][]byte) {
	const size = 1 << 20
	run := testimage.Run{Data: pattern(size, 1)}
	const id = "fedcba9876543210"
	files = map[string][]byte{
		"flat.vmdk":  []byte(testimage.Descriptor{CreateType: "monolithicFlat", Extents: []string{`RW 2048 FLAT "other.bin" 0`}}.String()),
		"split.vmdk": []byte(testimage.Descriptor{CreateType: "twoGbMaxExtentSparse", Extents: []string{`RW 2048 SPARSE "other.vmdk"`}}.String()),
		"esx.vmdk":   []byte(testimage.Descriptor{CreateType: "vmfs", Extents: []string{`RW 2048 VMFS "other.bin"`}}.String()),
		"delta.vmdk": []byte(testimage.Descriptor{
			CreateType: "twoGbMaxExtentSparse", Extents: []string{`RW 2048 SPARSE "other.vmdk"`}, ParentCID: "12345678", ParentHint: "flat.vmdk",
		}.String()),
		"delta.vhd":  testimage.VHD{Size: size, Relative: `.\other.vhd`, ParentID: id}.Build().Data,
		"delta.vhdx": testimage.VHDX{Size: size, Locator: testimage.VHDXLocator("", `.\other.vhdx`)}.Build().Data,
	}
	for name := range files {
		images = append(images, name)
	}
	files["other.bin"] = run.Data
	files["other.vmdk"] = testimage.VMDK{Size: size}.BuildSparse(run).Data
	files["other.vhd"] = testimage.VHD{Size: size, ID: id}.Build(run).Data
	files["other.vhdx"] = testimage.VHDX{Size: size}.Build(run).Data
	slices.Sort(images)
	return images, files
}

// beside opens what an image names, as the command line does, and notes it.
type beside struct {
	*bytes.Reader

	asked *[]string
}

func (beside) Close() error { return nil }

func openBeside(files map[string][]byte, asked *[]string) diskimage.Opener {
	return func(name string) (diskimage.File, error) {
		*asked = append(*asked, name)
		content, ok := files[name]
		if !ok {
			return nil, os.ErrNotExist
		}
		return beside{bytes.NewReader(content), asked}, nil
	}
}

// TestNamesAreNotFollowed: what an image names is never opened here, strict or not, whatever lies beside it.
func TestNamesAreNotFollowed(t *testing.T) {
	t.Parallel()
	images, files := needy()
	for _, name := range images {
		var asked []string
		img, err := detect.OpenBeside(bytes.NewReader(files[name]), int64(len(files[name])), openBeside(files, &asked))
		if err != nil || len(asked) == 0 {
			t.Fatalf("%s could not be read if names were followed, to %v: %v", name, asked, err)
		}
		img.Close()
	}
	for _, strict := range []bool{true, false} {
		for protocol, serve := range protocols {
			t.Run(fmt.Sprintf("%s, strict %v", protocol, strict), func(t *testing.T) {
				t.Parallel()
				f := &far{objects: files, etag: `"1"`}
				opener, url := serve(t, f)
				h := newHost(t, func(c *Config) { c.Images, c.Strict = opener, strict })
				for _, name := range images {
					f.set(func() { f.asked = nil })
					h.wantGone(t, h.importURL(t, url(name)), "ClientError: ")
					f.set(func() {
						if slices.ContainsFunc(f.asked, func(key string) bool { return key != name && key != "images" }) || len(f.asked) == 0 {
							t.Errorf("%s: these were asked for: %q", name, f.asked)
						}
					})
				}
			})
		}
	}
}
