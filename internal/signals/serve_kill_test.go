//go:build linux

package signals

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

const shelved = 20

// TestKillServe: kill -9 of serve in the middle of many imports, and of the one that takes them up; the third finishes all of them, none twice.
func TestKillServe(t *testing.T) {
	t.Parallel()
	for i := range max(3, killMoments/5) {
		t.Run(fmt.Sprintf("%02d", i+1), func(t *testing.T) {
			t.Parallel()
			s := newShelf(t, shelved)
			for range i {
				s.random.Uint64() // other moments than the others'
			}
			moment := s.moment()
			var args []string
			if i%3 == 1 { // so that the kill finds volumes written and no import completed
				args = []string{"--simulate", "task_duration=10s"}
				// Not after completions: they come all at once, 10 s later, and the kill would be too late.
				moment.completed, moment.after = false, min(max(1, moment.after), 5) // more are not granted within 10 s by every disk
			}
			first := s.serve(args...)
			s.disturb(first, moment, func() {
				if done, all := first.completed(); len(args) > 0 && (all == 0 || done > 0) {
					t.Errorf("the kill finds %d of %d imports completed, want none of some", done, all)
				}
				first.kill()
			})
			t.Logf("killed %s", moment)
			second := s.serve(args...)
			if i%2 == 0 {
				moment := s.moment()
				s.disturb(second, moment, second.kill)
				t.Logf("and again %s", moment)
				second = s.serve(args...)
			}
			done, all := second.completed()
			t.Logf("then %d of %d imports are completed", done, all)
			// Whoever got no answer asks again with the same token.
			if granted := second.importAll(s.tokens()); granted != shelved {
				t.Fatalf("%d imports granted", granted)
			}
			s.good(second)
			second.terminate(30 * time.Second)
		})
	}
}

// TestTerminateServe: SIGTERM and SIGINT in the middle end serve soon, with 0, and the next one goes on.
func TestTerminateServe(t *testing.T) {
	t.Parallel()
	for i := range max(3, signalMoments/5) {
		t.Run(fmt.Sprintf("%02d", i+1), func(t *testing.T) {
			t.Parallel()
			s := newShelf(t, shelved)
			for range i {
				s.random.Uint64()
			}
			first := s.serve()
			moment := s.moment()
			s.disturb(first, moment, func() { first.terminate(30 * time.Second) })
			t.Logf("SIGTERM %s", moment)
			if partials := s.growing(t); len(partials) > 0 {
				t.Errorf("a clean end leaves %v", partials)
			}
			next := s.serve()
			done, all := next.completed()
			t.Logf("then %d of %d imports are completed", done, all)
			if granted := next.importAll(s.tokens()); granted != shelved {
				t.Fatalf("%d imports granted", granted)
			}
			s.good(next)
			next.terminate(30 * time.Second)
		})
	}
}

// growing are the volumes that are not complete.
func (s *shelf) growing(t *testing.T) (partials []string) {
	for _, stray := range s.Strays(t) {
		if strings.HasSuffix(stray, ".partial") {
			partials = append(partials, stray)
		}
	}
	return partials
}

// TestTwoServes share a data directory: each of them answers for all, what one is asked for again the other has, and when one is killed the other
// finishes its imports without being told.
func TestTwoServes(t *testing.T) {
	t.Parallel()
	for i := range max(2, killMoments/10) {
		t.Run(fmt.Sprintf("%02d", i+1), func(t *testing.T) {
			t.Parallel()
			s := newShelf(t, shelved)
			for range i {
				s.random.Uint64()
			}
			var starting sync.WaitGroup
			var pair [2]*server
			for n := range pair { // on a directory that is not there yet, at once
				starting.Go(func() { pair[n] = s.serve() })
			}
			starting.Wait()
			var asking sync.WaitGroup
			asking.Go(func() { pair[0].importAll(s.tokens()) })
			asking.Go(func() { pair[1].importAll(s.tokens()) })
			moment := time.Duration(s.random.Int64N(int64(400 * time.Millisecond)))
			timer := time.NewTimer(moment)
			<-timer.C
			pair[0].kill()
			asking.Wait()
			t.Logf("one killed after %s", moment)
			// What the killed one left beside its imports, such as the lock of one that was just complete, goes when the directory is opened next.
			if i%2 == 0 {
				third := s.serve()
				s.good(third)
				third.terminate(30 * time.Second)
				s.good(pair[1])
				pair[1].terminate(30 * time.Second)
			} else {
				s.imported(pair[1])
				pair[1].terminate(30 * time.Second)
				next := s.serve()
				s.good(next)
				next.terminate(30 * time.Second)
			}
		})
	}
}

