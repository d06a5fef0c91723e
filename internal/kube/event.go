package kube

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	maxEventMessageBytes = 1024 // what kubectl and the events API allow
	maxEventNameBytes    = 253
)

// Event writes a Kubernetes Event on the workload's Deployment. Its name comes
// from key, so a second call with the same key finds the first one's Event and
// succeeds. A message longer than 1024 bytes is cut. The reason is one
// CamelCase word.
func (a *Actor) Event(ctx context.Context, w release.Workload, key, reason, message string, warning bool) error {
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	if w.Cluster != a.cfg.Cluster || !a.cfg.covers(w.Namespace) {
		return a.notOurs(w)
	}
	kind := corev1.EventTypeNormal
	if warning {
		kind = corev1.EventTypeWarning
	}
	now := metav1.NewTime(time.Now())
	event := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: eventName(w.Name, key), Namespace: w.Namespace},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "apps/v1", Kind: "Deployment", Namespace: w.Namespace, Name: w.Name, UID: types.UID(w.UID),
		},
		Reason: reason, Message: cut(message, maxEventMessageBytes), Type: kind,
		Source:         corev1.EventSource{Component: FieldManager},
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		ReportingController: FieldManager,
	}
	_, err := a.client.CoreV1().Events(w.Namespace).Create(ctx, event, metav1.CreateOptions{FieldManager: FieldManager})
	if err == nil || apierrors.IsAlreadyExists(err) {
		return nil
	}
	return apiError("create", "events", w.Namespace, event.Name, err)
}

// eventName is a valid object name, the same for the same key.
func eventName(workload, key string) string {
	sum := sha256.Sum256([]byte(key))
	suffix := "." + hex.EncodeToString(sum[:8])
	head := workload[:min(len(workload), maxEventNameBytes-len(suffix))]
	return strings.TrimRight(head, "-.") + suffix
}

// cut shortens s to at most limit bytes, at the end of a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	const mark = "…"
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}
