package signal

import (
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// What Kubernetes makes of a generated name: the base, cut to 58 bytes, and
// five characters.
const (
	podSuffixLength = 5
	podPrefixLength = 63 - podSuffixLength
	podSuffix       = "[a-z0-9]{5}"
	// hashSuffix matches a pod-template-hash; its alphabet has no vowels.
	hashSuffix = "[bcdfghjklmnpqrstvwxz2456789]{1,10}"
)

// podPrefix is what the names of a ReplicaSet's pods begin with.
func podPrefix(replicaSet string) string {
	p := replicaSet + "-"
	return p[:min(len(p), podPrefixLength)]
}

// cutPod splits a generated pod name into what its owner gave and the rest.
func cutPod(name string) (prefix string, ok bool) {
	n := len(name) - podSuffixLength
	if n < 1 {
		return "", false
	}
	for i := n; i < len(name); i++ {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return "", false
		}
	}
	return name[:n], true
}

// workloadPrefix cuts the pod-template-hash off a pod's prefix: what remains
// is the Deployment's name and a dash.
func workloadPrefix(prefix string) (string, bool) {
	rest, ok := strings.CutSuffix(prefix, "-")
	if !ok {
		return "", false
	}
	i := strings.LastIndexByte(rest, '-')
	if i < 1 {
		return "", false
	}
	hash := rest[i+1:]
	if len(hash) == 0 || len(hash) > 10 || strings.Trim(hash, "bcdfghjklmnpqrstvwxz2456789") != "" {
		return "", false
	}
	return rest[:i+1], true
}

// owner says which pods are an arm: those of one ReplicaSet or, for history,
// those of any ReplicaSet of a Deployment.
type owner struct {
	namespace string
	prefix    string // of the pods' names; "" for no pods at all
	workload  string // "name-" of a Deployment whose pods all belong, or ""
}

// matchers returns the label matchers that select the pods of all owners and,
// where they are of several namespaces, perhaps a few more.
func matchers(form podLabels, owners []owner) []*labels.Matcher {
	var namespaces, sets, cut, workloads []string
	for _, o := range owners {
		namespaces = append(namespaces, regexp.QuoteMeta(o.namespace))
		switch {
		case o.prefix == "":
		case strings.HasSuffix(o.prefix, "-"):
			sets = append(sets, regexp.QuoteMeta(strings.TrimSuffix(o.prefix, "-")))
		default:
			cut = append(cut, regexp.QuoteMeta(o.prefix))
		}
		if o.workload != "" {
			workloads = append(workloads, regexp.QuoteMeta(strings.TrimSuffix(o.workload, "-")))
		}
	}
	var pods []string
	if len(sets) > 0 {
		pods = append(pods, oneOf(sets)+"-"+podSuffix)
	}
	if len(workloads) > 0 {
		pods = append(pods, oneOf(workloads)+"-"+hashSuffix+"-"+podSuffix)
	}
	if len(cut) > 0 {
		pods = append(pods, oneOf(cut)+podSuffix)
	}
	return []*labels.Matcher{
		namespaceMatcher(form.Namespace, namespaces, owners),
		textMatcher(labels.MatchRegexp, form.Pod, strings.Join(pods, "|")),
	}
}

func namespaceMatcher(label string, quoted []string, owners []owner) *labels.Matcher {
	slices.Sort(quoted)
	quoted = slices.Compact(quoted)
	if len(quoted) == 1 {
		return textMatcher(labels.MatchEqual, label, owners[0].namespace)
	}
	return textMatcher(labels.MatchRegexp, label, strings.Join(quoted, "|"))
}

// textMatcher makes a matcher that is only written down: compiling a regular
// expression of a thousand names costs more than all the rest of a query.
func textMatcher(kind labels.MatchType, label, value string) *labels.Matcher {
	return &labels.Matcher{Type: kind, Name: label, Value: value}
}

// oneOf is a regular expression for any of the alternatives, each once.
func oneOf(quoted []string) string {
	slices.Sort(quoted)
	quoted = slices.Compact(quoted)
	if len(quoted) == 1 {
		return quoted[0]
	}
	return "(" + strings.Join(quoted, "|") + ")"
}
