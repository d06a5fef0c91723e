package main

import (
	"fmt"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/watchtower-verify/watchtower/lab/stack"
)

type podStatus struct {
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Phase     string   `json:"phase"`
	Reason    string   `json:"reason,omitempty"`
	Ready     bool     `json:"ready"`
	Restarts  int32    `json:"restarts"`
	IP        string   `json:"ip,omitempty"`
	Images    []string `json:"images"`
}

type labStatus struct {
	Info  stack.Info         `json:"lab"`
	Parts []stack.PartStatus `json:"parts"`
	Pods  []podStatus        `json:"pods"`
}

func newStatus(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the lab's parts, its pods and where everything is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, err := stack.Find(s.stateDir)
			if err != nil {
				return err
			}
			st := labStatus{Info: info, Parts: stack.Check(cmd.Context(), info), Pods: []podStatus{}}
			client, err := clientOf(info)
			if err != nil {
				return err
			}
			pods, podsErr := client.CoreV1().Pods("").List(cmd.Context(), metav1.ListOptions{})
			if podsErr == nil {
				for i := range pods.Items {
					st.Pods = append(st.Pods, statusOf(&pods.Items[i]))
				}
			}
			if s.output == "json" {
				return writeJSON(cmd.OutOrStdout(), st)
			}
			return showStatus(cmd, st, podsErr)
		},
	}
}

func showStatus(cmd *cobra.Command, st labStatus, podsErr error) error {
	out := cmd.OutOrStdout()
	rows := [][]string{{"PART", "STATE", "PID"}}
	for _, p := range st.Parts {
		state, pid := "ready", ""
		if !p.Ready {
			state = p.Message
		}
		if p.PID > 0 {
			pid = fmt.Sprint(p.PID)
		}
		rows = append(rows, []string{p.Name, state, pid})
	}
	if err := table(out, rows...); err != nil {
		return err
	}
	fmt.Fprintln(out)
	if podsErr != nil {
		fmt.Fprintf(out, "pods cannot be listed: %v\n", podsErr)
	} else {
		rows = [][]string{{"NAMESPACE", "POD", "READY", "STATE", "RESTARTS", "ADDRESS", "IMAGES"}}
		for _, p := range st.Pods {
			state := p.Phase
			if p.Reason != "" {
				state = p.Reason
			}
			rows = append(rows, []string{p.Namespace, p.Name, fmt.Sprint(p.Ready), state, fmt.Sprint(p.Restarts), p.IP, fmt.Sprint(p.Images)})
		}
		if err := table(out, rows...); err != nil {
			return err
		}
	}
	fmt.Fprintln(out)
	return table(out, places(st.Info)...)
}

func statusOf(pod *corev1.Pod) podStatus {
	p := podStatus{Namespace: pod.Namespace, Name: pod.Name, Phase: string(pod.Status.Phase), IP: pod.Status.PodIP}
	if pod.DeletionTimestamp != nil {
		p.Reason = "Terminating"
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			p.Ready = c.Status == corev1.ConditionTrue
		}
	}
	for _, c := range pod.Status.ContainerStatuses {
		p.Restarts += c.RestartCount
		if c.State.Waiting != nil && p.Reason == "" {
			p.Reason = c.State.Waiting.Reason
		}
	}
	for _, c := range pod.Spec.Containers {
		p.Images = append(p.Images, c.Image)
	}
	return p
}

// clientOf is an administrator's client of a running lab.
func clientOf(info stack.Info) (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", info.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the lab's kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 100, 200
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of the lab's API server: %w", err)
	}
	return client, nil
}
