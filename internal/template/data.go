package template

import (
	"maps"
	"reflect"

	am "github.com/prometheus/alertmanager/template"

	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// Data are what a template sees: those of Alertmanager, with the message as its
// one alert, and the message itself.
type Data struct {
	*am.Data
	release.Message
}

// DataOf are the data of a message for a receiver. Every text in them goes
// through escape, if there is one, so that a name is a name in the receiver's
// markup. The alerts of a message of several are theirs.
func DataOf(m release.Message, receiver, externalURL string, escape func(string) string) Data {
	m.Own = release.OwnText{}
	whole := alertOf(m)
	alerts, common := am.Alerts{whole}, am.KV{"release": string(m.Release)}
	if len(m.Members) > 1 {
		alerts, common = nil, maps.Clone(whole.Labels)
	}
	for _, one := range m.Members {
		if len(m.Members) > 1 && one.Message != nil {
			alerts = append(alerts, alertOf(*one.Message))
		}
	}
	d := Data{
		Data: &am.Data{
			Receiver: receiver, Status: whole.Status, Alerts: alerts, NotificationReason: string(m.State),
			GroupLabels: common, CommonLabels: maps.Clone(whole.Labels),
			CommonAnnotations: maps.Clone(whole.Annotations), RouteLabels: am.KV{}, ExternalURL: externalURL,
		},
		Message: m,
	}
	if escape != nil {
		return escaped(reflect.ValueOf(d), escape).Interface().(Data)
	}
	return d
}

func alertOf(m release.Message) am.Alert {
	alert := message.Alert(m)
	maps.Copy(alert.Labels, m.Labels)
	out := am.Alert{
		Status: "resolved", Labels: am.KV(alert.Labels), Annotations: am.KV(alert.Annotations), StartsAt: alert.StartsAt,
		GeneratorURL: alert.GeneratorURL, Fingerprint: m.Key,
	}
	if m.State.Open() {
		out.Status = "firing"
	}
	if m.EndedAt != nil {
		out.EndsAt = *m.EndedAt
	}
	return out
}

// escaped is a copy of v in which every text went through escape.
func escaped(v reflect.Value, escape func(string) string) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.String:
		out.SetString(escape(v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(escaped(v.Elem(), escape))
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				out.Index(i).Set(escaped(v.Index(i), escape))
			}
		}
	case reflect.Map:
		if !v.IsNil() {
			out.Set(reflect.MakeMap(v.Type()))
			for it := v.MapRange(); it.Next(); { // the keys are names, for templates to find
				out.SetMapIndex(it.Key(), escaped(it.Value(), escape))
			}
		}
	case reflect.Struct:
		out.Set(v) // with what is not for others, such as that of a time
		for i := range v.NumField() {
			if out.Field(i).CanSet() {
				out.Field(i).Set(escaped(v.Field(i), escape))
			}
		}
	default:
		out.Set(v)
	}
	return out
}
