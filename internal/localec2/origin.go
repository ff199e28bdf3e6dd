package localec2

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
)

// Origins that are no directory. A directory is stored as its absolute path, which is none of these.
const (
	originS3    = "s3"
	originHTTPS = "https"
)

// origin is where this process reads an image from: the directory that its bucket stands for, S3, https, or "" for nowhere. It decides as
// imagesource.Opener does.
func (e *Endpoint) origin(l imagesource.Location) string {
	images := e.config.Images
	if dir, mapped := images.Buckets[l.Bucket]; mapped && l.Bucket != "" {
		absolute, err := filepath.Abs(dir)
		if err != nil {
			return dir // the working directory is gone: what is relative to it cannot be told better
		}
		return absolute
	}
	presigned := strings.Contains(l.URL, "?") // carries its permission with it
	switch {
	case l.Bucket != "" && images.S3 != nil && !presigned:
		return originS3
	case l.URL != "" && images.HTTPS:
		return originHTTPS
	}
	return ""
}

// reaches says whether this process reads the image that the task was asked to import. Several configurations may share a data directory, and
// their buckets of one name need not be one directory; an import must not fail, or get other bytes, because the wrong one resumed it. A directory
// that is no more has moved, with its data directory, so the bucket of this process stands for it.
func (e *Endpoint) reaches(t task) bool {
	here := e.origin(t.location())
	switch {
	case here == t.Origin:
		return true
	case !filepath.IsAbs(here), !filepath.IsAbs(t.Origin):
		return false
	}
	there, err := os.Stat(t.Origin)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	// The same directory may have several names: by links, or by $PWD.
	found, err := os.Stat(here)
	return err == nil && os.SameFile(found, there)
}

// messageWaiting begins the status message of a task that no one works on, because who looks after it does not reach its image.
const messageWaiting = "waits for a process "

// waitingMessage says whom the task waits for. It is about the task alone, so that all who do not reach the image say the same.
func (t task) waitingMessage() string {
	switch {
	case t.Origin == originS3:
		return messageWaiting + "that reads bucket " + t.Bucket + " from S3 (endpoints { s3 } or --s3-endpoint)"
	case t.Origin == originHTTPS && t.Bucket != "":
		return messageWaiting + "that reads https sources (serve: --allow-https), and bucket " + t.Bucket + " not from S3"
	case t.Origin == originHTTPS:
		return messageWaiting + "that reads https sources (serve: --allow-https)"
	}
	return messageWaiting + "whose bucket " + t.Bucket + " is " + t.Origin
}

// location is where the image is, as the request said.
func (t task) location() imagesource.Location {
	if t.URL != "" {
		if l, err := imagesource.ParseURL(t.URL); err == nil {
			return l
		}
	}
	return imagesource.Location{Bucket: t.Bucket, Key: t.Key}
}
