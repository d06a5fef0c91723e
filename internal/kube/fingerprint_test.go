package kube

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
	"sigs.k8s.io/randfill"
)

// filler fills API objects at random; few values, so that objects of different
// seeds are sometimes equal in parts.
func filler(seed int64) *randfill.Filler {
	amounts := []string{"0", "1", "1000m", "1024", "1Ki", "0.5", "500m", "1Gi", "1024Mi", "1e3"}
	return randfill.NewWithSeed(seed).NilChance(0.6).NumElements(0, 2).MaxDepth(12).Funcs(
		func(q *resource.Quantity, c randfill.Continue) {
			*q = resource.MustParse(amounts[c.Intn(len(amounts))])
		},
		func(s *string, c randfill.Continue) { *s = []string{"", "a", "b", "ab"}[c.Intn(4)] },
		func(t *metav1.Time, c randfill.Continue) { t.Time = time.Unix(int64(c.Intn(3)), 0).UTC() },
		func(t *metav1.MicroTime, c randfill.Continue) { t.Time = time.Unix(int64(c.Intn(3)), 0) },
		func(m *[]metav1.ManagedFieldsEntry, _ randfill.Continue) { *m = nil },
	)
}

func randomTemplate(seed int64) *corev1.PodTemplateSpec {
	var t corev1.PodTemplateSpec
	filler(seed).Fill(&t)
	return &t
}

func TestFingerprintsAreEqualExactlyWhereTemplatesAre(t *testing.T) {
	equal := 0
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Int64().Draw(t, "seed")
		a, b := randomTemplate(seed), randomTemplate(seed)
		// Then change b a little, often in a way that means the same.
		r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "change")))
		for range rapid.IntRange(0, 2).Draw(t, "changes") {
			vary(r, b)
		}
		same := apiequality.Semantic.DeepEqual(a, b)
		if got := fingerprintOf(a) == fingerprintOf(b); got != same {
			t.Fatalf("fingerprints equal: %t, templates equal: %t", got, same)
		}
		if same {
			equal++
		}
	})
	if equal == 0 {
		t.Error("no pair was equal: half of the property says nothing")
	}
}

// vary changes one thing of a template.
func vary(r *rand.Rand, t *corev1.PodTemplateSpec) {
	other := randomTemplate(r.Int63())
	switch r.Intn(7) {
	case 0:
		t.Labels = other.Labels
	case 1:
		t.Spec.Volumes = other.Spec.Volumes
	case 2:
		t.Spec.Affinity = other.Spec.Affinity
	case 3:
		if len(t.Spec.NodeSelector) == 0 {
			t.Spec.NodeSelector = map[string]string{}
		}
	case 4:
		t.Spec.SecurityContext = other.Spec.SecurityContext
	case 5:
		for i := range t.Spec.Containers {
			for name, q := range t.Spec.Containers[i].Resources.Limits {
				q.Format = resource.BinarySI
				t.Spec.Containers[i].Resources.Limits[name] = resource.MustParse(q.String())
			}
		}
	case 6:
		for i := range t.Spec.Containers {
			if r.Intn(2) == 0 {
				t.Spec.Containers[i].Args = append(t.Spec.Containers[i].Args, "")
			}
		}
	}
}

func TestTemplateFingerprintIgnoresOnlyThePodTemplateHash(t *testing.T) {
	template := func(labels ...string) *corev1.PodTemplateSpec {
		var t corev1.PodTemplateSpec
		for i := 0; i < len(labels); i += 2 {
			if t.Labels == nil {
				t.Labels = map[string]string{}
			}
			t.Labels[labels[i]] = labels[i+1]
		}
		return &t
	}
	if templateFingerprint(template("app", "a", labelTemplateHash, "1")) != templateFingerprint(template("app", "a")) {
		t.Error("the pod-template-hash makes a difference")
	}
	if templateFingerprint(template(labelTemplateHash, "1")) != templateFingerprint(template()) {
		t.Error("a template with no other label differs from one without labels")
	}
	if templateFingerprint(template("app", "a")) == templateFingerprint(template("app", "b")) {
		t.Error("another label makes no difference")
	}
	kept := template("app", "a", labelTemplateHash, "1")
	templateFingerprint(kept)
	if kept.Labels[labelTemplateHash] != "1" {
		t.Error("the template was changed")
	}
}

func TestFingerprintTakesQuantitiesByAmount(t *testing.T) {
	of := func(amount string) fingerprint { return fingerprintOf(resource.MustParse(amount)) }
	for _, same := range [][2]string{{"1024", "1Ki"}, {"1000m", "1"}, {"1Gi", "1024Mi"}, {"1e3", "1k"}, {"0", "0Ki"}, {"100000000000000000000", "100E"}} {
		if of(same[0]) != of(same[1]) {
			t.Errorf("%s and %s differ", same[0], same[1])
		}
	}
	for _, other := range [][2]string{{"1", "1m"}, {"1k", "1Ki"}, {"1", "-1"}, {"0", "1n"}} {
		if of(other[0]) == of(other[1]) {
			t.Errorf("%s and %s are one", other[0], other[1])
		}
	}
}

func TestFingerprintTellsFieldsApart(t *testing.T) {
	type pair struct{ A, B string }
	values := []any{pair{"ab", ""}, pair{"a", "b"}, pair{"", "ab"}}
	seen := map[fingerprint]string{}
	for _, v := range values {
		f := fingerprintOf(v)
		if other, ok := seen[f]; ok {
			t.Errorf("%v and %s have one fingerprint", v, other)
		}
		seen[f] = fmt.Sprint(v)
	}
}
