package kube

import (
	"context"
	"net"
	"slices"
	"strconv"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Endpoints lists host:port of the ready endpoints of a Service's port, by its
// name or number, in their order; none where there are none. Errors are
// *release.Error.
func (a *Actor) Endpoints(ctx context.Context, namespace, service, port string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	list, err := a.client.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service})
	if err != nil {
		return nil, apiError("list", "endpointslices", namespace, service, err)
	}
	var out []string
	for _, s := range list.Items {
		if s.AddressType == discoveryv1.AddressTypeFQDN {
			continue
		}
		for _, p := range s.Ports {
			if p.Port == nil || (strconv.Itoa(int(*p.Port)) != port && (p.Name == nil || *p.Name != port)) {
				continue
			}
			out = append(out, readyAt(s.Endpoints, *p.Port)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func readyAt(endpoints []discoveryv1.Endpoint, port int32) []string {
	var out []string
	for _, e := range endpoints {
		if len(e.Addresses) > 0 && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
			out = append(out, net.JoinHostPort(e.Addresses[0], strconv.Itoa(int(port))))
		}
	}
	return out
}
