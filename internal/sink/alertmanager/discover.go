package alertmanager

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/watchtower-verify/watchtower/internal/outbound"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// lookAgain is how long found instances count.
const lookAgain = 30 * time.Second

// Lookup finds what a name stands for.
type Lookup struct {
	// Host answers the addresses of a name; nil: the system's resolver.
	Host func(ctx context.Context, name string) ([]string, error)
	// Service answers the SRV records of a name; nil: the system's resolver.
	Service func(ctx context.Context, name string) ([]*net.SRV, error)
	// Endpoints answers host:port of the ready endpoints of a Service's port, by
	// its name or number; nil: there is no Kubernetes to ask.
	Endpoints func(ctx context.Context, namespace, service, port string) ([]string, error)
}

// The ways to find instances, as they stand before a URL.
const (
	byHost      = "dns"
	byService   = "dnssrv"
	byEndpoints = "kubernetes"
)

// target is a URL of the configuration.
type target struct {
	way string // "" : the URL is an instance
	url *url.URL
}

// discovery keeps the instances there are.
type discovery struct {
	cfg     Config
	targets []target

	mu    sync.Mutex
	known map[string]*outbound.Client // by URL
	at    time.Time
	log   string // of the last fault, so that it is told once
}

func newDiscovery(cfg Config) (*discovery, error) {
	if cfg.Lookup.Host == nil {
		cfg.Lookup.Host = net.DefaultResolver.LookupHost
	}
	if cfg.Lookup.Service == nil {
		cfg.Lookup.Service = func(ctx context.Context, name string) ([]*net.SRV, error) {
			_, records, err := net.DefaultResolver.LookupSRV(ctx, "", "", name)
			return records, err
		}
	}
	d := &discovery{cfg: cfg, known: map[string]*outbound.Client{}}
	for _, text := range cfg.URLs {
		t, err := parse(text)
		if err != nil {
			return nil, err
		}
		if t.way == byEndpoints && cfg.Lookup.Endpoints == nil {
			return nil, release.E(release.CodeInvalid, "alertmanager: kubernetes+ needs a cluster to ask", nil)
		}
		d.targets = append(d.targets, t)
	}
	return d, nil
}

func parse(text string) (target, error) {
	invalid := func(words string) (target, error) {
		return target{}, release.E(release.CodeInvalid, "alertmanager: "+words, nil)
	}
	var t target
	if way, rest, ok := strings.Cut(text, "+"); ok && slices.Contains([]string{byHost, byService, byEndpoints}, way) {
		t.way, text = way, rest
	}
	u, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil {
		// A port with a name, as Kubernetes has them, is no URL to Go.
		if u, err = namedPort(text); t.way != byEndpoints || err != nil {
			return invalid("a URL must be http(s)://host without user and password, with dns+, dnssrv+ or kubernetes+ before it where instances are to be found")
		}
	}
	t.url = u
	host, namespace, _ := strings.Cut(u.Hostname(), ".")
	switch {
	case t.way == byHost && u.Port() == "":
		return invalid("dns+ needs a port, as in dns+http://alertmanager.monitoring:9093")
	case t.way == byEndpoints && (host == "" || namespace == "" || portOf(u) == ""):
		return invalid("kubernetes+ needs service, namespace and port, as in kubernetes+http://alertmanager.monitoring:web")
	}
	return t, nil
}

// namedPort reads http://service.namespace:name, and keeps the name in Fragment.
func namedPort(text string) (*url.URL, error) {
	scheme, rest, ok := strings.Cut(strings.TrimRight(text, "/"), "://")
	authority, path, _ := strings.Cut(rest, "/")
	host, port, named := strings.Cut(authority, ":")
	if !ok || !named || (scheme != "http" && scheme != "https") || strings.ContainsAny(authority, "@?#") {
		return nil, errors.New("no URL")
	}
	u := &url.URL{Scheme: scheme, Host: host, Fragment: port}
	if path != "" {
		u.Path = "/" + path
	}
	return u, nil
}

func portOf(u *url.URL) string { return cmp.Or(u.Port(), u.Fragment) }

// instances are those there are now. Where they cannot be looked for, those
// that were found before count on.
func (d *discovery) instances(ctx context.Context) ([]instance, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at.IsZero() || time.Since(d.at) >= lookAgain {
		if err := d.look(ctx); err != nil && len(d.known) == 0 {
			return nil, release.E(release.CodeUnavailable, "no Alertmanager was found: see alertmanager.urls", err)
		}
	}
	out := make([]instance, 0, len(d.known))
	for _, u := range slices.Sorted(maps.Keys(d.known)) {
		out = append(out, instance{u, d.known[u]})
	}
	return out, nil
}

// look finds the instances anew.
func (d *discovery) look(ctx context.Context) error {
	found := map[string]string{} // URL → name that its certificate is for
	var errs []error
	for _, t := range d.targets {
		hosts, err := d.hosts(ctx, t)
		if err == nil && len(hosts) == 0 {
			err = errors.New("nothing stands behind " + t.url.Host)
		}
		if err != nil {
			errs = append(errs, err)
		}
		for _, host := range hosts {
			u := url.URL{Scheme: t.url.Scheme, Host: host, Path: t.url.Path}
			found[u.String()] = ""
			if t.way == byHost || t.way == byEndpoints {
				found[u.String()] = t.url.Hostname()
			}
		}
	}
	err := errors.Join(errs...)
	d.tell(err)
	if err != nil && len(d.known) > 0 {
		// What could not be looked for may still be there.
		for u := range d.known {
			found[u] = ""
		}
	}
	d.keep(found)
	if err == nil {
		d.at = time.Now()
	}
	return err
}

func (d *discovery) tell(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != d.log {
		d.cfg.Log.Warn("instances of Alertmanager could not be looked for; those that are known count on", "err", err)
	}
	d.log = text
}

// keep makes clients of new instances and drops those that are gone.
func (d *discovery) keep(found map[string]string) {
	for u, client := range d.known {
		if _, still := found[u]; !still {
			client.Close()
			delete(d.known, u)
		}
	}
	for u, name := range found {
		if d.known[u] != nil {
			continue
		}
		host, _ := url.Parse(u)
		d.known[u] = outbound.New(outbound.Config{
			Service: "Alertmanager " + host.Host, Scheme: "Bearer", SecretFile: d.cfg.BearerTokenFile, Timeout: d.cfg.Timeout,
			CAFile: d.cfg.CAFile, ProxyURL: d.cfg.ProxyURL, ServerName: name,
		})
	}
}

// hosts are host:port of what a target stands for.
func (d *discovery) hosts(ctx context.Context, t target) (out []string, err error) {
	switch t.way {
	case byHost:
		addresses, err := d.cfg.Lookup.Host(ctx, t.url.Hostname())
		for _, a := range addresses {
			out = append(out, net.JoinHostPort(a, t.url.Port()))
		}
		return out, err
	case byService:
		records, err := d.cfg.Lookup.Service(ctx, t.url.Hostname())
		for _, r := range records {
			out = append(out, net.JoinHostPort(strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port))))
		}
		return out, err
	case byEndpoints:
		service, rest, _ := strings.Cut(t.url.Hostname(), ".")
		namespace, _, _ := strings.Cut(rest, ".")
		return d.cfg.Lookup.Endpoints(ctx, namespace, service, portOf(t.url))
	}
	return []string{t.url.Host}, nil
}

func (d *discovery) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.known {
		c.Close()
	}
}
