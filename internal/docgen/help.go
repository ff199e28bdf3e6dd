package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/cli"
)

// help is what a command says of itself, as wide as where the terminal's width is not known.
func help(command string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if err := os.Unsetenv("COLUMNS"); err != nil {
			return "", err
		}
		var stdout, stderr bytes.Buffer
		if code := cli.Run(ctx, []string{command, "--help"}, &stdout, &stderr); code != 0 {
			return "", fmt.Errorf("%s --help: exit code %d: %s", command, code, &stderr)
		}
		return "```\n$ terraform-provider-ec2 " + command + " --help\n" + stdout.String() + "```\n", nil
	}
}
