// Package main is `make demo`: the provider's main job on a real disk image, through the real CLI, without AWS. It checks what it shows: the
// bytes of the snapshot against those of the disk, a file inside it, the empty second plan, and that destroy leaves nothing. It writes in
// .demo/ only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"
)

const (
	workDir = ".demo" // emptied at the start, removed at the end
	example = "examples/local"
)

func main() {
	cli := flag.String("cli", "terraform", "terraform or tofu")
	cliConfig := flag.String("cli-config", "", "CLI configuration in whose mirror the provider is installed")
	image := flag.String("image", "", "a disk image of your own: RAW, VHD, VHDX or streamOptimized VMDK")
	flag.Parse()

	// A Ctrl-C reaches the CLI too, which stops in its own time; the demo only must not die before it.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	if err := run(ctx, *cli, *cliConfig, *image); err != nil {
		var failed *commandError
		if errors.As(err, &failed) {
			fmt.Fprintf(os.Stderr, "\nAll that %s said:\n\n%s", failed.command, failed.output)
		}
		fmt.Fprintf(os.Stderr, "\nThe demo failed: %v\n", err)
		if _, err := os.Stat(workDir); err == nil {
			fmt.Fprintf(os.Stderr, "What it wrote is in %s for a look; `make demo` starts afresh.\n", workDir)
		}
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, cliPath, cliConfig, image string) error {
	started := time.Now()
	fmt.Printf("A disk image becomes an EBS snapshot with %s, without AWS.\n", filepath.Base(cliPath))

	if _, err := exec.LookPath(cliPath); err != nil {
		return fmt.Errorf("the CLI: %w; name another with CLI=", err)
	}
	dir, err := filepath.Abs(workDir)
	if err != nil {
		return err
	}
	if image != "" && inside(dir, image) {
		return fmt.Errorf("%s is in %s, which the demo empties first: move it elsewhere", image, workDir)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clearing what an earlier demo left: %w", err)
	}

	step("The disk")
	var d *disk
	if image == "" {
		d, err = makeDisk(ctx, filepath.Join(dir, "images"))
	} else {
		d, err = openDisk(ctx, image)
	}
	if err != nil {
		return err
	}

	c := &cli{path: cliPath, config: cliConfig, dir: filepath.Join(dir, "local")}
	step("The configuration: a copy of " + example)
	if err := copyConfiguration(c.dir, example); err != nil {
		return err
	}
	variables := []string{"-var=images_dir=" + filepath.Dir(d.path), "-var=image=" + filepath.Base(d.path), "-var=task_duration=" + taskDuration.String()}
	if _, err := c.run(ctx, quiet, "init", "-input=false", "-no-color"); err != nil {
		return fmt.Errorf("%w; is the provider in the mirror (`make install`)?", err)
	}
	say("initialized with the provider of this checkout")

	step("Import: apply")
	if _, err := c.run(ctx, showApply, append([]string{"apply", "-auto-approve", "-input=false", "-no-color"}, variables...)...); err != nil {
		return err
	}
	out, err := c.outputs(ctx)
	if err != nil {
		return err
	}
	volume := out["volume_path"]
	if !filepath.IsAbs(volume) {
		volume = filepath.Join(c.dir, volume)
	}
	fact("task", out["import_task_id"])
	fact("snapshot", out["snapshot_id"])
	fact("volume", relative(volume))
	fact("SHA-256", out["volume_sha256"])

	step("Is it the same disk?")
	if err := d.compare(volume, out["volume_sha256"]); err != nil {
		return err
	}

	step("Once is enough: plan again")
	if err := c.emptyPlan(ctx, variables); err != nil {
		return err
	}

	step("Away with it: destroy")
	if _, err := c.run(ctx, showDestroy, append([]string{"destroy", "-auto-approve", "-input=false", "-no-color"}, variables...)...); err != nil {
		return err
	}
	if err := nothingLeft(filepath.Dir(volume)); err != nil {
		return err
	}
	say("no volume is left in " + relative(filepath.Dir(volume)))

	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("cleaning up: %w", err)
	}
	fmt.Printf("\nAll of it worked, in %s. %s is removed again.\n", time.Since(started).Round(100*time.Millisecond), relative(dir))
	return nil
}

// inside tells whether a file lies in a directory, whatever links lead to it.
func inside(dir, file string) bool {
	realDir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false // the directory is not there yet
	}
	realFile, err := filepath.EvalSymlinks(file)
	if err != nil {
		return false // opening it will say so
	}
	if realFile, err = filepath.Abs(realFile); err != nil {
		return false
	}
	within, err := filepath.Rel(realDir, realFile)
	return err == nil && filepath.IsLocal(within)
}

// nothingLeft is an error where destroy left a file among the volumes. A directory that is gone is fine.
func nothingLeft(volumes string) error {
	entries, err := os.ReadDir(volumes)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("looking for what destroy left: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("destroy left %s in %s", entries[0].Name(), relative(volumes))
	}
	return nil
}

func step(title string)        { fmt.Printf("\n%s\n", title) }
func say(line string)          { fmt.Printf("  %s\n", line) }
func fact(name, value string)  { fmt.Printf("  %-9s %s\n", name, value) }
func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// relative is path as a reader in the current directory would write it.
func relative(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if r, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(r) {
		return r
	}
	return path
}
