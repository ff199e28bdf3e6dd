package importtask

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// ErrShared says that the client token stands for the import of another resource of this process.
var ErrShared = errors.New("the client token stands for an import that belongs to another resource: give each resource a client token of its own")

// ReplayError says that a client token that was used before stands for an import that is not the one asked for, or that has failed long ago (P13).
// EC2 has started nothing, and the task is nobody's of this process.
type ReplayError struct {
	Task Task
	why  string
}

func (e *ReplayError) Error() string {
	return fmt.Sprintf("the client token was used before and stands for import task %s, %s", e.Task.ID, e.why)
}

func isReplay(err error) bool {
	var replay *ReplayError
	return errors.As(err, &replay) || errors.Is(err, ErrShared)
}

// replayed tells whether t, which EC2 answered to in under a token of the user's, is anything but the import that in asks for. The same import, begun
// by an apply that was killed, is what such a token is for.
func replayed(in *ec2.ImportSnapshotInput, t Task) *ReplayError {
	if difference := foreign(in, t); difference != "" {
		return &ReplayError{t, "which is another import: " + difference}
	}
	if t.Outcome() == Failed {
		said := t.Message()
		if said == "" {
			said = "EC2 gives no reason"
		}
		return &ReplayError{t, fmt.Sprintf("which failed earlier with status %q: %s", t.Status(), said)}
	}
	return nil
}

// foreign says in what t is not the import that in asks for, "" where nothing proves it. Only the source counts: a description or a format comes back
// changed from some endpoints, and whoever takes a task of this very call for a foreign one leaves it running for nobody.
func foreign(in *ec2.ImportSnapshotInput, t Task) string {
	c := in.DiskContainer
	if c == nil {
		return ""
	}
	var asked place
	if b := c.UserBucket; b != nil {
		asked = bucketPlace(b.S3Bucket, b.S3Key)
	} else {
		asked = urlPlace(c.Url)
	}
	echoed := []place{urlPlace(t.Detail.Url)}
	if b := t.Detail.UserBucket; b != nil {
		echoed = append(echoed, bucketPlace(b.S3Bucket, b.S3Key))
	}
	echoed = slices.DeleteFunc(echoed, func(p place) bool { return p.scheme == "" || p.scheme != asked.scheme })
	if len(echoed) > 0 && !slices.ContainsFunc(echoed, asked.same) {
		return fmt.Sprintf("its source is %s, and not %s", echoed[0], asked)
	}
	return ""
}

// place is where an image is: a bucket and a key, or a host and a path without what a presigned URL adds. A place without a scheme is not known.
type place struct{ scheme, host, path string }

func bucketPlace(bucket, key *string) place {
	if aws.ToString(bucket) == "" || aws.ToString(key) == "" {
		return place{}
	}
	return place{"s3", *bucket, strings.TrimPrefix(*key, "/")}
}

func urlPlace(text *string) place {
	if bucket, key, ok := strings.Cut(strings.TrimPrefix(aws.ToString(text), "s3://"), "/"); ok && strings.HasPrefix(aws.ToString(text), "s3://") {
		return bucketPlace(&bucket, &key) // a key is literal: no escapes, no query
	}
	u, err := url.Parse(aws.ToString(text))
	if err != nil || u.Scheme != "https" {
		return place{}
	}
	return place{u.Scheme, u.Host, u.EscapedPath()}
}

func (p place) same(q place) bool {
	return strings.EqualFold(p.host, q.host) && (p.path == q.path || unescaped(p.path) == unescaped(q.path))
}

func unescaped(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

func (p place) String() string {
	return p.scheme + "://" + p.host + "/" + strings.TrimPrefix(p.path, "/")
}
