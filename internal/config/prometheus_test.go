package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAWholePrometheusSectionIsRead(t *testing.T) {
	got := mustParse(t, `
prometheus:
  kind: mimir
  url: https://mimir.example.com/prometheus
  tenant: team-a|team-b
  bearer_token_file: secrets/token
  tls: {ca_file: ca.pem, cert_file: /tls/cert.pem, key_file: key.pem, server_name: mimir.internal}
  headers: {X-Team: shop}
  header_files: {X-Gateway-Key: secrets/gateway}
  timeout: 3s
  concurrency: 8
  queries_per_second: 20
  lag: 0s
  late: 30s
  max_query_bytes: 32768
  max_samples: 500000
`).Prometheus
	want := Prometheus{
		Kind: KindMimir, URL: "https://mimir.example.com/prometheus", Tenant: "team-a|team-b", BearerTokenFile: "/etc/watchtower/secrets/token",
		TLS:     &TLS{CAFile: "/etc/watchtower/ca.pem", CertFile: "/tls/cert.pem", KeyFile: "/etc/watchtower/key.pem", ServerName: "mimir.internal"},
		Headers: map[string]string{"X-Team": "shop"}, HeaderFiles: map[string]string{"X-Gateway-Key": "/etc/watchtower/secrets/gateway"},
		Timeout: 3 * time.Second, Compress: true, Concurrency: 8, QueriesPerSecond: 20, Late: 30 * time.Second, MaxQueryBytes: 32768, MaxSamples: 500_000,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPackedAnswersAreAskedForWhereTheLinkIsLikelyToBeLong(t *testing.T) {
	for title, c := range map[string]struct {
		given string
		want  bool
	}{
		"http":                       {"url: http://h", false},
		"https":                      {"url: https://h", true},
		"https in capitals":          {"url: HTTPS://h", true},
		"http, stated":               {"url: http://h, compress: true", true},
		"https, stated":              {"url: https://h, compress: false", false},
		"stated before the URL is":   {"compress: true, url: http://h", true},
		"http whose host says https": {"url: 'http://https:1'", false},
	} {
		if got := mustParse(t, "prometheus: {"+c.given+"}\n").Prometheus.Compress; got != c.want {
			t.Errorf("%s: %t, want %t", title, got, c.want)
		}
	}
}

func TestTheKindOfMetricStoreGivesTheDefaultsThatAreNotStated(t *testing.T) {
	for title, c := range map[string]struct {
		given     string
		lag, late time.Duration
		bytes     int
	}{
		"nothing":                              {"", time.Second, 0, 65536},
		"prometheus":                           {"kind: prometheus", time.Second, 0, 65536},
		"thanos":                               {"kind: thanos", 5 * time.Second, time.Minute, 65536},
		"mimir":                                {"kind: mimir", 10 * time.Second, time.Minute, 65536},
		"victoriametrics":                      {"kind: victoriametrics", 30 * time.Second, time.Minute, 16384},
		"a stated lag wins":                    {"kind: victoriametrics, lag: 2s", 2 * time.Second, time.Minute, 16384},
		"a stated lag of nothing wins":         {"lag: 0s, kind: victoriametrics", 0, time.Minute, 16384},
		"a lag stated as the default wins":     {"kind: thanos, lag: 1s", time.Second, time.Minute, 65536},
		"a stated lateness of nothing wins":    {"kind: mimir, late: 0", 10 * time.Second, 0, 65536},
		"a stated length of query wins":        {"kind: victoriametrics, max_query_bytes: 1048576", 30 * time.Second, time.Minute, 1 << 20},
		"prometheus can be told of late ones":  {"late: 5m", time.Second, 5 * time.Minute, 65536},
		"what is stated counts for prometheus": {"lag: 3s, max_query_bytes: 2048", 3 * time.Second, 0, 2048},
	} {
		t.Run(title, func(t *testing.T) {
			p := mustParse(t, "prometheus: {url: http://h, "+c.given+"}\n").Prometheus
			if p.Lag != c.lag || p.Late != c.late || p.MaxQueryBytes != c.bytes {
				t.Errorf("lag %s, late %s, %d bytes; want %s, %s, %d", p.Lag, p.Late, p.MaxQueryBytes, c.lag, c.late, c.bytes)
			}
		})
	}
}

func TestFaultsOfThePrometheusSectionAreToldWithPlaceAndWayOut(t *testing.T) {
	for title, c := range map[string]struct{ section, want string }{
		"an unknown kind":                        {"kind: victoria", `1:35: prometheus.kind: "victoria" is no known kind of metric store: known are prometheus`},
		"a misspelt kind":                        {"kind: tanos", `1:35: prometheus.kind: "tanos" is no known kind of metric store: did you mean thanos?`},
		"a tenant of prometheus":                 {"tenant: a", "1:37: prometheus.tenant: only mimir has tenants: set kind: mimir"},
		"a tenant with a space":                  {"kind: mimir, tenant: a b", `1:50: prometheus.tenant: "a b" is no tenant`},
		"a tenant twice":                         {"kind: mimir, tenant: a, headers: {x-scope-orgid: b}", "1:63: prometheus.headers.x-scope-orgid: tenant is sent as this header: keep one"},
		"TLS without https":                      {"tls: {ca_file: a}", "1:29: prometheus.tls: the URL is http, which knows no TLS"},
		"a header of the client":                 {"headers: {host: a}", "1:39: prometheus.headers.host: this header is set by the client itself"},
		"a header file without a file":           {"header_files: {X-Key: ''}", "1:44: prometheus.header_files.X-Key: the file that holds the header's value is missing"},
		"a header file that is no header":        {"header_files: {'X Key': a}", "1:44: prometheus.header_files.X Key: this is no name"},
		"a header by value and by file":          {"headers: {X-Team: a}, header_files: {x-team: b}", "1:66: prometheus.header_files.x-team: X-Team stands in headers too: keep one"},
		"two ways to log in":                     {"bearer_token_file: t, header_files: {Authorization: b}", "1:66: prometheus.header_files.Authorization: basic or bearer_token_file is given too"},
		"too many queries a second":              {"queries_per_second: 20000", "1:49: prometheus.queries_per_second: 20000 is out of range: use 0 to 10000"},
		"a lag of an hour":                       {"lag: 1h", "1:34: prometheus.lag: 1h is out of range: use 0s to 10m"},
		"a lateness of a day":                    {"late: 1d", "1:35: prometheus.late: 1d is out of range: use 0s to 1h"},
		"queries too short to ask anything":      {"max_query_bytes: 100", "1:46: prometheus.max_query_bytes: 100 is out of range: use 1024 to 16777216"},
		"answers too short to hold a release":    {"max_samples: 1", "1:42: prometheus.max_samples: 1 is out of range: use 10000 to 100000000"},
		"a secret among the headers in the file": {"headers: {X-Api-Key: hunter2}", "1:39: prometheus.headers.X-Api-Key: a header that holds a secret does not belong into this file: use header_files"},
	} {
		t.Run(title, func(t *testing.T) {
			got := faultsOf(t, "prometheus: {url: http://h, "+c.section+"}\n")
			if len(got) != 1 || !strings.HasPrefix(got[0], c.want) {
				t.Errorf("got  %q\nwant %s…", got, c.want)
			}
		})
	}
	for title, c := range map[string]struct{ tls, want string }{
		"a certificate without a key":    {"cert_file: a", "1:30: prometheus.tls: cert_file and key_file belong together"},
		"a key without a certificate":    {"key_file: a", "1:30: prometheus.tls: cert_file and key_file belong together"},
		"checking and not checking":      {"ca_file: a, insecure_skip_verify: true", "1:70: prometheus.tls.insecure_skip_verify: ca_file and server_name say what to check"},
		"a server name that is none":     {"server_name: 'a b'", `1:49: prometheus.tls.server_name: "a b" is no name of a host`},
		"a switch that is neither of it": {"insecure_skip_verify: yes", `1:58: prometheus.tls.insecure_skip_verify: "yes" is neither true nor false`},
	} {
		t.Run(title, func(t *testing.T) {
			got := faultsOf(t, "prometheus: {url: https://h, tls: {"+c.tls+"}}\n")
			if len(got) != 1 || !strings.HasPrefix(got[0], c.want) {
				t.Errorf("got  %q\nwant %s…", got, c.want)
			}
		})
	}
}

func TestACatalogueIsADirectoryBesideTheFile(t *testing.T) {
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "signals"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "one.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	parse := func(value string) (*Config, error) {
		return Parse(filepath.Join(folder, "w.yaml"), []byte(least+"catalogue: "+value+"\n"))
	}
	c, err := parse("signals")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(folder, "signals"); c.Catalogue != want {
		t.Errorf("the catalogue is at %s, want %s", c.Catalogue, want)
	}
	for value, want := range map[string]string{
		"missing":  "w.yaml:2:12: catalogue: the directory missing cannot be read: no such file",
		"one.yaml": "w.yaml:2:12: catalogue: the directory one.yaml cannot be read: not a directory",
		"''":       "w.yaml:2:12: catalogue: the directory is empty",
	} {
		if _, err := parse(value); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", value, err, want)
		}
	}
}

