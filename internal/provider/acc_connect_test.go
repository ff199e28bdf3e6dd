package provider_test

import (
	"testing"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/acctest"
)

// TestRule5Configuration: what the configuration is to blame for is not said to be the network's, and has cause and cure.
func TestRule5Configuration(t *testing.T) {
	for name, test := range map[string]struct {
		change func(config map[string]any)
		title  string
		says   []string
	}{
		"half a key": {func(config map[string]any) { delete(config, "secret_key") }, "No Valid Credentials", []string{"static credentials are empty", "`secret_key`"}},
		"no keys": {func(config map[string]any) {
			delete(config, "access_key")
			delete(config, "secret_key")
		}, "No Valid Credentials", []string{"No valid credential sources found", "`profile`"}},
		"no such profile": {func(config map[string]any) {
			delete(config, "access_key")
			delete(config, "secret_key")
			config["profile"] = "nobody"
		}, "No Valid Credentials", []string{"nobody", "`profile`"}},
		"another account": {func(config map[string]any) {
			config["allowed_account_ids"], config["skip_requesting_account_id"] = []any{"444455556666"}, false
		}, "Account Not Allowed", []string{"111122223333", "`allowed_account_ids`"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEC2(t)
			config := e.Config()
			test.change(config)
			c := acctest.StartCore(t)
			if d := c.Configure(config); len(d) > 0 {
				t.Fatal(d)
			}
			_, d := c.Create(with())
			if len(d) != 1 || !d.HasError() || d[0].Summary != test.title {
				t.Fatalf("want %q, got\n%s", test.title, d)
			}
			if missing := lacks(d[0].Detail, append(test.says, "Cause: ", "Cure: ")...); len(missing) > 0 {
				t.Errorf("the error lacks %q:\n%s", missing, d[0].Detail)
			}
		})
	}
}
