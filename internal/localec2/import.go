package localec2

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/imagesource"
)

const taskResourceType = "import-snapshot-task"

// sourceTimeout bounds how long ImportSnapshot looks for the object before it answers.
const sourceTimeout = 30 * time.Second

// importRequest is an ImportSnapshot request, normalized: two requests are the same if these are equal.
type importRequest struct {
	Comment, UploadStart, UploadEnd, UploadSize string
	Description                                 string
	ContainerDescription, Format                string
	URL, Bucket, Key                            string
	Encrypted                                   bool
	KMSKeyID, RoleName                          string
	Tags                                        []tag
}

// hash identifies the request for idempotence.
func (r importRequest) hash() string {
	encoded, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings, booleans and structs of them always encode
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:])
}

// importSnapshot starts an import: it refuses what EC2 refuses at once, stores the task and lets a worker loose on it.
func (e *Endpoint) importSnapshot(s scope, p *params) (call, error) {
	r, err := decodeImport(p)
	if err != nil {
		return nil, err
	}
	token, hasToken := p.lookup("ClientToken")
	if hasToken && token != "" && !printable.MatchString(token) {
		return nil, invalidValue(token, "clientToken", "Expected up to 64 printable ASCII characters.")
	}
	location, err := r.location()
	if err != nil {
		return nil, err
	}
	t := task{
		ID: newID(taskPrefix), Account: s.Account, Region: s.Region,
		ClientToken: token, RequestHash: r.hash(),
		Description: r.Description, URL: r.URL, Bucket: location.Bucket, Key: location.Key, Origin: e.origin(location),
		DeclaredFormat: r.Format, Format: r.Format,
		FailWith: e.config.Simulate.FailWith, Strict: e.config.Strict, Checksum: e.config.Checksum,
		Status: statusActive, StatusMessage: messagePending,
		Tags: r.Tags,
	}
	if r.Encrypted || e.config.Simulate.EncryptionByDefault {
		key := r.KMSKeyID
		if key == "" {
			key = defaultKey
		}
		if t.KMSKeyARN, err = s.kmsKeyARN(key); err != nil {
			return nil, err
		}
	}

	return func(ctx context.Context) (answer, error) {
		if t.ClientToken != "" {
			// A repeated request is answered before the object is looked for: it may be gone by now.
			earlier, err := e.store.taskByToken(s, t.ClientToken)
			if err != nil {
				return nil, err
			}
			if earlier != nil {
				return earlier.importAnswer(t.RequestHash)
			}
		}
		if err := e.checkSource(ctx, s, location); err != nil {
			return nil, err
		}
		t.CreatedAt = time.Now()
		t.DueAt = t.CreatedAt.Add(e.config.Simulate.TaskDuration)
		stored, err := e.store.createTask(t)
		if err != nil {
			return nil, err
		}
		if stored.ID == t.ID {
			e.log.Info("import started", "task", t.ID, "region", t.Region, "source", location)
			e.workers.own(t.ID)
		}
		return stored.importAnswer(t.RequestHash)
	}, nil
}

// importAnswer answers a request with the task that its token stands for.
func (t task) importAnswer(hash string) (answer, error) {
	if t.RequestHash != hash {
		return nil, failf("IdempotentParameterMismatch", "The request uses the same client token as a previous, but non-identical request.")
	}
	x := t.xml(time.Now())
	if x.Detail.SnapshotID != nil && *x.Detail.SnapshotID == "" {
		x.Detail.SnapshotID = nil // only the describe call shows it while it is empty
	}
	return &importSnapshotAnswer{taskXML: x}, nil
}

type importSnapshotAnswer struct {
	head
	taskXML
}

