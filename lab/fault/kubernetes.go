package fault

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// NewKubernetes puts a proxy before the API server of a kubeconfig's current
// context and writes a kubeconfig at proxied that reaches it through the
// proxy. A client certificate is shown by the proxy, a token by the client. The
// proxy speaks TLS with a certificate of its own: clients keep their token to
// themselves otherwise.
func NewKubernetes(kubeconfig, proxied string) (*Proxy, error) {
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("fault proxy: kubeconfig: %w", err)
	}
	if err := clientcmdapi.MinifyConfig(config); err != nil {
		return nil, fmt.Errorf("fault proxy: kubeconfig %s: %w", kubeconfig, err)
	}
	if err := clientcmd.ResolveLocalPaths(config); err != nil {
		return nil, fmt.Errorf("fault proxy: kubeconfig %s: %w", kubeconfig, err)
	}
	client, err := clientcmd.NewDefaultClientConfig(*config, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("fault proxy: kubeconfig %s: %w", kubeconfig, err)
	}
	upstream, err := rest.TLSConfigFor(client)
	if err != nil {
		return nil, fmt.Errorf("fault proxy: kubeconfig %s: %w", kubeconfig, err)
	}
	own, authority, err := selfSigned()
	if err != nil {
		return nil, fmt.Errorf("fault proxy: certificate: %w", err)
	}
	proxy, err := listen(client.Host, upstream, own)
	if err != nil {
		return nil, err
	}
	for _, cluster := range config.Clusters {
		cluster.Server = proxy.URL
		cluster.CertificateAuthority, cluster.CertificateAuthorityData = "", authority
		cluster.InsecureSkipTLSVerify, cluster.TLSServerName = false, ""
	}
	for _, user := range config.AuthInfos {
		user.ClientCertificate, user.ClientCertificateData = "", nil
		user.ClientKey, user.ClientKeyData = "", nil
	}
	if err := clientcmd.WriteToFile(*config, proxied); err != nil {
		proxy.Close()
		return nil, fmt.Errorf("fault proxy: write kubeconfig: %w", err)
	}
	return proxy, nil
}

// selfSigned makes a certificate for a loopback address, and its PEM form by
// which clients trust it.
func selfSigned() (*tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: "fault proxy"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
