package fault

import (
	"net/http"
	"regexp"
	"slices"
	"time"
)

// Match picks requests. Its zero value picks all.
type Match struct {
	Method string // "": any
	Path   string // regular expression for the whole path; "": any
	// Query is a regular expression found somewhere in the query; "": any.
	Query string
	// Where, when set, must hold too. It must not read the body.
	Where func(*http.Request) bool

	path, query *regexp.Regexp
}

// compile panics at a bad expression: it stands in the source of a test.
func (m Match) compile() Match {
	if m.Path != "" {
		m.path = regexp.MustCompile("^(?:" + m.Path + ")$")
	}
	if m.Query != "" {
		m.query = regexp.MustCompile(m.Query)
	}
	return m
}

func (m Match) matches(req *http.Request) bool {
	return m.fits(req.Method, req.URL.Path, req.URL.RawQuery) && (m.Where == nil || m.Where(req))
}

func (m Match) fits(method, path, query string) bool {
	return (m.Method == "" || m.Method == method) &&
		(m.path == nil || m.path.MatchString(path)) &&
		(m.query == nil || m.query.MatchString(query))
}

// recordsKept bounds the memory of a proxy: older records are dropped.
const recordsKept = 100_000

// Record is one request that came to the proxy.
type Record struct {
	At     time.Time
	Method string
	Path   string
	Query  string
	// Forwarded says whether it was passed on to the target.
	Forwarded bool
	// TargetStatus is what the target answered; 0 when it did not, or not yet.
	TargetStatus int
	// Status is what the client was answered; 0 when nothing, or nothing yet.
	Status int
}

// Records returns the requests so far, in the order they came.
func (p *Proxy) Records() []Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Record, len(p.records))
	for i, r := range p.records {
		out[i] = *r
	}
	return out
}

// Accepted counts the requests that match and that the target answered with
// 2xx, whether or not the client heard of it: the effects they had. Where is
// not asked.
func (p *Proxy) Accepted(match Match) int {
	match = match.compile()
	n := 0
	for _, r := range p.Records() {
		if r.TargetStatus/100 == 2 && match.fits(r.Method, r.Path, r.Query) {
			n++
		}
	}
	return n
}

// Seen counts the requests that match, whatever came of them. Where is not
// asked.
func (p *Proxy) Seen(match Match) int {
	match = match.compile()
	n := 0
	for _, r := range p.Records() {
		if match.fits(r.Method, r.Path, r.Query) {
			n++
		}
	}
	return n
}

func (p *Proxy) begin(req *http.Request) *Record {
	r := &Record{At: time.Now(), Method: req.Method, Path: req.URL.Path, Query: req.URL.RawQuery}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.records) == recordsKept {
		p.records = slices.Delete(p.records, 0, recordsKept/10)
	}
	p.records = append(p.records, r)
	return r
}

func (p *Proxy) change(r *Record, do func(*Record)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do(r)
}
