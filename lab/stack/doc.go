// Package stack is the lab: a Kubernetes control plane on etcd, a node whose
// pods are processes of this machine, an image registry, Prometheus,
// kube-state-metrics, Alertmanager and a Gitea, all on the loopback interface,
// started together, watched, and gone when the process that started them is.
//
// Several labs may run at once: each has its own state folder, its own ports
// and its own part of 127.0.0.0/8 for its pods.
package stack
