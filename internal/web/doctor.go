package web

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/doctor"
	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	doctorPath = "/doctor"
	// followSeconds is how often the doctor's page loads itself again, waitSeconds
	// before there is a first report.
	followSeconds, waitSeconds = 30, 5
)

// statuses are how a part may be, the worst first, as the page lists them.
var statuses = []doctor.Status{doctor.Failed, doctor.Warning, doctor.Skipped, doctor.OK}

// statusBadge is a status ready to show.
func statusBadge(s doctor.Status) badge {
	switch s {
	case doctor.OK:
		return badge{"Works", "ok", "✓"}
	case doctor.Warning:
		return badge{"Works in part", "warning", "!"}
	case doctor.Failed:
		return badge{"Does not work", "failed", "✕"}
	}
	return badge{"Not tried", "skipped", "–"}
}

// part is one check with all that it found, the worst first.
type part struct {
	Name     string
	Status   doctor.Status
	Findings []doctor.Finding
}

// doctorView is what the doctor's page shows.
type doctorView struct {
	Known   bool // there was a look
	Report  doctor.Report
	Parts   []part
	Paused  bool // the reader asked the page to stand still
	Looking time.Time
}

func rank(s doctor.Status) int { return slices.Index(statuses, s) }

// partsOf gathers findings by their check. What does not work comes first; parts
// that are alike stay in the order in which they were looked at.
func partsOf(r doctor.Report) []part {
	var out []part
	for _, f := range r.Findings {
		i := slices.IndexFunc(out, func(p part) bool { return p.Name == f.Check })
		if i < 0 {
			i, out = len(out), append(out, part{Name: f.Check, Status: f.Status})
		}
		if rank(f.Status) < rank(out[i].Status) {
			out[i].Status = f.Status
		}
		out[i].Findings = append(out[i].Findings, f)
	}
	for _, p := range out {
		slices.SortStableFunc(p.Findings, func(a, b doctor.Finding) int { return rank(a.Status) - rank(b.Status) })
	}
	slices.SortStableFunc(out, func(a, b part) int { return rank(a.Status) - rank(b.Status) })
	return out
}

// ailing is how many parts do not work, and how many work in part.
type ailing struct{ Failed, Warning int }

func ailingOf(parts []part) (a ailing) {
	for _, p := range parts {
		switch p.Status {
		case doctor.Failed:
			a.Failed++
		case doctor.Warning:
			a.Warning++
		case doctor.OK, doctor.Skipped:
		}
	}
	return a
}

func (a ailing) any() bool { return a.Failed+a.Warning > 0 }

func (a ailing) n() int {
	if a.Failed > 0 {
		return a.Failed
	}
	return a.Warning
}

func (a ailing) class() string {
	if a.Failed > 0 {
		return "failed"
	}
	return "warning"
}

// words say what the sign in the navigation stands for.
func (a ailing) words() string {
	verb := "do not work"
	switch {
	case a.Failed == 1:
		verb = "does not work"
	case a.Failed == 0 && a.Warning == 1:
		verb = "works in part"
	case a.Failed == 0:
		verb = "work in part"
	}
	return release.Plural(a.n(), "part") + " " + verb
}

// sum is the report in a sentence.
func (p doctorView) sum() string {
	a := ailingOf(p.Parts)
	switch {
	case a.Failed > 0 && a.Warning > 0:
		return a.words() + ", " + ailing{Warning: a.Warning}.words() + "."
	case a.any():
		return a.words() + "."
	}
	return "Every part that was tried works."
}

// late reports whether the last look is longer ago than two should be.
func (p doctorView) late() bool { return p.Looking.Sub(p.Report.At) > 2*doctor.Every }

func (p doctorView) refreshSeconds() int {
	switch {
	case p.Paused:
		return 0
	case !p.Known:
		return waitSeconds
	}
	return followSeconds
}

func (h *handler) doctor(w http.ResponseWriter, r *http.Request) {
	p := doctorView{Paused: r.URL.Query().Get("refresh") == "off", Looking: time.Now()}
	if h.Doctor != nil {
		p.Report, p.Known = h.Doctor.Report()
		p.Parts = partsOf(p.Report)
	}
	h.show(w, r, http.StatusOK, doctorPage(p))
}

type ailingKey struct{}

// withAiling gives pages what the navigation warns of.
func (h *handler) withAiling(ctx context.Context) context.Context {
	if h.Doctor == nil {
		return ctx
	}
	r, known := h.Doctor.Report()
	if !known {
		return ctx
	}
	return context.WithValue(ctx, ailingKey{}, ailingOf(partsOf(r)))
}

func ailingParts(ctx context.Context) ailing {
	a, _ := ctx.Value(ailingKey{}).(ailing)
	return a
}
