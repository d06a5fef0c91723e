package config

import (
	"net/http"
	"regexp"
	"strings"
	"time"
)

// The kinds of metric store. All speak the HTTP API of Prometheus.
const (
	KindPrometheus      = "prometheus"
	KindThanos          = "thanos"
	KindMimir           = "mimir"
	KindVictoriaMetrics = "victoriametrics"
)

var sourceKinds = []string{KindPrometheus, KindThanos, KindMimir, KindVictoriaMetrics}

// Prometheus says how the metric store is asked.
type Prometheus struct {
	// Kind of metric store: prometheus, thanos, mimir, victoriametrics. It decides what is sent with each query and the defaults of lag, late and max_query_bytes.
	Kind string `yaml:"kind" jsonschema:"enum=prometheus,enum=thanos,enum=mimir,enum=victoriametrics"`
	// Base URL of the Prometheus HTTP API, without /api/v1.
	URL string `yaml:"url" jsonschema:"required"`
	// Tenant of Mimir, sent as X-Scope-OrgID.
	Tenant string `yaml:"tenant"`
	// File that holds a bearer token.
	BearerTokenFile string `yaml:"bearer_token_file"`
	// HTTP basic authentication.
	Basic *Basic `yaml:"basic"`
	// How an https URL is spoken to, where the certificates of the system do not do.
	TLS *TLS `yaml:"tls"`
	// Further headers of each request. No secrets.
	Headers map[string]string `yaml:"headers"`
	// Further headers of each request whose values are secret: the header's name to the file that holds its value.
	HeaderFiles map[string]string `yaml:"header_files"`
	// How long one query may take.
	Timeout time.Duration `yaml:"timeout"`
	// Ask for packed answers (gzip): less to send, more work for the source. Default: true with an https URL, false with an http one, which rarely leaves the cluster.
	Compress bool `yaml:"compress"`
	// How many queries may run at once.
	Concurrency int `yaml:"concurrency"`
	// How many queries may begin in a second, with bursts of concurrency. 0: as many as come.
	QueriesPerSecond int `yaml:"queries_per_second"`
	// How long samples need to become visible: this much before now is where each look ends. Default: 1s; 5s for thanos, 10s for mimir, 30s for victoriametrics.
	Lag time.Duration `yaml:"lag"`
	// How much later than lag samples may still arrive, out of order. 0: a tick. Default: 0; 1m for thanos, mimir and victoriametrics.
	Late time.Duration `yaml:"late"`
	// Longest query in bytes; longer ones are split. Default: 65536; 16384 for victoriametrics, which takes no longer ones.
	MaxQueryBytes int `yaml:"max_query_bytes"`
	// Most samples one query may answer with; what would bring more is split.
	MaxSamples int `yaml:"max_samples"`
}

// TLS says how the other side proves who it is, and how Watchtower does.
type TLS struct {
	// File with the certificates, in PEM, that the server's must come from. Empty: those of the system.
	CAFile string `yaml:"ca_file"`
	// File with the certificate, in PEM, that Watchtower shows.
	CertFile string `yaml:"cert_file"`
	// File with the key, in PEM, of that certificate.
	KeyFile string `yaml:"key_file"`
	// Name the server's certificate must hold. Empty: the host of the URL.
	ServerName string `yaml:"server_name"`
	// Take any certificate. Whoever is on the way can then read the credentials and make up measurements.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify"`
}

func defaultPrometheus() Prometheus {
	return Prometheus{
		Kind: KindPrometheus, Timeout: 10 * time.Second, Concurrency: 4,
		Lag: time.Second, MaxQueryBytes: 64 << 10, MaxSamples: 10_000_000,
	}
}

// fill sets the defaults that depend on the kind and the URL, of what was not given.
func (p *Prometheus) fill(given func(path string) bool) {
	if !given("prometheus.compress") {
		p.Compress = strings.HasPrefix(strings.ToLower(p.URL), "https:")
	}
	if p.Kind == KindPrometheus {
		return
	}
	if !given("prometheus.late") {
		p.Late = time.Minute
	}
	if !given("prometheus.lag") {
		switch p.Kind {
		case KindThanos: // Prometheus servers whose clocks differ a little
			p.Lag = 5 * time.Second
		case KindMimir: // remote write sends what it has after at most 5 s
			p.Lag = 10 * time.Second
		case KindVictoriaMetrics: // its -search.latencyOffset
			p.Lag = 30 * time.Second
		}
	}
	if !given("prometheus.max_query_bytes") && p.Kind == KindVictoriaMetrics {
		p.MaxQueryBytes = 16 << 10 // its -search.maxQueryLen
	}
}

// files are the paths of p that are taken from the configuration's folder.
func (p *Prometheus) files() []*string {
	paths := []*string{&p.BearerTokenFile}
	if p.Basic != nil {
		paths = append(paths, &p.Basic.PasswordFile)
	}
	if p.TLS != nil {
		paths = append(paths, &p.TLS.CAFile, &p.TLS.CertFile, &p.TLS.KeyFile)
	}
	return paths
}

