package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/cli"
	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

// exampleFiles are what the examples of the command line work on: a disk of 16 MiB of which 1 MiB is no zeros. The data do not compress, so that the
// sizes printed do not hang on the version of Go's compressor.
var exampleFiles = sync.OnceValue(func() map[string][]byte {
	const size = 16 << 20
	data := make([]byte, 0, 1<<20)
	for i := uint64(0); len(data) < cap(data); i++ {
		sum := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, i))
		data = append(data, sum[:]...)
	}
	content := testimage.Run{Offset: 1 << 20, Data: data}
	stream := testimage.VMDK{Layout: testimage.GDAtEnd, Size: size}.Build(content).Data
	later := testimage.Run{Offset: 8 << 20, Data: data[:1<<18]}
	return map[string][]byte{
		"disk.vmdk":  testimage.VMDK{Size: size}.BuildSparse(content).Data,
		"disk.vhdx":  testimage.VHDX{Size: size}.Build(content).Data,
		"disk.qcow2": magic(0, "QFI\xfb\x00\x00\x00\x03"),
		"cut.vmdk":   stream[:512<<10],

		"monday.vhdx":   testimage.VHDX{Size: size}.Build(content).Data,
		"tuesday.avhdx": testimage.VHDX{Size: size, Locator: testimage.VHDXLocator("", `.\monday.vhdx`)}.Build(later).Data,
		"lone.vhd":      testimage.VHD{Size: size, Parent: "base.vhd"}.Build(later).Data,
	}
})

// transcript is what commands print, one after the other in one directory: the answer of those that succeed, the message of those that fail.
// How far they are is not in it.
func transcript(commands ...string) func(context.Context) (string, error) {
	return func(ctx context.Context) (_ string, err error) {
		dir, err := os.MkdirTemp("", "docgen-")
		if err != nil {
			return "", err
		}
		defer func() {
			if failed := os.RemoveAll(dir); err == nil {
				err = failed
			}
		}()
		for name, data := range exampleFiles() {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				return "", err
			}
		}
		text := "```\n"
		for _, command := range commands {
			printed, err := runIn(ctx, dir, command)
			if err != nil {
				return "", err
			}
			text += "$ terraform-provider-ec2 " + command + "\n" + printed
		}
		return text + "```\n", nil
	}
}

// runIn carries out a command in dir.
func runIn(ctx context.Context, dir, command string) (printed string, err error) {
	before, err := os.Getwd()
	if err != nil {
		return "", err
	}
	if err := os.Chdir(dir); err != nil {
		return "", err
	}
	defer func() {
		if failed := os.Chdir(before); err == nil {
			err = failed
		}
	}()
	var stdout, stderr bytes.Buffer
	switch code := cli.Run(ctx, strings.Fields(command), &stdout, &stderr); code {
	case 0:
		return stdout.String(), nil
	case 1:
		return stderr.String(), nil
	default:
		return "", fmt.Errorf("%s: exit code %d: %s", command, code, &stderr)
	}
}
