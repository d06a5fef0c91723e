package release

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// AuditRow records a decision or a refusal and why. Rows are only ever added,
// and each holds the hash of the one before it: the rows of a cluster are a
// chain, of which none can be changed, taken out or moved unnoticed.
type AuditRow struct {
	ID      int64     `json:"id"` // its place in the chain of its cluster: 1, 2, 3, …
	Cluster string    `json:"cluster,omitempty"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"` // "watchtower", a person, a token's name
	Release ID        `json:"release,omitempty"`
	What    string    `json:"what"` // release_seen, verdict, rollback, refusal, …
	Outcome string    `json:"outcome"`
	Why     string    `json:"why"`
	// Evidence is the digest of the verdict and evidence it rests on, as they
	// were stored with the row; "" where there is none.
	Evidence string `json:"evidence,omitempty"`
	Previous string `json:"previous,omitempty"` // Hash of the row before; "" in the first
	Hash     string `json:"hash,omitempty"`     // Digest of this row
}

// auditFormat is part of every digest, so that another way to make them is
// another format.
const auditFormat = "watchtower-audit-1"

// Digest is the SHA-256 in hex of all the row says and of the hash before it:
// of the format's name, Cluster, ID, At in Unix milliseconds, Actor, Release,
// What, Outcome, Why, Evidence and Previous, each written as a netstring
// (length in bytes, colon, text, comma).
func (r AuditRow) Digest() string {
	return Digest(auditFormat, r.Cluster, strconv.FormatInt(r.ID, 10), strconv.FormatInt(r.At.UnixMilli(), 10),
		r.Actor, string(r.Release), r.What, r.Outcome, r.Why, r.Evidence, r.Previous)
}

// Digest is the SHA-256 in hex of texts, each written as a netstring.
func Digest(texts ...string) string {
	h := sha256.New()
	for _, s := range texts {
		fmt.Fprintf(h, "%d:%s,", len(s), s) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil))
}

// AuditMark is a place in a chain: the row with the ID has, or had, the hash.
// The mark of an empty chain is zero.
type AuditMark struct {
	ID   int64  `json:"id"`
	Hash string `json:"hash"`
}

// AuditFault is where a chain is not what was written.
type AuditFault struct {
	ID  int64  `json:"id"` // of the row; 0 for the chain as a whole
	Why string `json:"why"`
}

// AuditChain checks the rows of one cluster, which are added to it in order of
// their IDs.
type AuditChain struct {
	last    AuditMark
	anchors map[int64]string
	rows    int64
	faults  []AuditFault
	more    int
}

// maxAuditFaults bounds how many faults are told one by one.
const maxAuditFaults = 50

// NewAuditChain checks the rows after base, which is zero unless older rows
// were removed by retention. Anchors are marks that were kept elsewhere.
func NewAuditChain(base AuditMark, anchors ...AuditMark) *AuditChain {
	c := &AuditChain{last: base, anchors: make(map[int64]string)}
	for _, a := range anchors {
		c.anchors[a.ID] = a.Hash
	}
	c.meets(base)
	return c
}

// Add checks the next row.
func (c *AuditChain) Add(r AuditRow) {
	c.rows++
	switch {
	case r.ID > c.last.ID+1:
		c.fault(r.ID, fmt.Sprintf("rows %d to %d are missing before it", c.last.ID+1, r.ID-1))
	case r.ID <= c.last.ID:
		c.fault(r.ID, "it is there twice, or out of order")
	case r.Previous != c.last.Hash:
		c.fault(r.ID, fmt.Sprintf("it does not follow row %d: the row before it was changed, removed or moved", c.last.ID))
	}
	if r.Hash != r.Digest() {
		c.fault(r.ID, "it was changed: its content does not have its hash")
	}
	c.last = AuditMark{r.ID, r.Hash}
	c.meets(c.last)
}

// meets compares a mark with the anchor of its ID.
func (c *AuditChain) meets(m AuditMark) {
	if hash, ok := c.anchors[m.ID]; ok {
		if hash != m.Hash {
			c.fault(m.ID, "it is not the row the anchor was taken of: the chain was written anew")
		}
		delete(c.anchors, m.ID)
	}
}

// End checks that the chain reaches its head and every anchor, and answers
// with all faults.
func (c *AuditChain) End(head AuditMark) []AuditFault {
	switch {
	case c.last.ID < head.ID:
		c.fault(0, fmt.Sprintf("it was cut off: its last row is %d, its head %d", c.last.ID, head.ID))
	case c.last != head:
		c.fault(0, fmt.Sprintf("its last row, %d, is not its head, %d", c.last.ID, head.ID))
	}
	for id := range c.anchors {
		if id > c.last.ID {
			c.fault(0, fmt.Sprintf("it was cut off: its last row is %d, and there is an anchor of row %d", c.last.ID, id))
		}
	}
	if c.more > 0 {
		c.faults = append(c.faults, AuditFault{Why: fmt.Sprintf("%d faults more", c.more)})
		c.more = 0
	}
	return c.faults
}

// Rows is how many rows were added.
func (c *AuditChain) Rows() int64 { return c.rows }

// Last is the mark of the last row added, or the base.
func (c *AuditChain) Last() AuditMark { return c.last }

func (c *AuditChain) fault(id int64, why string) {
	if len(c.faults) >= maxAuditFaults {
		c.more++
		return
	}
	c.faults = append(c.faults, AuditFault{id, why})
}
