package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/watchtower-verify/watchtower/internal/api/wire"
	"github.com/watchtower-verify/watchtower/internal/doctor"
)

// Doctor has the last report of every part; false before there was one.
type Doctor interface {
	Report() (doctor.Report, bool)
}

func describeDoctor(api huma.API, s *service) {
	huma.Register(api, huma.Operation{
		OperationID: "get-doctor", Method: http.MethodGet, Path: wire.DoctorPath,
		Summary: "Show what the last look at every part found, and how to mend what is silent",
		Description: "The server looks every ten minutes and sends nobody a test message then. " +
			"503 says that it has not looked yet.",
		Errors: []int{http.StatusServiceUnavailable},
	}, s.report)
}

type doctorOutput struct{ Body doctorBody }

// doctorBody is a doctor.Report under names that are nothing else's in the
// description of the API.
type doctorBody struct {
	At       time.Time       `json:"at"`
	Version  string          `json:"version"`
	Status   doctor.Status   `json:"status" enum:"ok,warning,failed" doc:"The worst of the findings."`
	Findings []doctorFinding `json:"findings" nullable:"false"`
}

type doctorFinding doctor.Finding

func (s *service) report(context.Context, *struct{}) (*doctorOutput, error) {
	if s.doctor != nil {
		if r, ok := s.doctor.Report(); ok {
			body := doctorBody{At: r.At, Version: r.Version, Status: r.Status, Findings: []doctorFinding{}}
			for _, f := range r.Findings {
				body.Findings = append(body.Findings, doctorFinding(f))
			}
			return &doctorOutput{body}, nil
		}
	}
	return nil, huma.NewError(http.StatusServiceUnavailable, "this server has not looked at its parts yet: try again in half a minute")
}
