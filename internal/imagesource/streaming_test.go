package imagesource

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/convert"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

const mib = 1 << 20

// volume is in memory, and says when it is written to.
type volume struct {
	mu      sync.Mutex
	b       []byte
	once    sync.Once
	written chan struct{}
}

func (v *volume) WriteAt(p []byte, off int64) (int, error) {
	v.once.Do(func() { close(v.written) })
	v.mu.Lock()
	defer v.mu.Unlock()
	return copy(v.b[off:], p), nil
}

// streamed builds images whose files are larger than what is kept of them, of a disk with data in front and behind and a hole between.
func streamed() (content []byte, images map[string]func() []byte) {
	const size = 32 * mib
	front, behind := noise(14*mib), noise(8*mib)
	content = make([]byte, size)
	copy(content, front)
	copy(content[size-len(behind):], behind)
	runs := []testimage.Run{{Data: front}, {Offset: int64(size - len(behind)), Data: behind}}
	disorder := func(blockSize int) (order []int64) {
		for _, v := range rand.New(rand.NewPCG(1, 2)).Perm(size / blockSize) {
			order = append(order, int64(v))
		}
		return order
	}
	images = map[string]func() []byte{"raw": func() []byte { return content }}
	for name, v := range map[string]testimage.VHD{
		"VHD fixed": {Fixed: true}, "VHD dynamic": {}, "VHD dynamic, in disorder": {Order: disorder(2 * mib)},
	} {
		v.Size = size
		images[name] = func() []byte { return v.Build(runs...).Data }
	}
	for name, v := range map[string]testimage.VHDX{
		"VHDX fixed": {Fixed: true}, "VHDX dynamic": {}, "VHDX dynamic, large blocks": {BlockSize: 16 * mib}, "VHDX dynamic, in disorder": {Order: disorder(mib)},
	} {
		v.Size = size
		images[name] = func() []byte { return v.Build(runs...).Data }
	}
	for name, v := range map[string]testimage.VMDK{"VMDK sparse": {}, "VMDK sparse, two directories": {Redundant: true}, "VMDK sparse, small tables": {GTEs: 16}} {
		v.Size = size
		images[name] = func() []byte { return v.BuildSparse(runs...).Data }
	}
	for _, l := range testimage.Layouts {
		v := testimage.VMDK{Size: size, Layout: l}
		images["VMDK stream, "+l.String()] = func() []byte { return v.Build(runs...).Data }
	}
	return content, images
}

// TestStreaming: an image is converted while it arrives, over several connections, and hardly a byte is fetched twice.
func TestStreaming(t *testing.T) {
	content, images := streamed()
	for name, build := range images {
		t.Run(name, func(t *testing.T) {
			image := build()
			synctest.Test(t, func(t *testing.T) {
				size := int64(len(image))
				v := &volume{b: make([]byte, len(content)), written: make(chan struct{})}
				l := &line{object: bytes.NewReader(image), size: size, latency: 20 * time.Millisecond, bandwidth: 20 * mib}
				tables, faster, twice, piece := int64(256<<10), 2.0, size/50+128<<10, int64(requestPages*pageSize)
				if strings.Contains(name, "small tables") {
					twice = size/50 + 4*mib // where there is one processor for all, one worker may come far before others have begun; see readAhead.vain
				}
				if strings.Contains(name, "disorder") {
					// What lies beyond the end of a block is read ahead in vain, within limits. All workers wait for parts of their own.
					tables, faster, twice, piece = size, 2, size/50+4*mib, 256<<10
				}
				// The server keeps the last quarter, its tables aside, until the converter has written something. If that needs it, all stand still.
				l.before = func(ctx context.Context, off, n int64) error {
					if n <= tables || off+n < size-size/4 {
						return nil
					}
					select {
					case <-v.written:
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				began := time.Now()
				b := l.open(t.Context(), t)
				img, err := detect.Open(b, size, "")
				if err != nil {
					t.Fatal(err)
				}
				defer img.Close()
				if _, err := convert.Copy(t.Context(), v, img, convert.Options{Remote: true}); err != nil {
					t.Fatal(err)
				}
				took := time.Since(began)
				if !bytes.Equal(v.b, content) {
					t.Error("the disk differs")
				}
				seen := l.seen()
				ratio := l.plain().Seconds() / took.Seconds()
				t.Logf(name+": %d requests, %d at a time, for %+d bytes, %.1f times as fast as one GET", seen.requests, seen.most, seen.bytes-size, ratio)
				if seen.bytes > size+twice {
					t.Errorf("%d bytes were asked for, the file has %d", seen.bytes, size)
				}
				if most := int(size/piece) + 80; seen.requests > most {
					t.Errorf("%d requests, want %d at most", seen.requests, most)
				}
				if seen.most < 2 || seen.most > maxRequests+2*8 { // each of 8 workers may have got all of its last one, and asked for the next
					t.Errorf("%d requests at a time", seen.most)
				}
				if ratio < faster {
					t.Errorf("it takes %s, and one GET %s", took, l.plain())
				}
			})
		})
	}
}
