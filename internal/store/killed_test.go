package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/watchtower-verify/watchtower/internal/store/storetest/postgres"
)

var allMoments = flag.Bool("migrate.all", false, "kill a migration at every moment, which takes minutes")

var mute = slog.New(slog.DiscardHandler)

// old is how the oldest database looks that a start may find: with data in all its
// tables, and jobs that wait. Later migrations of ours and of the job queue's are
// all to come.
var old = []string{
	`INSERT INTO releases VALUES ('r1', 'lab', 'shop', 'webapp', 'u1', 'rs1', 1, '{"id":"r1"}', '{}'), ('r2', 'lab', 'shop', 'backend', 'u2', 'rs2', 2, '{"id":"r2"}', '{}')`,
	`INSERT INTO verdicts VALUES ('r1', 'regressed', 1, 3, '{"release":"r1","kind":"regressed"}'), ('r2', 'healthy', 1, 4, '{"release":"r2","kind":"healthy"}')`,
	`INSERT INTO evidence VALUES ('r1', 0, '{"signal":"error_ratio","queries":[{"source":"prometheus","expr":"up"}]}',
		'[{"at":"2026-03-04T05:06:07.008Z","release":{"total":4,"bad":1},"release_value":0.25,"e_value":3}]'), ('r1', 1, '{"signal":"latency"}', '[]'), ('r2', 0, '{"signal":"latency"}', '[]')`,
	`INSERT INTO actions VALUES ('r1/rollback', 'r1', 'rollback', 'done', 'put back', '', 1, '{"n":1}', 5, 6), ('r1/issue', 'r1', 'issue', 'pending', '', '', 0, '', 5, 5)`,
	`INSERT INTO alerts VALUES ('r1', 'firing', '{"a":"b"}', '{}', 'http://w/', 5, 6, NULL)`,
	`INSERT INTO audit (at, actor, release_id, what, outcome, why) VALUES (3, 'watchtower', 'r1', 'verdict', 'regressed, final', 'worse'),
		(4, 'watchtower', 'r2', 'verdict', 'healthy, final', 'no worse'), (6, 'watchtower', 'r1', 'rollback', 'done', 'put back')`,
	`INSERT INTO river_job (kind, args, max_attempts, created_at, scheduled_at) VALUES ('watchtower_action', '{"key":"r1/issue"}', 5, '2026-03-04 05:06:07', '2027-03-04 05:06:07')`,
}

const oldJobs = 6 // version of the job queue's schema, the first that SQLite knows jobs by

// migrant is a database to be migrated, which can be had as it was at first.
type migrant struct {
	fresh func(t *testing.T) (target string)
	// sessions waits until no process but this test has to do with it.
	settled func(t *testing.T, target string)
}

