// Package sqlite3 stands in for github.com/mattn/go-sqlite3 when Gitea is
// built: the same database/sql driver name on an SQLite in Go, so that building
// the lab needs no C compiler.
package sqlite3

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"net/url"
	"strings"

	"modernc.org/sqlite"
)

func init() { sql.Register("sqlite3", Driver{}) }

// Driver takes the data source names of mattn/go-sqlite3.
type Driver struct{}

// Open opens one connection.
func (Driver) Open(name string) (driver.Conn, error) {
	translated, err := translate(name)
	if err != nil {
		return nil, err
	}
	return (&sqlite.Driver{}).Open(translated)
}

// translate turns the options of a name into those of modernc.org/sqlite. A
// shared cache is not taken over: its table locks do not wait for the busy
// time-out, and with a write-ahead log nothing needs it.
func translate(name string) (string, error) {
	path, query, _ := strings.Cut(name, "?")
	options, err := url.ParseQuery(query)
	if err != nil {
		return "", fmt.Errorf("options of database %s: %w", path, err)
	}
	out := url.Values{"_time_format": {"sqlite"}}
	pragma := func(name, value string) { out.Add("_pragma", name+"("+value+")") }
	for key, values := range options {
		value := values[len(values)-1]
		switch key {
		case "cache":
		case "mode", "_txlock":
			out.Set(key, value)
		case "_busy_timeout", "_timeout":
			pragma("busy_timeout", value)
		case "_journal_mode", "_journal":
			pragma("journal_mode", value)
		default:
			return "", fmt.Errorf("options of database %s: %s is not known here", path, key)
		}
	}
	return path + "?" + out.Encode(), nil
}