var tenantName = regexp.MustCompile(`^[A-Za-z0-9!._*'()|-]{1,1000}$`)

func (k *checker) prometheus() {
	p := &k.c.Prometheus
	k.sourceKind(p)
	p.fill(k.given)
	if p.URL == "" {
		k.at("prometheus.url", "the URL of Prometheus is missing: add prometheus: {url: \"http://host:9090\"}")
	} else {
		k.url("prometheus.url", p.URL)
	}
	k.basic(p)
	k.tls(p)
	k.headers(p)
	k.between("prometheus.timeout", p.Timeout, 100*time.Millisecond, 5*time.Minute)
	k.between("prometheus.lag", p.Lag, 0, 10*time.Minute)
	k.between("prometheus.late", p.Late, 0, time.Hour)
	k.within("prometheus.concurrency", p.Concurrency, 1, 100)
	k.within("prometheus.queries_per_second", p.QueriesPerSecond, 0, 10_000)
	k.within("prometheus.max_query_bytes", p.MaxQueryBytes, 1<<10, 16<<20)
	k.within("prometheus.max_samples", p.MaxSamples, 10_000, 100_000_000)
}

func (k *checker) sourceKind(p *Prometheus) {
	known := false
	for _, kind := range sourceKinds {
		known = known || p.Kind == kind
	}
	if !known {
		k.at("prometheus.kind", "%q is no known kind of metric store%s", p.Kind, hint(p.Kind, sourceKinds))
	}
	switch {
	case p.Tenant == "":
	case known && p.Kind != KindMimir:
		k.at("prometheus.tenant", "only mimir has tenants: set kind: mimir, or send the header you need by headers")
	case !tenantName.MatchString(p.Tenant):
		k.at("prometheus.tenant", "%q is no tenant: use letters, digits and !-_.*'(), several with | between them", p.Tenant)
	}
}

func (k *checker) basic(p *Prometheus) {
	if p.Basic == nil {
		return
	}
	if p.BearerTokenFile != "" {
		k.at("prometheus.basic", "bearer_token_file is given too: keep one way to log in")
	}
	if p.Basic.User == "" {
		k.at("prometheus.basic.user", "the user is missing")
	}
	if p.Basic.PasswordFile == "" {
		k.at("prometheus.basic.password_file", "the file that holds the password is missing")
	}
}

func (k *checker) tls(p *Prometheus) {
	t := p.TLS
	if t == nil {
		return
	}
	if strings.HasPrefix(p.URL, "http://") {
		k.at("prometheus.tls", "the URL is http, which knows no TLS: write https://, or remove tls")
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		k.at("prometheus.tls", "cert_file and key_file belong together: give both or none")
	}
	if t.InsecureSkipVerify && (t.CAFile != "" || t.ServerName != "") {
		k.at("prometheus.tls.insecure_skip_verify", "ca_file and server_name say what to check, this says not to: keep one")
	}
	if t.ServerName != "" && !hostName.MatchString(t.ServerName) {
		k.at("prometheus.tls.server_name", "%q is no name of a host", t.ServerName)
	}
}

func (k *checker) headers(p *Prometheus) {
	for name, value := range p.Headers {
		at := join("prometheus.headers", name)
		if !k.headerName(at, name, p) {
			continue
		}
		switch {
		case secretName.MatchString(name):
			k.at(at, "a header that holds a secret does not belong into this file: use header_files, bearer_token_file or basic.password_file")
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
			k.at(at, "the value holds a control character")
		}
	}
	for name, file := range p.HeaderFiles {
		at := join("prometheus.header_files", name)
		if !k.headerName(at, name, p) {
			continue
		}
		switch {
		case file == "":
			k.at(at, "the file that holds the header's value is missing")
		case strings.EqualFold(name, "Authorization") && (p.Basic != nil || p.BearerTokenFile != ""):
			k.at(at, "basic or bearer_token_file is given too: keep one way to log in")
		}
		for other := range p.Headers {
			if strings.EqualFold(name, other) {
				k.at(at, "%s stands in headers too: keep one", other)
			}
		}
	}
}

// headerName checks what a header may be called.
func (k *checker) headerName(at, name string, p *Prometheus) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Host", "Content-Length", "Content-Type", "Content-Encoding", "Accept-Encoding", "Transfer-Encoding", "Connection", "User-Agent":
		k.at(at, "this header is set by the client itself: remove it")
		return false
	case "X-Scope-Orgid":
		if p.Tenant != "" {
			k.at(at, "tenant is sent as this header: keep one")
			return false
		}
	}
	if !headerName.MatchString(name) {
		k.at(at, "this is no name of an HTTP header")
		return false
	}
	return true
}