// decodeImport reads and validates the members of the request.
func decodeImport(p *params) (r importRequest, err error) {
	r = importRequest{
		Comment:              p.take("ClientData.Comment"),
		Description:          p.take("Description"),
		ContainerDescription: p.take("DiskContainer.Description"),
		Format:               strings.ToUpper(p.take("DiskContainer.Format")),
		URL:                  p.take("DiskContainer.Url"),
		Bucket:               p.take("DiskContainer.UserBucket.S3Bucket"),
		Key:                  p.take("DiskContainer.UserBucket.S3Key"),
		KMSKeyID:             p.take("KmsKeyId"),
		RoleName:             p.take("RoleName"),
	}
	if r.UploadStart, err = p.timestamp("ClientData.UploadStart"); err != nil {
		return r, err
	}
	if r.UploadEnd, err = p.timestamp("ClientData.UploadEnd"); err != nil {
		return r, err
	}
	if size, ok := p.lookup("ClientData.UploadSize"); ok {
		f, err := strconv.ParseFloat(size, 64)
		if err != nil || !(f >= 0 && f <= 1e18) {
			return r, invalidValue(size, "ClientData.UploadSize", "Expected a number of GiB.")
		}
		r.UploadSize = javaDouble(f) // Go's SDK sends 123, botocore 123.0: the same request
	}
	if r.Encrypted, err = p.boolean("Encrypted"); err != nil {
		return r, err
	}
	if r.KMSKeyID != "" && !r.Encrypted {
		return r, failf("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
	}
	if r.RoleName != "" && !isRole(r.RoleName) {
		return r, failf("InvalidParameter", "The service role %s provided does not exist or does not have sufficient permissions", shorten(r.RoleName))
	}
	if !slices.Contains([]string{"", "RAW", "VHD", "VHDX", "VMDK"}, r.Format) {
		return r, failf("InvalidParameter", "Parameter disk-image-size=0 has an invalid format: '%s'. Expected RAW, VHD, VHDX or VMDK.", shorten(r.Format))
	}
	switch {
	case r.URL != "" && (r.Bucket != "" || r.Key != ""):
		return r, failf("InvalidParameterCombination", "The parameter DiskContainer.Url cannot be used with the parameter DiskContainer.UserBucket")
	case r.URL == "" && r.Bucket == "" && r.Key == "":
		return r, missingParameter("DiskContainer.Url or DiskContainer.UserBucket")
	case r.URL == "" && r.Bucket == "":
		return r, missingParameter("DiskContainer.UserBucket.S3Bucket")
	case r.URL == "" && r.Key == "":
		return r, missingParameter("DiskContainer.UserBucket.S3Key")
	}
	r.Tags, err = decodeTagSpecifications(p)
	return r, err
}

// decodeTagSpecifications takes tags for the task only: EC2 tags no snapshot here.
func decodeTagSpecifications(p *params) ([]tag, error) {
	indices, err := p.indices("TagSpecification")
	if err != nil {
		return nil, err
	}
	var tags []tag
	for n, i := range indices {
		prefix := "TagSpecification." + i
		resourceType := p.take(prefix + ".ResourceType")
		switch {
		case resourceType == "":
			return nil, failf("InvalidParameterValue", "Tag specification resource type must have a value")
		case resourceType != taskResourceType:
			return nil, failf("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", shorten(resourceType))
		case n > 0:
			return nil, failf("InvalidParameterValue", "The same resource type may not be specified more than once in tag specifications")
		}
		if tags, err = decodeTags(p, prefix+".Tag"); err != nil {
			return nil, err
		}
		if len(tags) == 0 {
			return nil, failf("InvalidParameterValue", "Tag specification must have at least one tag")
		}
	}
	if err := checkTags(tags); err != nil {
		return nil, err
	}
	sort.Slice(tags, func(i, j int) bool { return tags[i].Key < tags[j].Key })
	return tags, nil
}

// Limits of names on S3; buckets had up to 255 characters once.
const (
	maxBucket = 255
	maxKey    = 1024
)

// location says where the image is. A key is taken literally, never percent-decoded.
func (r importRequest) location() (imagesource.Location, error) {
	l, parameter := imagesource.Location{Bucket: r.Bucket, Key: r.Key}, "DiskContainer.UserBucket"
	if r.URL != "" {
		var err error
		parameter = "DiskContainer.Url"
		if l, err = imagesource.ParseURL(r.URL); err != nil {
			return l, invalidValue(r.URL, parameter, "Expected s3://bucket/key or an https URL: %s.", shorten(err.Error()))
		}
	}
	switch {
	case len(l.Bucket) > maxBucket:
		return l, invalidValue(l.Bucket, parameter, "The name of a bucket has no more than %d characters.", maxBucket)
	case len(l.Key) > maxKey:
		return l, invalidValue(l.Key, parameter, "The key of an object has no more than %d bytes.", maxKey)
	}
	return l, nil
}

// checkSource looks whether the image is there and may be read, and refuses in EC2's words, followed by what to do about it here.
func (e *Endpoint) checkSource(ctx context.Context, s scope, l imagesource.Location) error {
	ctx, cancel := context.WithTimeout(ctx, sourceTimeout)
	defer cancel()
	defer context.AfterFunc(e.workers.ctx, cancel)() // Close waits for the answer
	object, err := e.config.Images.Open(ctx, l)
	if err == nil {
		return object.Close()
	}
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, cause) {
		return fmt.Errorf("look for the image: %w", err)
	}
	var region *imagesource.RegionError
	_, mapped := e.config.Images.Buckets[l.Bucket]
	switch {
	case errors.As(err, &region):
		return failf("InvalidParameter", "The given S3 object is not local to the region. The object must be located in %s. (%s)", s.Region, err)
	case errors.Is(err, imagesource.ErrNoBucket) && !mapped && e.config.Images.S3 == nil:
		return failf("InvalidParameter", "User does not have access to the S3 object (%s/%s). The bucket %q is not mapped to a directory; %s.",
			shorten(l.Bucket), shorten(l.Key), shorten(l.Bucket), e.mappedBuckets())
	case l.Bucket == "":
		return failf("InvalidParameter", "User does not have access to the object. (%s)", err)
	}
	return failf("InvalidParameter", "User does not have access to the S3 object (%s/%s). (%s)", shorten(l.Bucket), shorten(l.Key), err)
}

// mappedBuckets names what there is, and what to do: the endpoint is one in a provider's process, or a server.
func (e *Endpoint) mappedBuckets() string {
	const do = "map it with local.buckets of the provider block or with --bucket NAME=DIR of serve, or name an S3 that has it, " +
		"with endpoints { s3 } or --s3-endpoint"
	if len(e.config.Images.Buckets) == 0 {
		return "no bucket is: " + do
	}
	return "mapped are " + shorten(strings.Join(slices.Sorted(maps.Keys(e.config.Images.Buckets)), ", ")) + ": " + do
}
