package awsclient

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/aws-sdk-go-base/v2/logging"
)

// logger passes on what aws-sdk-go-base and the clients have to say, without the secrets. The masks of aws-sdk-go-base know
// secret keys by their length and key ids by their prefix; session tokens, web identity tokens and the keys of other issuers they let through.
type logger struct {
	to      logging.Logger
	secrets *strings.Replacer
}

// newLogger knows the secrets of the settings and the environment by heart.
func newLogger(s Settings, to logging.Logger) logger {
	known := []string{s.Token, os.Getenv("AWS_SESSION_TOKEN"), os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")}
	for _, pair := range [][2]string{{s.AccessKey, s.SecretKey}, {os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")}} {
		switch {
		case !placeholder(pair[0]):
			known = append(known, pair[:]...)
		// A placeholder such as "localstack" or an account's number is also part of the host names and ARNs that an error must show.
		case !placeholder(pair[1]):
			known = append(known, pair[1])
		}
	}
	if role := s.AssumeRoleWithWebIdentity; role != nil {
		known = append(known, role.WebIdentityToken)
	}
	for _, proxy := range s.proxies() {
		if u, err := url.Parse(proxy); err == nil && u.User != nil {
			password, _ := u.User.Password()
			known = append(known, password)
		}
	}
	var pairs []string
	for _, secret := range known {
		// Words like "test", which emulators take for keys, would mask half of the log.
		if len(secret) >= 8 {
			pairs = append(pairs, secret, masked, url.QueryEscape(secret), masked)
		}
	}
	return logger{to: to, secrets: strings.NewReplacer(pairs...)}
}

var (
	// secretFields are the ends of the names of fields and headers. External ids are known by name alone: many are words that stand everywhere.
	secretFields = []string{"authorization", "security_token", "bearer_token", "metadata_token", "cookie", "external_id"}

	// openServices are those whose bodies carry no credentials.
	openServices = []string{"EC2/", "S3/", "KMS/"}
)

// redact masks the secrets that are known by heart, and those that show by their form.
func (l logger) redact(s string) string {
	return Redact(l.secrets.Replace(s))
}

type methodKey struct{}

func (l logger) clean(ctx context.Context, fields []map[string]any) []map[string]any {
	method, _ := ctx.Value(methodKey{}).(string)
	open := slices.ContainsFunc(openServices, func(prefix string) bool { return strings.HasPrefix(method, prefix) })
	cleaned := make([]map[string]any, len(fields))
	for i, m := range fields {
		cleaned[i] = make(map[string]any, len(m))
		for name, value := range m {
			switch {
			case strings.HasSuffix(name, ".body") && !open:
				value = "[not logged: may hold credentials]"
			case slices.ContainsFunc(secretFields, func(end string) bool { return strings.HasSuffix(name, end) }):
				value = masked
			}
			cleaned[i][name] = l.cleanValue(value)
		}
	}
	return cleaned
}

func (l logger) cleanValue(value any) any {
	switch v := value.(type) {
	case nil, bool, int, int64, float64:
		return v
	case []string:
		texts := make([]string, len(v))
		for i, text := range v {
			texts[i] = l.redact(text)
		}
		return texts
	case string:
		return l.redact(v)
	}
	return l.redact(fmt.Sprint(value))
}

func (l logger) Warn(ctx context.Context, msg string, fields ...map[string]any) {
	l.to.Warn(ctx, l.redact(msg), l.clean(ctx, fields)...)
}

func (l logger) Info(ctx context.Context, msg string, fields ...map[string]any) {
	l.to.Info(ctx, l.redact(msg), l.clean(ctx, fields)...)
}

func (l logger) Debug(ctx context.Context, msg string, fields ...map[string]any) {
	l.to.Debug(ctx, l.redact(msg), l.clean(ctx, fields)...)
}

func (l logger) Trace(ctx context.Context, msg string, fields ...map[string]any) {
	l.to.Trace(ctx, l.redact(msg), l.clean(ctx, fields)...)
}

// SetField also remembers which call it is, for the decision about bodies.
func (l logger) SetField(ctx context.Context, key string, value any) context.Context {
	if method, ok := value.(string); ok && key == "rpc.method" {
		ctx = context.WithValue(ctx, methodKey{}, method)
	}
	return l.to.SetField(ctx, key, l.cleanValue(value))
}

func (l logger) SubLogger(ctx context.Context, name string) (context.Context, logging.Logger) {
	ctx, sub := l.to.SubLogger(ctx, name)
	return ctx, logger{to: sub, secrets: l.secrets}
}
