package store

import (
	"crypto/x509"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func isPostgres(err error) bool {
	var server *pgconn.PgError
	var dial *pgconn.ConnectError
	return errors.As(err, &server) || errors.As(err, &dial) || pgconn.SafeToRetry(err)
}

// explainPostgres goes by the classes of SQLSTATE.
func explainPostgres(err error) (release.Code, string) {
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return explainDial(err)
	}
	switch server.Code {
	case "28P01":
		return release.CodeInvalid, "it does not take this user or this password; check store.password_file and the user in store.url, or both in store.url_file"
	case "28000":
		return release.CodeInvalid, "it does not let this user in; check the user and sslmode in store.url or store.url_file, the server's roles (CREATE ROLE … LOGIN) and its pg_hba.conf"
	case "3D000":
		return release.CodeInvalid, "there is no such database; make it with createdb, or mend its name in store.url or store.url_file"
	case "42501":
		return release.CodeInvalid, "this user may not do that; make it the owner of the database, or grant it CREATE on the schema"
	case "53300":
		return release.CodeUnavailable, "it has no connection to spare; raise its max_connections, or lower store.max_connections"
	case "53100":
		return release.CodeUnavailable, "its disk is full; make room there, and what waits is done"
	case "53200":
		return release.CodeUnavailable, "it is out of memory"
	case "25006":
		return release.CodeUnavailable, "it is read-only; is this a standby? Add target_session_attrs=read-write to the URL"
	case "57P01", "57P02", "57P03":
		return release.CodeUnavailable, "it is restarting"
	case "57014", "25P03", "40001", "40P01", "55P03":
		return release.CodeUnavailable, "it did not get to it in time"
	case "XX001", "XX002":
		return release.CodeInvalid, "it is damaged; restore a backup"
	}
	if len(server.Code) == 5 && server.Code[:2] == "08" {
		return release.CodeUnavailable, "the connection to it was lost"
	}
	if len(server.Code) == 5 && server.Code[:2] == "58" {
		return release.CodeUnavailable, "its disk does not answer as it should"
	}
	return release.CodeInternal, "something unforeseen"
}

// explainDial says why there is no connection, where it was not the server that
// said so.
func explainDial(err error) (release.Code, string) {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var certificate x509.CertificateInvalidError
	switch {
	case errors.Is(err, pgconn.ErrReadOnlyConnection):
		return release.CodeUnavailable, "none of its hosts takes writes; is one of those in store.url the primary?"
	case strings.Contains(err.Error(), "server refused TLS connection"): // it has no type
		return release.CodeInvalid, "it offers no TLS; switch it on there (ssl = on), or say sslmode=disable in store.url or store.url_file where nobody is on the way"
	case errors.As(err, &unknown), errors.As(err, &name), errors.As(err, &certificate):
		return release.CodeInvalid, "its certificate is not one to trust; check sslrootcert and the host in store.url or store.url_file"
	}
	return release.CodeUnavailable, "it does not answer; is it running, and do host, port and TLS settings in store.url fit?"
}
