// Package bench holds no code, only the measurements of `make bench-scale`, what many imports at a time cost, and what a plan of many costs, and of
// `make bench-convert`, what a conversion costs beside qemu-img.
package bench
