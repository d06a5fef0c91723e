package prometheus

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// secure starts a server whose certificate is for 127.0.0.1 and example.com.
func secure(t *testing.T, clients tls.ClientAuthType, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{ClientAuth: clients}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

func connect(t *testing.T, srv *httptest.Server, how TLS) *Source {
	t.Helper()
	s, err := New(Config{URL: srv.URL, TLS: how, Timeout: 5 * time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func ask(s *Source) error {
	_, err := s.Raw(context.Background(), "x", time.Minute, noon)
	return err
}

func certificate(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	der2, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return encode("CERTIFICATE", der), encode("EC PRIVATE KEY", der2)
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestTheServersCertificateIsCheckedAsSaid(t *testing.T) {
	srv := secure(t, tls.NoClientCert, answer(200, empty))
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		writeSecret(t, path, text)
		return path
	}
	right := file("right.pem", encode("CERTIFICATE", srv.Certificate().Raw))
	other, _ := certificate(t, "other")
	wrong := file("wrong.pem", other)
	empty := file("empty.pem", "no certificate")
	for name, c := range map[string]struct {
		how  TLS
		says string // "" where it is taken
	}{
		"the system knows it not":           {TLS{}, "a certificate that is not trusted"},
		"a name, and the system knows it":   {TLS{ServerName: "example.com"}, "a certificate that is not trusted"},
		"its CA is given":                   {TLS{CAFile: right}, ""},
		"its CA and its name are given":     {TLS{CAFile: right, ServerName: "example.com"}, ""},
		"its CA and another name are given": {TLS{CAFile: right, ServerName: "evil.example.org"}, "a certificate that is not trusted"},
		"another CA is given":               {TLS{CAFile: wrong}, "a certificate that is not trusted"},
		"any will do":                       {TLS{InsecureSkipVerify: true}, ""},
		"the CA's file is missing":          {TLS{CAFile: filepath.Join(dir, "missing.pem")}, "missing.pem: no such file"},
		"the CA's file is none":             {TLS{CAFile: empty}, "empty.pem holds no certificate"},
	} {
		err := ask(connect(t, srv, c.how))
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.says != "" && (release.ErrorCode(err) != release.CodeUnavailable || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// A server may be addressed by IP, which is no name that TLS sends; its
// certificate must still be for that address.
func TestACertificateForAnotherAddressIsNotTaken(t *testing.T) {
	srv := secure(t, tls.NoClientCert, answer(200, empty))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	writeSecret(t, ca, encode("CERTIFICATE", srv.Certificate().Raw))
	s := connect(t, srv, TLS{CAFile: ca})
	state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{srv.Certificate()}}
	for name, taken := range map[string]bool{"127.0.0.1": true, "::1": true, "10.1.2.3": false, "example.com": true, "localhost": false} {
		if err := (TLS{CAFile: ca}).verify(state, name); (err == nil) != taken {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := ask(s); err != nil {
		t.Error(err)
	}
}

func TestRenewedCertificatesCountForTheNextConnection(t *testing.T) {
	var shown string
	srv := secure(t, tls.RequireAnyClientCert, func(w http.ResponseWriter, r *http.Request) {
		shown = r.TLS.PeerCertificates[0].Subject.CommonName
		fmt.Fprint(w, empty)
	})
	dir := t.TempDir()
	how := TLS{CAFile: filepath.Join(dir, "ca.pem"), CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	s := connect(t, srv, how)
	stale, _ := certificate(t, "an old CA")
	writeSecret(t, how.CAFile, stale)
	if err := ask(s); !strings.Contains(fmt.Sprint(err), "not trusted") {
		t.Errorf("with an old CA: %v", err)
	}
	writeSecret(t, how.CAFile, encode("CERTIFICATE", srv.Certificate().Raw))
	if err := ask(s); !strings.Contains(fmt.Sprint(err), "cert.pem with key") || release.ErrorCode(err) != release.CodeUnavailable {
		t.Errorf("without a certificate of its own: %v", err)
	}
	for _, name := range []string{"first", "second"} {
		cert, key := certificate(t, name)
		writeSecret(t, how.CertFile, cert)
		writeSecret(t, how.KeyFile, key)
		s.Close() // of the idle connection, which knows the old one
		if err := ask(s); err != nil || shown != name {
			t.Errorf("showed %q, want %q: %v", shown, name, err)
		}
	}
	writeSecret(t, how.KeyFile, "hunter2hunter2")
	s.Close()
	if err := ask(s); !strings.Contains(fmt.Sprint(err), "key.pem") || strings.Contains(fmt.Sprint(err), "hunter2") {
		t.Errorf("with a key that is none: %v", err)
	}
}

func TestAServerThatWantsACertificateIsUnavailableWithoutOne(t *testing.T) {
	srv := secure(t, tls.RequireAnyClientCert, answer(200, empty))
	if err := ask(connect(t, srv, TLS{InsecureSkipVerify: true})); release.ErrorCode(err) != release.CodeUnavailable || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("%v", err)
	}
}
