// Command docgen writes into the guides what the code knows better than an author: the failures that are explained, the formats that are told
// apart, the help of the command line and what its examples print. It replaces what is between
//
//	<!-- begin generated: NAME -->
//	<!-- end generated -->
//
// in every template of templates/guides. With -check it writes nothing and fails where a block is not what it would write.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// blocks are what can be generated, by their name.
var blocks = map[string]func(context.Context) (string, error){
	"task failures":   taskFailures,
	"call failures":   callFailures,
	"formats read":    formatsRead,
	"formats refused": formatsRefused,
	"inspect help":    help("inspect"),
	"convert help":    help("convert"),
	"serve help":      help("serve"),
	"completion help": help("completion"),

	"first look": transcript("inspect disk.vmdk", "convert --to vmdk --verify disk.vmdk upload.vmdk", "inspect upload.vmdk"),
	"inspect":    transcript("inspect disk.vmdk", "inspect --json disk.vhdx", "inspect disk.qcow2"),
	"chain":      transcript("inspect tuesday.avhdx", "convert --to vmdk --verify tuesday.avhdx upload.vmdk"),
	"incomplete": transcript("inspect lone.vhd"),
	"corrupt":    transcript("inspect cut.vmdk"),
	"convert":    transcript("convert --to vmdk --verify disk.vmdk upload.vmdk", "convert --json disk.vhdx disk.raw"),
	"refused":    transcript("convert disk.qcow2 disk.raw", "convert --strict disk.vmdk disk.raw"),
}

func main() {
	check := flag.Bool("check", false, "write nothing, fail where a block is stale")
	flag.Parse()
	if err := run(context.Background(), filepath.Join("templates", "guides"), *check); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, check bool) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.md.tmpl"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("there are no templates in %s: run it in the root of the checkout", dir)
	}
	var used []string
	for _, file := range files {
		before, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		after, names, err := renew(ctx, before)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		used = append(used, names...)
		switch {
		case bytes.Equal(before, after):
		case check:
			return fmt.Errorf("%s: a generated block is not what the code says now; run: make generate", file)
		default:
			if err := os.WriteFile(file, after, 0o644); err != nil {
				return err
			}
		}
	}
	for name := range blocks {
		if !slices.Contains(used, name) {
			return fmt.Errorf("no template of %s has the block %q", dir, name)
		}
	}
	return nil
}

const (
	begin    = "<!-- begin generated: "
	beginEnd = " -->\n"
	end      = "<!-- end generated -->\n"
)

// renew replaces the blocks of one template.
func renew(ctx context.Context, text []byte) (renewed []byte, names []string, err error) {
	for {
		head, rest, found := bytes.Cut(text, []byte(begin))
		renewed = append(renewed, head...)
		if !found {
			return renewed, names, nil
		}
		name, rest, named := bytes.Cut(rest, []byte(beginEnd))
		_, rest, closed := bytes.Cut(rest, []byte(end))
		make, known := blocks[string(name)]
		if !named || !closed || !known {
			return nil, nil, fmt.Errorf("block %.40q: want %sNAME%sand %s, and NAME one that is known", name, begin, beginEnd, end)
		}
		content, err := make(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("block %q: %w", name, err)
		}
		if bytes.Contains([]byte(content), []byte("{{")) {
			return nil, nil, fmt.Errorf("block %q has {{ in it, which would be taken for a part of the template", name)
		}
		renewed = fmt.Appendf(renewed, "%s%s%s\n%s\n%s", begin, name, beginEnd, content, end)
		names, text = append(names, string(name)), rest
	}
}