// Whatever carries a file path must be taken from the file's folder.
func TestEveryFilePathIsTakenFromTheFolderOfTheFile(t *testing.T) {
	c := mustParse(t, `
store: {path: a}
kubernetes: {kubeconfig: b}
prometheus: {url: https://h, bearer_token_file: c, header_files: {X-Key: g}, tls: {ca_file: h, cert_file: i, key_file: j}}
alertmanager: {urls: [http://h], bearer_token_file: d, ca_file: n}
forge: {kind: gitea, url: http://h, token_file: e}
`)
	c.Prometheus.Basic = &Basic{PasswordFile: "f"}
	c.Catalogue = "k"
	c.Store.URLFile, c.Store.PasswordFile = "l", "m"
	c.locate("/x")
	var walk func(path string, v reflect.Value)
	n := 0
	walk = func(path string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(path, v.Elem())
			}
		case reflect.Struct:
			for i := range v.NumField() {
				walk(path+"."+v.Type().Field(i).Tag.Get("yaml"), v.Field(i))
			}
		case reflect.Map:
			for _, key := range v.MapKeys() {
				if strings.HasSuffix(path, "_files") {
					walk(path+"."+key.String()+"_file", v.MapIndex(key))
				}
			}
		case reflect.String:
			if strings.HasSuffix(path, "_file") || strings.HasSuffix(path, ".path") || strings.HasSuffix(path, "kubeconfig") || path == ".catalogue" {
				n++
				if !filepath.IsAbs(v.String()) {
					t.Errorf("%s is %q", path, v)
				}
			}
		}
	}
	walk("", reflect.ValueOf(c).Elem())
	if n != 14 {
		t.Errorf("%d file paths seen", n)
	}
}
