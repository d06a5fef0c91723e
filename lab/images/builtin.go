package images

import "maps"

// Repositories of the images Builtin makes.
const (
	repository       = "mycompany/webapp"
	callerRepository = "mycompany/caller"
)

// variants of the sample service: each tag with the fault switches that make
// it what it is (see lab/webapp/README.md).
var variants = []struct {
	tag       string
	env       map[string]string
	pullError bool
}{
	{tag: "v1"},
	{tag: "v2"},
	{tag: "v3", env: map[string]string{"ERROR_RATE": "0.05", "ERROR_ROUTE": "/api/checkout"}},
	{tag: "v4"},
	{tag: "errors", env: map[string]string{"ERROR_RATE": "0.05"}},
	{tag: "broken", env: map[string]string{"ERROR_RATE": "0.2"}},
	{tag: "bursts", env: map[string]string{"ERROR_RATE": "0.05", "ERROR_BURST": "20"}},
	{tag: "slow", env: map[string]string{"LATENCY_FACTOR": "1.5"}},
	{tag: "tail", env: map[string]string{"LATENCY_TAIL": "0.15:400"}},
	{tag: "crash", env: map[string]string{"CRASH_AFTER": "0s"}},
	{tag: "crash-later", env: map[string]string{"CRASH_AFTER": "30s"}},
	{tag: "oom", env: map[string]string{"MEMORY_LEAK_MB_PER_S": "20"}},
	{tag: "never-ready", env: map[string]string{"NEVER_READY": "true"}},
	{tag: "slow-start", env: map[string]string{"START_DELAY": "30s"}},
	{tag: "hang", env: map[string]string{"HANG": "true"}},
	{tag: "log-error", env: map[string]string{"LOG_ERROR": "payment gateway rejected token"}},
	{tag: "downstream-outage", env: map[string]string{"DOWNSTREAM_OUTAGE": "true"}},
	{tag: "dropping", env: map[string]string{"DROP_RATE": "0.2"}},
	{tag: "unpullable", pullError: true},
}

// Builtin returns the images of the sample service built at webappPath: v1, v2
// and v4 are healthy, v3 fails 5 % of the requests of /api/checkout, and each
// other tag has the fault it is named for. v1 and v2 of mycompany/caller call
// it. source is the URL of their
// repository and revisions gives the commit of a tag; either may be empty.
func Builtin(webappPath, source string, revisions map[string]string) []Image {
	out := make([]Image, 0, len(variants))
	for _, v := range variants {
		env := map[string]string{"VERSION": v.tag}
		maps.Copy(env, v.env)
		labels := map[string]string{LabelVersion: v.tag}
		if source != "" {
			labels[LabelSource] = source
		}
		if revision := revisions[v.tag]; revision != "" {
			labels[LabelRevision] = revision
		}
		out = append(out, Image{
			Reference: repository + ":" + v.tag,
			Command:   []string{webappPath},
			Env:       env,
			Labels:    labels,
			PullError: v.pullError,
		})
	}
	return append(out, callers(webappPath, source, revisions)...)
}

// callers are two versions of a workload that calls another one; which, its pods
// are told by CALLEE. They are built from the sample service's v1 and v2.
func callers(webappPath, source string, revisions map[string]string) []Image {
	var out []Image
	for _, tag := range []string{"v1", "v2"} {
		labels := map[string]string{LabelVersion: tag}
		if source != "" {
			labels[LabelSource] = source
		}
		if revision := revisions[tag]; revision != "" {
			labels[LabelRevision] = revision
		}
		out = append(out, Image{
			Reference: callerRepository + ":" + tag,
			Command:   []string{webappPath},
			Env:       map[string]string{"VERSION": tag, "CALLEE": "default/webapp"},
			Labels:    labels,
		})
	}
	return out
}
