//go:build !race

package vmdk_test

const raced = 1
