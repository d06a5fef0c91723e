package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	defaultMaxConnections = 10
	dialTimeout           = 5 * time.Second
	pingPatience          = 2 * time.Second
)

// errBadURL: PostgreSQL's URL cannot be read. Why is not said, because the URL
// may hold a password.
var errBadURL = errors.New("the URL cannot be read")

func (s *Store) openPostgres(ctx context.Context, url string) error {
	cfg, err := s.postgresConfig(url)
	if err != nil {
		return err
	}
	return s.usePostgres(ctx, cfg)
}

func (s *Store) postgresConfig(url string) (*pgx.ConnConfig, error) {
	s.where = "PostgreSQL"
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errBadURL
	}
	s.where = "PostgreSQL " + cfg.Database + " at " + strings.Join(hosts(cfg), " or ")
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = dialTimeout
	}
	for name, value := range map[string]string{
		"application_name": "watchtower",
		// A commit survives a power cut: an action must not be forgotten after
		// its effect.
		"synchronous_commit": "on",
		// A replica whose machine died lets go of what it held.
		"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3",
		"idle_in_transaction_session_timeout": "60000", // ms
	} {
		if _, given := cfg.RuntimeParams[name]; !given {
			cfg.RuntimeParams[name] = value
		}
	}
	return cfg, nil
}

func (s *Store) usePostgres(ctx context.Context, cfg *pgx.ConnConfig) error {
	s.db = stdlib.OpenDB(*cfg, stdlib.OptionBeforeConnect(s.withPassword), stdlib.OptionShouldPing(silent))
	s.db.SetMaxOpenConns(s.options.maxConnections)
	s.db.SetMaxIdleConns(s.options.maxConnections)
	s.db.SetConnMaxIdleTime(5 * time.Minute)
	s.on = session{on: s.db, dialect: onPostgres, again: s.again}
	if err := s.db.PingContext(ctx); err != nil {
		s.db.Close()
		return err
	}
	return nil
}

// silent looks whether the server of a connection that was idle is still there. One
// whose machine died, or fell off the network, says nothing at all: it is not
// waited for as long as whoever asks has time. Such a connection is closed by the
// look, and found so by the one that true asks for.
func silent(ctx context.Context, p stdlib.ShouldPingParams) bool {
	if p.IdleDuration < time.Second {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, pingPatience)
	defer cancel()
	return p.Conn.PgConn().Ping(ctx) != nil
}

// hosts are those of a URL, in its order.
func hosts(cfg *pgx.ConnConfig) []string {
	all := []string{host(cfg.Host, cfg.Port)}
	for _, f := range cfg.Fallbacks { // with and without TLS, a host is there twice
		if h := host(f.Host, f.Port); !slices.Contains(all, h) {
			all = append(all, h)
		}
	}
	return all
}

func host(name string, port uint16) string {
	if strings.HasPrefix(name, "/") {
		return name // a socket
	}
	return net.JoinHostPort(name, strconv.Itoa(int(port)))
}

// withPassword reads the password for each connection, so that it may change.
func (s *Store) withPassword(_ context.Context, cfg *pgx.ConnConfig) error {
	if s.options.passwordFile == "" {
		return nil
	}
	body, err := os.ReadFile(s.options.passwordFile)
	if err != nil {
		return fmt.Errorf("%w: %w", errPasswordFile, err)
	}
	cfg.Password = strings.TrimRight(string(body), "\r\n")
	return nil
}

// errPasswordFile: the file with the password cannot be read.
var errPasswordFile = errors.New("the file with the password cannot be read")
