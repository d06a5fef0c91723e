package fault

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func TestAKubeconfigThroughTheProxyKeepsTokenAndWatch(t *testing.T) {
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if req.URL.Query().Get("watch") == "true" {
			_, _ = io.WriteString(w, `{"type":"ADDED","object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}}`+"\n")
			_ = http.NewResponseController(w).Flush()
			<-req.Context().Done()
			return
		}
		_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"PodList","items":[{"metadata":{"name":"a"}}]}`)
	}))
	defer api.Close()
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(source, fmt.Appendf(nil, `
apiVersion: v1
kind: Config
current-context: lab
contexts: [{name: lab, context: {cluster: lab, user: admin}}, {name: other, context: {cluster: lab, user: nobody}}]
clusters: [{name: lab, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: admin, user: {tokenFile: token}}]
`, api.URL, ca), 0o600); err != nil {
		t.Fatal(err)
	}
	proxied := filepath.Join(t.TempDir(), "proxied") // elsewhere: the path of the token must still hold
	p, err := NewKubernetes(source, proxied)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	config, err := clientcmd.BuildConfigFromFlags("", proxied)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != p.URL {
		t.Errorf("the kubeconfig leads to %s", config.Host)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	pods, err := client.CoreV1().Pods("a").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(pods.Items) != 1 {
		t.Fatalf("%v, %v", pods, err)
	}
	watch, err := client.CoreV1().Pods("a").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if event := <-watch.ResultChan(); event.Type != "ADDED" {
		t.Errorf("event %+v", event)
	}
	p.Down()
	if _, open := <-watch.ResultChan(); open {
		t.Error("the watch goes on")
	}
}
