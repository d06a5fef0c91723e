// Package catalogue holds the naming conventions (dialects) by which metrics
// reach a metric store: which series mean requests, which of them failed, how
// long they took, and whom a series is about. It is read from YAML files
// (rules/signals), to which users add their own; it knows no metric store and
// does no counting.
package catalogue

import (
	"regexp"

	"github.com/prometheus/prometheus/model/labels"
)

// Catalogue is all that the files say. It does not change once it is loaded.
type Catalogue struct {
	// Dialects by order: of those that a workload exports the first is read.
	Dialects []*Dialect
	// Resources are what is measured of pods besides their requests, in the order
	// of the files; of several for one signal the first that has series is read.
	Resources []*Resource
	// Pods are the ways in which a series may name its pod; the first that a
	// series carries wins.
	Pods []PodLabels
	// LeaveOut matches the routes that are not counted; nil for none.
	// LeaveOutPattern is the same as a PromQL matcher takes it.
	LeaveOut        *regexp.Regexp
	LeaveOutPattern string
}

// Side says who counted the requests.
type Side string

// The sides.
const (
	// SideServer: the pods that served them.
	SideServer Side = "server"
	// SideCaller: whoever sent them (a client library, a mesh's outbound proxy,
	// an ingress). The series are about a callee and are never held against the
	// pods that export them.
	SideCaller Side = "caller"
)

// Dialect is one naming convention of requests.
type Dialect struct {
	Name     string   `yaml:"name"`  // short, shown with every verdict
	Title    string   `yaml:"title"` // in words
	Order    int      `yaml:"order"`
	Side     Side     `yaml:"side"` // default: server
	Requests Requests `yaml:"requests"`
	Latency  *Latency `yaml:"latency"`
	// Routes are the labels that name the route; the first that a series carries
	// counts.
	Routes []string `yaml:"routes"`
	// About says how a series names the callee; only with SideCaller, and then
	// there is at least one. A series is about a workload when all of them match.
	About []About `yaml:"about"`
	// Callee names the label by which a caller's series tells which of the
	// callee's pods answered; nil where the arms cannot be told apart.
	Callee *Callee `yaml:"callee"`
}

// Requests is a counter of finished requests.
type Requests struct {
	// Metric is a counter, or Histogram the base name of a histogram or summary
	// whose count is the requests. Exactly one of them is set.
	Metric    string  `yaml:"metric"`
	Histogram string  `yaml:"histogram"`
	Where     []Where `yaml:"where"`
	// Failure tells a failed request: the first rule whose label a series carries
	// decides. A workload whose series carry none is not read in this dialect.
	Failure []FailureRule `yaml:"failure"`
}

// Where narrows a metric: a label must be a value, or match a regular
// expression (RE2, for the whole value), or must not. Is is written out in the
// file even where it is empty: is: "" holds for a series without the label, and
// with not for one that has it.
type Where struct {
	Label   string `yaml:"label"`
	Is      string `yaml:"is"`
	Matches string `yaml:"matches"`
	Not     bool   `yaml:"not"`

	matcher *labels.Matcher
}

// FailureRule tells a failed request by a label's value.
type FailureRule struct {
	Label   string `yaml:"label"`
	Matches string `yaml:"matches"` // regular expression for the whole value

	pattern *regexp.Regexp
}

// Latency is how long requests took: the base name of a histogram (classic or
// native) or of a summary, or of a pair of _sum and _count alone.
type Latency struct {
	Histogram string  `yaml:"histogram"`
	Unit      Unit    `yaml:"unit"`
	Where     []Where `yaml:"where"`
}

// Unit is what a latency is in.
type Unit string

// The units.
const (
	UnitSeconds      Unit = "seconds"
	UnitMilliseconds Unit = "milliseconds"
	UnitMicroseconds Unit = "microseconds"
	UnitNanoseconds  Unit = "nanoseconds"
)

// PerSecond is how many of the unit make a second; 0 for an unknown unit.
func (u Unit) PerSecond() float64 {
	switch u {
	case UnitSeconds:
		return 1
	case UnitMilliseconds:
		return 1e3
	case UnitMicroseconds:
		return 1e6
	case UnitNanoseconds:
		return 1e9
	}
	return 0
}

// PodLabels name the pod and the namespace of a series, or the pod by the
// address it is scraped at: then Address is a label whose value is the pod's IP,
// with or without a port, and the other two are empty.
type PodLabels struct {
	Pod       string `yaml:"pod"`
	Namespace string `yaml:"namespace"`
	Address   string `yaml:"address"`
}

// About ties a label of a caller's series to the callee. Is is a list of
// templates; the label must be equal to one of them, filled in with what is
// known of the workload:
//
//	{namespace}  its namespace
//	{workload}   the name of the Deployment
//	{service}    any of the Services that select its pods
//	{pod_ip}     the address of any of its pods
//	{any}        anything, also nothing
//	{number}     digits
//
// What stands between the placeholders is literal.
type About struct {
	Label string   `yaml:"label"`
	Is    []string `yaml:"is"`
	// From are labels that name the caller's own namespace; the first that a
	// series carries counts. A template without the callee's namespace or address
	// ("shop" for shop.mall) holds only within that namespace, as such a name is
	// resolved. Each of them stands among the dialect's About by itself too, with
	// {any}, so that those are all the labels that Describes looks at.
	From []string `yaml:"from"`

	templates []template
}

// Callee is the label of a caller's series that names one of the callee's pods.
type Callee struct {
	Label string `yaml:"label"`
	Names Names  `yaml:"names"`
}

// Names says what a Callee's label holds.
type Names string

// What a Callee's label may hold.
const (
	NamesPod             Names = "pod"               // the pod's name
	NamesAddress         Names = "address"           // the pod's IP, with or without a port
	NamesPodTemplateHash Names = "pod_template_hash" // the hash of the pod's ReplicaSet
)

// Resource is something measured of pods beside their requests, by the cluster's
// exporters rather than by the pods themselves (cAdvisor, kube-state-metrics).
// Every series names its pod; several instances of the exporter that report the
// same pod are counted once.
type Resource struct {
	Signal ResourceSignal `yaml:"signal"`
	Title  string         `yaml:"title"`
	Metric string         `yaml:"metric"`
	Kind   Kind           `yaml:"kind"`
	Where  []Where        `yaml:"where"`
	// Scale is what a value is multiplied with to be in cores, bytes or a count;
	// 0 stands for 1.
	Scale float64 `yaml:"scale"`
}

// ResourceSignal is what a resource is for.
type ResourceSignal string

// The signals that resources serve.
const (
	ResourceCPU      ResourceSignal = "cpu"      // counter of core-seconds
	ResourceMemory   ResourceSignal = "memory"   // gauge of bytes
	ResourceRestarts ResourceSignal = "restarts" // counter
	ResourceOOM      ResourceSignal = "oom"      // gauge: 1 while the last end was for want of memory
	ResourceReady    ResourceSignal = "ready"    // gauge: 1 while the pod is ready
)

// Kind is how a metric behaves.
type Kind string

// The kinds.
const (
	KindCounter Kind = "counter"
	KindGauge   Kind = "gauge"
)
