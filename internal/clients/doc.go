// Package clients holds no code, only the tests that drive the endpoint with the programs and the code that people drive EC2 with: the aws CLI,
// boto3, and the call sequences of hashicorp/aws and osbuild; and one that has libvmdk read what convert writes.
package clients
