package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Health is what Check found.
type Health struct {
	Schema   Schema         `json:"schema"`
	Rows     map[string]int `json:"rows"` // by table
	Chains   []ChainHealth  `json:"audit"`
	Problems []string       `json:"problems"` // of the database itself
}

// ChainHealth is what Check found of the audit of one cluster.
type ChainHealth struct {
	Cluster string               `json:"cluster"`
	Rows    int64                `json:"rows"`
	Head    release.AuditMark    `json:"head"`
	Base    release.AuditMark    `json:"base"`
	Faults  []release.AuditFault `json:"faults"`
}

// Sound reports whether nothing is wrong.
func (h Health) Sound() bool {
	return len(h.Problems) == 0 && !slices.ContainsFunc(h.Chains, func(c ChainHealth) bool { return len(c.Faults) > 0 })
}

// Check looks at the whole database: that the file is not damaged, that nothing
// refers to what is not there, and that the audit of every cluster is what was
// written.
func (s *Store) Check(ctx context.Context) (h Health, err error) {
	if h.Schema, err = s.Schema(ctx); err != nil {
		return h, err
	}
	h.Rows, h.Problems, h.Chains = make(map[string]int), []string{}, []ChainHealth{}
	if !s.Postgres() {
		if damaged, err := s.checkFile(ctx, &h); err != nil || damaged {
			return h, worded(s.where, err) // what a damaged file holds is not worth more questions
		}
	}
	tables, err := s.tables(ctx, s.on)
	if err != nil {
		return h, err
	}
	for _, table := range append(tables, jobsTable) {
		var n int
		if err := s.on.QueryRowContext(ctx, `SELECT count(*) FROM `+table).Scan(&n); err != nil {
			return h, worded(s.where, fmt.Errorf("count the rows of %s: %w", table, err))
		}
		h.Rows[table] = n
	}
	return h, s.checkChains(ctx, &h)
}

func (s *Store) checkFile(ctx context.Context, h *Health) (damaged bool, err error) {
	// It may itself end at the damage it names.
	said, err := texts(ctx, s.on, `PRAGMA integrity_check(20)`)
	for _, line := range said {
		if line != "ok" {
			h.Problems = append(h.Problems, strings.ReplaceAll(line, "\n", ": "))
		}
	}
	if len(h.Problems) > 0 {
		return true, nil
	}
	if err != nil {
		return true, err
	}
	lost, err := texts(ctx, s.on, `SELECT "table" || ' refers to ' || parent || ' that is not there, ' || count(*) || ' times' FROM pragma_foreign_key_check GROUP BY "table", parent`)
	h.Problems = append(h.Problems, lost...)
	return false, err
}

func (s *Store) checkChains(ctx context.Context, h *Health) error {
	// A cluster whose head is gone still has rows.
	clusters, err := texts(ctx, s.on, `SELECT cluster FROM audit_heads UNION SELECT DISTINCT cluster FROM audit`)
	if err != nil {
		return worded(s.where, err)
	}
	slices.Sort(clusters)
	for _, cluster := range clusters {
		c := ChainHealth{Cluster: cluster}
		if c.Head, c.Base, err = readHead(ctx, s.on, cluster); err != nil {
			return worded(s.where, err)
		}
		if c.Rows, c.Faults, err = verifyAudit(ctx, s.on, cluster); err != nil {
			return worded(s.where, err)
		}
		if c.Faults == nil {
			c.Faults = []release.AuditFault{}
		}
		h.Chains = append(h.Chains, c)
	}
	return nil
}

// Tables lists the tables of Rows in order.
func (h Health) Tables() []string { return slices.Sorted(maps.Keys(h.Rows)) }
