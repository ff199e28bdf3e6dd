// Package signals holds no code, only the tests that disturb the built provider under the real CLI: Ctrl-C, SIGTERM and kill -9 while an image is
// being imported. Each asks the same in the end: the next apply leaves one task, one snapshot with the right bytes, and nothing else (P6). Conversions are
// disturbed, too, which needs no CLI.
package signals
