package vmdk

// Skip makes a writer believe that it has written so many bytes more.
func (s *Writer) Skip(n int64) { s.at += n }

// Verify is what OpenBeside does and Look does not.
func Verify(i *Image) error { return i.verify() }

// CountEntries counts the entries of the grain directory of a disk in one file that are looked at from now on.
func CountEntries(i *Image) *int {
	e, n := i.chain[0].parts[0].extent.(*sparse), new(int)
	tableAt := e.tableAt
	e.tableAt = func(entry uint64) (int64, string) {
		*n++
		return tableAt(entry)
	}
	return n
}
