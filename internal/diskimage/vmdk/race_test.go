//go:build race

package vmdk_test

// raced is how many times as much may be allocated under the race detector: it keeps on the heap what is on the stack elsewhere.
const raced = 8
