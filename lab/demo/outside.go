package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/watchtower-verify/watchtower/lab/stack"
)

// alertmanagerAlert is what Alertmanager tells of an alert.
type alertmanagerAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// findAlert waits until Alertmanager itself shows the alert of a release.
func findAlert(ctx context.Context, base, id string) (found alertmanagerAlert, err error) {
	err = poll(ctx, "the alert in Alertmanager", func() bool {
		var alerts []alertmanagerAlert
		if getJSON(ctx, base+"/api/v2/alerts", "", &alerts) != nil {
			return false
		}
		for _, a := range alerts {
			if a.Labels["release"] == id {
				found = a
				return true
			}
		}
		return false
	})
	return found, err
}

// forgeIssue is what the forge tells of an issue.
type forgeIssue struct {
	Title string `json:"title"`
	Body  string `json:"body"`
}

// readIssue reads an issue from the forge itself.
func readIssue(ctx context.Context, info stack.Info, url string) (i forgeIssue, err error) {
	token, err := os.ReadFile(info.ForgeTokenFile)
	if err != nil {
		return i, err
	}
	api := fmt.Sprintf("%s/api/v1/repos/%s/issues/%s", info.ForgeURL, info.ForgeRepo, path.Base(url))
	return i, getJSON(ctx, api, "token "+strings.TrimSpace(string(token)), &i)
}

func getJSON(ctx context.Context, url, authorization string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// restored waits until every replica of the workload runs an image and is
// available.
func restored(ctx context.Context, client kubernetes.Interface, image string) error {
	return poll(ctx, "every pod to run "+image, func() bool {
		d, err := client.AppsV1().Deployments(namespace).Get(ctx, workload, metav1.GetOptions{})
		if err != nil {
			return false
		}
		st := d.Status
		return d.Spec.Template.Spec.Containers[0].Image == image && st.ObservedGeneration >= d.Generation &&
			st.UpdatedReplicas == replicas && st.AvailableReplicas == replicas && st.Replicas == replicas
	})
}
