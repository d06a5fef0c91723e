package config

import _ "embed" // for the schema

//go:generate go test -run ^TestSchemaAndTableAreCurrent$ -update .

// Schema is the JSON Schema of the configuration file, for editors. It is
// generated from the types of this package.
//
//go:embed schema.json
var Schema []byte
