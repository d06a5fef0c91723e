package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/route"
)

// checker looks at what the decoder read: ranges, addresses, what must be
// there and what excludes another.
type checker struct {
	*decoder
	c      *Config
	folder string // of the file, which relative paths count from
}

func (k *checker) check() {
	c := k.c
	if !clusterName.MatchString(c.Cluster) {
		k.at("cluster", "%q is no cluster name: use letters, digits, '-', '_' and '.', at most 63", c.Cluster)
	}
	k.listen()
	k.url("external_url", c.ExternalURL)
	k.between("tick", c.Tick, time.Second, 5*time.Minute)
	k.store()
	k.replicas()
	for i, ns := range c.Kubernetes.Namespaces {
		if !dnsLabel.MatchString(ns) {
			k.at(fmt.Sprintf("kubernetes.namespaces[%d]", i), "%q is no name of a namespace: give exact names, no patterns", ns)
		}
	}
	k.prometheus()
	k.catalogue()
	k.alertmanager()
	k.forge()
	k.registry()
	k.actions()
	k.api()
	k.receivers()
	k.routing()
	k.templates()
	k.patch("policy", &c.Policy)
	k.overrides()
}

var (
	clusterName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	dnsLabel    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	objectName  = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
	headerName  = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+.^_|~-]+$`)
	secretName  = regexp.MustCompile(`(?i)authorization|cookie|token|secret|password|api-?key`)
	repoName    = regexp.MustCompile(`^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$`)
	globText    = regexp.MustCompile(`^[a-z0-9.*?\[\]^\\-]+$`)
)

// at adds a problem where the value at path stands, or the nearest thing
// around it. Nothing is said of what could not even be read.
func (k *checker) at(path, format string, args ...any) {
	for p := path; ; p = parent(p) {
		if k.failed[p] {
			return
		}
		if p == "" {
			break
		}
	}
	k.add(k.placeOf(path), "%s: %s", path, fmt.Sprintf(format, args...))
}

func (k *checker) placeOf(path string) place {
	for p := path; p != ""; p = parent(p) {
		if at, ok := k.places[p]; ok {
			return at
		}
	}
	return place{1, 1}
}

// parent is the path of what the value at path stands in.
func parent(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }

func (k *checker) given(path string) bool {
	_, ok := k.places[path]
	return ok
}

func (k *checker) listen() {
	host, port, err := net.SplitHostPort(k.c.Listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || strings.ContainsAny(host, "/@ ") {
		k.at("listen", "%q is no address: write host:port, such as 127.0.0.1:9477 or :9477", k.c.Listen)
	}
}

// url checks an optional base URL.
func (k *checker) url(path, text string) {
	if text == "" {
		if k.given(path) {
			k.at(path, "the URL is empty: write it like http://host:port, or remove the key")
		}
		return
	}
	if err := checkURL(text); err != nil {
		k.at(path, "%s", err)
	}
}

// servicePort is the port of a Service, by its name or number.
var servicePort = regexp.MustCompile(`^https?://[a-z0-9-]+\.[a-z0-9-]+:[a-z0-9-]+(/[A-Za-z0-9._/-]*)?$`)

// withoutWay is the URL of an Alertmanager without how its instances are found
// by DNS.
func withoutWay(u string) string {
	for _, way := range []string{"dns+", "dnssrv+"} {
		if rest, ok := strings.CutPrefix(u, way); ok {
			return rest
		}
	}
	return u
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case strings.Contains(text, "@") && (err != nil || u.User != nil || u.Host == ""):
		return fmt.Errorf("the URL carries a user or password: take them out and name a file that holds the secret")
	case err != nil || strings.ContainsAny(text, " \t\n"):
		return fmt.Errorf("this is no URL: write it like http://host:port")
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%q is no http or https URL: write it like http://host:port", text)
	case u.Hostname() == "":
		return fmt.Errorf("%q names no host: write it like http://host:port", text)
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return fmt.Errorf("the URL has a query or fragment: give only the base, such as http://host:port/path")
	}
	return checkPort(u.Port())
}

func checkPort(port string) error {
	if port == "" {
		return nil
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q is no port: ports are 1 to 65535", port)
	}
	return nil
}

func (k *checker) between(path string, d, low, high time.Duration) {
	if d < low || d > high {
		k.at(path, "%s is out of range: use %s to %s", shortDuration(d), shortDuration(low), shortDuration(high))
	}
}

func (k *checker) within(path string, n, low, high int) {
	if n < low || n > high {
		k.at(path, "%d is out of range: use %d to %d", n, low, high)
	}
}

// catalogue checks that the directory can be listed: a catalogue that is not
// read would leave workloads unmeasured in silence.
func (k *checker) catalogue() {
	dir := k.c.Catalogue
	if dir == "" {
		if k.given("catalogue") {
			k.at("catalogue", "the directory is empty: name one, or remove the key")
		}
		return
	}
	if _, err := os.ReadDir(within(k.folder, dir)); err != nil {
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		k.at("catalogue", "the directory %s cannot be read: %s", dir, err)
	}
}

