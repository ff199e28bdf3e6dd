package imagesource

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// errRedirect marks a redirect that is not followed: asking again would not help.
var errRedirect = errors.New("the redirect is not followed")

// guard keeps a foreign URL, and the redirects of the server behind it, away from private networks. The decision falls when a connection is
// made, over the address that the name has at that moment: a name that resolves differently the second time gains nothing.
type guard struct {
	// allowed lets the object's own host be private, which the first connection shows; only then may its redirects go to private addresses.
	allowed bool

	mu      sync.Mutex
	known   bool
	private bool
	proxies map[string]bool
}

// transport is one object's own: a connection that one object was allowed to make is of no use to another.
func (g *guard) transport(template *http.Transport) *http.Transport {
	if template == nil {
		template, _ = http.DefaultTransport.(*http.Transport)
	}
	if template == nil { // somebody replaced the default
		template = &http.Transport{Proxy: http.ProxyFromEnvironment}
	}
	t := template.Clone()
	// Where a proxy makes the connections, it alone sees their addresses. Its own address is the user's choice, private or not.
	if proxy := t.Proxy; proxy != nil {
		t.Proxy = func(r *http.Request) (*url.URL, error) {
			u, err := proxy(r)
			if u != nil && err == nil {
				g.trust(u)
			}
			return u, err
		}
	}
	plain := &net.Dialer{Timeout: 30 * time.Second}
	guarded := &net.Dialer{Timeout: 30 * time.Second, Control: g.control}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if g.trusted(address) {
			return plain.DialContext(ctx, network, address)
		}
		return guarded.DialContext(ctx, network, address)
	}
	t.DialTLSContext = nil
	t.ForceAttemptHTTP2 = true
	t.MaxIdleConnsPerHost = maxRequests // without it two would be kept, and the others made anew for each request
	t.TLSHandshakeTimeout = 10 * time.Second
	t.ResponseHeaderTimeout = time.Minute
	return t
}

// control runs when a name is resolved and before the connection is made.
func (g *guard) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("cannot tell whether %s is a private address: %w", address, err)
	}
	return g.check(ap.Addr())
}

func (g *guard) check(addr netip.Addr) error {
	private := isPrivate(addr)
	ownPrivate := g.learn(addr)
	switch {
	case !private:
		return nil
	case !g.allowed:
		return fmt.Errorf("%w (%s): images are fetched from public servers only; copy it into a bucket", ErrPrivate, addr)
	case !ownPrivate:
		return fmt.Errorf("%w (%s): a public server may not lead there; name the private server itself in the URL", ErrPrivate, addr)
	}
	return nil
}

// learn notes the first address of all, which is that of the object's own host, and says whether that one is private.
func (g *guard) learn(addr netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.known {
		g.known, g.private = true, isPrivate(addr)
	}
	return g.private
}

// checkRedirect keeps to https, and refuses what can be refused without resolving a name: behind a proxy nothing else would.
func (g *guard) checkRedirect(request *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("%w: more than %d redirects", errRedirect, maxRedirects)
	}
	if request.URL.Scheme != "https" {
		return fmt.Errorf("%w: it leads from https to %s", errRedirect, redact(request.URL))
	}
	// Behind a proxy there was no connection that showed what the object's own host is.
	g.learn(literal(via[0].URL))
	if addr := literal(request.URL); addr.IsValid() {
		return g.check(addr)
	}
	return nil
}

// hostOf is literal for a URL that is not parsed yet.
func hostOf(raw string) netip.Addr {
	u, err := url.Parse(raw)
	if err != nil {
		return netip.Addr{} // the request says what is wrong with it
	}
	return literal(u)
}

// literal is the address that a URL names without a look-up; the zero Addr where it names none.
func literal(u *url.URL) netip.Addr {
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return addr
}

func (g *guard) trust(proxy *url.URL) {
	port := proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[proxy.Scheme]
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.proxies == nil {
		g.proxies = map[string]bool{}
	}
	g.proxies[net.JoinHostPort(proxy.Hostname(), port)] = true
}

func (g *guard) trusted(address string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.proxies[address]
}

// notPublic are the networks that net/netip has no method for, and that lead to the own host, its neighbours, or through a translator to either.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),      // RFC 1122, reaches the own host on some systems
	netip.MustParsePrefix("100.64.0.0/10"),  // RFC 6598, behind carriers' NAT
	netip.MustParsePrefix("192.0.0.0/24"),   // RFC 6890, protocol assignments
	netip.MustParsePrefix("198.18.0.0/15"),  // RFC 2544, benchmarks
	netip.MustParsePrefix("240.0.0.0/4"),    // RFC 1112, reserved, and broadcast
	netip.MustParsePrefix("::/96"),          // RFC 4291, IPv4-compatible
	netip.MustParsePrefix("64:ff9b:1::/48"), // RFC 8215, local-use translation
	netip.MustParsePrefix("2002::/16"),      // RFC 3056, 6to4
}

var nat64 = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052, an IPv4 address in the last four bytes

func isPrivate(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if nat64.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified() ||
		slices.ContainsFunc(notPublic, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// withoutURL drops the URL that http.Client puts into its errors, because its query may be a signature.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
