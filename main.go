// Command terraform-provider-ec2 is the Terraform provider that turns disk images in S3 into EBS snapshots, and a command line around them.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	fwprovider "github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/cli"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/provider"
)

// version is set by the build.
var version = "dev"

func main() {
	args := os.Args[1:]
	debug := len(args) == 1 && (args[0] == "-debug" || args[0] == "--debug")
	// Without arguments Terraform starts it, and says so by go-plugin's cookie. A person gets the usage.
	if len(args) == 0 && os.Getenv("TF_PLUGIN_MAGIC_COOKIE") != "" || debug {
		servePlugin(debug)
		return
	}
	// A reader that goes away (`2>&1 | head`) must not kill a conversion before it has cleaned up, nor an endpoint: writing fails instead.
	signal.Ignore(syscall.SIGPIPE)
	// The second signal ends the process at once: by then the default is back. SIGHUP is a terminal that was closed, unless nohup has it ignored.
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Run(ctx, args, os.Stdout, os.Stderr))
}

// servePlugin speaks with Terraform or OpenTofu, or with a debugger, which is told what to export.
func servePlugin(debug bool) {
	// A SIGTERM to the process group reaches the provider too. Terraform asks it to stop by its own protocol and then wants an answer, which is
	// what keeps a running import in the state; dying here would lose it (P6).
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGTERM)

	p := provider.New(version)
	if !debug {
		go endWithParent(func() {
			if err := p.Close(); err != nil {
				log.Print(err)
			}
			os.Exit(1)
		})
	}
	err := providerserver.Serve(context.Background(), func() fwprovider.Provider { return p }, providerserver.ServeOpts{
		Address: provider.Address, Debug: debug,
	})
	if err = errors.Join(err, p.Close()); err != nil {
		log.Fatal(err)
	}
}

// endWithParent calls end when the CLI that started this process is gone. The plugin server by itself ends with its connection; killed before it has
// made one, a CLI would leave a process that waits for it for ever. Windows has no such adoption: there the parent's number stays.
func endWithParent(end func()) {
	parent := os.Getppid()
	for range time.Tick(time.Second) {
		if os.Getppid() != parent {
			end()
			return
		}
	}
}
