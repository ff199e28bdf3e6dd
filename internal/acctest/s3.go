package acctest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// OnS3 lets h answer requests to S3; it reports whether it did.
func (e *EC2) OnS3(h func(w http.ResponseWriter, r *http.Request) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.s3Hook = h
}

// S3Requests are the methods and paths of the calls to S3 so far.
func (e *EC2) S3Requests() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.s3Seen...)
}

// serveS3 serves the bucket "images" in path style, from the directory or the S3 that the endpoint imports from.
func (e *EC2) serveS3(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	e.s3Seen = append(e.s3Seen, r.Method+" "+r.URL.Path)
	hook := e.s3Hook
	e.mu.Unlock()
	if hook != nil && hook(w, r) {
		return
	}
	if e.bucket != nil {
		e.bucket.proxy.ServeHTTP(w, r)
		return
	}
	key, ok := strings.CutPrefix(r.URL.Path, "/images")
	if key = strings.TrimPrefix(key, "/"); ok && key == "" {
		return // HeadBucket
	}
	content, err := os.ReadFile(filepath.Join(e.Images, filepath.FromSlash(key)))
	if !ok || err != nil {
		http.Error(w, "<Error><Code>NoSuchKey</Code></Error>", http.StatusNotFound)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(content)))
	w.Header().Set("X-Amz-Version-Id", "v1")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// KMSKey lets KMS know a key under a name: an alias, an id or an ARN.
func (e *EC2) KMSKey(name, arn string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys[name] = arn
}

// serveKMS answers DescribeKey.
func (e *EC2) serveKMS(w http.ResponseWriter, r *http.Request) {
	var in struct{ KeyId string }
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.Header.Get("X-Amz-Target") != "TrentService.DescribeKey" {
		http.Error(w, `{"__type":"UnknownOperationException"}`, http.StatusBadRequest)
		return
	}
	e.mu.Lock()
	arn := e.keys[in.KeyId]
	e.mu.Unlock()
	if arn == "" {
		http.Error(w, `{"__type":"NotFoundException","message":"no such key"}`, http.StatusBadRequest)
		return
	}
	_, _ = fmt.Fprintf(w, `{"KeyMetadata":{"Arn":%q,"KeyId":%q}}`, arn, arn[strings.LastIndex(arn, "/")+1:])
}
