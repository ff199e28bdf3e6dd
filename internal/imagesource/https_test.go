package imagesource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// startHTTPS serves by the handler under the test certificate, which is good for example.com; the transport resolves every name to the server.
func startHTTPS(t *testing.T, handler http.HandlerFunc) (*httptest.Server, *Opener) {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	transport, ok := server.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatal("no transport")
	}
	return server, &Opener{HTTPS: true, AllowPrivate: true, Transport: transport}
}

func serveImage(content []byte, etag string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if etag != "" {
			w.Header().Set("ETag", etag)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}

func TestHTTPSReads(t *testing.T) {
	content := noise(testSize + 100)
	for _, etag := range []string{`"strong"`, `W/"weak"`, ""} {
		t.Run("etag "+etag, func(t *testing.T) {
			var bytes atomic.Int64
			server, o := startHTTPS(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet {
					t.Error(r.Method)
				}
				bytes.Add(spent(t, []*http.Request{r}))
				serveImage(content, etag)(w, r)
			})
			obj, err := o.Open(t.Context(), Location{URL: server.URL + "/disk?X-Amz-Signature=s"})
			if err != nil {
				t.Fatal(err)
			}
			defer shut(t, obj)
			checkReadAt(t, obj, content)
			if obj.ETag() != strings.Trim(etag, `"`) && obj.ETag() != etag {
				t.Errorf("etag %q", obj.ETag())
			}
			if n := bytes.Load(); n != int64(len(content))+1 {
				t.Errorf("%d bytes were asked for, and the object has %d", n, len(content))
			}
		})
	}
}

func TestHTTPSEmpty(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"200": serveImage(nil, `"e"`),
		"416": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes */0")
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		},
	} {
		server, o := startHTTPS(t, handler)
		obj, err := o.Open(t.Context(), Location{URL: server.URL})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if obj.Size() != 0 {
			t.Errorf("%s: size %d", name, obj.Size())
		}
		shut(t, obj)
	}
}

