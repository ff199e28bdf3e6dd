package cli

import (
	"errors"
	"fmt"
	"path/filepath"
)

// changed says that something wrote to the image, or to a file that it named, since it was opened: within the clock of the file system. Of a file that
// was replaced under its name the old one stays readable, and whole.
func (s *source) changed() error {
	const cure = "written to since it was opened: try again when nothing writes to it"
	if s.imageFile.changed() {
		return errors.New("it was " + cure)
	}
	for _, file := range s.beside.opened {
		if file.changed() {
			return fmt.Errorf("%q, which it names, was %s", filepath.Base(file.Name()), cure)
		}
	}
	return nil
}

// changed is false of a file that was closed since.
func (f imageFile) changed() bool {
	now, err := f.Stat()
	return err == nil && (now.Size() != f.info.Size() || !now.ModTime().Equal(f.info.ModTime()))
}

// blame puts in front of an error that the image has changed meanwhile: that may be all that is wrong.
func (s *source) blame(err error) error {
	if changed := s.changed(); changed != nil {
		return fmt.Errorf("%w (%w)", changed, err)
	}
	return err
}
