package localec2

import (
	"path/filepath"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/sparse"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// TestTaskKeepsItsTerms: strict and checksum hold as they were when the import was asked for, whatever the process is told that ends it.
func TestTaskKeepsItsTerms(t *testing.T) {
	t.Parallel()
	data := pattern(1<<20, 1)
	v := testimage.VMDK{Layout: testimage.GDAtEnd, Size: 9 << 40, GrainSectors: 2 << 20 / 512}
	tooLarge := v.Build(testimage.Run{Data: data}).Data
	for name, asked := range map[string]bool{"asked for": true, "not asked for": false} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, func(c *Config) { c.Strict, c.Checksum = asked, asked })
			h.put(t, "disk.img", data)
			h.put(t, "large.vmdk", tooLarge)
			for range cap(h.workers.slots) {
				h.workers.slots <- struct{}{} // so that nothing is read
			}
			small, large := h.importKey(t, "disk.img"), h.importKey(t, "large.vmdk")
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			config := h.config
			config.Strict, config.Checksum = !asked, !asked
			next := &host{Endpoint: New(config)}
			defer next.Close()
			next.inProcess()
			if err := next.Resume(t.Context()); err != nil {
				t.Fatal(err)
			}
			sn := *next.wait(t, small, statusCompleted).SnapshotId
			if volume, err := next.Volume(t.Context(), sn); err != nil || (volume.SHA256 != "") != asked {
				t.Errorf("%+v, %v", volume, err)
			}
			if asked {
				next.wait(t, large, statusDeleted)
			} else if file, err := sparse.Create(filepath.Join(t.TempDir(), "probe"), v.Size); err == nil { // what the file system holds at all
				file.Close()
				next.wait(t, large, statusCompleted)
			}
		})
	}
}
