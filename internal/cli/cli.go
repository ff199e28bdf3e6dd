// Package cli is the command line of the provider's binary: inspect, convert and serve. It is stable for scripts: what a command answers is on
// stdout, everything else on stderr, and the exit code is 0 for done, 1 for refused or failed, 2 for wrong usage.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// program is the name that help and messages call it by.
const program = "terraform-provider-ec2"

type commands struct {
	Inspect inspectCommand `cmd:"" help:"Say what a disk image is, and whether VM Import takes it."`
	Convert convertCommand `cmd:"" help:"Convert a disk image to a raw disk or to a stream-optimized VMDK."`
	Serve   serveCommand   `cmd:"" help:"Answer EC2 on a local port: import snapshots without AWS."`

	Completion completionCommand `cmd:"" help:"Print the completion script of a shell."`
}

// environment is what a command has beside its arguments.
type environment struct {
	ctx            context.Context //nolint:containedctx // kong binds values, and this is the call's own
	stdout, stderr io.Writer
}

// usageError is a mistake in the arguments that only the command itself can see.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Run carries out one command line, without the program's name, and returns the exit code. A command whose context ends stops and cleans up.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var help struct {
		asked bool
		err   error
	}
	parser, err := kong.New(&commands{},
		kong.Name(program),
		kong.KindMapper(reflect.String, kong.MapperFunc(decodeString)),
		kong.Description("Terraform and OpenTofu start this program themselves. By hand it looks at disk images, converts them, and plays EC2."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) {}), // kong calls it behind --help only
		kong.Help(func(options kong.HelpOptions, ctx *kong.Context) error {
			help.asked, help.err = true, kong.DefaultHelpPrinter(options, ctx)
			return help.err
		}),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 120}),
	)
	if err != nil {
		return complain(stderr, exitFailed, err)
	}
	parsed, err := parser.Parse(args)
	if help.asked {
		if help.err != nil && !errors.Is(help.err, syscall.EPIPE) { // of which the reader has seen enough: `--help | head`
			return complain(stderr, exitFailed, help.err)
		}
		return exitDone
	}
	if err == nil {
		err = parsed.Run(environment{ctx: ctx, stdout: stdout, stderr: stderr})
	} else {
		parsed = nil
		if p, ok := errors.AsType[*kong.ParseError](err); ok {
			parsed = p.Context
		}
		err = usageError{err}
	}
	if err == nil {
		return exitDone
	}
	if _, usage := errors.AsType[usageError](err); !usage {
		return complain(stderr, exitFailed, err)
	}
	complain(stderr, exitUsage, err)
	command := program
	if parsed != nil && parsed.Selected() != nil {
		command += " " + parsed.Selected().Name
	}
	if text := err.Error(); strings.HasPrefix(text, "unknown flag -") && !strings.HasPrefix(text, "unknown flag --") {
		_, _ = fmt.Fprintln(stderr, "A file whose name begins with a dash is given as ./-NAME.")
	}
	_, _ = fmt.Fprintf(stderr, "Run \"%s --help\" for what it takes.\n", command)
	return exitUsage
}

func complain(stderr io.Writer, code int, err error) int {
	_, _ = fmt.Fprintf(stderr, "%s: %v\n", program, err)
	return code
}
