package stack

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Ports of parts that have a second one.
const (
	etcdPeer         = "etcd-peer"
	metricsTelemetry = "kube-state-metrics-telemetry"
)

// portNames are the ports a lab needs.
func portNames(o *Options) []string {
	var names []string
	for _, name := range Names() {
		switch {
		case !o.has(name) || name == Node:
			continue
		case name == Etcd:
			names = append(names, etcdPeer)
		case name == KubeStateMetrics:
			names = append(names, metricsTelemetry)
		}
		names = append(names, name)
	}
	return names
}

func (l *Lab) allComponents() []*component {
	return []*component{
		l.etcd(), l.apiServer(), l.controllerManager(), l.registry(), l.node(),
		l.kubeStateMetrics(), l.prometheus(), l.alertmanager(), l.gitea(),
	}
}

func (l *Lab) etcd() *component {
	client, peer := "http://"+l.ports.addr(Etcd), "http://"+l.ports.addr(etcdPeer)
	c := l.process(Etcd, 0, []string{Etcd, etcdPeer}, func() (command, error) {
		dir, err := l.dataDir(Etcd)
		return command{path: l.built[Etcd].Binary, dir: dir, args: []string{
			"--name=lab", "--data-dir=" + dir,
			// A lab's data need not outlive the machine's power.
			"--unsafe-no-fsync",
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=lab=" + peer,
			"--auto-compaction-mode=periodic", "--auto-compaction-retention=5m",
			"--log-level=warn",
		}}, err
	})
	c.ready = func(ctx context.Context) error { return answers(ctx, http.DefaultClient, client+"/readyz") }
	return c
}

func (l *Lab) apiServer() *component {
	c := l.process(APIServer, 0, []string{APIServer}, func() (command, error) {
		dir, err := l.dataDir(APIServer)
		return command{path: l.built[APIServer].Binary, dir: dir, args: []string{
			"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port=" + l.ports.port(APIServer),
			"--tls-cert-file=" + l.certs.Cert, "--tls-private-key-file=" + l.certs.Key, "--cert-dir=" + dir,
			"--etcd-servers=http://" + l.ports.addr(Etcd),
			"--token-auth-file=" + l.state.path("auth", "tokens.csv"),
			"--authorization-mode=RBAC",
			// Nobody makes service accounts here, and no pod uses one.
			"--disable-admission-plugins=ServiceAccount",
			"--service-account-issuer=https://kubernetes.default.svc",
			"--service-account-key-file=" + l.certs.ServiceKey, "--service-account-signing-key-file=" + l.certs.ServiceKey,
			"--service-cluster-ip-range=10.96.0.0/16",
			// Endpoints refuse loopback addresses, the only ones there are.
			"--endpoint-reconciler-type=none",
		}}, err
	})
	c.after = []string{Etcd}
	c.timeout = 2 * time.Minute // a busy machine; two seconds on an idle one
	client := l.tlsClient()
	c.ready = func(ctx context.Context) error {
		return answers(ctx, client, "https://"+l.ports.addr(APIServer)+"/readyz")
	}
	c.setup = l.applyRBAC
	return c
}

func (l *Lab) controllerManager() *component {
	c := l.process(ControllerManager, 0, []string{ControllerManager}, func() (command, error) {
		dir, err := l.dataDir(ControllerManager)
		return command{path: l.built[ControllerManager].Binary, dir: dir, args: []string{
			"--kubeconfig=" + l.state.path(kubeconfigFile),
			"--bind-address=127.0.0.1", "--secure-port=" + l.ports.port(ControllerManager),
			"--tls-cert-file=" + l.certs.Cert, "--tls-private-key-file=" + l.certs.Key, "--cert-dir=" + dir,
			"--controllers=deployment-controller,replicaset-controller,namespace-controller,garbage-collector-controller",
			"--leader-elect=false",
			// Many pods at once, on a control plane that has nothing else to do.
			"--kube-api-qps=200", "--kube-api-burst=400",
		}}, err
	})
	c.after = []string{APIServer}
	client := l.tlsClient()
	c.ready = func(ctx context.Context) error {
		return answers(ctx, client, "https://"+l.ports.addr(ControllerManager)+"/healthz")
	}
	return c
}

// tlsClient trusts the lab's own authority.
func (l *Lab) tlsClient() *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(l.certs.caPEM)
	return &http.Client{Transport: &bearer{l.admin.token, &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool},
		DisableKeepAlives: true, // it asks twice in its life
	}}}
}

type bearer struct {
	token string
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b *bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(req)
}

// answers is nil when the URL answers 200.
func answers(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 2048))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", url, resp.Status, bytes.TrimSpace(body))
	}
	return nil
}

// rbacManifest gives the user watchtower what the service needs and no more.
//
//go:embed rbac.yaml
var rbacManifest []byte

func (l *Lab) applyRBAC(ctx context.Context) error {
	docs := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(rbacManifest), 4096)
	var role rbacv1.ClusterRole
	var binding rbacv1.ClusterRoleBinding
	if err := errors.Join(docs.Decode(&role), docs.Decode(&binding)); err != nil {
		return fmt.Errorf("read rbac.yaml: %w", err)
	}
	rbac := l.client.RbacV1()
	if _, err := rbac.ClusterRoles().Create(ctx, &role, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create cluster role %s: %w", role.Name, err)
	}
	if _, err := rbac.ClusterRoleBindings().Create(ctx, &binding, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create cluster role binding %s: %w", binding.Name, err)
	}
	return nil
}

func writeConfig(file, content string) error {
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}
