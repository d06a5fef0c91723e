package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/watchtower-verify/watchtower/internal/api/wire"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// Signals tells what is measured of a workload now. Errors are *release.Error:
// CodeNotFound for a workload there is not, otherwise what the metric store or
// the cluster answered. It is asked for on demand, may be called at the same
// time, and returns early when ctx ends.
type Signals interface {
	Signals(ctx context.Context, namespace, workload string) (release.SignalReport, error)
}

// signalsTimeout bounds a look at a workload's signals, which takes many
// queries where little is exported. It stays below the server's WriteTimeout.
const signalsTimeout = 20 * time.Second

// signalsRoute is the operation's route as gin knows it.
const signalsRoute = wire.WorkloadsPath + "/:namespace/:name" + wire.SignalsSuffix

func describeSignals(api huma.API, s *service) {
	huma.Register(api, huma.Operation{
		OperationID: "get-signals", Method: http.MethodGet, Path: wire.WorkloadsPath + "/{namespace}/{name}" + wire.SignalsSuffix,
		Summary: "Show what is measured of a workload, and why, with current values; or why nothing is",
		Description: "The metric store is asked at each call. 502 says that it refused or could not answer in full, " +
			"503 that it or the cluster is away or wants to be left alone ('Retry-After').",
		Errors: []int{
			http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable,
		},
	}, s.workloadSignals)
}

type signalsInput struct {
	Namespace string `path:"namespace" maxLength:"253" pattern:"^[a-z0-9.-]+$" doc:"Namespace of the Deployment."`
	Name      string `path:"name" maxLength:"253" pattern:"^[a-z0-9.-]+$" doc:"Name of the Deployment."`
}

type signalsOutput struct{ Body release.SignalReport }

func (s *service) workloadSignals(ctx context.Context, in *signalsInput) (*signalsOutput, error) {
	if s.signals == nil {
		return nil, huma.NewError(http.StatusServiceUnavailable, "this server reads no metric store, so it cannot tell what is measured")
	}
	r, err := s.signals.Signals(ctx, in.Namespace, in.Name)
	if err != nil {
		return nil, s.signalsStatus(ctx, err)
	}
	r.Signals, r.Notes = listOf(r.Signals), listOf(r.Notes)
	leaveOutInfinite(r.Signals)
	return &signalsOutput{r}, nil
}

// leaveOutInfinite takes out what JSON has no number for: values of a user's
// own that are so large that their sum is none.
func leaveOutInfinite(signals []release.SignalStatus) {
	for _, s := range signals {
		for i := range s.Arms {
			if v := s.Arms[i].Value; v != nil && (math.IsInf(*v, 0) || math.IsNaN(*v)) {
				s.Arms[i].Value = nil
			}
		}
	}
}

// signalsStatus tells faults of the metric store from those of the question,
// and passes on how long it wants to be left alone.
func (s *service) signalsStatus(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return huma.NewError(http.StatusServiceUnavailable,
			"the metric store and the cluster took longer than "+signalsTimeout.String()+" together: try again, or see prometheus.timeout")
	}
	var known *release.Error
	if !errors.As(err, &known) {
		return s.status(ctx, "read signals", err)
	}
	var code int
	switch known.Code {
	case release.CodeUnavailable, release.CodeRateLimited:
		code = http.StatusServiceUnavailable // the store is asked too much, not this server
	case release.CodeTooExpensive, release.CodePartial, release.CodeBadQuery, release.CodeRefused:
		code = http.StatusBadGateway
	default:
		return s.status(ctx, "read signals", err)
	}
	answer := error(huma.NewError(code, known.Message))
	if wait := release.RetryAfter(err); wait > 0 {
		seconds := int((wait + time.Second - 1) / time.Second)
		answer = huma.ErrorWithHeaders(answer, http.Header{"Retry-After": {strconv.Itoa(seconds)}})
	}
	return answer
}
