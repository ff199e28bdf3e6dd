package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
)

const (
	mapRows    = 2
	mapColumns = 64 // elsewhere than on a terminal
	mapCell    = 4 << 10
)

// allocation counts which parts of a disk carry data: cells of one length, as many as fill the rows of a map, and none smaller than 4 KiB.
type allocation struct {
	size, cell int64
	columns    int
	data       []int64 // bytes of data by cell
	total      int64
}

// newAllocation is of a disk of size bytes without data.
func newAllocation(size int64, columns int) *allocation {
	cell := max(pieces(pieces(size, int64(mapRows*columns)), mapCell)*mapCell, mapCell)
	return &allocation{size: size, cell: cell, columns: columns, data: make([]int64, pieces(size, cell))}
}

// pieces is how many pieces of a length make up n bytes.
func pieces(n, length int64) int64 {
	if n == 0 {
		return 0
	}
	return (n-1)/length + 1
}

// add counts the data of an extent, which lies inside the disk.
func (a *allocation) add(e diskimage.Extent) {
	if e.Zero {
		return
	}
	a.total += e.Length
	for at := e.Offset; at < e.End(); {
		n := min(a.cell-at%a.cell, e.End()-at)
		a.data[at/a.cell] += n
		at += n
	}
}

// shades are a cell without data, with some, and so on to one that is all data.
type shades [5]rune

func mapShades() shades {
	if speaksUTF8() {
		return shades{'·', '░', '▒', '▓', '█'}
	}
	return shades{'.', '-', '+', '*', '#'}
}

// rows draw the map.
func (a *allocation) rows(s shades) (rows []string) {
	var row strings.Builder
	for k, data := range a.data {
		length := min(a.cell, a.size-int64(k)*a.cell)
		shade := s[0]
		switch {
		case data >= length:
			shade = s[4]
		case data > 0:
			shade = s[1+int(float64(data)/float64(length)*3)]
		}
		row.WriteRune(shade)
		if (k+1)%a.columns == 0 || k+1 == len(a.data) {
			rows = append(rows, row.String())
			row.Reset()
		}
	}
	return rows
}

// legend says what the characters of the map mean.
func (a *allocation) legend(s shades) string {
	return fmt.Sprintf("each %s: %c no data, %c%c%c some, %c all data", humanize.IBytes(uint64(a.cell)), s[0], s[1], s[2], s[3], s[4]) //nolint:gosec // positive
}

// mapWidth is how many columns the map has on w, beside the labels. On a terminal it is a power of two, so that the cells of most disks have a round
// length.
func mapWidth(w io.Writer) int {
	terminal, ok := terminalWidth(w)
	if !ok {
		return mapColumns
	}
	columns := 16
	for columns*2+len("importable  ") <= terminal {
		columns *= 2
	}
	return columns
}
