// Package awshost tells the hosts of AWS from those of others that speak its protocols.
package awshost

import (
	"slices"
	"strings"

	"github.com/hashicorp/aws-sdk-go-base/v2/endpoints"
)

// Is tells whether a host, without its port, is AWS's own, such as an endpoint in a VPC. It goes by the name.
func Is(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	suffixes := []string{"api.aws", "api.amazonwebservices.com.cn"} // dual stack
	for _, p := range endpoints.DefaultPartitions() {
		suffixes = append(suffixes, p.DNSSuffix())
	}
	return slices.ContainsFunc(suffixes, func(suffix string) bool { return strings.HasSuffix(host, "."+suffix) })
}
