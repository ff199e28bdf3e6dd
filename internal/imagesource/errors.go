package imagesource

import (
	"errors"
	"fmt"
)

// What can be wrong with a source, for errors.Is. The text around them says which object, where it was looked for and what to do.
var (
	ErrNoBucket  = errors.New("no such bucket")
	ErrNotFound  = errors.New("no such object")
	ErrOutside   = errors.New("the key leaves the bucket's directory")
	ErrForbidden = errors.New("access denied")
	ErrChanged   = errors.New("the object changed while it was read")
	ErrHTTPS     = errors.New("https sources are not allowed here")
	ErrPrivate   = errors.New("the address is a private one")
)

// RegionError says that a bucket lives in another Region than the client that asked (P20). VM Import reads only buckets of its own Region.
type RegionError struct {
	Bucket string
	// BucketRegion is where the bucket is, Region where it was looked for.
	BucketRegion, Region string
}

func (e *RegionError) Error() string {
	return fmt.Sprintf("bucket %q is in Region %s, not in %s: import in %s, or copy the object to a bucket in %s",
		e.Bucket, e.BucketRegion, e.Region, e.BucketRegion, e.Region)
}
