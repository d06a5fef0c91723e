package signal

import (
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
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
	// named are the pods known by name. Where the names of both arms' pods begin
	// alike they are all there is to go by, and byName is set.
	named  map[string]bool
	byName bool
	// ips are the known pods by address.
	ips map[string]string
}

// selects reports whether the owner has any pods to ask for.
func (o *owner) selects() bool { return o.prefix != "" || o.workload != "" || len(o.named) > 0 }

// matchers returns the label matchers that select the pods of all owners and,
// where they are of several namespaces, perhaps a few more. With exact, only the
// pods known by name are selected: a metric store answers literal names from its
// index, but tries a pattern on every pod of the cluster. ok is false when there
// is no pod to select, for which no matcher would stand.
func matchers(form catalogue.PodLabels, owners []*owner, exact bool) (_ []*labels.Matcher, ok bool) {
	var namespaces, names, ips, sets, cut, workloads []string
	for _, o := range owners {
		if !o.selects() {
			continue
		}
		namespaces = append(namespaces, o.namespace)
		for ip := range o.ips {
			ips = append(ips, ip)
		}
		if exact {
			for name := range o.named {
				names = append(names, regexp.QuoteMeta(name))
			}
			continue
		}
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
	if form.Address != "" {
		return addressMatchers(form.Address, ips)
	}
	pods := sorted(names)
	// Each with its own suffix: what all begin with, such as a workload's name, is then
	// found by Prometheus, which looks at no more of most pods' names.
	for _, set := range sorted(sets) {
		pods = append(pods, set+"-"+podSuffix)
	}
	if len(workloads) > 0 {
		pods = append(pods, oneOf(workloads)+"-"+hashSuffix+"-"+podSuffix)
	}
	if len(cut) > 0 {
		pods = append(pods, oneOf(cut)+podSuffix)
	}
	if len(pods) == 0 {
		return nil, false
	}
	return []*labels.Matcher{
		namespaceMatcher(form.Namespace, namespaces),
		textMatcher(labels.MatchRegexp, form.Pod, strings.Join(pods, "|")),
	}, true
}

func addressMatchers(label string, ips []string) ([]*labels.Matcher, bool) {
	if len(ips) == 0 {
		return nil, false
	}
	quoted := make([]string, len(ips))
	for i, ip := range ips {
		quoted[i] = regexp.QuoteMeta(ip)
		if strings.Contains(ip, ":") {
			quoted[i] = `\[?` + quoted[i] + `\]?`
		}
	}
	return []*labels.Matcher{textMatcher(labels.MatchRegexp, label, oneOf(quoted)+"(:[0-9]+)?")}, true
}

func namespaceMatcher(label string, namespaces []string) *labels.Matcher {
	namespaces = sorted(namespaces)
	if len(namespaces) == 1 {
		return textMatcher(labels.MatchEqual, label, namespaces[0])
	}
	for i := range namespaces {
		namespaces[i] = regexp.QuoteMeta(namespaces[i])
	}
	return textMatcher(labels.MatchRegexp, label, strings.Join(namespaces, "|"))
}

// textMatcher makes a matcher that is only written down: compiling a regular
// expression of a thousand names costs more than all the rest of a query.
func textMatcher(kind labels.MatchType, label, value string) *labels.Matcher {
	return &labels.Matcher{Type: kind, Name: label, Value: value}
}

// oneOf is a regular expression for any of the alternatives, each once.
func oneOf(quoted []string) string {
	quoted = sorted(quoted)
	if len(quoted) == 1 {
		return quoted[0]
	}
	return "(" + strings.Join(quoted, "|") + ")"
}

func sorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// host is an address without its port and brackets.
func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return strings.Trim(address, "[]")
}

// podIndex finds whose a pod is.
type podIndex struct {
	names     map[podKey][]int
	prefixes  map[podKey][]int // prefix of the pods' names
	workloads map[podKey][]int // "workload-"
	ips       map[string][]int
}

type podKey struct{ namespace, name string }

func indexPods(owners []*owner) podIndex {
	ix := podIndex{map[podKey][]int{}, map[podKey][]int{}, map[podKey][]int{}, map[string][]int{}}
	for i, o := range owners {
		for name := range o.named {
			key := podKey{o.namespace, name}
			ix.names[key] = append(ix.names[key], i)
		}
		for ip := range o.ips {
			ix.ips[ip] = append(ix.ips[ip], i)
		}
		if o.byName {
			continue
		}
		if o.prefix != "" {
			key := podKey{o.namespace, o.prefix}
			ix.prefixes[key] = append(ix.prefixes[key], i)
		}
		if o.workload != "" {
			key := podKey{o.namespace, o.workload}
			ix.workloads[key] = append(ix.workloads[key], i)
		}
	}
	return ix
}

// find returns the indexes of the owners of a pod.
func (ix podIndex) find(namespace, pod string) []int {
	if found := ix.names[podKey{namespace, pod}]; found != nil {
		return found
	}
	prefix, ok := cutPod(pod)
	if !ok {
		return nil
	}
	if len(ix.workloads) > 0 {
		if w, ok := workloadPrefix(prefix); ok {
			if found := ix.workloads[podKey{namespace, w}]; found != nil {
				return found
			}
		}
	}
	return ix.prefixes[podKey{namespace, prefix}]
}
