package main

import (
	"encoding/json"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// printYAML writes a JSON document as YAML. It goes by way of nodes because
// that keeps the order of the names, and because their encoder quotes every
// text that would read as something else; goccy/go-yaml, which reads the
// configuration, writes a carriage return so that nothing can read it again.
func printYAML(w io.Writer, document io.Reader) error {
	d := json.NewDecoder(document)
	d.UseNumber()
	n, err := nextNode(d)
	if err != nil {
		return fmt.Errorf("write as YAML: %w", err)
	}
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		return fmt.Errorf("write as YAML: %w", err)
	}
	return e.Close()
}

// nextNode reads one JSON value.
func nextNode(d *json.Decoder) (*yaml.Node, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		if v == '{' {
			n.Kind, n.Tag = yaml.MappingNode, "!!map"
		}
		for d.More() {
			// The names of a mapping stand among its values, as in JSON's tokens.
			child, err := nextNode(d)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		_, err := d.Token() // the closing bracket
		return n, err
	case string:
		return scalar("!!str", v), nil
	case json.Number:
		// Without a tag it reads as it is written: an int, or a float where it is
		// too large for one.
		return scalar("", v.String()), nil
	case bool:
		return scalar("!!bool", fmt.Sprint(v)), nil
	}
	return scalar("!!null", "null"), nil
}

func scalar(tag, value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
}
