package awsclient

import (
	"path/filepath"
	"testing"
)

// TestDummyKey: a placeholder that AWS itself would get is told; whatever an account may have, and whatever an emulator gets, is not.
func TestDummyKey(t *testing.T) {
	for _, key := range []string{
		"test", "testing", "mock", "mock_access_key", "dummy", "fake", "FAKE", "foo", "local", "localstack", "minioadmin", "000000000000", "111122223333",
		"AKIAIOSFODNN7EXAMPLE", "AKIAI44QH8DHBEXAMPLE", "LKIAQAAAAAAAB7WZ3IHG", "test-access-key-id", "my-access-key", "dummy1", "aws_test_key",
	} {
		isolate(t)
		if got := (Settings{AccessKey: key, SecretKey: "s"}).DummyKey(t.Context()); got != key {
			t.Errorf("%s is not told: %q", key, got)
		}
	}
	for _, key := range []string{
		"", "AKIAREALREALREALREAL", "ASIAQWERTYUIOP234567", "AKIATESTTESTTESTTEST", "ASIAMOCKMOCKMOCKMOCK", "0PN5J17HBGZHT7JJ3X82", "00000000000", "0000000000000",
		"contestant", "testament7",
	} {
		isolate(t)
		if got := (Settings{AccessKey: key, SecretKey: "s"}).DummyKey(t.Context()); got != "" {
			t.Errorf("%s is told", key)
		}
	}
	shared := func(text string) Settings { return Settings{SharedConfigFiles: []string{write(t, "config", text)}} }
	files := func(text string) Settings {
		return Settings{SharedCredentialsFiles: []string{write(t, "credentials", text)}}
	}
	const keys = "aws_access_key_id = test\naws_secret_access_key = test\n"
	for _, c := range []struct {
		name     string
		settings Settings
		env      map[string]string
		want     string
	}{
		{"environment", Settings{}, map[string]string{"AWS_ACCESS_KEY_ID": "test"}, "test"},
		{"credentials file", files("[default]\n" + keys), nil, "test"},
		{"profile", Settings{Profile: "p", SharedCredentialsFiles: files("[p]\n" + keys).SharedCredentialsFiles}, map[string]string{"AWS_ACCESS_KEY_ID": "AKIAREALREALREALREAL"}, "test"},
		{"argument before environment", Settings{AccessKey: "AKIAREALREALREALREAL"}, map[string]string{"AWS_ACCESS_KEY_ID": "test"}, ""},
		{"no keys", Settings{}, nil, ""},
		{"missing profile", Settings{Profile: "absent"}, nil, ""},
		{"web identity", Settings{AssumeRoleWithWebIdentity: &AssumeRoleWithWebIdentity{}}, map[string]string{"AWS_ACCESS_KEY_ID": "test"}, ""},
		{"endpoint", Settings{AccessKey: "test", Endpoints: Endpoints{EC2: "http://127.0.0.1:4566"}}, nil, ""},
		{"endpoint of AWS", Settings{AccessKey: "test", Endpoints: Endpoints{EC2: "https://ec2.us-east-1.amazonaws.com"}}, nil, "test"},
		{"endpoint of another service", Settings{AccessKey: "test", Endpoints: Endpoints{S3: "http://127.0.0.1:4566"}}, nil, "test"},
		{"AWS_ENDPOINT_URL", Settings{AccessKey: "test"}, map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}, ""},
		{"AWS_ENDPOINT_URL_EC2", Settings{AccessKey: "test"}, map[string]string{"AWS_ENDPOINT_URL_EC2": "http://127.0.0.1:4566"}, ""},
		{"AWS_ENDPOINT_URL_S3", Settings{AccessKey: "test"}, map[string]string{"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:4566"}, "test"},
		{"ignored", Settings{AccessKey: "test"}, map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:4566", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, "test"},
		{"endpoint in a file", shared("[default]\nendpoint_url = http://127.0.0.1:4566\n" + keys), nil, ""},
		{"endpoint of EC2 in a file", shared("[default]\nservices = s\n" + keys + "[services s]\nec2 =\n  endpoint_url = http://127.0.0.1:4566\n"), nil, ""},
		{"endpoint in a file of the home directory", Settings{SharedConfigFiles: []string{"$HOME/config"}}, nil, ""},
		{"keys in a file of the home directory", Settings{Profile: "keys", SharedConfigFiles: []string{"$HOME/config"}}, nil, "test"},
		{"endpoint in a file of the environment", Settings{}, map[string]string{"AWS_CONFIG_FILE": "$HOME/config"}, ""},
		{"endpoint in a VPC", Settings{AccessKey: "test", Endpoints: Endpoints{EC2: "https://vpce-1.ec2.us-east-1.vpce.amazonaws.com"}}, nil, "test"},
		{"proxy", Settings{AccessKey: "test", HTTPSProxy: ptr("http://127.0.0.1:5005")}, nil, ""},
		{"proxy of the environment", Settings{AccessKey: "test"}, map[string]string{"HTTPS_PROXY": "http://127.0.0.1:5005"}, ""},
		{"no proxy", Settings{AccessKey: "test", HTTPProxy: ptr(""), HTTPSProxy: ptr("")}, nil, "test"},
		{"web identity of the environment", files("[default]\n" + keys), map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"}, ""},
		{"web identity behind keys", Settings{}, map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"}, "test"},
		{"web identity behind a profile", Settings{Profile: "default", SharedCredentialsFiles: files("[default]\n" + keys).SharedCredentialsFiles},
			map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"}, "test"},
		{"web identity before keys", Settings{AccessKey: "test", AssumeRoleWithWebIdentity: &AssumeRoleWithWebIdentity{}}, nil, ""},
		{"missing CA bundle", Settings{AccessKey: "test"}, map[string]string{"AWS_CA_BUNDLE": "/no/such/file"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			isolate(t)
			t.Setenv("HOME", filepath.Dir(write(t, "config", "[default]\nendpoint_url = http://127.0.0.1:4566\n"+keys+"[profile keys]\n"+keys)))
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			if got := c.settings.DummyKey(t.Context()); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