func (k *checker) alertmanager() {
	a := k.c.Alertmanager
	if a == nil {
		return
	}
	if len(a.URLs) == 0 {
		k.at("alertmanager.urls", "no instance is named: add urls: [\"http://host:9093\"], or remove alertmanager")
	}
	for i, u := range a.URLs {
		at := fmt.Sprintf("alertmanager.urls[%d]", i)
		if rest, ok := strings.CutPrefix(u, "kubernetes+"); ok {
			if !servicePort.MatchString(rest) {
				k.at(at, "%q is no port of a Service: write kubernetes+http://service.namespace:port, with the port's name or number", u)
			}
		} else if err := checkURL(withoutWay(u)); err != nil {
			k.at(at, "%s", err)
		} else if slices.Contains(a.URLs[:i], u) {
			k.at(at, "%s is named twice: keep one", u)
		}
	}
	if k.given("alertmanager.timeout") {
		k.between("alertmanager.timeout", a.Timeout, 100*time.Millisecond, time.Minute)
	}
	k.proxy("alertmanager.proxy_url", a.ProxyURL)
	k.expected("alertmanager.expected", a.Expected)
}

// defaultExpected is how long a silence of expected alerts lasts.
const defaultExpected = 5 * time.Minute

func (k *checker) expected(at string, e *Expected) {
	if e == nil {
		return
	}
	if len(e.Matchers) == 0 {
		k.at(at+".matchers", "no alert is named: add matchers: ['alertname=~\"KubePod.*\"'], or remove expected")
	}
	for i, m := range e.Matchers {
		if _, err := route.ParseMatchers(m); err != nil {
			k.at(fmt.Sprintf("%s.matchers[%d]", at, i), "%s", err)
		}
	}
	if !k.given(at + ".for") {
		e.For = defaultExpected
	}
	k.between(at+".for", e.For, time.Minute, time.Hour)
}

func (k *checker) forge() {
	f := k.c.Forge
	if f == nil {
		return
	}
	switch f.Kind {
	case ForgeGitea:
	case "":
		k.at("forge.kind", "the kind of forge is missing: add kind: gitea")
	default:
		k.at("forge.kind", "%q is no known kind of forge: use gitea", f.Kind)
	}
	if f.URL == "" {
		k.at("forge.url", "the URL of the forge is missing: add url: https://host")
	} else {
		k.url("forge.url", f.URL)
	}
	if f.TokenFile == "" {
		k.at("forge.token_file", "the file that holds the access token is missing")
	}
	if f.Repository != "" && !repoName.MatchString(f.Repository) {
		k.at("forge.repository", "%q is no repository: write owner/name", f.Repository)
	}
	if k.given("forge.timeout") {
		k.between("forge.timeout", f.Timeout, 100*time.Millisecond, time.Minute)
	}
}

func (k *checker) registry() {
	r := k.c.Registry
	for i, h := range r.Hosts {
		k.host(fmt.Sprintf("registry.hosts[%d]", i), h)
	}
	for i, h := range r.PlainHTTP {
		k.host(fmt.Sprintf("registry.plain_http[%d]", i), h)
	}
	for from, to := range r.Mirrors {
		at := join("registry.mirrors", from)
		k.host(at, from)
		k.host(at, to)
	}
	k.between("registry.timeout", r.Timeout, 100*time.Millisecond, time.Minute)
}

// host checks a host with an optional port.
func (k *checker) host(path, text string) {
	host, port := text, ""
	if h, p, err := net.SplitHostPort(text); err == nil {
		host, port = h, p
		if checkPort(port) != nil || port == "" {
			host = ""
		}
	}
	if strings.Contains(text, "@") {
		k.at(path, "this is no host: write host or host:port, without user and password")
		return
	}
	_, ipErr := netip.ParseAddr(strings.Trim(host, "[]"))
	if ipErr != nil && !hostName.MatchString(host) {
		k.at(path, "%q is no host: write host or host:port, without http://", text)
	}
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)

func (k *checker) overrides() {
	for i, o := range k.c.Overrides {
		at := fmt.Sprintf("overrides[%d]", i)
		if len(o.Namespaces) == 0 && len(o.Workloads) == 0 {
			k.at(at, "it names neither namespaces nor workloads: name some, or move what it says to policy")
		}
		for j, g := range o.Namespaces {
			k.glob(fmt.Sprintf("%s.namespaces[%d]", at, j), g)
		}
		for j, g := range o.Workloads {
			k.glob(fmt.Sprintf("%s.workloads[%d]", at, j), g)
		}
		if o.Policy.empty() && !k.given(at+".policy") {
			k.at(at+".policy", "it changes nothing: add a policy, or remove it")
		}
		k.patch(at+".policy", &k.c.Overrides[i].Policy)
	}
}

func (k *checker) glob(at, pattern string) {
	if _, err := path.Match(pattern, ""); err != nil {
		k.at(at, "%q is no pattern: close every [ and put something between the brackets", pattern)
		return
	}
	if !globText.MatchString(pattern) {
		k.at(at, "%q matches no name in Kubernetes: use lower-case letters, digits, '-', '.', and *, ?, [a-z]", pattern)
	}
}
