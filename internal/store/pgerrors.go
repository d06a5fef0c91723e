package store

import (
	"errors"

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
		return release.CodeUnavailable, "it does not answer; is it running, and do host, port and TLS settings fit?"
	}
	switch server.Code {
	case "28P01", "28000":
		return release.CodeInvalid, "it does not let this user in; check the user, the password file and pg_hba.conf"
	case "3D000":
		return release.CodeInvalid, "there is no such database; make it with createdb"
	case "42501":
		return release.CodeInvalid, "this user may not do that; make it the owner of the database, or grant it CREATE on the schema"
	case "53300":
		return release.CodeUnavailable, "it has no connection to spare; raise its max_connections, or lower store.max_connections"
	case "53100":
		return release.CodeUnavailable, "its disk is full"
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
