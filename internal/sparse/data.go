package sparse

import (
	"io"
	"os"
)

// File is a file that knows which of its bytes it stores.
type File struct{ *os.File }

// NextData is the first run of stored bytes that ends behind the offset; io.EOF where there is none. What lies between runs reads as zeros. Where
// that cannot be told, all of the file is one run. The place where Read and Write of the file go on is lost.
func (f File) NextData(off int64) (start, end int64, err error) { return nextData(f.File, off) }

// wholeFile is the answer where there is no map.
func wholeFile(f *os.File, off int64) (start, end int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	if off >= info.Size() {
		return 0, 0, io.EOF
	}
	return 0, info.Size(), nil
}
