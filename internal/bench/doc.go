// Package bench holds no code, only the measurements of `make bench-scale`: what many imports at a time cost, and what a plan of many costs.
package bench
