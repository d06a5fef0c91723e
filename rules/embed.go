// Package rules holds the data that ships inside the program: the signal
// catalogue. The files are for people to read and change.
package rules

import "embed"

// Signals is the signal catalogue: signals/*.yaml and its JSON Schema.
//
//go:embed signals/*.yaml signals/schema.json
var Signals embed.FS
