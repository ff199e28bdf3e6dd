package vmdk_test

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/vmdk"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// watched says which of the places it was read at.
type watched struct {
	io.ReaderAt

	places map[int64]int64 // names by offset
	seen   []int64
}

func (w *watched) ReadAt(p []byte, off int64) (int, error) {
	for at, name := range w.places {
		if off <= at && at < off+int64(len(p)) {
			w.seen = append(w.seen, name)
		}
	}
	return w.ReaderAt.ReadAt(p, off)
}

// The tables of a stream lie behind their grains: who walks over a full disk gets what one table tells before the next one is read.
func TestWalkReadsOneTableAtATime(t *testing.T) {
	const grain, tables = 1 << 20, 3
	v := testimage.VMDK{Layout: testimage.GDAtEnd, Size: tables * diskimage.Cut, GrainSectors: grain / 512, GTEs: diskimage.Cut / grain}
	var runs []testimage.Run
	for at := int64(0); at < v.Size; at += grain {
		runs = append(runs, testimage.Run{Offset: at, Data: []byte{1}})
	}
	s := v.Build(runs...)
	r := &watched{ReaderAt: bytes.NewReader(s.Data), places: map[int64]int64{}}
	for index, at := range s.GT {
		r.places[at] = index
	}
	img, err := vmdk.Open(r, int64(len(s.Data)))
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	r.seen = nil
	var want []int64
	for e, err := range img.Extents() {
		if n := int64(len(want)); err != nil || e != (diskimage.Extent{Offset: n * diskimage.Cut, Length: diskimage.Cut}) {
			t.Errorf("extent %d: %+v, %v", n, e, err)
		}
		if want = append(want, int64(len(want))); !slices.Equal(r.seen, want) {
			t.Errorf("before extent %d, the tables %d were read", len(want)-1, r.seen)
		}
	}
	if len(want) != tables {
		t.Errorf("%d extents", len(want))
	}
}