func TestHTTPSChanged(t *testing.T) {
	for _, c := range []struct{ name, before, after string }{
		{"strong ETag, checked by the server", `"a"`, `"b"`},
		{"weak ETag, checked here", `W/"a"`, `W/"b"`},
		{"Last-Modified", "", ""},
		{"size", "", ""},
		{"strong ETag, server ignores conditions", `"a"`, `"b"`},
		{"Last-Modified, server ignores conditions", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var changed atomic.Bool
			server, o := startHTTPS(t, func(w http.ResponseWriter, r *http.Request) {
				etag, content, modified := c.before, noise(2*testSize), time.Time{}
				if changed.Load() {
					etag = c.after
				}
				switch {
				case strings.HasPrefix(c.name, "Last-Modified") && changed.Load():
					modified = time.Unix(2e9, 0)
				case strings.HasPrefix(c.name, "Last-Modified"):
					modified = time.Unix(1e9, 0)
				case c.name == "size" && changed.Load():
					content = content[:2*testSize-1]
				}
				if etag != "" {
					w.Header().Set("ETag", etag)
				}
				if strings.Contains(c.name, "ignores") {
					r.Header.Del("If-Match")
					r.Header.Del("If-Unmodified-Since")
				}
				http.ServeContent(w, r, "", modified, bytes.NewReader(content))
			})
			obj, err := o.Open(t.Context(), Location{URL: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			defer shut(t, obj)
			if _, err := obj.ReadAt(make([]byte, 1), 0); err != nil {
				t.Fatal(err)
			}
			changed.Store(true)
			if _, err := obj.ReadAt(make([]byte, 1), testSize); !errors.Is(err, ErrChanged) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestHTTPSRefuses(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		check   func(error) bool
		says    string
	}{
		{"no ranges", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("the whole file")) }, not(is(ErrNotFound)), "does not serve ranges"},
		{"no size", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-0/*")
			w.WriteHeader(http.StatusPartialContent)
		}, not(is(ErrNotFound)), "how large"},
		{"not found", status(404), is(ErrNotFound), "correct the URL"},
		{"forbidden", status(403), is(ErrForbidden), "may have expired"},
		{"teapot", status(418), not(is(ErrNotFound)), "418"},
		{"redirect to http", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://h.example/?token=secret", http.StatusFound)
		}, not(is(ErrNotFound)), "from https to http://h.example/"},
		{"redirects without end", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) },
			not(is(ErrNotFound)), "more than 10 redirects"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, o := startHTTPS(t, c.handler)
			obj, err := o.Open(t.Context(), Location{URL: server.URL + "/disk?X-Amz-Signature=secret"})
			if err == nil {
				shut(t, obj)
				t.Fatal("opened")
			}
			if !c.check(err) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestHTTPSBusyServer(t *testing.T) {
	var refusals atomic.Int64
	refusals.Store(1)
	server, o := startHTTPS(t, func(w http.ResponseWriter, r *http.Request) {
		if refusals.Add(-1) >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		serveImage([]byte("content"), `"e"`)(w, r)
	})
	obj, err := o.Open(t.Context(), Location{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	shut(t, obj)
	refusals.Store(100)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped")
	cancel(stop)
	if _, err := o.Open(ctx, Location{URL: server.URL}); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

func TestHTTPSPrivateAddresses(t *testing.T) {
	inside, o := startHTTPS(t, serveImage([]byte("secret of the private network"), `"e"`))
	o.AllowPrivate = false
	if _, err := o.Open(t.Context(), Location{URL: inside.URL}); !errors.Is(err, ErrPrivate) {
		t.Errorf("private host, not allowed: %v", err)
	}
	o.AllowPrivate = true
	obj, err := o.Open(t.Context(), Location{URL: inside.URL})
	if err != nil {
		t.Fatalf("private host, allowed: %v", err)
	}
	shut(t, obj)

	// A private host that is allowed may redirect to another one.
	front, o := startHTTPS(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, inside.URL, http.StatusFound) })
	if obj, err = o.Open(t.Context(), Location{URL: front.URL}); err != nil {
		t.Fatalf("private to private: %v", err)
	}
	shut(t, obj)
}

// The guard decides by the address of each connection; here it is asked as the dialer asks it.
func TestGuard(t *testing.T) {
	for _, c := range []struct {
		name    string
		allowed bool
		dials   []string
		want    bool // of the last one
	}{
		{"public", false, []string{"93.184.216.34:443"}, true},
		{"private, not allowed", false, []string{"10.0.0.1:443"}, false},
		{"private, allowed", true, []string{"10.0.0.1:443"}, true},
		{"public to loopback", true, []string{"93.184.216.34:443", "127.0.0.1:443"}, false},
		{"public to metadata service", true, []string{"93.184.216.34:443", "169.254.169.254:443"}, false},
		{"public to private, not allowed", false, []string{"93.184.216.34:443", "192.168.0.1:443"}, false},
		{"DNS rebinding: the same name, later a private address", true, []string{"93.184.216.34:443", "93.184.216.34:443", "[::1]:443"}, false},
		{"private to private, allowed", true, []string{"10.0.0.1:443", "10.0.0.2:443"}, true},
		{"private to public", true, []string{"10.0.0.1:443", "93.184.216.34:443"}, true},
		{"not an address", true, []string{"name:443"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &guard{allowed: c.allowed}
			var err error
			for _, address := range c.dials {
				err = g.control("tcp", address, nil)
			}
			if (err == nil) != c.want {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestIsPrivate(t *testing.T) {
	for _, private := range []string{
		"127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1",
		"::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1",
		"64:ff9b:1::a00:1", "::127.0.0.1", "2002:7f00:1::", "198.18.0.1", "192.0.0.1", "240.0.0.1", "255.255.255.255",
	} {
		if !isPrivate(netip.MustParseAddr(private)) {
			t.Errorf("%s passes for public", private)
		}
	}
	for _, public := range []string{"93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808"} {
		if isPrivate(netip.MustParseAddr(public)) {
			t.Errorf("%s passes for private", public)
		}
	}
}

func TestRedirectsBehindProxy(t *testing.T) {
	// Behind a proxy there is no connection whose address could be looked at; what the URL itself says is refused all the same.
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"https://h.example/", "https://other.example/", true},
		{"https://h.example/", "https://127.0.0.1/", false},
		{"https://h.example/", "https://localhost/", false},
		{"https://h.example/", "https://sub.LOCALHOST./", false},
		{"https://h.example/", "https://[::1]:8443/", false},
		{"https://h.example/", "https://169.254.169.254/latest/meta-data", false},
		{"https://10.0.0.1/", "https://10.0.0.2/", true},
	} {
		g := &guard{allowed: true}
		from, to := httptest.NewRequest(http.MethodGet, c.from, nil), httptest.NewRequest(http.MethodGet, c.to, nil)
		if err := g.checkRedirect(to, []*http.Request{from}); (err == nil) != c.want {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
		}
	}
}

// The first URL of all is looked at too: a proxy would fetch from its own neighbours whatever it is asked for.
func TestPrivateURLBehindProxy(t *testing.T) {
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	o := Opener{HTTPS: true, Transport: &http.Transport{Proxy: http.ProxyURL(at)}}
	for _, u := range []string{"https://169.254.169.254/latest", "https://10.1.2.3/x", "https://localhost:8443/x", "https://[::1]/x"} {
		l, err := ParseURL(u)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Open(t.Context(), l); !errors.Is(err, ErrPrivate) || asked.Load() > 0 {
			t.Errorf("%s: %v, the proxy was asked %d times", u, err, asked.Load())
		}
	}
}

// A public server is made of a proxy that tunnels to the test server whatever the name.
func TestHTTPSThroughProxy(t *testing.T) {
	inside, _ := startHTTPS(t, serveImage([]byte("secret"), `"e"`))
	var target atomic.Value
	origin, o := startHTTPS(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, inside.URL, http.StatusFound)
			return
		}
		serveImage([]byte("content"), `"e"`)(w, r)
	})
	target.Store(origin.Listener.Addr().String())
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			t.Errorf("the proxy got %s", r.Method)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		to, err := net.Dial("tcp", fmt.Sprint(target.Load()))
		if err != nil {
			shut(t, conn)
			return
		}
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
		go func() { defer shut(t, conn); defer shut(t, to); _, _ = conn.(*net.TCPConn).ReadFrom(to) }()
		go func() { _, _ = to.(*net.TCPConn).ReadFrom(conn) }()
	}))
	defer proxy.Close()
	o.Transport = o.Transport.Clone()
	proxyURL, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	o.Transport.Proxy = http.ProxyURL(proxyURL)
	o.AllowPrivate = false // the proxy is on a private address, which is the user's choice
	obj, err := o.Open(t.Context(), Location{URL: "https://example.com/disk"})
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, obj); got != "content" {
		t.Errorf("read %q", got)
	}
	shut(t, obj)
	o.AllowPrivate = true
	if _, err := o.Open(t.Context(), Location{URL: "https://example.com/redirect"}); !errors.Is(err, ErrPrivate) {
		t.Errorf("redirect from a public server to %s: %v", inside.URL, err)
	}
}
