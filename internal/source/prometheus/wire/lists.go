package wire

import "github.com/prometheus/prometheus/model/labels"

// LabelSets takes the data of the series API.
type LabelSets struct {
	Sets []labels.Labels
}

func (l *LabelSets) read(r *reader) error {
	var in labelReader
	return r.array(func() error {
		set, err := in.read(r)
		if err == nil {
			l.Sets = append(l.Sets, set)
		}
		return err
	})
}

// Metadata takes the data of the metadata API.
type Metadata struct {
	// Types of each metric, as often as targets say so.
	Types map[string][]string
}

func (m *Metadata) read(r *reader) error {
	m.Types = map[string][]string{}
	return r.object(func(key []byte) error {
		metric := string(key)
		return r.array(func() error {
			return r.object(func(key []byte) error {
				if string(key) != "type" {
					return r.skip(0)
				}
				var one string
				err := r.words(&one)()
				m.Types[metric] = append(m.Types[metric], one)
				return err
			})
		})
	})
}
