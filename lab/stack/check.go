package stack

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// PartStatus is how a part of a running lab is now.
type PartStatus struct {
	Name    string `json:"name"`
	PID     int    `json:"pid,omitempty"` // 0: it is no process of its own
	Ready   bool   `json:"ready"`
	Message string `json:"message,omitempty"` // why it is not
}

// Check asks every part of a running lab, in the order of Info.Parts. It may
// be called by another process than the lab's.
func Check(ctx context.Context, info Info) []PartStatus {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	out := make([]PartStatus, len(info.Parts))
	var group sync.WaitGroup
	for i, name := range info.Parts {
		group.Go(func() {
			out[i] = PartStatus{Name: name, PID: info.PIDs[name], Ready: true}
			if err := checkPart(ctx, info, name); err != nil {
				out[i].Ready, out[i].Message = false, err.Error()
			}
		})
	}
	group.Wait()
	return out
}

func checkPart(ctx context.Context, info Info, name string) error {
	switch name {
	case Prometheus:
		return answers(ctx, http.DefaultClient, info.PrometheusURL+"/-/ready")
	case Alertmanager:
		return answers(ctx, http.DefaultClient, info.AlertmanagerURL+"/-/ready")
	case KubeStateMetrics:
		return answers(ctx, http.DefaultClient, info.KubeStateMetricsURL+"/healthz")
	case Gitea:
		return answers(ctx, http.DefaultClient, info.ForgeURL+"/api/healthz")
	case Registry:
		return answers(ctx, http.DefaultClient, "http://"+info.RegistryAddr+"/v2/")
	case APIServer, Node:
		return checkCluster(ctx, info, name)
	}
	pid := info.PIDs[name]
	if pid == 0 {
		return fmt.Errorf("it is stopped")
	}
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Signal(syscall.Signal(0))
	}
	if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	return nil
}

func checkCluster(ctx context.Context, info Info, name string) error {
	config, err := clientcmd.BuildConfigFromFlags("", info.Kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if name == Node {
		return nodeReady(ctx, client)
	}
	return client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// nodeReady is nil when the lab's node is registered and says it is ready.
func nodeReady(ctx context.Context, client kubernetes.Interface) error {
	n, err := client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("get node %s: %w", nodeName, err)
	}
	for _, condition := range n.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return fmt.Errorf("node %s has no condition Ready", nodeName)
}
