// Command terraform-provider-ec2 is the Terraform provider that turns disk images in S3 into EBS snapshots.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"

	fwprovider "github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/provider"
)

// version is set by the build.
var version = "dev"

func main() {
	debug := flag.Bool("debug", false, "run for a debugger: print what to export instead of being started by Terraform")
	flag.Parse()
	if flag.NArg() > 0 {
		log.SetFlags(0)
		log.Printf("unexpected argument %q: this program is started by terraform or tofu", flag.Arg(0))
		os.Exit(2)
	}

	// A SIGTERM to the process group reaches the provider too. Terraform asks it to stop by its own protocol and then wants an answer, which is
	// what keeps a running import in the state; dying here would lose it (P6).
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGTERM)

	p := provider.New(version)
	err := providerserver.Serve(context.Background(), func() fwprovider.Provider { return p }, providerserver.ServeOpts{
		Address: provider.Address, Debug: *debug,
	})
	if err = errors.Join(err, p.Close()); err != nil {
		log.Fatal(err)
	}
}
