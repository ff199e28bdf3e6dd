package provider

import (
	"errors"
	"fmt"
	"net/url"
	"path"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/diskimage/detect"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
)

// sight is what a look tells of an image. What cannot be judged by the little that a look reads is a doubt, never a verdict.
type sight struct {
	object  *imagesource.Object
	format  detect.Format  // by content; empty where the content contradicts itself
	image   *detect.Image  // nil where the headers do not say what it is
	verdict detect.Verdict // of what was read
	unread  error          // why no more was read; nil where all that decides was
}

// lookAt fails where the image cannot be read at all, which says nothing about it.
func lookAt(object *imagesource.Object, declared, name string) (sight, error) {
	s := sight{object: object, verdict: detect.Verdict{Importable: true}}
	format, err := detect.Detect(object, object.Size())
	switch {
	case err == nil:
		s.format = format
	case !aboutImage(err):
		return s, err
	}
	image, err := detect.Look(object, object.Size(), declared)
	if err == nil {
		s.image = image
		err = image.Check()
	}
	switch {
	case errors.Is(err, imagesource.ErrBudget):
		if s.unread = err; image != nil {
			s.verdict = detect.VMImport(image, nil)
		}
	case err != nil && !aboutImage(err):
		return s, err
	default:
		s.verdict = detect.VMImport(image, err)
	}
	s.verdict = s.verdict.For(name)
	return s, nil
}

// aboutImage tells what is wrong with the image's bytes from a failure to read them, such as a permission to see the object but not to get it.
func aboutImage(err error) bool {
	var corrupt *diskimage.CorruptError
	var unsupported *diskimage.UnsupportedError
	var mismatch *detect.MismatchError
	return errors.As(err, &corrupt) || errors.As(err, &unsupported) || errors.As(err, &mismatch)
}

// attribute is the sight as the attribute source has it.
func (s *sight) attribute() types.Object {
	source := map[string]attr.Value{
		"format": text(pointer(string(s.format))), "sub_format": types.StringNull(), "virtual_size_bytes": types.Int64Null(),
		"object_size_bytes": types.Int64Value(s.object.Size()), "etag": text(pointer(s.object.ETag())), "version_id": text(pointer(s.object.VersionID())),
		"importable": types.BoolValue(s.verdict.Importable), "reason": text(pointer(s.verdict.String())),
	}
	if s.image != nil {
		source["sub_format"] = text(&s.image.SubFormat)
		source["virtual_size_bytes"] = types.Int64Value(s.image.Size())
	}
	if s.verdict.Importable && s.unread != nil {
		source["importable"], source["reason"] = types.BoolNull(), types.StringValue("not known: "+s.unread.Error())
	}
	return types.ObjectValueMust(sourceTypes, source)
}

// doubts are what may stand against an import that is not refused. That the tables of a large disk were not read to their end is none: its headers and
// footers are sound.
func (s *sight) doubts(declared, name string) []string {
	var doubts []string
	if s.unread != nil && s.image == nil {
		doubts = append(doubts, fmt.Sprintf("it could not be told what is in the %s: %s", s.format, s.unread))
	}
	switch {
	case s.image == nil:
	case declared == "":
		doubts = append(doubts, s.image.Doubts(name)...)
	default:
		doubts = append(doubts, s.image.Warnings()...)
	}
	return doubts
}

// storeOf is what answers for an object: a bucket, or a server.
func storeOf(l imagesource.Location) string {
	if l.Bucket != "" && !l.Presigned() {
		return "bucket " + l.Bucket
	}
	if u, err := url.Parse(l.URL); err == nil {
		return u.Host
	}
	return l.String()
}

// imageName is what a copy of the object would be called.
func imageName(l imagesource.Location) string {
	if l.Key != "" {
		return path.Base(l.Key)
	}
	if u, err := url.Parse(l.URL); err == nil && u.Path != "" {
		return path.Base(u.Path)
	}
	return ""
}

func pointer(s string) *string { return &s }