// TestServeSlowClients: callers that trickle, or do not read what they asked for, are no reason for others to wait, lose their connections in
// time, and do not hold up the end.
func TestServeSlowClients(t *testing.T) {
	t.Parallel()
	s := newShelf(t, 3)
	v := s.serve()
	address := strings.TrimPrefix(v.url, "http://")
	// open connects, says the beginning, and goes on with a byte at a time. It tells when, and with what answer, the server has had enough.
	type ended struct {
		after  time.Duration
		answer string
	}
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	open := func(beginning, more string) chan ended {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		result := make(chan ended, 1)
		go func() {
			answer, _ := io.ReadAll(conn)
			result <- ended{time.Since(begun), string(answer)}
			_ = conn.Close()
		}()
		go func() {
			ticker := time.NewTicker(250 * time.Millisecond)
			defer ticker.Stop()
			text := beginning
			for {
				if _, err := io.WriteString(conn, text); err != nil {
					return
				}
				text = more
				select {
				case <-ticker.C:
				case <-stop:
					_ = conn.Close()
					return
				}
			}
		}()
		return result
	}
	var headers, bodies []chan ended
	for range 50 {
		headers = append(headers, open("POST / HTTP/1.1\r\nHost: localhost\r\nX: ", "x"))
		bodies = append(bodies, open("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nAction=DescribeTags&NextToken=", "x"))
	}
	deaf := strings.Repeat("GET /?Action=DescribeSnapshots HTTP/1.1\r\nHost: localhost\r\n\r\n", 20_000)
	for range 20 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		go func() { _, _ = io.WriteString(conn, deaf) }()
	}

	begun := time.Now()
	if granted := v.importAll(s.tokens()); granted != 3 {
		t.Fatalf("%d imports granted", granted)
	}
	s.good(v)
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("three small imports took %s beside slow clients", took)
	}
	for what, tc := range map[string]struct {
		connections []chan ended
		within      time.Duration
		answer      string
	}{
		"headers": {headers, 25 * time.Second, ""}, "bodies": {bodies, 90 * time.Second, "<Code>InvalidRequest</Code>"},
	} {
		for _, c := range tc.connections {
			select {
			case e := <-c:
				if e.after > tc.within || !strings.Contains(e.answer, tc.answer) {
					t.Errorf("%s that trickle: ended after %s with %q", what, e.after, e.answer)
				}
			case <-time.After(patience):
				t.Fatalf("%s that trickle are read for ever", what)
			}
		}
	}
	// And with others that have just begun.
	for range 20 {
		open("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nAction=", "x")
		open("POST / HTTP/1.1\r\nHost: localhost\r\nX: ", "x")
	}
	if _, err := v.ec2.DescribeSnapshots(context.Background(), &ec2.DescribeSnapshotsInput{}); err != nil {
		t.Error(err)
	}
	v.terminate(30 * time.Second)
}

