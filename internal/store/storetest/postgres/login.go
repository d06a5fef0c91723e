//go:build unix

package postgres

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// OnPort are the settings with which a server answers on a free port of the
// loopback too, for Address.
func OnPort(ctx context.Context) ([]string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, err
	}
	return []string{"listen_addresses=127.0.0.1", "port=" + port}, l.Close()
}

// port is the one it was started with; 5432 names the socket of others.
func (s *Server) port() string {
	for _, setting := range s.settings {
		if port, ok := strings.CutPrefix(setting, "port="); ok {
			return port
		}
	}
	return strconv.Itoa(5432)
}

// Address is the URL of a database over TCP, as a user with a password.
func (s *Server) Address(user, password, database string) string {
	who := url.User(user)
	if password != "" {
		who = url.UserPassword(user, password)
	}
	return (&url.URL{Scheme: "postgres", User: who, Host: net.JoinHostPort("127.0.0.1", s.port()), Path: "/" + database}).String()
}

// Restrict says who is let in over TCP and how, in lines of pg_hba.conf. Through
// the socket watchtower is always let in.
func (s *Server) Restrict(ctx context.Context, lines ...string) error {
	text := "local all watchtower trust\n" + strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(s.data(), "pg_hba.conf"), []byte(text), 0o600); err != nil {
		return err
	}
	return s.Exec(ctx, "postgres", `SELECT pg_reload_conf()`)
}
