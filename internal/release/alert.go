package release

import "time"

// Alert is one alert as Alertmanager understands it. Its labels are its
// identity: the same labels are the same alert.
type Alert struct {
	Labels       map[string]string
	Annotations  map[string]string
	StartsAt     time.Time
	EndsAt       time.Time // in the past: resolved
	GeneratorURL string
}
