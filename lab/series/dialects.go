package series

import "slices"

// Buckets of OpenTelemetry: those its conventions advise for seconds, and the
// SDK's own, which milliseconds get.
var (
	OTelBuckets       = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	OTelMillisBuckets = []float64{0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000}
)

// EnvoyBuckets are in milliseconds; Istio has them as well.
var EnvoyBuckets = []float64{
	0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
}

// LinkerdBuckets are in milliseconds: one to five, by each power of ten.
var LinkerdBuckets = func() []float64 {
	var out []float64
	for _, power := range []float64{1, 10, 100, 1000, 10000} {
		for digit := 1.0; digit <= 5; digit++ {
			out = append(out, digit*power)
		}
	}
	return out
}()

// IstioLabels are those of Istio's standard metrics.
var IstioLabels = []string{
	"reporter", "source_workload", "source_workload_namespace", "source_principal", "source_app", "source_version",
	"source_canonical_service", "source_canonical_revision", "destination_workload", "destination_workload_namespace",
	"destination_principal", "destination_app", "destination_version", "destination_canonical_service",
	"destination_canonical_revision", "destination_service", "destination_service_name", "destination_service_namespace",
	"request_protocol", "response_code", "grpc_response_status", "response_flags", "connection_security_policy",
}

// Istio is what the labels say of one request. A workload's name is that of its
// app and service too.
type Istio struct {
	Reporter, Source, SourceNamespace, Destination, DestinationNamespace, Code, Flags string
}

// Values are those of IstioLabels. Where the source is not in the mesh, it is
// unknown.
func (i Istio) Values() []string {
	const unknown, revision = "unknown", "latest"
	if i.Source == "" {
		i.Source, i.SourceNamespace = unknown, unknown
	}
	security := unknown // the source's proxy cannot tell
	if i.Reporter == "destination" {
		security = "none"
	}
	return slices.Concat(
		[]string{i.Reporter, i.Source, i.SourceNamespace, unknown, i.Source, unknown, i.Source, revision},
		[]string{i.Destination, i.DestinationNamespace, unknown, i.Destination, unknown, i.Destination, revision},
		[]string{i.Destination + "." + i.DestinationNamespace + ".svc.cluster.local", i.Destination, i.DestinationNamespace},
		[]string{"http", i.Code, "", i.Flags, security},
	)
}
