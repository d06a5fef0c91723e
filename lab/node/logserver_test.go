package node

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// logs asks the node as the API server does for `kubectl logs`.
func (n *labNode) logs(path string) (int, string) {
	n.t.Helper()
	return n.kubelet("containerLogs/" + path)
}

// kubelet gets a page of the node's own.
func (n *labNode) kubelet(path string) (int, string) {
	n.t.Helper()
	node, err := n.client.CoreV1().Nodes().Get(n.t.Context(), "node-1", metav1.GetOptions{})
	if err != nil {
		n.t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // self-signed
	resp, err := client.Get(fmt.Sprintf("https://127.0.0.1:%d/%s", node.Status.DaemonEndpoints.KubeletEndpoint.Port, path))
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestLogsAreThoseOfThisStartOrTheOneBefore(t *testing.T) {
	n := newNode(t)
	n.create(sh("a", `if test -e $(POD_ROOT)/again; then echo second; sleep 1000; fi; touch $(POD_ROOT)/again; echo first; exit 1`))
	n.until("a", "started again", func(p *corev1.Pod) bool { return ready(p) && restarted(p) })
	waitFor(t, func() bool { _, body := n.logs("shop/a/main"); return body == "second\n" }, func() string {
		_, body := n.logs("shop/a/main")
		return body
	})
	if _, body := n.logs("shop/a/main?previous=true"); body != "first\n" {
		t.Errorf("before: %q", body)
	}
	for path, want := range map[string]int{
		"shop/none/main": 404, "shop/a/none": 404, "shop/a/main?tailLines=x": 400, "shop/a/main?sinceTime=x": 400, "shop/a/main?sinceSeconds=x": 400,
	} {
		if code, body := n.logs(path); code != want {
			t.Errorf("%s answers %d %s", path, code, body)
		}
	}
}

func TestFollowedLogsGoOnUntilTheContainerEnds(t *testing.T) {
	n := newNode(t)
	n.create(sh("a", `echo one; sleep 0.5; echo two`, func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever }))
	n.until("a", "started", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
	code, body := n.logs("shop/a/main?follow=true&timestamps=true")
	if code != http.StatusOK || strings.Count(body, "\n") != 2 || !strings.HasSuffix(body, " two\n") {
		t.Errorf("%d %q", code, body)
	}
}

func TestThereIsNoPreviousStartOfTheFirst(t *testing.T) {
	n := newNode(t)
	n.create(sh("a", "sleep 1000"))
	n.until("a", "ready", ready)
	if code, body := n.logs("shop/a/main?previous=true"); code != http.StatusBadRequest || !strings.Contains(body, "not found") {
		t.Errorf("%d %q", code, body)
	}
}
