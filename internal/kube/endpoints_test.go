package kube

import (
	"context"
	"slices"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestEndpointsOfAServicesPort(t *testing.T) {
	no, web, other, a, b := false, "web", "mesh", int32(9093), int32(9094)
	slice := func(name, service string, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Name: name, Namespace: "monitoring", Labels: map[string]string{discoveryv1.LabelServiceName: service}},
			AddressType: discoveryv1.AddressTypeIPv4, Endpoints: endpoints,
			Ports: []discoveryv1.EndpointPort{{Name: &web, Port: &a}, {Name: &other, Port: &b}},
		}
	}
	at := func(ip string) discoveryv1.Endpoint { return discoveryv1.Endpoint{Addresses: []string{ip}} }
	away := at("10.0.0.9")
	away.Conditions.Ready = &no
	client := fake.NewClientset(slice("x", "alertmanager", at("10.0.0.2"), away), slice("y", "alertmanager", at("10.0.0.1"), at("10.0.0.2")), slice("z", "grafana", at("10.0.0.7")))
	actor := NewActor(client, Config{})
	for port, want := range map[string][]string{
		"web": {"10.0.0.1:9093", "10.0.0.2:9093"}, "9094": {"10.0.0.1:9094", "10.0.0.2:9094"}, "http": nil,
	} {
		got, err := actor.Endpoints(context.Background(), "monitoring", "alertmanager", port)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("port %s: %v, %v, want %v", port, got, err, want)
		}
	}
}
