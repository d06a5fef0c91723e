package route

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/prometheus/alertmanager/timeinterval"
	"gopkg.in/yaml.v2"
)

// Interval is one time interval as it is configured, in Alertmanager's words.
type Interval struct {
	Times       []Times
	Weekdays    []string // "monday:friday"
	DaysOfMonth []string // "1:5", "-3:-1"
	Months      []string // "may:august", "12"
	Years       []string // "2026:2027"
	Location    string   // "Europe/Berlin"; empty: UTC
}

// Times are from Start to End, "HH:MM", within a day; End may be "24:00".
type Times struct{ Start, End string }

// Interval reads it. The error begins with the key that is wrong, as in
// "weekdays[0]: …".
func (i Interval) Interval() (timeinterval.TimeInterval, error) {
	var out timeinterval.TimeInterval
	for n, t := range i.Times {
		var r timeinterval.TimeRange
		if err := yaml.Unmarshal(fmt.Appendf(nil, "start_time: %s\nend_time: %s\n", strconv.Quote(t.Start), strconv.Quote(t.End)), &r); err != nil {
			return out, fmt.Errorf("times[%d]: %s; write start_time and end_time like \"09:00\" and \"17:30\", and what goes past midnight as two", n, words(err))
		}
		out.Times = append(out.Times, r)
	}
	if err := ranges("weekdays", i.Weekdays, `"monday:friday"`, &out.Weekdays); err != nil {
		return out, err
	}
	if err := ranges("days_of_month", i.DaysOfMonth, `"1:5" or "-3:-1"`, &out.DaysOfMonth); err != nil {
		return out, err
	}
	if err := ranges("months", i.Months, `"may:august" or "12"`, &out.Months); err != nil {
		return out, err
	}
	if err := ranges("years", i.Years, `"2026:2027"`, &out.Years); err != nil {
		return out, err
	}
	if i.Location != "" {
		out.Location = new(timeinterval.Location)
		if err := yaml.Unmarshal([]byte(strconv.Quote(i.Location)), out.Location); err != nil {
			return out, fmt.Errorf("location: %s; write it like Europe/Berlin", words(err))
		}
	}
	return out, nil
}

func ranges[T any](key string, texts []string, like string, to *[]T) error {
	for n, text := range texts {
		var r T
		if err := yaml.Unmarshal([]byte(strconv.Quote(strings.ToLower(strings.TrimSpace(text)))), &r); err != nil {
			return fmt.Errorf("%s[%d]: %s; write it like %s", key, n, words(err), like)
		}
		*to = append(*to, r)
	}
	return nil
}

// words is what an error says, in one line.
func words(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
