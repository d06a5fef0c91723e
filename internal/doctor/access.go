package doctor

import (
	"context"
	"fmt"
	"strings"
)

// Access is one thing to do in the cluster.
type Access struct {
	Verb, Group, Resource string
	Namespace             string // "" for all
}

// Allower tells whether the own account may do something; why is what the cluster
// says to a refusal, and may be empty.
type Allower interface {
	Allowed(ctx context.Context, a Access) (allowed bool, why string, err error)
}

// Need is what a feature has to be allowed.
type Need struct {
	Group, Resource string
	Verbs           []string
	Why             string // what it is needed for
	// Without says what goes on without it, "" where nothing does.
	Without string
	// Namespace is the only one it is needed in; "": those that are watched.
	Namespace string
}

// Needs are what Watchtower has to be allowed in the cluster it watches.
// rollbacks is whether any policy may roll back; lease is the namespace in which
// replicas choose a leader, "" where they do not.
func Needs(rollbacks bool, lease string) []Need {
	watch := []string{"get", "list", "watch"}
	out := []Need{
		{Group: "apps", Resource: "deployments", Verbs: watch, Why: "see rollouts"},
		{Group: "apps", Resource: "replicasets", Verbs: watch, Why: "see rollouts"},
		{Resource: "pods", Verbs: watch, Why: "see the states of pods"},
		{Resource: "services", Verbs: watch, Why: "know by which names callers reach a workload", Without: "what callers measure is not counted; all else works"},
		{Resource: "events", Verbs: []string{"create", "get"}, Why: "write Events", Without: "no Events are written; all else works"},
	}
	if rollbacks {
		out = append(out, Need{Group: "apps", Resource: "deployments", Verbs: []string{"patch"}, Why: "roll back"})
	}
	if lease != "" {
		out = append(out, Need{
			Group: "coordination.k8s.io", Resource: "leases", Verbs: []string{"get", "create", "update"}, Why: "choose which replica watches", Namespace: lease,
		})
	}
	return out
}

// Permissions looks whether the own account may do what is needed, in each
// namespace that is watched.
func Permissions(a Allower, namespaces []string, needs []Need) Check {
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	return Check{"permissions", func(ctx context.Context) []Finding {
		var out []Finding
		asked := 0
		for _, n := range needs {
			var missing []string
			in := namespaces
			if n.Namespace != "" {
				in = []string{n.Namespace}
			}
			for _, ns := range in {
				for _, verb := range n.Verbs {
					allowed, why, err := a.Allowed(ctx, Access{verb, n.Group, n.Resource, ns})
					if err != nil {
						return append(out, failed(fmt.Errorf("the cluster does not tell what is allowed: %w", err),
							"See whether the API server answers; every account may ask this, unless system:basic-user was taken away."))
					}
					asked++
					if !allowed {
						missing = append(missing, missed(verb, ns, why))
					}
				}
			}
			if len(missing) > 0 {
				out = append(out, n.finding(missing))
			}
		}
		if len(out) == 0 {
			out = append(out, ok("all %d that are needed are given", asked))
		}
		return out
	}}
}

func missed(verb, namespace, why string) string {
	s := verb
	if namespace != "" {
		s += " in " + namespace
	}
	if why != "" {
		s += " (" + why + ")"
	}
	return s
}

func (n Need) finding(missing []string) Finding {
	resource := n.Resource
	if n.Group != "" {
		resource += "." + n.Group
	}
	f := Finding{
		Status: Failed, Message: fmt.Sprintf("%s: %s is not allowed, which is needed to %s", resource, strings.Join(missing, ", "), n.Why),
		Mend: fmt.Sprintf("Give the service account a role with apiGroups: [%q], resources: [%s], verbs: [%s]; deploy/rbac.yaml has all of them.",
			n.Group, n.Resource, strings.Join(n.Verbs, ", ")),
	}
	if n.Without != "" {
		f.Status, f.Message = Warning, f.Message+"; "+n.Without
	}
	return f
}
