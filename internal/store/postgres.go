package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	defaultMaxConnections = 10
	dialTimeout           = 5 * time.Second
)

// errBadURL: PostgreSQL's URL cannot be read. Why is not said, because the URL
// may hold a password.
var errBadURL = errors.New("the URL cannot be read")

func (s *Store) openPostgres(ctx context.Context, url string) error {
	s.where = "PostgreSQL"
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return errBadURL
	}
	s.where = "PostgreSQL " + cfg.Database + " at " + cfg.Host
	if !strings.HasPrefix(cfg.Host, "/") {
		s.where = "PostgreSQL " + cfg.Database + " at " + net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
	}
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
	s.db = stdlib.OpenDB(*cfg, stdlib.OptionBeforeConnect(s.withPassword))
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
