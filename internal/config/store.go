package config

import (
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Store says where the state is kept: in a SQLite file, for one Watchtower, or
// in a PostgreSQL database, for any number of replicas and clusters.
type Store struct {
	// SQLite file. It is made when missing.
	Path string `yaml:"path"`
	// URL of a PostgreSQL database, without a password: postgres://user@host:5432/database?sslmode=verify-full. Instead of path.
	URL string `yaml:"url"`
	// File that holds the URL of a PostgreSQL database, which may hold a password. Instead of url.
	URLFile string `yaml:"url_file"`
	// File that holds the password of the user in the URL. It is read anew for each connection.
	PasswordFile string `yaml:"password_file"`
	// Most connections this process opens to PostgreSQL.
	MaxConnections int `yaml:"max_connections"`
	// What is done about a schema of an older version at the start: auto (bring it up to date), manual (refuse; watchtower store migrate does it).
	Migrate string `yaml:"migrate" jsonschema:"enum=auto,enum=manual"`
	// What is removed once it is old.
	Retention Retention `yaml:"retention"`
}

// MigrateAuto and MigrateManual are the values of Store.Migrate.
const (
	MigrateAuto   = "auto"
	MigrateManual = "manual"
)

// Retention says how long things are kept; 0 is for ever.
type Retention struct {
	// How long a release is kept with its verdict, evidence and actions after it was seen. The newest release of a workload and what is not settled stay.
	Releases time.Duration `yaml:"releases"`
	// How long the curves of a release are kept; its numbers stay.
	Curves time.Duration `yaml:"curves"`
	// How long audit rows are kept.
	Audit time.Duration `yaml:"audit"`
}

// Replicas says how several processes agree on who watches and judges: by a
// Kubernetes Lease for each cluster.
type Replicas struct {
	// Namespace of the Lease. Empty: that of the pod this runs in.
	Namespace string `yaml:"namespace"`
	// Name of the Lease. Default: watchtower- and the name of the cluster.
	Lease string `yaml:"lease"`
	// Name of this replica. Default: the host's name, which in a pod is the pod's.
	Identity string `yaml:"identity"`
}

const day = 24 * time.Hour

func defaultStore() Store {
	return Store{
		Path: "watchtower.db", MaxConnections: 10, Migrate: MigrateAuto,
		Retention: Retention{Releases: 400 * day, Curves: 90 * day},
	}
}

// Postgres reports whether the state is kept in PostgreSQL.
func (s Store) Postgres() bool { return s.URL != "" || s.URLFile != "" }

// Target is the path of the SQLite file or the URL of the PostgreSQL database,
// read from its file if need be. Errors are *release.Error with CodeInvalid.
func (s Store) Target() (string, error) {
	if s.URLFile == "" {
		if s.URL != "" {
			return s.URL, nil
		}
		return s.Path, nil
	}
	body, err := os.ReadFile(s.URLFile)
	if err != nil {
		return "", release.E(release.CodeInvalid, "read store.url_file", err)
	}
	text := strings.TrimSpace(string(body))
	if !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") {
		return "", release.E(release.CodeInvalid, "the file "+s.URLFile+" (store.url_file) holds no URL that begins with postgres://", nil)
	}
	return text, nil
}

func (k *checker) store() {
	s := &k.c.Store
	switch {
	case s.Postgres() && k.given("store.path"):
		k.at("store.path", "the state is kept in one place: remove path, or url and url_file")
	case s.URL != "" && s.URLFile != "":
		k.at("store.url_file", "the URL is given twice: remove url or url_file")
	case s.URL != "":
		k.postgresURL(s.URL)
	case s.URLFile != "":
	case k.given("store.url"):
		k.at("store.url", "the URL is empty: write it like postgres://user@host:5432/database, or remove the key")
	case k.given("store.url_file"):
		k.at("store.url_file", "the file is empty: name one, or remove the key")
	case s.Path == "":
		k.at("store.path", "the file of the store is missing: name one, such as watchtower.db")
	}
	if s.PasswordFile != "" && !s.Postgres() {
		k.at("store.password_file", "a SQLite file has no password: name the PostgreSQL database by url, or remove the key")
	}
	if s.Migrate != MigrateAuto && s.Migrate != MigrateManual {
		k.at("store.migrate", "%q is unknown: use auto or manual", s.Migrate)
	}
	k.within("store.max_connections", s.MaxConnections, 3, 200)
	for path, kept := range map[string]time.Duration{
		"store.retention.releases": s.Retention.Releases, "store.retention.curves": s.Retention.Curves, "store.retention.audit": s.Retention.Audit,
	} {
		if kept != 0 { // an hour would take away what is being judged
			k.between(path, kept, day, 3650*day)
		}
	}
}

func (k *checker) postgresURL(text string) {
	u, err := url.Parse(text)
	switch {
	case strings.Contains(text, "@") && (err != nil || hasPassword(u)):
		k.at("store.url", "the URL carries a password: take it out and name a file that holds it (password_file), or keep the whole URL in a file (url_file)")
	case err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql"):
		k.at("store.url", "this is no URL of a PostgreSQL database: write it like postgres://user@host:5432/database")
	case strings.Trim(u.Path, "/") == "":
		k.at("store.url", "the URL names no database: write it like postgres://user@host:5432/database")
	}
}

func hasPassword(u *url.URL) bool {
	_, set := u.User.Password()
	return set || u.Query().Has("password")
}

func (k *checker) replicas() {
	r := k.c.Replicas
	if r == nil {
		return
	}
	if !k.c.Store.Postgres() {
		k.at("replicas", "several replicas need PostgreSQL: name it by store.url, or remove replicas (a SQLite file is for one process)")
	}
	if r.Namespace != "" && !dnsLabel.MatchString(r.Namespace) {
		k.at("replicas.namespace", "%q is no name of a namespace", r.Namespace)
	}
	if r.Lease != "" && !objectName.MatchString(r.Lease) {
		k.at("replicas.lease", "%q is no name of an object: use lower-case letters, digits, '-' and '.'", r.Lease)
	}
}
