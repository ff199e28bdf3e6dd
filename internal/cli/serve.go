package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/net/netutil"

	"github.com/ec2-import-snapshot/terraform-provider-ec2/internal/localec2"
)

type serveCommand struct {
	Listen     string   `default:"127.0.0.1:4599" placeholder:"ADDRESS" help:"Address and port; port 0 takes a free one (${default})."`
	DataDir    *string  `placeholder:"DIR" help:"Directory of tasks, snapshots and volumes ($$EC2_LOCAL_DATA_DIR, else .ec2-local)."`
	Bucket     []string `sep:"none" placeholder:"NAME=DIR" help:"A bucket and the directory that holds its objects; may be repeated."`
	S3Endpoint string   `name:"s3-endpoint" placeholder:"URL" help:"S3 that holds all other buckets, read with the AWS_* keys of the environment."`
	AllowHTTPS bool     `name:"allow-https" help:"Fetch images from https URLs too, on public addresses only."`
	Simulate   []string `sep:"none" placeholder:"KEY=VALUE" help:"task_duration=30s, fail_with=TEXT or encryption_by_default=true; may be repeated."`
	Strict     bool     `default:"true" help:"Refuse what VM Import refuses; --strict=false imports all that can be read."`
	LogFormat  string   `enum:"text,json" default:"text" placeholder:"text|json" help:"How messages look on stderr (${default})."`
}

// Help is the part of `serve --help` below its summary.
func (serveCommand) Help() string {
	return `Prints the endpoint's URL on stdout when it is ready, and on stderr what to export for the aws CLI, an SDK or a provider. SIGINT or SIGTERM stops it; imports that are not finished go on at the next start.

Examples:

  terraform-provider-ec2 serve --bucket images=./images
  terraform-provider-ec2 serve --listen 127.0.0.1:0 --data-dir /tmp/ec2 --s3-endpoint http://127.0.0.1:4566
  terraform-provider-ec2 serve --bucket images=./images --simulate task_duration=20s --simulate fail_with="ClientError: Unsupported file"`
}

// Run serves until the context ends.
func (c *serveCommand) Run(env environment) error {
	config, err := c.config(hclog.New(&hclog.LoggerOptions{
		Name: "serve", Level: hclog.Info, Output: env.stderr, JSONFormat: c.LogFormat == "json",
	}))
	if err != nil {
		return err
	}
	if host, port, err := net.SplitHostPort(c.Listen); err != nil || host == "" {
		return usageError{fmt.Errorf("--listen %q: expected an address and a port, like 127.0.0.1:4599; for all addresses of this machine say 0.0.0.0", c.Listen)}
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return usageError{fmt.Errorf("--listen %q: %q is no port", c.Listen, port)}
	}
	endpoint := localec2.New(config)
	if err := errors.Join(c.serve(env, endpoint, config.Log), endpoint.Close()); err != nil {
		return err
	}
	config.Log.Info("stopped")
	return nil
}

// maxConnections bounds what callers can make the process hold: each may have a body of a MiB on its way.
const maxConnections = 256

func (c *serveCommand) serve(env environment, endpoint *localec2.Endpoint, log hclog.Logger) error {
	var listen net.ListenConfig
	listener, err := listen.Listen(env.ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w; choose another address with --listen (127.0.0.1:0 takes a free port)", err)
	}
	server := &http.Server{
		Handler: fromPrograms(endpoint, listener.Addr()), ErrorLog: log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
		// A caller that is slow, or does not read, must not hold a connection for ever. The answer to a call may have to wait for S3.
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 3 * time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
	}
	if err := endpoint.ResumeAll(env.ctx); err != nil {
		return errors.Join(err, listener.Close())
	}
	if a, err := netip.ParseAddrPort(listener.Addr().String()); err == nil && !a.Addr().IsLoopback() {
		log.Warn("listening beyond this machine: whoever reaches the port can import, see and delete, without a password", "address", a.String())
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(netutil.LimitListener(listener, maxConnections)) }()
	if err := c.announce(env, "http://"+reachable(listener.Addr()), log); err != nil {
		return errors.Join(fmt.Errorf("say on stdout that it is ready: %w", err), server.Close())
	}

	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-env.ctx.Done():
	}
	// The signal is the normal end. Calls that are being answered get a moment; imports need none, they go on at the next start.
	ending, cancel := context.WithTimeout(context.WithoutCancel(env.ctx), 3*time.Second)
	defer cancel()
	if err := server.Shutdown(ending); err != nil {
		_ = server.Close()
	}
	return nil
}

// fromPrograms keeps web pages out, which a browser lets send requests to this port. Browsers say where a page comes from, but not with every
// request; what they cannot hide is the name by which they were led here. So where only this machine is served, it must be one of its own.
func fromPrograms(endpoint http.Handler, listening net.Addr) http.Handler {
	bound, err := netip.ParseAddrPort(listening.String())
	ownOnly := err == nil && bound.Addr().IsLoopback()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site := r.Header.Get("Sec-Fetch-Site")
		switch {
		case r.Header.Get("Origin") != "" || site != "" && site != "none":
			localec2.Refuse(w, http.StatusForbidden, "UnauthorizedOperation", "This endpoint is for programs, not for web pages.")
		case ownOnly && !isOwnName(r.Host):
			localec2.Refuse(w, http.StatusForbidden, "UnauthorizedOperation",
				"This endpoint serves its own machine only, under the names localhost and 127.0.0.1. Use one of them, or listen on another address.")
		default:
			endpoint.ServeHTTP(w, r)
		}
	})
}

// isOwnName: an address, or a name that no DNS can lead here.
func isOwnName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	_, err := netip.ParseAddr(host)
	return err == nil || host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// announce says that the endpoint is ready. Stdout gets the one line that scripts wait for.
func (c *serveCommand) announce(env environment, endpoint string, log hclog.Logger) error {
	exports := []string{
		"AWS_ENDPOINT_URL_EC2=" + endpoint, "AWS_ENDPOINT_URL_STS=" + endpoint,
		"AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
	}
	if c.LogFormat == "json" {
		log.Info("to use it from a shell, export these", "exports", exports)
	} else {
		_, _ = fmt.Fprintf(env.stderr, "To use it from a shell:\n\n  export %s\n\n", strings.Join(exports, "\n  export "))
	}
	_, err := fmt.Fprintf(env.stdout, "listening on %s\n", endpoint)
	return err
}

// reachable is an address that a client of this machine can use.
func reachable(a net.Addr) string {
	bound, err := netip.ParseAddrPort(a.String())
	if err != nil || !bound.Addr().IsUnspecified() {
		return a.String()
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(bound.Port())))
}
