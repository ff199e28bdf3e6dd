package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/testimage"
)

func TestInspectJSON(t *testing.T) {
	raw, dir := disk(), t.TempDir()
	size := int64(len(raw))
	stored := []testimage.Run{{Offset: 0, Data: raw[:100_000]}, {Offset: 2*mib + 5, Data: raw[2*mib+5:]}}
	dynamic := testimage.VHD{Size: size}.Build(stored...).Data
	sparse := testimage.VMDK{Size: size}.BuildSparse(stored...).Data
	zeros := testimage.VMDK{Size: size, Version: 2}.BuildSparse(testimage.Run{Offset: 0, Data: raw[:1000]}, testimage.Run{Offset: mib, Zero: mib}).Data
	stream := testimage.StreamOptimized(testimage.GDAtEnd, raw)
	damaged := testimage.VHD{Size: size}.Build(stored...)
	damaged.Data[damaged.Footer+100] ^= 1

	for _, c := range []struct {
		name string
		data []byte
		want string // with %d for the file's length
	}{
		{"RAW of odd length", raw[:mib+1], `{"format":"RAW","sub_format":null,"virtual_size_bytes":1048577,"volume_size_gib":1,"file_size_bytes":%d,"allocated_bytes":1048577,"importable":true,"reason":null,"sha256":null}`},
		{"VHD dynamic", dynamic, `{"format":"VHD","sub_format":"dynamic","virtual_size_bytes":3146240,"volume_size_gib":1,"file_size_bytes":%d,"allocated_bytes":3146240,"importable":true,"reason":null,"sha256":null}`},
		{"VMDK streamOptimized", stream, `{"format":"VMDK","sub_format":"streamOptimized","virtual_size_bytes":3146240,"volume_size_gib":1,"file_size_bytes":%d,"allocated_bytes":1180160,"importable":true,"reason":null,"sha256":null}`},
		{"VMDK monolithicSparse", sparse, `{"format":"VMDK","sub_format":"monolithicSparse","virtual_size_bytes":3146240,"volume_size_gib":1,"file_size_bytes":%d,"allocated_bytes":1180160,"importable":false,"reason":"VM Import takes stream-optimized VMDKs only; `},
		{"VMDK with grains that are said to be zeros", zeros, `{"format":"VMDK","sub_format":"monolithicSparse","virtual_size_bytes":3146240,"volume_size_gib":1,"file_size_bytes":%d,"allocated_bytes":65536,"importable":false,"reason":"`},
		{"VMDK descriptor that wants to drive the terminal", []byte("# Disk DescriptorFile\nversion=1\ncreateType=\"\x1b[2J\"\nRW 2048 FLAT \"a\" 0\n"), `{"format":"VMDK","sub_format":null,"virtual_size_bytes":null,"volume_size_gib":null,"file_size_bytes":%d,"allocated_bytes":null,"importable":false,"reason":"`},
		{"QCOW2", append([]byte("QFI\xfb\x00\x00\x00\x03"), make([]byte, 1000)...), `{"format":"QCOW2","sub_format":null,"virtual_size_bytes":null,"volume_size_gib":null,"file_size_bytes":%d,"allocated_bytes":null,"importable":false,"reason":"`},
		{"VHD differencing", testimage.VHD{Size: size, Parent: "base.vhd"}.Build().Data, `{"format":"VHD","sub_format":"differencing","virtual_size_bytes":null,"volume_size_gib":null,"file_size_bytes":%d,"allocated_bytes":null,"importable":false,"reason":"`},
		{"VHD with one damaged footer", damaged.Data, `{"format":"VHD","sub_format":"dynamic","virtual_size_bytes":3146240,"volume_size_gib":1,"file_size_bytes":%d,"allocated_bytes":3146240,"importable":false,"reason":"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, dir, "image", c.data)
			code, stdout, stderr := run(t, "inspect", "--json", path)
			want := fmt.Sprintf(c.want, len(c.data))
			if odd := c.name == "RAW of odd length" || c.name == "VHD with one damaged footer"; odd != strings.HasPrefix(stderr, "warning: "+path+": ") || !odd && stderr != "" {
				t.Errorf("stderr %q", stderr)
			}
			if code != 0 || !strings.HasPrefix(stdout, want) || strings.HasSuffix(want, "}") && stdout != want+"\n" {
				t.Errorf("exit code %d, stderr %q, stdout\n%swant\n%s", code, stderr, stdout, want)
			}
			if !json.Valid([]byte(stdout)) || strings.Count(stdout, "\n") != 1 {
				t.Errorf("%q is not one line of JSON", stdout)
			}
		})
	}
}

func TestInspectText(t *testing.T) {
	t.Setenv("LC_ALL", "C.UTF-8")
	path := write(t, t.TempDir(), "disk.vmdk", testimage.StreamOptimized(testimage.GDAtEnd, disk()))
	code, stdout, stderr := run(t, "inspect", "--sha256", path)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, words := range []string{
		"VMDK streamOptimized", "3.0 MiB (3146240 bytes), a volume of 1 GiB", "1.1 MiB (1180160 bytes)", "yes, VM Import takes it",
		sha256Of(disk()) + " of the disk",
		"map         ████▒····", // 100,000 bytes in cells of 28 KiB, rounded up to grains
		"            each 28 KiB: · no data, ░▒▓ some, █ all data",
	} {
		if !strings.Contains(stdout, words) {
			t.Errorf("it does not say %q:\n%s", words, stdout)
		}
	}
	if !strings.Contains(stderr, "hashing: 100 %") {
		t.Errorf("stderr %q does not say how far it is", stderr)
	}
}

func TestInspectRefuses(t *testing.T) {
	dir := t.TempDir()
	stream := testimage.VMDK{Size: 4 * mib}.Build(testimage.Run{Offset: mib, Data: disk()[:200_000]})
	stream.Data[stream.Grain[17]+20] ^= 0xff // in the middle of a compressed grain
	footer := testimage.VHD{Fixed: true, Size: mib}.Build()
	footer.Data[footer.Footer+100] ^= 1
	for _, c := range []struct {
		name  string
		args  []string
		words []string
	}{
		{"no file", []string{dir + "/none"}, []string{dir + "/none: no such file"}},
		{"a directory", []string{dir}, []string{"it is a directory"}},
		{"a device", []string{os.DevNull}, []string{"it is a device, not a regular file"}},
		{"an empty file", []string{write(t, dir, "empty", nil)}, []string{"the file has no bytes"}},
		{"a magic with a bad version", []string{write(t, dir, "version", append([]byte("KDMV\x09\x00\x00\x00"), make([]byte, 4096)...))}, []string{"corrupt VMDK", "version", "9", "export the image again"}},
		{"a magic with a bad checksum", []string{write(t, dir, "sum", footer.Data)}, []string{"corrupt VHD", "checksum", "export the image again"}},
		{"a damaged grain, which only reading shows", []string{"--sha256", write(t, dir, "grain", stream.Data)}, []string{"corrupt VMDK", "grain"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			refused(t, 1, append([]string{"inspect"}, c.args...), c.words...)
			refused(t, 1, append([]string{"inspect", "--json"}, c.args...), c.words...)
		})
	}
}

// inspectCorpus holds `inspect --json` against the manifest.
func inspectCorpus(t *testing.T, row testimage.Row, path string) {
	t.Helper()
	code, stdout, stderr := run(t, "inspect", "--json", path)
	if strings.Contains(row.File, "badsum") || strings.HasSuffix(row.File, "empty.raw") {
		if code != 1 || stdout != "" {
			t.Errorf("inspect: exit code %d, stdout %q", code, stdout)
		}
		return
	}
	var d struct {
		Format           string  `json:"format"`
		VirtualSizeBytes *int64  `json:"virtual_size_bytes"`
		Importable       bool    `json:"importable"`
		Reason           *string `json:"reason"`
	}
	if err := json.Unmarshal([]byte(stdout), &d); code != 0 || err != nil {
		t.Fatalf("inspect: exit code %d, %v, stderr %q", code, err, stderr)
	}
	if accept := !strings.HasPrefix(row.ExpectStrict, "refuse"); d.Importable != accept || (d.Reason == nil) != accept {
		t.Errorf("inspect: %s, the manifest says %q", stdout, row.ExpectStrict)
	}
	if row.Format == "detect" {
		return // what these are is a table of the detection's own tests
	}
	if d.Format != row.Format {
		t.Errorf("inspect: format %s, the manifest says %s", d.Format, row.Format)
	}
	if d.VirtualSizeBytes != nil && *d.VirtualSizeBytes != row.VirtualSize {
		t.Errorf("inspect: %d bytes, the manifest says %d", *d.VirtualSizeBytes, row.VirtualSize)
	}
}