func opened(t *testing.T, target string) *Store {
	t.Helper()
	s := &Store{log: mute, where: target, options: options{maxConnections: 3}}
	open := s.openSQLite
	if IsPostgres(target) {
		open = s.openPostgres
	}
	if err := open(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	return s
}

func closed(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// makeOld fills an empty database as an old version did.
func makeOld(t *testing.T, target string) {
	t.Helper()
	s := opened(t, target)
	provider, jobs, err := s.migrations()
	if err == nil {
		_, err = provider.UpTo(t.Context(), 1)
	}
	if err == nil {
		_, err = jobs.Migrate(t.Context(), rivermigrate.DirectionUp, &rivermigrate.MigrateOpts{TargetVersion: oldJobs})
	}
	for _, statement := range old {
		if err == nil {
			_, err = s.db.ExecContext(t.Context(), statement)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	closed(t, s)
}

// stage is what a database may look like between two steps.
type stage struct {
	version string
	schema  string
}

func lookAt(t *testing.T, s *Store) stage {
	t.Helper()
	provider, jobs, err := s.migrations()
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.schema(t.Context(), provider, jobs)
	if err != nil {
		t.Fatal(err)
	}
	queries := []string{`SELECT type || ' ' || name || ' of ' || tbl_name || ': ' || coalesce(sql, '') FROM sqlite_master`}
	if s.Postgres() {
		queries = []string{
			`SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' || coalesce(column_default, '') FROM information_schema.columns WHERE table_schema = 'public'`,
			`SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'`,
			`SELECT 'constraint ' || conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid <> 0`,
			`SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal`,
			`SELECT 'function ' || pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace`,
			`SELECT 'enum ' || enumtypid::regtype || ' ' || enumlabel FROM pg_enum`,
		}
	}
	var all []string
	for _, q := range queries {
		found, err := texts(t.Context(), s.on, q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	slices.Sort(all)
	return stage{fmt.Sprintf("%d and %d", v.Version, v.Jobs), strings.Join(all, "\n")}
}

// stages goes up one step after the other, and answers with what there is between
// them and what the database holds in the end.
func stages(t *testing.T, target string) (all []stage, end string) {
	t.Helper()
	s := opened(t, target)
	defer closed(t, s)
	all = append(all, lookAt(t, s))
	provider, jobs, err := s.migrations()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.GetDBVersion(t.Context()); err != nil { // makes its table
		t.Fatal(err)
	}
	all = append(all, lookAt(t, s))
	for {
		_, err := provider.UpByOne(t.Context())
		if errors.Is(err, goose.ErrNoNextVersion) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, lookAt(t, s))
	}
	for {
		done, err := jobs.Migrate(t.Context(), rivermigrate.DirectionUp, &rivermigrate.MigrateOpts{MaxSteps: 1})
		if err != nil {
			t.Fatal(err)
		}
		if len(done.Versions) == 0 {
			return all, holds(t, s)
		}
		all = append(all, lookAt(t, s))
	}
}

// holds is everything in a database.
func holds(t *testing.T, s *Store) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.Export(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")[1:] // the first tells when it was written
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// die has a process migrate and die; it answers with how many moments there were
// when it lived.
func die(t *testing.T, o order, after time.Duration) (moments int64, lived bool) {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context())
	if after > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, after) // which kills it
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+string(text))
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err == nil {
		moments, err = strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return moments, true
	}
	switch {
	case cmd.ProcessState == nil && ctx.Err() != nil:
		return 0, false // its time was over before it began
	case cmd.ProcessState.Success() && ctx.Err() != nil:
		return 0, true // its time was over as it ended
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("it ended by itself: %v\n%s", err, said.String())
	}
	return 0, false
}

// migrants are databases as they may be found, with what makes them.
func migrants(t *testing.T) map[string]migrant {
	t.Helper()
	dir := t.TempDir()
	n := 0
	file := func(fill func(*testing.T, string)) migrant {
		n++
		template := filepath.Join(dir, fmt.Sprintf("template%d.db", n))
		fill(t, template)
		return migrant{fresh: func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "w.db")
			body, err := os.ReadFile(template)
			if errors.Is(err, os.ErrNotExist) {
				return path
			}
			if err == nil {
				err = os.WriteFile(path, body, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			return path
		}, settled: func(*testing.T, string) {}}
	}
	return map[string]migrant{
		"SQLite, old":   file(makeOld),
		"SQLite, empty": file(func(*testing.T, string) {}),
		"PostgreSQL, old": {fresh: func(t *testing.T) string {
			target := postgres.Fresh(t)
			makeOld(t, target)
			return target
		}, settled: sessionsEnd},
		"PostgreSQL, empty": {fresh: func(t *testing.T) string { return postgres.Fresh(t) }, settled: sessionsEnd},
	}
}

// sessionsEnd waits until the server has noticed that a process died.
func sessionsEnd(t *testing.T, target string) {
	t.Helper()
	s := opened(t, target)
	defer closed(t, s)
	for end := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) { // the server's own processes
		var n int
		err := s.on.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d sessions of a process that died", n)
		}
	}
}

func TestAMigrationKilledAnywhereLeavesAStepUndoneOrDoneAndTheNextStartGoesOn(t *testing.T) {
	for name, m := range migrants(t) {
		t.Run(name, func(t *testing.T) {
			all, end := stages(t, m.fresh(t))
			began := time.Now()
			moments, lived := die(t, order{Target: m.fresh(t)}, 0)
			took := time.Since(began)
			if !lived || moments < 20 {
				t.Fatalf("there are %d moments", moments)
			}
			found := map[string]int{}
			every := int64(8) // one of as many, another one each time
			switch {
			case *allMoments:
				every = 1
			case testing.Short():
				every = 20
			}
			for at := 1 + rand.Int64N(every); at <= moments; at += every {
				target := m.fresh(t)
				if _, lived := die(t, order{Target: target, DieAt: at}, 0); lived {
					t.Fatalf("it outlived moment %d of %d", at, moments)
				}
				found[goesOn(t, m, target, fmt.Sprintf("killed at moment %d", at), all, end)]++
			}
			for range 5 {
				target := m.fresh(t)
				after := time.Duration(1 + rand.Int64N(int64(took)))
				die(t, order{Target: target}, after)
				found[goesOn(t, m, target, fmt.Sprintf("killed after %s", after), all, end)]++
			}
			t.Logf("%d moments; found at versions: %v", moments, found)
			if len(found) < 4 && !testing.Short() {
				t.Errorf("it died in %d stages only", len(found))
			}
		})
	}
}

// goesOn fails unless a database is at one of the stages, and the next start
// brings it to the end; it answers with its version.
func goesOn(t *testing.T, m migrant, target, how string, all []stage, end string) string {
	t.Helper()
	m.settled(t, target)
	s := opened(t, target)
	now := lookAt(t, s)
	closed(t, s)
	if !slices.Contains(all, now) {
		t.Fatalf("%s: the schema is none of those between two steps; version %s:\n%s", how, now.version, now.schema)
	}
	s, err := Open(t.Context(), target, mute)
	if err != nil {
		t.Fatalf("%s: the next start: %v", how, err)
	}
	defer closed(t, s)
	if got := lookAt(t, s); got != all[len(all)-1] {
		t.Errorf("%s: the next start leaves version %s:\n%s", how, got.version, got.schema)
	}
	if h, err := s.Check(t.Context()); err != nil || !h.Sound() {
		t.Errorf("%s: %+v, %v", how, h, err)
	}
	if got := holds(t, s); got != end {
		t.Fatalf("%s (-want +got):\n%s", how, cmp.Diff(end, got))
	}
	return now.version
}
