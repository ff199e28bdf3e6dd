package vmdk

// Skip makes a writer believe that it has written so many bytes more.
func (s *Writer) Skip(n int64) { s.at += n }