// TestServeConnections: what net/http itself refuses, and connections that break, leave the server as it was.
func TestServeConnections(t *testing.T) {
	t.Parallel()
	s := newShelf(t, 1)
	v := s.serve()
	address := strings.TrimPrefix(v.url, "http://")
	const form = "Action=GetCallerIdentity&Version=2011-06-15"
	post := func(version, more, body string) string {
		return fmt.Sprintf("POST / HTTP/%s\r\nHost: localhost\r\nConnection: close\r\n%s\r\n%s", version, more, body)
	}
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d\r\n", n) }
	for name, tc := range map[string]struct{ request, status, says string }{
		"HTTP/1.0":                  {"POST / HTTP/1.0\r\n" + length(len(form)) + "\r\n" + form, "200", "GetCallerIdentityResult"},
		"HTTP/1.1, chunked":         {post("1.1", "Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(form), form)), "200", "GetCallerIdentityResult"},
		"a URL of another host":     {"GET http://other.example/?" + form + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "403", "<Code>UnauthorizedOperation</Code>"},
		"the body cut off":          {post("1.1", length(1000), form), "400", "<Code>InvalidRequest</Code>"},
		"a chunk cut off":           {post("1.1", "Transfer-Encoding: chunked\r\n", "ff\r\n"+form), "400", "<Code>InvalidRequest</Code>"},
		"a chunk of no length":      {post("1.1", "Transfer-Encoding: chunked\r\n", "zz\r\n"+form), "400", "<Code>InvalidRequest</Code>"},
		"more than was announced":   {post("1.1", length(len(form)), form+"&Action=DeleteSnapshot"), "200", "GetCallerIdentityResult"},
		"a huge announcement":       {post("1.1", "Content-Length: 99999999999999\r\n", form), "400", "<Code>InvalidRequest</Code>"},
		"two lengths":               {post("1.1", length(3)+length(4), form), "400", ""},
		"a negative length":         {post("1.1", "Content-Length: -1\r\n", form), "400", ""},
		"a header within a header":  {post("1.1", "X-Amz-Date: a\r\n\tb: c\r\n"+length(len(form)), form), "", ""},
		"a header of no name":       {post("1.1", ": x\r\n", ""), "400", ""},
		"a line end of its own":     {post("1.1", "X: a\rSet-Cookie: b\r\n", ""), "400", ""},
		"a header too large":        {post("1.1", "Authorization: "+strings.Repeat("x", 1<<20)+"\r\n", ""), "431", ""},
		"a URL too large":           {"GET /?" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", "431", ""},
		"HTTP/2 with no TLS":        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", ""},
		"TLS":                       {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400", ""},
		"nothing of HTTP":           {"hello\r\n\r\n", "400", ""},
		"a web page":                {post("1.1", "Origin: https://evil.example\r\n"+length(len(form)), form), "403", ""},
		"a page of a rebound name":  {post("1.1", "Sec-Fetch-Site: same-origin\r\n"+length(len(form)), form), "403", ""},
		"OPTIONS of all":            {"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "", ""},
		"CONNECT":                   {"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "403", "<Code>UnauthorizedOperation</Code>"},
		"a method that is none":     {"G\x01T / HTTP/1.1\r\nHost: localhost\r\n\r\n", "400", ""},
		"a path that leads upwards": {"GET /../../etc/passwd?" + form + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "200", "GetCallerIdentityResult"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			go func() {
				_, _ = io.WriteString(conn, tc.request)
				if tcp, ok := conn.(*net.TCPConn); ok {
					_ = tcp.CloseWrite()
				}
			}()
			answer, err := io.ReadAll(conn)
			if err != nil && len(answer) == 0 {
				t.Logf("the connection was closed: %v", err)
			}
			status, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(string(answer), "HTTP/1.1 "), "HTTP/1.0 "), " ")
			if tc.status != "" && status != tc.status || !strings.Contains(string(answer), tc.says) || strings.Contains(string(answer), "Set-Cookie") {
				t.Errorf("got %.2000q", answer)
			}
		})
	}
	res, err := http.Get(v.url + "/?Action=DescribeSnapshots") //nolint:gosec,noctx // the server under test
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", res, err)
	}
	_ = res.Body.Close()
	if said := v.said(); strings.Contains(said, "panic") {
		t.Error(said)
	}
	if err := v.cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Error(err)
	}
	v.terminate(30 * time.Second)
}
