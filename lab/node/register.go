package node

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	heartbeat     = 10 * time.Second
	leaseDuration = 40 * time.Second // the kubelet's
	notReadyTaint = "node.kubernetes.io/not-ready"
	version       = "v1.37.2-lab"
)

// beNode keeps the Node and its lease in the API until ctx is done.
func (a *agent) beNode(ctx context.Context, logPort int) {
	for wait := time.Duration(0); ; {
		if !sleep(ctx, wait) {
			return
		}
		attempt, cancel := context.WithTimeout(ctx, requestTimeout)
		err := a.register(attempt, logPort)
		if err == nil {
			err = a.renewLease(attempt)
		}
		cancel()
		wait = heartbeat
		if err != nil && ctx.Err() == nil {
			a.cfg.Log.Warn("node heartbeat not written", "node", a.cfg.NodeName, "error", err)
			wait = time.Second
		}
	}
}

func nodeLabels(name string) map[string]string {
	return map[string]string{
		corev1.LabelHostname:   name,
		corev1.LabelOSStable:   "linux",
		corev1.LabelArchStable: runtime.GOARCH,
	}
}

// register makes the Node if there is none and says that it is ready.
func (a *agent) register(ctx context.Context, logPort int) error {
	nodes := a.cfg.Client.CoreV1().Nodes()
	node, err := nodes.Get(ctx, a.cfg.NodeName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		node, err = nodes.Create(ctx, &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: a.cfg.NodeName, Labels: nodeLabels(a.cfg.NodeName)},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		return fmt.Errorf("register node %s: %w", a.cfg.NodeName, err)
	}
	node = node.DeepCopy()
	// Admission gives every new node this taint, and no node controller runs here
	// to take it away.
	taints := node.Spec.Taints[:0]
	for _, t := range node.Spec.Taints {
		if t.Key != notReadyTaint {
			taints = append(taints, t)
		}
	}
	if len(taints) != len(node.Spec.Taints) {
		node.Spec.Taints = taints
		if node, err = nodes.Update(ctx, node, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("untaint node %s: %w", a.cfg.NodeName, err)
		}
	}
	a.fillStatus(&node.Status, logPort)
	if _, err := nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("status of node %s: %w", a.cfg.NodeName, err)
	}
	return nil
}

func (a *agent) fillStatus(status *corev1.NodeStatus, logPort int) {
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(totalMemory(), resource.BinarySI),
		corev1.ResourcePods:   *resource.NewQuantity(int64(a.cfg.MaxPods), resource.DecimalSI),
	}
	status.Capacity, status.Allocatable = capacity, capacity
	// No host name: the API server would try it first, and nobody resolves it.
	status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: hostIP}}
	status.DaemonEndpoints.KubeletEndpoint.Port = int32(logPort) //nolint:gosec // a port number
	status.NodeInfo = corev1.NodeSystemInfo{
		OperatingSystem: "linux", Architecture: runtime.GOARCH, KubeletVersion: version,
		OSImage: "this machine", ContainerRuntimeVersion: "process://lab", KernelVersion: firstLine("/proc/sys/kernel/osrelease"),
		BootID: firstLine("/proc/sys/kernel/random/boot_id"), MachineID: a.cfg.NodeName, SystemUUID: a.cfg.NodeName,
	}
	setNodeCondition(status, corev1.NodeReady, corev1.ConditionTrue, "KubeletReady", "the lab's node agent is ready")
	setNodeCondition(status, corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory", "")
	setNodeCondition(status, corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure", "")
	setNodeCondition(status, corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID", "")
}

func setNodeCondition(status *corev1.NodeStatus, kind corev1.NodeConditionType, value corev1.ConditionStatus, reason, message string) {
	next := corev1.NodeCondition{
		Type: kind, Status: value, Reason: reason, Message: message,
		LastHeartbeatTime: now(), LastTransitionTime: now(),
	}
	for i, c := range status.Conditions {
		if c.Type == kind {
			if c.Status == value {
				next.LastTransitionTime = c.LastTransitionTime
			}
			status.Conditions[i] = next
			return
		}
	}
	status.Conditions = append(status.Conditions, next)
}

func (a *agent) renewLease(ctx context.Context) error {
	leases := a.cfg.Client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	renewed := metav1.NowMicro()
	lease, err := leases.Get(ctx, a.cfg.NodeName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		seconds := int32(leaseDuration / time.Second)
		_, err = leases.Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: a.cfg.NodeName, Namespace: corev1.NamespaceNodeLease},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &a.cfg.NodeName, LeaseDurationSeconds: &seconds, RenewTime: &renewed},
		}, metav1.CreateOptions{})
	case err == nil:
		lease = lease.DeepCopy()
		lease.Spec.RenewTime = &renewed
		_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("lease of node %s: %w", a.cfg.NodeName, err)
	}
	return nil
}

// totalMemory is the machine's memory in bytes; 0 when it cannot be told.
func totalMemory() int64 {
	for line := range strings.Lines(fileText("/proc/meminfo")) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			fields := strings.Fields(rest)
			if len(fields) > 0 {
				kib, err := strconv.ParseInt(fields[0], 10, 64)
				if err == nil {
					return kib << 10
				}
			}
		}
	}
	return 0
}

func firstLine(path string) string {
	line, _, _ := strings.Cut(fileText(path), "\n")
	return line
}

func fileText(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(content)
}
