package signal

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// jsonSchema checks documents against as much of JSON Schema as the
// catalogue's uses.
type jsonSchema struct {
	Ref        string                 `json:"$ref"`
	Type       string                 `json:"type"`
	Properties map[string]*jsonSchema `json:"properties"`
	Additional *bool                  `json:"additionalProperties"`
	Required   []string               `json:"required"`
	Items      *jsonSchema            `json:"items"`
	MinItems   int                    `json:"minItems"`
	MinProps   int                    `json:"minProperties"`
	MinLength  int                    `json:"minLength"`
	Minimum    *float64               `json:"minimum"`
	Pattern    string                 `json:"pattern"`
	Enum       []string               `json:"enum"`
	Defs       map[string]*jsonSchema `json:"$defs"`
}

func (s *jsonSchema) check(root *jsonSchema, doc any, at string) error {
	if s.Ref != "" {
		if err := root.Defs[strings.TrimPrefix(s.Ref, "#/$defs/")].check(root, doc, at); err != nil {
			return err
		}
	}
	switch s.Type {
	case "object":
		return s.checkObject(root, doc, at)
	case "array":
		list, ok := doc.([]any)
		if !ok || len(list) < s.MinItems {
			return fmt.Errorf("%s: %v is no list of at least %d", at, doc, s.MinItems)
		}
		for i, item := range list {
			if err := s.Items.check(root, item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case "string":
		text, ok := doc.(string)
		if !ok || len(text) < s.MinLength || (s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(text)) {
			return fmt.Errorf("%s: %v is not such a string", at, doc)
		}
	case "integer":
		n, ok := doc.(uint64)
		if !ok || (s.Minimum != nil && float64(n) < *s.Minimum) {
			return fmt.Errorf("%s: %v is not such a number", at, doc)
		}
	}
	if text, ok := doc.(string); s.Enum != nil && (!ok || !slices.Contains(s.Enum, text)) {
		return fmt.Errorf("%s: %v is none of %v", at, doc, s.Enum)
	}
	return nil
}

func (s *jsonSchema) checkObject(root *jsonSchema, doc any, at string) error {
	object, ok := doc.(map[string]any)
	if !ok || len(object) < s.MinProps {
		return fmt.Errorf("%s: %v is no object with at least %d keys", at, doc, s.MinProps)
	}
	for _, key := range s.Required {
		if _, ok := object[key]; !ok {
			return fmt.Errorf("%s: %s is missing", at, key)
		}
	}
	for key, value := range object {
		p, known := s.Properties[key]
		switch {
		case known:
			if err := p.check(root, value, at+"."+key); err != nil {
				return err
			}
		case s.Additional != nil && !*s.Additional:
			return fmt.Errorf("%s: %s is unknown", at, key)
		}
	}
	return nil
}
