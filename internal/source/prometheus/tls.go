package prometheus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
)

// TLS says how an https source proves who it is, and how Watchtower does. The
// files are PEM; they are read for each new connection, so that a renewed one
// counts from then on.
type TLS struct {
	CAFile             string // certificates the server's must come from; empty: the system's
	CertFile, KeyFile  string // what Watchtower shows; both or none
	ServerName         string // that the server's certificate must hold; empty: the URL's host
	InsecureSkipVerify bool   // takes any certificate
}

func (t TLS) check(u *url.URL) error {
	switch {
	case t == TLS{}:
		return nil
	case u.Scheme != "https":
		return errors.New("TLS is set, but the URL is not https")
	case (t.CertFile == "") != (t.KeyFile == ""):
		return errors.New("a certificate and its key belong together")
	case t.InsecureSkipVerify && (t.CAFile != "" || t.ServerName != ""):
		return errors.New("certificates are either checked or not: CA and server name exclude skipping")
	}
	return nil
}

// config is what the transport needs of t for the server at u.
func (t TLS) config(u *url.URL) *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify}
	if t.CertFile != "" {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
			if err != nil {
				return nil, &fileError{fmt.Errorf("read certificate %s with key %s: %w", t.CertFile, t.KeyFile, err)}
			}
			return &pair, nil
		}
	}
	if t.CAFile != "" {
		name := t.ServerName
		if name == "" {
			name = u.Hostname()
		}
		// The standard check knows only roots that never change, so that it is
		// switched off and done here instead, for every connection.
		cfg.InsecureSkipVerify = true
		cfg.VerifyConnection = func(state tls.ConnectionState) error { return t.verify(state, name) }
	}
	return cfg
}

// verify checks the server's certificate as crypto/tls does, against the
// certificates the file holds now.
func (t TLS) verify(state tls.ConnectionState, name string) error {
	pem, err := os.ReadFile(t.CAFile)
	if err != nil {
		return &fileError{fmt.Errorf("read CA certificates: %w", err)}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return &fileError{fmt.Errorf("CA file %s holds no certificate in PEM", t.CAFile)}
	}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err = state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: name})
	return err
}

// fileError is a file of Watchtower's own that cannot be used.
type fileError struct{ error }

func (e *fileError) Unwrap() error { return e.error }

// untrusted tells whether err is a certificate that was not taken.
func untrusted(err error) bool {
	var (
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
		verify   *tls.CertificateVerificationError
	)
	return errors.As(err, &unknown) || errors.As(err, &hostname) || errors.As(err, &invalid) || errors.As(err, &verify)
}
