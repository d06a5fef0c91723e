package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestExitStatus(t *testing.T) {
	faulty := filepath.Join(t.TempDir(), "faulty.yaml")
	if err := os.WriteFile(faulty, []byte("listen: 1\nnonsense: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(serverVariable, "http://127.0.0.1:1") // where nothing listens
	tests := map[string]struct {
		args []string
		want int
	}{
		"help is no error":                            {nil, 0},
		"the version is no error":                     {[]string{"version"}, 0},
		"a server that cannot be reached is an error": {[]string{"releases"}, 1},
		"a command there is not is wrong usage":       {[]string{"rollback"}, 2},
		"a flag there is not is wrong usage":          {[]string{"releases", "--all"}, 2},
		"a missing argument is wrong usage":           {[]string{"explain"}, 2},
		"an argument too many is wrong usage":         {[]string{"serve", "now"}, 2},
		"a name of no release is wrong usage":         {[]string{"explain", "no/such/name"}, 2},
		"an address of no server is wrong usage":      {[]string{"releases", "--server", "here"}, 2},
		"a faulty configuration is wrong usage":       {[]string{"config", "check", "--config", faulty}, 2},
		"a missing configuration is wrong usage":      {[]string{"config", "check", "--config", faulty + "x"}, 2},
		"serving by a faulty one is wrong usage":      {[]string{"serve", "--config", faulty}, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if got := run(tt.args, &stdout, &stderr); got != tt.want {
				t.Errorf("exit status %d, want %d; stderr: %s", got, tt.want, &stderr)
			}
			if (stderr.Len() > 0) != (tt.want != 0) {
				t.Errorf("stderr: %q", &stderr)
			}
		})
	}
}
