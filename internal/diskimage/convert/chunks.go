package convert

import (
	"fmt"
	"iter"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

// chunk is what a worker reads at a time.
type chunk struct {
	diskimage.Extent

	passed int64 // bytes of the disk from the end of the chunk before to the end of this one
}

// chunks cuts the spans where offsets are multiples of chunkSize.
func chunks(img diskimage.Image, unit int64) iter.Seq2[chunk, error] {
	return func(yield func(chunk, error) bool) {
		end := int64(0) // of the chunk before
		for s, err := range spans(img, unit) {
			if err != nil {
				yield(chunk{}, err)
				return
			}
			for at := s.Offset; at < s.End(); {
				next := min(s.End(), at-at%chunkSize+chunkSize)
				if !yield(chunk{diskimage.Extent{Offset: at, Length: next - at}, next - end}, nil) {
					return
				}
				at, end = next, next
			}
		}
	}
}

// spans yields the extents that carry data, made longer at both ends until they are whole units of the disk.
func spans(img diskimage.Image, unit int64) iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		end := int64(0) // of the last span: a unit may hold several extents
		for e, err := range extents(img) {
			if err != nil {
				yield(e, err)
				return
			}
			if e.Zero {
				continue
			}
			at := max(end, e.Offset-e.Offset%unit)
			end = max(end, e.End())
			if rest := end % unit; rest > 0 {
				end = min(img.Size(), end-rest+unit)
			}
			if at < end && !yield(diskimage.Extent{Offset: at, Length: end - at}, nil) {
				return
			}
		}
	}
}

// extents holds a format to what diskimage.Image promises: a reader's mistake must not become a wrong disk, or an endless one.
func extents(img diskimage.Image) iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		end, size := int64(0), img.Size()
		for e, err := range img.Extents() {
			if err != nil {
				yield(e, fmt.Errorf("find the data of the disk: %w", err))
				return
			}
			if e.Length <= 0 || e.Offset < end || e.Offset > size || e.Length > size-e.Offset {
				yield(e, fmt.Errorf("find the data of the disk: extent %+v after offset %d in a disk of %d bytes: this is a bug of the format's reader",
					e, end, size))
				return
			}
			if !yield(e, nil) {
				return
			}
			end = e.End()
		}
	}
}

func readChunk(img diskimage.Image, b []byte, at int64) error {
	if err := diskimage.ReadFull(img, b, at); err != nil {
		return fmt.Errorf("read %d bytes of the disk at offset %d: %w", len(b), at, err)
	}
	return nil
}
